"""Knowledge distillation: Hinton, Vinyals, Dean 2015, arXiv 1503.02531."""

from __future__ import annotations

from torch import Tensor

from harness import Batch
from harness_distillers.labels import cross_entropy
from harness_distillers.plugin import KdParams
from harness_distillers.teachers import divergence


class Kd:
    """The factory of `kd`."""

    def loss(self, batch: Batch, params: KdParams) -> tuple[Tensor, dict[str, float | Tensor]]:
        """α·T²·KL(p_teacher^T ‖ p_student^T) + (1 - α)·CE(labels).

        KL is summed over classes and averaged over all units, CE averaged over the labelled ones and left out of a
        batch without any. T² keeps the gradient's size when T changes. Several teachers: the mean of their p^T. For
        spans this is the mean over starts and ends, each a distribution over the positions of a window.
        """
        loss = params.temperature**2 * divergence(batch, params.temperature)
        parts: dict[str, float | Tensor] = {"teacher": loss.detach()}
        loss = params.alpha * loss
        if (batch.targets >= 0).any():
            labels = cross_entropy(batch, params.label_smoothing)
            loss = loss + (1 - params.alpha) * labels
            parts["labels"] = labels.detach()
        return loss, parts
