"""Small records made from committed ones, and ways to break them."""

from __future__ import annotations

import functools
import json
import math
import random
from pathlib import Path
from typing import Any

from harness.records import packed, read_records, read_samples

REPORTS = Path(__file__).parents[1] / "reports"
EXAMPLES = 12
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**40, 2**70, 10**400, 0.5, 1e300, math.inf, "", "x", "../../x", "\x1b[31m", "$\\frac$", "a\nb",
    "\ud800", "\u202e", [], {}, [[]], [1, 2], ["x"], {"a": {"b": [1]}}, [None], "ok", "anchor",
)  # fmt: skip
Place = tuple[str | int, ...]


@functools.cache
def _lines(name: str, cells: int) -> tuple[str, ...]:
    whole = read_records(REPORTS / f"{name}.records.jsonl")
    anchor = [c for c in whole.cells if all(c["axes"].get(axis) == v for axis, v in whole.run["anchor"].items())]
    chosen = [*anchor[:1], *(cell for cell in whole.cells[:: max(1, len(whole.cells) // cells)] if cell not in anchor)]
    for quality in filter(None, (cell["quality"] for cell in chosen)):
        first = read_samples(quality["samples"])[:EXAMPLES]
        whole_numbers = first.astype(int)
        quality["samples"] = packed(whole_numbers) if isinstance(quality["samples"], dict) else first.tolist()
        if "confidence" in quality:
            quality["confidence"] = packed(read_samples(quality["confidence"])[:EXAMPLES].astype(int))
        quality.update({"found": "b5"} if "found" in quality else {})
    for data in whole.run["task"]["data"]:
        data.update({name: data[name][:8] for name in ("ids", "items") if name in data})
    measured = dict.fromkeys(cell["measure"] for cell in chosen if cell["measure"])
    return tuple(json.dumps(d) for d in (whole.run, *(whole.measurements[key] for key in measured), *chosen))


def documents(name: str = "quickstart", cells: int = 4) -> list[dict[str, Any]]:
    """The run, the measurements and a few cells of a committed record, with a few examples each."""
    return [json.loads(line) for line in _lines(name, cells)]


def write(path: Path, found: list[Any]) -> Path:
    """As a record; values that JSON has not are written as Python does."""
    path.write_text("".join(f"{json.dumps(document)}\n" for document in found), encoding="utf-8")
    return path


def places(value: Any, place: Place = ()) -> list[Place]:
    """Every place in a document; of a list its first and its last entry."""
    inside = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list) and value:
        inside = [(number, value[number]) for number in sorted({0, len(value) - 1})]
    return [*([place] if place else []), *(found for key, one in inside for found in places(one, (*place, key)))]


def at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


class Mutator:
    """Breaks a record in one place: something deleted, replaced, scaled, doubled or put where another belongs."""

    def __init__(self, name: str) -> None:
        self.documents = documents(name)
        self.lines = [json.dumps(document) for document in self.documents]
        self.places = [places(document) for document in self.documents]

    def text(self, seed: int) -> str:
        """The lines of a broken record."""
        rng = random.Random(seed)  # noqa: S311 - no secret
        number = rng.randrange(len(self.lines))
        document = json.loads(self.lines[number])
        *outer, last = rng.choice(self.places[number])
        self._change(at(document, tuple(outer)), last, rng)
        lines = [*self.lines[:number], json.dumps(document), *self.lines[number + 1 :]]
        return "".join(f"{line}\n" for line in lines)

    def _change(self, parent: Any, last: str | int, rng: random.Random) -> None:
        how = rng.random()
        if how < 0.3:
            del parent[last]
        elif how < 0.7:
            parent[last] = rng.choice(VALUES)
        elif how < 0.8 and isinstance(parent[last], int | float):
            parent[last] *= rng.choice((-1, 0, 1e-6, 1e6, 1e30))
        elif how < 0.9 and isinstance(parent, list):
            parent.append(parent[last])
        else:
            other = rng.randrange(len(self.documents))
            parent[last] = at(self.documents[other], rng.choice(self.places[other]))
