"""Why a stage was stopped from outside, in words that say what to do."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from harness.executors.processes import held_mib
from harness.keys import Stage
from harness.limits import Limits
from harness.plain import plain

SHOW = signal.SIGUSR2  # on which a worker writes into the stage's log what its threads are doing
SHOW_S = 0.1  # that it takes at most
LOG_MOST = 64 * 2**20  # bytes that a stage may print
LOG_KEPT = 2**20  # of a long log: so many from its beginning and from its end
_TAIL = 4096
_FATAL = "Fatal Python error"


def over_limit(stage: Stage, limits: Limits, seconds: float, pid: int | None, written_mib: float = 0.0) -> str | None:
    """Which limit the stage is over, None: none. `pid` None: memory is not looked at this time."""
    minutes = limits.of(stage.kind, "minutes")
    if minutes and seconds > 60 * minutes.value:
        said = f"stopped after {minutes.value:g} min ({minutes.key} = {minutes.value:g})"
        return f"{said}; {_advice(stage, minutes.key, 'why it takes so long')}"
    memory = limits.of(stage.kind, "memory_mib")
    held = held_mib(pid) if memory and pid else 0.0
    if memory and held > memory.value:
        said = f"stopped at {held:.0f} MiB of memory ({memory.key} = {memory.value:g})"
        return f"{said}; {_advice(stage, memory.key, 'what it keeps')}"
    disk = limits.of(stage.kind, "disk_mib")
    if disk and written_mib > disk.value:
        said = f"stopped at {written_mib:,.0f} MiB on disk ({disk.key} = {disk.value:g})"
        return f"{said}; {_advice(stage, disk.key, 'what it writes')}"
    return None


def _advice(stage: Stage, key: str, what: str) -> str:
    goes_on = " (what was trained is kept, it goes on from there)" if stage.kind == "train" else ""
    return f"raise it, as with --set {key}=…{goes_on}, or see in the log of '{stage.component}' {what}"


def over_log(stage: Stage, log: Path) -> str | None:
    """Did it print more than anybody reads? It would fill the disk."""
    if _size(log) <= LOG_MOST:
        return None
    return f"'{stage.component}' printed more than {LOG_MOST >> 20} MiB and was stopped; have it print less"


def trim(log: Path) -> None:
    """Keep the beginning and the end of a long log. It is cut where it stands: others may have it open, to append."""
    if (size := _size(log)) <= 3 * LOG_KEPT:
        return
    left_out = f"\n… {size - 2 * LOG_KEPT:,} bytes left out …\n".encode()
    with contextlib.suppress(OSError), log.open("r+b") as file:
        file.seek(size - LOG_KEPT)
        end = file.read(LOG_KEPT)
        file.seek(LOG_KEPT)
        file.write(left_out + end)
        file.truncate()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def ended(stage: Stage, code: int | None, log: Path) -> str:
    """How a worker ended that had not answered; `code` None: it closed the channel and lives."""
    said = _last_words(log)
    if code is None:
        return f"'{stage.component}' closed the channel by which its process answers{said}"
    if code >= 0:
        return f"'{stage.component}' ended its process with code {code} instead of returning or raising{said}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"its process, running '{stage.component}', was killed by {_signal(-code)}{hint}{said}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _last_words(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    fatal = [line for line in lines if line.startswith(_FATAL)]
    return f"; its last words: {plain((fatal or lines)[-1], 200)}" if lines else ""
