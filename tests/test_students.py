"""Students: built the same in every process, padding-invariant, and careful with what others put into checkpoints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import quantize_dynamic
from pydantic import ValidationError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn

from harness import AssetError, BuildRequest, Params, StageError, train_wordpiece
from harness.stages.batching import collate
from harness.text import load_encoder, read_token_ids, read_tokenizer
from harness_recurrent.lstm import Lstm
from harness_recurrent.plugin import LstmParams
from harness_recurrent.plugin import harness_students as recurrent_students
from harness_transformers.cut import evenly
from harness_transformers.model import Transformer
from harness_transformers.plugin import TransformerParams
from harness_transformers.plugin import harness_students as transformer_students

LABELS = ("bad", "fine", "good")
LINE = "платье ужасное хорошее йогурт ёж село порвалось сразу ношу с удовольствием не очень размер ткань тонкая"
WORDS = LINE.split()
TEXTS = [" ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(1, 3 + i % 9)) for i in range(60)]
SMALL = {"hidden_size": 16, "layers": 1, "vocab_size": 120}


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., tuple[Path, dict]]:
    """Build a student into a new folder; returns the folder and the facts."""
    made = iter(range(100))

    def run(params: Params, **changes) -> tuple[Path, dict]:
        out = tmp_path / f"artifact-{next(made)}"
        out.mkdir()
        factory = Lstm if isinstance(params, LstmParams) else Transformer
        request = {"head": "sequence", "labels": LABELS, "seed": 1, "max_length": 24, "assets": {}, "artifacts": {}}
        return out, factory().build(
            BuildRequest(out=out, params=params, texts=lambda: iter(TEXTS), **{**request, **changes})
        )

    return run


def transformer(**changes) -> TransformerParams:
    return TransformerParams(**{**SMALL, **changes})


def lstm(**changes) -> LstmParams:
    return LstmParams(**{**SMALL, **changes})


def logits(model: nn.Module, **arrays: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(**{name: torch.from_numpy(array) for name, array in arrays.items()}).logits.numpy()


def batch(folder: Path, texts: list[str]) -> dict[str, np.ndarray]:
    encoder = load_encoder(folder)
    return collate(encoder.encode(texts, "sequence"), encoder.pad)


# ------------------------------------------------------------------------------------------------------------- text


def test_wordpiece_is_the_same_in_another_process():
    code = (
        "import json,sys; from harness import train_wordpiece; texts=json.load(sys.stdin); "
        "print(train_wordpiece(texts, 90).to_str())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], input=json.dumps(TEXTS), capture_output=True, text=True).stdout
        for _ in range(3)
    }
    assert runs == {train_wordpiece(TEXTS, 90).to_str() + "\n"}


def test_wordpiece_keeps_short_i_and_io():
    tokenizer = train_wordpiece(TEXTS, 120)
    ids = tokenizer.encode("Ёж ЙОГУРТ").ids
    assert tokenizer.id_to_token(1) not in [tokenizer.id_to_token(i) for i in ids]
    assert tokenizer.encode("Ёж и\u0306огурт").ids == ids, "composed and decomposed й are one letter"
    assert tokenizer.encode("еж йогурт").ids != ids
    assert train_wordpiece(["Ёж"] * 5, 50, lowercase=False).token_to_id("Ё") is not None


def test_marker_text_of_the_alphabet_is_ordinary_text():
    tokens = train_wordpiece(["ааа ббб ##а"] * 5, 60).encode("##а").tokens
    assert tokens[1:3] == ["#", "#"]


def test_rare_characters_beyond_the_alphabet_are_dropped_reproducibly():
    many = ["".join(chr(0x4E00 + i) for i in range(k, k + 40)) for k in range(0, 1400, 20)]
    first, second = (train_wordpiece(many, 3000) for _ in range(2))
    assert first.to_str() == second.to_str()
    assert sum(len(token) == 1 for token in first.get_vocab()) == 1000


def test_encoder_cuts_and_never_returns_nothing(build):
    folder, _ = build(transformer(), max_length=6)
    encoded = load_encoder(folder).encode(["ёж " * 50, ""], "sequence")
    assert [item.length for item in encoded] == [6, 2]
    assert encoded[0].arrays["input_ids"][-1] == encoded[1].arrays["input_ids"][-1], "[SEP] survives the cut"
    bare = Tokenizer.from_file(str(folder / "tokenizer.json"))
    bare.post_processor = None
    bare.save(str(folder / "tokenizer.json"))
    ids = read_token_ids(folder)
    assert load_encoder(folder).encode([""], "sequence")[0].arrays["input_ids"].tolist() == [ids.unknown]


def test_encoder_refuses_a_head_it_does_not_know(build):
    folder, _ = build(transformer())
    with pytest.raises(StageError, match="no head 'pixels'"):
        load_encoder(folder).encode(["ёж"], "pixels")


def test_encoder_imports_no_torch(build):
    folder, _ = build(lstm())
    spec = next(iter(recurrent_students()))
    code = f"""
