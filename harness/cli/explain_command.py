"""`harness explain`."""

from __future__ import annotations

import click

from harness.cli.common import open_store, open_suite, suite_options
from harness.errors import printable
from harness.keys import Stage, differences
from harness.plan import Weights
from harness.store import KEY, Store


@click.command(
    name="explain",
    epilog="""\b
Examples:
  harness explain suites/quickstart.toml --only model=lstm,compress=int8,seed=1""",
)
@suite_options
def command(suite: str, only: str | None, overrides: tuple[str, ...], rehearse: bool, weights: Weights) -> int:
    """Say for each stage of the selected cells whether it is in the store, or why it will run."""
    opened = open_suite(suite, only, overrides, rehearse=rehearse, weights=weights)
    plan, store = opened.plan(), open_store()
    entries = [(str(e.manifest["kind"]), str(e.manifest["label"]), e.key) for e in store.entries()]
    for cell in plan.cells:
        click.echo(cell.cell.id)
        if cell.skipped:
            click.echo(printable(f"  skipped: {cell.skipped}"))
        for key in plan.ancestors(cell.keys):
            stage = plan.stages[key]
            click.echo(f"  {_state(stage, store, entries):60} {key[:12]}  {stage.label}")
    return 0


def _state(stage: Stage, store: Store, entries: list[tuple[str, str, str]]) -> str:
    problem = store.verify(stage.key)
    if problem is None:
        return "in the store"
    if problem != "missing":
        return f"will run: the entry is damaged ({problem})"
    alike = [_why(store, key, stage) for kind, label, key in entries if (kind, label) == (stage.kind, stage.label)]
    if not alike:
        return "will run: never run here"
    return f"will run: {'; '.join(min(alike, key=len)[:3]) or 'not in the store'}"


def _why(store: Store, key: str, stage: Stage) -> list[str]:
    from harness.data import read_json

    try:
        return differences(read_json(store.folder(key) / KEY), stage.identity)
    except (OSError, ValueError):
        return []
