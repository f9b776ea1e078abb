"""The inputs of a stage are write-once entries of the store: have they stayed as they were?"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

State = Mapping[str, tuple[int, int, int]]  # file → size, time of change, inode: cheap, and any write changes it


def state_of(folder: Path) -> State:
    """What stands in an entry, links as links; of a folder that is gone, nothing."""
    found = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    files = [(path, entry) for path, entry in found if not stat.S_ISDIR(entry.st_mode)]
    return {str(p.relative_to(folder)): (e.st_size, e.st_mtime_ns, e.st_ino) for p, e in files}


def difference(before: State, now: State) -> str | None:
    """The first file that was changed, added or removed, in words; None where nothing was."""
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            did = "removed" if name not in now else "added" if name not in before else "changed"
            return f"{did} '{name}'"
    return None