import sys, pathlib
from harness.specs import load_object
load_object({spec.encoder!r})(pathlib.Path({str(folder)!r})).encode(["ёж"], "sequence")
assert not {{"torch", "transformers"}} & set(sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


def write_vocab(folder: Path, *, config: dict | None) -> Path:
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "мои", "мой", "Мой", "ёж", "еж"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, ["мой", "ёж"]),
        ({"do_lower_case": True}, ["мои", "еж"]),  # BERT's own rule: lower case strips accents unless told otherwise
        ({"do_lower_case": True, "strip_accents": False}, ["мой", "ёж"]),
        ({"do_lower_case": False}, ["Мой", "ёж"]),
    ],
)
def test_vocabulary_is_read_as_its_config_says(tmp_path, config, expected):
    tokenizer = read_tokenizer(write_vocab(tmp_path / "v", config=config))
    assert tokenizer.encode("Мой ёж").tokens == ["[CLS]", *expected, "[SEP]"]


def test_vocabulary_without_bert_tokens_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("ёж\n", encoding="utf-8")
    with pytest.raises(AssetError, match=r"\[PAD\]"):
        read_tokenizer(tmp_path / "vocab.txt")


def test_tokenizer_folder_without_a_tokenizer_names_the_remedy(tmp_path):
    with pytest.raises(AssetError, match=r"tokenizer\.json or vocab\.txt"):
        read_tokenizer(tmp_path)


# ------------------------------------------------------------------------------------------------------------ build


