"""Student `ngram`: what an n-gram is and where it is hashed to, the model, its ways through the harness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import Project
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness import BuildRequest, CompressRequest, StageError
from harness.stages.batching import collate
from harness.text import read_token_ids
from harness_ngram.encoder import PAD, NgramEncoder, hashes, load
from harness_ngram.modeling import NgramConfig, NgramForSequenceClassification
from harness_ngram.plugin import NgramParams
from harness_ngram.student import Ngram
from harness_onnx.export import OnnxExport
from harness_onnx.graph import operators
from harness_onnx.plugin import ExportParams, Int8Params
from harness_onnx.quantize import OnnxInt8
from harness_onnx.runtime import OnnxSession
from harness_torch.int8 import TorchInt8
from harness_torch.int8_format import rebuild
from harness_torch.plugin import Int8Params as TorchInt8Params
from harness_torch.runtime import TorchSession

TEXTS = ["Отличное платье, но мало!", "ужасно", "обычная кофта без затей", "👍👍", "", "a"]
SMALL = {"rows": 300, "width": 6}
WORD = 2**64


def encoder(rows: int = 2**30, words: int = 2, pieces=(2, 5), lowercase: bool = True, max_length: int = 64):
    return NgramEncoder(rows, words, pieces, lowercase, max_length)


def ids(text: str, **changes) -> list[int]:
    return encoder(**changes).encode([text], "sequence")[0].arrays["input_ids"].tolist()


def build(out: Path, seed: int = 1, max_length: int = 64, **params) -> dict:
    request = BuildRequest(
        out=out, head="sequence", labels=("bad", "good", "so-so"), params=NgramParams(**{**SMALL, **params}), seed=seed,
        max_length=max_length, assets={}, artifacts={}, texts=lambda: pytest.fail("the texts were read"),
    )  # fmt: skip
    return Ngram().build(request)


def answer(folder: Path, batch: list[str]) -> np.ndarray:
    read = load(folder)
    model = Ngram().load(folder, "sequence")
    return TorchSession(model).forward(collate(read.encode(batch, "sequence"), read.pad))["logits"]


# ---------------------------------------------------------------------------------------------------------- n-grams


def mixed(value: int) -> int:
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) % WORD
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) % WORD
    return value ^ value >> 31


STEP = 0x9E3779B97F4A7C15


def by_hand(words: list[str], most: int, shortest: int, longest: int) -> list[int]:
    """One n-gram after the other, in integers without an end."""
    single = [
        mixed(sum(mixed((ord(sign) + at * STEP) % WORD) for at, sign in enumerate(f" {word}")) % WORD) for word in words
    ]
    runs = []
    for length in range(1, most + 1):
        for start in range(len(words) - length + 1):
            value = single[start]
            for other in single[start + 1 : start + length]:
                value = mixed((value * STEP + other) % WORD)
            runs.append(value)
    pieces = []
    for length in range(shortest, longest + 1):
        for word in words:
            framed = f" {word} "
            for start in range(len(framed) - length + 1):
                value = mixed(ord(framed[start]))
                for sign in framed[start + 1 : start + length]:
                    value = mixed((value * STEP + ord(sign)) % WORD)
                pieces.append(value)
    return runs + pieces


@pytest.mark.parametrize("text", ["a", "да нет", "очень хорошее платье за свои деньги", "👍 ок"])
@pytest.mark.parametrize(("most", "pieces"), [(1, (2, 2)), (2, (2, 5)), (3, (3, 4))])
def test_hashes_by_hand(text, most, pieces):
    words = text.split()
    assert Counter(hashes(words, most, pieces).tolist()) == Counter(by_hand(words, most, *pieces))


def test_whole_words_alone_where_no_pieces_are_asked_for():
    assert len(ids("да нет да", words=1, pieces=())) == 3
    assert len(ids("да нет да", words=2, pieces=())) == 5
    assert ids("да нет", words=1, pieces=()) == ids("да нет")[:2]


def test_rows_stay_where_they_are_in_every_process_and_on_every_machine():
    code = "from harness_ngram.encoder import NgramEncoder as N; import sys; sys.stdout.write(str("
    code += "N(65536, 2, (2, 5), True, 9).encode(['Ёлка, да'], 'sequence')[0].arrays['input_ids'].tolist()))"
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    ]  # fmt: skip
    assert said[0] == said[1] == str(ids("Ёлка, да", rows=65536))
    assert ids("Ёлка, да", rows=65536)[:5] == PINNED


PINNED = [27931, 60788, 39453, 39693, 27181]


@given(st.text())
def test_any_text_has_rows_of_the_table(text):
    encoded = encoder(rows=50, max_length=5).encode([text], "sequence")[0]
    found = encoded.arrays["input_ids"]
    assert found.dtype == np.int64
    assert len(found) == encoded.length > 0
    assert found.min() > PAD
    assert found.max() < 50


def test_lone_surrogates_are_read_too():
    assert ids("\ud800 a") != ids("a")


def test_order_counts_within_a_run_and_a_word_and_nowhere_else():
    assert sorted(ids("b a c", words=1)) == sorted(ids("c a b", words=1))
    assert sorted(ids("b a")) != sorted(ids("a b"))
    assert ids("ток", words=1, pieces=()) != ids("кот", words=1, pieces=())


def test_case_and_composition_of_letters():
    assert ids("ЁЛКА") == ids("ёлка") == ids("Ёлка")
    assert ids("Ёлка", lowercase=False) != ids("ёлка", lowercase=False)


def test_different_ngrams_hardly_ever_meet():
    words = [f"{a}{b}{c}" for a in "абвгдежзик" for b in "лмнопрстуф" for c in "хцчшщъыьэю"]
    found = hashes(words, 2, (4, 5))
    once = {hash_ for hash_, _ in Counter(found.tolist()).items()}
    pieces = {f" {w} "[at : at + n] for w in words for n in (4, 5) for at in range(len(w) + 3 - n)}
    assert len(once) == len(words) + len(words) - 1 + len(pieces)
    rows = np.bincount((found % np.uint64(63)).astype(np.int64), minlength=63)
    assert rows.max() < 1.5 * rows.mean()


def test_a_text_is_cut_at_max_length_words_and_a_word_at_64_characters():
    read = encoder(max_length=3)
    short, long, wide = read.encode(["a b c", "a b c d", "a" * 65], "sequence")
    assert (short.cut, long.cut, wide.cut) == (False, True, True)
    assert short.arrays["input_ids"].tolist() == long.arrays["input_ids"].tolist()
    assert wide.arrays["input_ids"].tolist() == ids("a" * 64)


def test_other_heads_and_broken_folders_are_refused(tmp_path):
    with pytest.raises(StageError, match="knows no head 'token'"):
        encoder().encode([["a"]], "token")
    (tmp_path / "encoder.json").write_text('{"rows": 3}')
    with pytest.raises(StageError, match="the encoder cannot be loaded"):
        load(tmp_path)


def test_neither_encoder_nor_spec_imports_torch():
    code = "import sys, harness_ngram.plugin as p, harness_ngram.encoder; list(p.harness_students()); "
    code += "sys.stdout.write(str([m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules]))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]"


# ------------------------------------------------------------------------------------------------------------ params


@pytest.mark.parametrize("pieces", [[2], [5, 2], [1, 5], [2, 11], [2, 3, 4]])
def test_pieces_are_two_lengths_that_ascend(pieces):
    with pytest.raises(ValidationError, match=r"write \[shortest, longest\], from 2 to 10 characters, or \[\]"):
        NgramParams(pieces=pieces)


# ------------------------------------------------------------------------------------------------------------- model


@pytest.mark.parametrize("pooling", ["mean", "sum", "sqrt"])
@pytest.mark.parametrize("hidden_size", [None, 5])
def test_the_model_by_hand(pooling, hidden_size, tmp_path):
    build(tmp_path, pooling=pooling, hidden_size=hidden_size)
    model = Ngram().load(tmp_path, "sequence")
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    for text, found in zip(TEXTS, answer(tmp_path, TEXTS), strict=True):
        rows = weights["table.weight"][load(tmp_path).encode([text], "sequence")[0].arrays["input_ids"]]
        vector = rows.sum(0) / {"mean": len(rows), "sum": 1, "sqrt": len(rows) ** 0.5}[pooling]
        if hidden_size:
            vector = np.maximum(0, weights["hidden.weight"] @ vector + weights["hidden.bias"])
        wanted = weights["classifier.weight"] @ vector + weights["classifier.bias"]
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_padding_and_batch_mates_change_nothing(tmp_path):
    build(tmp_path)
    together = answer(tmp_path, TEXTS)
    alone = np.concatenate([answer(tmp_path, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert together.std() > 0.01


def test_the_table_is_counted_and_kept_apart(tmp_path):
    facts = build(tmp_path, hidden_size=5)
    head = (6 * 5 + 5) + (5 * 3 + 3)
    assert facts["parameters"] == 300 * 6 + head
    assert facts["parameters_without_embeddings"] == head


def test_the_same_seed_builds_the_same(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        build(tmp_path / name, seed=seed)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]


def test_a_step_moves_rows_that_occur_and_never_the_padding(tmp_path):
    build(tmp_path, hidden_size=5, init_std=1.0)
    model, read = Ngram().load(tmp_path, "sequence").train(), load(tmp_path)
    arrays = collate(read.encode(TEXTS, "sequence"), read.pad)
    before = model.table.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(torch.from_numpy(arrays["input_ids"])).logits.pow(2).sum().backward()
    optimizer.step()
    moved = (model.table.weight != before).any(1)
    assert set(torch.nonzero(moved).flatten().tolist()) <= set(arrays["input_ids"].ravel().tolist()) - {PAD}
    assert moved.sum() > 20
    assert not model.table.weight[PAD].any()


def test_dropped_ngrams_are_out_of_the_bag(tmp_path):
    build(tmp_path)
    assert read_token_ids(tmp_path) == (PAD, (PAD,))
    model = Ngram().load(tmp_path, "sequence")
    kept, dropped = torch.tensor([[5, 9]]), torch.tensor([[5, PAD, 9, PAD]])
    torch.testing.assert_close(model(kept).logits, model(dropped).logits)
    assert model(torch.zeros(1, 4, dtype=torch.int64)).logits.isfinite().all()


def test_a_lost_weight_is_noticed(tmp_path):
    build(tmp_path)
    model = NgramForSequenceClassification(NgramConfig(**SMALL, hidden_size=5))
    model.config.save_pretrained(tmp_path)
    with pytest.raises(StageError, match="lacks 4 weights, e.g. classifier.bias"):
        Ngram().load(tmp_path, "sequence")


# -------------------------------------------------------------------------------------------------------- compression


def compressed(step, source: Path, out: Path, params) -> dict:
    out.mkdir()
    read = load(source) if (source / "encoder.json").exists() else load(source.parent / "model")
    return step.compress(
        CompressRequest(
            source=source, out=out, params=params, seed=0, calibration=[],
            arrays=[collate(read.encode(TEXTS[at : at + 3], "sequence"), read.pad) for at in (0, 3)],
            artifact={"format": "torch", "student": "ngram", "head": "sequence", "labels": [], "max_length": 64},
            student=lambda: Ngram().load(source, "sequence"),
        )
    )  # fmt: skip


@pytest.mark.parametrize("pooling", ["mean", "sum", "sqrt"])
def test_onnx_answers_alike_and_int8_quantizes_the_table(pooling, tmp_path):
    (tmp_path / "model").mkdir()
    build(tmp_path / "model", pooling=pooling, hidden_size=8, width=16)
    facts = compressed(OnnxExport(), tmp_path / "model", tmp_path / "onnx", ExportParams())
    counts = operators(onnx.load(tmp_path / "onnx" / "model.onnx"))
    assert counts["Gather"] == 1
    assert not {"Loop", "Scan", "If"} & set(counts)
    assert facts["bytes"]["embeddings"] == 300 * 16 * 4
    read, session = load(tmp_path / "model"), OnnxSession(tmp_path / "onnx" / "model.onnx", threads=1)
    wanted = answer(tmp_path / "model", TEXTS)
    for batch in (TEXTS, TEXTS[:1], ["слово " * 60]):
        arrays = collate(read.encode(batch, "sequence"), read.pad)
        np.testing.assert_allclose(session.forward(arrays)["logits"], answer(tmp_path / "model", batch), atol=1e-4)
    small = compressed(OnnxInt8(), tmp_path / "onnx", tmp_path / "int8", Int8Params())
    assert small["changed"]
    assert small["float_matrices"]["count"] == 0
    assert small["bytes"]["embeddings"] == 300 * 16
    found = OnnxSession(tmp_path / "int8" / "model.onnx", threads=1).forward(
        collate(read.encode(TEXTS, "sequence"), read.pad)
    )
    assert 0 < np.abs(found["logits"] - wanted).max() < 0.2 * wanted.std()


def test_int8_of_pytorch_is_read_back(tmp_path):
    (tmp_path / "model").mkdir()
    build(tmp_path / "model", hidden_size=8)
    facts = compressed(TorchInt8(), tmp_path / "model", tmp_path / "int8", TorchInt8Params())
    assert facts["modules"]["Linear"] == 2
    arrays = collate(load(tmp_path / "model").encode(TEXTS, "sequence"), {"input_ids": PAD})
    found = TorchSession(rebuild(tmp_path / "int8", "sequence")).forward(arrays)["logits"]
    assert 0 < np.abs(found - answer(tmp_path / "model", TEXTS)).max() < 0.1


# -------------------------------------------------------------------------------------------------------- whole runs

SUITE = """
schema = 1
[suite]
name = "bags"
anchor = { model = "lstm" }
[task]
use = "rureviews"
source = "bundled:harness_sentiment/data/sample"
[models.lstm]
use = "lstm"
hidden_size = 8
embedding_size = 16
vocab_size = 300
train = { distil = "kd", teacher = "bag", epochs = 1 }
[models.bag]
use = "ngram"
rows = 4096
width = 8
train = { distil = "finetune", epochs = 12, learning_rate = 0.02, batch_size = 16, token_dropout = 0.1 }
[models.taught]
use = "ngram"
rows = 512
width = 8
train = { distil = "kd", teacher = "bag", epochs = 2, learning_rate = 0.02 }
[chains]
onnx-int8 = ["onnx", "onnx-int8"]
[matrix]
compress = ["none", "onnx-int8"]
[measure]
speed = false
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("bags"))
    project.write(SUITE, "bags.toml")
    project.harness("run", "bags.toml")
    return project


def test_it_learns_teaches_and_is_taught(ran):
    lines = (ran.folder / "reports/bags.records.jsonl").read_text().splitlines()
    cells = {doc["cell"]: doc for doc in map(json.loads, lines) if doc["kind"] == "cell"}
    assert {doc["status"] for doc in cells.values()} == {"ok"}
    assert len(cells) == 6
    sizes = {name.partition(",seed")[0]: doc["artifact"]["sizes"]["model_mib"] for name, doc in cells.items()}
    assert sizes["model=bag,compress=onnx-int8"] < sizes["model=bag,compress=none"] / 3


def test_it_answers_from_the_command_line(ran):
    only = "model=bag,compress=onnx-int8"
    said = ran.harness("predict", "bags.toml", "--only", only, "--text", "ужасное качество", "--json").out
    assert set(json.loads(said)["scores"]) == {"negative", "neutral", "positive"}
