"""How soon a stage begins again after a part of the cluster is lost, in a graph of six stages on two workers."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.faults.dask_cluster import Cluster, family, send, wait_for
from benchmarks.overhead import TOY, stage
from harness.claims import Claims
from harness.executors import Executor
from harness.keys import Stage
from harness.plan import Plan
from harness.runner import Outcome, Runner
from harness.specs import ExecutorRequest
from harness.store import Store
from harness_dask.executor import dask_executor
from harness_dask.plugin import DaskParams

ROUNDS = 200_000_000  # of an empty loop: the stage that is hit takes some seconds
RETRIES = 3


@dataclass
class Run:
    """Six stages on a cluster; the one that is hit waits for two and is waited for by one."""

    store: Store
    cluster: Cluster
    ran: Path
    hit: Stage
    stages: dict[str, Stage]
    executor: Executor

    def holder(self) -> int:
        """The worker's process that is at the stage; 0: none."""
        found = Claims(self.store.claims).look(self.hit.key)
        return found.holder.pid if found and found.where and found.holder else 0

    def outcomes(self, during: Callable[[], None]) -> dict[str, Outcome]:
        runner = Runner(Plan(suite=None, cells=(), stages=self.stages), self.store, self.executor)
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            wait_for(self.holder, 60, "the stage begins")
            during()
        finally:
            thread.join(300)
        return dict(runner.outcomes)

    def executions(self) -> int:
        return len(self.ran.read_text().split())


@contextmanager
def started() -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        ran, store = Path(folder) / "ran.txt", Store(Path(folder) / "store")
        store.create()
        own = {"TOY_RAN": str(ran), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
        cluster = Cluster(Path(folder), {**os.environ, **own})
        cluster.start_scheduler()
        cluster.start_worker()
        cluster.start_worker()
        first, second, other, last = (stage(number) for number in range(4))
        task = {"task": {"use": "toy", "params": {"examples": 1, "rounds": ROUNDS}}}
        hit = stage(4)
        hit = replace(hit, options={**hit.options, **task}, after=(first.key, second.key))
        after = stage(5)
        stages = [first, second, other, last, hit, replace(after, after=(hit.key,))]
        request = ExecutorRequest(
            store=store, capacity=2, threads=1, progress=lambda event: None,
            params=DaskParams(address=cluster.address, retries=RETRIES),
        )  # fmt: skip
        executor = dask_executor(request)
        try:
            executor.check(stages)
            yield Run(store, cluster, ran, hit, {one.key: one for one in stages}, executor)
        finally:
            executor.close()
            cluster.close()


def begun_again(run: Run, lose: Callable[[int], None], seconds: float = 120) -> float:
    """From the loss of the worker that is at the stage until another process is at it."""
    before = run.holder()
    start = time.perf_counter()
    lose(before)
    wait_for(lambda: run.holder() not in (0, before), seconds, "it begins again")
    return time.perf_counter() - start


def _worker(run: Run) -> tuple[float, dict[str, Outcome]]:
    found: list[float] = []
    outcomes = run.outcomes(lambda: found.append(begun_again(run, lambda pid: send(pid, signal.SIGKILL))))
    return found[0], outcomes


def _frozen(run: Run) -> tuple[float, dict[str, Outcome]]:
    def freeze(pid: int) -> None:
        for one in family(pid):
            send(one, signal.SIGSTOP)

    found: list[float] = []
    outcomes = run.outcomes(lambda: found.append(begun_again(run, freeze)))
    return found[0], outcomes


def _scheduler(run: Run) -> tuple[float, dict[str, Outcome]]:
    def restart(_: int) -> None:
        for process in [*run.cluster.workers, run.cluster.scheduler]:
            assert process is not None
            for one in family(process.pid):
                send(one, signal.SIGKILL)
            process.wait()
        run.cluster.start_scheduler()
        run.cluster.start_worker()

    found: list[float] = []
    outcomes = run.outcomes(lambda: found.append(begun_again(run, restart)))
    return found[0], outcomes


def _poison(run: Run) -> tuple[float, dict[str, Outcome]]:
    starts: list[int] = []

    def kill_each() -> None:
        for _ in range(RETRIES + 1):
            wait_for(lambda: run.holder() not in (0, *starts), 60, "it begins once more")
            starts.append(run.holder())
            run.cluster.start_worker()
            send(starts[-1], signal.SIGKILL)

    begin = time.perf_counter()
    outcomes = run.outcomes(kill_each)
    return time.perf_counter() - begin, outcomes


def run() -> Iterator[str]:
    sys.path.insert(0, str(TOY))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(TOY), os.environ.get("PYTHONPATH"))))
    for what, lose in (
        ("worker killed", _worker),
        ("worker frozen", _frozen),
        ("scheduler and workers killed", _scheduler),
    ):
        with started() as run_:
            seconds, outcomes = lose(run_)
            ok = sum(outcome.status in ("ok", "cached") for outcome in outcomes.values())
            again = run_.executions() - len(run_.stages)
        yield f"{what}: begun again after {seconds:.1f} s, {ok} of 6 stages done, {again} begun twice"
    with started() as run_:
        seconds, outcomes = _poison(run_)
        failed = [outcome.reason for outcome in outcomes.values() if outcome.status == "failed"]
    yield f"a stage whose worker dies {RETRIES + 1} times: failed after {seconds:.1f} s: {'; '.join(failed)}"
