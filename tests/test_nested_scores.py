"""Scores of nested entities: an independent account over whole documents, the official formula by hand, weights."""

from __future__ import annotations

import random

import numpy as np
import pytest
from nested_helpers import example, logits, task

from harness import StageError
from harness_ner.bilou import encode, labels_of
from harness_ner.cutting import examples_of
from harness_ner.documents import Document
from harness_ner.nested_scoring import to_samples
from harness_ner.plugin import _NESTED_METRICS, _RUNNE_METRICS
from harness_ner.words import Mention

TYPES = ("AGE", "DISEASE", "PENALTY", "PERSON", "WORK_OF_ART")
FEW = ["DISEASE", "PENALTY", "WORK_OF_ART"]
LABELS = labels_of(TYPES)


def said(item: dict, *entities) -> np.ndarray:
    """Logits that decode to the given mentions, which have a place in the layers."""
    layers, fates = encode(item["words"], len(item["text"]), entities, TYPES)
    assert set(fates) <= {"kept"}
    return logits(layers)


def scores(samples: np.ndarray, weights=None, **params) -> dict[str, float]:
    made = task(**params).metrics(samples, np.ones((1, len(samples))) if weights is None else weights, LABELS)
    return {name: float(values[0]) for name, values in made.items()}


def independent(gold: list[set], found: list[set], types=TYPES) -> dict[str, float]:
    """The competition's account, per document: precision, recall and F1 of each type, then means."""

    def f1(right: int, missed: int, made_up: int) -> float:
        recall = right / (right + missed) if right else 0.0
        precision = right / (right + made_up) if right else 0.0
        return 2 * precision * recall / (precision + recall) if right else 0.0

    counts = {
        kind: (
            sum(len({m for m in a & b if m[2] == kind}) for a, b in zip(gold, found, strict=True)),
            sum(len({m for m in a - b if m[2] == kind}) for a, b in zip(gold, found, strict=True)),
            sum(len({m for m in b - a if m[2] == kind}) for a, b in zip(gold, found, strict=True)),
        )
        for kind in types
    }
    by_type = {kind: f1(*three) for kind, three in counts.items()}
    main = [by_type[kind] for kind in types if kind not in FEW and counts[kind][0] + counts[kind][1] > 0]
    return {
        "macro_f1": sum(main) / len(main) if main else 0.0,
        "macro_f1_few_shot": sum(by_type[kind] for kind in FEW) / 3,
        "micro_f1": f1(*map(sum, zip(*counts.values(), strict=True))),
        "macro_f1_all": sum(by_type.values()) / len(types),
    }


def drawn(dice: random.Random, size: int) -> set[tuple[int, int, str]]:
    """Any spans of a text of so many words of one sign with a space between them, nested and crossing."""
    found = set()
    for _ in range(dice.randrange(size)):
        first = dice.randrange(size)
        last = min(size - 1, first + dice.randrange(4))
        found.add((2 * first, 2 * last + 1, dice.choice(TYPES[: dice.randrange(1, 6)])))
    return found


@pytest.mark.parametrize("seed", range(30))
def test_random_spans_are_scored_as_an_independent_account_does(seed):
    dice = random.Random(seed)  # noqa: S311
    gold = [drawn(dice, 12) for _ in range(25)]
    found = [drawn(dice, 12) | {m for m in own if dice.random() < 0.6} for own in gold]
    samples = to_samples(gold, found, TYPES)
    expected = independent(gold, found)
    made = scores(samples, runne=True)
    assert {name: made[name] for name in expected} == pytest.approx(expected)
    plain = scores(samples)
    assert {name: plain[name] for name in plain} == pytest.approx({name: made[name] for name in plain})


