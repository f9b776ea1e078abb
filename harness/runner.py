"""Runs a plan: what is in the store stays, what is ready is submitted, what fails takes only its dependents along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.claims import Claim, Claims
from harness.executors import Event, Executor
from harness.frontier import Frontier
from harness.keys import Stage
from harness.machine_lock import MachineLock, machine_lock
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


# ("started" | "progress" | "elsewhere" | "finished", stage, what); "elsewhere" notes who else works on it
Observe = Callable[[str, Stage, Event | Outcome], None]
# (stage, does it run already?) → why it is not to start, or not to go on. With an executor that cannot stop a stage it
# stops all at once, for good: the executor still has them, and is to be closed next.
Gate = Callable[[Stage, bool], str | None]


def open_to_all(stage: Stage, running: bool) -> None:
    """A gate that every stage may pass."""


@dataclass
class Runner:
    """One run of one plan. `observe` must not raise; plugins that watch are told by way of `harness.observing`."""

    plan: Plan
    store: Store
    executor: Executor
    observe: Observe = field(default=lambda what, stage, event: None)
    fail_fast: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    gate: Gate = open_to_all
    _running: dict[str, Claim] = field(default_factory=dict)
    _elsewhere: bool = False  # does another run have what could start now?
    _told: set[str] = field(default_factory=set)  # stages whose holders elsewhere were named
    _suspects: set[str] = field(default_factory=set)  # had an input in common while somebody changed it
    _alone: set[str] = field(default_factory=set)  # those of them that run again while nothing else does
    _failed: str = ""  # the first stage that did

    def __post_init__(self) -> None:
        self._front = Frontier(self.plan.stages, self._usable)
        self._claims = Claims(self.store.claims)

    def run(self) -> Mapping[str, Outcome]:
        """Run to the end; every stage of the plan has an outcome afterwards."""
        self.store.create()
        for key in self.store.sound([key for key in self.plan.stages if not self._usable(key)]):
            self._finish(key, Outcome(status="cached"))
        self._failed = next((key for key, outcome in self.outcomes.items() if outcome.status == "failed"), "")
        for key in self.plan.stages:
            if key not in self.outcomes:
                self._wait(key)
        with machine_lock(self.store) as machine:
            try:
                while len(self.outcomes) < len(self.plan.stages):
                    self._step(machine)
            finally:
                for claim in self._running.values():
                    claim.end()
        return self.outcomes

    def _step(self, machine: MachineLock) -> None:
        self._give_up()
        self._stop()
        self._submit_ready(machine)
        if self._running or self._elsewhere:
            for event in self.executor.wait(_POLL):
                self.handle(event)
        elif (waiting := [*self._front]) and not any(all(map(self._usable, one.needs)) for one in waiting):
            msg = f"no stage can start, yet these wait: {[stage.label for stage in waiting]}"
            raise RuntimeError(msg)

    def _usable(self, key: str) -> bool:
        outcome = self.outcomes.get(key)
        return outcome is not None and outcome.status in ("cached", "ok")

    def _submit_ready(self, machine: MachineLock) -> None:
        self._elsewhere = False
        if not self._running:
            machine.release()
        alone = self._measures()
        later = []
        while self._has_room() and (stage := self._front.next(exclusive=alone)):
            if self._refused(stage):
                continue
            if stage.key in self._suspects and self._running:
                later.append(stage.key)
            elif not self._may_disturb(machine, alone=alone) or not self._start(stage):
                self._elsewhere = True
                later.append(stage.key)
            if not self._remote and (alone or machine.is_free):
                break
        for key in later:
            self._front.add(key)

    @property
    def _remote(self) -> bool:
        return getattr(self.executor, "remote", False)

    def _measures(self) -> bool:
        """Is all the rest done? Then stages are measured: one at a time, elsewhere one at a time per machine."""
        if self._front.waits(exclusive=False):
            return False
        return all(self._remote and self.plan.stages[key].exclusive for key in self._running)

    def _may_disturb(self, machine: MachineLock, *, alone: bool) -> bool:
        """Whoever runs stages on other machines asks there."""
        return self._remote or machine.hold(exclusive=alone)

    def _has_room(self) -> bool:
        return len(self._running) < self.executor.capacity and not self._suspects & self._running.keys()

    def _refused(self, stage: Stage) -> bool:
        """By the gate. What another run has made meanwhile costs nothing, whatever the gate says."""
        reason = self.gate(stage, False)
        if not reason or self.store.entry(stage.key):
            return False
        self._finish(stage.key, Outcome(status="not run", reason=reason))
        return True

    def _stop(self) -> None:
        """What runs, where the gate says so."""
        for key in list(self._running):
            if reason := self.gate(self.plan.stages[key], True):
                if hasattr(self.executor, "stop"):
                    self.executor.stop(key)
                self._running.pop(key).end()
                self._finish(key, Outcome(status="not run", reason=reason))

    def _start(self, stage: Stage) -> bool:
        """False: another run is at it."""
        claim = self._claims.take(stage)
        if claim is None:
            self._say_who(stage)
            return False
        if self.store.entry(stage.key):  # another run was faster
            claim.end()
            self._finish(stage.key, Outcome(status="cached"))
            return True
        self._front.remove(stage.key)
        self._running[stage.key] = claim
        self.observe("started", stage, Event(kind="started", key=stage.key))
        self.executor.submit(stage)
        return True

    def _say_who(self, stage: Stage) -> None:
        who = None if stage.key in self._told else self._claims.look(stage.key)
        if who:
            self._told.add(stage.key)
            self.observe("elsewhere", stage, Event(kind="elsewhere", key=stage.key, note=str(who)))

    def handle(self, event: Event) -> None:
        """Take note of what an executor says of a stage: what `wait` returned, or progress before it returns."""
        if event.key not in self._running:  # the gate has stopped it
            return
        stage = self.plan.stages[event.key]
        if event.kind == "progress":
            self.observe("progress", stage, event)
            return
        self._running.pop(event.key).end()
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

        Where several stages had such an input at once, each may have done it, and where it is gone as a whole, another
        run may have removed it: they run again one by one, alone, and who does it then has given itself away.
        """
        gone = any(not self.store.folder(key).exists() for key in event.damaged)
        for key in event.damaged:
            self.store.discard_damaged(key)
            if self.outcomes.pop(key, None):
                self._wait(key)
        readers = {key for key in self._running if set(event.damaged) & set(self.plan.stages[key].needs)}
        if readers or gone:
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
