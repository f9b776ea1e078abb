"""Many runs of one suite at once, on one store."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from benchmarks.faults import Kind, Trial
from benchmarks.faults.planting import Fault
from benchmarks.faults.project import Project, calm, project, suite

RUNS = 16
TEXT = suite(speed=False, seconds=0.05, seeds=(1, 2, 3, 4, 5))
PATIENCE_S = 900.0
PRIVATE = re.compile(r"mkdir \.harness/staging/([0-9a-f]{12})-[^/]*")  # a stage's own folder


def crowd(text: str, runs: int) -> Iterator[Trial]:
    """A trial per stage (is it published once, and made once?), and one per run (are its results the same?)."""
    wanted, _ = calm(text)
    with project(text) as one:
        made = Fault(
            root=str(one.folder), fired=str(one.folder / "made"), operation="mkdir|rename", when="after", nth=0
        )
        several = [replace(one, reports_at=f"reports {number}") for number in range(runs)]
        started = [(run, run.start(*run.run_words(), fault=made)) for run in several]
        ended = [Trial(run.reports_at, _ended(run, process, wanted)) for run, process in started]
        published = Counter(line.split("/")[-1] for line in made.listed if line.startswith("rename .harness/objects/"))
        tried = Counter(found[1] for line in made.listed if (found := PRIVATE.fullmatch(line)))
        for entry in one.store.entries():
            times = published[entry.key], tried[entry.key[:12]]
            problem = "" if times == (1, 1) else f"published {times[0]} times, made {times[1]} times"
            yield Trial(str(entry.manifest["label"]), problem)
        yield from ended


def _ended(one: Project, process: subprocess.Popen[str], wanted: Mapping[str, object]) -> str:
    _, err = process.communicate(timeout=PATIENCE_S)
    return f"ended with {process.returncode}: {err[-200:]}" if process.returncode else one.differs(wanted)


def _rounds(count: int) -> Iterator[Trial]:
    for _ in range(count):
        yield from crowd(TEXT, RUNS)


KINDS = (
    Kind(
        "crowd",
        f"{RUNS} runs at once of 46 stages on one store: every stage made once and published once, every run ends with the "
        "results of one that was alone",
        _rounds,
        1,
    ),
)
