harness plugin new compressor my-int4
pip install -e my-int4
harness list compressors
harness plugin check my-int4
harness run my-int4/suite.toml
