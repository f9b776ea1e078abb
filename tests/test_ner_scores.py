"""Scores of entities: seqeval's own, conlleval's published rules, critical types, bootstrap weights."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from ner_helpers import task
from pydantic import ValidationError
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from harness import StageError
from harness_ner.plugin import _METRICS, ConllParams
from harness_ner.scoring import NO_SPAN, constant_f1, predicted_tags, to_samples, weighted_metrics

LABELS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
TYPES = ("PER", "ORG", "LOC")


def example(tags: str, number: int = 0) -> dict:
    words = [f"w{i}" for i in range(len(tags.split()))]
    places, begin = [], 0
    for word in words:
        places.append([begin, begin + len(word)])
        begin += len(word) + 1
    return {"id": f"e{number}", "text": " ".join(words), "words": places, "tags": tags.split()}


def logits(tags: str, labels=LABELS, strength: float = 5.0) -> np.ndarray:
    rows = np.zeros((len(tags.split()), len(labels)), dtype=np.float32)
    for row, tag in zip(rows, tags.split(), strict=True):
        row[labels.index(tag)] = strength
    return rows


def scores(pairs, critical=(), labels=LABELS) -> dict[str, float]:
    """Metrics of (gold, predicted) tags of sentences."""
    made = task(critical=list(critical))
    examples = [example(gold, i) for i, (gold, _) in enumerate(pairs)]
    samples = made.samples(examples, [logits(said, labels) for _, said in pairs], labels)
    return {name: float(v[0]) for name, v in made.metrics(samples, np.ones((1, len(pairs))), labels).items()}


def drawn(count: int, seed: int) -> list[tuple[list[str], list[str]]]:
    """Gold in legal BIO2 and predictions that agree with it three times of four, legal or not."""
    dice = random.Random(seed)  # noqa: S311
    pairs = []
    for _ in range(count):
        gold: list[str] = []
        for _ in range(dice.randrange(1, 15)):
            going = [f"I-{gold[-1][2:]}"] * 2 if gold and gold[-1] != "O" else []
            gold.append(dice.choice(["O", "O", "O", "B-PER", "B-ORG", "B-LOC", *going]))
        pairs.append((gold, [tag if dice.random() < 0.75 else dice.choice(LABELS) for tag in gold]))
    return pairs


# ------------------------------------------------------------------------------------------------------------ seqeval


@pytest.mark.parametrize("seed", range(20))
def test_every_figure_is_seqevals(seed):
    pairs = drawn(40, seed)
    gold, said = (list(side) for side in zip(*pairs, strict=True))
    found = scores([(" ".join(a), " ".join(b)) for a, b in pairs])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of types that were never predicted
        assert found["f1"] == pytest.approx(f1_score(gold, said))
        assert found["precision"] == pytest.approx(precision_score(gold, said))
        assert found["recall"] == pytest.approx(recall_score(gold, said))
        assert found["f1_strict"] == pytest.approx(f1_score(gold, said, mode="strict", scheme=IOB2))


@pytest.mark.parametrize("seed", range(5))
def test_figures_of_types_are_seqevals(seed):
    pairs = drawn(60, seed)
    gold, said = (list(side) for side in zip(*pairs, strict=True))
    samples = to_samples(gold, said, TYPES)
    made = task().details(samples, LABELS)["per_class"]
    names = sorted(TYPES)
    columns = precision_score, recall_score, f1_score
    for title, score in zip(("precision", "recall", "f1"), columns, strict=True):
        assert [made[name][title] for name in names] == pytest.approx(score(gold, said, average=None))
    _, _, _, support = precision_recall_fscore_support(gold, gold, average=None, scheme=IOB2)
    assert [made[name]["support"] for name in names] == support.tolist()


def test_no_type_is_a_share_of_nothing():
    nothing = scores([("O O", "O O")])
    assert set(nothing.values()) == {0.0}
    assert scores([("O B-PER", "O O")])["recall"] == 0.0


# ---------------------------------------------------------------------------------------------------------- conlleval


def chunks(tags: list[str]) -> list[tuple[str, int, int]]:
    """conlleval's rules (Tjong Kim Sang, 2004), word by word: where a chunk starts, and where the one before ends."""
    found, start, kind = [], None, ""
    before, before_kind = "O", ""
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, own = tag.partition("-")
        ends = (before in "BI" and prefix in "BO") or (before != "O" and before_kind != own)
        starts = prefix == "B" or (before == "O" and prefix == "I") or (prefix != "O" and before_kind != own)
        if ends and start is not None:
            found.append((kind, start, position - 1))
            start = None
        if starts:
            start, kind = position, own
        before, before_kind = prefix, own
    return found


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_conllevals_rules(seed):
    pairs = drawn(40, seed + 100)
    gold, said = ([set(chunks(tags)) for tags in side] for side in zip(*pairs, strict=True))
    right = sum(len(a & b) for a, b in zip(gold, said, strict=True))
    found = scores([(" ".join(a), " ".join(b)) for a, b in pairs])
    assert found["precision"] == pytest.approx(right / sum(map(len, said)))
    assert found["recall"] == pytest.approx(right / sum(map(len, gold)))


