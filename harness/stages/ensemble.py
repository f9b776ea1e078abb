"""ensemble: what several teachers said about the same data → what they say as one, as a model's predictions."""

from __future__ import annotations

import numpy as np

from harness.data import read_examples, read_predictions, write_predictions
from harness.heads import rules
from harness.specs import Facts
from harness.stages import Work, teacher_inputs


def run(work: Work) -> Facts:
    """Output `out`: predictions. The facts hold the mean weight of each teacher over all units, in their order."""
    examples = read_examples(work.inputs["data"])
    head = rules(work.registry.task(work.options["task"]["use"]).head)
    teachers = [read_predictions(work.inputs[name], examples).per_example() for name in teacher_inputs(work)]
    found, weights = [], []
    for number, said in enumerate(zip(*teachers, strict=True), start=1):
        one, weight = head.together(said, work.stage.params.get("by", "mean"))
        found.append(one)
        weights.append(weight)
        work.progress(number, len(examples), "examples")
    write_predictions(work.out / "out", [example["id"] for example in examples], found)
    return {"examples": len(examples), "weights": np.concatenate(weights, axis=1).mean(axis=1).round(6).tolist()}
