"""`harness compare`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import click

from harness.cli.common import on_terminal, talk
from harness.cli.record_files import find_record
from harness.errors import SuiteError
from harness.plugins import load_registry

if TYPE_CHECKING:
    from harness.comparing import Comparison, Limits


@click.command(
    name="compare",
    epilog="""\b
Examples:
  harness compare quickstart.before.records.jsonl reports/quickstart.records.jsonl
  harness compare main/quickstart.records.jsonl quickstart --max-drop 0.5 --speed --max-slowdown 10
  harness compare before.records.jsonl quickstart --metric accuracy --metric macro_f1 --json

\b
Exit codes: 0 no regression, 1 a significant regression, or a row that has lost its score,
2 records that cannot be compared.""",
)
@click.argument("before")
@click.argument("after")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="What to test (default: the primary one).")
@click.option("--max-drop", type=click.FloatRange(0), default=0.0, metavar="POINTS",
              help="Significant drops up to this are let pass: points of a share, else the metric's unit.")  # fmt: skip
@click.option("--speed", is_flag=True, help="Slower rows are regressions, too, on the same machine and beyond noise.")
@click.option("--max-slowdown", type=click.FloatRange(0, 100), default=0.0, metavar="PERCENT",
              help="With --speed: slowdowns up to this are let pass.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The comparison as JSON on stdout.")
def command(
    before: str,
    after: str,
    metrics: tuple[str, ...],
    max_drop: float,
    speed: bool,
    max_slowdown: float,
    as_json: bool,
) -> int:
    """Say which rows of two records differ, whether that is significant, and which recorded facts could explain it.

    BEFORE and AFTER are records (*.records.jsonl), or names of reports in reports/.
    """
    from harness.comparing import Limits, comparison_json, render

    if math.isnan(max_drop) or math.isnan(max_slowdown):
        msg = "--max-drop and --max-slowdown are numbers from 0 on, found nan"
        raise SuiteError(msg)
    limits = Limits(metrics=metrics, max_drop=max_drop, speed=speed, max_slowdown=max_slowdown)
    found = _compared(before, after, limits)
    if as_json:
        click.echo(json.dumps(comparison_json(found), ensure_ascii=False, indent=1, allow_nan=False))
    else:
        click.echo(render(found), nl=False)
    return 1 if found.regressions else 0


def _compared(before: str, after: str, limits: Limits) -> Comparison:
    from harness.comparing import compare
    from harness.records import read_records

    paths = [find_record(name) for name in (before, after)]
    talk(f"comparing {paths[0]} with {paths[1]} …")
    sides = [(name, read_records(path)) for name, path in zip((before, after), paths, strict=True)]
    try:
        return compare(sides[0], sides[1], load_registry(), limits, _progress)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        where = f"{paths[0]} or {paths[1]}"
        msg = f"{where}: a field is missing or of another kind ({type(error).__name__}: {error}); run the suite again"
        raise SuiteError(msg) from error


def _progress(done: int, total: int) -> None:
    """A line that is written over, where somebody watches."""
    if on_terminal():
        click.echo(f"\r\x1b[Krow {done + 1} of {total}" if done + 1 < total else "\r\x1b[K", nl=False, err=True)
