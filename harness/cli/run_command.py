"""`harness run`."""

from __future__ import annotations

import functools
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from harness.assets import Missing, fetch
from harness.budget import read_budget
from harness.cli import shards as sharding
from harness.cli.budgeted import Bought, Within, keeper
from harness.cli.chosen import BUNDLED, Chosen, apart, choose
from harness.cli.common import LIBRARIES, Opened, open_store, open_suite, suite_options, talk
from harness.cli.display import counts
from harness.cli.report_command import reporters as reporters_of
from harness.cli.running import execute
from harness.errors import AssetError, HarnessError, SuiteError
from harness.keeping import Need
from harness.measuring.machine import versions
from harness.observing import Audience, Listener
from harness.plan import Plan, Weights
from harness.plugins import Registry
from harness.records import SUFFIX, Records, RunFacts, make_records, read_records, with_earlier
from harness.runner import Outcome
from harness.specs import Reporter
from harness.store import Store, write_atomic

SHOWN = 20  # failed cells in the closing lines
SPENT = 4  # exit code: nothing failed, and the budget was too short for all


@click.command(
    name="run",
    epilog="""\b
Examples:
  harness run suites/quickstart.toml
  harness run suites/quickstart.toml --only model=lstm*,compress=int8
  harness run suites/quickstart.toml --set "matrix.seed=[1,2,3]"
  harness run suites/quickstart.toml --rehearse
  harness run suites/quickstart.toml --budget 1h30m
  harness run suites/quickstart.toml --workers 4 --shards 4
  harness run suites/quickstart.toml --observe events=run.events.jsonl
  harness run suites/quickstart.toml --rehearse --executor inline=post_mortem=true
  harness run suites/quickstart.toml --executor dask --set executor.address=tcp://127.0.0.1:8786""",
)
@suite_options
@click.option("--budget", metavar="TIME", help="Run what changes most in so much time: 6h, 90m, 45s, 1h30m.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failed stage.")
@click.option("--workers", type=click.IntRange(1), help="Stages at once (default: one per core, at most 4).")
@sharding.option
@click.option(
    "--executor",
    metavar="NAME[=PARAMS]",
    help="Where stages run (default: local, worker processes). See: harness list executors.",
)
@click.option(
    "--observe",
    "observers",
    multiple=True,
    metavar="NAME[=PARAMS]",
    help="Who is told what happens (repeatable; default: nobody). See: harness list observers.",
)
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
def command(
    suite: str,
    only: str | None,
    overrides: tuple[str, ...],
    rehearse: bool,
    weights: Weights,
    budget: str | None,
    fail_fast: bool,
    workers: int | None,
    shards: int | None,
    executor: str | None,
    observers: tuple[str, ...],
    reports: Path,
    as_json: bool,
) -> int:
    """Run a suite: train, distil, compress, score, measure, report.

    What is in the store is not run again: the same command resumes a run that was stopped, and a changed suite
    runs what changed. The report goes to the reports folder, its summary to the terminal.

    With a budget, cells come in the order of what they can still change: the anchor, the first seed of every row, then
    seed by seed, rows whose question is open first. What the time was too short for is listed; the exit code is 4 then,
    and the same command goes on there.
    """
    allowed = None if budget is None else read_budget(budget)
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    overrides, params = apart(overrides, "executor")
    opened = open_suite(suite, only, overrides, rehearse=rehearse, weights=weights)
    where = choose(opened.registry, "executor", "--executor", executor or f"{BUNDLED}/local", params)
    where.params()
    who = [choose(opened.registry, "observer", "--observe", text) for text in observers]
    standard = reporters_of(opened.registry)
    plan = provide(opened, opened.plan())
    store = open_store()
    probe(reports)
    talk(f"{opened.suite.name}: {len(plan.cells)} cells, {len(plan.stages)} stages; store {store.root}")
    record = functools.partial(_record, opened, store, started, clock)
    need = Need(store, reports / f"{opened.report_name}{SUFFIX}")
    within = Within(opened, plan, keeper(allowed, clock, store), record, fail_fast) if allowed else None
    with audience(who, opened, plan, store) as watching:
        plan, outcomes = execute(
            opened, plan, need, where, workers, watching, fail_fast=fail_fast, shards=shards, within=within
        )
        records = record(plan, outcomes)
        bought = within.bought(records) if within else None
        records = bought.records if bought else records
        complete = _with_earlier(opened, records, store, reports)
        seconds = time.monotonic() - clock
        finish(opened, complete, need, standard, counts(dict(outcomes), seconds), as_json=as_json)
        code = say_problems(opened, records, outcomes, bought)
        watching.status = {0: "ok", SPENT: "interrupted"}.get(code, "failed")
    return code


def _record(
    opened: Opened, store: Store, started: str, clock: float, plan: Plan, outcomes: Mapping[str, Outcome]
) -> Records:
    """What is known after these outcomes. `clock`: when the run started, monotonic, seconds."""
    facts = RunFacts(
        mode=opened.mode,
        started=started,
        seconds=time.monotonic() - clock,
        command=opened.command,
        machine=opened.machine,
        versions=versions(LIBRARIES),
    )
    return make_records(plan, store, outcomes, opened.registry, facts)


