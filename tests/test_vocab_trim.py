"""vocab-trim: fewer rows, a tokenizer that follows, the same answers where all tokens were kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import AutoConfig, AutoModelForQuestionAnswering, BertConfig, BertForMaskedLM

from harness import AssetError, BuildRequest, CompressRequest, StageError, read_tokenizer
from harness.stages.batching import collate
from harness.text import load_encoder, read_token_ids
from harness_recurrent.lstm import Lstm
from harness_recurrent.plugin import LstmParams
from harness_transformers.architectures import KNOWN
from harness_transformers.model import Transformer
from harness_transformers.plugin import TransformerParams
from harness_trimming.plugin import TrimParams, harness_compressors
from harness_trimming.trim import VocabTrim, shrink
from harness_trimming.vocabulary import Vocabulary, read_vocabulary

TRAIN = ["кто построил мост", "мост построил инженер", "где стоит мост"]
MORE = ["река течёт под мостом", "инженер жил у реки", "завод стоит за рекой", "жильё построено давно", "Ёлка 15 км"]
PAIRS = [("кто построил", "мост построил инженер"), ("где мост", "где стоит мост")]
MODEL_TYPES = ["bert", "distilbert", "electra", "roberta"]
DATA = os.environ.get("HARNESS_DATA_DIR")


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=90,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        unk_token="<unk>",  # noqa: S106
        show_progress=False,
    )
    tokenizer.train_from_iterator((TRAIN + MORE) * 9, trainer)
    tokenizer.add_special_tokens(["<mask>"])  # after the model's own tokens, as XLM-RoBERTa has it
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.train_from_iterator(TRAIN, trainers.BpeTrainer(special_tokens=["<pad>", "<unk>"], show_progress=False))
    tokenizer.post_processor = processors.RobertaProcessing(("<unk>", 1), ("<pad>", 0))
    return tokenizer


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """An artifact of a span model whose vocabulary knows more than the training texts need."""

    def make(tokenizer: Tokenizer | None = None, head: str = "span", **params) -> Path:
        out = tmp_path / "source"
        out.mkdir()
        assets = {}
        if tokenizer is not None:
            tokenizer.save(str(tmp_path / "given.json"))
            assets = {"tokenizer": tmp_path / "given.json"}
        sizes = {"hidden_size": 16, "layers": 1, "vocab_size": 200, **params}
        lstm = "model_type" in params and params["model_type"] == "lstm"
        sizes.pop("model_type", None) if lstm else None
        request = BuildRequest(
            out=out,
            head=head,
            labels=("a", "b", "c"),
            params=LstmParams(**sizes) if lstm else TransformerParams(**sizes),
            seed=1,
            max_length=24,
            assets=assets,
            artifacts={},
            texts=lambda: iter((TRAIN + MORE) * 9),
        )
        (Lstm() if lstm else Transformer()).build(request)
        return out

    return make


def trim(source: Path, texts=TRAIN, keep: Path | None = None, head: str = "span", student=None, **params) -> dict:
    """Facts; the result stands in out/ beside the source."""
    out = source.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    request = CompressRequest(
        source=source,
        out=out,
        artifact={"format": "torch", "head": head},
        params=TrimParams(**params),
        seed=0,
        arrays=[],
        calibration=[],
        student=student or (lambda: Transformer().load(source, head)),
        texts=lambda: iter(texts),
        assets={} if keep is None else {"keep": keep},
    )
    return VocabTrim().compress(request)


def windows(folder: Path, pairs=PAIRS) -> dict[str, np.ndarray]:
    encoder = load_encoder(folder)
    return collate(encoder.encode(pairs, "span"), encoder.pad)


def spans(folder: Path, pairs=PAIRS) -> np.ndarray:
    """Start and end logits [2, B, L] of the folder's own encoder and model."""
    with torch.no_grad():
        answer = Transformer().load(folder, "span")(
            **{k: torch.from_numpy(v) for k, v in windows(folder, pairs).items()}
        )
    return torch.stack([answer.start_logits, answer.end_logits]).numpy()


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    """Equal but for the rounding that depends on where in memory a matrix lies."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_answers_about_training_text_stay_the_same(source, model_type):
    folder = source(model_type=model_type)
    facts = trim(folder)
    out = folder.parent / "out"
    assert facts["changed"] is True
    assert facts["vocab_size"] < facts["vocab_before"]
    same(spans(out), spans(folder))
    ids = [windows(path)["input_ids"] for path in (folder, out)]
    assert not np.array_equal(*ids)
    tokens = [Tokenizer.from_file(str(path / "tokenizer.json")) for path in (folder, out)]
    named = [[tokenizer.id_to_token(at) for at in row.ravel()] for tokenizer, row in zip(tokens, ids, strict=True)]
    assert named[0] == named[1]


def test_best_path_vocabularies_follow_too(source):
    folder = source(unigram(), model_type="roberta")
    facts = trim(folder)
    out = folder.parent / "out"
    assert facts["vocab_size"] < facts["vocab_before"]
    same(spans(out), spans(folder))
    odd = [("кто ☃", "☃☃ мост")]  # what an unknown character costs hangs on the lowest score, which is kept
    same(spans(out, odd), spans(folder, odd))
    described = json.loads((out / "tokenizer.json").read_text())
    assert described["added_tokens"][-1] == {
        **described["added_tokens"][-1], "content": "<mask>", "id": facts["vocab_size"] - 1,
    }  # fmt: skip


def test_a_recurrent_student_can_be_trimmed(source):
    folder = source(model_type="lstm", head="sequence", embedding_size=8)
    trim(folder, head="sequence", student=lambda: Lstm().load(folder, "sequence"))
    out = folder.parent / "out"
    answers = []
    for path in (folder, out):
        encoder = load_encoder(path)
        arrays = collate(encoder.encode(TRAIN, "sequence"), encoder.pad)
        with torch.no_grad():
            model = Lstm().load(path, "sequence")
            answers.append(model(**{name: torch.from_numpy(array) for name, array in arrays.items()}).logits.numpy())
    same(*answers)


def test_each_kept_token_has_the_row_that_it_had(source):
    folder = source()
    trim(folder)
    name = "bert.embeddings.word_embeddings.weight"
    ids, rows = zip(
        *((read_vocabulary(path).ids(), load_file(path / "model.safetensors")[name]) for path in _both(folder)),
        strict=True,
    )
    assert len(ids[1]) == len(rows[1])
    assert sorted(ids[1].values()) == list(range(len(ids[1])))
    assert all(torch.equal(rows[1][at], rows[0][ids[0][token]]) for token, at in ids[1].items())
    order = sorted(ids[1], key=ids[1].get)
    assert order == sorted(order, key=ids[0].get)


def _both(folder: Path) -> tuple[Path, Path]:
    return folder, folder.parent / "out"


# ------------------------------------------------------------------------------------------------------- what is kept


def test_special_ids_are_renumbered_everywhere(source, tmp_path):
    words = ["unused-a", "[PAD]", "unused-b", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "кто", "построил", "мост", "где"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    folder = source(read_tokenizer(tmp_path / "vocab.txt"))
    trim(folder, texts=["кто построил мост"])
    out = folder.parent / "out"
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    kept = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "кто", "построил", "мост"]
    assert [tokenizer.id_to_token(at) for at in range(9)] == [*kept, None]
    assert tokenizer.encode("кто", "мост где").ids == [2, 5, 3, 7, 1, 3]
    settings = json.loads((out / "encoder.json").read_text())
    assert settings["pad"]["input_ids"] == 0
    assert read_token_ids(out) == (1, (0, 1, 2, 3, 4))
    config = json.loads((out / "config.json").read_text())
    assert (config["vocab_size"], config["pad_token_id"]) == (8, 0)
    same(spans(out, [("кто", "мост")]), spans(folder, [("кто", "мост")]))


def test_rare_tokens_go_and_their_words_are_spelled(source):
    folder = source()
    often = ["мост"] * 1 + ["мост построил инженер", "мост построил"]
    all_kept, some = trim(folder, texts=often), trim(folder, texts=often, min_count=2)
    assert some["vocab_size"] < all_kept["vocab_size"]
    assert all_kept["coverage"]["same_tokens"] == 1
    assert 0 < some["coverage"]["same_tokens"] < 1
    assert some["coverage"]["unknown_characters"] == 0, "every character of the texts is a token"
    tokenizer = Tokenizer.from_file(str(folder.parent / "out" / "tokenizer.json"))
    assert len(tokenizer.encode("инженер", add_special_tokens=False).ids) > 1


def test_short_tokens_stay_to_spell_words_unseen_in_training(source):
    folder = source()
    sizes = [trim(folder, texts=["мост построил инженер"], spell=longest)["vocab_size"] for longest in (1, 2, 5)]
    assert sizes == sorted(set(sizes))
    full = read_tokenizer(folder)
    short = {token for token in full.get_vocab() if 0 < len(token.removeprefix("##")) <= 5}
    known = {token for token in short if set(token.removeprefix("##")) <= set("мост построил инженер")}
    kept = Tokenizer.from_file(str(folder.parent / "out" / "tokenizer.json")).get_vocab()
    assert known <= set(kept)


def test_a_list_keeps_its_tokens_and_no_others(source, tmp_path):
    folder = source()
    (tmp_path / "keep.txt").write_text("мост\nкто\r\n\nнет такого\n", encoding="utf-8")
    facts = trim(folder, keep=tmp_path / "keep.txt")
    tokens = Tokenizer.from_file(str(folder.parent / "out" / "tokenizer.json")).get_vocab()
    assert set(tokens) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "мост", "кто"}
    assert facts["list"] == {"tokens": 3, "known": 2}
    assert facts["coverage"] == {
        "texts": 3,
        "tokens": facts["coverage"]["tokens"],
        "same_tokens": 4 / facts["coverage"]["tokens"],
        "unknown_characters": pytest.approx(1 - 15 / sum(len(text.replace(" ", "")) for text in TRAIN)),
    }


def test_a_list_for_another_vocabulary_is_refused(source, tmp_path):
    folder = source()
    (tmp_path / "keep.txt").write_text("Fahrrad\nAuto\n", encoding="utf-8")
    with pytest.raises(AssetError, match=r"keep\.txt: none of its 2 tokens is one of the model's"):
        trim(folder, keep=tmp_path / "keep.txt")
    (tmp_path / "keep.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(AssetError, match="UTF-8"):
        trim(folder, keep=tmp_path / "keep.txt")


def test_a_vocabulary_of_which_nothing_can_go_is_said(source):
    folder = source()
    trim(folder)
    shutil.move(folder.parent / "out", folder.parent / "trimmed")
    facts = trim(folder.parent / "trimmed", student=lambda: Transformer().load(folder.parent / "trimmed", "span"))
    assert facts["changed"] is False
    assert facts["vocab_size"] == facts["vocab_before"]


def test_facts_say_what_was_saved(source):
    folder = source()
    facts = trim(folder)
    gone = facts["vocab_before"] - facts["vocab_size"]
    assert facts["parameters_before"] - facts["parameters"] == gone * 16
    stored = load_file(folder.parent / "out" / "model.safetensors")
    assert sum(facts["bytes"].values()) == sum(tensor.nbytes for tensor in stored.values())
    assert facts["coverage"]["texts"] == len(TRAIN)
    json.dumps(facts)


def test_a_repeated_text_counts_once(source):
    folder = source()
    assert trim(folder, texts=TRAIN * 5, min_count=2)["vocab_size"] == trim(folder, min_count=2)["vocab_size"]


# ------------------------------------------------------------------------------------------------- what is impossible


def test_merges_are_refused_with_the_reason(source):
    folder = source()
    bpe().save(str(folder / "tokenizer.json"))
    with pytest.raises(StageError, match="BPE vocabulary cannot be trimmed .*merged"):
        trim(folder)


def test_other_encoders_and_broken_tokenizers_are_named(source):
    folder = source()
    (folder / "encoder.json").write_text('{"max_length": 5, "pad": {}}')
    with pytest.raises(StageError, match="unknown, special"):
        trim(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(StageError, match=r"tokenizer\.json"):
        trim(folder)


def test_positions_that_start_at_a_moving_padding_id_are_refused(source, tmp_path):
    words = ["a-bos", "unused-a", "an-eos", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "кто"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    folder = source(read_tokenizer(tmp_path / "vocab.txt"), model_type="roberta")
    with pytest.raises(StageError, match="padding id 3 would become 2"):
        trim(folder, texts=["кто"])


def test_a_model_that_predicts_tokens_is_refused():
    model = BertForMaskedLM(
        BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    )
    with pytest.raises(StageError, match="BertForMaskedLM predicts tokens"):
        shrink(model, {0: 0})


def test_ids_that_the_library_would_number_otherwise_are_refused(source):
    folder = source()
    described = json.loads((folder / "tokenizer.json").read_text())
    odd = {**described, "added_tokens": [{**described["added_tokens"][0], "content": "[NEW]", "id": 900}]}
    with pytest.raises(StageError, match="in its own way"):
        Vocabulary(odd).tokenizer()


# -------------------------------------------------------------------------------------------------------- real sizes


def trimmed_parameters(tokens: list[str], keep: list[str]) -> tuple[int, int]:
    """Tokens and parameters of DistilBERT's architecture after keeping a list, without the memory for the layers."""
    described = {
        "added_tokens": [
            {"content": token, "id": tokens.index(token)} for token in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
        ],
        "post_processor": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {token: at for at, token in enumerate(tokens)}},
    }
    full = Vocabulary(described)
    _, new = full.trimmed((set(keep) & full.ids().keys()) | full.indispensable())
    known = KNOWN["distilbert-base-multilingual-cased"]
    with torch.device("meta"):
        config = AutoConfig.for_model(known.model_type, **known.config_arguments())
        model = AutoModelForQuestionAnswering.from_config(config)
    assert len(tokens) == config.vocab_size
    model.set_input_embeddings(nn.Embedding(len(tokens), 768, device="meta", padding_idx=0))
    shrink(model, new)
    return len(new), sum(p.numel() for p in model.parameters())


