"""A child that never outlives its parent."""

from __future__ import annotations

import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent's thread ends, however that happens (Linux: `man 2 prctl`).

    SIGKILL reaches a stopped process too. Elsewhere the end of its input ends a process that runs.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the kernel was told
        sys.exit(1)
