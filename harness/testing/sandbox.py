"""Jobs in processes of their own, watched: what they open, write, start and leave behind; killed if asked.

A sandbox is one process that imports what jobs need and forks for each job, because importing torch takes longer than
most jobs. Its home, temporary and working folders are empty ones made for it. Two sandboxes hash strings differently.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.testing.model import Broken

TIMEOUT_S = 120.0
DECOY = "test.jsonl"  # a test split that nobody should open
# Variables that lead elsewhere. PyTorch sets those of its caches itself, for all that its process starts.
_PLACES = ("HARNESS_", "XDG_", "HF_", "TORCHINDUCTOR_", "TRITON_")
_MARK = "HARNESS_TESTING_MARK"  # by which processes that a job left behind are found
_POLL_S = 0.002
_TAIL = 300  # characters of a dead job's last words that are kept


@dataclass(frozen=True)
class Trace:
    """What a job did beside its work, as Python's audit events tell: paths are absolute."""

    read: tuple[str, ...]
    written: tuple[str, ...]
    network: tuple[str, ...]  # addresses
    threads: tuple[str, ...]  # names of threads that would keep the process alive
    left: tuple[str, ...]  # files that stayed in its home, temporary and working folder
    processes: tuple[str, ...]  # command lines of processes that outlived it


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `value` is what it returned, as JSON; None where it was killed as asked."""

    value: Any
    trace: Trace
    killed: bool = False


class Sandbox:
    """See above. `hash_seed` is PYTHONHASHSEED of its jobs."""

    def __init__(self, hash_seed: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="harness-check-")).resolve()
        self.mark = uuid.uuid4().hex
        for name in ("home", "tmp", "work", "jobs"):
            (self.root / name).mkdir()
        plant_decoy(self.root / "work" / "data" / "toys")
        self._errors = (self.root / "jobs" / "worker.txt").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.testing.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self.root / "work",
            env=self._environment(hash_seed),
            process_group=0,
            bufsize=0,  # `select` sees no line that a buffer has taken already
        )
        self._lines = _pipe(self._process.stdin), _pipe(self._process.stdout)
        self._count = 0
        atexit.register(self.close)

    def _environment(self, hash_seed: int) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_PLACES)}
        own = {"HOME": self.root / "home", "TMPDIR": self.root / "tmp", "HARNESS_DATA_DIR": self.root / "work" / "data"}
        return {
            **kept,
            **{name: str(path) for name, path in own.items()},
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            _MARK: self.mark,
        }

    def run(self, function: str, job: Mapping[str, Any], kill_when: Path | None = None) -> Outcome:
        """Call `module:function` with the job (JSON) in a process of its own.

        It is killed (SIGKILL) once the folder `kill_when` has a file. Broken where it raises, dies or needs over 120 s.
        """
        self._count += 1
        folder = self.root / "jobs" / str(self._count)
        folder.mkdir()
        before, start = self._files(), time.monotonic()
        pid = self._start({"function": function, "job": dict(job), "folder": str(folder)})
        killed = self._wait(pid, start + TIMEOUT_S, kill_when, function.rpartition(":")[2])
        ended = self._read(TIMEOUT_S)
        processes = self._survivors()
        reply = self._reply(folder, ended, killed)
        left = tuple(sorted(str(path.relative_to(self.root)) for path in self._files() - before))
        shutil.rmtree(folder, ignore_errors=True)
        seen = reply.get("trace", dict.fromkeys(("read", "written", "network", "threads"), ()))
        trace = Trace(**{name: tuple(value) for name, value in seen.items()}, left=left, processes=processes)
        return Outcome(reply.get("value"), trace, killed)

    def _start(self, request: Mapping[str, Any]) -> int:
        try:
            self._lines[0].write(json.dumps(request).encode() + b"\n")
            self._lines[0].flush()
        except BrokenPipeError:
            pass  # it died; the missing reply says so
        return int(self._read(TIMEOUT_S).get("pid", 0))

    def _read(self, seconds: float) -> dict[str, Any]:
        ready, _, _ = select.select([self._lines[1]], [], [], seconds)
        line = self._lines[1].readline() if ready else b""
        if not line:
            raise Broken(self._death())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise Broken(reply["error"])
        return reply

    def _death(self) -> str:
        """How its process ended, or that it hung; the next job gets a new one."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code, words = self._process.returncode, _tail(self.root / "jobs" / "worker.txt")
        self.close()
        for seed in [seed for seed, one in _SANDBOXES.items() if one is self]:
            del _SANDBOXES[seed]
        return f"the process that imports it {'hung' if code is None else f'ended with {_ending(code)}'}: {words}"

    def _wait(self, pid: int, deadline: float, kill_when: Path | None, work: str) -> bool:
        """Until the job has ended; was it killed as asked? Broken where `work` takes too long."""
        while not select.select([self._lines[1]], [], [], _POLL_S)[0]:
            if kill_when is not None and any(path.is_file() for path in kill_when.rglob("*")):
                _kill(pid)
                return True
            if time.monotonic() > deadline:
                _kill(pid)
                self._read(TIMEOUT_S)
                msg = f"`{work}` was still at work after {TIMEOUT_S:.0f} s, on a toy; its process was ended"
                raise Broken(msg)
        return False

    def _reply(self, folder: Path, ended: Mapping[str, Any], killed: bool) -> dict[str, Any]:
        if killed:
            return {}
        file = folder / "reply.json"
        if not file.exists():
            msg = f"its process ended with {_ending(ended['code'])}: {_tail(folder / 'said.txt')}"
            raise Broken(msg)
        reply: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if "error" in reply:
            raise Broken(reply["error"])
        return reply

    def sweep(self) -> None:
        """Remove what jobs left in the home, temporary and working folder."""
        for path in self._files():
            if path.name != DECOY:
                path.unlink(missing_ok=True)

    def _files(self) -> set[Path]:
        return {p for name in ("home", "tmp", "work") for p in (self.root / name).rglob("*") if not p.is_dir()}

    def _survivors(self) -> tuple[str, ...]:
        """Command lines of processes that a job left; they are ended. Only where there is /proc."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            if pid != self._process.pid and _marked(folder, self.mark):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip())
                _kill(pid)
        return tuple(found)

    def close(self) -> None:
        """End it and remove its folders."""
        atexit.unregister(self.close)
        self._process.kill()
        self._process.wait()
        for pipe in (*self._lines, self._errors):
            pipe.close()
        shutil.rmtree(self.root, ignore_errors=True)


_SANDBOXES: dict[int, Sandbox] = {}


def sandbox(hash_seed: int = 1) -> Sandbox:
    """One for the whole session, by how it hashes strings."""
    if hash_seed not in _SANDBOXES:
        _SANDBOXES[hash_seed] = Sandbox(hash_seed)
    return _SANDBOXES[hash_seed]


def plant_decoy(folder: Path) -> None:
    """Write a test split into a new folder."""
    folder.mkdir(parents=True)
    (folder / DECOY).write_text(
        '{"id": "decoy", "text": "nobody should read this", "label": "good"}\n', encoding="utf-8"
    )


def _marked(folder: Path, mark: str) -> bool:
    try:
        alive = (folder / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        return alive and f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _tail(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""
    return text[-_TAIL:] or "it said nothing"


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - both were asked for
    return pipe
