"""Python imports this before anything else where this folder is on PYTHONPATH: one fault, at one operation on files.

What FAULT says in the environment is made by `benchmarks.faults.planting.Fault`. Operations are those below one folder
that change files, `mkdir`, `open` for writing, `write`, `fsync`, `rename`, and `read`, which is to open one for that.
Processes that carry the harness's mark are workers, all others the run. CLOCK shifts the clock, to and fro.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import itertools
import json
import os
import re
import signal
import time

_open, _os_open, _write, _kill, _rename = io.open, os.open, os.write, os.kill, os.rename
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Planted:
    """Counts the operations that the fault is about, and acts at the right one."""

    def __init__(self, fault):
        self.fault, self.root = fault, fault["root"].rstrip("/") + "/"
        self.path, self.numbers = re.compile(fault["path"]), itertools.count(1)

    def named(self, path):
        """The path within the folder, None: it lies elsewhere."""
        try:
            found = (
                os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.path.abspath(os.fsdecode(path))
            )
        except OSError:
            return None
        return found.removeprefix(self.root) if found.startswith(self.root) else None

    def at(self, operation, when, *paths):
        """An operation is about to happen, is half done, or has happened."""
        if when != self.fault["when"] or not re.fullmatch(self.fault["operation"], operation):
            return
        names = [name for name in map(self.named, paths) if name is not None]
        if any(self.path.search(name) for name in names):
            number = next(self.numbers)
            if self.fires(number, f"{operation} {names[-1]}"):
                self.act(os.path.join(self.root, names[-1]))

    def fires(self, number, what):
        """Once among all processes, or from then on; what it was stays to be read."""
        fired = self.fault["fired"]
        if os.path.exists(fired):
            return self.fault["lasting"]
        if self.fault["nth"] == 0:  # only listed
            self.note(f"{fired}.list", what)
            return False
        if number < self.fault["nth"]:
            return False
        with contextlib.suppress(FileExistsError):
            self.note(fired, what, os.O_EXCL)
            return True
        return self.fault["lasting"]

    def note(self, path, what, flags=0):
        handle = _os_open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | flags)
        _write(handle, f"{what}\n".encode())
        os.close(handle)

    def act(self, path):
        if self.fault["do"] == "kill":
            for pid in {int(os.environ["FAULT_RUN"]): 0, os.getpid(): 0}:
                with contextlib.suppress(ProcessLookupError):
                    _kill(pid, signal.SIGKILL)
        if self.fault["do"] in WAYS:
            WAYS[self.fault["do"]](self.fault["victim"])
            return
        number = getattr(errno, self.fault["do"])
        raise OSError(number, os.strerror(number), path)


def appended(path):
    with _open(path, "ab") as file:
        file.write(b"\n")


def rewritten(path):
    """Other bytes, as many; the time of the last change put back."""
    before = os.stat(path)
    with _open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path):
    with _open(path, "rb") as file:
        content = file.read()
    with _open(f"{path}.new", "wb") as file:
        file.write(content + b" ")
    _rename(f"{path}.new", path)


def truncated(path):
    os.truncate(path, os.stat(path).st_size // 2)


WAYS = {
    "appended": appended,
    "rewritten": rewritten,
    "replaced": replaced,
    "truncated": truncated,
    "removed": os.unlink,
}


def wrapped(planted, function, operation, places=1):
    def call(*words, **named):
        planted.at(operation, "before", *words[:places])
        result = function(*words, **named)
        planted.at(operation, "after", *words[:places])
        return result

    return call


def file_class(planted):
    class File(io.FileIO):
        def write(self, content):
            planted.at("write", "before", self.fileno())
            half = len(content) // 2 if planted.fault["when"] == "half" else 0
            done = super().write(memoryview(content).cast("B")[:half])
            planted.at("write", "half", self.fileno())
            return done + super().write(memoryview(content).cast("B")[half:])

    return File


def opening(planted):
    File = file_class(planted)  # noqa: N806

    def call(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if not set(mode) & set("wax+") or planted.named(file) is None:
            planted.at("read", "before", file)
            found = _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
            planted.at("read", "after", file)
            return found
        planted.at("open", "before", file)
        raw = File(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        planted.at("open", "after", file)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        text = io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
        text.mode = mode
        return text

    return call


def os_opening(planted):
    def call(path, flags, *words, **named):
        if not flags & _WRITING:
            return _os_open(path, flags, *words, **named)
        planted.at("open", "before", path)
        handle = _os_open(path, flags, *words, **named)
        planted.at("open", "after", path)
        return handle

    return call


def plant(fault):
    os.environ.setdefault("FAULT_RUN", str(os.getpid()))  # what it starts inherits it
    if fault["who"] not in ("any", "worker" if "HARNESS_WORKER" in os.environ else "run"):
        return
    planted = Planted(fault)
    io.open = builtins.open = opening(planted)
    os.open = os_opening(planted)
    os.mkdir = wrapped(planted, os.mkdir, "mkdir")
    os.write = wrapped(planted, os.write, "write")
    os.fsync = wrapped(planted, os.fsync, "fsync")
    os.link = wrapped(planted, os.link, "rename", 2)
    os.rename = wrapped(planted, os.rename, "rename", 2)
    os.replace = wrapped(planted, os.replace, "rename", 2)


def shift_clock(seconds):
    """Each look at the clock is that far from the last one, to and fro."""
    sign, now, now_ns = itertools.cycle((1, -1)), time.time, time.time_ns
    time.time = lambda: now() + next(sign) * seconds
    time.time_ns = lambda: now_ns() + next(sign) * seconds * 10**9


if "CLOCK" in os.environ:
    shift_clock(int(os.environ["CLOCK"]))
if "FAULT" in os.environ:
    plant(json.loads(os.environ["FAULT"]))
