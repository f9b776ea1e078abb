"""What an executor promises."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

from harness.assets import Asset, Places, find_data
from harness.executors import Event, Executor
from harness.keys import Stage
from harness.plugins import load_registry
from harness.specs import ExecutorRequest, ExecutorSpec, TaskSpec
from harness.store import Store
from harness.testing import common
from harness.testing.common import COMMON, Look
from harness.testing.model import Broken, Finding, NotApplicable, passed

_PATIENCE_S = 60.0
_CAPACITY = 2


class Bench(common.Bench):
    """An executor and stages that prepare a bundled sample."""

    def open(self, folder: Path) -> tuple[Executor, Store]:
        """A new one with a new store."""
        store = Store(folder / "store")
        store.create()
        spec = cast("ExecutorSpec", self.spec)
        request = ExecutorRequest(
            store=store, capacity=_CAPACITY, threads=1, params=self.params(), progress=lambda event: None
        )
        return spec.make(request), store


def stage() -> Stage:
    """Prepare a bundled sample: the workers have the installed plugins, and no others. NotApplicable without one."""
    for entry in load_registry().components["task"]:
        spec = cast("TaskSpec", entry.spec)
        found = find_data(spec.sample_source, Places()) if spec.sample_source else None
        if isinstance(found, Asset):
            asset = {**asdict(found), "root": str(found.root), "files": list(found.files), "path": str(found.path)}
            return Stage(
                kind="prepare",
                component=entry.full_name,
                version=spec.version,
                params={"roles": list(spec.roles)},
                data={"source": found.fingerprint},
                options={"task": {"use": entry.full_name, "params": {}}, "asset": asset},
                label="prepare a sample",
            )
    msg = "no installed task has a bundled sample to prepare"
    raise NotApplicable(msg)


def broken_stage() -> Stage:
    """The same without its source."""
    sound = stage()
    return replace(sound, options={**sound.options, "asset": {"missing": "the sample is gone"}}, label="has no source")


def run(executor: Executor, stages: Sequence[Stage]) -> list[Event]:
    """Hand the stages over and wait for them. Broken where that takes over a minute."""
    waiting, ended = list(stages), list[Event]()
    deadline = time.monotonic() + _PATIENCE_S
    while len(ended) < len(stages):
        while waiting and len(stages) - len(waiting) - len(ended) < executor.capacity:
            executor.submit(waiting.pop(0))
        ended += [event for event in executor.wait(0.2) if event.kind != "progress"]
        if time.monotonic() > deadline:
            msg = f"{len(stages) - len(ended)} of {len(stages)} stages had no end after {_PATIENCE_S:.0f} s"
            raise Broken(msg)
    return ended


def runs(bench: Bench, folder: Path) -> Finding:
    """A stage is in the store afterwards."""
    executor, store = bench.open(folder)
    try:
        (event,) = run(executor, [stage()])
    finally:
        executor.close()
    if event.kind != "done" or event.key != stage().key:
        msg = f"a stage that goes well ended as '{event.kind}' of '{event.key[:12]}': {event.reason}"
        raise Broken(msg)
    if store.entry(event.key) is None or store.verify(event.key):
        msg = "it says that a stage is done, and the store does not have it"
        raise Broken(msg)
    return passed(f"in {event.seconds:.1f} s")


def fails(bench: Bench, folder: Path) -> Finding:
    """A stage that fails is an event with a reason, and the next one runs."""
    executor, _ = bench.open(folder)
    try:
        events = [*run(executor, [broken_stage()]), *run(executor, [replace(stage(), version=2)])]
    finally:
        executor.close()
    kinds = [event.kind for event in events]
    if kinds != ["failed", "done"] or not events[0].reason:
        expected = "'failed' with a reason and 'done' were expected"
        msg = f"a stage without its source and a sound one ended as {kinds}; {expected}"
        raise Broken(msg)
    return passed(events[0].reason[:80])


def waits(bench: Bench, folder: Path) -> Finding:
    """With nothing to do."""
    executor, _ = bench.open(folder)
    try:
        if executor.capacity < 1:
            msg = f"its capacity is {executor.capacity}; at least 1 was expected"
            raise Broken(msg)
        start = time.monotonic()
        events = executor.wait(0.2)
        if events or time.monotonic() - start > _PATIENCE_S / 2:
            msg = f"with nothing to do, `wait(0.2)` gave {len(events)} events in {time.monotonic() - start:.1f} s"
            raise Broken(msg)
    finally:
        executor.close()
        executor.close()
    return passed(f"capacity {executor.capacity} of {_CAPACITY} asked for; closed twice")


CHECKS = (
    *COMMON,
    Look("runs", "A stage that it says is done is in the store, whole.", runs),
    Look("fails", "A stage that fails is an event with a reason, no exception, and the next one runs.", fails),
    Look("waits", "With nothing to do it waits as long as it is told, and it can be closed at any time.", waits),
)
