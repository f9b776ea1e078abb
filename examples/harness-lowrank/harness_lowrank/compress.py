"""The work of `lowrank`: layers are chosen, inputs are looked at on training texts, matrices are cut in two."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness import Arrays, CompressRequest, Facts
from harness_lowrank.files import CONFIG, put_thin, write
from harness_lowrank.layers import factorize, rank_for


class LowRank:
    """W [out, in] → L [out, r] · R [r, in], each layer for itself."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write the thin model; facts say which layers have which rank, and how much of their outputs stayed."""
        model, params = request.student().eval(), request.params
        layers = factorable(model, params.smallest)
        moments = second_moments(model, layers, request.calibration) if params.whiten else {}
        shares: dict[str, float] = {}
        ranks = {name: rank_for(*layer.weight.shape, params.keep) for name, layer in layers.items()}
        for name, rank in ranks.items():
            shares[name] = replace(model, name, rank, moments.get(name))
        shutil.copyfile(request.source / CONFIG, request.out / CONFIG)
        written = write(model, ranks, request.out)
        left = sum(isinstance(module, nn.Linear) for module in model.modules()) - 2 * len(ranks)
        return {
            "changed": bool(ranks),
            "layers": {name: {"rank": rank, "kept": round(shares[name], 4)} for name, rank in ranks.items()},
            "left_whole": left,
            "bytes": {"fp32": written},
        }


def factorable(model: nn.Module, smallest: int) -> dict[str, nn.Linear]:
    """Linear layers by name whose smaller side is large enough, and whose weights nobody else uses."""
    users: dict[int, int] = {}
    for module in model.modules():
        for tensor in module.parameters(recurse=False):
            users[id(tensor)] = users.get(id(tensor), 0) + 1
    found = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    return {n: m for n, m in found.items() if min(m.weight.shape) >= smallest and users[id(m.weight)] == 1}


def second_moments(model: nn.Module, layers: dict[str, nn.Linear], batches: Sequence[Arrays]) -> dict[str, Tensor]:
    """E[x xᵀ] [in, in] of what goes into each layer; batches hold one text each, so nothing is padding."""
    sums = {
        name: torch.zeros(layer.in_features, layer.in_features, dtype=torch.float64) for name, layer in layers.items()
    }
    counts = dict.fromkeys(layers, 0)

    def look(name: str, inputs: Tensor) -> None:
        rows = inputs.reshape(-1, inputs.shape[-1]).double()  # [B · L, in]
        sums[name] += rows.T @ rows
        counts[name] += len(rows)

    with _watched(layers, look), torch.inference_mode():
        for arrays in batches:
            model(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    return {name: total / counts[name] for name, total in sums.items() if counts[name]}


@contextmanager
def _watched(layers: dict[str, nn.Linear], look: Any) -> Iterator[None]:
    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs, name=name: look(name, inputs[0]))
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def replace(model: nn.Module, name: str, rank: int, moment: Tensor | None) -> float:
    """Put the thin layer in the whole one's place; returns the share of its squared output that stays."""
    whole: Any = model.get_submodule(name)
    left, right, share = factorize(whole.weight.detach(), moment, rank)
    made: Any = put_thin(model, name, rank)
    with torch.no_grad():
        made[0].weight.copy_(right)
        made[1].weight.copy_(left)
        if whole.bias is not None:
            made[1].bias.copy_(whole.bias)
    return share
