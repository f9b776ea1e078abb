"""What every compressor and every runtime has to keep to."""

from harness.testing import conformance

test_lowrank = conformance("compressor", "lowrank")
test_runtime = conformance("runtime", "torch-lowrank")
