"""Inputs that change while a stage reads them: the data of a suite, and entries of the store."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.faults import Kind, Trial
from benchmarks.faults.planting import Fault
from benchmarks.faults.project import Project, Said, calm, project, resumed, suite
from harness.store import files_under

WAYS = ("appended", "rewritten", "replaced", "truncated", "removed")
TEXT = suite(speed=False, seconds=0.0)
SOURCE = """
schema = 1
[suite]
name = "toys"
title = "Toys"
anchor = { model = "plain" }
[task]
use = "sentiment"
source = "rows.csv"
dev = 0.2
test = 0.2
[models.plain]
use = "toy"
[matrix]
model = ["plain"]
[measure]
speed = false
"""


def write_rows(folder: Path) -> Path:
    rng = random.Random(0)
    texts = ["".join(rng.choices("ab", k=20)) for _ in range(100)]
    rows = [f"{text},{'good' if text.count('a') > 10 else 'bad'}" for text in texts]
    path = folder / "rows.csv"
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def data(count: int) -> Iterator[Trial]:
    """When the stage opens the file for the first time, has just opened it, and looks whether it is as it was."""
    moments = [("before", 1), ("after", 1), ("before", 2)]
    every = [(way, when, nth) for when, nth in moments for way in WAYS]
    with project(SOURCE) as calm_one:
        write_rows(calm_one.folder)
        said = calm_one.run()
        wanted = calm_one.results() if said.code == 0 else {"failed": said.err}
    for way, when, nth in every[:count]:
        yield Trial(f"data {way} {when} it is opened, time {nth}", _changed_data(way, when, nth, wanted))


def _changed_data(way: str, when: str, nth: int, wanted: Mapping[str, Any]) -> str:
    with project(SOURCE) as one:
        path = write_rows(one.folder)
        fault = Fault(
            root=str(one.folder), fired=str(one.folder / "fired"), who="worker", operation="read", when=when, nth=nth,
            path=r"^rows\.csv$", do=way, victim=str(path),
        )  # fmt: skip
        said = one.run(fault=fault)
        problem = _refused(said, fault, "rows.csv")
        if [entry for entry in one.store.entries() if entry.manifest["kind"] == "prepare"]:
            return "what was read of it was published"
        write_rows(one.folder)
        return problem or resumed(one, wanted)


def entries(count: int) -> Iterator[Trial]:
    """By whatever runs in a stage's worker, when its work begins."""
    wanted, _ = calm(TEXT)
    with project(TEXT) as one:
        one.run()
        readers = [entry for entry in one.store.entries() if entry.manifest["kind"] in ("compress", "predict", "score")]
        first = {str(entry.manifest["kind"]): entry for entry in readers}
        inputs = {kind: _input(one, entry.key) for kind, entry in first.items()}
    every = [(kind, way) for way in WAYS for kind in sorted(first)]
    for kind, way in every[:count]:
        problem = _changed_entry(first[kind].key, inputs[kind], way, wanted)
        yield Trial(f"an input of a {kind} stage {way}", problem)


def _input(one: Project, key: str) -> str:
    """A file of an entry that the stage reads, from the folder of the project."""
    from harness.data import read_json

    identity = read_json(one.store.folder(key) / "key.json")
    ref = next(iter(identity["inputs"].values()))
    folder = one.store.folder(str(ref[0] if isinstance(ref, list) else ref["key"]))
    path = next(path for path in sorted(files_under(folder)) if path.parent != folder)
    return str(path.relative_to(one.folder))


def _changed_entry(key: str, victim: str, way: str, wanted: Mapping[str, Any]) -> str:
    with project(TEXT) as one:
        fault = Fault(
            root=str(one.folder), fired=str(one.folder / "fired"), who="worker", operation="mkdir", when="after",
            path=rf"^\.harness/staging/{key[:12]}[^/]*$", do=way, victim=str(one.folder / victim),
        )  # fmt: skip
        said = one.run(fault=fault)
        problem = _refused(said, fault, "among its inputs, which are read-only")
        if one.store.entry(key):
            return "the result of the stage was published"
        return problem or resumed(one, wanted)


def _refused(said: Said, fault: Fault, words: str) -> str:
    if not fault.hit:
        return f"the run never came there; it ended with {said.code}: {said.last}"
    if said.code not in (1, 2) or "Traceback" in said.err or words not in said.err:
        return f"it ended with {said.code}: {said.err[-300:]}"
    return ""


KINDS = (
    Kind(
        "inputs.data",
        "A file of data appended to, rewritten with its size and time kept, replaced, cut short or removed while `prepare` "
        "reads it: refused by name, nothing published, the next run is as it should be",
        data,
        15,
    ),
    Kind(
        "inputs.entries",
        "An entry changed in these ways while a stage reads it: refused, the result is not published, the next run makes "
        "the entry again and ends with the same results",
        entries,
        15,
    ),
)
