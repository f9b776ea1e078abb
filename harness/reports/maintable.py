"""The main table as values: what each row keeps, what it weighs, how fast it is; the study's own columns first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.reports import format as fmt
from harness.reports.columns import Column, outsider_cells, outsiders, study_columns
from harness.reports.model import Absent, Kept, Report, Row
from harness.reports.tables import (
    ANCHOR,
    Content,
    Marked,
    Shown,
    figure,
    header,
    measured,
    metric_column,
    points,
    ratio_cell,
)


@dataclass(frozen=True)
class MainTable:
    """Text that nothing was done to yet: names in it are third parties', so escape every cell for your format."""

    headers: tuple[str, ...]
    align: str  # per column `l` (text) or `r` (figures)
    rows: tuple[tuple[Content, ...], ...]  # the anchor first; published models that were not run last


def main_table(report: Report) -> MainTable:
    """One line per row; figures with their intervals and the digits that these support."""
    axes, study, own = _axes(report), study_columns(report), _own(report)
    columns = [*axes, *study, *own]
    rows = [tuple(line) for line in zip(*(cells for _, cells in columns), strict=True)]
    rows += [tuple(outsider_cells(row, report, len(axes), len(own))) for row in outsiders(report)]
    return MainTable(tuple(name for name, _ in columns), ("l" * len(axes)).ljust(len(columns), "r"), tuple(rows))


def _own(report: Report) -> list[Column]:
    """What every report has, without what the study's columns show already."""
    rows, metric = report.rows, report.primary
    columns: list[Column] = []
    if metric.name not in report.columns:
        columns.append((header(metric.name, metric.unit, metric.higher_is_better), _scores(report)))
    columns += [(f"Δ to anchor, {points(report)}", _differences(report)), *_kept(report)]
    if "size" not in report.columns:
        columns.append(("model file, MiB ↓", [figure(row.size.model_mib, fmt.mib) for row in rows]))
    columns.append(("× smaller ↑", [figure(row.size.times_smaller, fmt.times) for row in rows]))
    if report.run["measure"]["speed"] is not None:
        columns += [
            ("× faster, request ↑", [ratio_cell(row.speed.request, row.anchor) for row in rows]),
            ("request p50, ms ↓", [measured(row.speed.p50_ms) for row in rows]),
            ("× faster, forward ↑", [ratio_cell(row.speed.forward, row.anchor) for row in rows]),
        ]
    if any(row.status != "ok" for row in rows):
        columns.append(("status", [row.status for row in rows]))
    return columns


def _axes(report: Report) -> list[Column]:
    names = {"compress": "chain"}
    return [
        (names.get(axis, axis), [_axis(row, axis, first=number == 0) for row in report.rows])
        for number, axis in enumerate(report.axes)
    ]


def _axis(row: Row, axis: str, *, first: bool) -> Content:
    value = row.axes.get(axis)
    if value is None:
        return Absent("the model has no such parameter")
    return Marked(str(value), ANCHOR) if first and row.anchor else str(value)


def _scores(report: Report) -> list[Content]:
    metric = report.primary
    return metric_column([row.quality[metric.name].interval for row in report.rows], metric.unit)


def _differences(report: Report) -> list[Content]:
    metric = report.primary
    cells = metric_column([row.quality[metric.name].difference for row in report.rows], metric.unit, signed=True)
    return [Shown("0") if row.anchor and isinstance(c, Shown) else c for row, c in zip(report.rows, cells, strict=True)]


def _kept(report: Report) -> list[Column]:
    """For each metric that should be kept: what is kept of the reference, then a column per bar."""
    asked = len(report.rows[0].keeps) if report.rows else 0
    return [column for n in range(asked) for column in _kept_of([row.keeps[n] for row in report.rows], asked > 1)]


def _kept_of(kept: Sequence[Kept], several: bool) -> list[Column]:
    """One per row; where several metrics should be kept, bars say of which they are."""
    first = kept[0]
    title = f"keeps of {first.of}'s {first.metric}, % ↑"
    columns: list[Column] = [(title, metric_column([entry.interval for entry in kept], "%"))]
    for number, bar in enumerate(first.bars):
        verdicts = [entry.bars[number].verdict for entry in kept]
        heading = f"{first.metric + ' ' if several else ''}≥ {fmt.share(bar.at_least)}"
        columns.append((heading, [v if isinstance(v, Absent) else Shown(v) for v in verdicts]))
    return columns
