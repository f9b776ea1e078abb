"""From axes to cells: product, exclude, include; and which of them `--only` selects. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.errors import NothingSelected, SuiteError, did_you_mean
from harness.suite.locate import Loc
from harness.suite.problems import Fault, not_among, shown, typed
from harness.suite.types import AxisValue, Cell, axis_text

LIMIT = 100_000  # cells; beyond it a suite is a slip of the pen

Axes = Mapping[str, tuple[AxisValue, ...]]
Entry = Mapping[str, AxisValue]
Exclusion = Mapping[str, tuple[AxisValue, ...]]  # any of these values of an axis, of every axis that is named
Row = tuple[AxisValue, ...]  # values in the order of the axes


@dataclass(frozen=True)
class Expansion:
    """Cells in order, and what is wrong with the entries of include and exclude."""

    cells: tuple[Cell, ...]
    faults: tuple[Fault, ...]


def expand(
    axes: Axes,
    applies: Callable[[str, str], bool],
    exclude: Sequence[Exclusion] = (),
    include: Sequence[Entry] = (),
    known: Mapping[str, Collection[str]] | None = None,
) -> Expansion:
    """Every cell of the matrix: model, compress and the suite's own axes first, seed last.

    `applies(model, axis)` says whether a model has what one of the suite's own axes changes; where it has not, its
    cells exist once, with None. Every entry of `exclude` removes what it matches in the whole product; `include` then
    adds cells: without compress uncompressed, without seed for every seed, without another axis as the model is.
    `known`: the names that 'model' and 'compress' may take in `include`, which can name more than the axes do.
    """
    size = _size(axes, applies)
    if size > LIMIT:
        message = f"is {size:,} cells, more than {LIMIT:,}: shorten an axis"
        return Expansion((), (Fault(("matrix",), message, of_key=True),))
    rows = list(_product(axes, applies))
    removed, faults = _excluded(axes, rows, exclude)
    kept = dict.fromkeys(row for number, row in enumerate(rows) if number not in removed)
    for number, entry in enumerate(include):
        faults += _added(kept, axes, applies, entry, number, known or {})
    names = tuple(axes)
    return Expansion(tuple(Cell(axes=tuple(zip(names, row, strict=True))) for row in kept), tuple(faults))


def select(cells: Sequence[Cell], only: str) -> tuple[Cell, ...]:
    """The cells that match `model=lstm*,compress=int8|none`: shell patterns, `|` between alternatives.

    SuiteError for an unknown axis or an alternative that matches nothing; NothingSelected when no cell matches all.
    """
    wanted = _wanted(cells, only)
    chosen = tuple(cell for cell in cells if all(_matches(cell[axis], ways) for axis, ways in wanted.items()))
    if not chosen:
        msg = f"--only {only}: each part matches some cell, no cell matches all of them"
        raise NothingSelected(msg)
    return chosen


def same(one: AxisValue, other: AxisValue) -> bool:
    """Equal as a person writes it: 1 is 1.0, and neither is true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def no_value(axis: str, value: AxisValue, values: Iterable[AxisValue]) -> str:
    """`is not a value of 'model'. Did you mean 'lstm'? Values: lstm, gru`, to follow the value."""
    known = [axis_text(other) for other in values if other is not None]
    listed = f"{', '.join(known[:20])}{', …' if len(known) > 20 else ''}"
    return f"is not a value of '{axis}'.{did_you_mean(axis_text(value), known)} Values: {listed}"


def _choices(axes: Axes, applies: Callable[[str, str], bool], model: AxisValue) -> list[tuple[AxisValue, ...]]:
    fixed = ("compress", "seed")
    others = [(name, values) for name, values in axes.items() if name != "model"]
    return [values if name in fixed or applies(str(model), name) else (None,) for name, values in others]


def _size(axes: Axes, applies: Callable[[str, str], bool]) -> int:
    total = 0
    for model in axes["model"]:
        cells = 1
        for values in _choices(axes, applies, model):
            cells *= len(values)
        total += cells
    return total


def _product(axes: Axes, applies: Callable[[str, str], bool]) -> Iterator[Row]:
    for model in axes["model"]:
        yield from itertools.product((model,), *_choices(axes, applies, model))


