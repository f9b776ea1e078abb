"""ONNX: export, graph optimisation, dynamic int8, ONNX Runtime, and existing ONNX files as models."""

import os

# Without it, importing ONNX Runtime (seen in 1.31) writes an id of the machine and a data base into the home folder and
# uploads what is run to its maker where there is a network. Who wants that sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
