"""The token head: words, windows and teachers of another tokenizer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from harness import StageError
from harness.data import Predictions, read_predictions, write_predictions, write_states
from harness.heads import UNLABELLED, rules
from harness.heads.token import stretches, word_numbers
from harness.text import TokenizerEncoder, train_wordpiece

TOKEN = rules("token")
TEXTS = ["Anna Petrova lives in Tver .", "The Volga Bank of Samara opened in 1996 .", "U.S. beats Peru 2-0"]
WORDS = [text.split() for text in TEXTS]
PAD = {"input_ids": 0, "attention_mask": 0}


@pytest.fixture(scope="module")
def wordpiece() -> Tokenizer:
    return train_wordpiece(TEXTS * 5, 90)


@pytest.fixture(scope="module")
def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>", "<unk>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXTS * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tokenizer


def encoder(tokenizer: Tokenizer, max_length: int = 64) -> TokenizerEncoder:
    return TokenizerEncoder(tokenizer, PAD, max_length, 1)


# ---------------------------------------------------------------------------------------------------------- encoding


def test_each_word_stands_at_its_first_token(wordpiece):
    for words, window in zip(WORDS, encoder(wordpiece).encode(WORDS, "token"), strict=True):
        ids = window.arrays["input_ids"]
        tokens = [wordpiece.id_to_token(int(i)) for i in ids]
        assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
        at = [int(np.flatnonzero(window.places == number)[0]) for number in range(len(words))]
        assert at == sorted(at)
        for begin, end, word in zip(at, [*at[1:], len(ids) - 1], words, strict=True):
            assert "".join(token.removeprefix("##") for token in tokens[begin:end]) == word.lower()


def test_words_are_read_as_the_tokenizer_reads_their_text(wordpiece, byte_level):
    for tokenizer in (wordpiece, byte_level):
        windows = encoder(tokenizer).encode(WORDS, "token")
        assert [w.arrays["input_ids"].tolist() for w in windows] == [tokenizer.encode(text).ids for text in TEXTS]


def test_bytes_of_a_space_belong_to_the_word_after_it(byte_level):
    window = encoder(byte_level).encode([["a", "Tver", "Tver"]], "token")[0]
    tokens = [byte_level.id_to_token(int(i)) for i in window.arrays["input_ids"][window.places >= 0]]
    assert tokens[0] == "a"
    assert tokens[1].startswith("Ġ")
    assert tokens[2].startswith("Ġ")


def test_a_word_that_gives_no_token_is_the_unknown_one(wordpiece):
    window = encoder(wordpiece).encode([["\u200b", "in", "\u200b\u200b", "Tver", "\u00ad"]], "token")[0]
    assert word_numbers(window).tolist() == [0, 1, 2, 3, 4]
    unknown = window.arrays["input_ids"] == 1
    assert unknown[window.places == 0].all()
    assert unknown[window.places == 2].all()
    assert unknown[window.places == 4].all()


def test_no_words_are_one_window_without_any(wordpiece):
    window = encoder(wordpiece).encode([[]], "token")[0]
    assert window.length == 2
    said = TOKEN.read([window], {"logits": np.zeros((1, 2, 3), np.float32)})
    assert TOKEN.join([window], said, 1)[0].shape == (0, 3)


def test_windows_without_room_are_said(wordpiece):
    with pytest.raises(StageError, match="max_length = 2 has no room for a word"):
        encoder(wordpiece, 2).encode(WORDS, "token")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 24))
def test_every_word_is_answered_for_once_where_it_sees_most(lengths, room):
    found = stretches(lengths, room)
    assert [word for _, _, own, end in found for word in range(own, end)] == list(range(len(lengths)))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    poorer = [
        {word: min(ends[word] - ends[first], ends[last] - ends[word + 1]) for word in range(first, last)}
        for first, last, _, _ in found
    ]
    for at, (first, last, own, end) in enumerate(found):
        assert ends[last] - ends[first] <= room or last - first == 1
        for word in range(own, end):
            others = [one[word] for one in (*poorer[max(0, at - 1) : at], *poorer[at + 1 : at + 2]) if word in one]
            assert all(poorer[at][word] >= other for other in others)


def test_a_long_text_is_cut_and_joined_without_loss(wordpiece):
    words = [f"{word}{n}" for n in range(30) for word in ("Anna", "Tver")]
    windows = encoder(wordpiece, 16).encode([words, ["Peru"]], "token")
    assert len(windows) > 5
    assert max(window.length for window in windows) <= 16
    assert not any(window.cut for window in windows)
    said = [word_numbers(w)[:, None].astype(np.float32) + 100 * (w.example or 0) for w in windows]
    joined = TOKEN.join(windows, said, 2)
    assert joined[0][:, 0].tolist() == list(range(60))
    assert joined[1].tolist() == [[100]]


def test_every_window_answers_for_some_word(byte_level):
    rng = np.random.default_rng(0)
    texts = [["ab" * int(rng.integers(1, 30)) for _ in range(int(rng.integers(1, 12)))] for _ in range(60)]
    windows = encoder(byte_level, 14).encode(texts, "token")
    assert all(len(word_numbers(window)) for window in windows)
    joined = TOKEN.join(windows, [word_numbers(w)[:, None] for w in windows], len(texts))
    assert [one[:, 0].tolist() for one in joined] == [list(range(len(words))) for words in texts]


def test_states_that_half_precision_cannot_hold_are_refused(tmp_path):
    write_predictions(tmp_path / "p", ["a"], [np.zeros((2, 3), np.float32)])
    assert write_states(tmp_path / "p", 1, [np.full((2, 4), 3.14159)]) < 1e-3
    for bad in (70_000.0, np.nan):
        with pytest.raises(StageError, match="layer 2 reach .* choose another layer"):
            write_states(tmp_path / "p", 2, [np.full((2, 4), bad)])


def test_a_word_longer_than_a_window_is_cut_and_says_so(byte_level):
    windows = encoder(byte_level, 8).encode([["in", "ab" * 40, "Tver"]], "token")
    assert [word_numbers(w).tolist() for w in windows] == [[0], [1], [2]]
    assert [w.cut for w in windows] == [False, True, False]
    assert max(w.length for w in windows) <= 8


# ------------------------------------------------------------------------------------------------ targets and lessons


def test_targets_follow_their_words_into_windows(wordpiece):
    words = [f"Anna{n}" for n in range(20)]
    windows = encoder(wordpiece, 12).encode([words, ["Peru", "in"]], "token")
    targets = TOKEN.targets(windows, [list(range(20)), None])
    for window, row in zip(windows, targets, strict=True):
        wanted = word_numbers(window).tolist() if window.example == 0 else [UNLABELLED] * 2
        assert row[: len(wanted)].tolist() == wanted
        assert (row[len(wanted) :] == UNLABELLED).all()


def answer_of(windows, classes=4):
    longest = max(window.length for window in windows)
    made = torch.arange(len(windows) * longest * classes, dtype=torch.float32)
    return SimpleNamespace(logits=made.view(len(windows), longest, classes))


def test_a_batch_is_the_words_of_its_windows(wordpiece):
    windows = encoder(wordpiece).encode(WORDS, "token")
    targets = TOKEN.targets(windows, [[1] * len(words) for words in WORDS])
    answer = answer_of(windows)
    batch = TOKEN.batch(answer, windows, targets, [], torch.from_numpy)
    count = sum(map(len, WORDS))
    assert batch.logits.shape == (count, 4)
    assert batch.targets.tolist() == [1] * count
    wanted = torch.cat(
        [answer.logits[row, torch.from_numpy(w.places >= 0).nonzero()[:, 0]] for row, w in enumerate(windows)]
    )
    assert torch.equal(batch.logits, wanted)
    read = TOKEN.read(windows, {"logits": answer.logits.numpy()})
    assert np.array_equal(np.concatenate(read), wanted.numpy())


def test_a_teacher_with_another_tokenizer_teaches_the_same_words(wordpiece, byte_level, tmp_path):
    teacher, student = encoder(byte_level, 8).encode(WORDS, "token"), encoder(wordpiece).encode(WORDS, "token")
    assert len(teacher) > len(student)
    numbers = [word_numbers(w)[:, None] + 10.0 * (w.example or 0) for w in teacher]
    stored = TOKEN.join(teacher, [n.astype(np.float32) for n in numbers], 3)
    write_predictions(tmp_path / "p", ["a", "b", "c"], stored)
    predictions = read_predictions(tmp_path / "p", [{"id": "a"}, {"id": "b"}, {"id": "c"}])
    assert [one.tolist() for one in predictions.per_example()] == [one.tolist() for one in stored]
    lesson = TOKEN.lesson(predictions, student)(np.array([2, 0]))
    assert lesson[:, 0].tolist() == [20.0, 21, 22, 23, 0, 1, 2, 3, 4, 5]
    assert lesson.dtype == np.float32


def test_predictions_about_examples_teach_no_words(wordpiece):
    whole = Predictions(("a",), np.zeros((1, 3), np.float32))
    with pytest.raises(StageError, match="about whole examples"):
        TOKEN.lesson(whole, encoder(wordpiece).encode(WORDS[:1], "token"))


def test_answers_that_are_no_numbers_are_refused(wordpiece):
    windows = encoder(wordpiece).encode(WORDS[:1], "token")
    broken = np.zeros((1, windows[0].length, 3), np.float32)
    broken[0, 0] = np.nan  # at [CLS], which nobody reads
    assert np.isfinite(TOKEN.read(windows, {"logits": broken})[0]).all()
    broken[0, 1] = np.inf
    with pytest.raises(StageError, match="not finite"):
        TOKEN.read(windows, {"logits": broken})


# ------------------------------------------------------------------------------------------------------------- nested

NESTED = rules("nested-token")
TYPES = 3


def layers(words, base=0):
    """A class for every type of every word, by their numbers."""
    return [[(base + word + kind) % 5 for kind in range(TYPES)] for word in range(len(words))]


def test_every_type_of_every_word_is_a_unit(wordpiece):
    windows = encoder(wordpiece, 12).encode(WORDS, "nested-token")
    assert len(windows) > len(WORDS)
    wanted = [layers(words) for words in WORDS]
    targets = NESTED.targets(windows, wanted)
    answer = answer_of(windows, classes=5 * TYPES)
    batch = NESTED.batch(answer, windows, targets, [], torch.from_numpy)
    assert batch.logits.shape == (sum(map(len, WORDS)) * TYPES, 5)
    in_order = [wanted[w.example][number] for w in windows for number in word_numbers(w)]
    assert batch.targets.tolist() == [kind for word in in_order for kind in word]
    assert batch.layers == TYPES
    mentions = [[[0, 1, 0], [0, 2, 0]], [[0, 0, 0]], None]
    few = encoder(wordpiece).encode([["a", "b"], ["a"], ["b"]], "nested-token")
    assert NESTED.kinds(NESTED.targets(few, mentions)).tolist() == [[False, True, False], [False] * 3, [False] * 3]
    said = NESTED.read(windows, {"logits": answer.logits.numpy()})
    assert np.array_equal(np.concatenate(said).reshape(-1, 5), batch.logits.numpy())


def test_a_teacher_of_layers_reaches_its_words(wordpiece, byte_level):
    teacher, student = (
        encoder(byte_level, 9).encode(WORDS, "nested-token"),
        encoder(wordpiece).encode(WORDS, "nested-token"),
    )
    numbered = [np.arange(5 * TYPES)[None] + 100.0 * word_numbers(w)[:, None] + 1e4 * w.example for w in teacher]
    stored = NESTED.join(teacher, [n.astype(np.float32) for n in numbered], 3)
    offsets = np.cumsum([0, *map(len, stored)])
    lesson = NESTED.lesson(Predictions(("a", "b", "c"), np.concatenate(stored), offsets), student)
    targets = NESTED.targets(student, [None] * 3)[[1, 0]]
    batch = NESTED.batch(
        answer_of(student[1::-1], 5 * TYPES), student[1::-1], targets, [lesson(np.array([1, 0]))], torch.from_numpy
    )
    assert batch.teachers[0].shape == batch.logits.shape
    assert batch.teachers[0][:TYPES, 0].tolist() == [1e4, 1e4 + 5, 1e4 + 10]
    assert batch.teachers[0][len(WORDS[1]) * TYPES].tolist() == [0.0, 1, 2, 3, 4]
    assert (batch.targets == UNLABELLED).all()
