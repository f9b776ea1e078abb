"""After groups are gone: the layer that read them is fitted to give what it gave, by least squares on training texts.

With x [inputs] of the whole layer, a constant 1 behind them, and S the inputs that stay, the weights W' that lose least
of W x over the texts solve W' E[x_S x_Sᵀ] = W E[x x_Sᵀ] (He et al., Channel Pruning, 2017,
https://arxiv.org/abs/1707.06168; for transformers: Kwon et al. 2022, https://arxiv.org/abs/2203.09656).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from harness import Arrays
from harness_pruning.layout import as_tensors, reading

_ROWS = 1024  # tokens that are multiplied at once
RIDGE = 1e-3  # of the inputs' mean square: few texts must not decide about directions that they do not show


class _Seen(Exception):
    """What comes after the layer that is watched need not be computed."""


def second_moment(model: Any, name: str, batches: Sequence[Arrays]) -> Tensor:
    """E[x xᵀ] [inputs + 1, inputs + 1] float64 of a layer; batches hold one text each, so nothing is padding."""
    layer = reading(model, name)
    total = torch.zeros(layer.in_features + 1, layer.in_features + 1, dtype=torch.float64)
    rows: list[Tensor] = []

    def look(values: Tensor) -> None:
        flat = values.flatten(0, -2)
        rows.append(torch.cat([flat, flat.new_ones(len(flat), 1)], 1))
        raise _Seen

    hook = layer.register_forward_pre_hook(lambda module, inputs: look(inputs[0]))
    count = 0
    try:
        with torch.inference_mode():
            for arrays in batches:
                with suppress(_Seen):
                    model(**as_tensors(arrays))
                if sum(map(len, rows)) >= _ROWS or arrays is batches[-1]:
                    seen = torch.cat(rows)
                    total += (seen.T @ seen).double()
                    count += len(seen)
                    rows.clear()
    finally:
        hook.remove()
    return total / max(1, count)


def refitted(layer: nn.Linear, keep: Sequence[int], moment: Tensor) -> tuple[Tensor, Tensor]:
    """(weight [outputs, kept], bias [outputs]) that lose least of the layer's outputs.

    What is drawn back to is the layer's own weights, so that what the texts do not show stays as it is.
    """
    whole = torch.cat([layer.weight.detach(), layer.bias.detach()[:, None]], 1).double()  # [outputs, inputs + 1]
    kept = [*keep, layer.in_features]
    gone = torch.ones(layer.in_features + 1, dtype=torch.bool)
    gone[kept] = False
    inner = moment[kept][:, kept]
    ridge = RIDGE * inner.diagonal().mean() + torch.finfo(torch.float64).tiny
    inner = inner + ridge * torch.eye(len(kept), dtype=torch.float64)
    lost = whole[:, gone] @ moment[gone][:, kept]  # what the others said, as far as the remaining ones know it
    found = whole[:, kept] + torch.cholesky_solve(lost.T, torch.linalg.cholesky(inner)).T
    return found[:, :-1].to(layer.weight.dtype), found[:, -1].to(layer.weight.dtype)
