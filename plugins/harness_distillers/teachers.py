"""What a student takes from its teachers' distributions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness import Batch

MASKED = -1e4  # no probability at any temperature in use; finite, so that 0 · log 0 stays 0
_TINY = 1e-14  # added to a variance: logits that are all equal have z-scores of 0, and a gradient


def divergence(batch: Batch, temperature: float, *, standardise: bool = False) -> Tensor:
    """KL of the teachers' (weighted) mean distribution from the student's, summed over classes, mean over units.

    Logits and each teacher [U, C]. Classes that some teacher does not know are masked in all of them and in the
    student before any softmax. `standardise`: of their z-scores, where every teacher knows every class.
    """
    student, *teachers = batch.logits, *batch.teachers
    if standardise:
        student, *teachers = map(standardised, (student, *teachers))
    wanted = averaged(batch, [_covered(batch, teacher, temperature).softmax(-1) for teacher in teachers])
    found = _covered(batch, student, temperature).log_softmax(-1)  # [U, C]
    return F.kl_div(found, wanted, reduction="none").sum(-1).mean()


def averaged(batch: Batch, said: Sequence[Tensor]) -> Tensor:
    """What each of K teachers says, [U, C], as one: their mean, by the weights [K, U] of the batch if it has any."""
    together = torch.stack([*said])  # [K, U, C]
    return together.mean(0) if batch.weights is None else (batch.weights[..., None] * together).sum(0)


def standardised(logits: Tensor) -> Tensor:
    """Z-scores of each unit over its classes: [U, C] → [U, C]; 0 where all are equal."""
    centred = logits - logits.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + _TINY).sqrt()


def _covered(batch: Batch, logits: Tensor, temperature: float) -> Tensor:
    soft = logits / temperature
    return soft if batch.covered is None else soft.masked_fill(~batch.covered, MASKED)