def audience(chosen: Sequence[Chosen], opened: Opened, plan: Plan, store: Store) -> Audience:
    """The observers that were asked for, listening."""
    facts = {
        "command": opened.command,
        "cells": len(plan.cells),
        "stages": len(plan.stages),
        "store": str(store.root),
    }
    return Audience([_listener(opened.registry, one) for one in chosen], opened.report_name, facts)


def _listener(registry: Registry, chosen: Chosen) -> Listener:
    spec = registry.observer(chosen.entry.full_name)
    return Listener(
        make=lambda: spec.make(chosen.params()),
        complain=lambda why: talk(f"observer {chosen.title} was dropped, the run goes on: {why}"),
    )


def provide(opened: Opened, plan: Plan) -> Plan:
    """Fetch what the hub can give; AssetError with every missing asset and its remedies otherwise."""
    if not plan.missing:
        return plan
    local = [missing for missing in plan.missing if missing.hub is None]
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    if local or offline:
        raise AssetError([str(missing) for missing in plan.missing])
    problems = [problem for missing in plan.missing if (problem := _fetch(missing))]
    again = opened.plan()
    problems = problems or [str(missing) for missing in again.missing]
    if problems:
        raise AssetError(problems)
    return again


def _fetch(missing: Missing) -> str | None:
    talk(f"fetching hub:{missing.hub} …")
    try:
        fetch(missing, missing.what.partition(" ")[0].replace("checkpoint", "model"))
    except AssetError as error:
        return str(error)
    return None


def probe(reports: Path) -> None:
    """SuiteError when reports could not be written in the end: found out before the work."""
    try:
        write_atomic(reports / ".probe", "")
        (reports / ".probe").unlink(missing_ok=True)  # another run may do the same now
    except OSError as error:
        msg = f"--reports {reports}: {error.strerror}; name a folder that can be written"
        raise SuiteError(msg) from error


def finish(
    opened: Opened, records: Records, need: Need, reporters: Mapping[str, Reporter], summary: str, *, as_json: bool
) -> None:
    """Write record and reports, have the store keep what they refer to, say what came out."""
    from harness.reports import json_report, summarise, summary_sentence, write_reports

    records.write(need.record)
    need.settle({key for cell in records.cells for key in cell["ancestors"]})
    report = summarise(records, opened.registry)
    written, *_ = write_reports(report, need.record.parent, opened.report_name, reporters)
    if as_json:
        click.echo(json.dumps(json_report(report), ensure_ascii=False, indent=1))
    talk("")
    talk(summary)
    talk(f"report: {written}")
    talk(summary_sentence(report))
    sys.stdout.flush()


def _with_earlier(opened: Opened, records: Records, store: Store, reports: Path) -> Records:
    """A run of some cells adds to the record of the others; a record that cannot be read is replaced."""
    path = reports / f"{opened.report_name}{SUFFIX}"
    if len(opened.cells) == len(opened.suite.cells) or not path.exists():
        return records
    try:
        return with_earlier(records, read_records(path), opened.plan(opened.suite.cells), store)
    except HarnessError as error:
        talk(f"the earlier record is left out: {error}")
        return records


def say_problems(
    opened: Opened, records: Records, outcomes: Mapping[str, Outcome], bought: Bought | None = None
) -> int:
    """Failures last: each failed cell with its log and the command that retries it. Returns the exit code."""
    left, short = (bought.left, bought.short) if bought else ({}, {})
    failed = [cell for cell in records.cells if cell["status"] == "failed"]
    waited = [cell for cell in records.cells if cell["status"] == "not run" and cell["cell"] not in left]
    done = [cell for cell in records.cells if cell["status"] == "ok" and cell["cell"] not in short]
    _say_each("not run", left)
    for cell in failed[:SHOWN]:
        log = outcomes[cell["failed_stage"]].log
        talk(f"failed  {cell['cell']}: {_first_line(cell['reason'])}")
        talk(f"        log: {log or 'none'}; retry: {cell['retry']}")
    if len(failed) > SHOWN:
        talk(f"… and {len(failed) - SHOWN} more failed cells; the report lists all")
    _say_once("not run", [_first_line(cell["reason"]) for cell in waited])
    _say_once("skipped", [_first_line(cell["reason"]) for cell in records.cells if cell["status"] == "skipped"])
    lost = [cell["unmeasured"] for cell in done if _lost(opened, cell)]
    _say_once("not measured", [*lost, *short.values()])
    untold = [cell["no_ensemble"] for cell in done if cell.get("no_ensemble")]
    _say_once("teachers not scored together", [_first_line(reason) for reason in untold])
    if bought:
        talk(bought.sentence)
    return 1 if failed or waited or lost or untold else SPENT if left or short else 0


def _say_each(what: str, reasons: Mapping[str, str]) -> None:
    for cell, reason in itertools.islice(reasons.items(), SHOWN):
        talk(f"{what}  {cell}: {_first_line(reason)}")
    if len(reasons) > SHOWN:
        talk(f"… and {len(reasons) - SHOWN} more cells {what}; the report lists all")


def _say_once(what: str, reasons: Sequence[str]) -> None:
    for reason, count in Counter(reasons).items():
        talk(f"{what}  {count} {'cell' if count == 1 else 'cells'}: {reason}")


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _lost(opened: Opened, cell: Mapping[str, Any]) -> bool:
    """Should have been measured and was not."""
    return bool(cell["unmeasured"]) and opened.suite.measure.speed is not None
