"""Figures on the page: every one leads to its evidence, and where there is none a dash leads to the reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.leaderboard.model import Board, Class, Entry, Spread
from harness.leaderboard.page_html import Html, escaped, link, place_name
from harness.reports import format as fmt
from harness.reports.model import Absent, Figure, Ranged
from harness.specs import Metric
from harness.statistics import Interval

UNREAL = Absent("the record holds no finite number")
UNTIMED = Absent("measured on no machine beside its anchor")
UNRANKED = Absent("its quality cannot be ranked")
UNSCORED = Absent("was not scored by this metric")
NOISE = "≈"
OFTEN = 10  # entries with the same note
_TINY, _HUGE = 1e-9, 1e12  # what no figure of a model reaches is shortened, so that no cell is as long as its number


@dataclass(frozen=True)
class Footnotes:
    """Reasons in the order in which the page needs them; each stands once."""

    numbers: dict[str, int] = field(default_factory=dict)

    def dash(self, absent: Absent) -> Html:
        """In place of a figure."""
        number = self.numbers.setdefault(absent.reason, len(self.numbers) + 1)
        return link(f"why-{number}", fmt.DASH, title=escaped(absent.reason))


@dataclass(frozen=True)
class Context:
    """What all parts of the page read: how things are called on it, and how much room a figure has."""

    records: dict[str, int]  # id of an Evidence → its number on the page
    machines: dict[str, int]
    families: tuple[str, ...]  # that have a colour
    roomy: bool  # few enough figures of single machines for tables of them, and for more than what ranks
    notes: dict[str, int]  # what is said so often that it is said once, and its number
    footnotes: Footnotes = field(default_factory=Footnotes)

    def to_record(self, id_: str, *shown: object) -> Html:
        """A link to what stands behind a figure."""
        number = self.records.get(id_)
        return escaped(shown[0]) if number is None else link(f"r{number}", *shown)


def context(board: Board, roomy: int, colours: int) -> Context:
    """`roomy`: up to how many figures of single machines are all shown; `colours`: how many families have one."""
    entries = [entry for class_ in board.classes for entry in class_.entries]
    timed = sum(len(entry.timed) for entry in entries)
    families = _by_number(entry.student for entry in entries if entry.student)
    notes = _by_number(note for entry in entries for note in entry.notes)
    often = (note for note, count in notes.items() if count > OFTEN)
    return Context(
        records={one.id: number for number, one in enumerate(board.evidence, start=1)},
        machines={one.id: number for number, one in enumerate(board.machines, start=1)},
        families=tuple(families)[:colours],
        roomy=timed <= roomy,
        notes={note: number for number, note in enumerate(often, start=1)},
    )


def _by_number(texts: Iterable[str]) -> dict[str, int]:
    """How often each occurs, the most frequent first."""
    return dict(sorted(Counter(texts).items(), key=lambda pair: (-pair[1], pair[0])))


# --------------------------------------------------------------------------------------------------------------- values


def real(value: Figure) -> Figure:
    """The figure, or why there is none: what is no finite number is absent."""
    return value if isinstance(value, Absent) or math.isfinite(value) else UNREAL


def real_range(value: Ranged) -> Ranged:
    """As `real`, for the value and both bounds."""
    if isinstance(value, Absent) or all(map(math.isfinite, (value.value, value.low, value.high))):
        return value
    return UNREAL


def score(entry: Entry, metric: Metric) -> Ranged:
    """As shown: percent where the metric is."""
    found = entry.scores.get(metric.name, UNSCORED)
    if isinstance(found, Absent):
        return found
    factor = 100 if metric.unit == "%" else 1
    return real_range(Interval(found.value * factor, found.low * factor, found.high * factor))


def ratio(entry: Entry, of: str) -> Ranged:
    """Of `request` or `forward`: over machines the median, the least and the most; of one machine its interval."""
    found: Spread | None = getattr(entry, of)
    if found is None:
        return UNTIMED
    if len(entry.timed) == 1:
        return real_range(getattr(entry.timed[0], of))
    return real_range(Interval(found.value, found.low, found.high))


def ratio_sources(entry: Entry, of: str) -> tuple[str, str, str]:
    """The records of the machines that are nearest to what is shown: the median, the least and the most."""
    found: Spread | None = getattr(entry, of)
    values = [
        (value.value, timed.evidence) for timed in entry.timed if not isinstance(value := getattr(timed, of), Absent)
    ]
    if found is None or not values:
        return "", "", ""
    middle, low, high = (
        min(values, key=lambda pair: abs(pair[0] - end))[1] for end in (found.value, found.low, found.high)
    )
    return middle, low, high


def places(class_: Class) -> dict[str, str]:
    """Id of an entry → `4`, or `1–3` where the data cannot tell three entries apart."""
    ranks = sorted(entry.place for entry in class_.entries if entry.place is not None)
    first: dict[int, int] = {}
    for position, rank in enumerate(ranks, start=1):
        first.setdefault(rank, position)
    shown = {rank: _span(start, ranks.count(rank)) for rank, start in first.items()}
    return {entry.id: shown[entry.place] for entry in class_.entries if entry.place is not None}


def _span(start: int, count: int) -> str:
    return str(start) if count == 1 else f"{start}–{start + count - 1}"


# ---------------------------------------------------------------------------------------------------------------- texts


def number(value: float, text: Callable[[float], str]) -> str:
    """As `text` writes it, or with an exponent where it is beyond anything that a model has."""
    usual = value == 0 or _TINY < abs(value) < _HUGE
    return text(value) if usual else f"{value:.2e}".replace("-", fmt.MINUS)


def times(value: float) -> str:
    """A ratio: `1.0`, `13`, `0.64`."""
    return number(value, lambda shown: fmt.significant(shown, 2 if abs(shown) < 100 else 3))


def millions(value: float) -> str:
    """A count in millions."""
    return number(value / 1e6, lambda found: fmt.significant(found, 3 if found >= 1 else 2))


def score_texts(class_: Class, metric: Metric) -> Callable[[float], str]:
    """A metric's values in a class, all with the same number of decimals."""
    found = [score(entry, metric) for entry in class_.entries]
    places_ = min(4, fmt.decimals(fmt.half_width(value) for value in found if not isinstance(value, Absent)))
    return lambda value: number(value, lambda shown: fmt.fixed(shown, places_))


def bounds(interval: Interval, text: Callable[[float], str]) -> str:
    """`81.9–84.2`; `−0.4 to 0.2` where a sign would be taken for the dash."""
    low, high = text(interval.low), text(interval.high)
    return f"{low}{dash(low, high)}{high}"


def dash(low: str, high: str) -> str:
    """What stands between two bounds."""
    return " to " if fmt.MINUS in low + high else "–"


def percent(metric: Metric) -> str:
    """`accuracy, %`."""
    return f"{metric.name}, {metric.unit}" if metric.unit else metric.name


def entry_place(entry: Entry) -> str:
    """Where an entry's row is."""
    return place_name("e", entry.id)
