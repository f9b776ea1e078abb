"""Questions and contexts as windows: what tokenizers do around pairs, where tokens stand, how windows overlap."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from harness import AssetError, StageError
from harness.text import TokenizerEncoder, load_encoder, read_frame, save_encoder, train_wordpiece

TEXTS = ["как растут деревья в саду", "что стоит у реки", "зелёные деревья растут у большой реки и в саду"] * 5
PAD = {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0}


@pytest.fixture(scope="module")
def wordpiece() -> Tokenizer:
    return train_wordpiece(TEXTS, 200)


def byte_level() -> Tokenizer:
    """A tokenizer of RoBERTa's kind: bytes, spaces inside tokens, two separators between a pair, no token types."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: at for at, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def encoder(tokenizer, max_length=16, stride=4, pad=PAD):
    return TokenizerEncoder(tokenizer, pad, max_length, 1, stride)


def test_a_pair_is_framed_as_its_tokenizer_frames_it(wordpiece):
    question, context = TEXTS[:2]
    whole = wordpiece.encode(question, context)
    (window,) = encoder(wordpiece, 64).encode([(question, context)], "span")
    assert window.arrays["input_ids"].tolist() == whole.ids
    assert window.arrays["token_type_ids"].tolist() == whole.type_ids
    assert window.arrays["attention_mask"].tolist() == [1] * len(whole.ids)
    places = [
        list(place) if text == 1 else [-1, -1] for place, text in zip(whole.offsets, whole.sequence_ids, strict=True)
    ]
    assert window.places.tolist() == places


def test_two_separators_and_spaces_inside_tokens():
    tokenizer = byte_level()
    frame = read_frame(tokenizer)
    assert (frame.before.tolist(), frame.between.tolist(), frame.after.tolist()) == ([0], [2, 2], [2])
    (window,) = encoder(tokenizer, 64, pad={"input_ids": 1, "attention_mask": 0}).encode([("a", "b  cd")], "span")
    inside = window.places[window.places[:, 0] >= 0]
    assert [tuple(place) for place in inside] == [(0, 1), (3, 4), (4, 5)]  # a space of its own is no place


def test_windows_are_those_of_the_usual_preprocessing(wordpiece):
    """Same ids and places as `only_second` truncation with a stride, for every window."""
    context = " ".join(TEXTS[:3] * 3)
    windows = encoder(wordpiece, 24, 6).encode([(TEXTS[0], context), (TEXTS[1], context)], "span")
    wordpiece.enable_truncation(24, stride=6, strategy="only_second")
    whole = [wordpiece.encode(question, context) for question in TEXTS[:2]]
    usual = [one for encoding in whole for one in (encoding, *encoding.overflowing)]
    wordpiece.no_truncation()
    assert len(windows) == len(usual) > 4
    for window, one in zip(windows, usual, strict=True):
        assert window.arrays["input_ids"].tolist() == one.ids
        assert window.length == len(one.ids) <= 24
    assert [window.example for window in windows] == sorted(window.example for window in windows)


def test_every_token_of_a_context_is_in_some_window_and_neighbours_share_the_stride(wordpiece):
    context = " ".join(TEXTS)
    windows = encoder(wordpiece, 20, 5).encode([("что", context)], "span")
    tokens = [[tuple(p) for p in window.places if p[0] >= 0] for window in windows]
    wordpiece.no_truncation()
    whole = wordpiece.encode(context, add_special_tokens=False).offsets
    assert {place for window in tokens for place in window} == set(whole)
    assert all(one[-5:] == two[:5] for one, two in pairwise(tokens))


def test_a_question_longer_than_a_window_leaves_half_of_it_to_the_context(wordpiece):
    windows = encoder(wordpiece, 16, 4).encode([(" ".join(TEXTS), "у реки стоит что")], "span")
    assert all(window.length <= 16 for window in windows)
    assert all((window.places[:, 0] >= 0).any() for window in windows)
    assert all(window.cut for window in windows)
    assert not any(window.cut for window in encoder(wordpiece, 16, 4).encode([("что", "у реки")], "span"))
    assert [one.cut for one in encoder(wordpiece, 16).encode([" ".join(TEXTS), "река"], "sequence")] == [True, False]


