"""The compact table of a study: models by line, what they were trained on by column, the best of each column bold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.reports import format as fmt
from harness.reports.escape import markdown
from harness.reports.model import Absent, AxisValue, Compact, Place, Report, Row
from harness.reports.quality import Scored, compared
from harness.reports.tables import Content, Lines, Shown, header, metric_column, table
from harness.specs import Metric
from harness.statistics import Interval, paired_difference
from harness.suite.types import Grid, axis_text

Values = tuple[AxisValue, ...]
MISSING = Absent("not measured: no such row in this run")
_NAMELESS = ("model", "compress")  # axes whose values speak for themselves


def recorded_grid(run: Mapping[str, Any]) -> Grid | None:
    """What the suite asked for; records of earlier versions asked for nothing."""
    found = run.get("report", {}).get("matrix")
    return Grid(**{key: tuple(found[key]) for key in ("rows", "columns", "metrics") if key in found}) if found else None


def compact(
    grid: Grid, rows: Sequence[Row], metrics: Sequence[Metric], scored: Callable[[Row], Scored | Absent]
) -> tuple[Compact, ...]:
    """A table per metric. A row that lacks an axis stands in every column: no value of it would change the row."""
    several = len({row.axes.get("compress") for row in rows}) > 1
    if several and "compress" not in (*grid.rows, *grid.columns):
        rows = [row for row in rows if row.axes.get("compress") in (None, "none")]
    chosen = [metric for metric in metrics if metric.name in grid.metrics] or metrics[:1]
    return tuple(_compact(grid, rows, metric, scored) for metric in chosen)


def _compact(grid: Grid, rows: Sequence[Row], metric: Metric, scored: Callable[[Row], Scored | Absent]) -> Compact:
    lines = sorted({_values(row, grid.rows) for row in rows}, key=_order(rows, grid.rows))
    columns = sorted({_values(row, grid.columns) for row in rows}, key=_order(rows, grid.columns))
    columns = [column for column in columns if None not in column] or columns
    found = [[_at(rows, grid, line, column) for column in columns] for line in lines]
    best = [_best([line[number] for line in found], metric, scored) for number in range(len(columns))]
    return Compact(
        metric=metric.name,
        row_axes=grid.rows,
        column_axes=grid.columns,
        rows=tuple(lines),
        columns=tuple(columns),
        places=tuple(tuple(_place(row, metric, good) for row, good in zip(line, best, strict=True)) for line in found),
    )


def _place(row: Row | None, metric: Metric, best: Sequence[str]) -> Place:
    if row is None:
        return Place(interval=MISSING, best=False)
    return Place(interval=row.quality[metric.name].interval, best=row.label in best)


def _values(row: Row, axes: Sequence[str]) -> Values:
    return tuple(row.axes.get(axis) for axis in axes)


def _order(rows: Sequence[Row], axes: Sequence[str]) -> Callable[[Values], tuple[int, ...]]:
    """Numbers ascend; other values stand as the rows have them."""
    places: list[list[AxisValue]] = []
    for axis in axes:
        values = list(dict.fromkeys(row.axes.get(axis) for row in rows))
        numbers = sorted(value for value in values if isinstance(value, int | float) and not isinstance(value, bool))
        places.append([*numbers, *(value for value in values if value not in numbers)])
    return lambda values: tuple(place.index(value) for place, value in zip(places, values, strict=True))


def _at(rows: Sequence[Row], grid: Grid, line: Values, column: Values) -> Row | None:
    """The row that stands there: exactly, or one that lacks what differs."""
    for row in rows:
        pairs = zip(_values(row, grid.columns), column, strict=True)
        if _values(row, grid.rows) == line and all(own is None or own == value for own, value in pairs):
            return row
    return None


def _best(rows: Sequence[Row | None], metric: Metric, scored: Callable[[Row], Scored | Absent]) -> list[str]:
    """Labels of a column's best and of those that a paired comparison does not tell from it; none without a choice."""
    values = [(row, i.value) for row in rows if row and isinstance(i := row.quality[metric.name].interval, Interval)]
    if len({row.label for row, _ in values}) < 2:
        return []
    sign = 1 if metric.higher_is_better else -1
    best, _ = max(values, key=lambda pair: sign * pair[1])
    return [row.label for row, _ in values if row is best or _tied(scored(row), scored(best), metric)]


def _tied(row: Scored | Absent, best: Scored | Absent, metric: Metric) -> bool:
    difference = compared(row, best, metric.name, paired_difference)
    return isinstance(difference, Interval) and difference.low <= 0 <= difference.high


# ------------------------------------------------------------------------------------------------------------ markdown


def compact_tables(report: Report) -> Lines:
    """All compact tables; nothing where the suite asks for none, or answers mean nothing."""
    return [] if report.mode == "random" else [line for one in report.compact for line in _shown(one, report)]


def _shown(one: Compact, report: Report) -> Lines:
    metric = next(metric for metric in report.metrics if metric.name == one.metric)
    across = [" · ".join(_value(*pair) for pair in zip(one.column_axes, column, strict=True)) for column in one.columns]
    flat = metric_column([place.interval for line in one.places for place in line], metric.unit)
    cells = iter(flat)
    lines: list[list[Content]] = [
        [*map(axis_text, values), *(_cell(next(cells), place) for place in places)]
        for values, places in zip(one.rows, one.places, strict=True)
    ]
    level = fmt.share(report.run["measure"]["confidence"])
    uncompressed = "" if "compress" in (*one.row_axes, *one.column_axes) else ", uncompressed rows"
    title = header(f"{metric.name} on test", metric.unit, metric.higher_is_better)
    note = (
        f"{markdown(title)}{uncompressed}, mean over seeds with its {level} interval. "
        "Bold: the best of the column, and what a paired comparison does not tell from it."
    )
    align = "l" * len(one.row_axes) + "r" * len(across)
    return [note, "", *table([*one.row_axes, *across], lines, align)]


def _value(axis: str, value: AxisValue) -> str:
    """`int8`, `limit 27,000`, `beta 0.1`."""
    shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else axis_text(value)
    return shown if axis in _NAMELESS else f"{axis} {shown}"


def _cell(content: Content, place: Place) -> Content:
    return Shown(f"**{content}**") if place.best and isinstance(content, Shown) else content
