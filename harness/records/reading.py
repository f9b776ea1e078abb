"""Reading records that may come from anybody, line by line: what is broken, newer or older is said with its place."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from harness.errors import HarnessError, SuiteError, printable
from harness.records.document import SCHEMA, Json, Records
from harness.records.samples import samples_shape
from harness.records.schema import KINDS
from harness.specs import GREATEST
from harness.suite.problems import describe, dotted, shown

Kind = Literal["run", "measurement", "cell"]
ORDER: tuple[Kind, ...] = ("run", "measurement", "cell")  # of lines: what a line refers to stands above it
LONGEST = 64 << 20  # bytes of a line
DEEPEST = 32  # objects and lists inside each other
NAMED = 5  # faults of one line that are named
MANY = 20  # faults after which no more of a file are looked for
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_AGAIN = "Run the suite again to write a new one, or get the file again from where it came"


class RecordError(HarnessError):
    """A record is not what it should be."""

    exit_code = 2


@dataclass(frozen=True)
class Line:
    """One line of a record: a document that is as the schema of its kind says."""

    kind: Kind
    document: Json
    number: int  # in its file, from 1


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a record holds, and everything that is wrong with it."""

    lines: Mapping[str, int]  # kind → sound lines
    faults: tuple[str, ...]  # each with its place and what to do; empty: the record is sound


def scan(path: Path) -> Iterator[Line]:
    """The lines of a record one by one: the run, then its measurements, then its cells.

    No document is kept: memory is that of the longest line. RecordError with the place and what to do, as soon as a
    line is not what it should be; SuiteError when the file cannot be read. A file that breaks off after a whole line
    has only that many cells.
    """
    whole = _Whole()
    number = 0
    for number, raw in _numbered(path):
        try:
            line = whole.add(Line(*_checked(raw), number))
        except _Fault as fault:
            raise RecordError(_placed(path, number, fault)) from fault.__cause__
        yield line
    if not number:
        msg = f"{path}: not a record: it is empty. {_AGAIN}"
        raise RecordError(msg)


def read_records(path: Path) -> Records:
    """Read a record as a whole. The errors of `scan`."""
    found: dict[str, list[Json]] = {kind: [] for kind in ORDER}
    for line in scan(path):
        found[line.kind].append(line.document)
    return Records(found["run"][0], {one["key"]: one for one in found["measurement"]}, found["cell"])


