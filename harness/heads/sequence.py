"""Sequence: one class per example, which is one window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.certainty import Weighting, combined
from harness.data import Predictions
from harness.heads import UNLABELLED, Lesson, Rows, check_alike, check_finite, classes
from harness.specs import Arrays, Batch, Encoded

if TYPE_CHECKING:
    from torch import Tensor


class SequenceRules:
    """Logits [C] of each example; see `HeadRules`."""

    outputs: tuple[str, ...] = ("logits",)

    def read(self, windows: Sequence[Encoded], outputs: Arrays) -> list[np.ndarray]:
        """Logits [B, C] → each [C]."""
        check_finite(windows, [outputs["logits"]])
        return list(outputs["logits"])

    def join(self, windows: Sequence[Encoded], said: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
        """The same: an example is a window."""
        return list(said)

    def logits(self, said: np.ndarray) -> np.ndarray:
        """[C] → [1, C]."""
        return said[None]

    def best(self, said: np.ndarray) -> tuple[int, ...]:
        """The class."""
        return (int(said.argmax()),)

    def targets(self, windows: Sequence[Encoded], targets: Sequence[int | None]) -> np.ndarray:
        """Class ids → [W, 1]."""
        return np.array([UNLABELLED if target is None else target for target in targets], dtype=np.int64)[:, None]

    def kinds(self, targets: np.ndarray) -> np.ndarray:
        """Classes that occur."""
        return classes(targets)

    def lesson(self, predictions: Predictions, windows: Sequence[Encoded]) -> Lesson:
        """Rows of the stored logits [N, C] → float32 [B, C]."""

        def taught(rows: Rows) -> np.ndarray:
            return np.asarray(predictions.values[rows], dtype=np.float32)

        return taught

    def together(self, said: Sequence[np.ndarray], by: Weighting) -> tuple[np.ndarray, np.ndarray]:
        """The text as one unit."""
        check_alike(said)
        found, weights = combined([one[None] for one in said], by=by)
        return found[0], weights

    def units(self, values: Any, windows: Sequence[Encoded], tensor: Callable[[np.ndarray], Any]) -> Any:
        """Those of the first token [B, H], which speaks for the text."""
        return values[:, 0]

    def batch(
        self,
        answer: Any,
        windows: Sequence[Encoded],
        targets: np.ndarray,
        lessons: Sequence[np.ndarray],
        tensor: Callable[[np.ndarray], Tensor],
    ) -> Batch:
        """Logits [B, C], targets [B]."""
        return Batch(answer.logits.float(), tensor(targets[:, 0]), tuple(tensor(lesson) for lesson in lessons))
