"""A study's conclusions, each judged by the whole interval of what this run found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.reports.courses import spread
from harness.reports.model import Absent, Claim, Ranged, Row, Theirs
from harness.reports.published import REHEARSAL
from harness.reports.quality import Scored, compared
from harness.reports.study import find, millions, named
from harness.reports.tables import scaled
from harness.specs import Metric
from harness.statistics import Interval, paired_difference, paired_ratio
from harness.suite.types import BARS, TIMES, TRAINING

Json = Mapping[str, Any]
Side = Row | Theirs
NO_FORM = "not judged: no checkable form"
_WORDS = {
    "ratio_at_least": "at least",
    "ratio_at_most": "at most",
    "difference_at_least": "at least",
    "difference_at_most": "at most",
    "difference_above": "above",
    "difference_below": "below",
    "within": "within ±",
}
_SIZES = {"size": ("size_mib", "MiB", "× smaller"), "parameters": ("parameters_millions", "millions", "× fewer")}


@dataclass(frozen=True)
class Evidence:
    """What claims are judged from."""

    rows: Sequence[Row]
    theirs: Sequence[Theirs]
    metrics: Mapping[str, Metric]
    scored: Callable[[Row], Scored | Absent]
    faster: Callable[[str, Row, Row], Ranged]  # kind of time, row, than → how many times faster
    foreign: str  # why quality is not judged, or nothing


def judge(documents: Sequence[Json], evidence: Evidence) -> tuple[Claim, ...]:
    """One claim per document, in the suite's order."""
    return tuple(_claim(document, evidence) for document in documents)


def _claim(document: Json, evidence: Evidence) -> Claim:
    text, source = str(document["text"]), str(document["source"])
    bar = next((name for name in BARS if name in document), None)
    if bar is None or not {"row", "than", "quantity"} <= set(document):
        nothing = Absent("no checkable form")
        return Claim(text=text, source=source, compared="", quantity="", condition="", found=nothing, verdict=NO_FORM)
    quantity, wanted = str(document["quantity"]), float(document[bar])
    found = _found(document, quantity, bar, evidence)
    return Claim(
        text=text,
        source=source,
        compared=f"{_label(document['row'], evidence)} with {_label(document['than'], evidence)}",
        quantity=_shown(quantity, bar, evidence.metrics),
        condition=f"{_WORDS[bar]} {wanted:g}".replace("± ", "±").replace("-", "−"),
        found=found,
        verdict=f"not judged: {found.reason}" if isinstance(found, Absent) else verdict(found, bar, wanted),
    )


def verdict(found: Interval, bar: str, wanted: float) -> str:
    """Supported: the whole interval keeps to the bar. Contradicted: none of it does."""
    if bar.endswith(("above", "below")):  # the bar itself does not: two equal rows differ by exactly 0
        low, high = (found.low, found.high) if bar.endswith("above") else (-found.high, -found.low)
        least = wanted if bar.endswith("above") else -wanted
        return "supported" if low > least else "contradicted" if high <= least else "undecided"
    low, high = -float("inf"), float("inf")
    if bar.endswith("at_least"):
        low = wanted
    elif bar.endswith("at_most"):
        high = wanted
    else:
        low, high = -wanted, wanted
    if low <= found.low and found.high <= high:
        return "supported"
    return "contradicted" if found.high < low or found.low > high else "undecided"


def _label(wanted: Any, evidence: Evidence) -> str:
    found = find(wanted, evidence.rows) if isinstance(wanted, Mapping) else None
    return found.label if isinstance(found, Row) else named(wanted)


def _shown(quantity: str, bar: str, metrics: Mapping[str, Metric]) -> str:
    """`× faster, request`, `em, points`, `× smaller`, `size, MiB`."""
    ratio = bar.startswith("ratio")
    if quantity in TIMES:
        return f"× faster, {quantity}"
    if quantity == TRAINING:
        return "× longer, training"
    if quantity in _SIZES:
        _, unit, times = _SIZES[quantity]
        return f"{times}, {quantity}" if ratio else f"Δ {quantity}, {unit}"
    unit = metrics[quantity].unit if quantity in metrics else ""
    points = {"%": ", points", "": ""}.get(unit, f", {unit}")
    return f"{quantity}, ratio" if ratio else f"Δ {quantity}{points}"


