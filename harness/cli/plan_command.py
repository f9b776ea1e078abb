"""`harness plan`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import click

from harness.budget import read_budget
from harness.cli import plan_budget
from harness.cli import shards as sharding
from harness.cli.common import open_store, open_suite, suite_options, usual_workers
from harness.errors import printable
from harness.estimate import estimate
from harness.plan import Plan, Weights
from harness.sharding import Division
from harness.store import Store


@click.command(
    name="plan",
    epilog="""\b
Examples:
  harness plan suites/quickstart.toml
  harness plan suites/quickstart.toml --budget 6h
  harness plan suites/quickstart.toml --workers 4 --shards auto
  harness plan suites/quickstart.toml --cells --only model=lstm*""",
)
@suite_options
@click.option("--workers", type=click.IntRange(1), help="Stages at once (default: one per core, at most 4).")
@sharding.option
@click.option("--budget", metavar="TIME", help="What a run would do in so much time: 6h, 90m, 45s, 1h30m.")
@click.option("--cells", is_flag=True, help="List every cell.")
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON on stdout.")
def command(
    suite: str,
    only: str | None,
    overrides: tuple[str, ...],
    rehearse: bool,
    weights: Weights,
    workers: int | None,
    shards: int | None,
    budget: str | None,
    cells: bool,
    as_json: bool,
) -> int:
    """Show what a run would do. Nothing is executed."""
    allowed = None if budget is None else read_budget(budget)
    opened = open_suite(suite, only, overrides, rehearse=rehearse, weights=weights)
    plan, store = opened.plan(), open_store()
    there = {key for key in plan.stages if store.entry(key)}
    divisions = sharding.divided(plan, store, shards, lambda: workers or usual_workers())
    schedule = plan_budget.scheduled(plan, store, there, allowed, workers or usual_workers()) if allowed else None
    if as_json:
        within = {"budget": plan_budget.as_json(schedule, allowed)} if schedule and allowed else {}
        click.echo(json.dumps({**_as_json(plan, there, divisions), **within}, ensure_ascii=False, indent=1))
        return 2 if plan.missing else 0
    _summary(plan, store, there, suite, divisions)
    for line in plan_budget.lines(schedule, allowed) if schedule and allowed else ():
        click.echo(printable(line))
    if cells:
        _cells(plan, there)
    click.echo("nothing was executed")
    return 2 if plan.missing else 0


def _summary(plan: Plan, store: Store, there: set[str], suite: str, divisions: Sequence[Division]) -> None:
    axes = {name: len(values) for name, values in plan.suite.axes.items() if len(values) > 1}
    shape = " × ".join(f"{count} {name}" for name, count in axes.items()) or "one cell"
    skipped = [cell for cell in plan.cells if cell.skipped]
    click.echo(printable(f"{suite}: {plan.suite.title}"))
    click.echo(f"axes: {shape} → {len(plan.cells)} cells, {len(skipped)} skipped")
    kinds = Counter(stage.kind for stage in plan.stages.values())
    cached = Counter(plan.stages[key].kind for key in there)
    listed = ", ".join(f"{kind} {cached[kind]}/{count}" for kind, count in kinds.items())
    click.echo(f"stages: {len(plan.stages)} unique, {len(there)} in the store ({listed})")
    todo = [stage for key, stage in plan.stages.items() if key not in there]
    click.echo(f"to run: {len(todo)} stages; {estimate(todo, store)}" if todo else "to run: nothing")
    for line in sharding.lines(divisions):
        click.echo(line)
    for cell in skipped:
        click.echo(f"skipped  {cell.cell.id}: {printable(cell.skipped or '')}")
    for missing in plan.missing:
        click.echo(f"missing  {printable(str(missing))}")


def _cells(plan: Plan, there: set[str]) -> None:
    for cell in plan.cells:
        todo = [plan.stages[key].kind for key in cell.keys if key not in there]
        state = "skipped" if cell.skipped else f"run {', '.join(todo)}" if todo else "in the store"
        click.echo(f"  {cell.cell.id}: {state}")


def _as_json(plan: Plan, there: set[str], divisions: Sequence[Division]) -> dict[str, object]:
    return {
        "schema": 1,
        "suite": plan.suite.name,
        "cells": [{"cell": c.cell.id, "skipped": c.skipped, "stages": list(c.keys)} for c in plan.cells],
        "stages": {k: {**s.identity, "label": s.label, "in_store": k in there} for k, s in plan.stages.items()},
        "shards": {one.stage.key: one.count for one in divisions},
        "missing": [str(missing) for missing in plan.missing],
    }
