"""Span: where an answer starts and ends, a distribution each over the tokens of a window and its null position.

A teacher of another tokenizer cuts other windows and other tokens. A student's window reads the teacher's window that
shares most characters of the context with it; within the two, a teacher token's start goes to the first student token
that holds its beginning and its end to the last one that holds its ending, several that meet in one student token add
up (logsumexp), null goes to null, and what only one of the two models sees is covered for neither. Equal tokenizers and
windows give the teacher's logits, bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.certainty import Weighting, combined
from harness.data import Predictions
from harness.errors import StageError
from harness.heads import MASKED, UNLABELLED, Lesson, Rows, check_finite
from harness.specs import Arrays, Batch, Encoded, SpanOutput

if TYPE_CHECKING:
    from torch import Tensor

NULL = 0  # the position that means "no answer in this window"


@dataclass(frozen=True)
class Taught:
    """What a teacher says about one window of a student. L = positions of the window."""

    logits: np.ndarray  # float32 [2, L]: starts, ends; MASKED where the teacher gives a covered token nothing
    covered: np.ndarray  # bool [L]: positions that both models see


class SpanRules:
    """`SpanOutput` of each example; see `HeadRules`."""

    outputs: tuple[str, ...] = ("start_logits", "end_logits")

    def read(self, windows: Sequence[Encoded], outputs: Arrays) -> list[SpanOutput]:
        """Start and end logits [B, L] → null and context tokens of each window."""
        starts, ends = (outputs[name] for name in self.outputs)
        check_finite(windows, [starts, ends])
        said = []
        for window, start, end in zip(windows, starts, ends, strict=True):
            positions = seen(window)
            places = _places(window)[positions]
            logits = np.stack([start[positions], end[positions]], axis=1).astype(np.float32, copy=False)
            said.append(SpanOutput(places, logits))
        return said

    def join(self, windows: Sequence[Encoded], said: Sequence[SpanOutput], count: int) -> list[SpanOutput]:
        """The windows of each example one after the other."""
        of: list[list[SpanOutput]] = [[] for _ in range(count)]
        for window, output in zip(windows, said, strict=True):
            of[window.example or 0].append(output)
        return [
            SpanOutput(np.concatenate([o.places for o in outputs]), np.concatenate([o.logits for o in outputs]))
            for outputs in of
        ]

    def logits(self, said: SpanOutput) -> np.ndarray:
        """[T, 2]."""
        return said.logits

    def best(self, said: SpanOutput) -> tuple[int, ...]:
        """The likeliest first character and the likeliest last, whatever the tokens are."""
        start, end = said.logits.argmax(axis=0)
        return int(said.places[start, 0]), int(said.places[end, 1])

    def targets(self, windows: Sequence[Encoded], targets: Sequence[tuple[int, int] | None]) -> np.ndarray:
        """Answers (begin, end) → positions [W, 2]; null where a window does not hold the whole answer."""
        return np.array([_target(window, targets[window.example or 0]) for window in windows], dtype=np.int64)

    def kinds(self, targets: np.ndarray) -> np.ndarray:
        """Refused: places are no kinds."""
        msg = "train.balance draws windows by their labels; answers that are places have none"
        raise StageError(msg)

    def lesson(self, predictions: Predictions, windows: Sequence[Encoded]) -> Lesson:
        """Stored outputs → `Taught` for each window of a batch."""
        outputs = predictions.per_example()

        def taught(rows: Rows) -> list[Taught]:
            return [align(outputs[windows[row].example or 0], windows[row]) for row in rows]

        return taught

    def together(self, said: Sequence[SpanOutput], by: Weighting) -> tuple[SpanOutput, np.ndarray]:
        """Each end of each window, by place in the text: at the tokens of who has most, the first of equals.

        A place that one of them does not see has no chance, as in training.
        """
        own = max(said, key=lambda one: len(one.places))
        found = [combined(*_in_window(said, own, rows), by=by) for rows in _windows(own.places)]
        logits = np.concatenate([ends.T for ends, _ in found])
        return SpanOutput(own.places, logits), np.concatenate([weights for _, weights in found], axis=1)

    def units(self, values: Any, windows: Sequence[Encoded], tensor: Callable[[np.ndarray], Any]) -> Any:
        """Refused: tokens of two tokenizers have no states in common."""
        msg = "hidden states are compared per text or per word, not for the head 'span'"
        raise StageError(msg)

    def batch(
        self,
        answer: Any,
        windows: Sequence[Encoded],
        targets: np.ndarray,
        lessons: Sequence[Sequence[Taught]],
        tensor: Callable[[np.ndarray], Tensor],
    ) -> Batch:
        """Starts, then ends: logits [2B, L] in which only null and context have a chance, targets [2B]."""
        import torch

        logits = torch.cat([answer.start_logits, answer.end_logits]).float()  # [2B, L]
        exists = tensor(_padded([_seen_mask(window) for window in windows], logits.shape[1], fill=False))  # [B, L]
        exists = torch.cat([exists, exists])
        teachers, covered = _stacked(lessons, logits.shape[1])
        return Batch(
            logits=logits.masked_fill(~exists, MASKED),
            targets=tensor(np.concatenate([targets[:, 0], targets[:, 1]])),
            teachers=tuple(tensor(teacher) for teacher in teachers),
            exists=exists,
            covered=None if covered is None else tensor(covered),
        )


def _places(window: Encoded) -> np.ndarray:
    assert window.places is not None  # noqa: S101 - encoders give places for this head
    return window.places


def _seen_mask(window: Encoded) -> np.ndarray:
    """Bool [L]: null and the tokens of the context; neither question nor padding."""
    mask = _places(window)[:, 0] >= 0
    mask[NULL] = True
    return mask


def seen(window: Encoded) -> np.ndarray:
    """Positions of null and of the context's tokens, ascending."""
    return np.flatnonzero(_seen_mask(window))


