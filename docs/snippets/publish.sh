pip wheel --no-deps --wheel-dir dist ./my-int4
pip install --force-reinstall dist/my_int4-0.1.0-py3-none-any.whl
harness list compressors my-int4
