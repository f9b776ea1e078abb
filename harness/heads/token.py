"""Token: classes of words, read at the first token of each; the rest of a word's tokens say nothing.

The unit is the word, so a teacher with one tokenizer teaches a student with another. A text that is longer than a
window is cut into several that overlap; each word is answered for in one of them, where it has most context on its
poorer side.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.certainty import Weighting, combined
from harness.data import Predictions
from harness.heads import UNLABELLED, Lesson, Rows, check_alike, check_finite, classes
from harness.specs import Arrays, Batch, Encoded

if TYPE_CHECKING:
    from torch import Tensor


class TokenRules:
    """Logits [words, C] of each example; see `HeadRules`. What is said about a window is about its words, in order."""

    outputs: tuple[str, ...] = ("logits",)

    def read(self, windows: Sequence[Encoded], outputs: Arrays) -> list[np.ndarray]:
        """Logits [B, L, C] → those of each window's words, [words, C]."""
        logits = outputs["logits"]
        said = [row[positions(window)] for window, row in zip(windows, logits, strict=True)]
        check_finite(windows, [said])
        return said

    def join(self, windows: Sequence[Encoded], said: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
        """The words of each example, in their order."""
        of: list[list[np.ndarray]] = [[] for _ in range(count)]
        for window, output in zip(windows, said, strict=True):
            of[window.example or 0].append(output)
        return [outputs[0] if len(outputs) == 1 else np.concatenate(outputs) for outputs in of]

    def logits(self, said: np.ndarray) -> np.ndarray:
        """[words, C]."""
        return said

    def best(self, said: np.ndarray) -> tuple[int, ...]:
        """The class of each word."""
        return tuple(said.argmax(axis=-1).tolist())

    def targets(self, windows: Sequence[Encoded], targets: Sequence[Sequence[int] | None]) -> np.ndarray:
        """Class ids of words → [W, k]: those of the window's words, then UNLABELLED up to the longest window's k."""
        words = [word_numbers(window) for window in windows]
        rows = np.full((len(windows), max(map(len, words), default=0)), UNLABELLED, dtype=np.int64)
        for row, window, numbers in zip(rows, windows, words, strict=True):
            target = targets[window.example or 0]
            if target is not None:
                row[: len(numbers)] = np.asarray(target, dtype=np.int64)[numbers]
        return rows

    def kinds(self, targets: np.ndarray) -> np.ndarray:
        """Classes that occur."""
        return classes(targets)

    def lesson(self, predictions: Predictions, windows: Sequence[Encoded]) -> Lesson:
        """Stored logits of words → those of a batch's words, window after window, float32 [U, C]."""
        starts = predictions.starts()
        wanted = [word_numbers(window) + starts[window.example or 0] for window in windows]

        def taught(rows: Rows) -> np.ndarray:
            return np.asarray(predictions.values[np.concatenate([wanted[row] for row in rows])], dtype=np.float32)

        return taught

    def together(self, said: Sequence[np.ndarray], by: Weighting) -> tuple[np.ndarray, np.ndarray]:
        """Word by word, whatever the tokenizers."""
        check_alike(said)
        return combined(said, by=by)

    def units(self, values: Any, windows: Sequence[Encoded], tensor: Callable[[np.ndarray], Any]) -> Any:
        """Those where words begin, window after window."""
        places = [positions(window) for window in windows]
        rows = np.repeat(np.arange(len(windows)), [len(place) for place in places])  # [U]
        return values[tensor(rows), tensor(np.concatenate(places))]

    def batch(
        self,
        answer: Any,
        windows: Sequence[Encoded],
        targets: np.ndarray,
        lessons: Sequence[np.ndarray],
        tensor: Callable[[np.ndarray], Tensor],
    ) -> Batch:
        """Words of all windows, one after the other: logits [U, C], targets [U]."""
        counts = [len(positions(window)) for window in windows]
        wanted = np.concatenate([row[:count] for row, count in zip(targets, counts, strict=True)])
        taken = self.units(answer.logits, windows, tensor)  # [U, C]
        return Batch(taken.float(), tensor(wanted), tuple(tensor(lesson) for lesson in lessons))


def positions(window: Encoded) -> np.ndarray:
    """Where the words of a window begin, ascending, int64 [words]."""
    return np.flatnonzero(_places(window) >= 0)


def word_numbers(window: Encoded) -> np.ndarray:
    """Which words of the text they are, int64 [words]."""
    places = _places(window)
    return places[places >= 0].astype(np.int64)


def _places(window: Encoded) -> np.ndarray:
    assert window.places is not None  # noqa: S101 - encoders give places for this head
    return window.places


# ------------------------------------------------------------------------------------------------------------ windows


def stretches(lengths: Sequence[int], room: int) -> list[tuple[int, int, int, int]]:
    """Cut words of so many tokens into windows of at most `room` tokens.

    (first word, last + 1, first answered for, last + 1) of each window: neighbours share half of a window where words
    are short enough, and each word is answered for once, in the window where it has most context on its poorer side. A
    word of more than `room` tokens stands alone in its window.
    """
    ends = np.concatenate([[0], np.cumsum(lengths)])  # [words + 1]
    count = len(lengths)
    bounds: list[tuple[int, int]] = []
    first = 0
    while True:
        last = max(first + 1, int(np.searchsorted(ends, ends[first] + room, side="right")) - 1)
        bounds.append((first, min(last, count)))
        if last >= count:
            break
        middle = int(np.searchsorted(ends, (ends[first] + ends[last]) / 2, side="left"))
        first = min(max(middle, first + 1), last)
    return [(*bound, *own) for bound, own in zip(bounds, _owned(bounds, ends), strict=True)]


def _owned(bounds: Sequence[tuple[int, int]], ends: np.ndarray) -> list[tuple[int, int]]:
    """Between neighbours, words go to the left window up to the one that has as much context in the right one."""
    cuts = [bounds[0][0]]
    for (_, left_end), (right_start, _) in itertools.pairwise(bounds):
        middle = (ends[right_start] + ends[left_end]) / 2
        centres = (ends[right_start:left_end] + ends[right_start + 1 : left_end + 1]) / 2
        cuts.append(right_start + int(np.searchsorted(centres, middle, side="left")))
    return list(itertools.pairwise([*cuts, bounds[-1][1]]))
