"""Pruning in suites: what is refused when the plan is made, and chains that go through."""

from __future__ import annotations

import json
from itertools import product

import pytest
import torch
from conftest import Project

from harness import StageError
from harness_pruning.choosing import chosen
from harness_pruning.foreseen import foreseen, too_many_heads, too_many_neurons
from harness_pruning.params import FfnParams, HeadsParams, LayerParams
from harness_transformers.plugin import TransformerParams

SUITE = """
schema = 1

[suite]
name = "pruned"
title = "Pruned"
anchor = {{ model = "teacher", compress = "none" }}

[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/quickstart"
max_length = 32

[models.teacher]
use = "transformer"
hidden_size = 32
layers = 2
heads = 4
vocab_size = 600
train = {{ distil = "finetune", epochs = 1, batch_size = 32, learning_rate = 1e-3 }}

[models.recurrent]
use = "{student}"
vocab_size = 600
train = {{ distil = "finetune", epochs = 1, batch_size = 32, learning_rate = 1e-3 }}

[chains]
{chains}

[matrix]
model = {models}
compress = {compress}
seed = [1]

[measure]
speed = false
"""


def planned(folder, link, model="teacher", code=0, student="lstm"):
    project = Project(folder)
    text = SUITE.format(
        student=student,
        chains=f"cut = [{link}]",
        models=json.dumps(["teacher", model]) if model != "teacher" else '["teacher"]',
        compress='["none", "cut"]',
    )
    (folder / "pruned.toml").write_text(text)
    return project.harness("plan", "pruned.toml", "--cells", code=code)


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ('{ use = "prune-heads", share = 0.9 }', "prune-heads: share = 0.9: 7 of 8 heads would go, and each of 2 layers keeps at least 1; set it to 0.75"),
        ('{ use = "prune-ffn", share = 0.9 }', "prune-ffn: share = 0.9: 230 of 256 neurons would go, and each of 2 layers keeps at least 16"),
        ('{ use = "layer-drop", keep = [0, 2] }', "layer-drop: keep = [0, 2]: the model has 2 layers, 0 to 1; there is no 2"),
        ('{ use = "layer-drop", keep = 3 }', "layer-drop: keep = 3: the model has 2 layers"),
        ('{ use = "prune-heads", share = 0.999999999999, scope = "layer" }', "4 of 4 heads would go, and each of 1 layer keeps at least 1"),
        ('{ use = "layer-drop", keep = 1 }, { use = "layer-drop", keep = 2 }', "layer-drop: keep = 2: the model has 1 layer (behind the links before it)"),
        ('"layer-drop", { use = "layer-drop", keep = [1] }', "layer-drop: keep = [1]: the model has 1 layer, 0; there is no 1 (behind"),
        ('{ use = "prune-heads", share = 0.75 }, { use = "prune-heads", share = 0.5 }', "1 of 2 heads would go, and each of 2 layers keeps at least 1; there is nothing that can go: leave it out (behind"),
        ('{ use = "prune-heads", share = 0.5, scope = "layer" }, { use = "prune-heads", share = 0.9 }', "prune-heads: share = 0.9: 3 of 4 heads would go, and each of 2 layers keeps at least 1; set it to 0.5"),
        ('{ use = "prune-ffn", share = 0.8 }, { recover = { distil = "finetune" } }, { use = "prune-ffn", share = 0.6 }', "prune-ffn: share = 0.6: 38 of 64 neurons would go, and each of 2 layers keeps at least 16; set it to 0.5"),
    ],
)  # fmt: skip
def test_what_would_leave_nothing_is_refused_by_the_plan(tmp_path, link, said):
    found = planned(tmp_path, link)
    assert said in " ".join(found.out.split())
    assert "1 skipped" in found.out


@pytest.mark.parametrize(
    "link",
    [
        '{ use = "prune-heads", share = 1.0 }',
        '{ use = "prune-magnitude", sparsity = -0.1 }',
        '{ use = "layer-drop", keep = [] }',
    ],
)
def test_what_no_model_could_take_is_an_error_of_the_suite(tmp_path, link):
    assert "chains.cut" in planned(tmp_path, link, code=2).err


def test_a_wrong_item_of_a_list_is_the_only_thing_said_about_it(tmp_path):
    said = planned(tmp_path, '{ use = "layer-drop", keep = [0.5] }', code=2).err.splitlines()
    assert [line.partition("chains.")[2] for line in said] == ["cut[0].keep[0]: expected an integer, got 0.5 (number)"]