def _target(window: Encoded, answer: tuple[int, int] | None) -> tuple[int, int]:
    """The token that holds the answer's first character and the one that holds its last."""
    if answer is None:
        return UNLABELLED, UNLABELLED
    places, (begin, end) = _places(window), answer
    inside = np.flatnonzero(places[:, 0] >= 0)
    if not len(inside) or places[inside[0], 0] > begin or places[inside[-1], 1] < end:
        return NULL, NULL
    start = inside[np.searchsorted(places[inside, 1], begin, side="right")]  # the first token that ends after it begins
    last = inside[np.searchsorted(places[inside, 0], end, side="left") - 1]  # the last one that begins before it ends
    return int(start), max(int(start), int(last))


def _padded(rows: Sequence[np.ndarray], length: int, fill: float) -> np.ndarray:
    """Rows of natural length [… , ≤ length] → [B, …, length]."""
    shape = (len(rows), *rows[0].shape[:-1], length)
    padded = np.full(shape, fill, dtype=rows[0].dtype)
    for row, values in zip(padded, rows, strict=True):
        row[..., : values.shape[-1]] = values
    return padded


def _stacked(lessons: Sequence[Sequence[Taught]], length: int) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Each teacher's [2B, L], and what all of them cover, [2B, L]."""
    if not lessons:
        return [], None
    logits = [_padded([taught.logits for taught in lesson], length, fill=MASKED) for lesson in lessons]  # [B, 2, L]
    covered = np.logical_and.reduce(
        [_padded([taught.covered for taught in lesson], length, fill=False) for lesson in lessons]
    )
    return [np.concatenate([one[:, 0], one[:, 1]]) for one in logits], np.concatenate([covered, covered])


# ---------------------------------------------------------------------------------------------------------- alignment


def align(teacher: SpanOutput, window: Encoded) -> Taught:
    """What the teacher says about a student's window. An empty window knows null alone."""
    positions = seen(window)
    places = _places(window)[positions[1:]]  # int32 [S, 2]
    rows = _best_window(teacher.places, places)
    token_places, token_logits = teacher.places[rows][1:], teacher.logits[rows][1:]  # [T, 2]
    logits = np.full((2, window.length), MASKED, dtype=np.float32)
    covered = np.zeros(window.length, dtype=bool)
    logits[:, NULL], covered[NULL] = teacher.logits[rows][0], True
    if np.array_equal(token_places, places):  # also where several tokens stand at one place, as bytes of a character do
        logits[:, positions[1:]], covered[positions[1:]] = token_logits.T, True
        return Taught(logits, covered)
    owners = start_owners(token_places, places), end_owners(token_places, places)
    for side, owner in enumerate(owners):
        sums = _add_up(token_logits[:, side], owner, len(places))
        logits[side, positions[1:]] = sums
    covered[positions[1:]] = _overlaps(places, token_places)
    return Taught(logits, covered)


