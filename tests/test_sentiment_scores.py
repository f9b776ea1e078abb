"""Scores of the sentiment task against scikit-learn, under weights, and what cannot be scored."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from harness import StageError
from harness_sentiment.plugin import SentimentParams, harness_tasks
from harness_sentiment.task import Sentiment
from harness_sentiment.texts import Texts

LABELS = ("negative", "neutral", "positive")
TASK = Sentiment(SentimentParams())


def draw(seed: int, count: int, classes: int = 3) -> np.ndarray:
    """Samples [n, 3] whose predictions are right about half the time."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, count)
    predicted = np.where(rng.random(count) < 0.5, gold, rng.integers(0, classes, count))
    return np.stack([gold, predicted, rng.exponential(size=count)], axis=1).astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn_at_weights_of_one(seed):
    samples = draw(seed, 200)
    figures = TASK.metrics(samples, np.ones((1, 200)), LABELS)
    assert figures["accuracy"][0] == pytest.approx(accuracy_score(samples[:, 0], samples[:, 1]))
    assert figures["macro_f1"][0] == pytest.approx(f1_score(samples[:, 0], samples[:, 1], average="macro"))
    assert figures["loss"][0] == pytest.approx(samples[:, 2].mean())


@pytest.mark.parametrize("scale", [1, 1000])
def test_the_loss_is_the_cross_entropy_of_the_right_class(scale):
    logits, gold = scale * np.random.default_rng(0).normal(size=(50, 3)), np.random.default_rng(1).integers(0, 3, 50)
    examples = [{"id": str(n), "text": "", "label": LABELS[label]} for n, label in enumerate(gold)]
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(gold)).item()
    samples = TASK.samples(examples, list(logits), LABELS)
    assert TASK.metrics(samples, np.ones((1, 50)), LABELS)["loss"][0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "pairs",
    [
        [(0, 0), (0, 1), (1, 1)],  # class 2 nowhere: not averaged over
        [(0, 0), (0, 2), (1, 1)],  # class 2 only predicted: counts as 0
        [(0, 0), (2, 1), (1, 1)],  # class 2 only in gold
        [(0, 1), (1, 0)],
        [(1, 1)],
    ],
)
def test_macro_f1_is_over_the_classes_that_occur(pairs):
    samples = np.array([(*pair, 0.0) for pair in pairs])
    figures = TASK.metrics(samples, np.ones((1, len(pairs))), LABELS)
    assert figures["macro_f1"][0] == pytest.approx(f1_score(samples[:, 0], samples[:, 1], average="macro"))


def test_weights_are_counts_so_a_bootstrap_is_a_resampling():
    samples = draw(7, 60)
    rng = np.random.default_rng(0)
    picks = rng.integers(0, 60, (25, 60))
    weights = np.stack([np.bincount(pick, minlength=60) for pick in picks])
    figures = TASK.metrics(samples, weights, LABELS)
    for row, pick in enumerate(picks):
        gold, predicted = samples[pick, 0], samples[pick, 1]
        assert figures["accuracy"][row] == pytest.approx(accuracy_score(gold, predicted))
        assert figures["macro_f1"][row] == pytest.approx(f1_score(gold, predicted, average="macro"))


def test_samples_of_records_before_the_loss_are_scored_without_it():
    samples, weights = draw(1, 20), np.ones((4, 20))
    whole, older = (TASK.metrics(some, weights, LABELS) for some in (samples, samples[:, :2]))
    assert list(older) == ["accuracy", "macro_f1"]
    assert all((older[name] == whole[name]).all() for name in older)


def test_every_declared_metric_is_computed_and_no_other():
    samples = {"rureviews": draw(1, 20), "sentiment": draw(1, 20), "texts": draw(1, 20)[:, :1]}
    for spec in harness_tasks():
        figures = spec.load().metrics(samples[spec.name], np.ones((4, 20)), LABELS)
        assert [metric.name for metric in spec.metrics] == list(figures)
        assert all(
            (metric.unit == "%") == metric.higher_is_better == (metric.name != "loss") for metric in spec.metrics
        )
        assert all(values.shape == (4,) for values in figures.values())


