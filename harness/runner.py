"""Runs a plan: what is in the store stays, what is ready is submitted, what fails takes only its dependents along."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Literal

from harness.executors import Event, Executor
from harness.frontier import Frontier
from harness.keys import Stage
from harness.plain import plain, plain_lines
from harness.plan import Plan
from harness.store import Store

Status = Literal["cached", "ok", "failed", "not run"]
_POLL = 0.25  # seconds between looks at what another run is doing


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a stage."""

    status: Status
    seconds: float = 0.0
    reason: str = ""
    log: str = ""
    exit_code: int = 0  # of a failure: 2 when the input is bad, not the work


Observe = Callable[[str, Stage, Event | Outcome], None]  # ("started" | "progress" | "finished", stage, what)


@dataclass
class Runner:
    """One run of one plan. `observe` must not raise; plugins that watch are told by way of `harness.observing`."""

    plan: Plan
    store: Store
    executor: Executor
    observe: Observe = field(default=lambda what, stage, event: None)
    fail_fast: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    _running: dict[str, contextlib.ExitStack] = field(default_factory=dict)
    _elsewhere: bool = False  # does another run have what could start now?
    _suspects: set[str] = field(default_factory=set)  # had an input in common while somebody changed it
    _alone: set[str] = field(default_factory=set)  # those of them that run again while nothing else does
    _failed: str = ""  # the first stage that did

    def __post_init__(self) -> None:
        self._front = Frontier(self.plan.stages, self._usable)

    def run(self) -> Mapping[str, Outcome]:
        """Run to the end; every stage of the plan has an outcome afterwards."""
        self.store.create()
        for key in self.store.sound(list(self.plan.stages)):
            self._finish(key, Outcome(status="cached"))
        self._failed = next((key for key, outcome in self.outcomes.items() if outcome.status == "failed"), "")
        for key in self.plan.stages:
            if key not in self.outcomes:
                self._wait(key)
        with self._machine() as machine:
            while len(self.outcomes) < len(self.plan.stages):
                self._give_up()
                self._submit_ready(machine)
                if self._running or self._elsewhere:
                    for event in self.executor.wait(_POLL):
                        self.handle(event)
                elif (waiting := [*self._front]) and not any(all(map(self._usable, one.needs)) for one in waiting):
                    msg = f"no stage can start, yet these wait: {[stage.label for stage in waiting]}"
                    raise RuntimeError(msg)
        return self.outcomes

    def _usable(self, key: str) -> bool:
        outcome = self.outcomes.get(key)
        return outcome is not None and outcome.status in ("cached", "ok")

    def _submit_ready(self, machine: _MachineLock) -> None:
        self._elsewhere = False
        if not self._running:
            machine.release()
        alone = not self._running and not self._front.waits(exclusive=False)  # measured alone, after all the rest
        later = []
        while self._has_room() and (stage := self._front.next(exclusive=alone)):
            if stage.key in self._suspects and self._running:
                later.append(stage.key)
            elif not machine.hold(exclusive=alone) or not self._start(stage):
                self._elsewhere = True
                later.append(stage.key)
            if alone or machine.mode == fcntl.LOCK_UN:
                break
        for key in later:
            self._front.add(key)

    def _has_room(self) -> bool:
        return len(self._running) < self.executor.capacity and not self._suspects & self._running.keys()

    def _start(self, stage: Stage) -> bool:
        """False: another run is at it."""
        held = contextlib.ExitStack()
        if not held.enter_context(self.store.claim(stage.key)):
            held.close()
            return False
        if self.store.entry(stage.key):  # another run was faster
            held.close()
            self._finish(stage.key, Outcome(status="cached"))
            return True
        self._front.remove(stage.key)
        self._running[stage.key] = held
        self.observe("started", stage, Event(kind="started", key=stage.key))
        self.executor.submit(stage)
        return True

    def handle(self, event: Event) -> None:
        """Take note of what an executor says of a stage: what `wait` returned, or progress before it returns."""
        stage = self.plan.stages[event.key]
        if event.kind == "progress":
            self.observe("progress", stage, event)
            return
        self._running.pop(event.key).close()
        if self._again(event):
            self._wait(event.key)
            return
        status: Status = "ok" if event.kind == "done" else "failed"
        code = event.exit_code if status == "failed" else 0
        reason = plain_lines(event.reason) if code == 2 else plain(event.reason)
        outcome = Outcome(status=status, seconds=event.seconds, reason=reason, log=event.log, exit_code=code)
        self._finish(event.key, outcome)

    def _again(self, event: Event) -> bool:
        """Is the stage to run once more? In any case, inputs that were changed are to be made anew.

        Where several stages had such an input at once, each may have done it: they run again one by one, alone, and who
        does it then has given itself away.
        """
        for key in event.damaged:
            self.store.discard(key)
            if self.outcomes.pop(key, None):
                self._wait(key)
        readers = {key for key in self._running if set(event.damaged) & set(self.plan.stages[key].needs)}
        if readers:
            self._suspects |= {event.key, *readers}
        if event.kind == "done" or event.key not in self._suspects - self._alone:
            return False
        self._alone.add(event.key)
        return True

    def _wait(self, key: str) -> None:
        """Until what it needs is there, which may be lost already."""
        lost = next((need for need in self.plan.stages[key].needs if self._is_lost(need)), None)
        if lost:
            self._finish(key, Outcome(status="not run", reason=f"because of: {self._root(lost)}"))
        else:
            self._front.add(key)

    def _is_lost(self, key: str) -> bool:
        return key in self.outcomes and not self._usable(key)

    def _finish(self, key: str, outcome: Outcome) -> None:
        self.outcomes[key] = outcome
        self.observe("finished", self.plan.stages[key], outcome)
        self._front.remove(key)
        if self._usable(key):
            self._front.made(key)
            return
        self._failed = self._failed or (key if outcome.status == "failed" else "")
        for reader in self._front.readers(key):
            self._wait(reader)

    def _give_up(self) -> None:
        """After the first failure, where that is wished for."""
        if not (self.fail_fast and self._failed):
            return
        for stage in self._front:
            if stage.key not in self.outcomes:  # nor lost with one before it
                reason = f"--fail-fast after: {self._root(self._failed)}"
                self._finish(stage.key, Outcome(status="not run", reason=reason))

    def _root(self, key: str) -> str:
        outcome = self.outcomes[key]
        return (
            outcome.reason.removeprefix("because of: ") if outcome.status == "not run" else self.plan.stages[key].label
        )

    @contextlib.contextmanager
    def _machine(self) -> Iterator[_MachineLock]:
        with (self.store.locks / "machine.lock").open("w") as file:
            try:
                yield _MachineLock(file)
            finally:
                for held in self._running.values():
                    held.close()


@dataclass
class _MachineLock:
    """Runs that share a store share the machine: stages of work together, a measurement alone."""

    file: IO[str]
    mode: int = fcntl.LOCK_UN

    def hold(self, *, exclusive: bool) -> bool:
        """Take the machine in the wanted mode, if it is free for it now."""
        wanted = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        if self.mode == wanted:
            return True
        try:
            fcntl.flock(self.file, wanted | fcntl.LOCK_NB)
        except OSError:
            return False
        self.mode = wanted
        return True

    def release(self) -> None:
        """Let others have it."""
        if self.mode != fcntl.LOCK_UN:
            fcntl.flock(self.file, fcntl.LOCK_UN)
            self.mode = fcntl.LOCK_UN
