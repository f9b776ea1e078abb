"""What a suite says about the study that it repeats: its columns, its published figures, its claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import choices
from harness.specs import TaskSpec
from harness.suite.components import Reader, split
from harness.suite.grid import grid_faults
from harness.suite.locate import Loc
from harness.suite.problems import not_among, typed, unknown_key, words
from harness.suite.schema import ClaimTable, GridTable, PublishedTable, ReportTable, StudyTable
from harness.suite.types import (
    BARS,
    COLUMNS,
    DRAWN,
    FIGURES,
    QUANTITIES,
    REMARKS,
    SECTIONS,
    TIMES,
    TRAINING,
    AxisValue,
    Grid,
)

SMALLEST, LARGEST = 1e-9, 1e12  # of a published figure: beyond them nothing can be drawn
_WORDS = ("split", "metric", "hardware")
_CHECKABLE = ("row", "than", "quantity", *BARS)


@dataclass(frozen=True)
class Study:
    """The tables as they are written, checked."""

    columns: tuple[str, ...]
    figures: tuple[str, ...]
    sections: tuple[str, ...]
    grid: Grid | None
    published: tuple[Mapping[str, Any], ...]
    claims: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class _Names:
    """What rows and figures may be called. `axes` and `metrics` None: not known, because something else is wrong."""

    axes: Mapping[str, Sequence[AxisValue]] | None
    values: Mapping[str, Sequence[str]]  # of the axes whose values have names
    metrics: Sequence[str] | None
    outsiders: Sequence[str]


def read_study(
    reader: Reader, task: TaskSpec | None, axes: Mapping[str, Sequence[AxisValue]] | None, chains: Sequence[str]
) -> Study:
    """`[report]`, `[study]`, `[[published]]` and `[[claims]]`. `axes`: those of a row, with their values."""
    published, claims = _tables(reader, "published"), _tables(reader, "claims")
    common = reader.problems.check(StudyTable, reader.document.get("study", {}), ("study",)) or StudyTable()
    outsiders = [table["row"] for table in published.values() if isinstance(table.get("row"), str)]
    metrics = [metric.name for metric in task.metrics] if task else None
    names = _Names(axes, {"model": reader.models, "compress": chains}, metrics, list(dict.fromkeys(outsiders)))
    for index, table in published.items():
        _check_published(reader, table, ("published", index), names)
    for index, table in claims.items():
        _check_claim(reader, table, ("claims", index), names)
    report = reader.problems.check(ReportTable, reader.document.get("report", {}), ("report",)) or ReportTable()
    _check_report(reader, report, names)
    return Study(
        columns=report.columns,
        figures=report.figures,
        sections=report.sections,
        grid=_grid(reader, report.matrix, names),
        published=tuple(_of_study(table, common, _WORDS) for table in published.values()),
        claims=tuple(_of_study(table, common, ()) for table in claims.values()),
    )


def _of_study(table: Mapping[str, Any], study: StudyTable, shared: Sequence[str]) -> dict[str, Any]:
    """A table with what the study says for all; its own `source` is a place in the study's."""
    lead = {} if study.source is None else {"source": f"{study.source}, {table.get('source', '')}"}
    common = {name: value for name in shared if (value := getattr(study, name)) is not None}
    return {**common, **table, **lead}


def _check_report(reader: Reader, report: ReportTable, names: _Names) -> None:
    columns = None if names.metrics is None else [*names.metrics, *COLUMNS]
    lists = (("columns", report.columns, columns), ("figures", report.figures, DRAWN))
    for key, named, known in (*lists, ("sections", report.sections, SECTIONS)):
        for index, name in enumerate(named):
            if known is not None and name not in known:
                message = not_among(name, f"a {key.removesuffix('s')}", known)
                reader.problems.at_value(("report", key, index), message)
            elif name in named[:index]:
                reader.problems.at_value(("report", key, index), f"'{name}' is named twice")


def _grid(reader: Reader, table: GridTable | None, names: _Names) -> Grid | None:
    if table is None:
        return None
    grid = Grid(rows=table.rows, columns=table.columns, metrics=table.metric)
    reader.problems.add(grid_faults(grid, names.axes, names.metrics), ("report", "matrix"))
    return grid


