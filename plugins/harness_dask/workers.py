"""The workers of a cluster, as far as a run has looked at them: which may run what, and what each offers."""

from __future__ import annotations

import contextlib
import functools
import queue
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness import (
    MachineDescription,
    PluginError,
    Stage,
    machine_faults,
    machine_question,
    stage_misfit,
    stages_without_machine,
)
from harness_dask import worker
from harness_dask.cluster import safe
from harness_dask.plugin import DaskParams
from harness_dask.waiting import started, within

if TYPE_CHECKING:
    from distributed import Client

ANSWER_S = 60.0  # a new worker's first import of the plugins may take long on a network file system
SILENT_S = 20.0  # workers tell the scheduler about every second that they live, some seconds where they are thousands
_SCHEDULER_S = 10.0  # it answers at once, unless it is frozen
_LOOK_MOST_S = 5.0  # between two looks; where it was longer, something stood still


@dataclass(frozen=True)
class _Telling:
    """A worker is told its share; `answers`: that it knows."""

    share: tuple[int, int]
    answers: queue.SimpleQueue[Any]


@dataclass
class Workers:
    """Workers by address. One that is not fit is named once, and gets no stage."""

    params: DaskParams
    say: Callable[[str], None]
    token: str
    question: Mapping[str, Any] = field(default_factory=dict)
    fit: dict[str, MachineDescription] = field(default_factory=dict)
    unfit: dict[str, list[str]] = field(default_factory=dict)  # why
    distrusted: set[str] = field(default_factory=set)  # were silent with a stage
    slots: dict[str, int] = field(default_factory=dict)  # stages at once
    offers: dict[str, Mapping[str, float]] = field(default_factory=dict)  # resources by label
    _ids: dict[str, str] = field(default_factory=dict)  # the process at an address: another may come in its place
    _answers: dict[str, queue.SimpleQueue[Any]] = field(default_factory=dict)  # of those that were asked
    _shares: dict[str, tuple[int, int]] = field(default_factory=dict)  # of a machine: threads, and stages at once
    _telling: dict[str, _Telling] = field(default_factory=dict)  # of those that are being admitted
    _admitted: dict[str, tuple[int, int]] = field(default_factory=dict)  # those that know their share
    _heard: dict[str, tuple[float, float]] = field(default_factory=dict)  # the scheduler heard of it, since `_clock`
    _clock: float = 0.0  # seconds of looking: it stands while this process or the scheduler does
    _looked: float = field(default_factory=time.monotonic)
    _known: dict[Any, bool] = field(default_factory=dict)

    def ask(self, store: Any, stages: Sequence[Stage]) -> None:
        """From now on, workers are looked at for these stages."""
        self.question = machine_question(store, self.token, stages)
        self.forget()

    def forget(self) -> None:
        """All that is known of them."""
        for who in [*self._ids]:
            self._forget(who)

    def _forget(self, who: str) -> None:
        for known in (self.fit, self.unfit, self._ids, self._answers, self._telling, self._admitted, self._heard):
            known.pop(who, None)
        self.distrusted.discard(who)

    @property
    def capacity(self) -> int:
        """Stages at once."""
        return sum(self.slots[who] for who in self.ready)

    @property
    def ready(self) -> list[str]:
        """Those that are fit and do not stand still; one that was silent with a stage only where there is no other."""
        frozen = self.frozen
        there = [who for who in self.fit if who in self._admitted and who not in frozen]
        return [who for who in there if who not in self.distrusted] or there

    @property
    def frozen(self) -> set[str]:
        """Those that the scheduler has heard nothing of for long. They may come back."""
        return {who for who, (_, since) in self._heard.items() if self._clock - since >= SILENT_S}

    @property
    def are_awaited(self) -> bool:
        """Is one that lives to answer yet?"""
        return bool({*self._answers, *self._telling} - self.frozen)

    def look(self, client: Client) -> None:
        """Who is there now? New ones are asked what they are. OSError where the scheduler does not say."""
        there = within(_SCHEDULER_S, lambda: client.scheduler_info(n_workers=-1)["workers"])
        if isinstance(there, Exception):
            raise there
        now = time.monotonic()
        self._clock, self._looked = self._clock + min(now - self._looked, _LOOK_MOST_S), now
        for who in [who for who, known in self._ids.items() if who not in there or there[who]["id"] != known]:
            self._forget(who)
        for who, said in there.items():
            if self._heard.get(who, (None, 0.0))[0] != said["last_seen"]:
                self._heard[who] = said["last_seen"], self._clock
            if who not in self._ids:
                self._ids[who], self.slots[who] = said["id"], int(said["nthreads"])
                self.offers[who] = dict(said["resources"])
                self._answers[who] = started(functools.partial(_asked, client, who, self.question))
        if self._take_answers():
            self._known = {}
        self._admit(client)

    def _take_answers(self) -> bool:
        """Has anybody said what they are?"""
        found = False
        for who, answers in [*self._answers.items()]:
            with contextlib.suppress(queue.Empty):
                answer = answers.get_nowait()
                del self._answers[who]
                if isinstance(answer, OSError):  # it is going, or frozen: asked again, where it is still there
                    del self._ids[who]
                else:
                    self._judge(who, answer)
                    found = True
        return found

    def _judge(self, who: str, found: Any) -> None:
        if isinstance(found, Exception):
            why = [f"{who} cannot run stages: {type(found).__name__}: {str(found)[:200]}; install the harness there"]
        else:
            named = f"worker {who} ({found['host']})"
            why = [*_open(who), *machine_faults(named, found, self.question, any_version=self.params.allow_versions)]
        if why:
            self.unfit[who] = why
        else:
            self.fit[who] = found

    def _admit(self, client: Client) -> None:
        """CPUs are shared by the slots of all who may use them. Nobody is waited for: the next look hears of it."""
        for who, telling in [*self._telling.items()]:
            with contextlib.suppress(queue.Empty):
                if not isinstance(telling.answers.get_nowait(), Exception):
                    self._admitted[who] = telling.share
                del self._telling[who]
        if self._shares.keys() != self.fit.keys():
            self._shares = {who: self._share(found) for who, found in self.fit.items()}
        for who, share in self._shares.items():
            if self._admitted.get(who) != share and who not in self._telling:
                tell = functools.partial(client.run, worker.admit, self.token, *share, workers=[who])
                self._telling[who] = _Telling(share, started(tell))

    def _share(self, found: MachineDescription) -> tuple[int, int]:
        """Threads of a stage, and how many of them run beside each other."""
        capacity = sum(self.slots[who] for who, other in self.fit.items() if _meet(found, other))
        return max(1, found["cores"] // capacity), capacity

    def may_run(self, stage: Stage) -> list[str] | None:
        """Addresses, none of them: it has to wait. None: any worker that is there, or comes where there is none."""
        needs = self.needs(stage)
        found = [who for who in self.ready if self._may(stage, who) and self._has(who, needs)]
        return None if len(found) == len(self._ids) or not self.fit else found

    def _has(self, who: str, needs: Mapping[str, float]) -> bool:
        return all(self.offers[who].get(label, 0) >= amount for label, amount in needs.items())

    def _may(self, stage: Stage, who: str) -> bool:
        key = (tuple(sorted(stage.libraries.items())), repr(sorted(stage.facets.items())), who)
        if key not in self._known:
            self._known[key] = stage_misfit(stage, self.fit[who]) is None
        return self._known[key]

    def needs(self, stage: Stage) -> Mapping[str, float]:
        """Resources of a stage, by label."""
        return next((found for kind, found in self.params.resources.items() if kind == stage.kind), {})

    def check(self, stages: Sequence[Stage]) -> None:
        """PluginError where a worker is not fit, or a stage would wait for ever."""
        problems = [line for lines in self.unfit.values() for line in lines]
        problems = problems or [
            *stages_without_machine(stages, {f"worker {who}": found for who, found in self.fit.items()})
        ]
        problems += self._unoffered(stages)
        if problems:
            raise PluginError([f"executor dask: {line}" for line in problems])

    def _unoffered(self, stages: Sequence[Stage]) -> list[str]:
        waiting = Counter[tuple[str, float]]()
        for stage in stages:
            needs = self.needs(stage)
            places = [who for who in self.fit if self._may(stage, who)] if needs else []
            if needs and not any(self._has(who, needs) for who in places):
                absent = [need for need in needs.items() if not any(self._has(who, dict([need])) for who in places)]
                waiting.update(absent or needs.items())
        return [_unoffered(label, amount, count) for (label, amount), count in waiting.items()]


def _meet(one: MachineDescription, other: MachineDescription) -> bool:
    """Do they work on the same CPUs? A machine may be divided: SLURM gives each task CPUs of its own."""
    if one["host"] != other["host"]:
        return False
    return not (one["cpus"] and other["cpus"]) or not {*one["cpus"]}.isdisjoint(other["cpus"])


def _asked(client: Client, who: str, question: Mapping[str, Any]) -> Any:
    """What a worker says of itself, or the exception that came instead."""
    found = client.run(worker.describe, question, workers=[who], on_error="return")
    return found.get(who, OSError("it has gone"))


def _unoffered(label: str, amount: float, count: int) -> str:
    waits = f"{count} {'stage waits' if count == 1 else 'stages wait'} for {'one' if amount == 1 else f'{amount:g}'}"
    return (
        f"no worker offers {label}; {waits}. Start workers with `dask worker … --resources {label}={amount:g}`, or "
        "change executor.resources"
    )


def _open(who: str) -> list[str]:
    try:
        safe(who, "a worker's address")
    except PluginError as error:
        return [str(error)]
    return []
