"""What a stage costs on a Dask cluster of this machine beyond its work, and how far two workers are from twice one."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.overhead import TOY, stage
from harness.executors import Executor
from harness.executors.local import LocalExecutor
from harness.keys import Stage
from harness.plan import Plan
from harness.runner import Runner
from harness.specs import ExecutorRequest
from harness.store import Store
from harness_dask.executor import dask_executor
from harness_dask.plugin import DaskParams

STAGES = 2000
LAYERS = 5  # each stage of one needs one of the layer before
BUSY, ROUNDS = 24, 40_000_000  # single-threaded stages, of about a second of work each


def layered(count: int) -> dict[str, Stage]:
    found: list[Stage] = []
    width = count // LAYERS
    for number in range(count):
        found.append(replace(stage(number), after=(found[number - width].key,) if number >= width else ()))
    return {one.key: one for one in found}


def busy(count: int) -> dict[str, Stage]:
    options = {"task": {"use": "toy", "params": {"examples": 1, "rounds": ROUNDS}}}
    found = [replace(one, options={**one.options, **options}) for one in map(stage, range(count))]
    return {one.key: one for one in found}


def seconds(stages: dict[str, Stage], store: Store, executor: Executor) -> float:
    start = time.perf_counter()
    outcomes = Runner(Plan(suite=None, cells=(), stages=stages), store, executor).run()
    bad = [outcome for outcome in outcomes.values() if outcome.status not in ("ok", "cached")]
    if bad:
        raise SystemExit(bad[0].reason)
    return time.perf_counter() - start


def on_dask(stages: dict[str, Stage], folder: Path, workers: int, *, again: bool = False) -> tuple[float, float, float]:
    """Seconds of a first run, of CPU in this process meanwhile (run and scheduler), of a second run that finds all."""
    store = Store(folder)
    store.create()
    request = ExecutorRequest(
        store=store, capacity=workers, threads=1, params=DaskParams(), progress=lambda event: None
    )
    executor = dask_executor(request)
    try:
        executor.check([*stages.values()])
        before = time.process_time()
        first = seconds(stages, store, executor)
        own = time.process_time() - before
        return first, own, seconds(stages, store, executor) if again else 0.0
    finally:
        executor.close()


def run() -> Iterator[str]:
    sys.path.insert(0, str(TOY))  # workers have to have the same plugins as the run
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(TOY), os.environ.get("PYTHONPATH"))))
    stages = layered(STAGES)
    with tempfile.TemporaryDirectory() as folder:
        first, own, warm = on_dask(stages, Path(folder) / "dask", 2, again=True)
        local = seconds(stages, *_local(Path(folder) / "local"))
    yield f"{1000 * first / STAGES:.1f} ms per stage over {STAGES} no-op stages in {LAYERS} layers, two workers (bar 10)"
    yield f"{1000 * own / STAGES:.1f} ms of it are CPU of the run's own process, with the scheduler in it"
    yield f"{1000 * local / STAGES:.1f} ms per stage in two local worker processes, the same stages"
    yield f"{warm:.2f} s for a run that finds all {STAGES} (bar 1)"
    with tempfile.TemporaryDirectory() as folder:
        one, *_ = on_dask(busy(BUSY), Path(folder) / "one", 1)
        two, *_ = on_dask(busy(BUSY), Path(folder) / "two", 2)
    yield f"{one:.1f} s by one worker, {two:.1f} s by two"
    yield f"efficiency {one / two / 2:.2f} of two workers against one, {BUSY} single-threaded stages (bar 0.85)"


def _local(folder: Path) -> tuple[Store, LocalExecutor]:
    store = Store(folder)
    store.create()
    return store, LocalExecutor(store, capacity=2, threads=1)
