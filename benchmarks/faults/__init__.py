"""Faults, and what became of runs that had them. `python -m benchmarks.faults [NAME …] [--count N] [--write]`.

A module of this package holds `KINDS`; each kind is a line of docs/faults.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """One fault and what became of it; no `problem`: all is as it should be."""

    what: str
    problem: str = ""


class NotHere(Exception):
    """This machine cannot do it; says why."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `trials` takes how many are wanted, and may have fewer where there are no more."""

    name: str  # `kills.random`: that of its module first
    what: str  # was done, and what had to be true, for the table
    trials: Callable[[int], Iterator[Trial]]
    count: int  # that is asked for by default
