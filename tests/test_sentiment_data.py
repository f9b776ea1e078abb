"""The bundled reviews: what the generator writes, whole, varied, and neither trivial nor hopeless."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier

from harness import Source
from harness_sentiment.generate import DATA, SIZES, files
from harness_sentiment.lexicon import DOMAINS
from harness_sentiment.phrases import BALANCING, OVERTURNING, SERVICE, SETTING_ASIDE
from harness_sentiment.plugin import RuReviewsParams, SentimentParams
from harness_sentiment.statements import Dice, agree, decline, stems
from harness_sentiment.task import Sentiment


def prepare(name: str, params=None):
    folder = DATA / name
    source = Source("bundled", folder, tuple(sorted(path.name for path in folder.iterdir())))
    return Sentiment(params or SentimentParams()).prepare(source, ("train", "dev", "test"))


@pytest.fixture(scope="module")
def quickstart():
    return prepare("quickstart")


def test_committed_files_are_what_the_generator_writes():
    written = files()
    assert {path.relative_to(DATA).as_posix() for path in DATA.rglob("*.jsonl")} == set(written)
    for name, text in written.items():
        assert (DATA / name).read_bytes() == text.encode(), f"{name}: run python -m harness_sentiment.generate"


def test_small_enough_to_ship():
    assert sum(path.stat().st_size for path in DATA.rglob("*.jsonl")) < 1_200_000


@pytest.mark.parametrize("name", SIZES)
def test_roles_classes_and_no_duplicates(name):
    data = prepare(name)
    assert {role: len(examples) for role, examples in data.roles.items()} == SIZES[name]
    assert data.labels == ("negative", "neutral", "positive")
    assert data.facts["duplicates"]["normalised"] == 0
    assert data.facts["empty_texts"] == 0
    for examples in data.roles.values():
        counts = Counter(example["label"] for example in examples)
        assert min(counts.values()) > 0.2 * len(examples)


def test_the_sample_fits_the_published_set_and_shares_no_text_with_the_quickstart(quickstart):
    sample = prepare("sample", RuReviewsParams(dev=1500, test=3000))
    assert sample.labels == quickstart.labels
    texts = {example["text"] for examples in quickstart.roles.values() for example in examples}
    assert not texts & {example["text"] for examples in sample.roles.values() for example in examples}


def test_no_slot_is_left_open_and_spacing_is_plain():
    for name, text in files().items():
        for line in text.splitlines():
            review = json.loads(line)["text"]
            assert not re.search(r"[\[\]{}<>|]|  |^\s|\s$", review), (name, review)


@pytest.mark.parametrize(
    ("adjective", "forms"),
    [
        ("мягкий", "мягкий мягкая мягкое мягкие"),
        ("колючий", "колючий колючая колючее колючие"),
        ("хороший", "хороший хорошая хорошее хорошие"),
        ("плохой", "плохой плохая плохое плохие"),
        ("яркий", "яркий яркая яркое яркие"),
        ("ровный", "ровный ровная ровное ровные"),
        ("средний", "средний средняя среднее средние"),
    ],
)
def test_adjectives_agree(adjective, forms):
    assert [decline(adjective, gender) for gender in "mfnp"] == forms.split()


def test_every_adjective_of_the_lexicon_can_be_declined():
    aspects = [*SERVICE, *(aspect for domain in DOMAINS for aspect in domain.aspects)]
    words = {word for aspect in aspects for group in aspect.adjectives.values() for word in group}
    assert all(word.endswith(("ый", "ий", "ой")) for word in words)
    soft = {word for word in words if word.endswith("ний")}
    assert soft == {"средний"}, "a soft adjective needs its own row in decline"


def test_phrases_agree_with_product_and_author():
    phrase = "<купил|купила>, [сломался|сломалась|сломалось|сломались], не [греется|греются]"
    assert agree(phrase, "f", 0) == "купил, сломалась, не греется"
    assert agree(phrase, "p", 1) == "купила, сломались, не греются"


def test_joints_name_both_statements_once():
    for phrase in (*SETTING_ASIDE[1], *SETTING_ASIDE[-1], *OVERTURNING, *BALANCING):
        assert phrase.count("{a}") == phrase.count("{b}") == 1, phrase


def test_praise_and_blame_use_the_same_words(quickstart):
    """Where words stand must matter: most frequent words occur in every class."""
    counts = {label: Counter() for label in quickstart.labels}
    for example in quickstart.roles["train"]:
        counts[example["label"]].update(stems(example["text"].lower()))
    frequent = [word for word, count in sum(counts.values(), Counter()).most_common(100) if count > 60]
    shared = [word for word in frequent if min(counts[label][word] for label in counts) >= 8]
    assert len(shared) > 0.7 * len(frequent)


def test_a_bag_of_words_neither_fails_nor_saturates(quickstart):
    texts = {role: [example["text"] for example in examples] for role, examples in quickstart.roles.items()}
    labels = {role: [example["label"] for example in examples] for role, examples in quickstart.roles.items()}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = SGDClassifier(loss="log_loss", alpha=3e-5, random_state=0).fit(
        vectorizer.fit_transform(texts["train"]), labels["train"]
    )
    accuracy = model.score(vectorizer.transform(texts["test"]), labels["test"])
    assert 0.75 < accuracy < 0.85


def test_dice_are_the_same_everywhere():
    """The stream of `random.Random.random` for this seed, as every Python 3 draws it."""
    dice = Dice(20240229)
    assert [dice.below(1000) for _ in range(5)] == [337, 18, 786, 429, 896]
