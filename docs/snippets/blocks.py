"""A param more: steps for blocks of a row. What changes in `plugin.py` and in `compress.py`."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from harness import Params

_TINY = 2.0**-100


class GridParams(Params):
    """The new one has a default that means what was done before."""

    bits: int = Field(8, ge=2, le=8, description="a weight is one of 2^bits - 1 values of its row")
    block: int | None = Field(None, ge=1, description="neighbours in a row that share a step; default: all of them")


def on_grid(weight: Tensor, bits: int, block: int | None = None) -> Tensor:
    """Whole multiples of a step per block of a row. Weight [..., W], fp32; the same shape."""
    most, width = 2 ** (bits - 1) - 1, weight.size(-1)
    size = block or width
    blocks = functional.pad(weight, (0, -width % size)).unflatten(-1, (-1, size))  # [..., blocks, size]
    largest = blocks.abs().amax(-1, keepdim=True).clamp(min=_TINY)
    step = torch.exp2(torch.ceil(torch.log2(largest / most)))
    rounded = torch.round(blocks / step).clamp(-most, most) * step
    return rounded.flatten(-2)[..., :width]
