"""Distillation under a constraint per critical type: the student recalls it as the teacher does, less ε.

minimise L_kd subject to r_c(teacher) - ε - r_c(student) ≤ 0 for every critical type c, by dual ascent: the student
goes down L_kd + Σ λ_c·(r_c(teacher) - ε - r_c(student)), and λ_c goes up by `ascent` times the constraint's running
mean, never below 0. Constraints on rates by multipliers: Cotter et al., arXiv 1805.08852; here on soft recall, which
has a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness import Batch
from harness_distillers.constrained import critical_classes
from harness_distillers.kd import Kd
from harness_distillers.plugin import GuaranteeParams
from harness_distillers.teachers import averaged


class Multipliers(nn.Module):
    """λ and the running mean of the constraint of each of K types. Buffers: nothing here has a gradient."""

    multipliers: Tensor  # [K]
    shortfall: Tensor  # [K]

    def __init__(self, types: int) -> None:
        super().__init__()
        self.register_buffer("multipliers", torch.zeros(types))
        self.register_buffer("shortfall", torch.zeros(types))


class Guarantee:
    """The factory of `guarantee`."""

    def begin(self, params: GuaranteeParams, critical: Tensor | None, widths: Sequence[tuple[int, int]]) -> Multipliers:
        """No multiplier has grown yet."""
        self.kept = Multipliers(0 if critical is None else int(critical.max()) + 1)
        return self.kept

    def loss(self, batch: Batch, params: GuaranteeParams) -> tuple[Tensor, dict[str, float | Tensor]]:
        """L_kd + Σ λ_c·(r_c(teacher) - ε - r_c(student)) over the types that occur in the batch; then λ moves.

        The soft recall r_c is the mean over words labelled with a class of type c of the probability of that class.
        StageError where the task names no critical class.
        """
        critical_classes(batch)
        loss, parts = Kd().loss(batch, params)
        taught = averaged(batch, [teacher.softmax(-1) for teacher in batch.teachers])
        wanted, there = soft_recall(taught, batch)  # [K]
        found, _ = soft_recall(batch.logits.softmax(-1), batch)
        short = torch.where(there, wanted - params.epsilon - found, 0)  # [K]
        held = (self.kept.multipliers.clone() * short).sum()  # they move before the gradient is taken
        self._ascend(short.detach(), there, params)
        return loss + held, {
            **parts,
            "shortfall": self.kept.shortfall.max().detach(),
            "multiplier": self.kept.multipliers.max().detach(),
        }

    def _ascend(self, short: Tensor, there: Tensor, params: GuaranteeParams) -> None:
        kept = self.kept
        moved = params.memory * kept.shortfall + (1 - params.memory) * short
        kept.shortfall.copy_(torch.where(there, moved, kept.shortfall))
        risen = (kept.multipliers + params.ascent * kept.shortfall).clamp(0, params.most)
        kept.multipliers.copy_(torch.where(there, risen, kept.multipliers))


def soft_recall(probabilities: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Mean probability of the label over the words of each critical type, [K], and whether there are any, bool [K].

    probabilities [U, C], targets [U], critical [C].
    """
    assert batch.critical is not None  # noqa: S101 - checked by the caller
    right = probabilities.gather(-1, batch.targets.clamp(min=0)[:, None])[:, 0]  # [U]
    of = torch.where(batch.targets >= 0, batch.critical[batch.targets.clamp(min=0)], -1)  # [U]
    types = torch.arange(int(batch.critical.max()) + 1, device=of.device)
    member = (of[:, None] == types).to(right.dtype)  # [U, K]
    counts = member.sum(0)
    return (member * right[:, None]).sum(0) / counts.clamp(min=1), counts > 0
