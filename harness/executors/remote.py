"""What a machine elsewhere does for a run: one stage at a time, as the local executor would, into the shared store.

An executor brings `Job.text()` to such a machine, calls `do_job` there, and brings what it returns back to the run:
how is its own business. Nothing but these texts travels; inputs and results are in the store.
"""

from __future__ import annotations

import atexit
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.assets import bundled_here
from harness.claims import Claim, Claims
from harness.errors import in_a_line, refused
from harness.executors import Event
from harness.executors.local import LocalExecutor
from harness.keys import Stage, stage_from_json
from harness.limits import Limits
from harness.machine_lock import machine_lock
from harness.store import Store

_LOOK_S = 1.0  # between two looks whether the stage is still wanted; as often it says how far it is
STOPPED = "its run asked that it be stopped"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A stage on its way to another machine, which sees the store under the same path."""

    stage: Stage
    store: Path
    limits: Limits = field(default_factory=Limits)

    def text(self) -> str:
        """As JSON."""
        rest = {"store": str(self.store), "limits": dict(self.limits.written)}
        return json.dumps({"stage": self.stage.as_json(), **rest})


@dataclass(frozen=True)
class MachineShare:
    """What each of `capacity` stages at once may have of a machine; one that is exclusive gets it all."""

    threads: int
    capacity: int


def job_from_text(text: str) -> Job:
    """The inverse of `Job.text`."""
    found = json.loads(text)
    stage, limits = stage_from_json(found["stage"]), Limits(found["limits"])
    return Job(stage=stage, store=Path(found["store"]), limits=limits)


def event_from_text(text: str) -> Event:
    """What `do_job` returned."""
    found = json.loads(text)
    return Event(**{**found, "damaged": tuple(found["damaged"])})


def do_job(text: str, share: MachineShare, where: str = "") -> str:
    """Run the stage on this machine: the `Event` that ends it, as JSON. `where`: what the executor calls this place.

    The stage's claim becomes this process's; when somebody takes it away, the work is stopped. What another attempt has
    finished already is not done again.
    """
    job = job_from_text(text)
    store = Store(job.store)
    try:
        claim = Claims(store.claims).take_over(job.stage, where)
        try:
            event = _done(job, store, share, claim)
        finally:
            claim.end()
    except OSError as error:  # of this machine's disk: an executor would take it for the network's
        event = Event(kind="failed", key=job.stage.key, reason=refused(error) or in_a_line(error))
    return json.dumps(asdict(event))


def _done(job: Job, store: Store, share: MachineShare, claim: Claim) -> Event:
    key = job.stage.key
    if entry := store.entry(key):
        return Event(kind="done", key=key, seconds=entry.seconds)
    with machine_lock(store) as machine:
        while not machine.hold(exclusive=job.stage.exclusive):
            if claim.is_lost:
                return Event(kind="failed", key=key, reason=STOPPED)
            claim.tell(0, 0, "waits for the machine")
            time.sleep(_LOOK_S / 4)
        return _worked(job, store, share, claim)


def _worked(job: Job, store: Store, share: MachineShare, claim: Claim) -> Event:
    executor = _executor(store, job.limits, share)
    try:
        return _watched(job, executor, claim)
    except BaseException:  # it may have the stage still
        _close(executor)
        raise


def _watched(job: Job, executor: LocalExecutor, claim: Claim) -> Event:
    stage = replace(job.stage, options=_options_here(job.stage.options))
    executor.submit(stage)
    looked = time.monotonic()
    while True:
        for event in executor.wait(_LOOK_S):
            if event.kind != "progress":
                return event
            if time.monotonic() - looked >= _LOOK_S:
                claim.tell(event.done, event.total, event.note)
        if time.monotonic() - looked >= _LOOK_S:
            looked = time.monotonic()
            if claim.is_lost:
                _close(executor)
                return Event(kind="failed", key=stage.key, reason=STOPPED)


def _options_here(options: Mapping[str, Any]) -> dict[str, Any]:
    """Assets that came with a package lie where it is installed on this machine."""
    found = dict(options)
    if "asset" in found:
        found["asset"] = bundled_here(found["asset"])
    if "assets" in found:
        found["assets"] = {name: bundled_here(asset) for name, asset in found["assets"].items()}
    return found


# A worker process dies with the thread that started it, so each thread has its own; it stays warm between two stages.
_HERE = threading.local()


def _executor(store: Store, limits: Limits, share: MachineShare) -> LocalExecutor:
    kept: LocalExecutor | None = getattr(_HERE, "kept", None)
    wanted = (store.root, share.threads, share.capacity, limits)
    if kept and (kept.store.root, kept.threads, kept.capacity, kept.limits) == wanted:
        return kept
    if kept:  # another run's, or one with other limits
        _close(kept)
    made = _HERE.kept = LocalExecutor(store, share.capacity, share.threads, limits)
    atexit.register(made.close)
    return made


def _close(executor: LocalExecutor) -> None:
    del _HERE.kept
    atexit.unregister(executor.close)
    executor.close()