@pytest.mark.parametrize("seed", range(10))
def test_examples_of_documents_add_up_to_the_documents(seed):
    """Documents cut into examples, gold that no layer can hold among the mentions: the sets of whole documents decide."""
    dice = random.Random(seed)  # noqa: S311
    made = task(runne=True)
    examples, outputs, gold, found = [], [], [], []
    for number in range(6):
        text = "\n".join(" ".join("abcdefgh"[: dice.randrange(2, 9)]) for _ in range(8))
        mentions = {Mention(*m) for m in drawn(dice, 20) | drawn(dice, 20) if m[1] <= len(text)}
        document = Document(f"d{number}", text, tuple(mentions), "here", "test")
        gold.append({(m.begin, m.end, m.type) for m in mentions})
        found.append(set())
        for item in examples_of(document, 12):
            layers = np.array([[dice.randrange(5) for _ in TYPES] for _ in item["words"]])
            target = made.target(item, LABELS)
            mixed = np.where(np.random.default_rng(seed).random(layers.shape) < 0.7, np.array(target), layers)
            examples.append(item)
            outputs.append(logits(mixed))
            for entity in made.answer(item, outputs[-1], LABELS)["entities"]:
                begin = item["begin"]
                found[-1].add((begin + entity["start"], begin + entity["end"], entity["type"]))
    samples = made.samples(examples, outputs, LABELS)
    expected = independent(gold, found)
    assert 0.1 < expected["micro_f1"] < 0.95
    assert samples.reshape(-1, 5, 3)[:, :, 0].sum() == sum(map(len, gold))
    result = scores(samples, runne=True)
    assert {name: result[name] for name in expected} == pytest.approx(expected)


# ------------------------------------------------------------------------------------------------------------ by hand


