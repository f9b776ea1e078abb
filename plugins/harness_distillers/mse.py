"""Regression on logits: Ba, Caruana 2014, arXiv 1312.6184; for recurrent students Tang et al. 2019, 1903.12136."""

from __future__ import annotations

from torch import Tensor

from harness import Batch
from harness_distillers.labels import mixed
from harness_distillers.plugin import MseParams
from harness_distillers.teachers import averaged


class Mse:
    """The factory of `mse`."""

    def loss(self, batch: Batch, params: MseParams) -> tuple[Tensor, dict[str, float | Tensor]]:
        """α·MSE(logits of student and teacher) + (1 - α)·CE(labels).

        The square is averaged over classes and units; with several teachers it is that to their mean logits. Of spans,
        only the positions that every teacher knows take part.
        """
        return mixed(batch, distance(batch), params.alpha, params.label_smoothing)


def distance(batch: Batch) -> Tensor:
    """Mean over classes and units of (student - mean of teachers, weighted if they are)². Logits [U, C]; scalar."""
    squares = (batch.logits - averaged(batch, batch.teachers)).square()  # [U, C]
    return squares.mean() if batch.covered is None else squares[batch.covered].mean()
