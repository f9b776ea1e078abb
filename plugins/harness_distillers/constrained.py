"""Constrained distillation: what is critical counts more. Chudnov and Romashkova: the two forms of their critical loss.

The study does not say which form made its table, nor the distance of form (a); here it is the mean square of logits.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness import Batch, StageError
from harness_distillers.kd import Kd
from harness_distillers.plugin import ConstrainedParams
from harness_distillers.teachers import averaged


class Constrained:
    """The factory of `constrained`."""

    def loss(self, batch: Batch, params: ConstrainedParams) -> tuple[Tensor, dict[str, float | Tensor]]:
        """`form = "logits"` (a): L_kd + β·mean over words of gold critical spans of ‖student - teacher‖² / C.

        `form = "weights"` (b): L_kd with class weights 1 + β on critical classes in its CE, weighted as PyTorch does:
        divided by the sum of weights. β = 0 is `kd`, bit for bit. StageError where the task names no critical class.
        """
        if params.beta == 0:
            return Kd().loss(batch, params)
        critical = critical_classes(batch)
        if params.form == "weights":
            weights = 1 + params.beta * critical.to(batch.logits.dtype)  # [C]
            return Kd().loss(batch, params, weights)
        loss, parts = Kd().loss(batch, params)
        extra = agreement(batch, critical)
        return loss + params.beta * extra, {**parts, "critical": extra.detach()}


def critical_classes(batch: Batch) -> Tensor:
    """Bool [C]. StageError where there is none."""
    if batch.critical is None or not (batch.critical >= 0).any():
        msg = "this loss is about critical classes, and the task names none; set task.critical"
        raise StageError(msg)
    return batch.critical >= 0


def agreement(batch: Batch, critical: Tensor) -> Tensor:
    """Mean square between logits of student and mean teacher, over units with a critical label; 0 without any."""
    labelled = batch.targets >= 0
    chosen = labelled & critical[batch.targets.clamp(min=0)]  # [U]
    if not chosen.any():
        return batch.logits.sum() * 0
    return F.mse_loss(batch.logits[chosen], averaged(batch, batch.teachers)[chosen])
