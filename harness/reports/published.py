"""Published figures beside ours, with a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.reports.model import Absent, Figure, Published, Ranged, Ratio, Row, Theirs
from harness.reports.study import find, millions, minutes, per_minute
from harness.reports.tables import scaled
from harness.specs import Metric
from harness.statistics import Interval
from harness.suite.types import REMARKS

SAME = 0.02  # two files, or two counts, of one model may differ by so much: headers, heads, rounding
HARDWARE = ("minutes", "requests_per_minute", "request_ms", "batch_seconds")  # figures that hold for one machine
SMALLER_IS_BETTER = ("size_mib", "parameters_millions")
REHEARSAL = "a rehearsal"
Faster = Callable[[str, Row, Row], Ranged]  # kind of time, row, than → how many times faster


def published(
    documents: Sequence[Mapping[str, Any]],
    theirs: Sequence[Theirs],
    rows: Sequence[Row],
    metrics: Sequence[Metric],
    examples: Figure,
    foreign: str,
    faster: Faster,
) -> tuple[Published, ...]:
    """One entry per figure: the task's metrics in their order, the others by name, then ratios to their anchor's row.

    `foreign`: why quality cannot be compared, or nothing.
    """
    judge = _Judge(rows, metrics, examples, foreign, faster)
    found = []
    for document, row in zip(documents, theirs, strict=True):
        note = "; ".join(str(document[key]) for key in sorted(REMARKS) if key in document)
        for name, unit, value, ours, verdict in judge.lines(row, theirs):
            found.append(
                Published(
                    row=row.label,
                    name=name,
                    unit=unit,
                    published=value,
                    ours=ours,
                    verdict=verdict,
                    source=row.source,
                    note=note,
                )
            )
    return tuple(found)


Line = tuple[str, str, float, Ranged, str]  # name, unit, published, ours, verdict


class _Judge:
    """What every figure is judged with."""

    def __init__(
        self, rows: Sequence[Row], metrics: Sequence[Metric], examples: Figure, foreign: str, faster: Faster
    ) -> None:
        self.rows, self.examples, self.foreign, self.faster = rows, examples, foreign, faster
        self.metrics = {metric.name: metric for metric in metrics}
        self.anchor = next((row for row in rows if row.anchor), None)

    def lines(self, row: Theirs, theirs: Sequence[Theirs]) -> list[Line]:
        """Every figure of a published row."""
        mine = Absent("no row of this run") if row.axes is None else find(row.axes, self.rows)
        order = list(self.metrics)
        names = sorted(row.figures, key=lambda name: (order.index(name) if name in order else len(order), name))
        return [*(self._line(mine, name, row.figures[name]) for name in names), *self._ratios(mine, row, theirs)]

    def _line(self, mine: Row | Absent, name: str, value: float) -> Line:
        metric = self.metrics.get(name)
        unit = metric.unit if metric else ""
        if isinstance(mine, Absent) or self.foreign == REHEARSAL:
            why = mine.reason if isinstance(mine, Absent) else REHEARSAL
            return name, unit, value, Absent(why), f"not comparable: {why}"
        ours = self._ours(mine, name)
        if metric is not None and self.foreign:
            return name, unit, value, ours, f"not comparable: {self.foreign}"
        if name in HARDWARE:
            return name, unit, value, ours, "not comparable: other hardware"
        better = True if metric and metric.higher_is_better else False if metric or name in SMALLER_IS_BETTER else None
        return name, unit, value, ours, _verdict(value, ours, better)

    def _ours(self, row: Row, name: str) -> Ranged:
        """Our figure as published ones are written: percent where the metric is."""
        metric = self.metrics.get(name)
        if metric is not None:
            return scaled(row.quality[name].interval, 100 if metric.unit == "%" else 1)
        times = (minutes(row, self.examples), per_minute(row), row.speed.level_ms, row.speed.batch_seconds)
        if name in HARDWARE:
            return dict(zip(HARDWARE, times, strict=True))[name]
        if name == "examples":
            return _within(self.examples, 0)
        figures = {"size_mib": row.size.model_mib, "parameters_millions": millions(row)}
        return _within(figures.get(name, Absent("no figure of this report")), SAME)

    def _ratios(self, mine: Row | Absent, row: Theirs, theirs: Sequence[Theirs]) -> list[Line]:
        """Times × faster and smaller than the same source's row of our anchor: these hold across machines."""
        base = self._published_anchor(row, theirs)
        if base is None or self.anchor is None or isinstance(mine, Absent) or mine.anchor:
            return []
        faster = _faster(row.figures, base.figures)
        batch = _quotient(base.figures, row.figures, "batch_seconds")
        smaller = _quotient(base.figures, row.figures, "size_mib")
        size = _within(mine.size.times_smaller, SAME)
        found = [
            ("faster", faster, self._our_speed(mine, "request", mine.speed.request)),
            ("faster per batch", batch, self._our_speed(mine, "fixed", mine.speed.fixed)),
            ("smaller", smaller, size),
        ]
        return [self._ratio(word, value, ours) for word, value, ours in found if value is not None]

    def _ratio(self, word: str, value: float, ours: Ranged) -> Line:
        name = f"× {word} than {self.anchor.label if self.anchor else ''}"
        if self.foreign == REHEARSAL:
            return name, "", value, Absent(REHEARSAL), f"not comparable: {REHEARSAL}"
        return name, "", value, ours, _verdict(value, ours, higher_is_better=True)

    def _our_speed(self, mine: Row, kind: str, ratio: Ratio) -> Ranged:
        """Against the anchor, as wide as two measurements of one artifact may be apart."""
        if not ratio.resolved:
            return Absent("the measurement was too noisy")
        return self.faster(kind, mine, self.anchor) if self.anchor else Absent("no anchor")

    def _published_anchor(self, row: Theirs, theirs: Sequence[Theirs]) -> Theirs | None:
        for other in theirs:
            if other.source == row.source and other.axes is not None:
                found = find(other.axes, self.rows)
                if isinstance(found, Row) and found.anchor:
                    return other
        return None


def _faster(row: Mapping[str, float], base: Mapping[str, float]) -> float | None:
    """By requests per minute, else by the time of a request, else by that over the same examples."""
    quotients = (
        _quotient(row, base, "requests_per_minute"),
        _quotient(base, row, "request_ms"),
        _quotient(base, row, "minutes"),
    )
    return next((quotient for quotient in quotients if quotient is not None), None)


def _quotient(over: Mapping[str, float], under: Mapping[str, float], name: str) -> float | None:
    return over[name] / under[name] if name in over and name in under else None


def _within(value: Figure, share: float) -> Ranged:
    if isinstance(value, Absent):
        return value
    return Interval(value, value * (1 - share), value * (1 + share))


def _verdict(value: float, ours: Ranged, higher_is_better: bool | None) -> str:
    """Reproduced: the published figure lies in our interval. None: neither side is the better one."""
    if isinstance(ours, Absent):
        return f"not comparable: {ours.reason}"
    if ours.low <= value <= ours.high:
        return "reproduced"
    side = f"ours is {'above' if ours.value > value else 'below'}"
    if higher_is_better is None:
        return side
    return f"{side} ({'better' if (ours.value > value) == higher_is_better else 'worse'})"
