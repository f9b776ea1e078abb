"""Pruning in suites: what is refused when the plan is made, and chains that go through."""

from __future__ import annotations

import json

import pytest
from conftest import Project

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

[models.lstm]
use = "lstm"
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


def planned(folder, link, model="teacher", code=0):
    project = Project(folder)
    text = SUITE.format(
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


def test_a_model_without_heads_is_skipped_with_the_reason(tmp_path):
    found = planned(tmp_path, '"prune-heads"', "lstm")
    assert "'lstm' is no transformer" in " ".join(found.out.split())


CHAINS = """
masked = ["prune-magnitude"]
all = [{ use = "prune-heads", share = 0.5 }, { use = "prune-ffn", share = 0.4 }, { use = "layer-drop", keep = 1 }, "onnx", "onnx-int8"]
trimmed = [{ use = "prune-heads", share = 0.5 }, "vocab-trim", "torch-int8"]
"""


@pytest.mark.slow
def test_chains_of_pruning_go_through(tmp_path):
    project = Project(tmp_path)
    (tmp_path / "pruned.toml").write_text(
        SUITE.format(chains=CHAINS, models='["teacher"]', compress='["none", "masked", "all", "trimmed"]')
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