def _excluded(axes: Axes, rows: Sequence[Row], exclude: Sequence[Exclusion]) -> tuple[set[int], list[Fault]]:
    """Numbers of the removed rows; an entry that is empty, or matches nothing, is a fault."""
    index = [_numbers(rows, column) for column in range(len(axes) if exclude else 0)]
    order = list(axes)
    removed: set[int] = set()
    faults: list[Fault] = []
    for number, entry in enumerate(exclude):
        loc: Loc = ("matrix", "exclude", number)
        wrong = [_stranger(axes, (*loc, axis), axis, value) for axis, values in entry.items() for value in values]
        if found := [fault for fault in wrong if fault]:
            faults += found
            continue
        hits = [_any(index[order.index(axis)], values) for axis, values in entry.items()]
        matched = set.intersection(*hits) if hits else set()
        if not matched:
            faults.append(Fault(loc, "matches no cell" if entry else "is empty; name at least one axis"))
        removed |= matched
    return removed, faults


def _any(numbers: Mapping[AxisValue, set[int]], values: Iterable[AxisValue]) -> set[int]:
    return set().union(*(numbers.get(value, ()) for value in values))


def _numbers(rows: Sequence[Row], column: int) -> dict[AxisValue, set[int]]:
    numbers: dict[AxisValue, set[int]] = {}
    for number, row in enumerate(rows):
        numbers.setdefault(row[column], set()).add(number)
    return numbers


def _stranger(axes: Axes, loc: Loc, axis: str, value: AxisValue) -> Fault | None:
    if axis not in axes:
        return Fault(loc, not_among(axis, "an axis of this matrix", axes), of_key=True)
    if not any(same(value, other) for other in axes[axis]):
        return Fault(loc, f"matches no cell: {typed(value)} {no_value(axis, value, axes[axis])}")
    return None


def _added(
    kept: dict[Row, None],
    axes: Axes,
    applies: Callable[[str, str], bool],
    entry: Entry,
    number: int,
    known: Mapping[str, Collection[str]],
) -> list[Fault]:
    """Add the cells of one entry of include to `kept`, or say what is wrong with it."""
    loc: Loc = ("matrix", "include", number)
    if "model" not in entry:
        return [Fault(loc, "must name a model")]
    faults = [fault for axis in entry if (fault := _unfit(axes, applies, entry, (*loc, axis), known))]
    if faults:
        return faults
    default: dict[str, AxisValue] = {"compress": "none"}
    seeds = (entry["seed"],) if "seed" in entry else axes["seed"]
    fixed = [entry.get(axis, default.get(axis)) for axis in axes if axis != "seed"]
    rows = [(*fixed, seed) for seed in seeds]
    if any(row in kept for row in rows):
        return [Fault(loc, "is in the matrix already")]
    kept.update(dict.fromkeys(rows))
    return []


def _unfit(
    axes: Axes, applies: Callable[[str, str], bool], entry: Entry, loc: Loc, known: Mapping[str, Collection[str]]
) -> Fault | None:
    axis = str(loc[-1])
    value = entry[axis]
    if axis not in axes:
        return Fault(loc, not_among(axis, "an axis of this matrix", axes), of_key=True)
    if axis in ("model", "compress"):
        names = known.get(axis, [str(name) for name in axes[axis]])
        what = "a model of this suite" if axis == "model" else "a chain of this suite"
        return None if value in names else Fault(loc, not_among(value, what, names))
    if axis == "seed":
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if whole else Fault(loc, f"expected an integer from 0, got {typed(value)}")
    model = str(entry["model"])
    if model in known.get("model", [model]) and not applies(model, axis):
        return Fault(loc, f"model '{model}' has nothing that axis '{axis}' changes")
    return None


def _wanted(cells: Sequence[Cell], only: str) -> dict[str, list[str]]:
    values: dict[str, dict[str, None]] = {}
    for cell in cells:
        for axis, value in cell.axes:
            texts = values.setdefault(axis, {})
            if value is not None:
                texts[axis_text(value)] = None
    wanted: dict[str, list[str]] = {}
    problems: list[str] = []
    for part in only.split(","):
        axis, equals, pattern = (text.strip() for text in part.partition("="))
        if not equals or not pattern or axis in wanted:
            hint = "write model=a|b" if axis in wanted else "expected axis=value, for example model=lstm*,compress=int8"
            problems.append(f"--only {only}: {shown(part)}: {hint}")
        elif axis not in values:
            problems.append(f"--only {only}: {not_among(axis, 'an axis of this suite', values)}")
        else:
            wanted[axis] = [way.strip() for way in pattern.split("|")]
            lost = [way for way in wanted[axis] if not any(fnmatchcase(text, way) for text in values[axis])]
            problems += [f"--only {only}: {shown(way)} {no_value(axis, way, values[axis])}" for way in lost]
    if problems:
        raise SuiteError(problems)
    return wanted


def _matches(value: AxisValue, ways: Sequence[str]) -> bool:
    return value is not None and any(fnmatchcase(axis_text(value), way) for way in ways)