def check(path: Path, progress: Callable[[int], None] = lambda size: None) -> Checked:
    """Look for every fault of a record, at most MANY; of one whose first line is bad nothing else can be said.

    `progress` is told the bytes of each line. SuiteError when the file cannot be read.
    """
    whole = _Whole()
    lines: Counter[str] = Counter()
    faults: list[str] = []
    for number, raw in _numbered(path):
        progress(len(raw))
        try:
            lines[whole.add(Line(*_checked(raw), number)).kind] += 1
        except _Fault as fault:
            faults.append(_placed(path, number, fault))
            if not lines or len(faults) == MANY:
                break
    if not lines and not faults:
        faults.append(f"{path}: not a record: it is empty. {_AGAIN}")
    return Checked(lines=dict(lines), faults=tuple(faults))


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1, each at most a byte too long."""
    try:
        with path.open("rb") as stream:
            number = 0
            while raw := stream.readline(LONGEST + 1):
                number += 1
                yield number, raw
    except OSError as error:
        msg = f"{path}: no record to report from ({error.strerror}); run the suite first"
        raise SuiteError(msg) from error


def _placed(path: Path, number: int, fault: _Fault) -> str:
    text = "\n".join(printable(line) for line in str(fault).split("\n"))
    return f"{path}:{number}: {text}"


class _Fault(Exception):
    """What is wrong with a line, with what to do."""


# ---------------------------------------------------------------------------------------------------------- one line


def _checked(raw: bytes) -> tuple[Kind, Json]:
    """The document of a line that is as its schema says."""
    document = _parsed(raw)
    _check_values(document, look_at_text=bool(_SURROGATE.search(raw)))
    if not isinstance(document, dict):
        msg = f"not a record: {_what(document)}, expected an object. {_AGAIN}"
        raise _Fault(msg)
    _check_version(document.get("schema"), document)
    kind = document.get("kind")
    if kind not in ORDER:
        msg = f"not a record: kind is {shown(kind)}, expected one of {', '.join(ORDER)}. {_AGAIN}"
        raise _Fault(msg)
    try:
        KINDS[kind].__pydantic_validator__.validate_python(document)
    except ValidationError as error:
        faults = [f"{dotted(fault.loc)}: {fault.message}" for fault in describe(error, KINDS[kind], document)]
        raise _Fault(_listed(kind, faults)) from None
    return kind, document


def _parsed(raw: bytes) -> Any:
    if len(raw) > LONGEST:
        msg = f"the line is longer than {LONGEST >> 20} MiB. {_AGAIN}"
        raise _Fault(msg)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 text (byte {error.start + 1} of the line): it is compressed, or was changed. {_AGAIN}"
        raise _Fault(msg) from error
    try:
        document = _DECODER.decode(text)
    except RecursionError as error:
        msg = f"nested too deeply, expected at most {DEEPEST} levels. {_AGAIN}"
        raise _Fault(msg) from error
    except ValueError as error:
        cut = "" if raw.endswith(b"\n") else ": the file ends inside this line, it was not copied whole"
        msg = f"not JSON{cut} ({error}). {_AGAIN}"
        raise _Fault(msg) from error
    return document


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"the field {shown(twice)} stands twice in one object"
        raise ValueError(msg)
    return found


def _no_number(name: str) -> Any:
    msg = f"{name} is no number of JSON"
    raise ValueError(msg)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)


def _check_version(version: Any, document: Json) -> None:
    if version == SCHEMA and type(version) is int:
        return
    wrote = document.get("versions")
    by = f", by harness {shown(wrote['harness'])}" if isinstance(wrote, dict) and "harness" in wrote else ""
    if type(version) is not int:
        msg = f"not a record: schema is {shown(version)}, expected {SCHEMA}. {_AGAIN}"
    elif version > SCHEMA:
        msg = f"written by a newer harness (schema {version}{by}, this one reads {SCHEMA}); upgrade harness"
    else:
        msg = f"written by an older harness (schema {version}{by}, this one reads {SCHEMA}); run the suite again"
    raise _Fault(msg)


def _check_values(document: Any, look_at_text: bool) -> None:
    """Every value that no model looks at, too: how deep it lies, and numbers and text that could not be written."""
    is_cell = isinstance(document, dict) and document.get("kind") == "cell"
    quality = document.get("quality") if is_cell else None
    waiting: list[tuple[Any, int]] = [([document], 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            msg = f"nested too deeply, expected at most {DEEPEST} levels. {_AGAIN}"
            raise _Fault(msg)
        inside = value if isinstance(value, list) else list(value.values())
        if value is quality and isinstance(value, dict):
            inside = [
                one for name, one in value.items() if name not in ("samples", "confidence")
            ]  # their model does that
        kinds = set(map(type, inside))
        if kinds & {dict, list}:
            waiting += [(one, depth + 1) for one in inside if isinstance(one, dict | list)]
        if kinds & {int, float}:
            _check_numbers(inside if kinds <= {int, float} else [one for one in inside if type(one) in (int, float)])
        if look_at_text:
            _check_text([one for one in (*inside, *(value if isinstance(value, dict) else ())) if isinstance(one, str)])


def _check_numbers(numbers: list[float]) -> None:
    if min(numbers) < -GREATEST or max(numbers) > GREATEST:
        msg = f"a number beyond {GREATEST:g}. {_AGAIN}"
        raise _Fault(msg)


def _check_text(texts: list[str]) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        msg = f"text with half a character (a lone surrogate). {_AGAIN}"
        raise _Fault(msg) from error


def _listed(kind: str, faults: list[str]) -> str:
    more = f"\n  … and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    if len(faults) == 1:
        return f"{kind}: {faults[0].removeprefix(': ')}. {_AGAIN}"
    named = "".join(f"\n  {fault.removeprefix(': ')}" for fault in faults[:NAMED])
    return f"{kind}: {len(faults)} fields are not as the schema says. {_AGAIN}{named}{more}"


def _what(value: Any) -> str:
    return {"list": "a list", "NoneType": "null"}.get(type(value).__name__, shown(value))


# ----------------------------------------------------------------------------------------------- lines among each other


@dataclass
class _Whole:
    """What later lines are checked against: names and counts, no document."""

    timed: bool = False  # was speed measured?
    items: Mapping[str, int] = field(default_factory=dict)  # digest of examples → critical spans
    place: int = -1  # in ORDER
    subjects: dict[str, frozenset[str]] = field(default_factory=dict)  # measurement → its subjects
    axes: tuple[str, ...] | None = None  # of cells
    cells: set[str] = field(default_factory=set)
    points: set[tuple[Any, ...]] = field(default_factory=set)
    shapes: dict[str, tuple[int, int]] = field(default_factory=dict)  # digest of examples → (examples, figures)

    def add(self, line: Line) -> Line:
        """The line. Refuses what does not fit to the lines before."""
        place = ORDER.index(line.kind)
        if (self.place < 0) != (place == 0) or place < self.place:
            self._refuse(f"a line of kind '{line.kind}' out of order: expected one run, then measurements, then cells")
        self.place = place
        {"run": self._run, "measurement": self._measurement, "cell": self._cell}[line.kind](line.document)
        return line

    def _run(self, run: Json) -> None:
        self.timed = run["measure"]["speed"] is not None
        self.items = {
            data["examples"]: len(data["items"]) for data in run["task"]["data"] if data.get("items") is not None
        }

    def _measurement(self, measurement: Json) -> None:
        if not self.timed:
            self._refuse("measurement: speed was measured, and the run says that it was not (measure.speed)")
        if measurement["key"] in self.subjects:
            self._refuse(f"measurement: {shown(measurement['key'])} stands here twice (key)")
        self.subjects[measurement["key"]] = frozenset({"anchor", "twin", *measurement["rows"]})

    def _cell(self, cell: Json) -> None:
        axes = tuple(sorted(cell["axes"]))
        if self.axes not in (None, axes):
            self._refuse(f"cell: its axes are {', '.join(axes)}, those of cells before {', '.join(self.axes or ())}")
        point = tuple(cell["axes"][axis] for axis in axes)
        if cell["cell"] in self.cells or point in self.points:
            self._refuse(f"cell: {shown(cell['cell'])} stands here twice")
        subjects = self.subjects.get(cell["measure"])
        if subjects is not None and cell["subject"] not in subjects:
            self._refuse(f"cell: {shown(cell['subject'])} is not in its measurement (subject)")
        self.axes = axes
        self.cells.add(cell["cell"])
        self.points.add(point)
        if cell["quality"]:
            self._quality(cell["quality"])
        if cell.get("ensemble"):
            self._shape(cell["ensemble"], "ensemble")

    def _quality(self, quality: Json) -> None:
        digest, shape = quality["examples"], self._shape(quality, "quality")
        if "confidence" in quality and samples_shape(quality["confidence"])[0] != shape[0]:
            self._refuse(f"cell: quality.confidence: of other than the {shape[0]} examples of its samples")
        wanted, bits = self.items.get(digest), 4 * len(quality.get("found") or "")
        if "found" in quality and wanted is not None and not wanted <= bits < wanted + 8:
            self._refuse(f"cell: quality.found: {bits} bits for {wanted} critical spans")

    def _shape(self, scored: Json, place: str) -> tuple[int, int]:
        """(examples, figures), the same for all that was scored on the same examples."""
        shape = samples_shape(scored["samples"])
        known = self.shapes.setdefault(scored["examples"], shape)
        if shape != known:
            self._refuse(f"cell: {place}.samples: {shape} of the examples that another cell has {known} of")
        return shape

    @staticmethod
    def _refuse(text: str) -> None:
        msg = f"{text}. {_AGAIN}"
        raise _Fault(msg)
