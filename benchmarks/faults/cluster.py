"""`--executor dask` while its workers, its scheduler, its stages' processes and the run itself are killed and frozen."""

from __future__ import annotations

import contextlib
import functools
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.faults import Kind, NotHere, Trial
from benchmarks.faults.dask_cluster import Cluster, alive, family, send, wait_for
from benchmarks.faults.planting import Fault
from benchmarks.faults.project import ENDING_S, PATIENCE_S, Project, calm, project, suite

TEXT = suite(speed=False, seconds=0.8, seeds=(1, 2, 3))
SPAN_S = 4.0  # after the first stage has begun, a fault comes within
CLOSING_S = 20.0  # in which Dask's own programs end when they are told to
STAGE, WORKER, SPAWNED = "harness.executors.worker", "distributed.cli.dask_worker", "multiprocessing.spawn"
BEGUN = re.compile(r"mkdir \.harness/staging/([0-9a-f]{12})-[^/]*")
STORED = re.compile(r"rename \.harness/objects/../([0-9a-f]{12})[0-9a-f]*")


@dataclass(frozen=True)
class Bench:
    """A project, its cluster (None: the run starts its own), and a list of what all processes do in the store."""

    one: Project
    made: Fault
    cluster: Cluster | None

    def start(self) -> subprocess.Popen[str]:
        words = ["--executor", "dask", "--workers", "2"]
        words += ["--set", f"executor.address={self.cluster.address}"] if self.cluster else []
        return self.one.start(*self.one.run_words(*words), fault=self.made)

    @property
    def begun(self) -> list[str]:
        """Stages, as often as they were begun."""
        return [found[1] for line in self.made.listed if (found := BEGUN.fullmatch(line))]

    def again(self) -> list[str]:
        """Finished stages that were begun again."""
        stored, found = set[str](), []
        for line in self.made.listed:
            if done := STORED.fullmatch(line):
                stored.add(done[1])
            elif (new := BEGUN.fullmatch(line)) and new[1] in stored:
                found.append(new[1])
        return found

    def pids(self, word: str) -> list[int]:
        """Processes of the trial with a word in their command."""
        return [process.pid for process in self.one.processes() if word in _command(process)]

    def end(self) -> None:
        """What a person does who needs the cluster no more, and waits until its programs have ended."""
        scheduler = [self.cluster.scheduler] if self.cluster and self.cluster.scheduler else []
        _end(self.cluster.workers if self.cluster else [])
        _end(scheduler)  # a worker that loses it looks for it for a while


def _end(programs: Sequence[subprocess.Popen[bytes]]) -> None:
    for program in programs:
        program.terminate()
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: all(program.poll() is not None for program in programs), CLOSING_S)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextlib.contextmanager
def bench(text: str, *, own: bool) -> Iterator[Bench]:
    """With a scheduler and two workers that are there before the run, unless it starts its own."""
    with project(text) as one:
        made = Fault(
            root=str(one.folder), fired=str(one.folder / "made"), operation="mkdir|rename", when="after", nth=0
        )
        if own:
            yield Bench(one, made, None)
            return
        folder = one.folder / "cluster"
        folder.mkdir()
        cluster = Cluster(folder, one.environment(made))
        try:
            cluster.start_scheduler()
            cluster.start_worker()
            cluster.start_worker()
            yield Bench(one, made, cluster)
        finally:
            cluster.close()


# What is done to a run: it returns what went wrong meanwhile, or nothing.
Hit = Callable[[Bench, "subprocess.Popen[str]", random.Random], str]


def _trials(hit: Hit, count: int, *, own: bool = False, fails: bool = False) -> Iterator[Trial]:
    """`fails`: the run may end with a failed row, and the same command then finishes it."""
    _needs_dask()
    wanted, _ = calm(TEXT)
    rng, number, span = random.Random(count), 0, SPAN_S
    while number < count:
        after = rng.uniform(0, span)
        with bench(TEXT, own=own) as place:
            run = place.start()
            _begun(place, run)
            time.sleep(after)
            if run.poll() is not None:  # it was faster than this time
                said = run.communicate()[1]
                if run.returncode:
                    yield Trial("before the fault", f"the run ended with {run.returncode}: {said[-300:]}")
                    number += 1
                span = max(after, 0.2)
                continue
            problem = hit(place, run, rng) or _ended(place, run, wanted, fails=fails)
            number += 1
            yield Trial(f"{after:.2f} s after the first stage began", problem)


def _begun(place: Bench, run: subprocess.Popen[str]) -> None:
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: place.begun or run.poll() is not None, PATIENCE_S)


def _ended(place: Bench, run: subprocess.Popen[str], wanted: Mapping[str, Any], *, fails: bool) -> str:
    code, said = waited(run)
    if (fails and code == 1) or code == -signal.SIGKILL:
        code, said = waited(place.start())
    if code:
        return f"the run ended with {code}: {said[-300:]}"
    if torn := place.one.torn():
        return f"torn: {torn[0]}"
    if again := place.again():
        return f"{len(again)} finished stages ran again: {again[0]}"
    place.end()
    if left := place.one.left():
        return f"left running: {left[0]}"
    return place.one.differs(wanted)


