"""What a person who comes back is told before a run goes on: what was kept, what is left, who else is at it."""

from __future__ import annotations

from harness import runs
from harness.cli.common import talk
from harness.estimate import duration, estimate
from harness.plan import Plan
from harness.store import Store
from harness.training import STATE


def say_earlier(store: Store, name: str) -> None:
    """Runs of this suite that go on, and those that were left by a process that is dead: each is said once."""
    for run in runs.found(store):
        if run.name != name:
            continue
        if run.goes_on:
            talk(f"another run of it goes on ({run}): what one has finished, the other takes from the store")
        else:
            talk(f"a run of it was left ({run}): nothing that it finished is lost, this one goes on from there")
            runs.forget(run)


def say_kept(plan: Plan, store: Store) -> None:
    """How much of the plan is in the store, and what the rest will take; nothing where it is all or none."""
    kept = [entry for key in plan.stages if (entry := store.entry(key))]
    there = {entry.key for entry in kept}
    left = [stage for key, stage in plan.stages.items() if key not in there]
    if not kept or not left:
        return
    begun = sum((store.scratch / stage.key / STATE).exists() for stage in left if stage.kind == "train")
    middle = f", {begun} of them from the middle of a training" if begun else ""
    work = duration(sum(entry.seconds for entry in kept))
    talk(f"kept: {len(kept)} stages, {work} of work; left: {len(left)} stages{middle}; {estimate(left, store)}")