def test_the_official_formula_by_hand():
    """PERSON: 2 gold, 1 right of 2 said, 1/2; AGE: 1 gold, right, 1; DISEASE: 1 gold, 1 right of 3 said, 1/2."""
    first = example("Anna Bo of Tver aged 9 had flu", "PERSON:Anna Bo", "PERSON:Bo of Tver", "AGE:9", "DISEASE:flu")
    answers = said(first, (0, 7, "PERSON"), (8, 10, "PERSON"), (21, 22, "AGE"), (27, 30, "DISEASE"),
                   (0, 4, "DISEASE"), (5, 7, "DISEASE"))  # fmt: skip
    made = task(runne=True)
    found = scores(made.samples([first], [answers], LABELS), runne=True)
    assert found["macro_f1"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["macro_f1_few_shot"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert found["micro_f1"] == pytest.approx(2 * 3 / (4 + 6))
    assert found["precision"] == pytest.approx(3 / 6)
    assert found["recall"] == pytest.approx(3 / 4)
    assert found["macro_f1_all"] == pytest.approx((1 + 1 / 2 + 0 + 1 / 2 + 0) / 5)


def test_a_main_type_without_gold_is_left_out_and_a_few_shot_type_is_not():
    item = example("Anna Bo", "PERSON:Anna Bo")
    answers = said(item, (0, 7, "PERSON"), (0, 4, "AGE"))
    found = scores(task(runne=True).samples([item], [answers], LABELS), runne=True)
    assert found["macro_f1"] == 1.0
    assert found["macro_f1_few_shot"] == 0.0
    assert found["macro_f1_all"] == 1 / 5


def test_few_shot_types_that_the_data_lacks_still_count():
    labels = labels_of(["DISEASE"])
    found = task(runne=True).metrics(np.array([[1.0, 1.0, 1.0]]), np.ones((1, 1)), labels)
    assert found["macro_f1_few_shot"][0] == pytest.approx(1 / 3)
    assert found["macro_f1"][0] == 0.0


def test_a_mention_that_no_layer_holds_is_missed():
    item = example("Bank of Tver", "PERSON:Bank of Tver", "PERSON:Tver")
    perfect = logits(np.array(task().target(item, LABELS)))
    found = scores(task().samples([item], [perfect], LABELS))
    assert (found["precision"], found["recall"]) == (1.0, 0.5)


def test_gold_listed_twice_counts_once():
    assert to_samples([[(0, 1, "AGE"), (0, 1, "AGE")]], [[(0, 1, "AGE")]], TYPES)[0, :3].tolist() == [1, 1, 1]


# ------------------------------------------------------------------------------------------------- weights and details


def test_the_metrics_are_the_declared_ones():
    samples = np.zeros((1, 15))
    assert set(scores(samples)) == {metric.name for metric in _NESTED_METRICS}
    assert set(scores(samples, runne=True)) == {metric.name for metric in _RUNNE_METRICS}
    assert set(scores(samples, runne=True).values()) == {0.0}


def test_weights_count_examples_as_often_as_they_say():
    dice = random.Random(5)  # noqa: S311
    gold = [drawn(dice, 12) for _ in range(12)]
    found = [drawn(dice, 12) | {m for m in own if dice.random() < 0.6} for own in gold]
    samples = to_samples(gold, found, TYPES)
    weights = np.random.default_rng(0).integers(0, 3, (6, 12))
    many = task(runne=True).metrics(samples, weights, LABELS)
    for row, counts in enumerate(weights):
        repeated = np.repeat(samples, counts, axis=0)
        assert {name: values[row] for name, values in many.items()} == pytest.approx(scores(repeated, runne=True))


def test_details_are_scores_of_types():
    gold, found = [{(0, 1, "AGE"), (2, 3, "AGE")}], [{(0, 1, "AGE"), (0, 1, "PERSON")}]
    details = task().details(to_samples(gold, found, TYPES), LABELS)["per_class"]
    assert details["AGE"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert details["PERSON"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert list(details) == list(TYPES)


def test_chance_is_what_constant_answers_get():
    items = [example("Anna is 9 Bo", "PERSON:Anna", "AGE:9", "PERSON:Bo"), example("Li Bo ran", "PERSON:Li Bo")]
    every = [np.full((len(item["words"]), 25), 0.0) for item in items]
    for output in every:
        output.reshape(len(output), 5, 5)[:, :, 4] = 9.0  # U of every type
    samples = task().samples(items, every, LABELS)
    assert task(runne=True).chance(items, LABELS) == pytest.approx(scores(samples, runne=True)["macro_f1"])
    persons = [np.copy(output) for output in every]
    for output in persons:
        output.reshape(len(output), 5, 5)[:, [0, 1, 2, 4], 4] = -9.0
    best = scores(task().samples(items, persons, LABELS))["micro_f1"]
    assert task().chance(items, LABELS) == pytest.approx(best) == pytest.approx(2 * 2 / (7 + 4))


# ------------------------------------------------------------------------------------------------------------- answers


def test_answers_are_in_the_texts_order_outer_ones_first():
    item = example("head of Bank of Tver , Bo")
    output = said(item, (0, 20, "PERSON"), (8, 20, "WORK_OF_ART"), (16, 20, "AGE"), (23, 25, "PERSON"), (8, 12, "AGE"))
    made = task().answer(item, output, LABELS)
    assert made["text"] == item["text"]
    assert [(e["start"], e["end"], e["type"], e["text"]) for e in made["entities"]] == [
        (0, 20, "PERSON", "head of Bank of Tver"),
        (8, 20, "WORK_OF_ART", "Bank of Tver"),
        (8, 12, "AGE", "Bank"),
        (16, 20, "AGE", "Tver"),
        (23, 25, "PERSON", "Bo"),
    ]
    sure = np.exp(5)
    inside, alone = (sure + 3) / (sure + 4), (sure + 3) / (sure + 4)
    assert [e["score"] for e in made["entities"]] == pytest.approx([inside] * 3 + [alone] * 2)


def test_texts_that_nobody_cut_are_cut_into_words():
    bare = {"id": "0", "text": "Anna,  sang"}
    assert task().input(bare) == ["Anna", ",", "sang"]
    assert task().target(bare, LABELS) is None
    output = logits(np.array([[4, 0, 0, 1, 0], [0, 0, 0, 2, 0], [0, 0, 0, 3, 0]]))
    assert [(e["type"], e["text"]) for e in task().answer(bare, output, LABELS)["entities"]] == [
        ("PERSON", "Anna,  sang"), ("AGE", "Anna"),
    ]  # fmt: skip
    assert task().answer({"id": "1", "text": " "}, np.zeros((0, 25)), LABELS) == {"text": " ", "entities": []}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.zeros((2, 24)), r"example 'd/0': an output of shape \(2, 24\) for 2 words of 25 columns"),
        (np.zeros((3, 25)), r"shape \(3, 25\) for 2 words"),
        (np.full((2, 25), np.nan), "example 'd/0': outputs are not finite"),
    ],
)
def test_outputs_that_do_not_fit_are_an_error(output, message):
    with pytest.raises(StageError, match=message):
        task().samples([example("Anna sang", "PERSON:Anna")], [output], LABELS)


def test_examples_without_labels_and_types_that_a_model_lacks_are_errors():
    bare = {name: value for name, value in example("Anna").items() if name != "entities"}
    with pytest.raises(StageError, match=r"1 of 1 examples have no labels \('d/0', …\)"):
        task().samples([bare], [np.zeros((1, 25))], LABELS)
    for call in (task().target, lambda e, labels: task().samples([e], [np.zeros((1, 25))], labels)):
        with pytest.raises(StageError, match=r"example 'd/0' has the types 'CITY', the model knows 'AGE', 'DISEASE'"):
            call(example("Tver", "CITY:Tver"), LABELS)
