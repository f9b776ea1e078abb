"""Layers of BILOU tags: encoding, decoding against every legal path, what a layer cannot hold."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nested_helpers import logits

from harness import StageError
from harness_ner.bilou import CLASSES, decode, encode, labels_of, mentions, shares, types_of

TYPES = ("A", "B")
LEGAL = {"": "OBU", "O": "OBU", "L": "OBU", "U": "OBU", "B": "IL", "I": "IL"}


def words_of(count: int) -> list[list[int]]:
    """Words of two characters with a space between them."""
    return [[3 * i, 3 * i + 2] for i in range(count)]


def encoded(count: int, *entities) -> tuple[list[str], list[str]]:
    """(the layers as strings, one for each type; what became of the mentions)."""
    words = words_of(count)
    layers, fates = encode(words, 3 * count - 1, entities, TYPES)
    return ["".join(CLASSES[tag] for tag in layer) for layer in layers.T], fates


@functools.cache
def beginnings(count: int) -> list[str]:
    return [path + tag for path in beginnings(count - 1) for tag in LEGAL[path[-1:]]] if count else [""]


@functools.cache
def legal_paths(count: int) -> list[str]:
    return [path for path in beginnings(count) if path[-1] in "OLU"]


# ---------------------------------------------------------------------------------------------------------- encoding


def test_types_have_layers_of_their_own():
    layers, fates = encoded(5, (0, 14, "A"), (0, 2, "B"), (6, 11, "B"))
    assert layers == ["BIIIL", "UOBLO"]
    assert fates == ["kept"] * 3


@pytest.mark.parametrize(
    ("entity", "fate"),
    [
        ((0, 5, "A"), "nested_in_its_type"),
        ((3, 8, "A"), "nested_in_its_type"),
        ((6, 11, "A"), "crosses_its_type"),
        ((9, 11, "A"), "kept"),
        ((6, 11, "B"), "kept"),
        ((10, 14, "B"), "cuts_word"),
        ((9, 13, "B"), "cuts_word"),
        ((12, 20, "B"), "crosses_border"),
        ((-3, 2, "B"), "crosses_border"),
        ((2, 5, "B"), "cuts_word"),
    ],
)
def test_what_a_layer_cannot_hold(entity, fate):
    layers, fates = encoded(5, entity, (0, 8, "A"))
    assert fates == [fate, "kept"]
    assert layers[0][:3] == "BIL"
    assert (set(layers[1]) == {"O"}) == (entity[2] == "A" or fate != "kept")


def test_longest_first_and_of_equally_long_ones_the_first():
    assert encoded(4, (3, 8, "A"), (0, 5, "A"))[0][0] == "BLOO"
    assert encoded(4, (0, 5, "A"), (3, 11, "A"))[0][0] == "OBIL"


def test_labels_are_columns_of_types():
    assert labels_of(["AGE"]) == ("AGE:O", "AGE:B", "AGE:I", "AGE:L", "AGE:U")
    assert types_of(labels_of(["X:Y", "AGE"])) == ("X:Y", "AGE")
    with pytest.raises(StageError, match="five of each type"):
        types_of(("O", "B-PER"))


# ---------------------------------------------------------------------------------------------------------- decoding


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 10_000), st.booleans())
def test_decoding_finds_the_best_of_all_legal_paths(count, types, seed, ties):
    random = np.random.default_rng(seed)
    output = random.integers(-2, 3, (count, 5 * types)) if ties else random.normal(size=(count, 5 * types))
    (layers,) = decode([output.astype(np.float32)])
    table = output.reshape(count, types, 5)
    log_probabilities = table - np.log(np.exp(table).sum(axis=-1, keepdims=True))
    paths = legal_paths(count)
    for kind in range(types):
        scores = {p: sum(log_probabilities[i, kind, CLASSES.index(c)] for i, c in enumerate(p)) for p in paths}
        said = "".join(CLASSES[tag] for tag in layers[:, kind])
        assert said in scores
        assert scores[said] == pytest.approx(max(scores.values()))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=150), st.integers(0, 1000))
def test_texts_are_decoded_as_if_alone(lengths, seed):
    random = np.random.default_rng(seed)
    outputs = [random.normal(size=(count, 10)) for count in lengths]
    together = decode(outputs)
    assert [len(layers) for layers in together] == lengths
    for number in (0, len(lengths) // 2, len(lengths) - 1):
        assert np.array_equal(together[number], decode([outputs[number]])[0])


def test_what_is_no_mention_of_anything_stays_so():
    assert decode([np.zeros((3, 10))])[0].tolist() == [[0, 0]] * 3
    assert decode([]) == []
    assert mentions(decode([np.zeros((0, 10))])[0]) == []


def test_an_open_mention_is_closed_or_was_none():
    output = np.zeros((2, 5))
    output[1, 1] = 3.0  # B at the end of the text
    assert decode([output])[0].ravel().tolist() == [0, 0]
    output[0, 2] = 9.0  # I at the beginning of it
    assert 2 not in decode([output])[0]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mentions_come_back(data):
    count = data.draw(st.integers(1, 8))
    pairs = [(a, b, t) for a in range(count) for b in range(a, count) for t in TYPES]
    drawn = data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=8))
    words = words_of(count)
    entities = [(words[a][0], words[b][1], t) for a, b, t in drawn]
    layers, fates = encode(words, 3 * count, entities, TYPES)
    assert {"".join(CLASSES[tag] for tag in layer) for layer in layers.T} <= set(legal_paths(count))
    (decoded,) = decode([logits(layers)])
    assert np.array_equal(decoded, layers)
    found = {(words[first][0], words[last - 1][1], TYPES[kind]) for first, last, kind in mentions(decoded)}
    assert found == {entity for entity, fate in zip(entities, fates, strict=True) if fate == "kept"}


def test_shares_are_the_probabilities_of_being_inside():
    output = np.log(np.array([[0.5, 0.2, 0.1, 0.1, 0.1, 0.9, 0.025, 0.025, 0.025, 0.025]])) + 700
    assert shares(output) == pytest.approx(np.array([[0.5, 0.1]]))
