"""Span models through `onnx` and `onnx-int8`: two outputs per token, every architecture, any batch and length."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from toy_exports import Made
from toy_models import toy_arrays, toy_span

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