@pytest.mark.parametrize(
    ("gold", "said", "phrases", "found", "correct"),
    [
        ("B-PER I-PER I-PER", "I-PER I-PER I-PER", 1, 1, 1),
        ("B-PER I-PER I-PER", "B-PER B-PER I-PER", 1, 2, 0),
        ("B-PER I-ORG O", "B-PER B-ORG O", 2, 2, 2),  # gold may be illegal too: a type that changes begins a phrase
        ("B-PER O I-PER", "B-PER O B-PER", 2, 2, 2),
        ("I-PER I-PER B-PER", "I-PER I-PER I-PER", 2, 1, 0),  # IOB1: B- only divides neighbours
        ("B-LOC I-LOC B-LOC I-LOC", "B-LOC I-LOC I-LOC I-LOC", 2, 1, 0),
        ("B-LOC I-LOC O B-ORG", "B-LOC I-LOC O B-PER", 2, 2, 1),
        ("O I-ORG I-ORG I-PER", "O B-ORG I-ORG I-PER", 2, 2, 2),
        ("B-ORG B-ORG B-ORG", "B-ORG B-ORG O", 3, 2, 2),
        ("O O", "I-LOC B-LOC", 0, 2, 0),
    ],
)
def test_phrases_by_hand_as_conllevals_rules_count_them(gold, said, phrases, found, correct):
    (row,) = to_samples([gold.split()], [said.split()], TYPES).reshape(1, len(TYPES), -1)
    right = np.diagonal(row[:, 4:]).sum()
    assert (row[:, 0].sum(), row[:, 1].sum(), right) == (phrases, found, correct)
    for side, count in ((gold, phrases), (said, found)):
        assert len(chunks(side.split())) == count


@pytest.mark.parametrize(
    ("gold", "said", "precision", "recall"),
    [
        ("B-PER I-PER O", "B-PER I-PER O", 1, 1),
        ("B-PER I-PER O", "I-PER I-PER O", 1, 1),  # an I- may begin a chunk
        ("B-PER I-PER O", "B-PER O O", 0, 0),  # half a chunk is none
        ("B-PER I-PER O", "B-ORG I-ORG O", 0, 0),
        ("B-PER I-PER O", "B-PER I-ORG O", 0, 0),  # a type that changes ends a chunk: two were found
        ("B-PER B-PER O", "B-PER I-PER O", 0, 0),
        ("B-PER B-PER O", "B-PER B-PER I-PER", 1 / 2, 1 / 2),
        ("B-PER O B-LOC", "B-PER O O", 1, 1 / 2),
        ("O O O", "B-PER O O", 0, 0),
    ],
)
def test_cases_by_hand(gold, said, precision, recall):
    found = scores([(gold, said)])
    assert (found["precision"], found["recall"]) == (precision, recall)


def test_a_sentence_ends_what_stands_at_its_end():
    assert scores([("B-PER", "B-PER"), ("I-PER O", "I-PER O")])["f1"] == 1.0
    assert to_samples([["B-PER"], ["B-PER"]], [["B-PER"], ["I-PER"]], ("PER",))[:, 4].tolist() == [1, 1]


def test_shares_of_totals_are_those_that_conlleval_prints():
    """Its page shows 459 phrases, 539 found, 371 correct: precision 68.83 %, recall 80.83 %, FB1 74.35.

    No sequence is read here: that those are read as conlleval reads them, the cases above show.
    """
    samples = np.array([[459.0, 539.0, 539.0, 371.0, 371.0]])
    found = weighted_metrics(samples, np.ones((1, 1)), ("NP",), ("NP",))
    assert [round(100 * found[name][0], 2) for name in ("precision", "recall", "f1")] == [68.83, 80.83, 74.35]


