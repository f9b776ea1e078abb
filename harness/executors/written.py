"""What a stage has on disk while it runs. Looking costs a look at every file, so it is done rarely."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
EVERY_S = 2.0
_SHARE = 0.05  # of the time that may go into looking
_BLOCK = 512  # bytes of a block of `st_blocks`, whatever the file system's are


def written_mib(folders: Iterable[Path]) -> float:
    """What the files under folders take on disk, in MiB: holes take nothing, a file with two names counts once."""
    found = {(state.st_dev, state.st_ino): state.st_blocks for folder in folders for state in _states(folder)}
    return sum(found.values()) * _BLOCK / MIB


def _states(folder: Path) -> Iterator[os.stat_result]:
    """Links are looked at, not followed; what goes away meanwhile is left out."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry.stat(follow_symlinks=False)
        except OSError:
            continue


@dataclass
class Scales:
    """Weighs what one attempt at a stage writes, every two seconds, and at once where the disk fills quickly."""

    limit_mib: float
    _next: float = 0.0  # monotonic, seconds
    _free: float = 0.0  # MiB of the disk, at the last look

    def weigh(self, folders: Iterable[Path], disk: Path) -> float:
        """MiB, where it is time to look; else 0. `disk`: a folder on the disk that is written to."""
        now, free = time.monotonic(), _free_mib(disk)
        if now < self._next and self._free - free < self.limit_mib / 4:
            return 0.0
        found = written_mib(folders)
        cost = time.monotonic() - now
        self._next, self._free = now + max(EVERY_S, cost / _SHARE), free
        return found


def _free_mib(folder: Path) -> float:
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0.0
    return found.f_bavail * found.f_frsize / MIB
