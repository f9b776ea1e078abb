"""What several teachers score as one, from the stages that the plan has for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.data import read_json
from harness.keys import Ref, digest
from harness.plain import plain
from harness.plan import CellPlan, Plan
from harness.plan_ensemble import step_of_several
from harness.records.document import Json
from harness.records.samples import packed
from harness.runner import Outcome
from harness.store import Store


def ensemble(planned: CellPlan, plan: Plan, store: Store, outcomes: Mapping[str, Outcome]) -> Json:
    """`ensemble` of a cell: null where it had not several teachers, or with `no_ensemble`, why they have no score."""
    step = step_of_several(plan.suite, planned.cell)
    if step is None or planned.ensemble is None:
        return {"ensemble": None}
    if not store.entry(planned.ensemble):
        return {"ensemble": None, "no_ensemble": _why(planned.ensemble, plan, outcomes)}
    folder = store.path(Ref(planned.ensemble))
    samples = np.load(folder / "samples.npy", allow_pickle=False)
    whole = samples.astype(np.int64)
    return {
        "ensemble": {
            "teachers": list(step.teacher),
            **_weighed(step.loop.ensemble, plan.stages[planned.ensemble].inputs["predictions"].key, store),
            "examples": digest(read_json(folder / "score.json")["ids"]),
            "samples": packed(whole if np.array_equal(whole, samples) else samples.astype(np.float64)),
        }
    }


def _weighed(by: str, key: str, store: Store) -> Json:
    """How, and the mean weight of each teacher over the units; nothing where they count alike."""
    made = store.entry(key)
    if by == "mean" or made is None:
        return {} if by == "mean" else {"ensemble": by}
    return {"ensemble": by, "weights": made.facts["weights"]}


def _why(key: str, plan: Plan, outcomes: Mapping[str, Outcome]) -> str:
    """What went wrong first."""
    for one in plan.ancestors((key,)):
        outcome = outcomes.get(one)
        if outcome and outcome.status == "failed":
            return f"{plan.stages[one].label}: {plain(outcome.reason)}"
    return outcomes[key].reason if key in outcomes else "the run was stopped"
