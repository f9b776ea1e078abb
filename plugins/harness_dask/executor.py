"""The executor: ready stages go out as JSON, one task each; results are in the shared store, never on the way back.

The harness owns the DAG: no task depends on another, none holds data, so a lost worker costs the stages that it was
at and no finished one. Who works on a stage, and whether they live, is read from the store's claims: it is so even
where the scheduler has forgotten everything.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import STOPPED, Claims, Event, ExecutorRequest, Job, PluginError, Stage, event_from_text, store_sign
from harness_dask.cluster import Cluster, address_of, connect, start_here
from harness_dask.plugin import DaskParams
from harness_dask.worker import NOT_ADMITTED, do
from harness_dask.workers import ANSWER_S, Workers

if TYPE_CHECKING:
    from distributed import Future

_LOOK_S = 1.0  # between two looks at the claims
_PATIENCE_S = 2.0  # without a word
_WORKERS_S = 3.0  # between two looks at the workers: the scheduler says all of them, all of it
_VISIBLE_S = 60.0  # a network file system may show a finished result so much later
_CONNECT_S = 5.0  # that one try to reach a scheduler may take
_GONE_S = 5.0  # nobody works on a stage any more, and no answer came in so long
_NO_SCHEDULER = "scheduler-connection-lost"  # Dask's word for why futures are cancelled
_AT_A_LOOK = 100  # claims that are read


@dataclass
class _Attempt:
    """One try at a stage."""

    stage: Stage
    future: Future[str] | None  # None: nobody was asked, somebody else is at it
    among: frozenset[str] = frozenset()  # workers that may have got it
    where: str = ""  # the worker that has begun
    seen: tuple[int, int, str] = (0, 0, "")
    unseen: float | None = None  # since when nobody has been at it, monotonic
    done: Event | None = None  # done as the worker says, and not visible here yet
    since: float = 0.0  # when it said so, monotonic


@dataclass
class DaskExecutor:
    """Stages on the workers of `cluster`."""

    request: ExecutorRequest
    cluster: Cluster
    address: str  # "": started here
    workers: Workers
    sign: contextlib.ExitStack  # in the store, by which workers recognise it
    remote: bool = True
    _attempts: dict[str, _Attempt] = field(default_factory=dict)
    _ended: queue.SimpleQueue[tuple[str, Future[str]]] = field(default_factory=queue.SimpleQueue)
    _lost: int = 0
    _looked: float = 0.0  # at claims, monotonic, seconds
    _counted: float = 0.0  # workers, likewise
    _place: int = 0  # where reading of claims goes on
    _said: set[str] = field(default_factory=set)
    _alone: float | None = None  # since when no worker is there that may run anything, monotonic
    _mute: bool = False  # the scheduler is there, and does not answer

    def __post_init__(self) -> None:
        self._claims = Claims(self.request.store.claims)

    # --------------------------------------------------------------------------------------------------- what is asked

    @property
    def capacity(self) -> int:
        """Slots of all workers that are fit, and one more each: the next stage waits beside them."""
        return max(1, 2 * self.workers.capacity)

    def check(self, stages: Sequence[Stage]) -> None:
        """PluginError where no worker comes, one is not what it has to be, or a stage would wait for ever."""
        self.workers.ask(self.request.store, stages)
        params: DaskParams = self.request.params
        if not self.cluster.client.scheduler_info(n_workers=-1)["workers"]:
            self.request.say(f"waiting for a worker, at most {params.wait_s:g} s …")
        with contextlib.suppress(TimeoutError):
            self.cluster.client.wait_for_workers(self.request.capacity if self.cluster.own else 1, params.wait_s)
        self._ask_workers()
        if not self.workers.ready and not self.workers.unfit:
            msg = (
                f"executor dask: the scheduler {self.address or 'of this run'} has no worker that answers, and none "
                f"came in {params.wait_s:g} s: start some, as with `dask worker {self.address} --nthreads 1`, or raise "
                "executor.wait_s"
            )
            raise PluginError(msg)
        self.workers.check(stages)
        slots, fit = self.workers.capacity, len(self.workers.fit)
        self.request.say(f"dask: {fit} workers, {slots} stages at once, scheduler {self.address or 'of this run'}")

    def _ask_workers(self) -> None:
        """All that are there, at once; one that is frozen is not waited for."""
        until = time.monotonic() + ANSWER_S
        try:
            self.workers.look(self.cluster.client)
            while self.workers.are_awaited and time.monotonic() < until:
                time.sleep(_LOOK_S / 20)
                self.workers.look(self.cluster.client)
        except OSError as error:
            why = f"({str(error)[:200]}): is it frozen, or going?"
            msg = f"executor dask: the scheduler {self.address} does not answer {why}"
            raise PluginError(msg) from error

    def submit(self, stage: Stage) -> None:
        """Send it to a worker that may run it."""
        self._attempts[stage.key] = self._sent(stage)

    def _sent(self, stage: Stage) -> _Attempt:
        job = Job(stage=stage, store=self.request.store.root.absolute(), limits=self.request.limits)
        allowed = self.workers.may_run(stage)
        if allowed == [] or not self._is_connected:  # sent once there is somebody
            return _Attempt(stage, None)
        try:
            future = self.cluster.client.submit(
                do,
                job.text(),
                self.workers.token,
                key=f"{stage.kind}-{stage.key[:16]}-{uuid.uuid4().hex[:8]}",
                workers=allowed,
                resources=dict(self.workers.needs(stage)) or None,
                pure=False,
            )
        except Exception:
            if self._is_connected:
                raise
            return _Attempt(stage, None)
        future.add_done_callback(lambda ended, key=stage.key: self._ended.put((key, ended)))
        return _Attempt(stage, future, frozenset(allowed or self.workers.fit))

    @property
    def _is_connected(self) -> bool:
        return self.cluster.client.status == "running" and not self._mute

    # ------------------------------------------------------------------------------------------------- what comes back

    def wait(self, timeout: float) -> list[Event]:
        """How stages ended, and how far others are."""
        events: list[Event] = []
        for key, future in self._drained(timeout):
            attempt = self._attempts.get(key)
            if attempt and attempt.future is future:
                events += self._ending(self._heard(attempt, future))
        if time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            events += self._look()
        return events

    def _ending(self, events: list[Event]) -> list[Event]:
        for event in events:
            if event.kind != "progress":
                self._attempts.pop(event.key)
        return events

    def _drained(self, timeout: float) -> list[tuple[str, Future[str]]]:
        found: list[tuple[str, Future[str]]] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._ended.get(timeout=timeout))
            while True:
                found.append(self._ended.get_nowait())
        return found

    def _heard(self, attempt: _Attempt, future: Future[str]) -> list[Event]:
        if future.status == "finished" and (entry := self.request.store.entry(attempt.stage.key)):
            return [Event(kind="done", key=attempt.stage.key, seconds=entry.seconds)]  # whatever becomes of the answer
        try:
            text = future.result(timeout=30)
        except Exception as error:
            return self._broken(attempt, error)
        attempt.future = None
        if text == NOT_ADMITTED:  # the next look does, or finds that it is not fit
            self._counted = 0.0
            return []
        event = event_from_text(text)
        if event.reason == STOPPED:
            return self._lose(attempt, "another run has taken it over")
        if event.kind != "done":
            return [event]
        attempt.done, attempt.since = event, time.monotonic()
        return self._visible(attempt)

    def _visible(self, attempt: _Attempt) -> list[Event]:
        """A result that a worker has stored is looked for here until it shows."""
        store, done = self.request.store, attempt.done
        if done is None or store.entry(done.key):
            return [done] if done else []
        if time.monotonic() - attempt.since < _VISIBLE_S:
            return []
        reason = f"worker {attempt.where} has stored it, and {store.root} does not show it here after {_VISIBLE_S:g} s"
        return [Event(kind="failed", key=done.key, reason=f"{reason}: is it the same file system?")]

    def _broken(self, attempt: _Attempt, error: Exception) -> list[Event]:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        attempt.future = None
        if not self._is_connected or getattr(error, "reason", "") == _NO_SCHEDULER:  # all futures have gone with it
            return []
        if isinstance(error, KilledWorker | FutureCancelledError | TimeoutError):
            return self._lose(attempt, "its worker was lost")
        if isinstance(error, OSError):
            return self._lose(attempt, f"its worker could not do it ({type(error).__name__}: {str(error)[:200]})")
        reason = f"its worker could not start it: {type(error).__name__}: {str(error)[:300]}"
        return [Event(kind="failed", key=attempt.stage.key, reason=reason)]

    def _lose(self, attempt: _Attempt, why: str) -> list[Event]:
        """It starts again, as long as the budget lasts; where somebody is still at it, that is waited for."""
        params: DaskParams = self.request.params
        self._lost += 1
        if self._lost > params.retries:
            reason = f"{why}, and all {params.retries} retries of this run are spent (executor.retries)"
            return [Event(kind="failed", key=attempt.stage.key, reason=reason)]
        self.request.say(f"{attempt.stage.label}: {why}; it starts again (retry {self._lost} of {params.retries})")
        return self._again(attempt)

    def _again(self, attempt: _Attempt) -> list[Event]:
        key = attempt.stage.key
        attempt.future, attempt.where, attempt.unseen, attempt.done = None, "", None, None
        if entry := self.request.store.entry(key):  # it was lost after its end
            return [Event(kind="done", key=key, seconds=entry.seconds)]
        at_work = self._claims.look(key)
        if at_work is None or not at_work.where:
            self._attempts[key] = self._sent(attempt.stage)
        return []

    # ---------------------------------------------------------------------------------------------- what is looked for

    def _look(self) -> list[Event]:
        self._reconnect()
        if self.cluster.own:
            self.cluster.own.mend()
        if self.workers.are_awaited or time.monotonic() - self._counted >= _WORKERS_S:
            self._look_at_workers()
        self._wait_for_workers()
        events: list[Event] = []
        for attempt in self._next_attempts():
            events += self._ending(self._visible(attempt) if attempt.done else self._look_at(attempt))
        return events

    def _next_attempts(self) -> list[_Attempt]:
        running = [*self._attempts.values()]
        start = self._place % max(1, len(running))
        self._place = start + _AT_A_LOOK
        return [*running, *running][start : start + min(_AT_A_LOOK, len(running))]

    def _look_at(self, attempt: _Attempt) -> list[Event]:
        at_work = self._claims.look(attempt.stage.key)
        if at_work and at_work.where:
            attempt.where, attempt.unseen = at_work.where, None
            seen = (at_work.done, at_work.total, at_work.note)
            if seen == attempt.seen:
                return []
            attempt.seen = seen
            return [Event(kind="progress", key=attempt.stage.key, done=seen[0], total=seen[1], note=seen[2])]
        if attempt.future is None:  # whoever was at it has ended or died
            return self._again(attempt)
        if attempt.where:
            return self._unseen(attempt)
        ready = {*self.workers.ready}
        left_behind = attempt.among & self.workers.fit.keys() - ready  # it may be with one that stands still
        if left_behind or (attempt.among and not attempt.among & ready):
            self._cancel(attempt)
            return self._again(attempt)
        return []

    def _unseen(self, attempt: _Attempt) -> list[Event]:
        """A worker that had begun says nothing any more, and the scheduler has not noticed."""
        now = time.monotonic()
        attempt.unseen = attempt.unseen or now
        if now - attempt.unseen < _GONE_S:
            return []
        self.workers.distrusted.add(attempt.where)
        self._cancel(attempt)
        return self._lose(attempt, f"worker {attempt.where} has fallen silent")

    def _cancel(self, attempt: _Attempt) -> None:
        future, attempt.future = attempt.future, None
        with contextlib.suppress(Exception):  # the scheduler may be gone
            if future:
                future.cancel()

    def _look_at_workers(self) -> None:
        self._counted = time.monotonic()
        try:
            self.workers.look(self.cluster.client)
        except OSError:  # the scheduler is just going, or frozen; the next look says so
            self._mute = self.cluster.client.status == "running"
        for lines in self.workers.unfit.values():
            for line in lines:
                self._say_once(line)

    def _wait_for_workers(self) -> None:
        """PluginError where those that may run what is left have gone, and none comes."""
        left = [*self._attempts.values()]
        if not left or any(one.where or one.done or self._has_place(one.stage) for one in left):
            self._alone = None
            return
        params: DaskParams = self.request.params
        if self._alone is None:
            self._alone = time.monotonic()
            self.request.say(
                f"no worker is left that may run '{left[0].stage.label}'; waiting {params.reconnect_s:g} s for one …"
            )
        if time.monotonic() - self._alone > params.reconnect_s:
            msg = (
                f"executor dask: no worker is left that may run '{left[0].stage.label}', and none came in "
                f"{params.reconnect_s:g} s (executor.reconnect_s): start some. What is finished is kept"
            )
            raise PluginError(msg)

    def _has_place(self, stage: Stage) -> bool:
        return bool(self.workers.ready) and self.workers.may_run(stage) != []

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self.request.say(line)

    def _reconnect(self) -> None:
        """Where the scheduler has gone, wait for another one; what is not finished is sent to it."""
        if self._is_connected or self.cluster.own:  # its own one is in this process
            return
        params: DaskParams = self.request.params
        self.request.say(f"the scheduler {self.address} has gone; waiting {params.reconnect_s:g} s for one …")
        self.cluster.close()
        until = time.monotonic() + params.reconnect_s
        while True:
            try:
                self.cluster = connect(params.model_copy(update={"wait_s": _CONNECT_S}), address_of(params))
                break
            except PluginError:
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_S)
        self._mute, self._counted = False, 0.0
        self.workers.forget()
        for attempt in self._attempts.values():
            attempt.future = None  # whoever is at it is waited for

    def stop(self, key: str) -> None:
        """End a stage: its claim is taken away, which its worker sees within a second."""
        if attempt := self._attempts.pop(key, None):
            self._cancel(attempt)
            self._claims.stop(key)

    def close(self) -> None:
        """Stop what runs, leave the cluster; one that was started here ends."""
        for key in [*self._attempts]:
            self.stop(key)
        self.cluster.close()
        self.sign.close()


def dask_executor(request: ExecutorRequest) -> DaskExecutor:
    """Connect, or start a cluster here. PluginError when that is not possible."""
    params: DaskParams = request.params
    address = address_of(params)
    with contextlib.ExitStack() as stack:
        token = stack.enter_context(store_sign(request.store))
        cluster = _connected(request, params, address) if address else start_here(request.capacity)
        workers = Workers(params, request.say, token)
        workers.ask(request.store, ())  # until `check` names the stages; whoever asks nothing before may submit, too
        return DaskExecutor(request, cluster, address, workers, stack.pop_all())


def _connected(request: ExecutorRequest, params: DaskParams, address: str) -> Cluster:
    waiting = f"waiting for the scheduler {address}, at most {params.wait_s:g} s …"
    patience = threading.Timer(_PATIENCE_S, request.say, (waiting,))
    patience.daemon = True
    patience.start()
    try:
        return connect(params, address)
    finally:
        patience.cancel()
