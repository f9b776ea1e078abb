"""Running a plan for `harness run`: bad input ends it early, long answers go out in shards, failures leave the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from harness.cli import resuming
from harness.cli import shards as sharding
from harness.cli.budgeted import Within
from harness.cli.chosen import Chosen
from harness.cli.common import Opened, talk
from harness.cli.stages import Gatekeeper, Stages
from harness.cli.stages import started as start_stages
from harness.errors import AssetError
from harness.keeping import Need
from harness.observing import Audience
from harness.plan import Plan
from harness.runner import Outcome
from harness.runs import announced
from harness.sharding import gathered, with_shards
from harness.store import Store
from harness.suite import Cell


def execute(
    opened: Opened,
    plan: Plan,
    need: Need,
    where: Chosen,
    workers: int | None,
    watching: Audience,
    *,
    fail_fast: bool,
    shards: int | None = None,
    within: Within | None = None,
) -> tuple[Plan, Mapping[str, Outcome]]:
    """Run the plan, watched, and `within` a budget where there is one."""
    need.store.create()
    resuming.say_earlier(need.store, opened.report_name)
    resuming.say_kept(plan, need.store)
    limits = opened.suite.limits
    with (
        announced(need.store, opened.report_name, len(plan.stages)) as run,
        start_stages(opened.registry, where, need, workers, limits, run.finished) as stages,
    ):
        stages.check(plan)
        need.add(plan.stages)
        run_plan = functools.partial(_run_plan, opened, stages, watching, fail_fast=fail_fast, shards=shards)
        return within.run(run_plan, stages.executor) if within else run_plan(plan)


def _run_plan(
    opened: Opened,
    stages: Stages,
    watching: Audience,
    plan: Plan,
    *,
    fail_fast: bool,
    shards: int | None = None,
    known: Mapping[str, Outcome] | None = None,
    gate: Gatekeeper | None = None,
) -> tuple[Plan, Mapping[str, Outcome]]:
    """Run it; `known` outcomes stay as they are.

    Inputs come first: bad ones end the run before they cost anything. A row that failed would leave its whole group
    unmeasured; so the others are planned and measured without it.
    """
    early = stages.run(plan.inputs_only(), "inputs", watching, outcomes=known, gate=gate)
    _refuse_bad_input(early)
    failed_early = {key: outcome for key, outcome in early.items() if outcome.status == "failed"}
    known = {**(known or {}), **failed_early}
    whole = _in_shards(plan, stages.store, shards, lambda: stages.executor.capacity)
    outcomes = gathered(whole, stages.run(whole, "stages", watching, fail_fast=fail_fast, outcomes=known, gate=gate))
    rest = _without_failures(plan, outcomes)
    if rest and not fail_fast:
        failed = frozenset(key for key, outcome in outcomes.items() if not _done(outcome))
        again = opened.plan(rest, failed)
        done = {key: outcome for key, outcome in outcomes.items() if _done(outcome)}
        outcomes = {**outcomes, **stages.run(again, "measurements", watching, outcomes=done, gate=gate)}
        plan = plan.merged(again)
    ran = {key: outcome for key, outcome in early.items() if outcome.status == "ok"}
    return plan, {**outcomes, **ran}


def _in_shards(plan: Plan, store: Store, wished: int | None, capacity: Callable[[], int]) -> Plan:
    """The plan as it runs. What stands in records is the plan without shards: whoever reads it needs none of them."""
    divisions = sharding.divided(plan, store, wished, capacity)
    sharding.note(divisions, store)
    for line in sharding.lines(divisions):
        talk(line)
    return with_shards(plan, {one.stage.key: one.count for one in divisions})


def _refuse_bad_input(outcomes: Mapping[str, Outcome]) -> None:
    """Data and checkpoints that cannot be used end the run before any training, with no report written."""
    bad = [outcome for outcome in outcomes.values() if outcome.status == "failed" and outcome.exit_code == 2]
    if bad:
        raise AssetError(list(dict.fromkeys(outcome.reason for outcome in bad)))


def _done(outcome: Outcome) -> bool:
    return outcome.status in ("ok", "cached")


def _without_failures(plan: Plan, outcomes: Mapping[str, Outcome]) -> tuple[Cell, ...]:
    """The cells whose own work is done, where some could not be measured because of others; else none."""
    sound = [cell for cell in plan.cells if not cell.skipped and all(_done(outcomes[key]) for key in cell.work)]
    lost = [cell for cell in sound if cell.measure and outcomes[cell.measure].status == "not run"]
    return tuple(cell.cell for cell in sound) if lost and len(sound) < len(plan.cells) else ()
