"""Knowledge distillation: Hinton, Vinyals, Dean 2015, arXiv 1503.02531; of z-scores: Sun et al. 2024, 2403.01427."""

from __future__ import annotations

from torch import Tensor

from harness import Batch
from harness_distillers.labels import mixed
from harness_distillers.plugin import KdParams
from harness_distillers.teachers import divergence


class Kd:
    """The factory of `kd`."""

    def loss(
        self, batch: Batch, params: KdParams, weights: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """α·T²·KL(p_teacher^T ‖ p_student^T) + (1 - α)·CE(labels).

        KL is summed over classes and averaged over all units, CE averaged over the labelled ones and left out of a
        batch without any. T² keeps the gradient's size when T changes. Several teachers: the mean of their p^T, by the
        batch's weights if it has any. For words and spans a unit is a word, a start or an end, whatever text it stands
        in; a span's classes are the positions of its window. `weights` [C] are those of classes in CE. `standardise`:
        logits z [U, C] of student and teachers are replaced by (z - mean z) / std z, over the classes of a unit, in p^T
        alone.
        """
        soft = params.temperature**2 * divergence(batch, params.temperature, standardise=params.standardise)
        return mixed(batch, soft, params.alpha, params.label_smoothing, weights)
