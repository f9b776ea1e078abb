"""Labels only: the baseline of every distiller."""

from __future__ import annotations

from torch import Tensor

from harness import Batch, StageError
from harness_distillers.labels import cross_entropy
from harness_distillers.plugin import FinetuneParams


class Finetune:
    """The factory of `finetune`."""

    def loss(self, batch: Batch, params: FinetuneParams) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy, mean over the labelled units. StageError when a batch has none."""
        if not (batch.targets >= 0).any():
            msg = "finetune learns from labels, and a batch has none; distil on unlabelled data with 'kd'"
            raise StageError(msg)
        loss = cross_entropy(batch, params.label_smoothing)
        return loss, {"labels": loss.detach()}