@pytest.mark.parametrize("params", [transformer(), transformer(model_type="distilbert"), lstm()])
def test_build_is_decided_by_the_seed(build, params):
    (first, facts), (again, _), (other, _) = build(params), build(params), build(params, seed=2)
    assert (first / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()
    for name in ("config.json", "tokenizer.json", "encoder.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert facts["parameters"] == sum(tensor.numel() for tensor in load_file(first / "model.safetensors").values())
    assert 0 < facts["parameters_without_embeddings"] < facts["parameters"]


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra", "roberta"])
def test_longest_text_fits_every_architecture(build, model_type):
    folder, _ = build(transformer(model_type=model_type))
    assert logits(Transformer().load(folder, "sequence"), **batch(folder, ["ёж " * 99, "ёж"])).shape == (2, 3)


def test_parameters_without_embeddings_counts_what_is_left(build):
    _, facts = build(lstm(layers=1, hidden_size=8, embedding_size=4, vocab_size=100))
    recurrence = 2 * 4 * (8 * 4 + 8 * 8 + 8 + 8)
    assert facts["parameters_without_embeddings"] == recurrence + 16 * 3 + 3


def test_dimensions_beside_a_checkpoint_are_an_error():
    with pytest.raises(ValidationError, match="remove hidden_size"):
        TransformerParams(checkpoint="x", hidden_size=64)


def test_width_that_heads_cannot_share_is_an_error():
    with pytest.raises(ValidationError, match="multiple of heads"):
        TransformerParams(hidden_size=15, heads=2)


@pytest.mark.parametrize("spec", [*transformer_students(), *recurrent_students()], ids=lambda spec: spec.name)
def test_miniature_of_everything_is_valid_and_reads_text(spec):
    kept = {name: value for name, value in spec.miniature.items() if value is not None}
    assert spec.reads_text(spec.params(**kept))
    assert not spec.reads_text(spec.params(tokenizer="somewhere"))


# ------------------------------------------------------------------------------------------------------ checkpoints


@pytest.fixture
def checkpoint(build, tmp_path) -> Callable[..., Path]:
    """A folder as someone else would publish it: the encoder's files and no settings of ours."""

    def make(head: str = "sequence", labels: tuple[str, ...] = LABELS, **changes) -> Path:
        folder, _ = build(transformer(**changes), seed=7, head=head, labels=labels)
        (folder / "encoder.json").unlink()
        return folder

    return make


def test_own_head_is_kept_in_the_order_of_our_labels(build, checkpoint):
    for model_type in ("bert", "roberta", "distilbert"):
        source = checkpoint(model_type=model_type)
        folder, facts = build(TransformerParams(), assets={"checkpoint": source}, labels=("good", "bad", "fine"))
        arrays = batch(folder, TEXTS[:4])
        theirs = logits(Transformer().load(source, "sequence"), **arrays)
        ours = logits(Transformer().load(folder, "sequence"), **arrays)
        np.testing.assert_allclose(ours, theirs[:, [2, 0, 1]], atol=1e-6)
        assert facts["initialised"] == []


def test_head_for_other_labels_is_new_and_drawn_from_the_seed(build, checkpoint):
    source = checkpoint()
    folders = [
        build(TransformerParams(), assets={"checkpoint": source}, labels=("x", "y", "z"), seed=seed)
        for seed in (3, 3, 4)
    ]
    first, again, other = (load_file(folder / "model.safetensors") for folder, _ in folders)
    theirs = load_file(source / "model.safetensors")
    assert folders[0][1]["initialised"] == ["classifier.bias", "classifier.weight"]
    assert torch.equal(first["classifier.weight"], again["classifier.weight"])
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert not torch.equal(first["classifier.weight"], theirs["classifier.weight"])
    assert torch.equal(first["bert.pooler.dense.weight"], theirs["bert.pooler.dense.weight"])


def test_a_model_that_answers_other_labels_cannot_be_used_as_it_is(build, checkpoint):
    """Its head would be random, and its row a lie."""
    source = checkpoint()
    labels = ("good", "bad", "fine")
    build(TransformerParams(), assets={"checkpoint": source}, labels=labels, as_it_is=True)
    for other, head in ((("good", "bad", "x"), "sequence"), (labels, "token")):
        with pytest.raises(
            AssetError, match=r"config\.json: the model is used as it is.*'good'.*the task needs.*train step"
        ):
            build(TransformerParams(), assets={"checkpoint": source}, labels=other, head=head, as_it_is=True)


def test_hundreds_of_other_labels_leave_room_for_what_to_do(build, checkpoint):
    many = tuple(f"a label of some length, number {at}" for at in range(200))
    source = checkpoint(labels=many)
    with pytest.raises(AssetError, match=r"and 190 more, the task needs 'sequence'.*train step") as error:
        build(TransformerParams(), assets={"checkpoint": source}, labels=("bad", "good"), as_it_is=True)
    assert len(str(error.value)) - len(str(source)) < 700


def test_a_tagger_keeps_its_head_in_the_order_of_our_labels(build, checkpoint):
    tags = ("B-ORG", "O", "B-PER")
    source = checkpoint(head="token", labels=tags)
    folder, facts = build(
        TransformerParams(), assets={"checkpoint": source}, head="token", labels=("O", "B-PER", "B-ORG")
    )
    arrays = batch(folder, TEXTS[:4])
    theirs = logits(Transformer().load(source, "token"), **arrays)
    ours = logits(Transformer().load(folder, "token"), **arrays)
    np.testing.assert_allclose(ours, theirs[..., [1, 2, 0]], atol=1e-6)
    assert facts["initialised"] == []


def test_another_number_of_labels_replaces_the_head(build, checkpoint):
    folder, facts = build(TransformerParams(), assets={"checkpoint": checkpoint()}, labels=("x", "y"))
    assert "classifier.weight" in facts["initialised"]
    assert logits(Transformer().load(folder, "sequence"), **batch(folder, ["ёж"])).shape == (1, 2)


def test_dropout_of_a_checkpoint_can_be_set(build, checkpoint):
    source = checkpoint()
    folder, _ = build(TransformerParams(dropout=0.25), assets={"checkpoint": source})
    assert json.loads((folder / "config.json").read_text())["hidden_dropout_prob"] == 0.25


def test_random_weights_need_no_weights(build, checkpoint):
    source = checkpoint()
    (source / "model.safetensors").unlink()
    folder, facts = build(TransformerParams(), assets={"checkpoint": source}, random_weights=True)
    assert facts["weights"] == "random"
    assert (folder / "model.safetensors").exists()


@pytest.mark.parametrize("key", ["auto_map", "custom_pipelines", "trust_remote_code", "quantization_config"])
def test_config_that_asks_for_code_is_refused(build, checkpoint, key):
    source = checkpoint()
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, key: {"AutoConfig": "evil.Config"}}))
    (source / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(AssetError, match=key):
        build(TransformerParams(), assets={"checkpoint": source})


def test_pickled_weights_are_refused_by_name(build, checkpoint):
    source = checkpoint()
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(AssetError, match=r"pytorch_model\.bin.*never loaded.*save_pretrained"):
        build(TransformerParams(), assets={"checkpoint": source})


def test_pickled_weights_beside_safetensors_do_not_matter(build, checkpoint):
    source = checkpoint()
    (source / "pytorch_model.bin").write_bytes(b"not a pickle")
    build(TransformerParams(), assets={"checkpoint": source})


def test_weights_linked_from_outside_are_refused(build, checkpoint, tmp_path):
    source = checkpoint()
    shutil.move(source / "model.safetensors", tmp_path / "elsewhere.safetensors")
    (source / "model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(AssetError, match="not a safetensors file of this folder"):
        build(TransformerParams(), assets={"checkpoint": source})


def test_links_of_a_hub_cache_are_followed(build, checkpoint, tmp_path):
    source = checkpoint()
    snapshot, blobs = tmp_path / "models--x" / "snapshots" / "abc", tmp_path / "models--x" / "blobs"
    blobs.mkdir(parents=True)
    shutil.copytree(source, snapshot)
    shutil.move(snapshot / "model.safetensors", blobs / "f00")
    (snapshot / "model.safetensors").symlink_to(blobs / "f00")
    build(TransformerParams(), assets={"checkpoint": snapshot})


@pytest.mark.parametrize("name", ["../model.safetensors", "part.bin", "absent.safetensors"])
def test_shards_stay_in_their_folder(build, checkpoint, name):
    source = checkpoint()
    shutil.copy(source / "model.safetensors", source.parent / "model.safetensors")
    (source / "model.safetensors").rename(source / "part.bin")
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"classifier.weight": name}}))
    with pytest.raises(AssetError, match="not a safetensors file of this folder"):
        build(TransformerParams(), assets={"checkpoint": source})


