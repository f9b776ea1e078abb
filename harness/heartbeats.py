"""Files that say who is at work: each is touched every few seconds for as long as the one who wrote it lives.

Nobody's clock is read: whoever waits looks whether a file's time of change moves, by its own steady clock. So clocks
may jump, and those of several machines may differ.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from harness.plain import plain

BEAT_S = 2.0  # between two touches
SILENT_S = 20.0  # one that has not moved for so long counts as left
LINE = 200  # characters of a text
LARGEST = 2**16  # bytes: what is longer was not written by this module
_SHOWN = 200  # characters of a name
_PIDS = 2**31  # no process has a greater number, and the kernel takes none
_BOOT, _NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process, named so that another machine can tell it from its own."""

    host: str  # for people
    system: str  # boot and PID namespace: equal where process numbers mean the same
    pid: int
    born: int  # when it started, on the kernel's clock: a number comes back, its time does not

    @property
    def is_gone(self) -> bool:
        """Has it certainly ended? Of a process of another system nobody here can say so."""
        return self.system == _system() and _born(self.pid) != self.born and not _is_hidden(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def myself() -> Holder:
    """This process."""
    return Holder(host=platform.node() or "?", system=_system(), pid=os.getpid(), born=_born(os.getpid()) or 0)


@functools.cache
def machine_name() -> str:
    """Equal for all processes of a machine since it was started, containers included; for names of files."""
    with contextlib.suppress(OSError):
        return _BOOT.read_text(encoding="ascii").strip()[:13]
    return platform.node() or "machine"


@functools.cache
def _system() -> str:
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = str(_NAMESPACE.readlink())
    return f"{machine_name()} {namespace}"


def _born(pid: int) -> int | None:
    """None: there is no such process, or it has ended and nobody has asked how."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return _born_elsewhere(pid) if not Path("/proc/self/stat").exists() else None
    except OSError:
        return None
    return None if words[0] in "ZX" else int(words[19])  # man 5 proc: state, starttime


def _is_hidden(pid: int) -> bool:
    """Is it another user's, on a machine that shows nobody other users' processes (`man 5 proc`: hidepid)?"""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not Path(f"/proc/{pid}").exists()
    except OSError:
        pass
    return False


def _born_elsewhere(pid: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


# ------------------------------------------------------------------------------------------------------------- writing


@dataclass
class Beat:
    """A file of this process, touched until it is let go."""

    path: Path
    token: str  # file systems give the inode of a file that is gone to the next one, so it tells nothing

    @property
    def is_lost(self) -> bool:
        """Is the file somebody else's now, or gone?"""
        begin = _begin(self.token)
        try:
            with _opened(self.path) as file:
                return file.read(len(begin)) != begin
        except FileNotFoundError:
            return True
        except OSError:  # a file server that does not answer takes nothing away
            return False

    def tell(self, content: Mapping[str, Any]) -> None:
        """Say something else, where the file is still this process's."""
        if not self.is_lost:
            with contextlib.suppress(OSError):
                _replace(self.path, _packed(self.token, content))

    def touch(self) -> None:
        """Say that this process lives."""
        if not self.is_lost:
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def end(self) -> None:
        """Let go; the file goes, where it is still this process's."""
        _HEART.drop(self)
        if not self.is_lost:
            with contextlib.suppress(OSError):
                self.path.unlink()


def begin(path: Path, content: Mapping[str, Any]) -> Beat | None:
    """Write a file that nobody has; None where somebody does. OSError as the disk says."""
    beat = Beat(path, uuid.uuid4().hex)
    try:
        with path.open("xb") as file:
            file.write(_packed(beat.token, content))
    except FileExistsError:
        return None
    except OSError:
        with contextlib.suppress(OSError):  # half of it would keep others waiting
            path.unlink()
        raise
    _HEART.keep(beat)
    return beat


def take_over(path: Path, content: Mapping[str, Any]) -> Beat:
    """Write it whoever had it: they see that it is lost. OSError as the disk says."""
    beat = Beat(path, uuid.uuid4().hex)
    _replace(path, _packed(beat.token, content))
    _HEART.keep(beat)
    return beat


def _replace(path: Path, packed: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_bytes(packed)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # it is told again and again: a full disk would be filled with these
            temporary.unlink()
        raise


def _packed(token: str, content: Mapping[str, Any]) -> bytes:
    rest = json.dumps({**content, "holder": asdict(myself())}).encode()
    return _begin(token) + b", " + rest[1:]


def _begin(token: str) -> bytes:
    """Of a file: whose it is can be told without reading all of it."""
    return b'{"token": "%s"' % token.encode()


@dataclass
class _Heart:
    """One thread per process for all its files, started with the first."""

    beats: dict[int, Beat] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    thread: threading.Thread | None = None

    def keep(self, beat: Beat) -> None:
        with self.lock:
            self.beats[id(beat)] = beat
            if self.thread is None or not self.thread.is_alive():  # a fork has none
                self.thread = threading.Thread(target=self._run, name="harness-heartbeat", daemon=True)
                self.thread.start()

    def drop(self, beat: Beat) -> None:
        with self.lock:
            self.beats.pop(id(beat), None)

    def _run(self) -> None:
        while True:
            time.sleep(BEAT_S)
            with self.lock:
                held = [*self.beats.values()]
            for beat in held:
                beat.touch()


_HEART = _Heart()


# ------------------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Said:
    """A file as it was read."""

    content: Mapping[str, Any]
    holder: Holder | None  # None: it does not say, or is not whole
    mark: tuple[int, int]  # moves while the holder lives

    def text(self, name: str) -> str:
        """One printable line, "" where it says none."""
        value = self.content.get(name)
        return plain(value, LINE) if isinstance(value, str) else ""

    def count(self, name: str) -> int:
        """A whole number, 0 where it says none."""
        value = self.content.get(name)
        return value if type(value) is int else 0


def read(path: Path) -> Said | None:
    """What a file says; None where there is none. What nobody can have written counts as empty."""
    try:
        with _opened(path) as file:
            state = os.fstat(file.fileno())
            raw = file.read(LARGEST + 1)
    except OSError:
        return None
    content = _parsed(raw)
    return Said(content, read_holder(content.get("holder")), (state.st_ino, state.st_mtime_ns))


def _opened(path: Path) -> IO[bytes]:
    """Opening makes a network file system ask its server. A pipe that somebody put there is not waited for."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def _parsed(raw: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(raw) if len(raw) <= LARGEST else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_holder(found: object) -> Holder | None:
    """What a file says of who holds it; None where it does not."""
    kinds = {"host": str, "system": str, "pid": int, "born": int}
    if not isinstance(found, dict) or found.keys() != kinds.keys():
        return None
    if not all(type(found[name]) is kind for name, kind in kinds.items()) or not 0 < found["pid"] < _PIDS:
        return None
    return Holder(**{**found, "host": plain(found["host"], _SHOWN), "system": plain(found["system"], _SHOWN)})


@dataclass
class Watch:
    """Who is still at work? Remembers since when a file has not moved."""

    seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)

    def alive(self, path: Path, said: Said) -> bool:
        """False as soon as its process is known to have ended, else once it was silent for `SILENT_S` of watching."""
        if said.holder is not None and said.holder.is_gone:
            return False
        now = time.monotonic()
        mark, since = self.seen.get(path, (None, now))
        if mark != said.mark:
            self.seen[path] = (said.mark, now)
            return True
        return now - since < SILENT_S
