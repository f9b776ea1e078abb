"""The local executor: long-lived worker processes on this machine.

A worker runs plugins, so nothing that it says or does is taken on trust: what it sends is checked, its inputs are
compared with what they were, and after a failure it is ended with everything that it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.executors import Event
from harness.executors.guard import MARK
from harness.executors.inputs import State, difference, state_of
from harness.executors.processes import Guard, end, end_marked
from harness.executors.running import stage_environment
from harness.executors.stops import SHOW, SHOW_S, ended, over_limit, over_log, trim
from harness.executors.written import Scales
from harness.keys import Stage
from harness.limits import Limits
from harness.store import Store

LINE = 2**20  # bytes of one message at most; a worker's own have a few thousand
_LONGEST_PLACE = 70  # characters: names of sockets in a temporary folder end at 108, and libraries put theirs there
_GRACE_S = 1.0
_TOUCH_S = 300.0
_KINDS = ("began", "progress", "done", "failed")
_FIELDS: dict[str, tuple[type, ...]] = {
    "done": (int,), "total": (int,), "note": (str,), "seconds": (int, float), "reason": (str,), "exit_code": (int,),
}  # fmt: skip


@dataclass(frozen=True)
class _Attempt:
    stage: Stage
    token: str  # a plugin that writes where the worker writes does not know it
    started: float  # monotonic, seconds
    log: Path
    inputs: Mapping[str, State]  # of the entries that it reads
    scales: Scales | None  # where what it writes is limited


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    mark: str
    place: Path
    attempt: _Attempt | None = None
    buffer: bytes = b""
    looked: float = 0.0  # when what it takes was last looked at
    touched: float = 0.0  # when its folders last were


def _new_mark() -> str:
    """It begins as that of whoever started this process: what ends them by it ends these too."""
    return os.environ.get(MARK, "") + secrets.token_hex(8)


@dataclass
class LocalExecutor:
    """Up to `capacity` worker processes with `threads` threads each; an exclusive stage gets all threads."""

    store: Store
    capacity: int
    threads: int
    limits: Limits = field(default_factory=Limits)
    _workers: list[_Worker] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _seen: dict[str, State] = field(default_factory=dict)  # entries as they were when they were first used
    _mark: str = field(default_factory=_new_mark)
    _started: int = 0
    _guard: Guard | None = None

    def submit(self, stage: Stage) -> None:
        """Hand the stage to an idle worker, starting one where there is none."""
        idle = (w for w in self._workers if w.attempt is None and w.process.poll() is None)
        worker = next(idle, None) or self._start()
        log = self.store.logs / f"{stage.kind}-{stage.key[:16]}.log"
        inputs = {key: self._state(key) for key in stage.needs}
        disk = self.limits.of(stage.kind, "disk_mib")
        scales = Scales(disk.value) if disk else None
        worker.attempt = _Attempt(stage, secrets.token_hex(8), time.monotonic(), log, inputs, scales)
        job = {
            "stage": stage.as_json(),
            "store": str(self.store.root.absolute()),
            "threads": self.threads * self.capacity if stage.exclusive else self.threads,
            "log": str(log.absolute()),
            "place": str(worker.place / "here"),
            "token": worker.attempt.token,
        }
        assert worker.process.stdin is not None  # noqa: S101 - opened as a pipe below
        with contextlib.suppress(BrokenPipeError):  # it died while idle; `wait` reports it
            worker.process.stdin.write(json.dumps(job).encode() + b"\n")
            worker.process.stdin.flush()

    def _start(self) -> _Worker:
        self._guard = self._guard or Guard(self._mark)
        self._started += 1
        mark, place = f"{self._mark}.{self._started}.", self._place()
        environment = {
            **os.environ,
            **stage_environment(self.threads),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(place),
            MARK: mark,
        }
        with self._open_log() as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.executors.worker", str(os.getpid())],  # -P: no code from here
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the runner alone, which then stops its workers
            )
        assert process.stdout is not None  # noqa: S101 - opened as a pipe above
        os.set_blocking(process.stdout.fileno(), False)
        worker = _Worker(process, mark, place)
        self._workers.append(worker)
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _open_log(self) -> Any:
        self.store.logs.mkdir(parents=True, exist_ok=True)
        trim(log := self.store.logs / "workers.log")
        return log.open("ab")

    def _place(self) -> Path:
        """A folder for what workers leave lying about; removed with the worker."""
        place = (self.store.staging / f"worker-{self._mark[-8:]}-{self._started}").absolute()
        if len(str(place)) > _LONGEST_PLACE:
            return Path(tempfile.mkdtemp(prefix="harness-"))
        place.mkdir(parents=True)
        return place

    def wait(self, timeout: float) -> list[Event]:
        """Read what the workers wrote; one that is gone, or takes more than it may, fails the stage that it had."""
        events = self._stop_the_greedy()
        for ready, _ in self._selector.select(0 if events else timeout):
            events += self._hear(ready.data)
        for worker in [w for w in self._workers if w.process.poll() is not None]:
            events += self._hear(worker)  # its last words, if it had any
            if worker in self._workers:  # a child of its own holds the pipe open
                events += self._gone(worker)
        return events

    def _stop_the_greedy(self) -> list[Event]:
        events = []
        for worker in [w for w in self._workers if w.attempt]:
            assert worker.attempt is not None  # noqa: S101 - selected by it
            stage, now = worker.attempt.stage, time.monotonic()
            look = now - worker.looked >= (2.0 if stage.exclusive else 0.2)  # a measurement is disturbed rarely
            worker.looked = now if look else worker.looked
            if now - worker.touched >= _TOUCH_S:
                self._touch(worker)
                worker.touched = now
            pid, written = (worker.process.pid, self._written(worker)) if look else (None, 0.0)
            seconds = now - worker.attempt.started
            reason = over_limit(stage, self.limits, seconds, pid, written) or over_log(stage, worker.attempt.log)
            if reason:
                worker.process.send_signal(SHOW)
                time.sleep(SHOW_S)
                events.append(self._fail(worker, reason))
        return events

    def _touch(self, worker: _Worker) -> None:
        """Let a clean-up of the store, on whatever machine, see that these folders are in use."""
        for folder in (worker.place, *self._staged(worker)):
            with contextlib.suppress(OSError):
                os.utime(folder)

    def _staged(self, worker: _Worker) -> list[Path]:
        return [*self.store.staging.glob(f"*-{worker.mark}-*")]

    def _written(self, worker: _Worker) -> float:
        """MiB on disk, where they are limited and it is time to look."""
        attempt = worker.attempt
        if attempt is None or attempt.scales is None:
            return 0.0
        folders = [worker.place, self.store.scratch / attempt.stage.key, *self._staged(worker)]
        return attempt.scales.weigh(folders, self.store.root)

    def _hear(self, worker: _Worker) -> list[Event]:
        assert worker.process.stdout is not None  # noqa: S101 - as above
        try:
            chunk = os.read(worker.process.stdout.fileno(), LINE)
        except BlockingIOError:
            return []
        if not chunk:
            return self._gone(worker)
        *lines, worker.buffer = (worker.buffer + chunk).split(b"\n")
        events: list[Event] = []
        for line in lines:
            events += self._understand(worker, line)
            if worker not in self._workers:
                return events
        return [*events, *self._disturbed(worker)] if len(worker.buffer) > LINE else events

    def _understand(self, worker: _Worker, line: bytes) -> list[Event]:
        message = _message(line)
        attempt = worker.attempt
        if message is None or attempt is None or message.pop("token", None) != attempt.token:
            return self._disturbed(worker)
        kind, left = message.pop("kind"), message.pop("threads_left", False)
        if kind == "began":
            worker.attempt = replace(attempt, started=time.monotonic())
            return []
        event = Event(**message, kind=kind, key=attempt.stage.key, log=str(attempt.log))
        if kind == "progress":
            return [event]
        worker.attempt = None
        if kind == "failed" or left:
            self._drop(worker)
        return [self._checked(attempt, event, thoroughly=left)]

    def _disturbed(self, worker: _Worker) -> list[Event]:
        """Something else than the worker wrote where the worker writes, so nothing that comes there can be believed."""
        if worker.attempt is None:
            self._drop(worker)
            return []
        component = worker.attempt.stage.component
        return [
            self._fail(worker, f"'{component}' wrote into the harness's own channel: print to stdout or log instead")
        ]

    def _gone(self, worker: _Worker) -> list[Event]:
        if worker.attempt is None:
            self._drop(worker)
            return []
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(_GRACE_S)
        code, attempt = worker.process.poll(), worker.attempt
        return [self._fail(worker, ended(attempt.stage, code, attempt.log))]

    def _fail(self, worker: _Worker, reason: str) -> Event:
        assert worker.attempt is not None  # noqa: S101 - the callers looked
        attempt, worker.attempt = worker.attempt, None
        self._drop(worker)
        event = Event(kind="failed", key=attempt.stage.key, reason=reason, log=str(attempt.log))
        return self._checked(attempt, event)

    def _checked(self, attempt: _Attempt, event: Event, *, thoroughly: bool = False) -> Event:
        """The event, or what it does not say: an input that is no longer what it was, a result that is not there."""
        stage = attempt.stage
        trim(attempt.log)
        changed = {k: found for k, was in attempt.inputs.items() if (found := self._changed(k, was))}
        if changed:
            reason = f"'{stage.component}' {next(iter(changed.values()))} among its inputs, which are read-only"
            reason += ": it has to write into its own folder; the input is made again, the result is not used"
            return self._refused(stage, event, reason, tuple(changed))
        if event.kind != "done":
            return event
        wrong = self.store.verify(stage.key) if thoroughly or not self.store.entry(stage.key) else None
        if wrong:
            reason = f"the result of '{stage.component}' changed after it was stored ({wrong})"
            reason += ": a thread that it left behind wrote on; end and join threads before returning"
            return self._refused(stage, event, reason)
        self._seen[stage.key] = state_of(self.store.folder(stage.key))
        return event

    def _state(self, key: str) -> State:
        """An entry as it was when it was first used, or as another run has made it since."""
        now = state_of(self.store.folder(key))
        if difference(self._seen.setdefault(key, now), now) and self.store.verify(key) is None:
            self._seen[key] = now
        return self._seen[key]

    def _changed(self, key: str, was: State) -> str | None:
        now = state_of(self.store.folder(key))
        found = difference(was, now)
        if found and self.store.verify(key) is None:  # what it should be: another run has made it again
            self._seen[key] = now
            return None
        if found:
            self._seen.pop(key, None)
        return found

    def _refused(self, stage: Stage, event: Event, reason: str, damaged: tuple[str, ...] = ()) -> Event:
        self.store.discard(stage.key)
        return replace(event, kind="failed", reason=reason, exit_code=1, damaged=damaged)

    def _drop(self, worker: _Worker) -> None:
        """End a worker with everything that it started, and remove what it left."""
        assert worker.process.stdout is not None  # noqa: S101 - as above
        self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        end(worker.process.pid if worker.process.poll() is None else None, worker.mark)
        worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        shutil.rmtree(worker.place, ignore_errors=True)
        for staged in self._staged(worker):
            shutil.rmtree(staged, ignore_errors=True)

    def stop(self, key: str) -> None:
        """Kill the worker that has the stage, with everything that it started."""
        for worker in [worker for worker in self._workers if worker.attempt and worker.attempt.stage.key == key]:
            self._drop(worker)

    def close(self) -> None:
        """Kill the workers and everything they started."""
        for worker in list(self._workers):
            self._drop(worker)
        end_marked(self._mark)
        if self._guard:
            self._guard.close()
        self._selector.close()


def _message(line: bytes) -> dict[str, Any] | None:
    """A worker's message, None for what is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("kind") not in _KINDS:
        return None
    known = all(isinstance(found.get(name, kinds[0]()), kinds) for name, kinds in _FIELDS.items())
    strangers = found.keys() - {*_FIELDS, "kind", "token", "threads_left"}
    return found if known and not strangers else None
