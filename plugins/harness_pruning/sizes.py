"""What the weights of a model take."""

from __future__ import annotations

from torch import nn


def bytes_by_kind(model: nn.Module) -> dict[str, int]:
    """Bytes of embedding tables, and of all else; shared weights count once."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    kinds = dict.fromkeys(("embeddings", "fp32"), 0)
    for parameter in model.parameters():
        kinds["embeddings" if id(parameter) in tables else "fp32"] += parameter.nbytes
    return kinds
