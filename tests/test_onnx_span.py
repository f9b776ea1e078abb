"""Span models through `onnx` and `onnx-int8`: two outputs per token, every architecture, any batch and length."""

from __future__ import annotations

import copy
import functools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from toy_exports import Made
from toy_models import toy_arrays, toy_span

from harness import StageError
from harness_onnx.graph import operators, split_normalisation
from harness_onnx.runtime import OnnxSession
from harness_onnx.safety import check_model

MODEL_TYPES = ["bert", "distilbert", "electra", "roberta"]
TYPED = ("bert", "electra")
LAYERS = 2
SHAPES = [(1, 1), (1, 2), (2, 1), (5, 20), (32, 7), (1, 64)]


@functools.cache
def made(model_type: str) -> Made:
    return Made(toy_span(model_type, LAYERS), token_types=model_type in TYPED)


def arrays_of(model_type: str, batch: int, length: int) -> dict[str, np.ndarray]:
    return toy_arrays(batch, length, token_types=model_type in TYPED)


def spans(toy: Made, step: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Start and end logits of a graph, [2, B, L]."""
    said = OnnxSession(toy.file(step), threads=1).forward(arrays)
    return np.stack([said["start_logits"], said["end_logits"]])


def wanted(toy: Made, arrays: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        answer = toy.model(**{name: torch.tensor(value) for name, value in arrays.items()})
    return torch.stack([answer.start_logits, answer.end_logits]).numpy()


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_both_outputs_equal_the_models_at_any_batch_and_length(model_type):
    toy = made(model_type)
    for shape in SHAPES:
        arrays = arrays_of(model_type, *shape)
        expected = wanted(toy, arrays)
        found = spans(toy, "onnx", arrays)
        assert found.shape == (2, *shape)
        assert np.abs(found - expected).max() < 1e-4
    assert expected.std() > 0.1, "logits that hardly differ would prove nothing"


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_padding_changes_nothing_in_fp32(model_type):
    arrays = arrays_of(model_type, 4, 11)
    together = spans(made(model_type), "onnx", arrays)
    for row, length in enumerate(arrays["attention_mask"].sum(1)):
        alone = spans(made(model_type), "onnx", {k: value[row : row + 1, :length] for k, value in arrays.items()})
        assert np.abs(alone[:, 0] - together[:, row, :length]).max() < 1e-5


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_attention_is_fused_and_every_matrix_becomes_int8(model_type):
    toy = made(model_type)
    assert toy.facts["mask"] == "additive"
    assert toy.facts["fused"]["MultiHeadAttention"] == toy.facts["attention_layers"] == LAYERS
    projection = model_type == "electra"  # its embeddings are narrower than its layers
    assert toy.int8["int8_matmuls"] == 6 * LAYERS + 1 + projection
    assert toy.int8["float_matrices"]["count"] == 0
    assert toy.int8["bytes"]["embeddings"] * 4 == toy.facts["bytes"]["embeddings"]
    assert "warnings" not in {**toy.facts, **toy.int8}
    check_model(toy.file("int8"))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_int8_changes_little(model_type):
    arrays = arrays_of(model_type, 1, 20)
    expected = wanted(made(model_type), arrays)
    change = spans(made(model_type), "int8", arrays) - expected
    assert 0 < np.abs(change).mean() < 0.1 * expected.std()


@pytest.mark.parametrize("model_type", TYPED)
def test_token_types_are_read_and_not_baked_in(model_type):
    arrays = arrays_of(model_type, 2, 9)
    other = {**arrays, "token_type_ids": 1 - arrays["token_type_ids"]}
    for case in (arrays, other):
        assert np.abs(spans(made(model_type), "onnx", case) - wanted(made(model_type), case)).max() < 1e-4
    assert np.abs(wanted(made(model_type), arrays) - wanted(made(model_type), other)).max() > 1e-2


def test_normalisation_runs_as_the_faster_parts_and_computes_the_same():
    toy = made("bert")
    for step in ("onnx", "int8"):
        counts = operators(onnx.load(toy.file(step)))
        assert counts["SkipLayerNormalization"] == 0
        assert counts["LayerNormalization"] == 2 * LAYERS + 1


@pytest.mark.parametrize("inputs", [3, 4, 5])
def test_splitting_a_normalisation_keeps_its_result_and_its_sum(tmp_path, inputs):
    names = ["x", "skip", "gamma", "beta", "bias"][:inputs]
    node = helper.make_node(
        "SkipLayerNormalization", names, ["logits", "", "", "sum"], "n", domain="com.microsoft", epsilon=0.5
    )
    twice = helper.make_node("Mul", ["sum", "sum"], ["start_logits"])
    numbers = np.random.default_rng(0)
    weights = {name: numbers.normal(size=8).astype(np.float32) for name in names[2:]}
    graph = helper.make_graph(
        [node, twice],
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8]) for name in names[:2]],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("logits", "start_logits")],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    feed = {name: numbers.normal(size=(1, 3, 8)).astype(np.float32) for name in names[:2]}
    fused, split = (
        onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)
        for made in (model, split_normalisation(copy.deepcopy(model)))
    )
    for wanted_output, found in zip(fused, split, strict=True):
        np.testing.assert_allclose(found, wanted_output, atol=1e-5)


def test_the_runtime_does_not_fuse_it_again(monkeypatch):
    asked = {}

    def session(*_, **options):
        asked.update(options)
        raise RuntimeError

    monkeypatch.setattr("harness_onnx.runtime.ort.InferenceSession", session)
    with pytest.raises(StageError):
        OnnxSession(made("bert").file("int8"), threads=1)
    assert asked["disabled_optimizers"] == ["SkipLayerNormFusion"]
