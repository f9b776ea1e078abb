"""Errors that a person can act on, their exit codes, and the two helpers that word them."""

from __future__ import annotations

import difflib
import errno
import traceback
import unicodedata
from collections.abc import Container, Iterable, Sequence


class HarnessError(Exception):
    """An expected problem: its text is shown without a traceback and decides the exit code."""

    exit_code = 3


class SuiteError(HarnessError):
    """The suite or the command line is wrong. Carries every problem found, one line each."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class AssetError(SuiteError):
    """Data or a checkpoint is missing, unreadable or not what it should be."""


class PluginError(SuiteError):
    """A plugin broke its contract or could not be loaded, and the suite needs it."""


class NothingSelected(HarnessError):
    """`--only` left no cell."""

    exit_code = 5


class StageError(HarnessError):
    """A stage cannot do its work on this input; fails its cells, never the run."""

    exit_code = 1


class StoreError(HarnessError):
    """The store cannot be read or written."""


def choices(names: Iterable[str]) -> str:
    """`'a', 'b', 'c'`, sorted, for the end of a message."""
    return ", ".join(f"'{name}'" for name in sorted(names)) or "none"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` with a leading space, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


_ELSEWHERE = "name another folder (HARNESS_STORE, --reports)"
_REMEDIES = {
    errno.ENOSPC: f"Free space or {_ELSEWHERE}",
    errno.EDQUOT: f"Free space, have your quota raised, or {_ELSEWHERE}",
    errno.EIO: f"The disk or its server fails: see the system's log, or {_ELSEWHERE} on another disk",
    errno.EROFS: f"Make it writable, or {_ELSEWHERE}",
    errno.EACCES: f"Allow it to this user, or {_ELSEWHERE}",
    errno.EPERM: f"Allow it to this user, or {_ELSEWHERE}",
    errno.EMFILE: "Allow more open files: ulimit -n",
    errno.ENFILE: "Allow more open files on this machine: fs.file-max",
}


def refused(error: BaseException) -> str | None:
    """`No space left on device (/a/file). Free space or …`; None: it is no error by which files are refused."""
    if not isinstance(error, OSError) or error.errno not in _REMEDIES:
        return None
    where = f" ({error.filename})" if error.filename else ""
    return printable(f"{error.strerror}{where}. {_REMEDIES[error.errno]}")


def printable(line: str) -> str:
    """`line` with control characters written out: third-party names and values never steer a terminal."""
    return line if line.isprintable() else "".join(_shown(sign) for sign in line)


def in_a_line(error: BaseException) -> str:
    """`TypeError: what it says`, the first line of it, printable: for errors of plugins, whose text may be anything."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # its own text is what is broken
        text = type(error).__name__
    return printable(text.splitlines()[0][:300])


def raised_at(error: BaseException, packages: Container[str]) -> str:
    """`my_int4.compress, line 31`: the innermost line of these packages that an error came through, or nothing."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in packages:
            return f"{module}, line {line}"
    return ""


def worded(error: BaseException) -> str:
    """What the harness raised in its own words, anything else with its type; one line."""
    return printable("; ".join(str(error).splitlines())) if isinstance(error, HarnessError) else in_a_line(error)


def _shown(sign: str) -> str:
    if unicodedata.category(sign) == "Zs":
        return " "
    return sign if sign.isprintable() else repr(sign)[1:-1]
