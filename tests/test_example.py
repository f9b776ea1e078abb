"""The third-party example: found by its entry point, compresses a real model, halves its file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.plugins import load_registry
from harness.specs import BuildRequest, CompressRequest

FOLDER = Path(__file__).parents[1] / "examples" / "harness-fp16"


@pytest.fixture
def registry(monkeypatch):
    from importlib.metadata import EntryPoint, entry_points

    monkeypatch.syspath_prepend(str(FOLDER))
    own = EntryPoint(name="fp16", value="harness_fp16", group="harness")
    assert 'fp16 = "harness_fp16"' in (FOLDER / "pyproject.toml").read_text()
    yield load_registry([*entry_points(group="harness"), own])
    for name in ("harness_fp16", "harness_fp16_compress"):
        sys.modules.pop(name, None)


def test_it_halves_the_file_and_answers_alike(registry, tmp_path):
    import torch

    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    spec = registry.student("lstm")
    student = spec.load()
    params = spec.params(vocab_size=200, embedding_size=16, hidden_size=16)
    labels = ("a", "b")
    student.build(
        BuildRequest(
            out=source, head="sequence", labels=labels, params=params, seed=0, max_length=8, assets={}, artifacts={},
            texts=lambda: iter(["один два три", "раз два"]),
        )
    )  # fmt: skip
    fp16 = registry.compressor("torch-fp16")
    facts = fp16.load().compress(
        CompressRequest(
            source=source, out=out, artifact={}, params=fp16.params(), seed=0, arrays=[], calibration=[],
            student=lambda: student.load(source, "sequence"),
        )
    )  # fmt: skip
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (source, out)]
    assert facts["changed"]
    assert sizes[1] < 0.6 * sizes[0]
    ids = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    with torch.inference_mode():
        one, two = (student.load(folder, "sequence")(**ids).logits for folder in (source, out))
    assert two.dtype == torch.float32
    assert torch.allclose(one, two, atol=1e-2)
    assert not torch.equal(one, two)
