"""Disks that refuse: errors at the k-th operation that changes a file, and a file system that is really full."""

from __future__ import annotations

import errno
import os
import random
import re
import subprocess
from collections.abc import Iterator, Mapping

from benchmarks.faults import Kind, NotHere, Trial
from benchmarks.faults.planting import Fault
from benchmarks.faults.project import Project, Said, calm, project, resumed, suite

LASTING = {"ENOSPC": True, "EDQUOT": True, "EIO": False, "EACCES": False, "EMFILE": False}  # a full disk stays full
EXPECTED = (1, 2, 3)  # a failed row, reports that cannot be written, a store that cannot be used
KEPT = r"^(\.harness|reports)\b"  # not what the toys write elsewhere
REMEDY = "HARNESS_STORE|[Ff]ree|quota|folder that can be written|ulimit"
TEXT = suite(speed=False, seconds=0.0)


def _errors(count: int) -> Iterator[Trial]:
    """Every operation with one error, then with another."""
    places = [(who, number, name) for who in ("worker", "run") for number, name in enumerate(_listed(who), start=1)]
    random.Random(0).shuffle(places)
    errors = [*LASTING]
    every = [(errors[(at + turn) % 5], *place) for turn in range(5) for at, place in enumerate(places)]
    wanted, _ = calm(TEXT)
    for error, who, nth, name in every[:count]:
        yield Trial(f"{error} in the {who}, operation {nth} ({name})", _refused(error, who, nth, wanted))


def _listed(who: str) -> list[str]:
    """The operations of an undisturbed run."""
    with project(TEXT) as one:
        fault = Fault(root=str(one.folder), fired=str(one.folder / "fired"), who=who, nth=0, path=KEPT)
        one.run(fault=fault)
        return fault.listed


def _refused(error: str, who: str, nth: int, wanted: Mapping[str, object]) -> str:
    with project(TEXT) as one:
        fault = Fault(
            root=str(one.folder), fired=str(one.folder / "fired"), do=error, path=KEPT, who=who, nth=nth,
            lasting=LASTING[error],
        )  # fmt: skip
        said = one.run(fault=fault)
        if not fault.hit:
            return ""  # this run was done with less
        return told(one, said, os.strerror(getattr(errno, error)), wanted) or resumed(one, wanted)


def told(one: Project, said: Said, why: str, wanted: Mapping[str, object]) -> str:
    """What is wrong with how a run ended that a disk refused something, or nothing."""
    if said.code == 0:  # it could do without
        return one.differs(wanted)
    if said.code not in EXPECTED:
        return f"it ended with {said.code}: {said.last}"
    if "Traceback" in said.err:
        return f"a traceback: {said.last}"
    lines = [line for line in said.err.splitlines() if why in line]
    if not lines:
        return f"it does not say '{why}': {said.last}"
    if not any(str(one.folder) in line or ".harness" in line or "reports" in line for line in lines):
        return f"it names no path: {lines[0]}"
    if not any(re.search(REMEDY, line) for line in lines):
        return f"it names no remedy: {lines[0]}"
    return ""


# --------------------------------------------------------------------------------------------------- really full


ROOM = 4096  # KiB: more than a run takes


def _full(count: int) -> Iterator[Trial]:
    """A store, its reports beside it, on a file system of so many KiB; then it is made larger."""
    wanted, _ = calm(TEXT)
    used = _used()
    for number in range(count):
        size = 32 + (used - 32) * number // count
        with project(TEXT, store_at="small/store", reports_at="small/reports") as one:
            small = one.folder / "small"
            small.mkdir()
            _mount(str(small), size)
            try:
                said = one.run()
                problem = told(one, said, os.strerror(errno.ENOSPC), wanted)
                _mount(str(small), ROOM, again=True)
                yield Trial(f"{size} KiB, exit {said.code}", problem or resumed(one, wanted))
            finally:
                subprocess.run(["umount", str(small)], check=True)


def _used() -> int:
    """KiB that a run takes of a file system."""
    with project(TEXT, store_at="small/store", reports_at="small/reports") as one:
        small = one.folder / "small"
        small.mkdir()
        _mount(str(small), ROOM)
        try:
            one.run()
            found = os.statvfs(small)
            return (found.f_blocks - found.f_bfree) * found.f_frsize // 1024
        finally:
            subprocess.run(["umount", str(small)], check=True)


def _mount(where: str, size: int, *, again: bool = False) -> None:
    options = f"{'remount,' if again else ''}size={size}k"
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", where]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        msg = f"mounting is refused: {done.stderr.strip() or done.returncode}"
        raise NotHere(msg)


KINDS = (
    Kind(
        "disk.errors",
        "ENOSPC, EDQUOT (from then on), EIO, EACCES, EMFILE (once) at the k-th operation that changes a file, "
        "in the run or in its worker, drawn from all k (400 trials reach every one): an error that names path and remedy, nothing torn, the next run ends with the same "
        "results",
        _errors,
        400,
    ),
    Kind(
        "disk.full",
        "A file system that is really full, at sizes between nothing and what a run takes: the same, once it is larger",
        _full,
        20,
    ),
)
