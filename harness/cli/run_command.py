"""`harness run`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from harness.assets import Missing, fetch
from harness.cli.common import LIBRARIES, Opened, open_store, open_suite, suite_options, talk
from harness.cli.display import counts, make_display, printable
from harness.errors import AssetError
from harness.executors.local import LocalExecutor
from harness.measuring.machine import detect, versions
from harness.plan import Plan, Weights
from harness.records import Records, RunFacts, make_records
from harness.runner import Outcome, Runner
from harness.store import Store
from harness.suite import Cell


@click.command(
    name="run",
    epilog="""\b
Examples:
  harness run suites/quickstart.toml
  harness run suites/rureviews.toml --only model=lstm*,compress=int8
  harness run suites/rureviews.toml --set "matrix.seed=[1,2,3]"
  harness run suites/rureviews.toml --rehearse""",
)
@suite_options
@click.option("--fail-fast", is_flag=True, help="Stop at the first failed stage.")
@click.option("--workers", type=click.IntRange(1), help="Stages at once (default: one per core, at most 4).")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
def command(
    suite: str,
    only: str | None,
    overrides: tuple[str, ...],
    rehearse: bool,
    weights: Weights,
    fail_fast: bool,
    workers: int | None,
    reports: Path,
    as_json: bool,
) -> int:
    """Run a suite: train, distil, compress, score, measure, report.

    What is in the store is not run again: the same command resumes a run that was stopped, and a changed suite
    runs what changed. The report goes to the reports folder, its summary to the terminal.
    """
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    opened = open_suite(suite, only, overrides, rehearse=rehearse, weights=weights)
    plan = provide(opened, opened.plan())
    store = open_store()
    talk(f"{opened.suite.name}: {len(plan.cells)} cells, {len(plan.stages)} stages; store {store.root}")
    plan, outcomes = execute(opened, plan, store, workers, fail_fast=fail_fast)
    seconds = time.monotonic() - clock
    facts = RunFacts(
        mode=opened.mode,
        started=started,
        seconds=seconds,
        command=opened.command,
        machine=opened.machine,
        versions=versions(LIBRARIES),
    )
    records = make_records(plan, store, outcomes, opened.registry, facts)
    logs = {key: outcome.log for key, outcome in outcomes.items() if outcome.log}
    return finish(opened, records, reports, counts(dict(outcomes), seconds), logs, as_json=as_json)


def provide(opened: Opened, plan: Plan) -> Plan:
    """Fetch what the hub can give; AssetError with every missing asset and its remedies otherwise."""
    if not plan.missing:
        return plan
    local = [missing for missing in plan.missing if missing.hub is None]
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    if local or offline:
        raise AssetError([str(missing) for missing in plan.missing])
    problems = [problem for missing in plan.missing if (problem := _fetch(missing))]
    if problems:
        raise AssetError(problems)
    return opened.plan()


def _fetch(missing: Missing) -> str | None:
    talk(f"fetching hub:{missing.hub} …")
    try:
        fetch(missing, missing.what.partition(" ")[0].replace("checkpoint", "model"))
    except AssetError as error:
        return str(error)
    return None


def execute(
    opened: Opened, plan: Plan, store: Store, workers: int | None, *, fail_fast: bool
) -> tuple[Plan, Mapping[str, Outcome]]:
    """Run the plan on this machine, watched.

    A row that failed would leave its whole group unmeasured; so the others are planned and measured without it.
    """
    cores = detect().identity.logical_cores
    capacity = workers or min(cores, 4)
    store.create()
    executor = LocalExecutor(store, capacity, max(1, cores // capacity))
    try:
        outcomes = _watched(Runner(plan, store, executor, fail_fast=fail_fast))
        rest = _without_failures(plan, outcomes)
        if rest and not fail_fast:
            again = opened.plan(rest)
            outcomes = {**outcomes, **_watched(Runner(again, store, executor))}
            plan = plan.merged(again)
        return plan, outcomes
    finally:
        executor.close()


def _watched(runner: Runner) -> Mapping[str, Outcome]:
    with make_display(runner.plan) as display:
        runner.observe = display
        return runner.run()


def _without_failures(plan: Plan, outcomes: Mapping[str, Outcome]) -> tuple[Cell, ...]:
    """The cells whose own work is done but which could not be measured; empty when there is nothing to gain."""

    def done(keys: tuple[str, ...]) -> bool:
        return all(outcomes[key].status in ("ok", "cached") for key in keys)

    sound = [cell for cell in plan.cells if not cell.skipped and done(cell.work)]
    lost = [cell for cell in sound if cell.measure and outcomes[cell.measure].status == "not run"]
    return tuple(cell.cell for cell in sound) if lost and len(sound) < len(plan.cells) else ()


def finish(
    opened: Opened, records: Records, reports: Path, summary: str, logs: Mapping[str, str], *, as_json: bool
) -> int:
    """Write record and reports, say what came out, failures last. Returns the exit code."""
    from harness.reports import json_report, summarise, summary_sentence, write_reports

    records.write(reports / f"{opened.report_name}.records.jsonl")
    report = summarise(records, opened.registry)
    path = write_reports(report, reports, opened.report_name)
    if as_json:
        click.echo(json.dumps(json_report(report), ensure_ascii=False, indent=1))
    talk("")
    talk(summary)
    talk(f"report: {path}")
    talk(printable(summary_sentence(report)))
    bad = [cell for cell in records.cells if cell["status"] in ("failed", "not run")]
    for cell in bad[:20]:
        talk(f"{cell['status']}  {printable(cell['cell'])}: {printable(cell['reason'].splitlines()[0])}")
        if cell["status"] == "failed":
            talk(f"         log: {logs.get(cell['failed_stage'], 'none')}; retry: {printable(cell['retry'])}")
    if len(bad) > 20:
        talk(f"… and {len(bad) - 20} more; the report lists all")
    for reason in sorted(
        {cell["unmeasured"] for cell in records.cells if cell["status"] == "ok" and _lost(opened, cell)}
    ):
        talk(f"not measured: {printable(reason)}")
    sys.stdout.flush()
    return 1 if bad or any(_lost(opened, cell) for cell in records.cells) else 0


def _lost(opened: Opened, cell: Mapping[str, str]) -> bool:
    """Should have been measured and was not."""
    return bool(cell["unmeasured"]) and opened.suite.measure.speed is not None and cell["status"] != "skipped"