def test_weights_of_another_architecture_are_refused(build, checkpoint):
    source, other = checkpoint(), checkpoint(model_type="distilbert")
    shutil.copy(other / "model.safetensors", source / "model.safetensors")
    with pytest.raises(AssetError, match="of the encoder are missing"):
        build(TransformerParams(), assets={"checkpoint": source})


def test_unknown_architecture_and_missing_config_are_named(build, checkpoint):
    source = checkpoint()
    (source / "config.json").write_text('{"model_type": "no-such"}')
    with pytest.raises(AssetError, match="no-such"):
        build(TransformerParams(), assets={"checkpoint": source})
    (source / "config.json").unlink()
    with pytest.raises(AssetError, match=r"config\.json: cannot be read"):
        build(TransformerParams(), assets={"checkpoint": source})


def test_more_text_than_positions_is_refused(build, checkpoint):
    for model_type in ("bert", "roberta"):
        with pytest.raises(AssetError, match="the model has 24 positions; set it to 24 or less"):
            build(TransformerParams(), assets={"checkpoint": checkpoint(model_type=model_type)}, max_length=25)


def test_tokenizer_larger_than_the_model_is_refused(build, checkpoint, tmp_path):
    train_wordpiece(["".join(WORDS)] * 9 + TEXTS, 900).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(AssetError, match="do not belong together"):
        build(
            TransformerParams(),
            assets={"checkpoint": checkpoint(vocab_size=100), "tokenizer": tmp_path / "tokenizer.json"},
        )


