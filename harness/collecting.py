"""What a store no longer needs. First it is found, as a value; then it is removed.

Ages are taken by the clock of the store's own disk: those of machines that share a store differ.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.claims import Claims
from harness.errors import StoreError
from harness.executors.stops import trim
from harness.executors.written import MIB, written_mib
from harness.keeping import Note, folder_of, notes
from harness.store import Store
from harness.store_probe import PREFIX

YOUNG = 3600.0  # seconds; what is younger may be on its way into a result
STOPPED = 30 * 86400.0  # for so long the results of a run that was stopped wait for it to go on
_LOG = re.compile(r"[a-z]+-([0-9a-f]{16})\.log")
_LOCK = re.compile(r"[0-9a-f]{64}\.lock")  # of earlier versions


@dataclass(frozen=True)
class Kept:
    """What is kept, and for whom."""

    notes: tuple[Note, ...]  # that count
    released: tuple[Note, ...]  # their records are gone, or were given up
    shown: frozenset[str] = frozenset()  # keys that the records in a folder refer to which somebody named

    @cached_property
    def keys(self) -> frozenset[str]:
        """Of all entries that are kept."""
        return self.shown.union(*(note.keys for note in self.notes))

    @property
    def unseen(self) -> tuple[Note, ...]:
        """For records that this machine cannot see."""
        return tuple(note for note in self.notes if not note.is_run and note.where == "unseen")


@dataclass(frozen=True, kw_only=True)
class Found:
    """An entry that can go."""

    key: str
    label: str
    mib: float


@dataclass
class Removal:
    """How much went, in MiB, and what, in numbers."""

    mib: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, mib: float) -> None:
        """One more of these."""
        self.counts[what] = self.counts.get(what, 0) + 1
        self.mib += mib


def kept(store: Store, shown: Set[str] = frozenset(), given_up: Set[Path] = frozenset()) -> Kept:
    """Whose entries are to stay. StoreError where a note cannot be read.

    `shown`: keys that records refer to which somebody named; `given_up`: records that count as deleted.
    """
    now, stay, go = clock(store), list[Note](), list[Note]()
    for note in notes(store):
        over = _idle(note.file, now) > STOPPED if note.is_run else note.where == "gone"
        (go if over or (note.record in given_up and not _at_work(note)) else stay).append(note)
    return Kept(tuple(stay), tuple(go), frozenset(shown))


def _at_work(note: Note) -> bool:
    return note.is_run and not (note.holder and note.holder.is_gone)


def clock(store: Store) -> float:
    """The time by the store's disk, as its files have it; in seconds."""
    path = store.staging / f".clock-{uuid.uuid4().hex}"
    try:
        path.touch()
        found = path.stat().st_mtime
        path.unlink()
    except OSError as error:
        msg = f"{path.parent}: {error.strerror}: nothing is removed from a store that cannot be written to"
        raise StoreError(msg) from error
    return found


# ------------------------------------------------------------------------------------------------------------- entries


def unneeded(
    store: Store, keep: Kept, older: float, progress: Callable[[int], None] = lambda done: None
) -> Iterator[Found]:
    """Entries, damaged ones too, that are kept for nobody, `older` seconds old, and that nobody works on."""
    now, keys, is_claimed = clock(store), keep.keys, _claimed(store)
    for number, folder in enumerate(sorted(store.objects.glob("??/*"))):
        progress(number)
        if folder.name in keys or _idle(folder, now) <= older or is_claimed(folder.name):
            continue
        try:
            entry = store.entry(folder.name)
        except StoreError:  # another person's, who alone can tell
            continue
        if entry:
            yield Found(key=entry.key, label=str(entry.manifest["label"]), mib=entry.bytes / MIB)
        else:
            yield Found(key=folder.name, label="(damaged)", mib=written_mib([folder]))


def _claimed(store: Store) -> Callable[[str], bool]:
    """Does somebody work on a key? Whoever does touches the claim every few seconds."""
    claims, now = Claims(store.claims), clock(store)
    return lambda key: bool(claims.look(key)) and _idle(store.claims / f"{key}.json", now) <= YOUNG


def remove(store: Store, found: Iterator[Found], keep: Kept, again: Callable[[], Kept]) -> Iterator[Found]:
    """Remove entries, but what somebody began to need meanwhile. `again`: what is kept now; yields what went."""
    state = _state(store)
    for one in found:
        if (now := _state(store)) != state:
            state, keep = now, again()
        if one.key not in keep.keys:
            store.discard(one.key)
            yield one


def _state(store: Store) -> int:
    """Moves when a note comes or goes."""
    with contextlib.suppress(FileNotFoundError):
        return folder_of(store).stat().st_mtime_ns
    return 0


# --------------------------------------------------------------------------------------------------------- what is left


def sweep(store: Store, keep: Kept, *, dry: bool) -> Removal:
    """Remove what stages, runs and records left behind that are no more; with `dry`, only look."""
    gone = Removal()
    for what, path in _litter(store, keep):
        gone.add(what, written_mib([path]) if path.is_dir() else _size(path) / MIB)
        if not dry:
            _delete(path)
    log = store.logs / "workers.log"
    before = _size(log)
    if not dry:
        trim(log)
    gone.mib += (before - _size(log)) / MIB
    return gone


def _litter(store: Store, keep: Kept) -> Iterator[tuple[str, Path]]:
    yield from (("notes of records that are gone", note.file) for note in keep.released)
    now, is_claimed = clock(store), _claimed(store)
    claimed = {path.stem for path in _in(store.claims) if is_claimed(path.stem)}
    made = {folder.name for folder in store.objects.glob("??/*")}
    looked_at = (
        ("folders of stages that were killed", _in(store.staging), _is_staged(claimed)),
        ("states of trainings that nobody goes on with", _in(store.scratch), _is_state(claimed, made, keep.keys)),
        ("logs", _in(store.logs), _is_log(made | claimed | keep.keys)),
        ("locks", _in(store.locks), _is_lock(now)),
        ("claims", _in(store.claims), lambda path: True),
        ("unfinished files", folder_of(store).glob(".*"), lambda path: True),
        ("unfinished files", store.objects.glob(f"{PREFIX}*"), lambda path: True),
    )
    for what, paths, is_litter in looked_at:
        yield from ((what, path) for path in paths if _idle(path, now) > YOUNG and is_litter(path))


Judge = Callable[[Path], bool]  # of what nobody has touched for an hour; who works on a stage touches what he writes


def _is_staged(claimed: Set[str]) -> Judge:
    at_work = {key[:12] for key in claimed}
    return lambda path: path.name.partition("-")[0] not in at_work


def _is_state(claimed: Set[str], made: Set[str], keep: Set[str]) -> Judge:
    """What a record or a run refers to and nobody has made yet may go on from its state."""
    return lambda path: path.name not in claimed and (path.name in made or path.name not in keep)


def _is_log(wanted: Set[str]) -> Judge:
    begins = {key[:16] for key in wanted}
    return lambda path: bool((named := _LOG.fullmatch(path.name)) and named[1] not in begins)


def _is_lock(now: float) -> Judge:
    """Those of machines are looked at once a month: who holds one has not touched it since it began."""
    return lambda path: bool(_LOCK.fullmatch(path.name) or _idle(path, now) > STOPPED) and _is_free(path)


def _in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*")) if folder.is_dir() else []


def _idle(path: Path, now: float) -> float:
    """Seconds since it was last written to; 0 where it is gone."""
    try:
        return now - path.lstat().st_mtime
    except OSError:
        return 0.0


def _is_free(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
