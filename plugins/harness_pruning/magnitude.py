"""`prune-magnitude`: the weights nearest to zero become zero. They are masked, not removed: each is still a number.

Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015, https://arxiv.org/abs/1506.02626.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness import CompressRequest, Facts, parameter_facts, save_pretrained
from harness_pruning.sizes import bytes_by_kind

LEVEL = 6  # of zlib
_WEIGHTS = "model.safetensors"
_CHUNK = 1 << 20


class PruneMagnitude:
    """The factory of `prune-magnitude`."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write the same model with zeros in it; facts say how many, and what the file is when it is compressed."""
        model: Any = request.student().eval()
        params = request.params
        chosen = matrices(model, params.embeddings)
        before = nonzero(chosen)
        mask(chosen, params.sparsity, per_layer=params.scope == "layer")
        save_pretrained(model, request.out)
        after, total = nonzero(chosen), sum(tensor.numel() for tensor in chosen.values())
        return {
            "changed": after < before,
            "masked": after < before,
            "weights": total,
            "nonzero_before": before,
            "nonzero": after,
            "sparsity": round(1 - after / max(1, total), 6),
            "left_alone": parameter_facts(model)["parameters"] - total,
            f"zlib_{LEVEL}_bytes": {name: compressed(at / _WEIGHTS) for name, at in _files(request).items()},
            "bytes": bytes_by_kind(model),
        }


def matrices(model: nn.Module, embeddings: bool) -> dict[str, Tensor]:
    """Weights of linear and recurrent layers by name, each tensor once; embedding tables where they are asked for."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
    named = {name: p.detach() for name, p in model.named_parameters() if p.ndim > 1}
    return {name: tensor for name, tensor in named.items() if embeddings or id(model.get_parameter(name)) not in tables}


def mask(chosen: Mapping[str, Tensor], sparsity: float, *, per_layer: bool) -> None:
    """Set the smallest to zero, in place: exactly ⌊sparsity · n⌋ of all, or of each."""
    if per_layer:
        for name, tensor in chosen.items():
            mask({name: tensor}, sparsity, per_layer=False)
        return
    sizes = torch.cat([tensor.abs().flatten() for tensor in chosen.values()]) if chosen else torch.empty(0)
    count = int(sparsity * len(sizes))
    if not count:
        return
    limit = sizes.kthvalue(count).values
    ties = count - int((sizes < limit).sum())  # so many of those at the limit go, the first ones
    for tensor in chosen.values():
        flat = tensor.view(-1)
        at_limit = (flat.abs() == limit).nonzero().flatten()[:ties]
        ties -= len(at_limit)
        flat[flat.abs() < limit] = 0
        flat[at_limit] = 0


def nonzero(chosen: Mapping[str, Tensor]) -> int:
    """How many weights are not zero."""
    return sum(int(tensor.count_nonzero()) for tensor in chosen.values())


def compressed(file: Path) -> int:
    """Bytes of a file after zlib: what it would weigh in an archive, and nowhere else."""
    packer, total = zlib.compressobj(LEVEL), 0
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            total += len(packer.compress(chunk))
    return total + len(packer.flush())


def _files(request: CompressRequest) -> dict[str, Path]:
    return {"before": request.source, "after": request.out}
