"""Cross-entropy and Dice: what is rare counts as much as what is common. Milletari et al., V-Net, arXiv 1606.04797.

For named entities: Li et al., Dice Loss for Data-imbalanced NLP Tasks, arXiv 1911.02855.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness import Batch, StageError
from harness_distillers.labels import cross_entropy
from harness_distillers.plugin import DiceParams

SMOOTH = 1.0  # added above and below: a class that nobody says and nobody has loses nothing


class Dice:
    """The factory of `dice`."""

    def loss(self, batch: Batch, params: DiceParams) -> tuple[Tensor, dict[str, float | Tensor]]:
        """(1 - weight)·CE + weight·Dice, both over the labelled units. StageError where a batch has none.

        Dice is the mean over layers and classes but the first ("nothing here") of 1 - (2Σpt + 1) / (Σp + Σt + 1), the
        sums over units: p the probability of the class, t 1 where it is the label.
        """
        if not (batch.targets >= 0).any():
            msg = "dice learns from labels, and a batch has none; distil on unlabelled data with 'mse' or 'kd'"
            raise StageError(msg)
        labels, far = cross_entropy(batch, params.label_smoothing), dice(batch)
        loss = (1 - params.weight) * labels + params.weight * far
        return loss, {"labels": labels.detach(), "dice": far.detach()}


def dice(batch: Batch) -> Tensor:
    """Scalar. Logits [U, C], targets [U]; U = words × `batch.layers`."""
    classes = batch.logits.shape[-1]
    known = (batch.targets >= 0).to(batch.logits.dtype)[:, None]  # [U, 1]
    said = (batch.logits.softmax(-1) * known).view(-1, batch.layers, classes)[..., 1:]  # [words, T, C - 1]
    wanted = torch.nn.functional.one_hot(batch.targets.clamp(min=0), classes).to(known.dtype) * known
    wanted = wanted.view(-1, batch.layers, classes)[..., 1:]
    shared, both = (said * wanted).sum(0), (said + wanted).sum(0)  # [T, C - 1]
    return (1 - (2 * shared + SMOOTH) / (both + SMOOTH)).mean()
