"""How trainings went: dev over epochs, time against the cheapest model's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.reports import format as fmt
from harness.reports.escape import markdown
from harness.reports.model import Absent, AxisValue, Figure, Report, Row
from harness.reports.tables import Content, Lines, Shown, figure, table
from harness.specs import Metric
from harness.statistics import Interval

_OWN = ("model", "compress")
UNMATCHED = Absent("the cheapest model was not trained so")


@dataclass(frozen=True, kw_only=True)
class Time:
    """What one training took, seconds: mean, least and most over its seeds."""

    row: Row
    label: str
    epochs: int  # of all its steps, in the first seed
    seconds: Interval
    ratio: Figure  # to the least of the cheapest model


def trained_rows(report: Report, leave_out: Iterable[str] = ("compress",)) -> list[Row]:
    """A row for each training; of those that differ in nothing but these axes the one with most epochs."""
    found: dict[str, Row] = {}
    for row in report.rows:
        if row.training.seconds:
            hidden = left_out(row, leave_out)
            others = repr({axis: value for axis, value in row.axes.items() if axis not in hidden})
            if others not in found or _epochs(row) > _epochs(found[others]):
                found[others] = row
    return list(found.values())


def training_label(row: Row, leave_out: Iterable[str] = ("compress",)) -> str:
    """The row's label without these axes."""
    hidden = ("model", *left_out(row, leave_out))
    rest = [f"{axis}={value}" for axis, value in row.axes.items() if axis not in hidden and value is not None]
    return " · ".join([str(row.axes["model"]), *rest])


def left_out(row: Row, axes: Iterable[str]) -> list[str]:
    """Those of the axes that say nothing about a row's training: its chain does where it trains."""
    return [axis for axis in axes if axis != "compress" or not row.training.recovered]


def last(row: Row) -> list[float]:
    """The primary metric on dev after the row's last epoch, by seed; empty where it was not judged."""
    return [course[-1][1] for course in _dev(row)]


def peak(row: Row, metric: Metric) -> list[float]:
    """The best on dev whenever the row's training was judged, by seed."""
    best = max if metric.higher_is_better else min
    return [best(value for _, value in course) for course in _dev(row)]


def judged_within(row: Row) -> bool:
    """Whether dev was judged inside epochs too."""
    return any(epoch.get("within") for steps in row.training.epochs.values() for step in steps for epoch in step)


def dev_course(row: Row) -> list[tuple[float, Interval]]:
    """(epochs trained, dev: mean, least and most over seeds) for the times at which all seeds were judged.

    Steps of a training follow each other.
    """
    courses = [dict(course) for course in _dev(row)]
    shared = [at for at in courses[0] if all(at in course for course in courses)] if courses else []
    return [(at, spread([course[at] for course in courses])) for at in shared]


def _dev(row: Row) -> list[list[tuple[float, float]]]:
    """[(epochs trained, dev), …] by seed; none of a seed that was not judged."""
    found = [_course([epoch for step in steps for epoch in step]) for steps in row.training.epochs.values()]
    return [course for course in found if course]


def _course(epochs: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    if any(epoch.get("dev") is None for epoch in epochs):
        return []
    found: list[tuple[float, float]] = []
    for number, epoch in enumerate(epochs):
        found += [(number + step / epoch["steps"], dev) for step, dev in epoch.get("within") or []]
        found.append((number + 1.0, epoch["dev"]))
    return found


def _epochs(row: Row) -> int:
    return max((sum(map(len, steps)) for steps in row.training.epochs.values()), default=0)


def spread(values: Sequence[float]) -> Interval:
    """Mean, least and most."""
    return Interval(sum(values) / len(values), min(values), max(values))


def over_seeds(values: Sequence[float], show: Callable[[float], str]) -> Shown:
    """`75.1 (74.8–75.3)`: mean, least and most over seeds."""
    return _ranged(spread(values), show)


def _ranged(found: Interval, show: Callable[[float], str]) -> Shown:
    return Shown(show(found.value) + ("" if found.low == found.high else f" ({show(found.low)}–{show(found.high)})"))


# --------------------------------------------------------------------------------------------------------------- time


def times(report: Report) -> tuple[str, tuple[Time, ...]]:
    """Every training of the table beside the least that the cheapest model took, and what that is in words.

    Compared are rows with equal values of the axes that all of them have (training size, epoch).
    """
    rows = trained_rows(report)
    if not rows:
        return "", ()
    shared = [axis for axis in rows[0].axes if axis not in _OWN and all(row.axes[axis] is not None for row in rows)]
    model = min(rows, key=_mean_seconds).axes["model"]
    least: dict[tuple[AxisValue, ...], float] = {}
    for row in rows:
        if row.axes["model"] == model:
            place = tuple(row.axes[axis] for axis in shared)
            least[place] = min(_mean_seconds(row), least.get(place, math.inf))
    order = list(dict.fromkeys(row.axes["model"] for row in rows))
    rows.sort(key=lambda row: (order.index(row.axes["model"]), _mean_seconds(row)))
    found = tuple(_time(row, least.get(tuple(row.axes[axis] for axis in shared), 0.0)) for row in rows)
    return f"{model}, same {' and '.join(shared)}" if shared else str(model), found


def _time(row: Row, least: float) -> Time:
    seconds = spread([*row.training.seconds.values()])
    ratio = seconds.value / least if least else UNMATCHED
    return Time(row=row, label=training_label(row), epochs=_epochs(row), seconds=seconds, ratio=ratio)


def _mean_seconds(row: Row) -> float:
    return spread([*row.training.seconds.values()]).value


def time_table(report: Report) -> Lines:
    """Where the suite asks for it: what each training took beside the cheapest model's."""
    base, found = times(report)
    if not found or "time" not in report.figures:
        return []
    lines: list[list[Content]] = [
        [time.label, Shown(str(time.epochs)), _ranged(time.seconds, fmt.seconds), figure(time.ratio, fmt.times)]
        for time in found
    ]
    note = (
        "Training time: own steps, mean over seeds, in parentheses the least and the most. ×: times the least of "
        f"{markdown(base)}. Workers may have shared the machine."
    )
    return [note, "", *table(["training", Shown("epochs"), Shown("time ↓"), Shown("× ↓")], lines, "lrrr")]