def _found(document: Json, quantity: str, bar: str, evidence: Evidence) -> Ranged:
    """What is compared with the bar, in the bar's unit; why there is nothing to compare."""
    quality = quantity not in (*TIMES, TRAINING, *_SIZES)
    if evidence.foreign and (quality or evidence.foreign == REHEARSAL):
        return Absent(evidence.foreign)
    if quality and quantity not in evidence.metrics:
        return Absent(f"{quantity} is no metric of the task")
    row, than = (_side(document[key], evidence) for key in ("row", "than"))
    if isinstance(row, Absent):
        return row
    return than if isinstance(than, Absent) else _between(row, than, quantity, bar, evidence)


def _between(row: Side, than: Side, quantity: str, bar: str, evidence: Evidence) -> Ranged:
    if quantity in TIMES:
        return _time(row, than, quantity, evidence)
    if quantity == TRAINING:
        return _apart(_trained(row), _trained(than), ratio=True)
    if quantity in _SIZES:
        return _size(row, than, quantity, bar)
    return _quality(row, than, quantity, bar, evidence)


def _side(wanted: Any, evidence: Evidence) -> Side | Absent:
    if isinstance(wanted, Mapping):
        found = find(wanted, evidence.rows)
        return Absent(f"{named(wanted)}: {found.reason}") if isinstance(found, Absent) else found
    outsider = next((row for row in evidence.theirs if row.axes is None and row.label == wanted), None)
    return outsider or Absent(f"{wanted}: not published here")


def _time(row: Side, than: Side, kind: str, evidence: Evidence) -> Ranged:
    if isinstance(row, Row) and isinstance(than, Row):
        return evidence.faster(kind, row, than)
    return Absent("times of other hardware")


def _trained(side: Side) -> Ranged:
    """Seconds of a row's own steps: mean, least and most over seeds."""
    if isinstance(side, Theirs):
        return Absent("times of other hardware")
    return spread([*side.training.seconds.values()]) if side.training.seconds else Absent(f"{side.label}: not trained")


def _size(row: Side, than: Side, quantity: str, bar: str) -> Ranged:
    mine, other = _weight(row, quantity), _weight(than, quantity)
    return _apart(other, mine, ratio=True) if bar.startswith("ratio") else _apart(mine, other, ratio=False)


def _weight(side: Side, quantity: str) -> Ranged:
    name, _, _ = _SIZES[quantity]
    if isinstance(side, Theirs):
        return _published(side, name)
    value = side.size.model_mib if quantity == "size" else millions(side)
    return value if isinstance(value, Absent) else Interval(value, value, value)


def _quality(row: Side, than: Side, quantity: str, bar: str, evidence: Evidence) -> Ranged:
    """Paired where both rows are ours."""
    factor = 100 if evidence.metrics[quantity].unit == "%" else 1
    ratio = bar.startswith("ratio")
    if isinstance(row, Row) and isinstance(than, Row):
        how = paired_ratio if ratio else paired_difference
        found = compared(evidence.scored(row), evidence.scored(than), quantity, how)
        return found if ratio else scaled(found, factor)
    mine, other = (
        _published(side, quantity) if isinstance(side, Theirs) else scaled(side.quality[quantity].interval, factor)
        for side in (row, than)
    )
    return _apart(mine, other, ratio=ratio)


def _published(side: Theirs, name: str) -> Ranged:
    value = side.figures.get(name)
    return Absent(f"{side.label}: no {name} was published") if value is None else Interval(value, value, value)


def _apart(one: Ranged, other: Ranged, *, ratio: bool) -> Ranged:
    """Difference or quotient of figures that are not paired, the widest that their intervals allow."""
    if isinstance(one, Absent) or isinstance(other, Absent):
        return one if isinstance(one, Absent) else other
    if not ratio:
        return Interval(one.value - other.value, one.low - other.high, one.high - other.low)
    if other.low <= 0:
        return Absent("a ratio to nothing")
    return Interval(one.value / other.value, one.low / other.high, one.high / other.low)
