"""What stands around a recurrence: convolutions over tokens before it, pooling of its states after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvStack(nn.Module):
    """Parallel convolutions of several odd kernels, 'same' padding, concatenated; ReLU, norm, dropout.

    A convolution is a matrix over windows of tokens: what kernels for 8-bit weights take, and on a CPU no slower.
    """

    def __init__(self, width: int, out: int, kernels: Sequence[int], norm: str, dropout: float) -> None:
        super().__init__()
        self.kernels = tuple(kernels)
        share = out // len(self.kernels)
        self.maps = nn.ModuleList(nn.Linear(kernel * width, share) for kernel in self.kernels)
        self.norm = TokenNorm(out) if norm == "batch" else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """Inputs [B, L, W]; keep [B, L, 1], one where there is a token → [B, L, out], meaningless at padding."""
        x = x * keep
        seen = [map_(windows(x, kernel)) for map_, kernel in zip(self.maps, self.kernels, strict=True)]
        x = torch.cat(seen, dim=-1).relu()
        return self.dropout(x if self.norm is None else self.norm(x, keep))  # type: ignore[no-any-return]


def windows(x: Tensor, kernel: int) -> Tensor:
    """Each token between its neighbours, zeros beyond the ends: [B, L, W] → [B, L, kernel · W]."""
    if kernel == 1:
        return x
    beyond = x.new_zeros(x.size(0), kernel // 2, x.size(2))
    padded = torch.cat([beyond, x, beyond], dim=1)
    return torch.cat([padded[:, at : at + x.size(1)] for at in range(kernel)], dim=-1)


class TokenNorm(nn.BatchNorm1d):
    """Batch normalisation whose mean and variance are those of tokens, whatever the padding."""

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:  # type: ignore[override]
        """Inputs [B, L, W], keep [B, L, 1] → [B, L, W]. A lone token is treated as after training."""
        flat = x.flatten(0, 1)
        if not self.training:
            return super().forward(flat).view_as(x)
        there = keep.flatten().nonzero().squeeze(1)  # [tokens]
        if len(there) == 1:
            return functional.batch_norm(flat, self.running_mean, self.running_var, self.weight, self.bias).view_as(x)
        tokens = super().forward(flat.index_select(0, there))
        return torch.zeros_like(flat).index_copy(0, there, tokens).view_as(x)


class Pooling(nn.Module):
    """States of a text → one vector; padding counts for nothing."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.width = 2 * width if kind == "max-mean" else width
        self.score = nn.Linear(width, 1) if kind == "attention" else None

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States [B, L, W], mask bool [B, L] → [B, width]."""
        keep = mask.unsqueeze(-1)  # [B, L, 1]
        if self.score is not None:
            scores: Tensor = self.score(states)  # [B, L, 1]
            return (states * scores.masked_fill(~keep, float("-inf")).softmax(1)).sum(1)
        parts = []
        if self.kind != "mean":
            parts.append(states.masked_fill(~keep, float("-inf")).amax(1))
        if self.kind != "max":
            parts.append(states.masked_fill(~keep, 0.0).sum(1) / keep.sum(1))
        return torch.cat(parts, dim=-1)
