"""A worker and everything that it started: how much memory they hold, which of them are left, how they end.

Processes are found by descent and by a mark in their environment, which outlives both a double fork and their parent.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from harness.executors import guard
from harness.executors.guard import MARK

MIB = 2**20
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LISTS = Path("/proc/thread-self/children")  # Linux with CONFIG_PROC_CHILDREN
_OOM_SCORE = 500  # of 1000: before the shell and the desktop, after what somebody else offers up first
_ROUNDS, _ROUND_S = 5, 1.0
_ENDING_S = 2.0  # a pool that was told to end is given that long


def adopt_orphans() -> None:
    """Have what this process's children leave behind become its own children (Linux; elsewhere the mark finds them)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def offer_to_the_kernel() -> None:
    """Where memory runs out, the kernel kills a worker first: one stage fails, and the run goes on to say which."""
    path = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        path.write_text(str(max(int(path.read_text()), _OOM_SCORE)))


def held_mib(pid: int) -> float:
    """Resident memory of a process and its descendants, in MiB, without mapped files and shared memory.

    Those can be given back at any time, or would be counted once per process. RLIMIT_AS is no substitute: it counts
    addresses, of which torch and CUDA reserve tens of GiB that they never touch, and counts them per process.
    """
    return sum(map(_held, _family(pid))) / MIB


def _held(process: Any) -> int:
    try:
        info = process.memory_info()
    except psutil.Error:
        return 0
    return int(info.rss - getattr(info, "shared", 0))


def _family(pid: int) -> list[Any]:
    return _opened([pid, *_descendants(pid)])


def _opened(pids: Iterable[int]) -> list[Any]:
    """Without those that have ended meanwhile."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def _descendants(pid: int) -> list[int]:
    """From the kernel's own lists, where it keeps them: psutil reads every process of the machine, twice per stage."""
    if not _LISTS.exists():
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return []
    found = [pid]
    for parent in found:  # grows as it goes
        found += _children(parent)
    return found[1:]


def _children(pid: int) -> list[int]:
    words: list[str] = []
    with contextlib.suppress(OSError):  # it has ended, or a thread of its own has
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                words += (thread / "children").read_text().split()
    return [int(word) for word in words]


def running() -> frozenset[int]:
    """This process's descendants."""
    return frozenset(_descendants(os.getpid()))


def left_running(before: frozenset[int]) -> list[str]:
    """Command lines of the descendants that were not there before, and do not end by themselves now."""
    found = running() - before - _helpers()
    _, alive = psutil.wait_procs(_opened(found), timeout=_ENDING_S)
    return [_command(process) for process in alive if not _is_dead(process)]


def _helpers() -> frozenset[int]:
    """Processes that Python itself keeps for the life of a program that has used multiprocessing."""
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    return frozenset({getattr(tracker, "_pid", None) or 0, getattr(server, "_forkserver_pid", None) or 0})


def _is_dead(process: Any) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _command(process: Any) -> str:
    try:
        return " ".join(process.cmdline())[:80] or process.name()
    except psutil.Error:
        return f"process {process.pid}"


class Guard:
    """Ends what was started with its `environment`, and what that started, once this process is gone, even killed."""

    def __init__(self, mark: str = "") -> None:
        mark = mark or secrets.token_hex(8)
        self.environment = {MARK: mark}
        words = [sys.executable, "-I", "-S", str(guard.__file__), mark]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True, cwd="/"
        )

    def close(self) -> None:
        """It looks once more, and ends."""
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe above
        self._process.stdin.close()
        self._process.wait()


def end(pid: int | None, mark: str) -> None:
    """Kill a process, its descendants and whatever carries its mark; signals that can be ignored are not tried.

    `pid` None: it has ended already, and its number may be somebody else's.
    """
    _kill([] if pid is None else _family(pid))
    end_marked(mark)


def end_marked(mark: str) -> None:
    """Kill what carries a mark that begins so, again until nothing does: it may fork meanwhile."""
    for _ in range(_ROUNDS):
        found = [process for process in psutil.process_iter() if _mark(process).startswith(mark)]
        if not found:
            return
        _kill(found)
        psutil.wait_procs(found, timeout=_ROUND_S)


def _kill(processes: Iterable[Any]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _mark(process: Any) -> str:
    try:
        dead = process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE
        return "" if dead else str(process.environ().get(MARK, ""))
    except (psutil.Error, OSError):
        return ""