def _in_window(said: Sequence[SpanOutput], own: SpanOutput, rows: slice) -> tuple[list[np.ndarray], np.ndarray]:
    """Logits [2, L] of every teacher in one's own window, bool [2, L] of what all of them see there."""
    window = Encoded({}, rows.stop - rows.start, places=own.places[rows])
    whole = Taught(own.logits[rows].T, np.ones(window.length, dtype=bool))
    lessons = [whole if one is own else align(one, window) for one in said]
    known = np.logical_and.reduce([lesson.covered for lesson in lessons])
    return [np.where(known, lesson.logits, np.float32(MASKED)) for lesson in lessons], np.stack([known, known])


def _windows(places: np.ndarray) -> list[slice]:
    """Rows of each window of an output, which begins with its null."""
    bounds = [*np.flatnonzero(places[:, 0] < 0).tolist(), len(places)]
    return [slice(a, b) for a, b in itertools.pairwise(bounds)]


def _best_window(teacher: np.ndarray, student: np.ndarray) -> slice:
    """Rows of the teacher's window that shares most characters with the student's; the earlier of equals."""
    windows = _windows(teacher)
    if len(windows) == 1 or not len(student):
        return windows[0]
    begin, end = student[0, 0], student[-1, 1]
    shared = [
        min(end, teacher[rows.stop - 1, 1]) - max(begin, teacher[rows.start + 1, 0])
        if rows.stop > rows.start + 1
        else 0
        for rows in windows
    ]
    return windows[int(np.argmax(shared))]


def start_owners(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """For each teacher token [T, 2] the student token [S, 2] that takes its start; -1: none. int64 [T].

    It is the first student token that begins inside the teacher token or holds all of it.
    """
    if not len(student):
        return np.full(len(teacher), -1)
    begin, end = teacher[:, 0], teacher[:, 1]
    holder = np.searchsorted(student[:, 0], begin, side="right") - 1  # the last that begins at or before it
    holder = np.searchsorted(student[:, 0], student[np.maximum(holder, 0), 0], side="left")  # the first of equal begins
    whole = (student[holder, 0] <= begin) & (student[holder, 1] >= end)
    inside = np.searchsorted(student[:, 0], begin, side="left")
    starts_inside = (inside < len(student)) & (student[np.minimum(inside, len(student) - 1), 0] < end)
    return np.where(whole, holder, np.where(starts_inside, inside, -1))


def end_owners(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """The same for ends: the last student token that ends inside the teacher token or holds all of it."""
    mirrored = -start_owners(-teacher[::-1, ::-1], -student[::-1, ::-1])[::-1] + len(student) - 1
    return np.where(mirrored == len(student), -1, mirrored)


def _add_up(logits: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """Log of the sum of exp of the logits [T] by owner → [count]; MASKED without any, exact with a single one."""
    kept = owner >= 0
    most = np.full(count, -np.inf, dtype=np.float32)
    np.maximum.at(most, owner[kept], logits[kept])
    sums = np.zeros(count, dtype=np.float32)
    np.add.at(sums, owner[kept], np.exp(logits[kept] - most[owner[kept]]))
    found = np.isfinite(most)
    return np.where(found, most + np.log(np.where(found, sums, 1)), np.float32(MASKED)).astype(np.float32)


def _overlaps(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Does any teacher token share a character with the student token? Bool [S]."""
    if not len(teacher) or not len(student):
        return np.zeros(len(student), dtype=bool)
    after = np.searchsorted(
        teacher[:, 1], student[:, 0], side="right"
    )  # the first teacher token that ends after it begins
    found = teacher[np.minimum(after, len(teacher) - 1)]
    return (after < len(teacher)) & (found[:, 0] < student[:, 1])