def waited(run: subprocess.Popen[str]) -> tuple[int, str]:
    """How a run ended, and what it said."""
    try:
        said = run.communicate(timeout=PATIENCE_S)[1]
    except subprocess.TimeoutExpired:
        run.kill()
        return 999, f"it did not end within {PATIENCE_S:.0f} s: {run.communicate()[1]}"
    return run.returncode, said


def _needs_dask() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        msg = f"the package distributed is not installed ({error})"
        raise NotHere(msg) from error


def _gone(pids: list[int], what: str) -> str:
    """What of these is left after two seconds."""
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: not any(map(alive, pids)), ENDING_S)
    left = [pid for pid in pids if alive(pid)]
    return f"{what} left running: {_command(psutil.Process(left[0]))[:80]}" if left else ""


# ------------------------------------------------------------------------------------------------ what is done to a run


def kill_worker(place: Bench, _: object, rng: random.Random) -> str:
    assert place.cluster
    victim = rng.choice(place.cluster.workers)
    processes = family(victim.pid)
    victim.kill()
    victim.wait()
    return _gone(processes, "a killed worker's")


def kill_stage(place: Bench, _: object, rng: random.Random) -> str:
    send(rng.choice(place.pids(STAGE) or [2**22 + 1]), signal.SIGKILL)
    return ""


def freeze_worker(place: Bench, run: subprocess.Popen[str], rng: random.Random, *, whole: bool = True) -> str:
    """For as long as the run lasts; then it goes on with what it was at."""
    assert place.cluster
    victim = rng.choice(place.cluster.workers).pid
    processes = family(victim) if whole else [victim]
    for pid in processes:
        send(pid, signal.SIGSTOP)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(PATIENCE_S)
    before = place.one.finished()
    for pid in processes:
        send(pid, signal.SIGCONT)
    time.sleep(2.0)
    return "" if place.one.finished() == before else "a late result changed what was stored"


def restart_scheduler(place: Bench, _: object, rng: random.Random) -> str:
    """Its workers leave with it; others come with the new one."""
    cluster = place.cluster
    assert cluster
    assert cluster.scheduler
    cluster.scheduler.kill()
    cluster.scheduler.wait()
    time.sleep(rng.uniform(0, 2.0))
    cluster.start_scheduler()
    cluster.start_worker()
    cluster.start_worker()
    return ""


def freeze_scheduler(place: Bench, _: object, rng: random.Random) -> str:
    assert place.cluster
    assert place.cluster.scheduler
    _pause(place.cluster.scheduler.pid, rng.uniform(2.0, 12.0))
    return ""


def kill_run(place: Bench, run: subprocess.Popen[str], _: object) -> str:
    """The workers of a cluster of others go on with what they are at; those of its own end with it."""
    run.kill()
    run.wait()
    left = [] if place.cluster else place.one.left()
    return f"left running: {left[0]}" if left else ""


def freeze_run(_: object, run: subprocess.Popen[str], rng: random.Random) -> str:
    _pause(run.pid, rng.uniform(2.0, 8.0))
    return ""


def _pause(pid: int, seconds: float) -> None:
    send(pid, signal.SIGSTOP)
    time.sleep(seconds)
    send(pid, signal.SIGCONT)


def kill_own_worker(place: Bench, _: object, rng: random.Random) -> str:
    """One of its nannies' children, or the program that all of them belong to."""
    words = SPAWNED if rng.random() < 0.7 else WORKER
    victim = rng.choice(place.pids(words) or [2**22 + 1])
    processes = family(victim)
    send(victim, signal.SIGKILL)
    return _gone(processes, "a killed worker's")


def _kind(name: str, what: str, hit: Hit, count: int, **named: bool) -> Kind:
    return Kind(f"cluster.{name}", what, functools.partial(_trials, hit, **named), count)


KINDS = (
    _kind(
        "worker",
        "`--executor dask`, two workers, one of them killed at a random time: the run ends with the results of one that "
        "was left alone, no finished stage runs again, nothing of the worker is left after 2 s, nor of the cluster after its end",
        kill_worker,
        10,
    ),
    _kind(
        "stage",
        "The process of a stage killed: its row fails at once, the same command makes it; the rest as above",
        kill_stage,
        6,
        fails=True,
    ),
    _kind("frozen", "A worker frozen with its stages for good, thawed after the run's end: the same", freeze_worker, 4),
    _kind(
        "half-frozen",
        "A worker frozen while its stage's process goes on: the same",
        functools.partial(freeze_worker, whole=False),
        2,
    ),
    _kind("scheduler", "The scheduler killed, and started again with new workers: the same", restart_scheduler, 8),
    _kind("scheduler-frozen", "The scheduler frozen for 2 to 12 s: the same", freeze_scheduler, 2),
    _kind("run", "The run killed, and the same command given again: the same", kill_run, 8),
    _kind("run-frozen", "The run frozen for 2 to 8 s: the same", freeze_run, 4),
    _kind(
        "own-worker",
        "A cluster that the run has started itself, one of its workers killed, or all of them: the same",
        kill_own_worker,
        3,
        own=True,
    ),
    _kind(
        "own-run",
        "The run killed with its own cluster: nothing is left after 2 s; the rest as above",
        kill_run,
        3,
        own=True,
    ),
)
