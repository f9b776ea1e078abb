"""A Dask cluster of real processes on this machine, parts of which are killed and frozen."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """TimeoutError where it does not become so."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            msg = f"not within {seconds} s: {what}"
            raise TimeoutError(msg)
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@dataclass
class Cluster:
    """A scheduler and workers, each a program of its own; `tls`: options of both."""

    folder: Path
    environment: dict[str, str]
    tls: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{'tls' if self.tls else 'tcp'}://127.0.0.1:{self.port}"

    def start(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{module}-{time.monotonic_ns()}.log").open("wb")
        with log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", f"distributed.cli.{module}", *words, *self.tls],
                cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def start_scheduler(self) -> None:
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        self.scheduler = self.start("dask_scheduler", *words)
        wait_for(self._listens, what="the scheduler")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start_worker(self, *words: str) -> subprocess.Popen[bytes]:
        more = ["--nthreads", "1", "--no-dashboard", "--memory-limit", "0", "--host", "127.0.0.1", "--no-nanny"]
        local = ["--local-directory", str(self.folder)]
        worker = self.start("dask_worker", self.address, *more, *local, *words)
        self.workers.append(worker)
        return worker

    def log(self) -> str:
        return "\n".join(re.sub(r"\s+", " ", path.read_text()[-2000:]) for path in self.folder.glob("*.log"))

    def close(self) -> None:
        for process in [*self.workers, *filter(None, [self.scheduler])]:
            for pid in family(process.pid):
                send(pid, signal.SIGKILL)
            process.wait()


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True) if alive(child.pid))]
    except psutil.Error:
        return []


def send(pid: int, number: signal.Signals) -> None:
    """A signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