def _check_published(reader: Reader, raw: Mapping[str, Any], loc: Loc, names: _Names) -> None:
    """A row of the matrix (a table) or an outsider (a string), a source, figures, remarks."""
    own, figures = split(raw, words(PublishedTable))
    table = reader.problems.check(PublishedTable, own, loc)
    if table is not None:
        _check_row(reader, table.row, (*loc, "row"), names)
    for key, value in figures.items():
        known = [*(names.metrics or ()), *FIGURES]
        if names.metrics is not None and key not in known:
            reader.problems.at_key((*loc, key), unknown_key(key, ["row", "source", *known, *REMARKS]))
        elif not isinstance(value, int | float) or isinstance(value, bool):
            reader.problems.at_value((*loc, key), f"expected a number, got {typed(value)}")
        elif key in FIGURES and value <= 0:
            reader.problems.at_value((*loc, key), f"expected a value greater than 0, got {value}")
        elif key in FIGURES and not SMALLEST <= value <= LARGEST:
            reader.problems.at_value((*loc, key), f"expected a value from {SMALLEST} to {LARGEST}, got {value}")
        elif abs(value) > LARGEST:
            reader.problems.at_value((*loc, key), f"expected a value of at most {LARGEST}, got {value}")


def _check_claim(reader: Reader, raw: Mapping[str, Any], loc: Loc, names: _Names) -> None:
    """A text and a source; with any of the checkable keys, all that it takes to judge it."""
    table = reader.problems.check(ClaimTable, split(raw, words(ClaimTable))[0], loc)
    if table is None or not set(_CHECKABLE) & set(raw):
        return
    for key in ("row", "than", "quantity"):
        if key not in raw:
            reader.problems.at_key((*loc, key), "required key is missing: a claim that is judged needs it")
    for key in ("row", "than"):
        if key in raw:
            _check_row(reader, raw[key], (*loc, key), names, only=names.outsiders)
    bars = [bar for bar in BARS if bar in raw]
    if len(bars) != 1:
        found = f"found {choices(bars)}" if bars else "found none"
        reader.problems.at_key(loc, f"expected exactly one of {choices(BARS)}, {found}")
    _check_quantity(reader, table.quantity, bars, loc, names)


def _check_quantity(reader: Reader, quantity: str | None, bars: Sequence[str], loc: Loc, names: _Names) -> None:
    known = [*(names.metrics or ()), *QUANTITIES]
    if quantity is not None and names.metrics is not None and quantity not in known:
        reader.problems.at_value((*loc, "quantity"), not_among(quantity, "a quantity", known))
    for bar in bars:
        if quantity in (*TIMES, TRAINING) and not bar.startswith("ratio"):
            message = f"times are compared as ratios: write {choices(BARS[:2])} instead"
            reader.problems.at_key((*loc, bar), message)


def _check_row(reader: Reader, row: Any, loc: Loc, names: _Names, only: Sequence[str] | None = None) -> None:
    """A string is an outsider, one of `only` where that is given.

    A table must name what the suite defines, be it in the matrix at the moment or not.
    """
    if isinstance(row, str) and row:
        if only is not None and row not in only:
            reader.problems.at_value(loc, not_among(row, "the row of a [[published]] outsider", only))
    elif not isinstance(row, dict):
        reader.problems.at_value(loc, f"expected axes of the matrix or the name of another row, got {typed(row)}")
    else:
        for axis, value in row.items():
            _check_axis(reader, axis, value, (*loc, axis), names)


def _check_axis(reader: Reader, axis: str, value: Any, loc: Loc, names: _Names) -> None:
    known = names.values.get(axis)
    if names.axes is not None and axis not in names.axes:
        reader.problems.at_key(loc, not_among(axis, "an axis of a row", names.axes))
    elif not isinstance(value, str | int | float):
        reader.problems.at_value(loc, f"expected a single value, got {typed(value)}")
    elif known is not None and value not in known:
        what = "a model of this suite" if axis == "model" else "a chain of this suite"
        reader.problems.at_value(loc, not_among(value, what, known))


def _tables(reader: Reader, section: str) -> dict[int, dict[str, Any]]:
    """By index; what is not a list of tables is noted and left out."""
    raw = reader.document.get(section, [])
    if not isinstance(raw, list):
        reader.problems.at_value((section,), f"expected a list of tables, [[{section}]], got {typed(raw)}")
        return {}
    for index, table in enumerate(raw):
        if not isinstance(table, dict):
            reader.problems.at_value((section, index), f"expected a table, got {typed(table)}")
    return {index: table for index, table in enumerate(raw) if isinstance(table, dict)}
