"""`harness report`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.chosen import BUNDLED, Chosen, choose
from harness.cli.common import talk
from harness.errors import PluginError, worded
from harness.plugins import Registry, load_registry
from harness.records import SUFFIX, Records, read_records
from harness.specs import Reporter

if TYPE_CHECKING:
    from harness.suite.types import Grid

STANDARD = tuple(f"{BUNDLED}/{name}" for name in ("markdown", "csv", "json"))


@click.command(
    name="report",
    epilog="""\b
Examples:
  harness report reports/quickstart.records.jsonl
  harness report reports/quickstart.records.jsonl --json
  harness report reports/quickstart.records.jsonl --format latex
  harness report reports/quickstart.records.jsonl --format csv --format latex=columns=[1,2,3],label=tab:mine
  harness report reports/quickstart.records.jsonl --matrix model:compress""",
)
@click.argument("record", type=click.Path(path_type=Path), default=Path("reports/quickstart" + SUFFIX))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout instead of files.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME[=PARAMS]",
    help="What to write (repeatable; default: markdown, csv, json). See: harness list reporters.",
)
@click.option("--matrix", metavar="ROWS:COLUMNS[:METRICS]", help="A compact table on stdout: model:limit,epoch.")
def command(record: Path, as_json: bool, formats: tuple[str, ...], matrix: str | None) -> int:
    """Write a report again from its record, without running anything."""
    from harness.reports import compact_tables, json_report, summarise, summary_sentence, write_reports

    registry = load_registry()
    records = read_records(record)
    report = summarise(records, registry, _grid(matrix, records) if matrix else None)
    if matrix and not as_json:
        click.echo("\n".join(compact_tables(report)).rstrip())
        return 0
    if as_json:
        click.echo(json.dumps(json_report(report), ensure_ascii=False, indent=1))
        return 0
    name, chosen = record.name.removesuffix(SUFFIX), reporters(registry, formats)
    for path in write_reports(report, record.parent, name, chosen)[: None if formats else 1]:
        talk(f"report: {path}")
    talk(summary_sentence(report))
    return 0


def reporters(registry: Registry, formats: Sequence[str] = ()) -> dict[str, Reporter]:
    """The reporters that --format names, else those of every report. PluginError where one cannot be made."""
    named = [choose(registry, "reporter", "--format", text) for text in formats or STANDARD]
    return {one.entry.full_name: _made(registry, one) for one in named}


def _made(registry: Registry, chosen: Chosen) -> Reporter:
    params = chosen.params()
    try:
        return registry.reporter(chosen.entry.full_name).make(params)
    except Exception as error:
        msg = f"reporter '{chosen.title}' cannot be made: {worded(error)}"
        raise PluginError(msg) from error


def _grid(text: str, records: Records) -> Grid:
    from harness.reports import axis_values
    from harness.suite.grid import parse_grid

    return parse_grid(text, axis_values(records), [metric["name"] for metric in records.run["task"]["metrics"]])
