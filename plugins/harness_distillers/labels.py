"""Cross-entropy with the labels, over the classes that exist."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness import Batch


def cross_entropy(batch: Batch, smoothing: float) -> Tensor:
    """Mean over the labelled units; `smoothing` of the target is spread over the classes that exist in the unit.

    Logits [U, C], targets [U], -100 = unlabelled. Scalar.
    """
    if batch.exists is None or not smoothing:
        return F.cross_entropy(batch.logits, batch.targets, ignore_index=-100, label_smoothing=smoothing)
    labelled = batch.targets >= 0
    log = batch.logits.log_softmax(-1)[labelled]  # [V, C]
    exists = batch.exists[labelled]
    right = -log.gather(-1, batch.targets[labelled, None])[:, 0]
    spread = -log.masked_fill(~exists, 0).sum(-1) / exists.sum(-1)
    return ((1 - smoothing) * right + smoothing * spread).mean()
