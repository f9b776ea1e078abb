"""prune-magnitude: exactly the smallest become zero, and nothing pretends that they were removed."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from pruning_models import REGISTRY, answers, compress, loaded, model, saved
from pydantic import ValidationError
from toy_models import toy_lstm

from harness import CompressRequest
from harness_pruning.magnitude import mask, matrices, nonzero


def numbers(*values):
    return torch.tensor(values, dtype=torch.float32)[None]


def test_globally_exactly_the_smallest_of_all_become_zero():
    chosen = {"a": numbers(1.0, -2.0, 3.0, 0.5), "b": numbers(-10.0, 0.1, 20.0, 30.0)}
    mask(chosen, 0.5, per_layer=False)
    assert chosen["a"].tolist() == [[0, 0, 3, 0]]
    assert chosen["b"].tolist() == [[-10, 0, 20, 30]]


def test_by_layer_each_loses_the_same_share():
    chosen = {"a": numbers(1.0, -2.0, 3.0, 0.5), "b": numbers(-10.0, 0.1, 20.0, 30.0)}
    mask(chosen, 0.5, per_layer=True)
    assert chosen["a"].tolist() == [[0, -2, 3, 0]]
    assert chosen["b"].tolist() == [[0, 0, 20, 30]]


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.3, 0.5, 0.99])
def test_weights_of_one_size_go_by_their_place_and_not_all_at_once(sparsity):
    chosen = {"a": torch.ones(3, 10), "b": -torch.ones(7, 10)}
    mask(chosen, sparsity, per_layer=False)
    assert nonzero(chosen) == 100 - int(sparsity * 100)


def test_facts_count_what_is_there(tmp_path):
    source = saved(model(), tmp_path / "source")
    facts = compress("prune-magnitude", source, tmp_path / "out", sparsity=0.6)
    whole, cut = loaded(source), loaded(tmp_path / "out")
    chosen = matrices(cut, embeddings=False)
    total = sum(tensor.numel() for tensor in chosen.values())
    assert facts["weights"] == total
    assert facts["nonzero"] == nonzero(chosen) == total - int(0.6 * total)
    assert facts["masked"]
    assert facts["changed"]
    assert "parameters" not in facts  # nothing was removed
    sizes = {
        name: (folder / "model.safetensors").stat().st_size for name, folder in (("a", source), ("b", tmp_path / "out"))
    }
    assert sizes["a"] == sizes["b"]
    packed = facts["zlib_6_bytes"]
    assert packed["after"] == len(zlib.compress((tmp_path / "out" / "model.safetensors").read_bytes(), 6))
    assert packed["after"] < 0.9 * packed["before"]
    assert np.abs(answers(cut) - answers(whole)).max() > 0.01


def test_what_it_leaves_alone_stays_bit_for_bit(tmp_path):
    source = saved(model(), tmp_path / "source")
    compress("prune-magnitude", source, tmp_path / "out", sparsity=0.9)
    whole, cut = loaded(source), loaded(tmp_path / "out")
    touched = set(matrices(whole, embeddings=False))
    for name, parameter in cut.named_parameters():
        assert torch.equal(parameter, whole.get_parameter(name)) != (name in touched)
    assert not any("embeddings" in name for name in touched)
    assert any("embeddings" in name for name in matrices(whole, embeddings=True))


def test_recurrent_matrices_are_weights_too():
    chosen = matrices(toy_lstm(), embeddings=False)
    assert {name.partition(".")[0] for name in chosen} == {"rnn", "classifier"}
    assert "rnn.weight_hh_l0" in chosen


def test_a_recurrent_model_answers_with_its_zeros(tmp_path):
    made = toy_lstm()
    source = saved(made, tmp_path / "source")
    spec = REGISTRY.compressor("prune-magnitude")
    out = tmp_path / "out"
    out.mkdir()
    facts = spec.load().compress(
        CompressRequest(
            source=source, out=out, artifact={}, params=spec.params(), seed=0, arrays=[], calibration=[],
            student=lambda: made,
        )
    )  # fmt: skip
    again = type(made).from_pretrained(out)
    assert nonzero(matrices(again, embeddings=False)) == facts["nonzero"]


def test_nothing_to_mask_is_said(tmp_path):
    source = saved(model(), tmp_path / "source")
    facts = compress("prune-magnitude", source, tmp_path / "out", sparsity=0.0)
    assert not facts["changed"]
    assert not facts["masked"]


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan"), "0.5", True])
def test_a_sparsity_outside_its_range_is_refused_when_the_suite_is_read(sparsity):
    with pytest.raises(ValidationError):
        REGISTRY.compressor("prune-magnitude").params(sparsity=sparsity)


@pytest.mark.parametrize("name", ["prune-heads", "prune-ffn"])
@pytest.mark.parametrize("share", [-0.1, 1.0, float("inf")])
def test_so_is_a_share(name, share):
    with pytest.raises(ValidationError):
        REGISTRY.compressor(name).params(share=share)
