"""Which value of an axis was best on dev, for every combination of the others, and what it scores on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.reports import format as fmt
from harness.reports.escape import markdown
from harness.reports.model import Absent, AxisValue, Report, Row
from harness.reports.tables import Content, Lines, Shown, header, metric_column, section, table
from harness.specs import Metric

PERCENT = "%"


def select_section(report: Report) -> Lines:
    """A line per combination of the other axes; nothing for a suite that chooses nothing."""
    select = report.run.get("select")
    if not select:
        return []
    axis, metric = select["axis"], next(m for m in report.metrics if m.name == select["metric"])
    groups = _groups(report.rows, axis)
    values = list(dict.fromkeys(row.axes[axis] for rows in groups.values() for row in rows))
    titles = [*report.axes_without(axis), *(f"dev, {markdown(axis)} = {markdown(value)}" for value in values)]
    lines = [_line(names, rows, values, axis, metric) for names, rows in groups.items()]
    chosen = [_best(rows, metric) for rows in groups.values()]
    tested = [
        metric_column([row.quality[m.name].interval if row else NOTHING for row in chosen], m.unit)
        for m in _shown(report, metric)
    ]
    whole = [[*line, *cells] for line, cells in zip(lines, zip(*tested, strict=True), strict=True)]
    titles += [header(f"chosen, test {m.name}", m.unit, m.higher_is_better) for m in _shown(report, metric)]
    note = (
        f"{markdown(metric.name)} on dev, mean over seeds; bold: the best, the first of equals. The last columns: what "
        "was chosen so, on test. Nothing was chosen on test."
    )
    align = "l" * len(report.axes_without(axis)) + "r" * (len(titles) - len(report.axes_without(axis)))
    return section("Chosen on dev", table(titles, whole, align), [note, ""])


NOTHING = Absent("no row of this combination was scored on dev")


def _groups(rows: Sequence[Row], axis: str) -> dict[tuple[AxisValue, ...], list[Row]]:
    """Rows that differ in the axis alone, where there are at least two."""
    found: dict[tuple[AxisValue, ...], list[Row]] = {}
    for row in rows:
        if row.axes.get(axis) is not None:
            found.setdefault(tuple(value for name, value in row.axes.items() if name != axis), []).append(row)
    return {names: rows for names, rows in found.items() if len(rows) > 1}


def _shown(report: Report, metric: Metric) -> list[Metric]:
    return list(dict.fromkeys([report.primary, metric]))


def _best(rows: Sequence[Row], metric: Metric) -> Row | None:
    scored = [row for row in rows if metric.name in row.dev]
    sign = -1 if metric.higher_is_better else 1
    return min(scored, key=lambda row: sign * row.dev[metric.name], default=None)  # rows are in the axis's own order


def _line(
    names: tuple[AxisValue, ...], rows: Sequence[Row], values: Sequence[AxisValue], axis: str, metric: Metric
) -> list[Content]:
    of: Mapping[AxisValue, Row] = {row.axes[axis]: row for row in rows}
    best = _best(rows, metric)
    cells: list[Content] = [Shown(markdown("—" if name is None else name)) for name in names]
    return [*cells, *(_cell(of.get(value), best, axis, metric) for value in values)]


def _cell(row: Row | None, best: Row | None, axis: str, metric: Metric) -> Content:
    if row is None or metric.name not in row.dev:
        return NOTHING
    value = row.dev[metric.name]
    text = f"{value * 100:.2f}" if metric.unit == PERCENT else fmt.significant(value, 4)
    return Shown(f"**{markdown(row.axes[axis])}**: **{text}**" if row is best else text)
