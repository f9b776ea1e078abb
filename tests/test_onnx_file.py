"""onnx-file: an existing ONNX file as a model, its labels and its encoder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from toy_exports import answer, made, save_graph
from toy_models import toy_arrays

from harness import BuildRequest, StageError
from harness_onnx.encoder import load
from harness_onnx.onnx_file import OnnxFile
from harness_onnx.plugin import OnnxFileParams

LABELS = ("negative", "neutral", "positive")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "хорошо", "плохо", "так", "себе"]


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_padding(length=64)  # as many published tokenizers are saved
    tokenizer.enable_truncation(64)
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture
def published(tmp_path) -> Path:
    """A folder as somebody publishes it: model.onnx and tokenizer.json."""
    folder = tmp_path / "published"
    folder.mkdir()
    shutil.copyfile(made("bag").file("onnx"), folder / "model.onnx")
    write_tokenizer(folder)
    return folder


def build(asset: Path, out: Path, classes: tuple[str, ...] = LABELS, **params: Any) -> dict[str, Any]:
    out.mkdir()
    return OnnxFile().build(
        BuildRequest(
            out=out,
            head="sequence",
            labels=classes,
            params=OnnxFileParams(model=str(asset), **params),
            seed=0,
            max_length=8,
            assets={"model": asset},
            artifacts={},
            texts=lambda: iter(()),
        )
    )


def test_a_folder_or_a_file_becomes_an_artifact(published, tmp_path):
    facts = build(published, tmp_path / "a")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"model.onnx", "tokenizer.json", "encoder.json"}
    assert facts["inputs"] == ["input_ids", "attention_mask"]
    assert facts["parameters"] == 90 * 16 + 16 * 3 + 3
    assert facts["parameters_without_embeddings"] == 16 * 3 + 3
    json.dumps(facts)
    (published / "model.onnx").rename(published / "classifier.onnx")
    build(published / "classifier.onnx", tmp_path / "b")
    arrays = toy_arrays()
    wanted = answer(made("bag").folder / "onnx", arrays)
    assert np.array_equal(answer(tmp_path / "a", arrays), wanted)
    assert np.array_equal(answer(tmp_path / "b", arrays), wanted)


def test_texts_are_cut_in_order_and_never_padded(published, tmp_path):
    build(published, tmp_path / "out")
    encoder = load(tmp_path / "out")
    long, short = encoder.encode(["хорошо " * 30, "так себе"], "sequence")
    assert long.length == 8
    assert long.arrays["input_ids"].tolist() == [2, 4, 4, 4, 4, 4, 4, 3]
    assert short.arrays["input_ids"].tolist() == [2, 6, 7, 3]
    assert short.arrays["attention_mask"].tolist() == [1, 1, 1, 1]
    assert short.arrays["input_ids"].dtype == np.int64
    assert encoder.pad == {"input_ids": 0, "attention_mask": 0}


def test_labels_of_the_suite_order_the_columns(published, tmp_path):
    facts = build(published, tmp_path / "out", labels=["positive", "negative", "neutral"])
    arrays = toy_arrays()
    plain = answer(made("bag").folder / "onnx", arrays)
    assert facts["label_order"] == "suite"
    assert np.array_equal(answer(tmp_path / "out", arrays), plain[:, [1, 2, 0]])


def test_labels_of_the_config_order_the_columns_where_they_are_the_tasks(published, tmp_path):
    table = {"0": "neutral", "1": "positive", "2": "negative"}
    (published / "config.json").write_text(json.dumps({"id2label": table}))
    assert build(published, tmp_path / "named")["label_order"] == "config.json"
    arrays = toy_arrays()
    plain = answer(made("bag").folder / "onnx", arrays)
    assert np.array_equal(answer(tmp_path / "named", arrays), plain[:, [2, 0, 1]])
    (published / "config.json").write_text(json.dumps({"id2label": {**table, "0": "LABEL_0"}}))
    assert build(published, tmp_path / "other")["label_order"] == "assumed to be the task's"
    (published / "config.json").write_text('{"id2label": [')
    assert build(published, tmp_path / "broken")["label_order"] == "assumed to be the task's"


def test_labels_that_are_not_the_tasks_are_refused(published, tmp_path):
    with pytest.raises(StageError, match="labels: found 'bad', 'good', 'neutral'; the task's classes are 'negative'"):
        build(published, tmp_path / "out", labels=["bad", "good", "neutral"])
    with pytest.raises(StageError, match="Name each once"):
        build(published, tmp_path / "twice", labels=["negative", "negative", "positive"])


def test_another_number_of_classes_is_refused(published, tmp_path):
    with pytest.raises(StageError, match=r"gives \[1, 3\], not \[1, 2\] finite numbers"):
        build(published, tmp_path / "out", ("no", "yes"))


def test_a_sole_output_is_taken_whatever_its_name(published, tmp_path):
    model = onnx.load(published / "model.onnx")
    for node in model.graph.node:
        node.output[:] = ["scores" if name == "logits" else name for name in node.output]
    model.graph.output[0].name = "scores"
    onnx.save(model, published / "model.onnx")
    build(published, tmp_path / "out", labels=["positive", "negative", "neutral"])
    plain = answer(made("bag").folder / "onnx", toy_arrays())
    assert np.array_equal(answer(tmp_path / "out", toy_arrays()), plain[:, [1, 2, 0]])
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, None))
    onnx.save(model, published / "model.onnx")
    with pytest.raises(StageError, match=r"its outputs are 'other', 'scores'\. One of them must be called 'logits'"):
        build(published, tmp_path / "two")


def test_further_outputs_are_dropped(published, tmp_path):
    model = onnx.load(published / "model.onnx")
    inner = model.graph.node[0].output[0]
    model.graph.output.append(helper.make_tensor_value_info(inner, TensorProto.FLOAT, None))
    onnx.save(model, published / "model.onnx")
    build(published, tmp_path / "out")
    assert [value.name for value in onnx.load(tmp_path / "out" / "model.onnx").graph.output] == ["logits"]


def test_inputs_that_no_tokenizer_gives_are_refused(published, tmp_path):
    model = onnx.load(published / "model.onnx")
    model.graph.input.append(helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, None))
    onnx.save(model, published / "model.onnx")
    with pytest.raises(StageError, match=r"its inputs are 'attention_mask', 'input_ids', 'pixel_values'\. Allowed"):
        build(published, tmp_path / "out")


def test_a_fixed_length_is_refused(published, tmp_path):
    (published / "model.onnx").unlink()
    cast = helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT)
    product = helper.make_node("MatMul", ["x", "w"], ["logits"])
    fixed = save_graph(tmp_path / "fixed", cast, product, weights={"w": np.ones((4, 3), "f4")})
    shutil.copyfile(fixed, published / "model.onnx")
    with pytest.raises(StageError, match=r"cannot read a 1×3 batch.*dynamic axes"):
        build(published, tmp_path / "out")


def test_numbers_that_are_not_finite_are_refused(published, tmp_path):
    model = onnx.load(published / "model.onnx")
    for tensor in model.graph.initializer:
        if list(tensor.dims) == [3]:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([0, np.nan, 0], "f4"), tensor.name))
    onnx.save(model, published / "model.onnx")
    with pytest.raises(StageError, match="finite numbers"):
        build(published, tmp_path / "out")


def test_missing_files_are_named(published, tmp_path):
    with pytest.raises(StageError, match=r"absent\.onnx: no such file\. Name an \.onnx file, or a folder"):
        build(published / "absent.onnx", tmp_path / "a")
    (published / "tokenizer.json").write_text("{")
    with pytest.raises(StageError, match=r"tokenizer\.json: cannot be read .*beside it"):
        build(published, tmp_path / "b")
    (published / "tokenizer.json").unlink()
    with pytest.raises(StageError, match=r"tokenizer\.json"):
        build(published, tmp_path / "c")
    with pytest.raises(StageError, match="the encoder cannot be loaded"):
        load(published)


def test_a_hostile_file_is_refused_before_it_is_loaded(published, tmp_path):
    model = onnx.load(published / "model.onnx")
    model.graph.node.append(helper.make_node("Anything", [], ["y"], domain="evil"))
    onnx.save(model, published / "model.onnx")
    with pytest.raises(StageError, match="operators of domain 'evil'"):
        build(published, tmp_path / "out")


def test_external_data_becomes_part_of_the_one_file(published, tmp_path):
    model = onnx.load(published / "model.onnx")
    onnx.save(model, published / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    build(published, tmp_path / "out")
    assert not (tmp_path / "out" / "weights.bin").exists()
    plain = answer(made("bag").folder / "onnx", toy_arrays())
    assert np.array_equal(answer(tmp_path / "out", toy_arrays()), plain)


def test_it_has_no_pytorch_form(tmp_path):
    with pytest.raises(StageError, match="Use the runtime 'onnxruntime'"):
        OnnxFile().load(tmp_path, "sequence")
