"""`harness report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.common import talk
from harness.errors import HarnessError
from harness.plugins import load_registry
from harness.records import read_records

SUFFIX = ".records.jsonl"


@click.command(
    name="report",
    epilog="""\b
Examples:
  harness report reports/quickstart.records.jsonl
  harness report reports/quickstart.records.jsonl --json""",
)
@click.argument("record", type=click.Path(path_type=Path), default=Path("reports/quickstart" + SUFFIX))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout instead of files.")
def command(record: Path, as_json: bool) -> int:
    """Write a report again from its record, without running anything."""
    from harness.reports import json_report, summarise, summary_sentence, write_reports

    try:
        report = summarise(read_records(record), load_registry())
    except (KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"{record}: a field is missing or of another kind ({type(error).__name__}: {error}); run the suite again"
        raise HarnessError(msg) from error
    if as_json:
        click.echo(json.dumps(json_report(report), ensure_ascii=False, indent=1))
        return 0
    path = write_reports(report, record.parent, record.name.removesuffix(SUFFIX))
    talk(f"report: {path}")
    talk(summary_sentence(report))
    return 0
