"""What a reader came for, in a sentence per class: who is best, and who is as good for less."""

from __future__ import annotations

from collections.abc import Callable

from harness.leaderboard.model import Board, Class, Entry
from harness.plain import plain
from harness.reports import format as fmt
from harness.reports.summary import shown
from harness.statistics import Interval

CHEAPER = 1.05  # times faster or smaller than the best, from where it is worth a word


def sentences(board: Board) -> list[str]:
    """One printable line per class, for a terminal and for the head of a table."""
    return [plain(sentence(class_), longest=1000) for class_ in board.classes]


def sentence(class_: Class) -> str:
    """`rureviews · accuracy: a is best with 75.3 % [73.7, 76.9]; …`."""
    first = [entry for entry in class_.entries if entry.place == 1]
    if not first:
        return f"{class_.title}: none of its {_count(len(class_.entries), 'row')} can be ranked."
    best = max(first, key=lambda entry: _value(entry, class_))
    named = f"{best.label} is best with {_score(best, class_)}"
    if len(first) == 1:
        return f"{class_.title}: {named}{_gains(best, class_)}; no other row of {len(class_.entries)} comes near."
    told = (
        f"{class_.title}: {named}, which cannot be told from {_count(len(first) - 1, 'other')} of "
        f"{len(class_.entries)} rows"
    )
    cheap = _cheap(first, best)
    return f"{told}; {cheap}." if cheap else f"{told}."


def _cheap(first: list[Entry], best: Entry) -> str:
    """Who of those that share the first place is the fastest, and who the smallest."""
    fast, small = _most(first, best, _speed), _most(first, best, _size)
    speed = f"{fmt.times(_speed(fast))}× the anchor's speed" if fast else ""
    size = f"1/{fmt.times(_size(small))} of its size" if small else ""
    if fast and fast is small:
        return f"of these {fast.label} is the fastest and the smallest, at {speed} and {size}"
    parts = [f"{fast.label} is the fastest, at {speed}"] if fast else []
    parts += [f"{small.label} {'' if fast else 'is '}the smallest, at {size}"] if small else []
    return f"of these {', and '.join(parts)}" if parts else ""


def _most(first: list[Entry], best: Entry, gain: Callable[[Entry], float]) -> Entry | None:
    """Who gains most, the best itself where others gain no more to speak of; None where nobody's gain is known."""
    entry = max(first, key=gain)
    if not gain(entry):
        return None
    return best if gain(entry) < CHEAPER * gain(best) else entry


def _gains(entry: Entry, class_: Class) -> str:
    if entry.anchor or class_.anchor is None:
        return ""
    speed = f" at {fmt.times(_speed(entry))}× the anchor's speed" if entry.request is not None else ""
    size = f"1/{fmt.times(_size(entry))} of its size" if isinstance(entry.times_smaller, float) else ""
    return f"{speed}{' and ' if speed and size else ' at ' if size else ''}{size}"


def _speed(entry: Entry) -> float:
    return entry.request.value if entry.request is not None else 0.0


def _size(entry: Entry) -> float:
    return entry.times_smaller if isinstance(entry.times_smaller, float) else 0.0


def _value(entry: Entry, class_: Class) -> float:
    metric = class_.metrics[0]
    found = entry.scores[metric.name]
    value = found.value if isinstance(found, Interval) else float("-inf")
    return value if metric.higher_is_better else -value


def _score(entry: Entry, class_: Class) -> str:
    found = entry.scores[class_.metrics[0].name]
    return shown(found, class_.metrics[0]) if isinstance(found, Interval) else "an unknown score"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
