"""The measuring side of a subject: start it, ask it, stop it while others are measured, end it.

Whoever waits for a reply sleeps in `select`; nothing here polls or spins.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

OPENER = "harness.inference:open_answerer"
TIMEOUT_S = 600.0
REASON = 500  # characters of a reason that are kept
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class Subject:
    """What is measured: a name, JSON that only the opener understands, and the import string of the opener."""

    label: str
    model: Mapping[str, Any] = field(default_factory=dict)
    answerer: str = OPENER  # called with {label, model, threads, examples, answerer}, returns an Answerer


class SubjectError(Exception):
    """It raised, died or did not answer in time; says which."""


class SubjectProcess:
    """A subject's process, stopped except while it is asked. A context manager that leaves no process behind."""

    def __init__(self, subject: Subject, threads: int, examples: Path, timeout_s: float = TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`; a pipe could fill up and block
        start = time.perf_counter_ns()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.measuring.subject", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=subject_environment(threads),
            process_group=0,  # signals for the group reach what it starts, and none meant for the parent's group
        )
        self._requests, self._replies = _pipes(self._process)
        description = {
            "label": subject.label,
            "model": dict(subject.model),
            "answerer": subject.answerer,
            "threads": threads,
            "examples": str(examples.absolute()),
        }
        try:
            self.opened = self._converse(description)
        except BaseException:
            self.close()
            raise
        self.ready_ms = (time.perf_counter_ns() - start) / 1e6

    @property
    def pid(self) -> int:
        """Its process id, which is also its group's."""
        return self._process.pid

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Let it run, wait for its reply, stop it. SubjectError when there is none or it reports an error."""
        self._signal(signal.SIGCONT)
        return self._converse({"do": do, **arguments})

    def close(self) -> None:
        """Kill it, stopped or not, and everything in its group."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        for stream in (self._requests, self._replies, self._errors):
            with contextlib.suppress(BrokenPipeError):  # what was written to a dead subject cannot be flushed
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _converse(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._send(message)
        reply: dict[str, Any] = json.loads(self._receive())
        if "error" in reply:
            raise SubjectError(reply["error"][:REASON])
        self._stop()
        return reply

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._requests.write(json.dumps(message).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _receive(self) -> bytes:
        """The next line. Nothing follows it: there is one reply to a request."""
        deadline = time.monotonic() + self.timeout_s
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    msg = f"no answer within {self.timeout_s:g} s"
                    raise SubjectError(msg)
                chunk = os.read(self._replies.fileno(), 1 << 20)
                if not chunk:
                    raise self._died()
                line += chunk
        return line

    def _stop(self) -> None:
        """Stop it and wait until it has stopped: the next row starts on a quiet machine."""
        self._signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:  # once it is reaped, its id may be somebody else's
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a zombie
                os.killpg(self.pid, number)

    def _died(self) -> SubjectError:
        self._signal(signal.SIGKILL)
        code = self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return SubjectError(": ".join([f"the process was {how}" if code < 0 else f"the process {how}", *lines[-1:]]))


def subject_environment(threads: int) -> dict[str, str]:
    """The environment of a subject: this process's import path, and the same thread count for every library."""
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        msg = "a subject is started with pipes"
        raise RuntimeError(msg)
    return process.stdin, process.stdout
