"""`harness report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.common import talk
from harness.errors import HarnessError
from harness.plugins import load_registry
from harness.records import Records, read_records

if TYPE_CHECKING:
    from harness.suite.types import Grid

SUFFIX = ".records.jsonl"


@click.command(
    name="report",
    epilog="""\b
Examples:
  harness report reports/quickstart.records.jsonl
  harness report reports/quickstart.records.jsonl --json
  harness report reports/quickstart.records.jsonl --matrix model:compress""",
)
@click.argument("record", type=click.Path(path_type=Path), default=Path("reports/quickstart" + SUFFIX))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout instead of files.")
@click.option("--matrix", metavar="ROWS:COLUMNS[:METRICS]", help="A compact table on stdout: model:limit,epoch.")
def command(record: Path, as_json: bool, matrix: str | None) -> int:
    """Write a report again from its record, without running anything."""
    from harness.reports import compact_tables, json_report, summarise, summary_sentence, write_reports

    try:
        records = read_records(record)
        report = summarise(records, load_registry(), _grid(matrix, records) if matrix else None)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"{record}: a field is missing or of another kind ({type(error).__name__}: {error}); run the suite again"
        raise HarnessError(msg) from error
    if matrix and not as_json:
        click.echo("\n".join(compact_tables(report)).rstrip())
        return 0
    if as_json:
        click.echo(json.dumps(json_report(report), ensure_ascii=False, indent=1))
        return 0
    path = write_reports(report, record.parent, record.name.removesuffix(SUFFIX))
    talk(f"report: {path}")
    talk(summary_sentence(report))
    return 0


def _grid(text: str, records: Records) -> Grid:
    from harness.reports import axis_values
    from harness.suite.grid import parse_grid

    return parse_grid(text, axis_values(records), [metric["name"] for metric in records.run["task"]["metrics"]])
