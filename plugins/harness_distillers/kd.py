"""Knowledge distillation: Hinton, Vinyals, Dean 2015, arXiv 1503.02531."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness import Batch
from harness_distillers.plugin import KdParams


class Kd:
    """The factory of `kd`."""

    def loss(self, batch: Batch, params: KdParams) -> tuple[Tensor, dict[str, float | Tensor]]:
        """α·T²·KL(p_teacher^T ‖ p_student^T) + (1 - α)·CE(labels).

        KL is summed over classes and averaged over all units, CE averaged over the labelled ones and left out of a
        batch without any. T² keeps the gradient's size when T changes. Several teachers: the mean of their p^T.
        """
        loss = params.temperature**2 * divergence(batch.logits, batch.teachers, params.temperature)
        parts: dict[str, float | Tensor] = {"teacher": loss.detach()}
        loss = params.alpha * loss
        if (batch.targets >= 0).any():
            labels = F.cross_entropy(
                batch.logits, batch.targets, ignore_index=-100, label_smoothing=params.label_smoothing
            )
            loss = loss + (1 - params.alpha) * labels
            parts["labels"] = labels.detach()
        return loss, parts


def divergence(logits: Tensor, teachers: Sequence[Tensor], temperature: float) -> Tensor:
    """KL of the teachers' mean distribution from the student's, mean over units; logits and each teacher [U, C]."""
    wanted = torch.stack([(teacher / temperature).softmax(-1) for teacher in teachers]).mean(0)  # [U, C]
    found = (logits / temperature).log_softmax(-1)  # [U, C]
    return F.kl_div(found, wanted, reduction="none").sum(-1).mean()
