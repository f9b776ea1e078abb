"""What may leave this machine: no places on its disk."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable
from pathlib import Path

from harness.errors import HarnessError

# From the root, the home folder, a parent, or a drive; the last part stays.
_PATH = re.compile(r"(?<![\w:/.@<])(?:[A-Za-z]:[\\/]|\\\\|~[\w-]*/|\.{0,2}/)(?:[^\s\"'`,;:<>|\[\](){}]*[\\/])?")


def without_paths(text: str) -> str:
    """`/home/anna/data/reviews.csv` → `reviews.csv`; `hub:owner/name` and `data/reviews.csv` stay."""
    return _PATH.sub("", text)


def refuse_places(folder: Path, places: Iterable[Path]) -> None:
    """HarnessError that names the file where one of the places stands in any file of the folder."""
    marks = {str(form): None for place in places for form in (place, place.resolve()) if len(form.parts) > 2}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = next((mark for mark in marks if data.find(mark.encode()) >= 0), None)
        if found:
            msg = f"{path.name} names a place on this machine ({found}): nothing is exported. Remove it from the model"
            raise HarnessError(msg)