@pytest.mark.parametrize("student", ["lstm", "srupp", "harness/lstm"])
def test_a_model_without_heads_is_skipped_with_the_reason(tmp_path, student):
    found = planned(tmp_path, '"prune-heads"', "recurrent", student=student)
    assert f"'{student.rpartition('/')[2]}' is no transformer" in " ".join(found.out.split())


SHARES, SCOPES, SIZES = (0.1, 0.7, 0.9), ("global", "layer"), (1, 4, 16)
LINKS = [FfnParams(share=share, scope=scope, multiple_of=size) for share, scope, size in product(SHARES, SCOPES, SIZES)]


@pytest.mark.parametrize("layers", [1, 3])
def test_what_is_foreseen_of_two_links_is_what_happens(layers):
    student = TransformerParams(hidden_size=64, layers=layers)
    told = 0
    for first, second in product(LINKS, LINKS):
        if too_many_neurons(first, student, []):
            continue
        left, _ = pruned([256] * layers, first)
        groups = foreseen(student, [first]).neurons
        assert sum(groups.counts) == sum(left)
        assert list(groups.counts) == left or not groups.placed
        _, refused = pruned(left, second)
        sure = groups.placed or (second.scope == "global" and second.multiple_of <= first.multiple_of)
        found = too_many_neurons(second, student, [first])
        assert bool(found) == bool(refused and sure)
        assert (found or "").startswith(f"prune-ffn: {refused}" if found else "")
        told += bool(found)
    assert told > 10


def pruned(counts, params):
    """How many neurons each layer has left where texts value them at random, or why they cannot go."""
    scores = [torch.rand(count, generator=torch.Generator().manual_seed(count)) for count in counts]
    try:
        per_layer = params.scope == "layer"
        kept = chosen(scores, params.share, "neurons", per_layer=per_layer, multiple=params.multiple_of)
    except StageError as error:
        return counts, str(error)
    return [*map(len, kept)], None


def test_what_a_checkpoint_decides_is_left_to_the_stage():
    share = HeadsParams(share=0.99)
    assert too_many_heads(share, TransformerParams(vocab_size=500), [])
    assert too_many_heads(share, TransformerParams(checkpoint="owner/name"), []) is None
    assert too_many_heads(share, TransformerParams(dropout=0.2), []) is None  # may be cut from another model
    assert too_many_heads(share, TransformerParams(layers=4, heads=2), [HeadsParams(share=0.5), LayerParams()]) is None


CHAINS = """
masked = ["prune-magnitude"]
all = [{ use = "prune-heads", share = 0.5 }, { use = "prune-ffn", share = 0.4 }, { use = "layer-drop", keep = 1 }, "onnx", "onnx-int8"]
trimmed = [{ use = "prune-heads", share = 0.5 }, "vocab-trim", "torch-int8"]
"""


@pytest.mark.slow
def test_chains_of_pruning_go_through(tmp_path):
    project = Project(tmp_path)
    (tmp_path / "pruned.toml").write_text(
        SUITE.format(
            student="lstm", chains=CHAINS, models='["teacher"]', compress='["none", "masked", "all", "trimmed"]'
        )
    )
    project.harness("run", "pruned.toml")
    lines = (tmp_path / "reports/pruned.records.jsonl").read_text().splitlines()
    cells = {doc["axes"]["compress"]: doc for doc in map(json.loads, lines) if doc["kind"] == "cell"}
    assert {cell["status"] for cell in cells.values()} == {"ok"}
    counts = {name: cell["artifact"]["parameters"] for name, cell in cells.items()}
    sizes = {name: cell["artifact"]["sizes"]["model_mib"] for name, cell in cells.items()}
    assert counts["masked"] == counts["none"]
    assert sizes["masked"] == sizes["none"]
    assert counts["all"] < counts["none"]
    assert sizes["all"] < 0.5 * sizes["none"]
    assert counts["trimmed"] < counts["none"]
    heads, neurons, layers = (cells["all"]["compress"][n] for n in range(3))
    assert sum(heads["heads"]) == 4
    assert sum(neurons["neurons"]) == 256 - 96
    assert layers["layers_before"] == 2
    assert "Masked, not removed" in (tmp_path / "reports/pruned.md").read_text()
