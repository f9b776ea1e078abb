"""Cross-entropy with the labels, over the classes that exist."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness import Batch


def mixed(
    batch: Batch, taught: Tensor, alpha: float, smoothing: float, weights: Tensor | None = None
) -> tuple[Tensor, dict[str, float | Tensor]]:
    """α·(loss to the teacher) + (1 - α)·CE(labels), and both as parts; CE is left out of a batch without labels."""
    parts: dict[str, float | Tensor] = {"teacher": taught.detach()}
    loss = alpha * taught
    if (batch.targets >= 0).any():
        labels = cross_entropy(batch, smoothing, weights)
        loss = loss + (1 - alpha) * labels
        parts["labels"] = labels.detach()
    return loss, parts


def cross_entropy(batch: Batch, smoothing: float, weights: Tensor | None = None) -> Tensor:
    """Mean over the labelled units; `smoothing` of the target is spread over the classes that exist in the unit.

    Logits [U, C], targets [U], -100 = unlabelled; `weights` [C], where all classes exist. Scalar.
    """
    if batch.exists is None or not smoothing:
        return F.cross_entropy(batch.logits, batch.targets, weights, ignore_index=-100, label_smoothing=smoothing)
    labelled = batch.targets >= 0
    log = batch.logits.log_softmax(-1)[labelled]  # [V, C]
    exists = batch.exists[labelled]
    right = -log.gather(-1, batch.targets[labelled, None])[:, 0]
    spread = -log.masked_fill(~exists, 0).sum(-1) / exists.sum(-1)
    return ((1 - smoothing) * right + smoothing * spread).mean()
