"""`lowrank` on a real small transformer: what is written, what answers, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harness import BuildRequest, CompressRequest, StageError
from harness.plugins import load_registry
from harness_lowrank import LowRankParams
from harness_lowrank.compress import LowRank
from harness_lowrank.files import read
from harness_lowrank.runtime import LowRankRuntime

ARTIFACT = {"head": "sequence", "student": "transformer", "format": "torch", "labels": ["a", "b"], "max_length": 16}


@pytest.fixture(scope="module")
def student():
    return load_registry().student("transformer").load()


@pytest.fixture(scope="module")
def source(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    spec = load_registry().student("transformer")
    params = spec.params(vocab_size=120, hidden_size=32, layers=2, heads=2)
    words = [f"{a}{b}" for a in "абвгд" for b in "клмнопрст"] * 3
    student.build(
        BuildRequest(
            out=folder, head="sequence", labels=("a", "b"), params=params, seed=3, max_length=16, assets={}, artifacts={},
            texts=lambda: iter(words),
        )
    )  # fmt: skip
    return folder


def batches(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        ids = rng.integers(5, 40, (1, int(rng.integers(2, 15))))
        yield {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def compress(student, source, out, **params):
    return LowRank().compress(
        CompressRequest(
            source=source, out=out, artifact=ARTIFACT, params=LowRankParams(**params), seed=0, arrays=[*batches(2)],
            calibration=[*batches(40)], student=lambda: student.load(source, "sequence"),
        )
    )  # fmt: skip


def answers(session, seed=9):
    return np.concatenate([session.forward(arrays)["logits"] for arrays in batches(20, seed)])


def loaded(student, folder):
    return LowRankRuntime().load(folder, ARTIFACT, student, 1)


def test_what_is_written_is_smaller_and_answers_nearly_alike(student, source, tmp_path):
    facts = compress(student, source, tmp_path, keep=0.6)
    whole, thin = load_file(source / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    size = {name: sum(t.numel() for t in tensors.values()) for name, tensors in (("whole", whole), ("thin", thin))}
    assert size["thin"] < size["whole"]
    assert facts["changed"]
    assert facts["bytes"] == {"fp32": 4 * size["thin"] + sum(t.nbytes - 4 * t.numel() for t in thin.values())}
    assert all(layer["rank"] >= 1 and 0 < layer["kept"] <= 1 for layer in facts["layers"].values())
    model = student.load(source, "sequence")
    with torch.inference_mode():
        expected = np.concatenate(
            [model(**{n: torch.from_numpy(a) for n, a in arrays.items()}).logits.numpy() for arrays in batches(20, 9)]
        )
    found = answers(loaded(student, tmp_path))
    assert not np.array_equal(found, expected)
    assert np.abs(found - expected).max() < 0.5 * expected.std() + 0.05


def test_small_layers_stay_whole(student, source, tmp_path):
    facts = compress(student, source, tmp_path, keep=0.5, smallest=10_000)
    assert not facts["changed"]
    assert facts["layers"] == {}
    assert facts["left_whole"] > 0


def test_the_same_again_is_the_same(student, source, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        compress(student, source, tmp_path / name)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lowrank.json", "{"),
        ("lowrank.json", "[]"),
        ("lowrank.json", '{"no.such.layer": 3}'),
        ("lowrank.json", '{"classifier": 3000000000}'),
        ("lowrank.json", '{"classifier": "3"}'),
        ("lowrank.json", "{}"),
        ("model.safetensors", "not tensors"),
        ("model.safetensors", None),
    ],
)
def test_files_that_do_not_fit_are_refused(student, source, tmp_path, name, content):
    compress(student, source, tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(StageError, match="not a model that 'lowrank' wrote"):
        read(tmp_path, "sequence")


def test_ranks_are_readable(student, source, tmp_path):
    facts = compress(student, source, tmp_path)
    ranks = json.loads((tmp_path / "lowrank.json").read_text())
    assert ranks == {name: layer["rank"] for name, layer in facts["layers"].items()}
