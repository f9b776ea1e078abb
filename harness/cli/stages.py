"""An executor at work for a command: made from what was asked for, watched, stopped in the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from harness.cli.chosen import BUNDLED, Chosen
from harness.cli.common import cores, talk, usual_workers
from harness.cli.display import make_display
from harness.errors import PluginError, worded
from harness.executors import Event, Executor
from harness.executors.guarded import Guarded
from harness.executors.lazily import Lazily
from harness.keeping import Need
from harness.keys import Stage
from harness.limits import Limits
from harness.observing import Audience
from harness.plan import Plan
from harness.plugins import Registry
from harness.runner import Outcome, Runner, open_to_all
from harness.specs import ExecutorRequest, ExecutorSpec
from harness.store import Store

ENDS = (signal.SIGTERM, signal.SIGHUP)


class Gatekeeper(Protocol):
    """A runner's gate that wants to know what became of stages."""

    def __call__(self, stage: Stage, running: bool) -> str | None:
        """As `harness.runner.Gate`."""

    def saw(self, stage: Stage, outcome: Outcome) -> None:
        """A stage has ended so."""


@contextmanager
def started(
    registry: Registry,
    where: Chosen,
    need: Need,
    workers: int | None,
    limits: Limits,
    finished: Callable[[str], None],
) -> Iterator[Stages]:
    """The executor, made with this machine's cores as soon as a stage needs it; closed afterwards.

    `need` is told of every plan before it runs, `finished` the key of each stage whose result is there.
    """
    capacity = workers or usual_workers()
    relay = _Relay()
    request = ExecutorRequest(
        store=need.store,
        capacity=capacity,
        threads=max(1, cores() // capacity),
        params=where.params(),
        limits=limits,
        progress=relay.progress,
        say=talk,
    )
    spec = registry.executor(where.entry.full_name)
    if limits.written and not spec.keeps_limits:
        keys = ", ".join(f"limits.{key}" for key in limits.written)
        talk(f"warning: executor {where.title} stops no stage: {keys} have no effect. Use --executor local")

    def make() -> Executor:
        made = _made(spec, request, where.title)
        # The harness's own bugs keep their traceback.
        return made if where.entry.provider.distribution == BUNDLED else Guarded(made, where.title, need.store)

    executor = Lazily(make)
    with _ended_like_an_interrupt():
        try:
            yield Stages(need, executor, relay, finished, drawn=not spec.interactive)
        finally:
            executor.close()


@contextmanager
def _ended_like_an_interrupt() -> Iterator[None]:
    """What asks a run to end (`kill`, a container that stops, a terminal that is gone) does it like Ctrl-C.

    Otherwise it would be gone at once, and what its stages started would stay. What is ignored, as by nohup, stays so.
    """

    def interrupt(_: int, __: object) -> None:
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    taken = [number for number in ENDS if here and signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@dataclass
class _Relay:
    """Progress of an executor that works inside `wait`: it is made before the runner that wants to know."""

    runner: Runner | None = None

    def progress(self, event: Event) -> None:
        if self.runner and event.kind == "progress":  # how a stage ends is what `wait` returns
            self.runner.handle(event)


@dataclass(frozen=True)
class Stages:
    """Runs plans, one after another, on one executor."""

    need: Need
    executor: Lazily
    relay: _Relay
    finished: Callable[[str], None]
    drawn: bool  # may live bars be drawn meanwhile?

    @property
    def store(self) -> Store:
        """Where results go."""
        return self.need.store

    def check(self, plan: Plan) -> None:
        """PluginError where the executor cannot run what is not in the store, whether or not it can be made."""
        self.executor.check([stage for key, stage in plan.stages.items() if self.store.entry(key) is None])

    def run(
        self,
        plan: Plan,
        what: str,
        watching: Audience,
        *,
        fail_fast: bool = False,
        outcomes: Mapping[str, Outcome] | None = None,
        gate: Gatekeeper | None = None,
    ) -> Mapping[str, Outcome]:
        """Run a plan to its end; `what` names the things that are counted, `outcomes` are known already."""
        self.need.add(plan.stages)
        known = {key: outcome for key, outcome in (outcomes or {}).items() if key in plan.stages}
        new = replace(plan, stages={key: stage for key, stage in plan.stages.items() if key not in known})
        with make_display(new, what, drawn=self.drawn) as display:
            begun = set[str]()

            def observe(said: str, stage: Stage, event: Event | Outcome) -> None:
                begun.update({stage.key} if said == "started" else ())
                kept_out = gate and isinstance(event, Outcome) and event.status == "not run" and stage.key not in begun
                if not kept_out:  # those are many, and come to light with their cells
                    display(said, stage, event)
                watching.stage(said, stage, event)
                if isinstance(event, Outcome) and event.status in ("ok", "cached"):
                    self.finished(stage.key)
                if gate and isinstance(event, Outcome):
                    gate.saw(stage, event)

            runner = Runner(plan, self.store, self.executor, observe, fail_fast, known, gate or open_to_all)
            self.relay.runner = runner
            return runner.run()


def _made(spec: ExecutorSpec, request: ExecutorRequest, title: str) -> Executor:
    try:
        return spec.make(request)
    except Exception as error:
        msg = f"executor {title} cannot be made: {worded(error)}"
        raise PluginError(msg) from error
