"""What a student takes from its teachers' distributions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness import Batch

MASKED = -1e4  # no probability at any temperature in use; finite, so that 0 · log 0 stays 0


def divergence(batch: Batch, temperature: float) -> Tensor:
    """KL of the teachers' mean distribution from the student's, summed over classes, mean over units.

    Logits and each teacher [U, C]. Classes that some teacher does not know are masked in all of them and in the
    student before any softmax.
    """
    wanted = torch.stack([_covered(batch, teacher, temperature).softmax(-1) for teacher in batch.teachers]).mean(0)
    found = _covered(batch, batch.logits, temperature).log_softmax(-1)  # [U, C]
    return F.kl_div(found, wanted, reduction="none").sum(-1).mean()


def _covered(batch: Batch, logits: Tensor, temperature: float) -> Tensor:
    soft = logits / temperature
    return soft if batch.covered is None else soft.masked_fill(~batch.covered, MASKED)
