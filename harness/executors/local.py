"""The local executor: long-lived worker processes on this machine."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from harness.executors import Event
from harness.executors.running import stage_environment
from harness.keys import Stage
from harness.store import Store


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    stage: Stage | None = None
    buffer: bytes = b""
    log: str = ""


@dataclass
class LocalExecutor:
    """Up to `capacity` worker processes with `threads` threads each; an exclusive stage gets all threads."""

    store: Store
    capacity: int
    threads: int
    _workers: list[_Worker] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def submit(self, stage: Stage) -> None:
        """Hand the stage to an idle worker, starting one where there is none."""
        worker = next((w for w in self._workers if w.stage is None), None) or self._start()
        worker.stage = stage
        worker.log = str(self.store.logs / f"{stage.kind}-{stage.key[:16]}.log")
        threads = self.threads * self.capacity if stage.exclusive else self.threads
        job = {"stage": stage.as_json(), "store": str(self.store.root.resolve()), "threads": threads, "log": worker.log}
        assert worker.process.stdin is not None  # noqa: S101 - opened as a pipe below
        try:
            worker.process.stdin.write(json.dumps(job).encode() + b"\n")
            worker.process.stdin.flush()
        except BrokenPipeError:  # it died while idle; `wait` reports it
            return

    def _start(self) -> _Worker:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.executors.worker", str(os.getpid())],  # -P: no code from here
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_file(),
            env={**os.environ, **stage_environment(self.threads), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C reaches the runner alone, which then stops its workers
        )
        assert process.stdout is not None  # noqa: S101 - opened as a pipe above
        os.set_blocking(process.stdout.fileno(), False)
        worker = _Worker(process)
        self._workers.append(worker)
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _log_file(self) -> int:
        self.store.logs.mkdir(parents=True, exist_ok=True)
        return os.open(self.store.logs / "workers.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def wait(self, timeout: float) -> list[Event]:
        """Read what the workers wrote; a worker that is gone fails the stage that it had."""
        events: list[Event] = []
        for ready, _ in self._selector.select(timeout):
            worker: _Worker = ready.data
            assert worker.process.stdout is not None  # noqa: S101 - as above
            chunk = worker.process.stdout.read() or b""
            if not chunk:
                events += self._gone(worker)
                continue
            *lines, worker.buffer = (worker.buffer + chunk).split(b"\n")
            events += [self._event(worker, line) for line in lines]
        return events

    def _event(self, worker: _Worker, line: bytes) -> Event:
        event = Event(**json.loads(line), log=worker.log)
        if event.kind != "progress":
            worker.stage = None
        return event

    def _gone(self, worker: _Worker) -> list[Event]:
        assert worker.process.stdout is not None  # noqa: S101 - as above
        self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        code = worker.process.wait()
        _close(worker)
        if worker.stage is None:
            return []
        return [Event(kind="failed", key=worker.stage.key, reason=_cause(code, Path(worker.log)), log=worker.log)]

    def close(self) -> None:
        """Kill the workers and everything they started."""
        for worker in self._workers:
            if worker.process.poll() is None:
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()
            _close(worker)
        self._workers.clear()
        self._selector.close()


def _close(worker: _Worker) -> None:
    for pipe in (worker.process.stdin, worker.process.stdout):
        if pipe:
            try:
                pipe.close()
            except BrokenPipeError:
                continue


def _cause(code: int, log: Path) -> str:
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.exists() else []
    said = f"; its last words: {last[0][:200]}" if last else ""
    if code >= 0:
        return f"the worker process ended with code {code}{said}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"the worker process was killed by {signal.Signals(-code).name}{hint}{said}"