def made_vocabulary() -> tuple[list[str], list[str]]:
    """119,547 tokens, and 14,270 of them, the unknown one included."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*special, *(f"слово{at}" for at in range(119_547 - len(special)))]
    return tokens, ["[UNK]", *tokens[5::8][:14_269]]


def test_the_multilingual_model_with_a_list_of_one_language_has_54_million_parameters():
    count, parameters = trimmed_parameters(*made_vocabulary())
    assert count == 14_274
    assert parameters == 53_884_416 + 2 * 769
    assert round(parameters / 1e6) == 54


@pytest.mark.skipif(not DATA, reason="HARNESS_DATA_DIR is not set: no real vocabulary")
def test_a_real_list_on_a_real_vocabulary():
    """The list is of another model's vocabulary, with which this one shares most of its tokens."""
    folder = Path(str(DATA)) / "vocabs"
    tokens, keep = (
        (folder / name).read_text(encoding="utf-8").splitlines()
        for name in ("rubert-base-cased.vocab.txt", "geotrend-ru.tokens.txt")
    )
    count, parameters = trimmed_parameters(tokens, keep)
    assert count == len(set(keep) & set(tokens)) + 4
    assert 52e6 < parameters < 55e6


def test_hooks_import_nothing_heavy():
    spec = next(iter(harness_compressors()))
    assert spec.reads_text(TrimParams(keep="x"))
    code = "import harness_trimming.plugin as p, sys; list(p.harness_compressors()); "
    code += "print([m for m in ('torch', 'transformers', 'tokenizers', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
