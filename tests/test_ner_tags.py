"""Schemes of tags: told apart, put into BIO2, and what is illegal in them."""

from __future__ import annotations

import random

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from harness import AssetError
from harness_ner.tags import parse, scheme_of, spans, to_bio2, types_of


def parsed(text: str):
    return [parse(tag, "a test") for tag in text.split()]


def bio2(text: str) -> tuple[str, int]:
    tags = parsed(text)
    made, illegal = to_bio2(tags, scheme_of([tags]))
    return " ".join(made), illegal


@pytest.mark.parametrize(
    ("written", "scheme", "expected", "illegal"),
    [
        ("O O", "none", "O O", 0),
        ("I-ORG O I-PER I-PER", "IOB1", "B-ORG O B-PER I-PER", 0),
        ("I-PER I-LOC B-LOC O I-ORG", "IOB1", "B-PER B-LOC B-LOC O B-ORG", 0),
        ("I-ORG I-ORG O B-PER O I-PER", "IOB1", "B-ORG I-ORG O B-PER O B-PER", 1),  # a needless B
        ("B-ORG I-ORG B-ORG O B-PER", "BIO2", "B-ORG I-ORG B-ORG O B-PER", 0),
        ("B-ORG I-PER O B-LOC O I-LOC O B-PER", "BIO2", "B-ORG B-PER O B-LOC O B-LOC O B-PER", 2),
        ("S-ORG O B-PER I-PER E-PER", "BIOES", "B-ORG O B-PER I-PER I-PER", 0),
        ("U-ORG U-ORG B-PER L-PER", "BILOU", "B-ORG B-ORG B-PER I-PER", 0),
        ("S-ORG I-ORG E-PER", "BIOES", "B-ORG B-ORG B-PER", 2),  # neither goes on
        ("B-ORG O B-PER E-PER B-LOC", "BIOES", "B-ORG O B-PER I-PER B-LOC", 2),  # two without an end
        ("B-A-1 I-A-1", "BIO2", "B-A-1 I-A-1", 0),  # a type with a hyphen
    ],
)
def test_every_scheme_becomes_bio2(written, scheme, expected, illegal):
    assert scheme_of([parsed(written)]) == scheme
    assert bio2(written) == (expected, illegal)


def test_the_scheme_is_of_the_file_and_not_of_a_sentence():
    assert scheme_of([parsed("I-PER O I-PER"), parsed("B-PER O")]) == "IOB1"
    assert scheme_of([parsed("B-PER O B-PER"), parsed("O I-PER")]) == "BIO2"


@pytest.mark.parametrize("tag", ["PER", "B", "B-", "X-PER", "PER-B", "", "b-PER", "0"])
def test_what_is_no_tag_is_named_with_its_place(tag):
    with pytest.raises(AssetError, match=r"train.txt:7: tag '.*' where 'O' or a prefix .* Set task.tag_column"):
        parse(tag, "train.txt:7")


def test_spans_are_seqevals_on_legal_and_illegal_sequences():
    dice = random.Random(11)  # noqa: S311
    tags = ["O", "O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in ("PER", "LOC-X", "B"))]
    for _ in range(2000):
        drawn = [dice.choice(tags) for _ in range(dice.randrange(12))]
        assert spans(drawn) == [(kind, first, last + 1) for kind, first, last in get_entities(drawn)]


def test_any_scheme_is_read_as_seqeval_reads_it():
    dice = random.Random(12)  # noqa: S311
    tags = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC"))]
    for _ in range(2000):
        drawn = [dice.choice(tags) for _ in range(dice.randrange(1, 10))]
        made, _ = to_bio2(parsed(" ".join(drawn)), "BIOES")
        assert spans(made) == [(kind, first, last + 1) for kind, first, last in get_entities(drawn)]


def test_putting_bio2_into_bio2_changes_nothing():
    dice = random.Random(13)  # noqa: S311
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    for _ in range(500):
        made, _ = to_bio2(parsed(" ".join(dice.choice(tags) for _ in range(8))), "BIO2")
        assert to_bio2(parsed(" ".join(made)), "BIO2") == (made, 0)


def test_types_keep_their_order():
    assert types_of(("O", "B-PER", "I-PER", "B-LOC", "I-LOC")) == ("PER", "LOC")
