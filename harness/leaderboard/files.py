"""Which records a leaderboard is made from: files as they were named, and what lies in folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.leaderboard.model import Refused
from harness.records import SUFFIX

LARGEST = 1 << 29  # bytes: 50 times the record of a hundred rows on 3,000 examples


@dataclass(frozen=True)
class File:
    """A record's file and what it is called on the board."""

    path: Path
    shown: str


def find(paths: Iterable[Path], base: Path) -> tuple[list[File], list[Refused]]:
    """The records among `paths`, folders searched, each once, by name; shown relative to `base`.

    What is named and is not there, is no file, is too large or leads out of its folder is refused.
    """
    files: dict[Path, File] = {}
    refused: list[Refused] = []
    for path, folder in _candidates(paths):
        shown = os.path.relpath(path, base)
        why = _unfit(path, folder)
        if why:
            refused.append(Refused(file=shown, row="", reason=why))
        else:
            files.setdefault(path.resolve(), File(path, shown))
    return sorted(files.values(), key=lambda file: file.shown), refused


def sha256(path: Path) -> str:
    """Of a file's bytes, hex. OSError when it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _candidates(paths: Iterable[Path]) -> Iterator[tuple[Path, Path | None]]:
    """Every path with the folder that it was found in, or None where it was named itself."""
    for path in paths:
        if not path.is_dir():
            yield path, None
            continue
        for folder, _, names in os.walk(path):
            yield from ((Path(folder, name), path) for name in sorted(names) if name.endswith(SUFFIX))


def _unfit(path: Path, folder: Path | None) -> str:
    """Why this is not read; empty where it is."""
    try:
        if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
            return "a link that leads out of its folder; name the file that it leads to"
        if not path.exists():
            return "there is no such file or folder"
        if not path.is_file():
            return "not a file"
        size = path.stat().st_size
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        return f"cannot be read: {error.strerror if isinstance(error, OSError) else error}"
    if size > LARGEST:
        return (
            f"{size / 2**20:,.0f} MiB are more than the {LARGEST // 2**20} MiB that a record may have; split the suite"
        )
    return ""
