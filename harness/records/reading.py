"""Reading records that may come from anybody, line by line: what is broken, newer or older is said with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import HarnessError, SuiteError
from harness.records.document import SCHEMA, Json, Records

Kind = Literal["run", "measurement", "cell"]
ORDER: tuple[Kind, ...] = ("run", "measurement", "cell")  # of lines: what a line refers to stands above it


@dataclass(frozen=True)
class Line:
    """One line of a record: a document that is as the schema of its kind says."""

    kind: Kind
    document: Json
    number: int  # in its file, from 1


def scan(path: Path) -> Iterator[Line]:
    """The lines of a record one by one: the run, then its measurements, then its cells.

    Nothing is kept: memory is that of the longest line. HarnessError with the place and what to do, as soon as a line
    is not what it should be; SuiteError when the file cannot be read.
    """
    last = 0
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                line = Line(*_parsed(raw, f"{path}:{number}"), number)
                place = ORDER.index(line.kind)
                if (number == 1) != (place == 0) or place < last:
                    msg = f"{path}:{number}: a line of kind '{line.kind}'; expected one run, measurements, then cells"
                    raise HarnessError(msg)
                last = place
                yield line
    except OSError as error:
        msg = f"{path}: no record to report from ({error.strerror}); run the suite first"
        raise SuiteError(msg) from error


def read_records(path: Path) -> Records:
    """Read a record. HarnessError with what to do when it is missing, newer, older, broken or not a record."""
    found: dict[str, list[Json]] = {kind: [] for kind in ORDER}
    for line in scan(path):
        found[line.kind].append(line.document)
    if not found["run"]:
        msg = f"{path}: not a record: it is empty. Run the suite again"
        raise HarnessError(msg)
    return Records(found["run"][0], {one["key"]: one for one in found["measurement"]}, found["cell"])


def _parsed(raw: bytes, place: str) -> tuple[Kind, Json]:
    try:
        document: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        msg = f"{place}: not a record: {error}. Run the suite again to write a new one"
        raise HarnessError(msg) from error
    if not isinstance(document, dict) or document.get("kind") not in ORDER:
        msg = f"{place}: not a record: every line must be a JSON object of kind {', '.join(ORDER)}"
        raise HarnessError(msg)
    if document.get("schema") != SCHEMA:
        msg = f"{place}: schema {document.get('schema')!r}, this version reads {SCHEMA}. Run the suite again"
        raise HarnessError(msg)
    return document["kind"], document
