"""`kill -9` of a run: at random times, and at every point of a commit, of a stage and of a report."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

from benchmarks.faults import Kind, Trial
from benchmarks.faults.planting import Fault
from benchmarks.faults.project import Project, calm, last, project, resumed, suite

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
    text = suite()
    wanted, whole = calm(text)
    rng = random.Random(count)
    number = 0
    while number < count:
        way = WAYS[number % len(WAYS)]
        after = rng.uniform(min(EARLY, whole / 2), whole)
        with project(text) as one:
            run = one.start(*one.run_words())
            time.sleep(after)
            if run.poll() is not None:
                run.communicate()
                continue  # it was faster than this time
            _kill(one, run.pid, way)
            run.communicate()
            left = one.left()
            problem = f"left running: {left[0]}" if left else resumed(one, wanted)
            number += 1
            yield Trial(f"{way} after {after:.2f} s", problem)


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
            left = one.left()
            problem = f"left running: {left[0]}" if left else resumed(one, wanted)
            yield Trial(f"{way}, with children", problem)


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
KEPT = (
    Point("before its temporary file", "open", "before", r"^reports/\.{name}\.\d+\.tmp$"),
    Point("in the middle of its temporary file", "write", "half", r"^reports/\.{name}\.\d+\.tmp$"),
    Point("after its temporary file was synced", "fsync", "after", r"^reports/\.{name}\.\d+\.tmp$"),
    Point("before it is renamed", "rename", "before", r"^reports/{name}$"),
    Point("after it was renamed", "rename", "after", r"^reports/{name}$"),
)


def _points(count: int) -> Iterator[Trial]:
    text = suite(seconds=0.05)
    wanted, _ = calm(text)
    with project(text) as one:
        one.run()
        first: dict[str, str] = {}
        for entry in one.store.entries():
            first.setdefault(str(entry.manifest["kind"]), entry.key[:12])
        reports = sorted(path.name for path in one.reports.iterdir())
    stages = [
        (f"{kind}: {p.name}", fault_at(p, "worker", key=key)) for kind, key in sorted(first.items()) for p in POINTS
    ]
    ends = [(f"{name}: {p.name}", fault_at(p, "run", name=name.replace(".", r"\."))) for name in reports for p in KEPT]
    for what, words in [*stages, *ends][:count]:
        yield Trial(what, killed_at(text, words, wanted))


def fault_at(point: Point, who: str, **names: str) -> dict[str, str]:
    path = point.path
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    # The store has another root than the reports.
    return {"operation": point.operation, "when": point.when, "path": path.replace("^", "^(.harness/)?", 1), "who": who}


def killed_at(text: str, words: Mapping[str, str], wanted: Mapping[str, object]) -> str:
    with project(text) as one:
        fault = Fault(root=str(one.folder), fired=str(one.folder / "fired"), **words)  # type: ignore[arg-type]
        said = one.run(fault=fault)
        if not fault.hit or said.code != -signal.SIGKILL:
            return f"the run never came there; it ended with {said.code}: {last(said)}"
        left = one.left()
        return f"left running: {left[0]}" if left else resumed(one, wanted)


KINDS = (
    Kind(
        "kills.random",
        "`kill -9` of a run, of its process group, or of all its processes, at random times: whole entries alone, "
        "nothing left after 2 s, the same command ends with the same results and repeats no finished stage",
        _random,
        500,
    ),
    Kind(
        "kills.children",
        "`kill -9` of a run or its group while a plugin has processes of its own: the same, those included",
        _with_children,
        20,
    ),
    Kind(
        "kills.points",
        "`kill -9` of run and worker at every named point of a commit, for every kind of stage without torch and for "
        "every file of a report: the same",
        _points,
        1000,
    ),
)
