"""What a person sees while a suite runs: live bars on a terminal, one plain line per stage elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.cli.common import on_terminal
from harness.errors import printable
from harness.estimate import duration
from harness.executors import Event
from harness.keys import Stage
from harness.plan import Plan
from harness.runner import Outcome


class Display(Protocol):
    """Watches a run; used as a context manager around it."""

    def __enter__(self) -> Display: ...
    def __exit__(self, *error: object) -> None: ...
    def __call__(self, what: str, stage: Stage, event: Event | Outcome) -> None:
        """Take note of what happened to a stage."""


def make_display(plan: Plan, what: str, *, drawn: bool = True) -> Display:
    """Live on a terminal where it may be drawn on, plain otherwise. `what` names the things that are counted."""
    return Live(plan, what) if drawn and on_terminal() else Plain(plan)


class Plain:
    """One line when a stage starts slow work and one when it ends; nothing for what was in the store."""

    def __init__(self, plan: Plan) -> None:
        self.total, self.ended = len(plan.stages), set[str]()  # a damaged stage ends once more
        self.last = time.monotonic()

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def __call__(self, what: str, stage: Stage, event: Event | Outcome) -> None:
        """Print what ended; every 30 s also what goes on."""
        if isinstance(event, Outcome):
            self.ended.add(stage.key)
            if event.status != "cached":
                click.echo(f"[{len(self.ended)}/{self.total}] {_ended(stage, event)}", err=True)
                self.last = time.monotonic()
        elif what == "elsewhere":
            click.echo(f"[{len(self.ended)}/{self.total}] {_elsewhere(stage, event)}", err=True)
        elif what == "progress" and time.monotonic() - self.last > 30:
            self.last = time.monotonic()
            note = printable(f"{stage.label}: {event.note} {event.done}/{event.total}")
            click.echo(f"[{len(self.ended)}/{self.total}] … {note}", err=True)


class Live:
    """One bar for the run and one per running stage."""

    def __init__(self, plan: Plan, what: str) -> None:
        self.console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self.progress = Progress(*columns, console=self.console, transient=True, refresh_per_second=2)
        self.whole = self.progress.add_task(what, total=len(plan.stages))
        self.bars: dict[str, TaskID] = {}
        self.ended = set[str]()  # as above

    def __enter__(self) -> Live:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def __call__(self, what: str, stage: Stage, event: Event | Outcome) -> None:
        """Move the bars."""
        if isinstance(event, Outcome):
            self._ended(stage, event)
        elif what == "started":
            self.bars[stage.key] = self.progress.add_task(stage.label, total=None)
        elif what == "elsewhere":
            self.console.print(_elsewhere(stage, event), markup=False, highlight=False)
        else:
            note = printable(f"{stage.label}: {event.note}"[:70])
            self.progress.update(self.bars[stage.key], completed=event.done, total=event.total, description=note)

    def _ended(self, stage: Stage, outcome: Outcome) -> None:
        self.ended.add(stage.key)
        self.progress.update(self.whole, completed=len(self.ended))
        if stage.key in self.bars:
            self.progress.remove_task(self.bars.pop(stage.key))
        if outcome.status != "cached":
            self.console.print(_ended(stage, outcome), markup=False, highlight=False)


def _elsewhere(stage: Stage, event: Event) -> str:
    return f"waits    {stage.label}: another run makes it ({event.note})"


def _ended(stage: Stage, outcome: Outcome) -> str:
    if outcome.status == "ok":
        return f"done     {stage.label} ({duration(outcome.seconds)})"
    reason = printable(outcome.reason.splitlines()[0] if outcome.reason else "")
    return f"{outcome.status:8} {stage.label}: {reason}"


def counts(outcomes: dict[str, Outcome] | object, seconds: float) -> str:
    """`12 stages done, 1 failed, 30 from the store, in 41 s`."""
    assert isinstance(outcomes, dict)  # noqa: S101 - narrows for the type checker
    found = Counter(outcome.status for outcome in outcomes.values())
    words = {"ok": "done", "failed": "failed", "not run": "not run", "cached": "from the store"}
    parts = [f"{found[status]} {word}" for status, word in words.items() if found[status] or status == "ok"]
    return f"stages: {', '.join(parts)}, in {duration(seconds)}"