# ------------------------------------------------------------------------------------------------------ critical types


PAIRS = [
    ("B-PER I-PER O B-ORG", "B-PER I-PER O B-LOC"),  # ORG: boundaries right, type wrong
    ("B-LOC O B-PER O", "O O B-PER I-PER"),  # LOC missed, PER too long
    ("B-ORG O O O", "B-ORG O B-PER O"),  # a PER made up
]


def test_critical_scores_by_hand():
    found = scores(PAIRS, ["PER", "ORG"])  # gold: 2 PER, 2 ORG; said: 3 PER, 1 ORG; right: 1 PER, 1 ORG
    assert found["recall_critical"] == found["coverage"] == 2 / 4
    assert found["precision_critical"] == 2 / 4
    assert found["f1_critical"] == 2 / 4
    assert found["coverage_blind"] == 3 / 4
    assert found["recall"] == 2 / 5
    assert scores(PAIRS, ["ORG"])["coverage_blind"] == 1.0
    assert scores(PAIRS, ["ORG"])["coverage"] == 0.5


def test_the_order_of_critical_types_means_nothing_and_none_counts_twice():
    one, other = (task(critical=order) for order in (["PER", "LOC"], ["LOC", "PER"]))
    assert one.params == other.params
    assert ConllParams().critical == sorted(ConllParams().critical)
    assert ConllParams(critical=["PER", "ORG"]).model_dump(exclude_defaults=True) == {}
    with pytest.raises(ValidationError, match=r"critical\n.*'PER' stands there twice. Name every type once"):
        task(critical=["PER", "ORG", "PER"])


def test_no_critical_types_are_all_types():
    every, none = scores(PAIRS, TYPES), scores(PAIRS)
    assert every == none
    assert none["f1_critical"] == none["f1"]
    assert task().critical(LABELS) == (-1, 0, 0, 1, 1, 2, 2)
    assert task(critical=["LOC", "PER"]).critical(LABELS) == (-1, 1, 1, -1, -1, 0, 0)


def test_an_unknown_critical_type_is_named_wherever_it_matters():
    made = task(critical=["PERS"])
    for call in (
        lambda: made.critical(LABELS),
        lambda: made.samples([example("O")], [logits("O")], LABELS),
        lambda: made.metrics(np.zeros((1, 21)), np.ones((1, 1)), LABELS),
        lambda: made.answer(example("O"), logits("O"), LABELS),
    ):
        with pytest.raises(StageError, match=r"no type 'PERS'. Did you mean 'PER'\? Its types: 'LOC', 'ORG', 'PER'"):
            call()


def test_items_are_found_where_their_span_and_type_are():
    made = task(critical=["PER", "ORG"])
    examples = [example(gold, i) for i, (gold, _) in enumerate(PAIRS)]
    items = made.items(examples)
    assert [(i["example"], i["start"], i["end"], i["type"], i["text"]) for i in items] == [
        ("e0", 0, 5, "PER", "w0 w1"), ("e0", 9, 11, "ORG", "w3"), ("e1", 6, 8, "PER", "w2"), ("e2", 0, 2, "ORG", "w0"),
    ]  # fmt: skip
    assert items[1]["context"] == "w0 w1 w2 w3"
    found = made.found(examples, [logits(said) for _, said in PAIRS], LABELS)
    assert found.dtype == bool
    assert found.tolist() == [True, False, False, True]
    assert found.mean() == scores(PAIRS, ["PER", "ORG"])["coverage"]


def test_found_counts_what_coverage_counts():
    pairs = [(" ".join(a), " ".join(b)) for a, b in drawn(200, 7)]
    made = task(critical=["PER", "LOC"])
    examples = [example(gold, i) for i, (gold, _) in enumerate(pairs)]
    found = made.found(examples, [logits(said) for _, said in pairs], LABELS)
    assert len(found) == len(made.items(examples))
    assert found.mean() == pytest.approx(scores(pairs, ["PER", "LOC"])["coverage"])


def test_contexts_are_short():
    long = {
        "id": "a",
        "text": "x" * 500 + " Ann " + "y" * 500,
        "words": [[0, 500], [501, 504], [505, 1005]],
        "tags": ["O", "B-PER", "O"],
    }
    (item,) = task().items([long])
    assert item["context"] == "x" * 59 + " Ann " + "y" * 59


