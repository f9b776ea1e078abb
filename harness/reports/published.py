"""Published figures beside ours, with a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.reports.model import Absent, Published, Ranged, Row
from harness.reports.tables import scaled
from harness.specs import Metric
from harness.statistics import Interval

Json = dict[str, Any]
SIZE = "size_mib"
SAME_SIZE = 0.02  # two files of one model may differ by so much in their headers and their tokenizers' leftovers
_REMARKS = ("source", "note")


def published(
    documents: Sequence[Mapping[str, Any]], rows: Sequence[Row], metrics: Sequence[Metric], mode: str
) -> tuple[Published, ...]:
    """One entry per figure: the task's metrics in their order, then the others by name."""
    order = [metric.name for metric in metrics]
    found = []
    for document in documents:
        names = sorted((name for name in document if _is_figure(document[name])), key=lambda n: _place(n, order))
        found += [_entry(document, name, rows, metrics, mode) for name in names]
    return tuple(found)


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def _entry(
    document: Mapping[str, Any], name: str, rows: Sequence[Row], metrics: Sequence[Metric], mode: str
) -> Published:
    row = _row(document["row"], rows)
    ours = _ours(row, name, metrics, mode)
    return Published(
        row=row.label if row else _named(document["row"]),
        name=name,
        unit={m.name: m.unit for m in metrics}.get(name, ""),
        published=float(document[name]),
        ours=ours,
        verdict=_verdict(float(document[name]), ours, {m.name: m for m in metrics}.get(name)),
        source=str(document.get("source", "")),
        note="; ".join(str(value) for key, value in sorted(document.items()) if _is_remark(key, value)),
    )


def _is_remark(key: str, value: Any) -> bool:
    return key == "note" or (key not in ("row", *_REMARKS) and isinstance(value, str))


def _row(wanted: Any, rows: Sequence[Row]) -> Row | None:
    if not isinstance(wanted, Mapping):
        return None
    return next((row for row in rows if all(row.axes.get(axis) == value for axis, value in wanted.items())), None)


def _named(wanted: Any) -> str:
    return " · ".join(str(wanted[name]) for name in sorted(wanted)) if isinstance(wanted, Mapping) else str(wanted)


def _ours(row: Row | None, name: str, metrics: Sequence[Metric], mode: str) -> Ranged:
    """Our figure as published ones are written: percent where the metric is."""
    if row is None:
        return Absent("no row of this run")
    if mode == "rehearsal":
        return Absent("a rehearsal")
    metric = next((metric for metric in metrics if metric.name == name), None)
    if metric is not None:
        return scaled(row.quality[name].interval, 100 if metric.unit == "%" else 1)
    if name == SIZE:
        size = row.size.model_mib
        return size if isinstance(size, Absent) else Interval(size, size * (1 - SAME_SIZE), size * (1 + SAME_SIZE))
    return Absent("no figure of this report")


def _verdict(value: float, ours: Ranged, metric: Metric | None) -> str:
    """Reproduced: the published figure lies in our interval. Of sizes: within 2 %."""
    if isinstance(ours, Absent):
        return f"not comparable: {ours.reason}"
    if ours.low <= value <= ours.high:
        return "reproduced"
    better = (ours.value > value) == (metric.higher_is_better if metric else False)
    return f"ours is {'above' if ours.value > value else 'below'} ({'better' if better else 'worse'})"
