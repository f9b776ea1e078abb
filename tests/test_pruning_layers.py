"""layer-drop: which layers go, what comes of them, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pruning_models import FAMILIES, LAYERS, REGISTRY, answers, compress, loaded, model, saved, shapes, texts
from pydantic import ValidationError
from toy_models import toy_bag

from harness import CompressRequest, StageError
from harness_pruning.choosing import evenly
from harness_pruning.layers import least_missed
from harness_pruning.layout import reading, sites, stack


def idle(made, at):
    """Make a layer pass on what it gets: both of its parts add nothing, and a normalised state stays as it is."""
    with torch.no_grad():
        for part in ("heads", "ffn"):
            reader = reading(made, sites(made, part)[at].reader)
            reader.weight.zero_()
            reader.bias.zero_()
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_that_does_nothing_goes_first_and_no_answer_changes(tmp_path, family):
    source = saved(idle(model(family), 1), tmp_path / "source")
    facts = compress("layer-drop", source, tmp_path / "out", keep=2)
    assert facts["layers"] == [0, 2]
    assert [step["layer"] for step in facts["dropped"]] == [1]
    assert facts["dropped"][0]["turn"] < 1e-4
    cut = loaded(tmp_path / "out")
    np.testing.assert_allclose(answers(cut), answers(loaded(source)), atol=1e-4)
    assert len(stack(cut)[1]) == 2
    assert facts["parameters"] == sum(p.numel() for p in cut.parameters()) < facts["parameters_before"]


def test_named_layers_stay_in_their_order(tmp_path):
    source = saved(model(), tmp_path / "source")
    facts = compress("layer-drop", source, tmp_path / "out", keep=[0, 2])
    whole, cut = loaded(source), loaded(tmp_path / "out")
    assert facts["layers"] == [0, 2]
    for at, old in enumerate((0, 2)):
        for one, two in zip(stack(cut)[1][at].parameters(), stack(whole)[1][old].parameters(), strict=True):
            assert torch.equal(one, two)
    assert np.abs(answers(cut) - answers(whole)).max() > 0.05


def test_the_model_is_whole_again_after_the_search():
    made = model()
    before = answers(made)
    keep, steps = least_missed(made, 1, texts(8))
    assert len(keep) == 1
    assert len(steps) == LAYERS - 1
    assert np.array_equal(answers(made), before)


def test_evenly_spread_ones_hold_both_ends():
    assert evenly(3, 6) == [0, 2, 5]
    assert evenly(6, 12) == [0, 2, 4, 7, 9, 11]
    assert evenly(1, 6) == [0]
    assert evenly(6, 6) == [0, 1, 2, 3, 4, 5]


def test_half_of_them_stay_unless_said(tmp_path):
    facts = compress("layer-drop", saved(model(), tmp_path / "source"), tmp_path / "out", choose="even")
    assert facts["layers"] == [0]
    assert facts["dropped"] == []


def test_unequal_layers_keep_their_widths_under_new_names(tmp_path):
    source = saved(model(), tmp_path / "source")
    cut = compress("prune-ffn", source, tmp_path / "ffn", share=0.5, multiple_of=4)["neurons"]
    assert len(set(cut)) == LAYERS
    compress("layer-drop", tmp_path / "ffn", tmp_path / "out", keep=[0, 2])
    made = loaded(tmp_path / "out")
    assert [site.groups for site in sites(made, "ffn")] == [cut[0], cut[2]]
    for at, old in enumerate((0, 2)):
        whole = stack(loaded(tmp_path / "ffn"))[1][old]
        assert torch.equal(stack(made)[1][at].output.dense.weight, whole.output.dense.weight)
    said = json.loads((tmp_path / "out" / "config.json").read_text())["linear_shapes"]
    assert all(".layer.2." not in name for name in said)


def test_keeping_all_of_them_changes_nothing_and_says_so(tmp_path):
    source = saved(model(), tmp_path / "source")
    facts = compress("layer-drop", source, tmp_path / "out", keep=LAYERS)
    assert not facts["changed"]
    assert shapes(loaded(tmp_path / "out")) == shapes(loaded(source))


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ([0, 3], r"keep = \[0, 3\]: the model has 3 layers, 0 to 2; there is no 3"),
        (4, "keep = 4: the model has 3 layers"),
    ],
)
def test_layers_that_are_not_there_are_refused(tmp_path, keep, said):
    with pytest.raises(StageError, match=said):
        compress("layer-drop", saved(model(), tmp_path / "source"), tmp_path / "out", keep=keep)


@pytest.mark.parametrize("keep", [0, -1, [], [-1, 2], [2, 0], [1, 1], 1.5, "3", True])
def test_what_names_no_layers_is_refused_when_the_suite_is_read(keep):
    with pytest.raises(ValidationError):
        REGISTRY.compressor("layer-drop").params(keep=keep)


@pytest.mark.parametrize("name", ["prune-heads", "prune-ffn", "layer-drop"])
def test_models_without_layers_are_refused_with_what_is_known(tmp_path, name):
    spec = REGISTRY.compressor(name)
    request = CompressRequest(
        source=tmp_path, out=tmp_path, artifact={}, params=spec.params(), seed=0, arrays=[], calibration=[], student=toy_bag
    )  # fmt: skip
    with pytest.raises(StageError, match="a 'toy-bag' model has no layers that are known here; known: 'bert', "):
        spec.load().compress(request)


def test_of_two_classes_the_distance_decides_where_no_answer_turns():
    made = idle(model(), 2)
    made.classifier = torch.nn.Linear(32, 2)
    with torch.no_grad():
        made.classifier.bias.copy_(torch.tensor([9.0, -9.0]))  # every text is of the first class, without any layer
    keep, steps = least_missed(made, 2, texts(8))
    assert keep == [0, 1]
    assert steps == [{"layer": 2, "turn": 0.0}]


def test_the_first_ones_stay_where_they_are_asked_for(tmp_path):
    facts = compress("layer-drop", saved(model(), tmp_path / "source"), tmp_path / "out", keep=2, choose="first")
    assert facts["layers"] == [0, 1]


def test_a_layer_that_only_makes_answers_louder_goes_first(tmp_path):
    """As late layers do: without it the logits shrink by far, and nothing else about them changes."""
    made = idle(model(), 2)
    _, layers = stack(made)
    with torch.no_grad():
        layers[2].output.LayerNorm.weight.mul_(5.0)
        for part in ("heads", "ffn"):  # what the second layer says is little, so that its absence moves logits less
            reading(made, sites(made, part)[1].reader).weight.mul_(0.1)
        made.bert.pooler.dense.weight.mul_(0.01)  # in the linear part of tanh
        made.bert.pooler.dense.bias.zero_()
        made.classifier.bias.zero_()
    facts = compress("layer-drop", saved(made, tmp_path / "source"), tmp_path / "out", keep=2)
    assert facts["layers"] == [0, 1]
    whole = answers(loaded(tmp_path / "source"))
    np.testing.assert_allclose(5 * answers(loaded(tmp_path / "out")), whole, atol=0.05 * np.abs(whole).max())
