"""The write-once, content-addressed store: staged folder, fsync, rename, manifest inside; no manifest, no entry."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from harness.errors import StoreError, refused
from harness.keys import Ref, Stage
from harness.manifest import MANIFEST, read_manifest, sealed
from harness.store_probe import NEEDED, what_is_wrong

KEY = "key.json"
MISSING = "missing"
_TRIES = 3  # to publish where damaged entries stand in the way
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Results of harness; `harness cache gc` cleans up.\n"


@dataclass(frozen=True)
class Entry:
    """A finished stage."""

    key: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the stage observed."""
        found: Mapping[str, Any] = self.manifest["facts"]
        return found

    @property
    def seconds(self) -> float:
        """Wall time of the stage, in seconds; of one that was merged from shards, with what they took."""
        merged = self.facts.get("shards") if self.manifest["kind"] == "predict" else None
        return float(self.manifest["seconds"]) + (float(merged["seconds"]) if merged else 0.0)

    @property
    def is_shard(self) -> bool:
        """Is it a part of a stage, which speaks for it once it is merged?"""
        return self.manifest["kind"] == "predict" and "shard" in self.facts

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(size for size, _ in self.manifest["files"].values())


_LARGE, _THREADS = 4 << 20, 4  # bytes of an entry; of those, so many are hashed at once
T = TypeVar("T")


