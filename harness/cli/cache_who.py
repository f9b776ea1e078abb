"""`harness cache who`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from harness import runs
from harness.claims import AtWork, Claims
from harness.cli.common import existing_store, talk
from harness.errors import printable


@click.command(
    short_help="Say which runs use the store now, and who works on what.",
    epilog="""\b
Examples:
  harness cache who
  harness cache who --json""",
)
@click.option("--json", "as_json", is_flag=True)
def who(as_json: bool) -> int:
    """Say which runs use this store now, and who works on what, on whatever machine.

    It is read from files that are touched every few seconds. A process of another machine that died a moment ago is
    still listed; runs that were left by a dead process are marked.
    """
    store = existing_store()
    going, working = runs.found(store), Claims(store.claims).all()
    if as_json:
        facts = {
            "runs": [{**asdict(one), "path": str(one.path)} for one in going],
            "stages": [asdict(one) for one in working],
        }
        click.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return 0
    for run in going:
        click.echo(printable(f"{'run ' if run.goes_on else 'left'}  {run.name}: {run}"))
    for stage in working:
        click.echo(printable(f"stage {stage.label}: {stage}{_how_far(stage)}"))
    talk(f"{sum(run.goes_on for run in going)} runs, {len(working)} stages at work")
    return 0


def _how_far(stage: AtWork) -> str:
    place = f", at {stage.where}" if stage.where else ""
    counted = f"{stage.done}/{stage.total} " if stage.total else ""
    return f"{place}, {counted}{stage.note}".rstrip(", ")