# -------------------------------------------------------------------------------------------------- samples, weights


def test_the_metrics_are_the_declared_ones():
    assert list(scores(PAIRS)) == [metric.name for metric in _METRICS]


def test_weights_count_sentences_as_often_as_they_say():
    pairs = [(" ".join(a), " ".join(b)) for a, b in drawn(12, 3)]
    made = task(critical=["PER"])
    samples = made.samples([example(gold) for gold, _ in pairs], [logits(said) for _, said in pairs], LABELS)
    weights = np.random.default_rng(0).integers(0, 4, (5, 12))
    found = made.metrics(samples, weights, LABELS)
    for row, counts in enumerate(weights):
        repeated = [pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)]
        expected = scores(repeated, ["PER"])
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected)


def test_details_show_which_types_are_taken_for_which():
    pairs = PAIRS
    samples = to_samples([a.split() for a, _ in pairs], [b.split() for _, b in pairs], TYPES)
    details = task(critical=["ORG"]).details(samples, LABELS)
    assert details["classes"] == [*TYPES, NO_SPAN]
    assert details["confusion"] == [[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 1], [2, 0, 0, 0]]
    assert [details["per_class"][name]["critical"] for name in TYPES] == ["no", "yes", "no"]
    assert details["per_class"]["PER"] == {"precision": 1 / 3, "recall": 0.5, "f1": 0.4, "support": 2, "critical": "no"}


def test_chance_is_the_best_constant_answer():
    gold = [tags.split() for tags in ("B-PER I-PER O", "B-ORG O B-ORG", "B-LOC")]
    assert constant_f1(gold) == 2 * 2 / (7 + 4)
    assert constant_f1([["B-PER", "I-PER"]]) == 0.0
    every_word = [["B-ORG"] * len(tags) for tags in gold]
    samples = to_samples(gold, every_word, TYPES)
    assert weighted_metrics(samples, np.ones((1, 3)), TYPES, TYPES)["f1"][0] == constant_f1(gold)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([np.zeros((2, 7))], r"1 of 1 outputs do not fit: \(2, 7\) for 3 words of 7 classes"),
        ([np.zeros((3, 6))], r"\(3, 6\) for 3 words of 7 classes"),
        ([np.full((3, 7), np.nan)], r"not finite: the model diverged"),
    ],
)
def test_outputs_that_do_not_fit_are_an_error(outputs, said):
    with pytest.raises(StageError, match=said):
        predicted_tags(outputs, [3], LABELS)


def test_examples_without_tags_and_tags_that_a_model_lacks_are_errors():
    bare = {key: value for key, value in example("O").items() if key != "tags"}
    with pytest.raises(StageError, match=r"1 of 1 examples have no tags \('e0', …\)"):
        task().samples([bare], [logits("O")], LABELS)
    with pytest.raises(StageError, match=r"example 'e0' has the tags 'B-MISC', the model knows"):
        task().target(example("B-MISC"), LABELS)


# ------------------------------------------------------------------------------------------------------------- answers


def test_an_answer_has_places_types_confidence_and_what_is_critical():
    said = task(critical=["ORG"]).answer(example("O O O O"), logits("B-PER I-PER O B-ORG"), LABELS)
    sure, unsure = np.exp(5.0), 1.0
    share = (sure + unsure) / (sure + 6 * unsure)  # B- and I- of the type
    assert said["text"] == "w0 w1 w2 w3"
    assert said["entities"] == [
        {"start": 0, "end": 5, "type": "PER", "text": "w0 w1", "score": pytest.approx(share), "critical": False},
        {"start": 9, "end": 11, "type": "ORG", "text": "w3", "score": pytest.approx(share), "critical": True},
    ]


def test_texts_that_nobody_cut_are_cut_into_words():
    made = task()
    bare = {"id": "0", "text": "Anna,  sang"}
    assert made.input(bare) == ["Anna", ",", "sang"]
    (entity,) = made.answer(bare, logits("B-PER O O"), LABELS)["entities"]
    assert (entity["start"], entity["end"], entity["text"]) == (0, 4, "Anna")
    assert made.answer({"id": "1", "text": " "}, np.zeros((0, 7), dtype=np.float32), LABELS) == {
        "text": " ",
        "entities": [],
    }
