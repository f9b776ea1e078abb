"""Which row a row was made from: what it did after that, by the keys of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.reports.model import AxisValue, Row

Json = Mapping[str, Any]
_MADE = ("build", "train", "compress")  # kinds of stages that make an artifact


@dataclass(frozen=True)
class Made:
    """The stages that made a row's artifact, and what each did."""

    keys: tuple[str, ...]
    uses: tuple[str, ...]


def made(cell: Json) -> Made:
    """Of one cell. What a record does not name is called by its kind of stage."""
    own = [(kind, key) for kind, key in _in_order(cell) if kind in _MADE]
    known = {
        "build": iter([str(cell["student"])]),
        "train": iter(cell["distil"]),
        "compress": iter(str(step["use"]) for step in cell["compress"]),
    }
    return Made(tuple(key for _, key in own), tuple(next(known[kind], kind) for kind, _ in own))


def _in_order(cell: Json) -> list[tuple[str, str]]:
    """Kind and key of a cell's stages, inputs first.

    Their numbers count trainings before compressors, also one inside a chain; `ancestors` come as data flows.
    """
    flow = {key: at for at, key in enumerate(cell["ancestors"])}
    numbered = [(name.partition("."), key) for name, key in cell["stages"].items()]
    whole = all(key in flow for _, key in numbered)
    placed = [(flow[key] if whole else int(number), kind, key) for (kind, _, number), key in numbered]
    return [(kind, key) for _, kind, key in sorted(placed)]


def uncompressed(rows: Sequence[Row]) -> list[Row]:
    """Rows without a chain."""
    return [row for row in rows if row.axes.get("compress") in (None, "none")]


def compressed(rows: Sequence[Row]) -> list[Row]:
    """Rows with a chain."""
    return [row for row in rows if row.axes.get("compress") not in (None, "none")]


def before(row: Row, rows: Sequence[Row], known: Mapping[str, Made]) -> list[Row]:
    """The rows that stand on the way to this one, the shortest first: their stages are the first of its own.

    `known`: by label. Rows of which no seed got through are left out.
    """
    mine = known[row.label].keys
    found = [
        other
        for other in siblings(row, rows)
        if other.seeds_ok
        and len(known[other.label].keys) < len(mine)
        and mine[: len(known[other.label].keys)] == known[other.label].keys
    ]
    return sorted(found, key=lambda other: len(known[other.label].keys))


def source(row: Row, rows: Sequence[Row], known: Mapping[str, Made]) -> Row | None:
    """The same model uncompressed; where the suite has no such row, the one before the row's last steps."""
    return next(iter([*siblings(row, uncompressed(rows)), *reversed(before(row, rows, known))]), None)


def siblings(row: Row, rows: Sequence[Row]) -> list[Row]:
    """Those that differ from a row in nothing but the chain."""
    return [other for other in rows if _without(other, "compress") == _without(row, "compress")]


def teacher(row: Row, name: str, rows: Sequence[Row]) -> Row | None:
    """The teacher's uncompressed row: of several the one that shares most axes with the row, the first of equals."""
    found = [other for other in uncompressed(rows) if other.axes.get("model") == name]
    return max(found, key=lambda other: len(other.axes.items() & row.axes.items()), default=None)


def _without(row: Row, axis: str) -> dict[str, AxisValue]:
    return {name: value for name, value in row.axes.items() if name != axis}
