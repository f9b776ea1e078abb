"""What several teachers answer together: the mean of their probabilities, from the logits that are stored anyway."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
    several = [step.teacher for step in model.train if len(step.teacher) > 1]
    task = registry.task(task_config.use)
    if not several or task.head != "sequence" or planned.score is None:
        return None
    data = plan.stages[planned.score].inputs["data"]
    predicted = [_answers(name, planned, plan, data) for name in several[-1]]
    refs = [ref for ref in predicted if ref is not None and store.entry(ref.key)]
    if len(refs) < len(predicted) or not store.entry(data.key):
        return None
    examples = read_examples(store.path(data))
    labels = read_meta(store.path(Ref(data.key, "meta"))).labels
    logits = [read_predictions(store.path(ref), examples).values for ref in refs]
    samples = task.load(task_config.params).samples(examples, list(together(logits)), labels)
    ids = [example["id"] for example in examples]
    return {"teachers": list(several[-1]), "examples": digest(ids), "samples": packed(np.asarray(samples, np.float64))}


def together(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Logits [n, C] of each teacher → logarithms of their mean probabilities [n, C]."""
    wide = [np.asarray(values, dtype=np.float64) for values in logits]
    shifted = [values - values.max(axis=1, keepdims=True) for values in wide]
    logs = [values - np.log(np.exp(values).sum(axis=1, keepdims=True)) for values in shifted]
    found: np.ndarray = np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))
    return found


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