def test_a_window_without_room_is_said(wordpiece):
    with pytest.raises(StageError, match="max_length = 6 has no room"):
        encoder(wordpiece, 6).encode([(TEXTS[0], TEXTS[1])], "span")


@pytest.mark.parametrize(("question", "context"), [("", "у реки"), ("что", ""), ("", ""), ("что", "   "), ("☃", "☃ ☃")])
def test_empty_texts_are_windows(wordpiece, question, context):
    windows = encoder(wordpiece).encode([(question, context)], "span")
    assert len(windows) == 1
    assert windows[0].length >= 3


def test_marks_that_count_in_offsets_keep_places_right(wordpiece):
    """A byte order mark, combining accents and zero-width spaces stand in real contexts and count in real offsets."""
    context = "\ufeffбо\u0301льшая река\u200b и сад\u00a0у реки"
    (window,) = encoder(wordpiece, 64).encode([("что", context)], "span")
    words = {context[begin:end] for begin, end in window.places if begin >= 0}
    pieces = "".join(context[begin:end] for begin, end in window.places if begin >= 0)
    assert {"река" in pieces, "сад" in pieces} == {True}
    assert not any(word != word.strip() or "\ufeff" in word for word in words)


def test_texts_and_pairs_do_not_disturb_each_other(wordpiece):
    both = encoder(wordpiece, 12, 3)
    before = both.encode([TEXTS[2]], "sequence")[0].arrays["input_ids"].tolist()
    both.encode([(TEXTS[0], " ".join(TEXTS))], "span")
    assert both.encode([TEXTS[2]], "sequence")[0].arrays["input_ids"].tolist() == before
    assert len(before) <= 12


def test_settings_survive_the_disk(tmp_path, wordpiece):
    save_encoder(tmp_path, wordpiece, 20, doc_stride=5, token_types=True)
    pairs = [(TEXTS[0], " ".join(TEXTS))]
    ours, kept = encoder(wordpiece, 20, 5).encode(pairs, "span"), load_encoder(tmp_path).encode(pairs, "span")
    assert [window.arrays["input_ids"].tolist() for window in ours] == [w.arrays["input_ids"].tolist() for w in kept]
    assert "token_type_ids" in kept[0].arrays


def test_a_tokenizer_without_a_null_position_is_refused():
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))  # noqa: S106
    with pytest.raises(AssetError, match="no special token before a pair"):
        read_frame(tokenizer)


def test_another_head_is_refused(wordpiece):
    with pytest.raises(StageError, match="knows no head 'pixels'"):
        encoder(wordpiece).encode(["a"], "pixels")


DATA = os.environ.get("HARNESS_DATA_DIR")


@pytest.mark.skipif(not DATA, reason="HARNESS_DATA_DIR is not set: no real questions here")
@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_real_answer_is_cut_out_by_tokens(language):
    """With the real vocabulary every answer of XQuAD begins with a token and ends with one."""
    from harness.text import read_tokenizer

    tokenizer = read_tokenizer(Path(DATA) / "vocabs" / "ruBert.vocab.txt", lowercase=False)
    document = json.loads((Path(DATA) / "xquad" / f"xquad.{language}.json").read_text(encoding="utf-8"))
    asked = [(q, p["context"]) for a in document["data"] for p in a["paragraphs"] for q in p["qas"]]
    windows = encoder(tokenizer, 384, 128).encode([(q["question"], context) for q, context in asked], "span")
    found = np.zeros(len(asked), dtype=bool)
    for window in windows:
        answer = asked[window.example][0]["answers"][0]
        begin, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
        found[window.example] |= (window.places[:, 0] == begin).any() and (window.places[:, 1] == end).any()
    assert found.mean() > 0.99
