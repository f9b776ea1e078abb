"""A small process that outlives a run which is killed, ends what its workers started, and ends.

    python -I -S guard.py MARK      its input is a pipe that only the run holds open

A worker dies with its run, but what plugins started in it does not: those processes would keep the memory and the GPU.
They are found by the mark in their environment. This file imports nothing but the standard library, to be small.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

MARK = "HARNESS_WORKER"  # the variable that holds it
_ROUNDS, _ROUND_S = 40, 0.05  # they may fork meanwhile


def main() -> None:
    """Wait for the end of the run, however it comes, then kill what carries its mark until nothing does."""
    mark = f"{MARK}={sys.argv[1]}".encode()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # those tell the run to end; this one ends after it
    while os.read(0, 1):
        pass
    for _ in range(_ROUNDS):
        found = [process for process in Path("/proc").glob("[0-9]*") if _carries(process, mark)]
        if not found:
            return
        for process in found:
            _kill(int(process.name))
        time.sleep(_ROUND_S)


def _carries(process: Path, mark: bytes) -> bool:
    try:
        words = (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return False
    return process.name != str(os.getpid()) and any(word.startswith(mark) for word in words)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:  # it was faster
        return


if __name__ == "__main__":
    main()
