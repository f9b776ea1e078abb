"""For whom a store keeps what: every record, and every run, leaves a note in it with the keys that it refers to.

People who share a store keep their records elsewhere, where another's clean-up cannot look. A record that was deleted
is told from one that is out of sight by the folders above it: it is gone where the nearest of them that is there is the
very folder that was there when it was written, on the same machine and disk. Everything else (another machine's, an
unmounted disk, a folder that nobody may read) is kept, until somebody who knows better forgets it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import re
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import StoreError, printable
from harness.heartbeats import Beat, Holder, read_holder, take_over
from harness.store import Store, write_atomic

SCHEMA = 1
LARGEST = 64 << 20  # bytes; 10,000 keys are 0.7 MB
_KEY = re.compile(r"[0-9a-f]{64}")
_ID = Path("/etc/machine-id")

Where = Literal["there", "gone", "unseen"]


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a record refers to, or what a run needs that has not ended."""

    file: Path
    record: Path  # absolute
    host: str
    folders: Mapping[str, tuple[int, int]]  # above the record, on its disk → device, inode
    keys: frozenset[str]
    is_run: bool
    holder: Holder | None = None  # the run's process

    @property
    def where(self) -> Where:
        """Where the record is, as far as this machine can say."""
        for path in (self.record, *self.record.parents):
            try:
                found = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                return "unseen"
            if path == self.record:
                return "there"
            same = self.host == host() and self.folders.get(str(path)) == (found.st_dev, found.st_ino)
            return "gone" if same else "unseen"
        return "unseen"


def host() -> str:
    """This machine, under a name that it keeps when it is started again. Not the same as another's, if need be."""
    try:
        known = _ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        known = ""
    return f"{platform.node()} {hashlib.sha256(known.encode()).hexdigest()[:12]}"


def folder_of(store: Store) -> Path:
    """Where the notes of a store are."""
    return store.root / "records"


# ------------------------------------------------------------------------------------------------------------- writing


@dataclass
class Need:
    """What a run needs of a store, until it has left a record. One that is stopped may go on later."""

    store: Store
    record: Path
    keys: set[str] = field(default_factory=set)
    _beat: Beat | None = None

    def add(self, keys: Iterable[str]) -> None:
        """Have these kept from now on. StoreError when the disk refuses."""
        new = set(keys) - self.keys
        if self._beat and not new:
            return
        self.keys |= new
        content = {**_content(self.record, self.keys), "run": True}
        path = folder_of(self.store) / f"{_name(self.record)}.{uuid.uuid4().hex[:16]}.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            earlier, self._beat = self._beat, take_over(path, content)
        except OSError as error:
            raise _unwritten(path, error) from error
        if earlier:  # only now: at no time are they kept for nobody
            earlier.end()

    def settle(self, keys: Iterable[str]) -> None:
        """The record is written and refers to these; what earlier attempts at it needed is no longer needed."""
        path = folder_of(self.store) / f"{_name(self.record)}.json"
        try:
            write_atomic(path, json.dumps(_content(self.record, set(keys))))
        except OSError as error:
            raise _unwritten(path, error) from error
        if self._beat:
            self._beat.end()
        for earlier in folder_of(self.store).glob(f"{_name(self.record)}.*.json"):
            with contextlib.suppress(StoreError, OSError):  # whoever cleans up says which notes nobody can read
                if (note := _read(earlier)) and note.holder and note.holder.is_gone:
                    earlier.unlink()


def _content(record: Path, keys: Collection[str]) -> dict[str, Any]:
    path = _absolute(record)
    return {
        "schema": SCHEMA,
        "record": str(path),
        "host": host(),
        "folders": {str(folder): list(state) for folder, state in _folders(path).items()},
        "keys": sorted(keys),
    }


def _absolute(record: Path) -> Path:
    return record.parent.resolve() / record.name


def _folders(record: Path) -> dict[Path, tuple[int, int]]:
    """Those above a record on its own disk. A mount point is not among them: every disk's has the same inode."""
    found: dict[Path, tuple[int, int]] = {}
    for folder in record.parents:
        if folder.is_mount():
            break
        state = folder.stat()
        found[folder] = (state.st_dev, state.st_ino)
    return found


def _name(record: Path) -> str:
    return hashlib.sha256(f"{host()}\n{_absolute(record)}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _unwritten(path: Path, error: OSError) -> StoreError:
    msg = f"{path}: {error.strerror or error}: what this run needs would not be kept. Free space, or set HARNESS_STORE"
    return StoreError(msg)


# ------------------------------------------------------------------------------------------------------------- reading


def notes(store: Store) -> list[Note]:
    """Every note of the store. StoreError for one that cannot be understood: what it keeps, nobody could know."""
    paths = sorted(folder_of(store).glob("[!.]*.json"))
    return [note for path in paths if (note := _read(path))]


def _read(path: Path) -> Note | None:
    """None: its run has just ended."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    return _parsed(path, raw)


def _parsed(path: Path, raw: bytes) -> Note:
    try:
        content = json.loads(raw) if len(raw) <= LARGEST else None
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, "is not JSON") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or type(content["schema"]) is not int:
        raise _unreadable(path, f"is not a note of schema {SCHEMA}")
    record, where, folders, keys = (content.get(name) for name in ("record", "host", "folders", "keys"))
    if not isinstance(record, str) or not record.startswith("/") or "\0" in record or not isinstance(where, str):
        raise _unreadable(path, "does not say whose it is")
    if not isinstance(folders, dict) or not all(map(_is_state, folders.values())):
        raise _unreadable(path, "does not say where that is")
    if not isinstance(keys, list) or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys):
        raise _unreadable(path, "does not say what it keeps")
    return Note(
        file=path,
        record=Path(record),
        host=where,
        folders={name: tuple(state) for name, state in folders.items()},
        keys=frozenset(keys),
        is_run=content.get("run") is True,
        holder=read_holder(content.get("holder")),
    )


def _is_state(value: Any) -> bool:
    return isinstance(value, list) and [type(one) for one in value] == [int, int]


def _unreadable(path: Path, why: str) -> StoreError:
    msg = (
        f"{path}: {why}, so nobody can tell what it keeps. Upgrade harness where a newer one wrote it; else remove "
        "it and run the suite that it was about again, which notes it anew"
    )
    return StoreError(printable(msg))
