"""PyTorch: the runtime of trained models as they are, and dynamic int8."""
