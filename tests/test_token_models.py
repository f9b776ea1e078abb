"""Taggers of every family: padding and batch mates change nothing, ONNX says what PyTorch says, at any batch and length."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import BuildRequest, CompressRequest
from harness.heads import rules
from harness.stages.batching import collate
from harness.text import load_encoder
from harness_onnx.export import OnnxExport
from harness_onnx.plugin import ExportParams, Int8Params
from harness_onnx.quantize import OnnxInt8
from harness_onnx.runtime import OnnxSession
from harness_recurrent.lstm import Lstm
from harness_recurrent.plugin import LstmParams
from harness_torch.runtime import TorchSession
from harness_transformers.model import Transformer
from harness_transformers.plugin import TransformerParams

LABELS = ("O", "B-PER", "I-PER", "B-LOC")
TEXTS = ["Anna Petrova lives in Tver .", "The Volga Bank of Samara opened in 1996 .", "U.S. beats Peru 2-0", "Peru"] * 4
SMALL = {"hidden_size": 16, "layers": 2, "vocab_size": 150}
FAMILIES = {
    "lstm": (Lstm(), LstmParams(**SMALL)),
    **{kind: (Transformer(), TransformerParams(model_type=kind, init_std=0.3, **SMALL)) for kind in ("bert", "distilbert", "electra", "roberta")},
}  # fmt: skip
SHAPES = [(1, 1), (1, 7), (5, 3), (3, 24)]


class Made:
    """A small tagger, its encoder and the texts as it reads them."""

    def __init__(self, family: str) -> None:
        self.student, params = FAMILIES[family]
        self.folder = Path(tempfile.mkdtemp())
        self.student.build(
            BuildRequest(
                out=self.folder, head="token", labels=LABELS, params=params, seed=1, max_length=24, assets={}, artifacts={},
                texts=lambda: iter(TEXTS),
            )
        )  # fmt: skip
        self.encoder = load_encoder(self.folder)
        self.windows = self.encoder.encode([text.split() for text in TEXTS], "token")
        self.model = self.student.load(self.folder, "token")

    def compressed(self, step, source: Path, params) -> Path:
        out = Path(tempfile.mkdtemp())
        batches = [collate(self.windows[i : i + 8], self.encoder.pad) for i in (0, 8)]
        about = {"format": "torch", "student": "x", "head": "token", "labels": list(LABELS), "max_length": 24}
        step.compress(
            CompressRequest(
                source=source, out=out, artifact=about, params=params, seed=0, arrays=batches, calibration=[],
                student=lambda: self.student.load(self.folder, "token"),
            )
        )  # fmt: skip
        return out

    @functools.cached_property
    def onnx(self) -> Path:
        return self.compressed(OnnxExport(), self.folder, ExportParams())


@functools.cache
def made(family: str) -> Made:
    return Made(family)


def random_arrays(batch: int, length: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(batch * 100 + length)
    mask = (np.arange(length) < np.maximum(1, length - np.arange(batch))[:, None]).astype(np.int64)
    return {"input_ids": rng.integers(5, 90, (batch, length)) * mask, "attention_mask": mask}


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_answered_alike_alone_and_in_a_batch(family):
    tagger, token = made(family), rules("token")
    session = TorchSession(tagger.model)
    together = token.read(tagger.windows, session.forward(collate(tagger.windows, tagger.encoder.pad)))
    for window, said in zip(tagger.windows, together, strict=True):
        alone = token.read([window], session.forward(collate([window], tagger.encoder.pad)))[0]
        assert np.abs(alone - said).max() < 1e-5
    assert np.concatenate(together).std() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_onnx_answers_as_pytorch_does_wherever_there_is_a_token(family):
    tagger = made(family)
    session, plain = OnnxSession(tagger.onnx / "model.onnx", threads=1), TorchSession(tagger.model)
    for shape in SHAPES:
        arrays = random_arrays(*shape)
        wanted, found = plain.forward(arrays)["logits"], session.forward(arrays)["logits"]
        assert found.shape == (*shape, len(LABELS))
        there = arrays["attention_mask"].astype(bool)
        assert np.abs(found - wanted)[there].max() < 1e-4


@pytest.mark.parametrize("family", ["lstm", "bert"])
def test_int8_tags_almost_alike(family):
    tagger = made(family)
    small = tagger.compressed(OnnxInt8(), tagger.onnx, Int8Params())
    session, plain = OnnxSession(small / "model.onnx", threads=1), TorchSession(tagger.model)
    arrays = random_arrays(1, 20)
    wanted, found = plain.forward(arrays)["logits"], session.forward(arrays)["logits"]
    assert 0 < np.abs(found - wanted).max() < 0.5 * wanted.std()


def test_hidden_states_are_given_where_they_are_asked_for():
    arrays = random_arrays(2, 9)
    for family, widths in (("lstm", {0: 128, 1: 32}), ("bert", {0: 16, 1: 16, 2: 16, -1: 16})):
        said = TorchSession(made(family).model).forward(arrays, tuple(widths))
        for layer, width in widths.items():
            assert said[f"states.{layer}"].shape == (2, 9, width)
        assert set(TorchSession(made(family).model).forward(arrays)) == {"logits"}
    with torch.inference_mode():
        hidden = made("bert").model(**{n: torch.tensor(a) for n, a in arrays.items()}, output_hidden_states=True)
    assert np.allclose(
        TorchSession(made("bert").model).forward(arrays, (1,))["states.1"], hidden.hidden_states[1].numpy()
    )
