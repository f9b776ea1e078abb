"""`harness recommend`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.common import suite_path, talk
from harness.cli.record_files import find_record
from harness.errors import SuiteError
from harness.plugins import Registry, load_registry


@click.command(
    name="recommend",
    epilog="""\b
Examples:
  harness recommend quickstart --min-retention 0.97 --max-size 1
  harness recommend suites/conll2003-minilm.toml --min-retention 0.95 --max-latency-ms 5
  harness recommend reports/quickstart.records.jsonl --metric macro_f1 --objective size --json

\b
Exit codes: 0 a row is recommended, 1 no row is known to meet the bars,
2 a record or bars that cannot be judged.""",
)
@click.argument("record", metavar="RECORD_OR_SUITE")
@click.option("--min-retention", type=float, metavar="SHARE",
              help="Share of the reference's metric to keep (default: the suite's lowest bar; 0: no bar).")  # fmt: skip
@click.option("--max-size", type=float, metavar="MIB", help="The model file.")
@click.option("--max-latency-ms", type=float, metavar="MS", help="Mean of a request, on the record's own machine.")
@click.option("--min-speedup", type=float, metavar="TIMES", help="Times the anchor's speed, requests.")
@click.option("--metric", metavar="NAME", help="Which metric is kept (default: the task's first).")
@click.option("--objective", type=click.Choice(["speed", "size", "quality"]), default="speed", show_default=True,
              help="What is best among the rows that meet the bars.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The recommendation as JSON on stdout.")
def command(
    record: str,
    min_retention: float | None,
    max_size: float | None,
    max_latency_ms: float | None,
    min_speedup: float | None,
    metric: str | None,
    objective: str,
    as_json: bool,
) -> int:
    """Name the row to take: the fastest, smallest or best that meets the bars beyond doubt, and how sure that is.

    RECORD_OR_SUITE is a record (*.records.jsonl), the name of a report in reports/, or a suite, whose record is there.
    """
    from harness.recommending import Wishes, recommend, recommendation_json, render
    from harness.records import read_records

    wishes = Wishes(
        min_retention=min_retention,
        max_size=max_size,
        max_latency_ms=max_latency_ms,
        min_speedup=min_speedup,
        metric=metric,
        objective=objective,  # type: ignore[arg-type]
    )
    registry = load_registry()
    path = _find(record, registry)
    talk(f"reading {path} …")
    try:
        found = recommend(read_records(path), registry, wishes)
    except SuiteError as error:
        raise SuiteError([f"{path}: {problem}" for problem in error.problems]) from error
    if as_json:
        click.echo(json.dumps(recommendation_json(found), ensure_ascii=False, indent=1, allow_nan=False))
    else:
        click.echo(render(found), nl=False)
    return 0 if found.chosen else 1


def _find(name: str, registry: Registry) -> Path:
    """A suite's record in reports/, or what `harness compare` would take. SuiteError with how to make it."""
    if not name.endswith(".toml"):
        return find_record(name)
    from harness.records import SUFFIX
    from harness.suite import load_suite

    suite = load_suite(suite_path(name), registry)
    path = Path("reports") / f"{suite.name}{SUFFIX}"
    if not path.is_file():
        msg = f"{name}: its record {path} is not there; make it: harness run {name}"
        raise SuiteError(msg)
    return path
