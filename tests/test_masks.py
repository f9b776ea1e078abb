"""Zeros that a mask left stay zero while training goes on: in the loop, after a kill, in plans and in whole runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from conftest import Project
from safetensors.torch import load_file
from test_loop import EVERYTHING, Killed, dev, request, same

from harness.assets import Places
from harness.keys import Ref
from harness.plan import Context
from harness.planner import make_plan
from harness.plugins import load_registry
from harness.records import read_records
from harness.stages import loop
from harness.stages.loop import train
from harness.stages.masks import zeros
from harness.store import Store
from harness.suite import parse_suite
from harness_pruning.magnitude import mask, matrices


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pruned(folder: Path, kind: str = "lstm", *, masked: bool = True, **changes):
    """A small training of a model of which six in ten weights are zero; where they are; and what it saves."""
    made, saved = request(folder, kind, masked=masked, **changes)
    mask(matrices(made.model, embeddings=False), 0.6, per_layer=False)
    return made, zeros(made.model), saved


def filled(weights: dict, held: dict) -> int:
    """How many zeros of the mask are no longer zero."""
    return sum(int((weights[name][zero] != 0).sum()) for name, zero in held.items())


# ----------------------------------------------------------------------------------------------------------- the loop


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_zeros_stay_exactly_zero_in_everything_that_is_saved(tmp_path, kind, optimizer):
    options = {"optimizer": optimizer, "weight_decay": 0.1, "learning_rate": 0.05}
    made, held, saved = pruned(tmp_path, kind, dev=dev(), train=options, outputs=EVERYTHING["outputs"])
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    assert sum(int(zero.sum()) for zero in held.values()) > 100
    train(made)
    assert saved.keys() == EVERYTHING["outputs"]
    assert {filled(weights, held) for weights in saved.values()} == {0}
    for name, zero in held.items():
        moved = saved["last"][name] != before[name]
        assert moved[~zero].float().mean() > 0.9 or "embed" in name, name  # the rest learns


def test_they_stay_zero_in_half_precision_too(tmp_path):
    made, held, saved = pruned(tmp_path, "transformer", train={"precision": "bf16", "weight_decay": 0.1})
    train(made)
    assert filled(saved["last"], held) == 0


def test_without_the_mask_they_are_trained_away(tmp_path):
    """What the tests above would see if nothing held them."""
    made, held, saved = pruned(tmp_path, masked=False)
    train(made)
    assert filled(saved["last"], held) > 100


def test_a_mask_that_does_not_hold_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "hold", lambda model, held: None)
    made, held, saved = pruned(tmp_path)
    train(made)
    assert filled(saved["last"], held) > 100


def test_clipping_measures_the_weights_that_learn(tmp_path):
    options = {"optimizer": "sgd", "weight_decay": 0.0, "learning_rate": 1.0, "warmup": 0.0, "max_steps": 1}
    made, held, saved = pruned(tmp_path, train={**options, "clip": 1e-3})
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    train(made)
    moved = math.sqrt(sum((saved["last"][name] - before[name]).pow(2).sum().item() for name in before))
    assert moved == pytest.approx(1e-3, rel=1e-3)
    assert filled(saved["last"], held) == 0


def test_a_model_without_zeros_trains_as_ever(tmp_path):
    plain, first = request(tmp_path / "plain", "transformer")
    held, second = request(tmp_path / "held", "transformer", masked=True)
    for made in (plain, held):
        with torch.no_grad():
            for parameter in made.model.parameters():
                parameter.masked_fill_(parameter == 0, 1e-3)  # padding has zeros
        train(made)
    assert same(first["last"], second["last"])


@pytest.mark.parametrize("step", [3, 12])
def test_a_kill_in_the_middle_changes_nothing(tmp_path, step):
    expected, held, weights = pruned(tmp_path / "undisturbed", dev=dev(), **EVERYTHING)
    train(expected)

    def kill(at, total, loss, rate):
        if at == step:
            raise Killed

    first, _, nothing = pruned(tmp_path, dev=dev(), progress=kill, state_seconds=0.0, **EVERYTHING)
    with pytest.raises(Killed):
        train(first)
    assert not nothing
    again, _, saved = pruned(tmp_path, dev=dev(), **EVERYTHING)
    train(again)
    assert all(same(saved[name], weights[name]) for name in weights)
    assert {filled(found, held) for found in saved.values()} == {0}


# -------------------------------------------------------------------------------------------------------------- plans

RECOVER = '{ recover = { distil = "finetune", epochs = 2, batch_size = 32, learning_rate = 5e-3 } }'
SUITE = f"""
schema = 1
[suite]
name = "pruned"
anchor = {{ model = "teacher", compress = "none" }}
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/sample"
max_length = 32
[models.teacher]
use = "transformer"
hidden_size = 32
layers = 2
heads = 4
vocab_size = 600
train = {{ distil = "finetune", epochs = 1, batch_size = 32, learning_rate = 1e-3 }}
[measure]
speed = false
[chains]
masked = ["prune-magnitude"]
recovered = ["prune-magnitude", {RECOVER}]
shipped = ["prune-magnitude", {RECOVER}, "torch-int8"]
cut = ["prune-magnitude", {{ use = "prune-heads", share = 0.5 }}, {RECOVER}]
twice = ["prune-magnitude", {RECOVER}, {{ use = "prune-heads", share = 0.5 }}, {RECOVER}]
nothing = [{{ use = "prune-magnitude", sparsity = 0.0 }}, {RECOVER}]
heads = [{{ use = "prune-heads", share = 0.5 }}, {RECOVER}]
before = [{RECOVER}, "prune-magnitude"]
"""


def suite(*chains: str) -> str:
    return f"{SUITE}[matrix]\ncompress = {json.dumps(['none', *chains])}\n"


def test_plans_say_which_training_comes_after_a_mask(tmp_path):
    chains = ("recovered", "shipped", "cut", "twice", "nothing", "heads", "before")
    registry = load_registry()
    context = Context(
        registry=registry,
        places=Places(tmp_path),
        machine={"isa": "", "identity": {}},
        library_version=lambda name: "1",
    )
    plan = make_plan(parse_suite(suite(*chains), registry), context)
    masked = {
        str(cell.cell["compress"]): [plan.stages[key].params.get("masked") for key in cell.train] for cell in plan.cells
    }
    assert masked == {
        "none": [None],
        "recovered": [None, True],
        "shipped": [None, True],
        "cut": [None, True],
        "twice": [None, True, True],
        "nothing": [None, None],
        "heads": [None, None],
        "before": [None, None],
    }


# --------------------------------------------------------------------------------------------------------- whole runs


def weights(store: Store, ref: Ref) -> dict[str, torch.Tensor]:
    return load_file(store.path(ref) / "model.safetensors")


def zero_at(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor == 0 for name, tensor in tensors.items() if tensor.ndim > 1}


def test_a_recovered_row_is_still_masked_and_the_report_says_so(tmp_path):
    project = Project(tmp_path)
    project.write(suite("masked", "recovered", "shipped", "cut", "heads"), "pruned.toml")
    project.harness("run", "pruned.toml")
    found = read_records(tmp_path / "reports/pruned.records.jsonl")
    cells = {cell["axes"]["compress"]: cell for cell in found.cells}
    assert {cell["status"] for cell in cells.values()} == {"ok"}
    store = Store(next(path.parent for path in tmp_path.rglob("objects") if path.is_dir()))

    def made(chain: str, stage: str, output: str = "out") -> dict[str, torch.Tensor]:
        return weights(store, Ref(cells[chain]["stages"][stage], output))

    pairs = {"recovered": ("compress.3", "train.2"), "cut": ("compress.4", "train.2")}
    for chain, (start, end) in pairs.items():
        before, after = made(chain, start), made(chain, end, "last")
        assert sum(int(zero.sum()) for zero in zero_at(before).values()) > 1000
        assert all(bool((after[name][zero] == 0).all()) for name, zero in zero_at(before).items())
        assert any(not torch.equal(before[name], after[name]) for name in before)
        count = sum(int(zero.sum()) for zero in zero_at(after).values())
        (_, facts) = cells[chain]["train"]
        assert (facts["masked"], facts["zeros"]) == (True, count)
        assert cells[chain]["compress"][0]["masked"]
    assert cells["recovered"]["compress"][0]["nonzero"] == cells["masked"]["compress"][0]["nonzero"]
    assert cells["shipped"]["stages"]["train.2"] == cells["recovered"]["stages"]["train.2"]
    assert "masked" not in cells["heads"]["train"][1]
    page = (tmp_path / "reports/pruned.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("**⚠ Masked, not removed:**")]
    assert all(f"teacher · {chain}" in line for chain in ("masked", "recovered", "shipped", "cut"))
    assert "teacher · heads" not in line
