"""Published architectures by name: exact sizes, and a vocabulary of the right size where their files are absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification

from harness import AssetError, BuildRequest
from harness.text import load_encoder, read_tokenizer
from harness_transformers import untrained
from harness_transformers.architectures import KNOWN, Architecture
from harness_transformers.model import Transformer
from harness_transformers.plugin import TransformerParams, harness_students

TEXTS = ["кто построил мост", "мост построил инженер в 1899 году", "где стоит мост через реку"] * 9
DATA = os.environ.get("HARNESS_DATA_DIR")
SMALL = Architecture(
    model_type="bert", vocab_size=300, hidden_size=16, layers=2, heads=2, intermediate=24, positions=40, cased=True
)


def count(name: str, auto, **labels) -> int:
    """Parameters, without the memory for them."""
    known = KNOWN[name]
    with torch.device("meta"):
        model = auto.from_config(AutoConfig.for_model(known.model_type, **known.config_arguments(), **labels))
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("google-bert/bert-base-uncased", 108_898_569),
        ("distilbert/distilbert-base-uncased", 66_369_801),
        ("google-bert/bert-base-cased", 107_726_601),
        ("distilbert/distilbert-base-cased", 65_197_833),
    ],
)
def test_parameters_with_nine_token_labels(name, expected):
    assert count(name, AutoModelForTokenClassification, num_labels=9) == expected


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("ai-forever/ruBert-base", 178.3),
        ("ai-forever/ruBert-large", 426.9),
        ("ai-forever/ruRoberta-large", 355.4),
        ("ai-forever/sbert_large_nlu_ru", 426.9),
        ("DeepPavlov/rubert-base-cased", 177.9),
        ("DeepPavlov/rubert-base-cased-sentence", 177.9),
        ("sentence-transformers/LaBSE", 470.9),
        ("DeepPavlov/distilrubert-base-cased-conversational", 134.7),
        ("DeepPavlov/distilrubert-tiny-cased-conversational", 106.4),
        ("Geotrend/distilbert-base-ru-cased", 53.9),
        ("distilbert-base-multilingual-cased", 134.7),
        ("bert-base-multilingual-cased", 177.9),
        ("cointegrated/rubert-tiny", 11.8),
        ("cointegrated/rubert-tiny2", 29.2),
    ],
)
def test_parameters_of_the_encoder(name, millions):
    assert round(count(name, AutoModel) / 1e6, 1) == millions


def test_the_spec_names_them_and_costs_nothing():
    assert next(iter(harness_students())).architectures == frozenset(KNOWN)
    code = "import harness_transformers.plugin as p, sys; list(p.harness_students()); "
    code += "print([m for m in ('torch', 'transformers', 'tokenizers', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.fixture
def build(tmp_path: Path, monkeypatch) -> Callable[..., tuple[Path, dict]]:
    """Build `known/small`, an entry of the table that is small enough to be made, with random weights."""
    monkeypatch.setattr(untrained, "KNOWN", {"known/small": SMALL})
    made = iter(range(9))

    def run(known: Architecture = SMALL, **changes) -> tuple[Path, dict]:
        monkeypatch.setattr(untrained, "KNOWN", {"known/small": known})
        out = tmp_path / f"artifact-{next(made)}"
        out.mkdir()
        request = BuildRequest(
            out=out,
            head="span",
            labels=(),
            params=TransformerParams(checkpoint="known/small"),
            seed=1,
            max_length=24,
            assets={},
            artifacts={},
            texts=lambda: iter(TEXTS),
            random_weights=True,
        )
        return out, Transformer().build(replace(request, **changes))

    return run


def config_of(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def test_a_name_without_files_gives_its_exact_sizes(build):
    folder, facts = build()
    assert facts["vocabulary"] == "trained on the task's texts, filled up to 300"
    assert facts["vocab_size"] == 300
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.get_slice("bert.embeddings.word_embeddings.weight").get_shape() == [300, 16]
        assert file.get_slice("bert.embeddings.position_embeddings.weight").get_shape() == [40, 16]
    assert len(config_of(folder)["id2label"]) == 2


def test_fillers_are_never_produced_and_case_is_the_checkpoints(build):
    folder, _ = build()
    tokenizer = read_tokenizer(folder)
    fillers = {at for token, at in tokenizer.get_vocab().items() if token.startswith("[unused")}
    assert 0 < len(fillers) < 300
    assert max(fillers) == 299
    assert not fillers & set(tokenizer.encode("мост [unused299] [unused250] построил").ids)
    both = ["Мост мост"] * 9
    cased, lowered = (
        read_tokenizer(build(replace(SMALL, cased=cased), texts=lambda: iter(both))[0]) for cased in (True, False)
    )
    assert cased.encode("Мост").ids != cased.encode("мост").ids
    assert lowered.encode("Мост").ids == lowered.encode("мост").ids


def test_the_same_seed_gives_the_same_files(build):
    (first, _), (again, _) = build(), build()
    for name in ("model.safetensors", "tokenizer.json", "encoder.json", "config.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def vocabulary(folder: Path, size: int) -> Path:
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "мост", "Мост"]
    lines = [*words, *(f"слово{at}" for at in range(size - len(words)))]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_folder_with_the_tokenizer_alone_is_used(build, tmp_path):
    def unread():
        pytest.fail("the texts were read")

    own = vocabulary(tmp_path / "own", 300)
    folder, facts = build(assets={"checkpoint": own}, texts=unread)
    assert facts["vocabulary"] == "its own"
    assert load_encoder(folder).encode([("Мост", "мост")], "span")[0].arrays["input_ids"].tolist() == [2, 6, 3, 5, 3]
    assert build(assets={"tokenizer": own / "vocab.txt"}, texts=unread)[1]["vocabulary"] == "given"


@pytest.mark.parametrize("size", [299, 301])
def test_a_tokenizer_of_another_size_is_refused(build, tmp_path, size):
    with pytest.raises(AssetError, match=rf"{size} tokens, and 'known/small' has 300"):
        build(assets={"checkpoint": vocabulary(tmp_path / "own", size)})


def test_rows_beyond_the_vocabulary_may_be_there(build, tmp_path):
    folder, facts = build(replace(SMALL, tokens=290), assets={"checkpoint": vocabulary(tmp_path / "own", 295)})
    assert config_of(folder)["vocab_size"] == 300
    assert facts["vocab_size"] == 295


def test_roberta_counts_positions_from_its_padding(build):
    roberta = replace(SMALL, model_type="roberta", positions=26)
    folder, _ = build(roberta, max_length=25)
    assert config_of(folder)["pad_token_id"] == 0
    with pytest.raises(AssetError, match="the model has 25 positions"):
        build(roberta, max_length=26)


def test_a_config_that_is_there_wins(build, tmp_path):
    own, _ = build(replace(SMALL, layers=1))
    folder, facts = build(assets={"checkpoint": own})
    assert config_of(folder)["num_hidden_layers"] == 1
    assert "vocabulary" not in facts


def test_an_unknown_name_without_a_config_lists_the_known_ones(build):
    with pytest.raises(AssetError, match="'some/other'.*'?known/small"):
        build(params=TransformerParams(checkpoint="some/other"))


@pytest.mark.skipif(not DATA, reason="HARNESS_DATA_DIR is not set: no real vocabulary")
@pytest.mark.parametrize(
    ("file", "name"),
    [("ruBert.vocab.txt", "ai-forever/ruBert-base"), ("rubert-base-cased.vocab.txt", "DeepPavlov/rubert-base-cased")],
)
def test_real_vocabularies_have_the_sizes_of_the_table(file, name):
    tokenizer = read_tokenizer(Path(str(DATA)) / "vocabs" / file, lowercase=not KNOWN[name].cased)
    assert tokenizer.get_vocab_size() == KNOWN[name].vocab_size
    assert "[UNK]" not in tokenizer.encode("Где построили мост?").tokens
