"""A teacher is judged before it teaches: is it better than an answerer that has learned nothing?"""

from __future__ import annotations

import numpy as np
import pytest

from harness import StageError
from harness.data import write_examples, write_json
from harness.keys import Ref, Stage
from harness.plugins import load_registry
from harness.stages import Work, score
from harness.stages.floor import run

LABELS = ("negative", "positive")


def work(folder, right: int, count: int):
    """A dev split of which two thirds are of one class, and a score of `right` out of `count`."""
    examples = [{"id": str(n), "text": "а", "label": LABELS[n % 3 == 0]} for n in range(count)]
    write_examples(folder / "dev", examples)
    write_json(folder / "meta" / "meta.json", {"labels": list(LABELS), "counts": {}, "facts": {}})
    gold = np.array([LABELS.index(example["label"]) for example in examples], dtype=float)
    said = np.where(np.arange(count) < right, gold, 1 - gold)
    (folder / "score").mkdir()
    np.save(folder / "score" / "samples.npy", np.stack([gold, said], axis=1))
    write_json(folder / "score" / "score.json", {"metrics": {"accuracy": right / count}, "details": {}, "ids": []})
    stage = Stage(
        kind="floor", component="x", version=1, inputs={"score": Ref("k")},
        options={"task": {"use": "sentiment", "params": {}}, "teacher": "big"},
    )  # fmt: skip
    inputs = {name: folder / name for name in ("score", "meta")} | {"data": folder / "dev"}
    return Work(stage, inputs, folder / "out", folder / "scratch", load_registry(), 1)


def test_a_teacher_that_learned_passes_and_says_by_how_much(tmp_path):
    facts = run(work(tmp_path, 270, 300))
    assert facts["score"] == pytest.approx(0.9)
    assert facts["chance"] == pytest.approx(2 / 3)
    assert facts["chance"] < facts["at_worst"] < facts["score"]


@pytest.mark.parametrize(("right", "count"), [(180, 300), (20, 30), (23, 30)])
def test_one_that_may_be_no_better_than_chance_teaches_nobody(tmp_path, right, count):
    with pytest.raises(
        StageError, match=r"accuracy of big on dev is .* guessing without any learning gives .*: it can teach nothing"
    ):
        run(work(tmp_path, right, count))


def test_questions_whose_answer_is_not_in_the_context_are_scored_by_their_text(tmp_path):
    """One such question among others keeps nothing from being scored."""
    from harness.data import write_predictions
    from harness.specs import SpanOutput

    context = "Анна живёт в Твери ."
    examples = [
        {"id": str(n), "title": "", "context": context, "question": "где?", "answers": [{"text": text, "begin": begin}]}
        for n, (text, begin) in enumerate([("Твери", 13), ("в городе Твери", None)])
    ]
    write_examples(tmp_path / "test", examples)
    write_json(tmp_path / "meta" / "meta.json", {"labels": ["start", "end"], "counts": {}, "facts": {}})
    places = np.array([(-1, -1), (0, 4), (5, 10), (11, 12), (13, 18), (19, 20)], dtype=np.int32)
    logits = np.array([[0, 0], [0, 0], [0, 0], [0, 0], [9, 9], [0, 0]], dtype=np.float32)
    write_predictions(tmp_path / "predictions", ["0", "1"], [SpanOutput(places, logits)] * 2)
    stage = Stage(kind="score", component="x", version=1, options={"task": {"use": "qa", "params": {}}})
    inputs = {"predictions": tmp_path / "predictions", "data": tmp_path / "test", "meta": tmp_path / "meta"}
    facts = score.run(Work(stage, inputs, tmp_path / "out", tmp_path / "scratch", load_registry(), 1))
    assert facts["metrics"]["em"] == 0.5
    assert 0.5 < facts["metrics"]["f1"] < 1
