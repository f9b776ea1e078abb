"""Toy batches as a distiller sees them, one for each head."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from harness.heads import MASKED
from harness.specs import Batch, Head

UNITS = 24
CLASSES = {"sequence": 3, "token": 5, "nested-token": 5, "span": 12}
TYPES = 2  # of nested entities, and of critical ones
WIDTHS = (6, 8)  # of hidden states: student's, teacher's
_HIDDEN = 3  # positions at the end of a span's window that hold no context
_UNKNOWN = 5  # the first of those that the teacher does not see


def lesson(head: Head, *, pairs: int = 0, critical: bool = False, labelled: bool = True, teacher: bool = True) -> Batch:
    """The same numbers every time. `pairs` of hidden states; logits of student and teacher differ."""
    draw = torch.Generator().manual_seed(0)
    classes = CLASSES[head]
    logits, taught = (torch.randn(UNITS, classes, generator=draw) for _ in range(2))
    known = classes - _HIDDEN if head == "span" else classes
    targets = torch.randint(0, min(known, _UNKNOWN), (UNITS,), generator=draw)
    batch = Batch(
        logits=logits,
        targets=targets if labelled else torch.full_like(targets, -100),
        teachers=(taught,) if teacher else (),
        layers=TYPES if head == "nested-token" else 1,
        critical=torch.tensor([-1, 0, 0, 1, 1]) if critical else None,
        states=tuple(
            (torch.randn(UNITS, WIDTHS[0], generator=draw), torch.randn(UNITS, WIDTHS[1], generator=draw))
            for _ in range(pairs)
        ),
    )
    return _windows(batch, known) if head == "span" else batch


def _windows(batch: Batch, known: int) -> Batch:
    """Positions that do not exist have no chance; some that exist the teacher does not see."""
    places = torch.arange(batch.logits.shape[1]).expand_as(batch.logits)
    exists, covered = places < known, (places < known) & (places != _UNKNOWN)
    return replace(
        batch,
        logits=batch.logits.masked_fill(~exists, MASKED),
        teachers=tuple(one.masked_fill(~covered, MASKED) for one in batch.teachers),
        exists=exists,
        covered=covered,
    )


def moving(batch: Batch) -> tuple[Batch, Tensor]:
    """The batch with logits that gradients are taken of, and these."""
    logits = batch.logits.clone().requires_grad_()
    return replace(batch, logits=logits), logits
