"""ONNX: export, graph optimisation, dynamic int8, ONNX Runtime, and existing ONNX files as models."""
