"""What an observer promises."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

from harness.specs import Notice, Params
from harness.testing import common
from harness.testing.common import COMMON, HEAVY, Look, fresh
from harness.testing.jobs import describe
from harness.testing.model import Broken, Finding, passed
from harness.testing.toys import required

_TIME = "2030-01-02T03:04:05+00:00"
_ODD = "\x1b[31m<script> \u202e\n\0 Оценка \ud800"


class Bench(common.Bench):
    """An observer; params that name a file and have no default are a file in the check's own folder."""

    def made(self, folder: Path) -> Any:
        """With its params."""
        return self.spec.make(self.chosen(folder))

    def chosen(self, folder: Path) -> Params:
        """What was given; text that it cannot do without is a new file's path."""
        fields = self.spec.params.model_fields
        texts = [n for n in required(self.spec) if n not in self.given and fields[n].annotation in (str, Path)]
        made: Params = self.spec.params(**{n: str(folder / f"{n}.out") for n in texts}, **self.given)
        return made


def notices() -> list[Notice]:
    """A short run: a stage that goes well, one that fails with a hostile reason, one that never reports back."""
    stage: dict[str, Any] = {"time": _TIME, "key": "0" * 64, "label": f"train {_ODD}", "kind": "train"}
    return [
        Notice(what="run-started", time=_TIME, label="toys", facts={"cells": 2, "stages": 3}),
        Notice(what="stage-started", **stage),
        Notice(what="stage-progress", done=1, total=2, note=_ODD, **stage),
        Notice(what="stage-finished", status="ok", seconds=1.5, **stage),
        Notice(what="stage-started", **stage),
        Notice(what="stage-finished", status="failed", reason=_ODD * 100, **stage),
        Notice(what="run-finished", time=_TIME, label="toys", status="interrupted", seconds=2.0),
    ]


def takes(bench: Bench, folder: Path) -> Finding:
    """One run after another."""
    return cast("Finding", bench.once("takes", lambda: _takes(bench, folder)))


def _takes(bench: Bench, folder: Path) -> Finding:
    for _ in range(2):
        observer = bench.made(folder)
        for notice in notices():
            observer.notice(notice)
    return passed(f"{len(notices())} notices, twice")


def without_end(bench: Bench, folder: Path) -> Finding:
    """A run that is killed never says that it ended; facts and texts of notices stay as they are."""
    takes(bench, folder)
    before = notices()
    observer = bench.made(folder)
    told = before[:-1]
    for notice in told:
        observer.notice(notice)
    if told != notices()[:-1]:
        msg = "it changes the notices that it is handed; other observers are handed the same ones"
        raise Broken(msg)
    observer.notice(before[-1])
    return passed()


def ends(bench: Bench, folder: Path) -> Finding:
    """After the last notice no thread keeps the process alive."""
    takes(bench, folder)
    known = set(threading.enumerate())
    observer = bench.made(folder)
    for notice in notices():
        observer.notice(notice)
    left = [one.name for one in threading.enumerate() if one not in known and not one.daemon]
    if left:
        msg = f"after the run's end its threads go on: {', '.join(left)}"
        raise Broken(msg)
    return passed()


def light(bench: Bench, folder: Path) -> Finding:
    """In a fresh interpreter."""
    return light_factory(bench.spec.factory, bench.chosen(folder))


def light_factory(factory: str, params: Params) -> Finding:
    """What making a component imports. Broken where a heavy library is among it."""
    code = (
        "import sys; from harness.specs import load_object; from harness.testing.jobs import params_of;"
        f"load_object({factory!r})(params_of({describe(params)!r})); print('LOADED', *sys.modules)"
    )
    loaded = set(fresh(code).rpartition("LOADED")[2].split()) & (set(HEAVY) - {"matplotlib"})
    if loaded:
        msg = f"'{factory}' imports {', '.join(sorted(loaded))}; commands that load it are light"
        raise Broken(msg)
    return passed(factory)


CHECKS = (
    *COMMON,
    Look("light-factory", "Making it imports nothing heavy: it lives in the process that people wait for.", light),
    Look("notices", "It takes every kind of notice, with hostile text in any of them, run after run.", takes),
    Look("notices-kept", "It leaves notices as they are: other observers are handed the same ones.", without_end),
    Look("ends", "After a run's last notice, nothing of it keeps the process alive.", ends),
)