class Store:
    """A folder of entries. Correct without locks: the first writer of a key wins by `rename`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects, self.staging = root / "objects", root / "staging"
        self.scratch, self.logs, self.locks = root / "scratch", root / "logs", root / "locks"
        self.claims, self.runs = root / "claims", root / "runs"
        self._tried = False

    @property
    def _folders(self) -> tuple[Path, ...]:
        return self.objects, self.staging, self.scratch, self.logs, self.locks, self.claims, self.runs

    def create(self) -> None:
        """Make the folders. StoreError when that is not possible, or where a result could not be published whole."""
        try:
            for folder in self._folders:
                folder.mkdir(parents=True, exist_ok=True)
            tag = self.root / "CACHEDIR.TAG"
            if not tag.exists():
                tag.write_text(TAG)
            wrong = None if self._tried else what_is_wrong(self.staging, self.objects)
        except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
            where = error.filename or self.root
            msg = f"the store {self.root} cannot be a folder: {error.strerror} ({where}). Set HARNESS_STORE to another"
            raise StoreError(msg) from error
        except OSError as error:
            _refused("creating", self.root, error)
        if wrong:
            msg = f"the store {self.root}: {wrong}. Needed: {NEEDED}. Set HARNESS_STORE to a folder on such a one"
            raise StoreError(msg)
        self._tried = True

    def folder(self, key: str) -> Path:
        """Where the entry of a key stands, or would."""
        return self.objects / key[:2] / key

    def path(self, ref: Ref) -> Path:
        """The folder of one output."""
        return self.folder(ref.key) / ref.output

    def entry(self, key: str) -> Entry | None:
        """The entry, by its manifest alone; None when there is none or its manifest is not what was written.

        StoreError when that cannot be told.
        """
        folder = self.folder(key)
        try:
            manifest = read_manifest(folder, key)
        except OSError as error:
            _unreadable(key, error)
        return None if manifest is None else Entry(key, folder, manifest)

    def entries(self) -> Iterator[Entry]:
        """Every entry that can be read, sorted by key."""
        for folder in sorted(self.objects.glob("??/*")):
            with contextlib.suppress(StoreError):
                if entry := self.entry(folder.name):
                    yield entry

    def verify(self, key: str) -> str | None:
        """None when every file is there with its size and hash, and no other; otherwise what is wrong.

        StoreError when that cannot be told, as of files that this person may not read.
        """
        try:
            return _damage(self.folder(key), key)
        except OSError as error:
            _unreadable(key, error)

    def sound(self, keys: list[str]) -> set[str]:
        """Those of the keys whose entries are complete; damaged ones are moved out of the way and count as absent."""
        problems = dict(self.looked_at(keys, self.verify))
        for key, problem in problems.items():
            if problem not in (None, MISSING):
                self.discard_damaged(key)
        return {key for key, problem in problems.items() if problem is None}

    def looked_at(self, keys: Iterable[str], look: Callable[[str], T]) -> Iterator[tuple[str, T]]:
        """What `look` says of each key. Large entries are hashed by several threads, small ones in turn.

        Threads that do little besides opening files get into each other's way: 2,000 small entries took them 1.4 s, one
        after another 0.4 s.
        """
        large = []
        for key in keys:
            if self._is_large(key):
                large.append(key)
            else:
                yield key, look(key)
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            yield from zip(large, pool.map(look, large), strict=True)

    def _is_large(self, key: str) -> bool:
        with contextlib.suppress(StoreError):  # whoever looks at it says so
            if entry := self.entry(key):
                return entry.bytes > _LARGE
        return False

    def discard(self, key: str) -> None:
        """Remove an entry: renamed away first, so that nobody sees half of it. StoreError when it cannot be moved."""
        shutil.rmtree(self._away(key), ignore_errors=True)

    def discard_damaged(self, key: str) -> None:
        """Remove an entry that was found damaged, unless it is sound: another machine may have made it again since."""
        if self.verify(key) is None:
            return
        away = self._away(key)
        if _damage(away, key) is None:
            with contextlib.suppress(OSError):  # by now there is a third
                away.rename(self.folder(key))
        shutil.rmtree(away, ignore_errors=True)

    def _away(self, key: str) -> Path:
        away = self.staging / f"discarded-{key[:12]}-{uuid.uuid4().hex[:8]}"
        try:
            self.folder(key).rename(away)
        except FileNotFoundError:
            pass
        except OSError as error:
            _refused(f"removing {key[:12]}", self.root, error)
        return away

    @contextlib.contextmanager
    def stage(self, key: str, owner: str = "") -> Iterator[Path]:
        """A private empty folder to write a result into; whatever is left of it afterwards is removed.

        `owner` stands in its name, so that who ends a process that writes can remove what it left.
        """
        folder = self.staging / f"{key[:12]}-{owner}-{uuid.uuid4().hex[:16]}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, stage: Stage, staged: Path, facts: Mapping[str, Any], seconds: float, when: str) -> bool:
        """Make the staged folder the entry of the stage; False when another writer was first.

        `when` is the finishing time, ISO 8601 in UTC. StoreError (naming the path) when the disk refuses.
        """
        try:
            _write_json(staged / KEY, stage.identity)
            files = {str(p.relative_to(staged)): _seal(p) for p in sorted(staged.rglob("*")) if p.is_file()}
            manifest: dict[str, Any] = {"key": stage.key, "kind": stage.kind, "component": stage.component}
            manifest |= {"label": stage.label, "finished": when, "seconds": round(seconds, 3)}
            manifest |= {"files": files, "facts": dict(facts)}
            _write_json(staged / MANIFEST, sealed(manifest))
            _sync_all(staged)
            target = self.folder(stage.key)
            target.parent.mkdir(parents=True, exist_ok=True)
            return self._rename(staged, target, stage.key)
        except OSError as error:
            _refused(f"publishing {stage.label}", self.root, error)

    def _rename(self, staged: Path, target: Path, key: str) -> bool:
        for left in reversed(range(_TRIES)):
            try:
                staged.rename(target)
            except OSError:
                if self.verify(key) is None:
                    return False
                if not left:
                    raise
                self.discard_damaged(key)
            else:
                break
        _sync(target.parent)
        return True


def _refused(doing: str, root: Path, error: OSError) -> NoReturn:
    msg = f"{doing} in the store {root}: {refused(error) or error}"
    raise StoreError(msg) from error


def _unreadable(key: str, error: OSError) -> NoReturn:
    """A file that cannot be opened now is no damaged file: it may be sound, and is not made again."""
    where = error.filename or "a file"
    msg = f"entry {key[:12]}: {where} cannot be read: {error.strerror or error}; it is left as it is"
    raise StoreError(msg) from error


def _damage(folder: Path, key: str) -> str | None:
    """What is wrong with the entry of a key that stands in a folder; None: nothing."""
    manifest = read_manifest(folder, key)
    if manifest is None:
        if (folder / MANIFEST).exists():
            return f"{MANIFEST}: differs from what was written"
        return "no manifest" if folder.exists() else MISSING
    for name, (size, sha) in manifest["files"].items():
        if problem := _wrong(folder / name, size, sha):
            return f"{name}: {problem}"
    there = {str(path.relative_to(folder)) for path in files_under(folder)}
    strangers: set[str] = there - {*manifest["files"], MANIFEST}
    return f"{min(strangers)}: is no file of this entry" if strangers else None


def _wrong(path: Path, size: int, sha: str) -> str | None:
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return "is no regular file"  # to open a pipe would wait for ever
        if found.st_size != size:
            return f"{found.st_size} bytes, expected {size}"
        return None if file_hash(path) == sha else "content differs from its hash"
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:
        if error.errno == errno.EIO:  # the disk has lost it
            return f"cannot be read: {error.strerror}"
        raise


def files_under(folder: Path) -> Iterator[Path]:
    """All that stands in a folder and is none itself, links as links; what others remove meanwhile is left out."""
    for place, folders, names in os.walk(folder):
        yield from (Path(place, name) for name in names)
        yield from (link for name in folders if (link := Path(place, name)).is_symlink())


def file_hash(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(path: Path) -> list[Any]:
    return [path.stat().st_size, file_hash(path)]


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")


def _sync_all(folder: Path) -> None:
    """Files, then folders: only once all are written, so that a journalling file system commits once, not per file."""
    inside = sorted(folder.rglob("*"), key=Path.is_dir)
    for path in (*inside, folder):
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace a file's content in one step: readers see the old or the new one, never a part. Text becomes UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")  # other machines have the same process numbers
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        _sync(temporary)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # what a full disk has of it takes room from the next attempt
        raise
