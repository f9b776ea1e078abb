"""What several teachers answer together: the mean of their probabilities, from the logits that are stored anyway.

By the weights that their student was taught with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.certainty import confidence, log_probabilities
from harness.data import read_examples, read_meta, read_predictions
from harness.keys import Ref, digest
from harness.plan import CellPlan, Plan
from harness.plugins import Registry
from harness.records.document import Json
from harness.records.samples import packed
from harness.store import Store
from harness.suite.bind import bind


def ensemble(planned: CellPlan, plan: Plan, store: Store, registry: Registry) -> Json | None:
    """Of the last step with several teachers; None where there is none, or not all of them answered the test data.

    A teacher is its first seed, as for its students. Only tasks whose answers are classes have such ensembles.
    """
    task_config, model = bind(plan.suite, planned.cell)
    several = [step for step in model.train if len(step.teacher) > 1]
    task = registry.task(task_config.use)
    if not several or task.head != "sequence" or planned.score is None:
        return None
    data = plan.stages[planned.score].inputs["data"]
    step = several[-1]
    predicted = [_answers(name, planned, plan, data) for name in step.teacher]
    refs = [ref for ref in predicted if ref is not None and store.entry(ref.key)]
    if len(refs) < len(predicted) or not store.entry(data.key):
        return None
    examples = read_examples(store.path(data))
    labels = read_meta(store.path(Ref(data.key, "meta"))).labels
    logits = [read_predictions(store.path(ref), examples).values for ref in refs]
    weights = confidence(logits) if step.loop.ensemble == "confidence" else None
    samples = task.load(task_config.params).samples(examples, list(together(logits, weights)), labels)
    return {
        "teachers": list(step.teacher),
        **_weighed(step.loop.ensemble, weights),
        "examples": digest([example["id"] for example in examples]),
        "samples": packed(np.asarray(samples, np.float64)),
    }


def _weighed(ensemble: str, weights: np.ndarray | None) -> Json:
    """How, and the mean weight of each teacher over the examples; nothing where they count alike."""
    return {} if weights is None else {"ensemble": ensemble, "weights": weights.mean(axis=1).round(6).tolist()}


def together(logits: Sequence[np.ndarray], weights: np.ndarray | None = None) -> np.ndarray:
    """Logits [n, C] of each of K teachers, weights [K, n] → logarithms of their mean probabilities [n, C]."""
    logs = [log_probabilities(values) for values in logits]
    if weights is None:
        found: np.ndarray = np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))
        return found
    return np.asarray(np.logaddexp.reduce(np.asarray(logs) + np.log(weights.astype(np.float64))[..., None], axis=0))


def _answers(name: str, student: CellPlan, plan: Plan, data: Ref) -> Ref | None:
    """A teacher's answers to the same test data: of its uncompressed cells that share the axes, the first seed's."""
    shared = {axis: value for axis, value in student.cell.axes if axis not in ("model", "compress", "seed")}
    for planned in plan.cells:
        axes = dict(planned.cell.axes)
        own = all(axes.get(axis) in (value, None) for axis, value in shared.items())
        if axes["model"] == name and axes["compress"] == "none" and own and planned.score:
            inputs = plan.stages[planned.score].inputs
            if inputs["data"] == data:
                return inputs["predictions"]
    return None
