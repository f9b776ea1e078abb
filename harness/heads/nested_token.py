"""Nested token: for every type a layer of BILOU classes over words, so that spans of different types may nest or cross.

What is said about a word are 5·T figures, T types of (O, B, I, L, U); each type of a word is a unit of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.certainty import Weighting, combined
from harness.heads import UNLABELLED, check_alike
from harness.heads.token import TokenRules, positions, word_numbers
from harness.specs import Batch, Encoded

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = 5  # O, B, I, L, U


class NestedTokenRules(TokenRules):
    """Logits [words, 5·T] of each example; see `HeadRules`."""

    def best(self, said: np.ndarray) -> tuple[int, ...]:
        """The class of each word in each layer."""
        return tuple(said.reshape(-1, CLASSES).argmax(axis=-1).tolist())

    def targets(self, windows: Sequence[Encoded], targets: Sequence[Any]) -> np.ndarray:
        """Class ids of words and types → int8 [W, k, T]: of the window's words, then UNLABELLED."""
        types = next((np.shape(target)[1] for target in targets if target is not None and len(target)), 0)
        words = [word_numbers(window) for window in windows]
        rows = np.full((len(windows), max(map(len, words), default=0), types), UNLABELLED, dtype=np.int8)
        for row, window, numbers in zip(rows, windows, words, strict=True):
            target = targets[window.example or 0]
            if target is not None and len(numbers):
                row[: len(numbers)] = np.asarray(target, dtype=np.int8)[numbers]
        return rows

    def kinds(self, targets: np.ndarray) -> np.ndarray:
        """Types that have a mention there."""
        return np.asarray((targets > 0).any(axis=1))

    def together(self, said: Sequence[np.ndarray], by: Weighting) -> tuple[np.ndarray, np.ndarray]:
        """Layer by layer of each word."""
        check_alike(said)
        found, weights = combined([one.reshape(-1, CLASSES) for one in said], by=by)
        return found.reshape(said[0].shape), weights

    def batch(
        self,
        answer: Any,
        windows: Sequence[Encoded],
        targets: np.ndarray,
        lessons: Sequence[np.ndarray],
        tensor: Callable[[np.ndarray], Tensor],
    ) -> Batch:
        """Types of words of all windows: logits [U, 5], targets [U], with U = words × T."""
        taken = self.units(answer.logits, windows, tensor)  # [words, 5·T]
        types = taken.shape[-1] // CLASSES
        counts = [len(positions(window)) for window in windows]
        known = targets if targets.shape[2] else np.full((len(windows), max(counts), types), UNLABELLED)
        wanted = np.concatenate([row[:count].ravel() for row, count in zip(known, counts, strict=True)]).astype(
            np.int64
        )
        teachers = tuple(tensor(lesson.reshape(-1, CLASSES)) for lesson in lessons)
        return Batch(taken.float().reshape(-1, CLASSES), tensor(wanted), teachers, layers=types)
