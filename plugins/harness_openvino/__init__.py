"""OpenVINO, an optional extra: ONNX graphs as OpenVINO's own, in fp32, bf16 and static int8, and what runs them."""

import os
import sys

# OpenVINO and NNCF report their use to their maker through this package, and write an id of the machine into the home
# folder when they are imported (seen in 2026.4 and 3.4). Where it cannot be imported, both go on in silence.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime does the same; it answers beside OpenVINO once
