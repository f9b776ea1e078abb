"""floor: is a teacher better than chance? Its students wait for the answer."""

from __future__ import annotations

import numpy as np

from harness.data import read_examples, read_json, read_meta, write_json
from harness.errors import StageError
from harness.specs import Facts
from harness.stages import Work

RESAMPLES, ALPHA = 1000, 0.025  # of dev: the lower end of a 95 % interval has to be above chance


def run(work: Work) -> Facts:
    """Output `out`: the score and what chance gives. StageError when the score is not better."""
    spec = work.registry.task(work.options["task"]["use"])
    task = work.task()
    metric = spec.metrics[0]
    labels = read_meta(work.inputs["meta"]).labels
    score = float(read_json(work.inputs["score"] / "score.json")["metrics"][metric.name])
    chance = task.chance(read_examples(work.inputs["data"]), labels)
    samples = np.load(work.inputs["score"] / "samples.npy", allow_pickle=False)
    weights = np.random.default_rng(0).multinomial(len(samples), np.full(len(samples), 1 / len(samples)), RESAMPLES)
    drawn = task.metrics(samples, weights, labels)[metric.name]  # [RESAMPLES]
    worst = float(np.quantile(drawn, ALPHA if metric.higher_is_better else 1 - ALPHA))
    learned = chance is None or (worst > chance if metric.higher_is_better else worst < chance)
    if not learned:
        msg = (
            f"{metric.name} of {work.options['teacher']} on dev is {score:.3f} (95 %: from {worst:.3f}); guessing "
            f"without any learning gives {chance:.3f}: it can teach nothing. Train it longer, at another learning "
            "rate, or from a checkpoint"
        )
        raise StageError(msg)
    facts = {"metric": metric.name, "score": score, "at_worst": worst, "chance": chance}
    write_json(work.output() / "floor.json", facts)
    return facts
