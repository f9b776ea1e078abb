"""floor: is a teacher better than chance? Its students wait for the answer."""

from __future__ import annotations

from harness.data import read_examples, read_json, read_meta, write_json
from harness.errors import StageError
from harness.specs import Facts, Task
from harness.stages import Work


def run(work: Work) -> Facts:
    """Output `out`: the score and what chance gives. StageError when the score is not better."""
    spec = work.registry.task(work.options["task"]["use"])
    task: Task = spec.load()
    metric = spec.metrics[0]
    score = float(read_json(work.inputs["score"] / "score.json")["metrics"][metric.name])
    chance = task.chance(read_examples(work.inputs["data"]), read_meta(work.inputs["meta"]).labels)
    learned = chance is None or (score > chance if metric.higher_is_better else score < chance)
    if not learned:
        msg = (
            f"{metric.name} of {work.options['teacher']} on dev is {score:.3f} and {chance:.3f} needs no learning: "
            "it can teach nothing. Train it longer, at another learning rate, or from a checkpoint"
        )
        raise StageError(msg)
    facts = {"metric": metric.name, "score": score, "chance": chance}
    write_json(work.output() / "floor.json", facts)
    return facts
