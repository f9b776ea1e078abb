"""Memory of a process as the kernel counts it.

`VmHWM` is the most that was resident at once since the program started: interpreter, libraries, mapped weights and all.
`ru_maxrss` is never read: a child inherits its parent's through fork, so a 13 MiB child reports its parent's 500.
"""

from __future__ import annotations

import os
from pathlib import Path

KIB_PER_MIB = 1024


def peak_mib(pid: int | None = None) -> float | str:
    """Peak resident memory of a process (None: this one) in MiB, or "not measured (why)"."""
    return _status_mib("VmHWM", pid)


def _status_mib(field: str, pid: int | None) -> float | str:
    path = Path(f"/proc/{os.getpid() if pid is None else pid}/status")
    try:
        return parse_status(path.read_text(encoding="ascii", errors="replace"), field)
    except OSError:
        return f"not measured (no {path})"


def parse_status(text: str, field: str) -> float | str:
    """`VmHWM:  2048 kB` of /proc/PID/status → 2.0. A process that has ended has no such line."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return round(int(value.split()[0]) / KIB_PER_MIB, 3)
    return f"not measured (the kernel reports no {field})"