def test_no_weight_at_all_is_nan_and_not_a_number():
    figures = TASK.metrics(draw(1, 20), np.zeros((1, 20)), LABELS)
    assert np.isnan(figures["accuracy"][0])
    assert np.isnan(figures["macro_f1"][0])


def test_details_have_gold_in_rows_and_survive_json():
    samples = draw(3, 150)
    details = json.loads(json.dumps(TASK.details(samples, LABELS)))
    gold, predicted = samples[:, 0], samples[:, 1]
    assert details["classes"] == list(LABELS)
    assert details["confusion"] == confusion_matrix(gold, predicted).tolist()
    expected = precision_recall_fscore_support(gold, predicted)
    for index, label in enumerate(LABELS):
        found = [details["per_class"][label][name] for name in ("precision", "recall", "f1", "support")]
        assert found == pytest.approx([column[index] for column in expected])


def test_details_of_a_class_that_nobody_predicts_or_has():
    details = TASK.details(np.array([[0.0, 0.0], [1.0, 0.0]]), LABELS)
    assert details["per_class"]["neutral"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert details["per_class"]["positive"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert details["confusion"] == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_samples_are_gold_and_largest_logit():
    examples = [{"id": str(i), "text": "t", "label": label} for i, label in enumerate(("positive", "negative"))]
    outputs = [np.array([0.1, 0.2, 0.3], np.float16), np.array([5, 5, 1], np.float32)]
    samples = TASK.samples(examples, outputs, LABELS)
    assert samples.dtype == np.float64
    assert samples[:, :2].tolist() == [[2, 2], [0, 0]]


def test_samples_of_nothing():
    assert TASK.samples([], [], LABELS).shape == (0, 3)


@pytest.mark.parametrize(
    ("label", "output", "said"),
    [
        (None, [0.0, 1.0, 2.0], "1 of 1 examples have no label"),
        ("neutral", [0.0, np.nan, 2.0], "1 of 1 outputs are not finite"),
        ("neutral", [0.0, np.inf, 2.0], "1 of 1 outputs are not finite"),
        ("neutral", [0.0, 1.0], r"1 outputs of shape \[\(2,\)\] for 1 examples of 3 classes"),
        ("meh", [0.0, 1.0, 2.0], "example '7' is of class 'meh', the model knows"),
    ],
)
def test_what_cannot_be_scored_says_why(label, output, said):
    with pytest.raises(StageError, match=said):
        TASK.samples([{"id": "7", "text": "t", "label": label}], [np.array(output)], LABELS)


def test_answer_is_the_class_and_probabilities_that_add_up_however_large_the_logits():
    example = {"id": "1", "text": "t"}
    answer = TASK.answer(example, np.array([1000.0, -1000.0, 1000.0 - np.log(2)], np.float32), LABELS)
    assert answer["label"] == "negative"
    assert list(answer["scores"]) == list(LABELS)
    assert sum(answer["scores"].values()) == pytest.approx(1)
    assert answer["scores"]["negative"] == pytest.approx(2 / 3, rel=1e-4)
    json.dumps(answer)


def test_hooks_and_task_import_nothing_heavy():
    code = (
        "import sys, harness_sentiment.plugin as p; list(p.harness_tasks()); a = set(sys.modules);"
        "import harness_sentiment.task; b = set(sys.modules);"
        "assert not a & {'numpy', 'torch', 'datasets'}, a; assert not b & {'torch', 'datasets', 'transformers', 'pyarrow'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_specs_load():
    specs = {spec.name: spec for spec in harness_tasks()}
    assert {name: type(spec.load()) for name, spec in specs.items()} == {
        "rureviews": Sentiment,
        "sentiment": Sentiment,
        "texts": Texts,
    }
    assert specs["sentiment"].default_source is None
    assert TASK.input({"id": "1", "text": "Хорошо"}) == "Хорошо"
