"""The workers of a cluster, as far as a run has looked at them: which may run what, and what each offers."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness import Description, PluginError, Stage, asked, faults, homeless, misfit
from harness_dask import worker
from harness_dask.cluster import safe
from harness_dask.plugin import DaskParams

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_S = 60.0  # a new worker's first import of the plugins may take long on a network file system


@dataclass
class Workers:
    """Workers by address. One that is not fit is named once, and gets no stage."""

    params: DaskParams
    say: Callable[[str], None]
    token: str
    question: Mapping[str, Any] = field(default_factory=dict)
    fit: dict[str, Description] = field(default_factory=dict)
    unfit: dict[str, list[str]] = field(default_factory=dict)  # why
    frozen: set[str] = field(default_factory=set)  # were silent with a stage
    slots: dict[str, int] = field(default_factory=dict)  # stages at once
    offers: dict[str, Mapping[str, float]] = field(default_factory=dict)  # resources by label
    _known: dict[Any, bool] = field(default_factory=dict)
    _shares: dict[str, tuple[int, int]] = field(default_factory=dict)  # threads and capacity, as workers were told

    def ask(self, store: Any, stages: Sequence[Stage]) -> None:
        """From now on, workers are looked at for these stages."""
        self.question = asked(store, self.token, stages)
        self.fit, self.unfit, self._known, self._shares = {}, {}, {}, {}

    @property
    def capacity(self) -> int:
        """Stages at once."""
        return sum(self.slots[who] for who in self.ready)

    @property
    def ready(self) -> list[str]:
        """Those that are fit and not frozen; where all are frozen, they may come back."""
        return [who for who in self.fit if who not in self.frozen] or [*self.fit]

    def look(self, client: Client) -> None:
        """Who is there now? New ones are asked what they are."""
        there: Mapping[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
        for gone in (self.fit.keys() | self.unfit.keys()) - there.keys():
            self.fit.pop(gone, None)
            self.unfit.pop(gone, None)
            self.frozen.discard(gone)
            self._shares.pop(gone, None)
        new = [who for who in there if who not in self.fit and who not in self.unfit]
        if not new:
            return
        for who in new:
            self.slots[who], self.offers[who] = int(there[who]["nthreads"]), dict(there[who]["resources"])
        for who, found in _answers({who: self._question_for(client, who) for who in new}).items():
            self._judge(who, found)
        self._known = {}
        self._admit(client)

    def _question_for(self, client: Client, who: str) -> Callable[[], Any]:
        return lambda: client.run(worker.describe, self.question, workers=[who], on_error="return")[who]

    def _judge(self, who: str, found: Any) -> None:
        if isinstance(found, KeyError | OSError) and not isinstance(found, TimeoutError):
            return  # it has gone while it was asked
        if isinstance(found, Exception):
            why = [f"{who} cannot run stages: {type(found).__name__}: {str(found)[:200]}; install the harness there"]
        else:
            named = f"worker {who} ({found['host']})"
            why = [*_open(who), *faults(named, found, self.question, any_version=self.params.allow_versions)]
        if why:
            self.unfit[who] = why
        else:
            self.fit[who] = found

    def _admit(self, client: Client) -> None:
        """Each machine is shared by its workers' slots."""
        slots = Counter[str]()
        for who, found in self.fit.items():
            slots[found["host"]] += self.slots[who]
        shares = {
            who: (max(1, found["cores"] // slots[found["host"]]), slots[found["host"]])
            for who, found in self.fit.items()
        }
        told = _answers(
            {
                who: _admission(client, who, self.token, share)
                for who, share in shares.items()
                if self._shares.get(who) != share
            }
        )
        self._shares = {who: share for who, share in shares.items() if not isinstance(told.get(who), Exception)}

    def may_run(self, stage: Stage) -> list[str] | None:
        """Addresses; None where any worker that is there may."""
        found = [who for who in self.ready if self._may(stage, who)]
        return None if len(found) == len(self.fit) and not (self.unfit or self.frozen) else found

    def _may(self, stage: Stage, who: str) -> bool:
        key = (tuple(sorted(stage.libraries.items())), repr(sorted(stage.facets.items())), who)
        if key not in self._known:
            self._known[key] = misfit(stage, self.fit[who]) is None
        return self._known[key]

    def needs(self, stage: Stage) -> Mapping[str, float]:
        """Resources of a stage, by label."""
        return next((found for kind, found in self.params.resources.items() if kind == stage.kind), {})

    def check(self, stages: Sequence[Stage]) -> None:
        """PluginError where a worker is not fit, or a stage would wait for ever."""
        problems = [line for lines in self.unfit.values() for line in lines]
        problems = problems or [*homeless(stages, {f"worker {who}": found for who, found in self.fit.items()})]
        problems += self._unoffered(stages)
        if problems:
            raise PluginError([f"executor dask: {line}" for line in problems])

    def _unoffered(self, stages: Sequence[Stage]) -> list[str]:
        waiting = Counter[tuple[str, float]]()
        for stage in stages:
            waiting.update(dict.fromkeys(self.needs(stage).items(), 1))
        return [
            _unoffered(label, amount, count)
            for (label, amount), count in waiting.items()
            if not any(self.offers[who].get(label, 0) >= amount for who in self.fit)
        ]


def _admission(client: Client, who: str, token: str, share: tuple[int, int]) -> Callable[[], Any]:
    return lambda: client.run(worker.admit, token, *share, workers=[who])


def _answers(questions: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """What each returns, or the exception that it raises; all are asked at once, and the frozen do not answer."""
    answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def ask(who: str) -> None:
        try:
            answers.put((who, questions[who]()))
        except Exception as error:
            answers.put((who, error))

    for who in questions:
        threading.Thread(target=ask, args=(who,), daemon=True).start()
    found: dict[str, Any] = {who: TimeoutError(f"no answer in {_ANSWER_S:g} s") for who in questions}
    until = time.monotonic() + _ANSWER_S
    with contextlib.suppress(queue.Empty):
        for _ in questions:
            found.update([answers.get(timeout=max(0.0, until - time.monotonic()))])
    return found


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
