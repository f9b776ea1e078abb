"""`kill -9` of a run: at random times, and at every point of a commit, of a stage and of a report."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.faults import Kind, Trial
from benchmarks.faults.planting import Fault
from benchmarks.faults.project import Project, calm, project, resumed, suite

EARLY = 0.4  # seconds: before that a run has done nothing yet


WAYS = ("the run alone", "its process group", "all its processes")


def _kill(one: Project, run: int, way: str) -> None:
    """The last is what a machine that goes down does, but for the order."""
    if way == "the run alone":
        os.kill(run, signal.SIGKILL)
    elif way == "its process group":
        os.killpg(run, signal.SIGKILL)
    else:
        for process in one.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()


def _random(count: int) -> Iterator[Trial]:
    return _at_random(suite(speed=False), count)


def _measuring(count: int) -> Iterator[Trial]:
    """Most of such a run's time is a measurement, whose processes stop each other by signals."""
    return _at_random(suite(seconds=0.0), count)


def _at_random(text: str, count: int) -> Iterator[Trial]:
    wanted, whole = calm(text)
    rng, number = random.Random(count), 0
    while number < count:
        way, after = WAYS[number % len(WAYS)], rng.uniform(min(EARLY, whole / 2), whole)
        with project(text) as one:
            run = one.start(*one.run_words())
            time.sleep(after)
            if run.poll() is not None:  # it was faster than this time
                run.communicate()
                whole = after
                continue
            _kill(one, run.pid, way)
            run.communicate()
            number += 1
            yield Trial(f"{way} after {after:.2f} s", _ended(one, wanted))


def _ended(one: Project, wanted: Mapping[str, Any]) -> str:
    left = one.left()
    return f"left running: {left[0]}" if left else resumed(one, wanted)


def _with_children(count: int) -> Iterator[Trial]:
    """While a plugin has processes of its own, which it would end itself."""
    text = suite(processes=2, seconds=1.0, speed=False)
    wanted, _ = calm(text)
    for number in range(count):
        way = WAYS[number % 2]
        with project(text) as one:
            run = one.start(*one.run_words())
            while run.poll() is None and sum("613" in word for word in map(_words, one.processes())) < 2:
                time.sleep(0.02)
            _kill(one, run.pid, way)
            run.communicate()
            yield Trial(f"{way}, with children", _ended(one, wanted))


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


# ---------------------------------------------------------------------------------------------------------- the points


@dataclass(frozen=True)
class Point:
    """A named point of a commit; `path` may speak of a stage's `{key}`, cut as the store does."""

    name: str
    operation: str
    when: str
    path: str


PRIVATE = "^staging/{key}[^/]*"
POINTS = (
    Point("before the private folder", "mkdir", "before", PRIVATE + "$"),
    Point("in the empty private folder", "mkdir", "after", PRIVATE + "$"),
    Point("in the middle of a file", "write", "half", PRIVATE + "/"),
    Point("before a file is synced", "fsync", "before", PRIVATE + "/"),
    Point("after a file was synced", "fsync", "after", PRIVATE + "/"),
    Point("before the manifest", "open", "before", PRIVATE + "/manifest.json"),
    Point("in the empty manifest", "open", "after", PRIVATE + "/manifest.json"),
    Point("in the middle of the manifest", "write", "half", PRIVATE + "/manifest.json"),
    Point("before the manifest is synced", "fsync", "before", PRIVATE + "/manifest.json"),
    Point("after the manifest was synced", "fsync", "after", PRIVATE + "/manifest.json"),
    Point("after the private folder was synced", "fsync", "after", PRIVATE + "$"),
    Point("before the rename", "rename", "before", "^objects/../{key}[^/]*$"),
    Point("after the rename", "rename", "after", "^objects/../{key}[^/]*$"),
    Point("after the entry's folder was synced", "fsync", "after", "^objects/..$"),
)
TEMPORARY = r"^reports/\.[0-9a-f]+\.tmp$"
KEPT = (
    Point("before its temporary file", "open", "before", TEMPORARY),
    Point("in the middle of its temporary file", "write", "half", TEMPORARY),
    Point("after its temporary file was synced", "fsync", "after", TEMPORARY),
    Point("before it is renamed", "rename", "before", "^reports/"),
    Point("after it was renamed", "rename", "after", "^reports/"),
)


def _points(count: int) -> Iterator[Trial]:
    text = suite(seconds=0.05)
    wanted, _ = calm(text)
    with project(text) as one:
        one.run()
        first: dict[str, str] = {}
        for entry in one.store.entries():
            first.setdefault(str(entry.manifest["kind"]), entry.key[:12])
    every = [(kind, key, point) for kind, key in sorted(first.items()) for point in POINTS]
    for kind, key, point in every[:count]:
        yield Trial(f"{kind}: {point.name}", killed_at(text, stage_fault(point, key), wanted))


def _reports(count: int) -> Iterator[Trial]:
    text = suite(speed=False, seconds=0.0)
    wanted, _ = calm(text)
    with project(text) as one:
        fired = str(one.folder / "fired")
        renames = Fault(root=str(one.folder), fired=fired, who="run", nth=0, operation="rename", path="^reports/")
        one.run(fault=renames)
        names = renames.listed
    # The first is a probe, which is empty: its temporary file is not written to.
    every = [(number, name, point) for number, name in enumerate(names, start=1) for point in KEPT]
    for number, name, point in [place for place in every if place[0] > 1][:count]:
        skipped = 1 if point.when == "half" else 0
        yield Trial(f"{name}: {point.name}", killed_at(text, report_fault(point, number - skipped), wanted))


def stage_fault(point: Point, key: str) -> dict[str, Any]:
    path = point.path.replace("{key}", key).replace("^", r"^\.harness/", 1)
    return {"operation": point.operation, "when": point.when, "path": path, "who": "worker"}


def report_fault(point: Point, number: int) -> dict[str, Any]:
    """At the file that is written as the `number`-th among the reports."""
    return {"operation": point.operation, "when": point.when, "path": point.path, "who": "run", "nth": number}


def killed_at(text: str, words: Mapping[str, Any], wanted: Mapping[str, object]) -> str:
    with project(text) as one:
        fault = Fault(root=str(one.folder), fired=str(one.folder / "fired"), **words)
        said = one.run(fault=fault)
        if not fault.hit or said.code != -signal.SIGKILL:
            return f"the run never came there; it ended with {said.code}: {said.last}"
        return _ended(one, wanted)


KINDS = (
    Kind(
        "kills.random",
        "`kill -9` of a run, of its process group, or of all its processes, at random times: whole entries alone, "
        "nothing left after 2 s, the same command ends with the same results and repeats no finished stage",
        _random,
        500,
    ),
    Kind("kills.measuring", "Likewise, mostly in the middle of a measurement", _measuring, 50),
    Kind(
        "kills.children",
        "`kill -9` of a run or its group while a plugin has processes of its own: the same, those included",
        _with_children,
        20,
    ),
    Kind(
        "kills.points",
        "`kill -9` of run and worker at every named point of a commit, for every kind of stage without torch: the same",
        _points,
        1000,
    ),
    Kind(
        "kills.reports",
        "`kill -9` of a run at every point of writing its record and each file of its report: the same",
        _reports,
        1000,
    ),
)
