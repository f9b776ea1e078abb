"""A compact table of a suite's rows: which axes lead its lines, which its columns, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from harness.errors import SuiteError, choices
from harness.suite.problems import Fault, dotted, not_among
from harness.suite.types import AxisValue, Grid

_FORM = "expected ROWS:COLUMNS or ROWS:COLUMNS:METRICS, names apart by commas: model:limit,epoch"


def parse_grid(text: str, axes: Mapping[str, Collection[AxisValue]], metrics: Sequence[str]) -> Grid:
    """`model:limit,epoch` or `model:limit,epoch:accuracy,macro_f1`. SuiteError with all that is wrong with it."""
    parts = [tuple(name.strip() for name in part.split(",")) for part in text.split(":")]
    if len(parts) not in (2, 3) or not all(name for part in parts for name in part):
        msg = f"--matrix {text}: {_FORM}"
        raise SuiteError(msg)
    grid = Grid(rows=parts[0], columns=parts[1], metrics=parts[2] if len(parts) == 3 else ())
    faults = [*grid_faults(grid, axes, metrics)]
    if faults:
        raise SuiteError([f"--matrix {text}: {f'{dotted(f.loc)}: ' if f.loc else ''}{f.message}" for f in faults])
    return grid


def grid_faults(
    grid: Grid, axes: Mapping[str, Collection[AxisValue]] | None, metrics: Sequence[str] | None
) -> Iterator[Fault]:
    """`axes`: the values of each axis of a row. What is None is not known, because something else is wrong."""
    if axes is not None:
        yield from _unknown("rows", grid.rows, axes)
        yield from _unknown("columns", grid.columns, axes, grid.rows)
        yield from _left_out(grid, axes)
    if metrics is not None:
        for index, metric in enumerate(grid.metrics):
            if metric not in metrics:
                yield Fault(("metric", index), not_among(metric, "a metric of the task", metrics))


def _unknown(key: str, names: Sequence[str], axes: Collection[str], before: Sequence[str] = ()) -> Iterator[Fault]:
    for index, name in enumerate(names):
        if name not in axes:
            yield Fault((key, index), not_among(name, "an axis of a row", axes))
        elif name in (*before, *names[:index]):
            yield Fault((key, index), f"'{name}' is named twice")


def _left_out(grid: Grid, axes: Mapping[str, Collection[AxisValue]]) -> Iterator[Fault]:
    """A place in the table is one row of the report. Without `compress` it is the uncompressed one."""
    left = {axis: values for axis, values in axes.items() if axis not in (*grid.rows, *grid.columns)}
    several = [axis for axis, values in left.items() if len(values) > 1 and not _has_plain(axis, values)]
    if several:
        what = "which has several values" if len(several) == 1 else "which have several values each"
        yield Fault((), f"leaves out {choices(several)}, {what}: name it in rows or columns", of_key=True)


def _has_plain(axis: str, values: Collection[AxisValue]) -> bool:
    return axis == "compress" and "none" in values
