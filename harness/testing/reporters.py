"""What a reporter promises."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from harness.plugins import build_registry
from harness.records import Records
from harness.reports import Report
from harness.specs import Metric, Params, TaskSpec
from harness.testing import common
from harness.testing.common import COMMON, Look
from harness.testing.model import Broken, Finding, passed
from harness.testing.observers import light_factory

NAME = "toys.rehearsal"
# Text that people or plugins chose. No reporter can be asked for one way of escaping: what is looked at are signs that
# steer a terminal, which no format needs.
_STEERING = ("\x1b", "\x07")
_ODD = "\x1b[31m<script>alert(1)</script> | \\input{x} =1+1 \x07"


class Bench(common.Bench):
    """A reporter and the report of a run in which everything failed with hostile words."""

    def files(self) -> dict[str, Any]:
        """What it makes of it."""
        return dict(self.spec.make(self.params()).files(report(), NAME))


class Judge:
    """As much of a task as a report without scores asks for."""

    def __init__(self, params: Params) -> None:
        self.params = params


def report() -> Report:
    """Made up: two rows, one failed, one skipped."""
    from harness.reports import summarise

    task = TaskSpec(
        name="toys",
        summary="toys",
        version=1,
        head="sequence",
        metrics=(Metric(name="accuracy"),),
        factory="harness.testing.reporters:Judge",
    )
    return summarise(Records(_run(), {}, [_cell("failed", 1), _cell("skipped", 2)]), build_registry([task]))


def _run() -> dict[str, Any]:
    identity = {"cpu": _ODD, "isa": "x86-64", "flags": [], "physical_cores": 2, "logical_cores": 2, "cpu_quota": None}
    rest: dict[str, Any] = {"memory_gib": 8, "memory_limit_gib": None, "system": "Linux", "gpus": []}
    observed = {"load_average": [0.1, 0.2, 0.3], "governor": None, "frequency_mhz": None, "steal_s": 0.0}
    data = {"origin": _ODD, "labels": ["a", "b"], "counts": {"train": 4, "dev": 2, "test": 2}, "facts": {}}
    metrics = [{"name": "accuracy", "higher_is_better": True, "unit": "%", "summary": _ODD}]
    return {
        "schema": 1,
        "kind": "run",
        "mode": "rehearsal",
        "started": "2030-01-02T03:04:05+00:00",
        "finished": "2030-01-02T03:05:05+00:00",
        "seconds": 60.0,
        "command": "harness run toys.toml",
        "commit": {"sha": "0" * 40, "dirty": False},
        "suite": {"name": "toys", "title": _ODD, "text": "", "set": []},
        "digest": "0" * 64,
        "task": {
            "name": "toys", "head": "sequence", "summary": _ODD, "max_length": 8, "metrics": metrics, "data": [data]
        },
        "anchor": {"model": _ODD, "compress": "none"},
        "measure": {"speed": None, "retention": None, "confidence": 0.95},
        "published": [],
        "claims": [],
        "machine": {"identity": {**identity, **rest}, "observations": observed},
        "versions": {"torch": _ODD},
        "plugins": [_ODD],
        "broken_plugins": {},
    }  # fmt: skip


def _cell(status: str, seed: int) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": "cell",
        "cell": f"model={seed}",
        "axes": {"model": _ODD, "compress": "none", "seed": seed},
        "student": "toy",
        "distil": ["finetune"],
        "teachers": [[]],
        "status": status,
        "reason": _ODD,
        "failed_stage": "train",
        "log": "",
        "retry": "harness run toys.toml",
        "quality": None,
        "artifact": None,
        "train": [],
        "compress": [],
        "measure": None,
        "unmeasured": _ODD,
        "subject": None,
        "stages": {},
        "ancestors": [],
    }


def names(bench: Bench, folder: Path) -> Finding:
    """Every file's name begins with the report's, and has no folder."""
    found = bench.files()
    wrong = [name for name in found if not name.startswith(NAME) or PurePosixPath(name).name != name]
    if wrong or not found:
        msg = f"files {list(found)}: at least one, each called '{NAME}…', without folders"
        raise Broken(msg)
    odd = [name for name, content in found.items() if not isinstance(content, str | bytes)]
    if odd:
        msg = f"'{odd[0]}' is a {type(found[odd[0]]).__name__}; text or bytes were expected"
        raise Broken(msg)
    return passed(", ".join(found))


def same(bench: Bench, folder: Path) -> Finding:
    """Twice."""
    if bench.files() != bench.files():
        msg = "the same report gives other bytes the second time"
        raise Broken(msg)
    return passed()


def quiet(bench: Bench, folder: Path) -> Finding:
    """Signs that steer a terminal."""
    for name, content in bench.files().items():
        text = content if isinstance(content, str) else content.decode("utf-8", errors="replace")
        found = [sign for sign in _STEERING if sign in text]
        if found:
            msg = f"{name} holds {', '.join(f'U+{ord(sign):04X}' for sign in found)} out of a name or a reason"
            raise Broken(msg)
    return passed()


def light(bench: Bench, folder: Path) -> Finding:
    """In a fresh interpreter."""
    return light_factory(bench.spec.factory, bench.params())


CHECKS = (
    *COMMON,
    Look("light-factory", "Making it imports nothing heavy: `harness report` is light.", light),
    Look("names", "It returns at least one file, each named after the report and none elsewhere.", names),
    Look("same", "The same report gives the same bytes: reports are compared and kept in git.", same),
    Look("quiet", "No sign out of a record that would steer a terminal.", quiet),
)
