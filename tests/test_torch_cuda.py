"""Compressor `cuda`: refused where there is no GPU; what it writes answers alike on whatever device stands for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_models import ToyStudent, toy_arrays, toy_bert

from harness import CompressRequest, StageError
from harness.records import read_records
from harness_torch import plugin, runtime
from harness_torch.cuda import Cuda
from harness_torch.runtime import TorchRuntime, TorchSession

ARTIFACT = {"format": "torch-cuda", "student": "toy", "head": "sequence", "labels": ["a", "b", "c"], "max_length": 20}


def made(folder: Path) -> TorchSession:
    """The source's session; the compressed artifact stands in folder/out."""
    source, out = folder / "source", folder / "out"
    toy_bert().save_pretrained(source)
    out.mkdir()
    request = CompressRequest(
        source=source, out=out, artifact=ARTIFACT, params=None, seed=0, arrays=[], calibration=[],
        student=lambda: ToyStudent().load(source, "sequence"),
    )  # fmt: skip
    assert Cuda().compress(request) == {"changed": False}
    return TorchSession(ToyStudent().load(source, "sequence"))


def test_the_same_weights_answer_on_the_device(tmp_path, monkeypatch):
    original = made(tmp_path)
    asked = []
    monkeypatch.setattr(runtime, "gpu", lambda: asked.append("gpu") or "cpu")
    session = TorchRuntime().load(tmp_path / "out", ARTIFACT, ToyStudent(), threads=1)
    arrays = toy_arrays(3, 17)
    assert np.array_equal(session.forward(arrays)["logits"], original.forward(arrays)["logits"])
    assert asked == ["gpu"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")
def test_a_gpu_answers_as_the_cpu_does(tmp_path):
    original = made(tmp_path)
    session = TorchRuntime().load(tmp_path / "out", ARTIFACT, ToyStudent(), threads=1)
    assert session.device == "cuda"
    arrays = toy_arrays(3, 17)
    np.testing.assert_allclose(session.forward(arrays)["logits"], original.forward(arrays)["logits"], atol=1e-4)


def test_without_a_gpu_cells_are_skipped_in_the_plan_and_artifacts_refused(tmp_path, monkeypatch):
    spec = next(spec for spec in plugin.harness_compressors() if spec.name == "cuda")
    monkeypatch.setattr(plugin, "_DRIVER", tmp_path / "none")
    assert "needs an NVIDIA GPU" in spec.supports("transformer", "sequence")
    monkeypatch.setattr(plugin, "_DRIVER", tmp_path)
    assert spec.supports("transformer", "sequence") is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    made(tmp_path)
    with pytest.raises(StageError, match="sees no GPU"):
        TorchRuntime().load(tmp_path / "out", ARTIFACT, ToyStudent(), threads=1)


SUITE = """
schema = 1
[suite]
name = "gpu"
title = "A GPU beside the CPU"
anchor = { model = "small", compress = "none" }
[task]
use = "rureviews"
source = "bundled:harness_sentiment/data/sample"
[models.small]
use = "ngram"
rows = 64
width = 4
train = { distil = "finetune", epochs = 1 }
[chains]
gpu = ["cuda"]
[matrix]
compress = ["none", "gpu"]
[measure]
speed = { workloads = ["single"], inputs = 2, blocks = 2, turn_ms = 1.0 }
"""


@pytest.mark.skipif(plugin.no_gpu() is None, reason="this machine has a GPU")
def test_a_report_says_why_there_is_no_row_of_a_gpu(project):
    project.write(SUITE, "gpu.toml")
    project.harness("run", "gpu.toml")
    cpu, gpu = read_records(project.folder / "reports" / "gpu.records.jsonl").cells
    assert (cpu["status"], gpu["status"]) == ("ok", "skipped")
    assert gpu["unmeasured"] == gpu["reason"]
    assert "needs an NVIDIA GPU" in (project.folder / "reports" / "gpu.md").read_text(encoding="utf-8")