def test_checkpoint_is_loaded_in_silence(build, checkpoint, capfd):
    source = checkpoint()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(TransformerParams(), assets={"checkpoint": source}, labels=("x", "y"))
    assert capfd.readouterr() == ("", "")


def test_artifact_that_lost_a_weight_is_not_loaded(build):
    from safetensors.torch import save_file

    for params, factory in ((transformer(), Transformer()), (lstm(), Lstm())):
        folder, _ = build(params)
        tensors = load_file(folder / "model.safetensors")
        del tensors["classifier.bias"]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(StageError, match=r"classifier\.bias"):
            factory.load(folder, "sequence")


# ------------------------------------------------------------------------------------------- borrowing between models


def test_embeddings_of_a_transformer_serve_an_lstm(build):
    donor, _ = build(transformer())
    folder, facts = build(lstm(), artifacts={"embeddings": donor})
    theirs = load_file(donor / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    assert torch.equal(load_file(folder / "model.safetensors")["lstm.embeddings.weight"], theirs)
    assert (folder / "tokenizer.json").read_bytes() == (donor / "tokenizer.json").read_bytes()
    assert "embeddings" in facts["weights"]


def test_embeddings_of_another_width_are_refused(build):
    donor, _ = build(transformer())
    with pytest.raises(StageError, match=r"embedding_size = 32.* 16 wide"):
        build(lstm(embedding_size=32), artifacts={"embeddings": donor})


@pytest.mark.parametrize("make", [transformer, lstm])
def test_tokenizer_of_another_model(build, make):
    donor, _ = build(lstm())
    folder, _ = build(make(vocab_size=110), artifacts={"tokenizer": donor})
    assert (folder / "tokenizer.json").read_bytes() == (donor / "tokenizer.json").read_bytes()


# ------------------------------------------------------------------------------------------------------------- spans

PAIRS = [("порвалось", "платье порвалось сразу"), ("какой размер", LINE), ("ткань", "")]
SPAN = {"head": "span", "labels": ()}


def windows(folder: Path, pairs: list[tuple[str, str]] = PAIRS) -> dict[str, np.ndarray]:
    encoder = load_encoder(folder)
    return collate(encoder.encode(pairs, "span"), encoder.pad)


def spans(folder: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Start and end logits, [2, B, L]."""
    model = Transformer().load(folder, "span")
    with torch.no_grad():
        answer = model(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    return torch.stack([answer.start_logits, answer.end_logits]).numpy()


@pytest.mark.parametrize(
    ("model_type", "types"), [("bert", True), ("electra", True), ("distilbert", False), ("roberta", True)]
)
def test_span_head_of_every_architecture(build, model_type, types):
    folder, facts = build(transformer(model_type=model_type), **SPAN)
    arrays = windows(folder)
    assert ("token_type_ids" in arrays) is types
    found = spans(folder, arrays)
    assert found.shape == (2, *arrays["input_ids"].shape)
    assert facts["parameters"] == sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "start", "1": "end"}
    for row, length in enumerate(arrays["attention_mask"].sum(1)):
        alone = spans(folder, {name: array[row : row + 1, :length] for name, array in arrays.items()})
        np.testing.assert_allclose(alone[:, 0], found[:, row, :length], atol=1e-5)


def test_a_type_vocabulary_of_one_reads_no_token_types(build, tmp_path):
    from transformers import XLMRobertaConfig, XLMRobertaForQuestionAnswering

    source = tmp_path / "xlm"
    config = XLMRobertaConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, type_vocab_size=1, pad_token_id=0,
    )  # fmt: skip
    XLMRobertaForQuestionAnswering(config).save_pretrained(source)
    train_wordpiece(TEXTS, 60).save(str(source / "tokenizer.json"))
    folder, facts = build(TransformerParams(), assets={"checkpoint": source}, **SPAN)
    assert set(windows(folder)) == {"input_ids", "attention_mask"}
    assert facts["initialised"] == []
    np.testing.assert_array_equal(spans(folder, windows(folder)), spans(source, windows(folder)))


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra", "roberta"])
def test_a_model_tuned_for_spans_elsewhere_keeps_its_head(build, model_type):
    source, _ = build(transformer(model_type=model_type), seed=7, **SPAN)
    (source / "encoder.json").unlink()
    written = json.loads((source / "config.json").read_text())
    del written["id2label"], written["label2id"]  # as others publish them
    (source / "config.json").write_text(json.dumps(written))
    folder, facts = build(TransformerParams(), assets={"checkpoint": source}, **SPAN)
    assert facts["initialised"] == facts["unused"] == []
    theirs, ours = (load_file(path / "model.safetensors") for path in (source, folder))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_classifier_lends_its_encoder_to_a_span_head_drawn_from_the_seed(build, checkpoint):
    source = checkpoint()
    built = [build(TransformerParams(), assets={"checkpoint": source}, seed=seed, **SPAN) for seed in (3, 3, 4)]
    first, again, other = (load_file(folder / "model.safetensors") for folder, _ in built)
    assert built[0][1]["initialised"] == ["qa_outputs.bias", "qa_outputs.weight"]
    assert "classifier.weight" in built[0][1]["unused"]
    assert torch.equal(first["qa_outputs.weight"], again["qa_outputs.weight"])
    assert not torch.equal(first["qa_outputs.weight"], other["qa_outputs.weight"])
    name = "bert.encoder.layer.0.output.dense.weight"
    assert torch.equal(first[name], load_file(source / "model.safetensors")[name])


def test_a_span_model_without_its_head_gets_a_new_one(build):
    from safetensors.torch import save_file

    source, _ = build(transformer(), **SPAN)
    tensors = load_file(source / "model.safetensors")
    del tensors["qa_outputs.weight"]
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    built = [build(TransformerParams(), assets={"checkpoint": source}, **SPAN) for _ in range(2)]
    assert built[0][1]["initialised"] == ["qa_outputs.bias", "qa_outputs.weight"]
    first, again = (load_file(folder / "model.safetensors") for folder, _ in built)
    assert torch.equal(first["qa_outputs.weight"], again["qa_outputs.weight"])


def test_windows_share_what_the_suite_says(build):
    shared = [build(transformer(), doc_stride=stride, **SPAN)[0] for stride in (2, 9)]
    few, many = (len(load_encoder(folder).encode([("ткань", LINE * 9)], "span")) for folder in shared)
    assert few < many


def test_a_head_that_no_transformer_has_is_named(build):
    with pytest.raises(StageError, match="no head 'pixels'"):
        build(transformer(), head="pixels")


# ----------------------------------------------------------------------------------------------- cut from another model


def cut(build, donor: Path, keep: tuple[int, ...] | None = None, **changes) -> tuple[Path, dict]:
    return build(TransformerParams(), artifacts={"layers_of": donor}, keep=keep, **{**SPAN, **changes})


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra", "roberta"])
def test_a_student_of_chosen_layers_copies_everything_else(build, model_type):
    donor, _ = build(transformer(model_type=model_type, layers=4), **SPAN)
    (folder, facts), (again, _) = cut(build, donor, (0, 3)), cut(build, donor, (0, 3), seed=9)
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, donor))
    for name, tensor in ours.items():
        origin = name.replace(".layer.1.", ".layer.3.")
        assert torch.equal(tensor, theirs[origin]), name
    assert len(theirs) - len(ours) == len([name for name in theirs if ".layer.1." in name or ".layer.2." in name])
    assert facts["weights"] == "layers [0, 3] of 4 of another model"
    for name in ("model.safetensors", "tokenizer.json", "encoder.json", "config.json"):
        assert (folder / name).read_bytes() == (again / name).read_bytes()
    assert (folder / "tokenizer.json").read_bytes() == (donor / "tokenizer.json").read_bytes()
    assert spans(folder, windows(donor)).shape == spans(donor, windows(donor)).shape


def test_all_layers_give_the_model_itself(build):
    donor, _ = build(transformer(layers=3), **SPAN)
    folder, _ = cut(build, donor, (0, 1, 2))
    np.testing.assert_array_equal(spans(folder, windows(folder)), spans(donor, windows(donor)))


@pytest.mark.parametrize(
    ("layers", "expected"), [(1, (0,)), (2, (0,)), (4, (0, 3)), (6, (0, 2, 5)), (12, (0, 2, 4, 7, 9, 11))]
)
def test_half_of_the_layers_are_kept_evenly_when_none_are_named(layers, expected):
    assert evenly(layers) == expected


def test_a_classifier_can_be_cut_too(build):
    donor, _ = build(transformer(layers=2))
    folder, _ = cut(build, donor, (1,), head="sequence", labels=LABELS)
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, donor))
    assert torch.equal(ours["classifier.weight"], theirs["classifier.weight"])


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ((0, 5), "the model has 3 layers, 0 to 2; there is no 5"),
        ((-1,), "there is no -1"),
        ((), "at least one layer"),
        ((2, 0), "ascending"),
        ((1, 1), "each once"),
    ],
)
def test_layers_that_cannot_be_kept_are_named(build, keep, said):
    donor, _ = build(transformer(layers=3), **SPAN)
    with pytest.raises(StageError, match=said):
        cut(build, donor, keep)


def test_dimensions_beside_layers_of_are_an_error(build):
    donor, _ = build(transformer(), **SPAN)
    with pytest.raises(StageError, match="remove hidden_size, layers, vocab_size"):
        build(transformer(), artifacts={"layers_of": donor}, **SPAN)


def test_dropout_of_a_cut_student_can_be_set(build):
    donor, _ = build(transformer(layers=2), **SPAN)
    folder, _ = build(TransformerParams(dropout=0.25), artifacts={"layers_of": donor}, **SPAN)
    assert json.loads((folder / "config.json").read_text())["hidden_dropout_prob"] == 0.25


def test_a_model_whose_layers_are_one_cannot_be_cut(build, tmp_path):
    from transformers import AlbertConfig, AlbertForQuestionAnswering

    config = AlbertConfig(
        vocab_size=60, embedding_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    AlbertForQuestionAnswering(config).save_pretrained(tmp_path / "albert")
    with pytest.raises(StageError, match="albert model cannot be told apart"):
        cut(build, tmp_path / "albert")


def test_a_recurrent_model_has_no_layers_to_cut(build):
    donor, _ = build(lstm())
    with pytest.raises(StageError, match="layers_of"):
        cut(build, donor, head="sequence", labels=LABELS)


# ------------------------------------------------------------------------------------------------------- invariances

POOLING = ["max", "mean", "max-mean", "attention"]


def ragged(longest: int, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, rows)
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    return rng.integers(5, 60, (rows, longest)) * mask, mask


@pytest.mark.parametrize("pooling", POOLING)
def test_padding_and_batch_mates_change_nothing_in_an_lstm(build, pooling):
    folder, _ = build(lstm(pooling=pooling, layers=2))
    model = Lstm().load(folder, "sequence")
    ids, mask = ragged(12, 7)
    plain = logits(model, input_ids=ids, attention_mask=mask)
    wide = [(0, 0), (0, 20)]
    assert np.array_equal(logits(model, input_ids=np.pad(ids, wide), attention_mask=np.pad(mask, wide)), plain)
    filled = np.where(mask > 0, ids, 17)
    assert np.array_equal(logits(model, input_ids=filled, attention_mask=mask), plain), "pads are never read"
    order = np.array([3, 5, 0, 6, 1, 4, 2])
    assert np.array_equal(logits(model, input_ids=ids[order], attention_mask=mask[order]), plain[order])
    for row in range(len(ids)):
        n = mask[row].sum()
        alone = logits(model, input_ids=ids[row : row + 1, :n], attention_mask=mask[row : row + 1, :n])
        np.testing.assert_allclose(alone[0], plain[row], atol=1e-6)


@pytest.mark.parametrize("pooling", POOLING)
def test_lstm_computes_the_same_in_training_as_afterwards(build, pooling):
    folder, _ = build(lstm(pooling=pooling, layers=2, dropout=0.0, embedding_dropout=0.0))
    model = Lstm().load(folder, "sequence")
    ids, mask = ragged(12, 7, seed=1)
    arrays = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    found = []
    for training in (True, False):
        model.train(training).zero_grad()
        answer = model(**arrays).logits
        answer.pow(2).sum().backward()
        found.append((answer.detach(), [parameter.grad.clone() for parameter in model.parameters()]))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-6, rtol=1e-5)
    for name, fast, packed in zip(dict(model.named_parameters()), found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(fast, packed, atol=1e-5, rtol=1e-4, msg=name)


def test_dropout_acts_in_training_only(build):
    folder, _ = build(lstm())
    model = Lstm().load(folder, "sequence")
    ids, mask = ragged(12, 4)
    first, second = (logits(model, input_ids=ids, attention_mask=mask) for _ in range(2))
    assert np.array_equal(first, second)
    model.train()
    first, second = (logits(model, input_ids=ids, attention_mask=mask) for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_padding_changes_nothing_in_a_transformer(build, model_type):
    folder, _ = build(transformer(model_type=model_type))
    model = Transformer().load(folder, "sequence")
    together = logits(model, **batch(folder, TEXTS[:8]))
    for text, expected in zip(TEXTS[:8], together, strict=True):
        np.testing.assert_allclose(logits(model, **batch(folder, [text]))[0], expected, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ export


class Wrapped(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


@pytest.mark.parametrize("pooling", POOLING)
@pytest.mark.filterwarnings("ignore")
def test_lstm_exports_with_any_length_and_batch_and_becomes_int8(build, pooling, tmp_path):
    folder, _ = build(lstm(pooling=pooling, layers=2))
    model = Lstm().load(folder, "sequence")
    ids, mask = ragged(9, 3)
    names, free = ["input_ids", "attention_mask"], {0: "batch", 1: "length"}
    torch.onnx.export(
        Wrapped(model).eval(), (torch.from_numpy(ids), torch.from_numpy(mask)), tmp_path / "m.onnx", dynamo=False,
        input_names=names, output_names=["logits"],
        dynamic_axes={**dict.fromkeys(names, free), "logits": {0: "batch"}},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for rows in range(1, 6):
        for longest in (1, 2, 7, 64):
            ids, mask = ragged(longest, rows, seed=rows)
            expected = logits(model, input_ids=ids, attention_mask=mask)
            np.testing.assert_allclose(session.run(None, {names[0]: ids, names[1]: mask})[0], expected, atol=1e-5)
    quantize_dynamic(tmp_path / "m.onnx", tmp_path / "q.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node]
    assert kinds.count("DynamicQuantizeLSTM") == 2
