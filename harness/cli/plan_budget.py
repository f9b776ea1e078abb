"""`harness plan --budget`: what a run within the budget would do, as far as the store can tell."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from harness.budget import Budget, Schedule, Turn, first_seeds, waves
from harness.estimate import history, needs, remaining, rough
from harness.plan import Plan
from harness.store import Store


def scheduled(plan: Plan, store: Store, there: set[str], budget: Budget, workers: int) -> Schedule:
    """Turns for the plan's cells. Which of the further seeds come first is known only when earlier ones are there."""
    schedule = Schedule(
        plan=plan,
        there=there.__contains__,
        cost=functools.partial(remaining, known=history(store), store=store),
        seconds=budget.seconds,
        workers=workers,
    )
    rank = first_seeds(plan.suite)
    for number, cells in enumerate(waves(plan.cells)):
        begun = {turn.planned.cell.row for turn in schedule.turns}
        schedule.take(cells if number == 0 else [one for one in cells if one.cell.row in begun], rank)
        late = [] if number == 0 else [one for one in cells if one.cell.row not in begun]
        schedule.leave(late)
    return schedule


def lines(schedule: Schedule, budget: Budget) -> list[str]:
    """What is in the store already is counted and not listed."""
    todo = [turn for turn in schedule.turns if turn.keys]
    counts = f"{len(schedule.turns) - len(todo)} in the store, {len(todo)} fit, {len(schedule.left)} do not"
    workers = f"{schedule.workers} {'stage' if schedule.workers == 1 else 'stages'} at once"
    known = any(cost is not None for turn in todo for cost in turn.costs)
    said = [f"budget: {budget}, {workers}; cells: {counts}"]
    if todo:
        whole = f", about {rough(schedule.takes)} for what is known" if known else ""
        said += [f"fit, in this order{whole} (a further seed as what is open then decides):", *_listed(todo)]
    if schedule.left:
        said += ["do not fit:", *_listed(schedule.left)]
    if any(turn.unknown for turn in todo):
        said += ["stages of unknown cost, whose like was never run here, are tried while there is time"]
    return said


def _listed(turns: Sequence[Turn]) -> list[str]:
    return [f"  {turn.planned.cell.id}: {needs(turn.costs)}" for turn in turns]


def as_json(schedule: Schedule, budget: Budget) -> dict[str, object]:
    """The same as data."""
    return {
        "seconds": budget.seconds,
        "workers": schedule.workers,
        "takes": round(schedule.takes, 3),
        "fits": [_turn_json(turn) for turn in schedule.turns],
        "does_not_fit": [_turn_json(turn) for turn in schedule.left],
    }


def _turn_json(turn: Turn) -> dict[str, object]:
    seconds, unknown = round(turn.seconds, 3), turn.unknown
    return {"cell": turn.planned.cell.id, "stages": list(turn.keys), "seconds": seconds, "unknown": unknown}
