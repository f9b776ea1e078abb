"""What a check is and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError, raised_at
from harness.plain import plain

Status = Literal["passed", "failed", "declared", "not applicable"]
_LONGEST = 600  # characters of a note about what failed


@dataclass(frozen=True)
class Finding:
    """What a check found. `declared`: the spec says so itself; the note has the measured figure."""

    status: Status
    note: str = ""


@dataclass(frozen=True)
class Check:
    """One promise of a contract. `run` gets an empty folder to work in and never raises what a plugin raised."""

    name: str  # lower case, '-' between words
    summary: str  # what is looked at, and why
    run: Callable[[Path], Finding]


class Broken(Exception):
    """A promise is broken; the text says how."""


class NotApplicable(Exception):
    """There is nothing to look at; the text says why."""


def passed(note: str = "") -> Finding:
    """The promise holds."""
    return Finding("passed", note)


def declared(note: str) -> Finding:
    """The spec says that it does not hold; the note has the measured figure."""
    return Finding("declared", note)


def told(error: Exception, packages: Container[str]) -> str:
    """What an error says, and the last line of these packages that it came through."""
    at = raised_at(error, packages) if not isinstance(error, HarnessError) else ""
    return f"{type(error).__name__}: {error}{f' ({at})' if at else ''}"


def guarded(look: Callable[[Path], Finding], packages: Container[str]) -> Callable[[Path], Finding]:
    """`look`, with whatever it raises as a finding; `packages` are the plugins', whose lines are named."""

    def run(folder: Path) -> Finding:
        try:
            return look(folder)
        except NotApplicable as reason:
            return Finding("not applicable", plain(reason, _LONGEST))
        except Broken as fault:
            return Finding("failed", plain(fault, _LONGEST))
        except HarnessError as error:
            return Finding("failed", plain(told(error, packages), _LONGEST))
        except Exception as error:  # a plugin may raise anything; the check that met it says so
            return Finding("failed", plain(f"raised {told(error, packages)}", _LONGEST))

    return run
