"""The inputs of a stage are write-once entries of the store: have they stayed as they were?"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from harness.store import files_under

# File → size, inode, time of change of its content, of anything: cheap, any write changes it, nobody can set it back.
State = Mapping[str, tuple[int, int, int, int]]


def state_of(folder: Path) -> State:
    """What stands in an entry, links as links; of a folder that is gone, nothing."""
    found: dict[str, tuple[int, int, int, int]] = {}
    for path in files_under(folder):
        with contextlib.suppress(FileNotFoundError):  # another run is just removing it
            entry = path.lstat()
            times = entry.st_mtime_ns, entry.st_ctime_ns
            found[str(path.relative_to(folder))] = (entry.st_size, entry.st_ino, *times)
    return found


def difference(before: State, now: State) -> str | None:
    """The first file that was changed, added or removed, in words; None where nothing was."""
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            did = "removed" if name not in now else "added" if name not in before else "changed"
            return f"{did} '{name}'"
    return None
