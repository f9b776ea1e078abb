"""The bundled components in whole runs: a rehearsal of the quickstart, its kill and its resumption."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

import harness_sentiment

QUICKSTART = str(Path(__file__).parents[1] / "suites" / "quickstart.toml")
ONE = "model=lstm-kd,seed=1"
FEW = ("run", QUICKSTART, "--rehearse", "--set", "measure.speed=false")


def cells(folder: Path, name: str = "quickstart.rehearsal"):
    lines = (folder / f"reports/{name}.records.jsonl").read_text().splitlines()
    return {doc["cell"]: doc for doc in map(json.loads, lines) if doc["kind"] == "cell"}


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    from conftest import Project

    project = Project(tmp_path_factory.mktemp("rehearsed"))
    project.harness(*FEW, "--only", ONE)
    return project


def test_every_chain_goes_through_and_proves_its_work(rehearsed):
    found = cells(rehearsed.folder)
    assert {doc["status"] for doc in found.values()} == {"ok"}
    assert len(found) == 4
    int8 = found["model=lstm-kd,compress=onnx-int8,seed=1"]
    assert [step["use"] for step in int8["compress"]] == ["onnx", "onnx-int8"]
    assert int8["compress"][0]["parity"]["max_difference"] < 1e-4
    assert int8["compress"][1]["changed"]
    assert (
        int8["artifact"]["sizes"]["model_mib"]
        < found["model=lstm-kd,compress=none,seed=1"]["artifact"]["sizes"]["model_mib"] / 2
    )
    assert int8["train"][0]["curve"]["loss"]


def test_the_exported_model_answers_like_its_source(rehearsed):
    found = cells(rehearsed.folder)
    answers = {name: [pair[1] for pair in doc["quality"]["samples"]] for name, doc in found.items()}
    assert answers["model=lstm-kd,compress=none,seed=1"] == answers["model=lstm-kd,compress=onnx,seed=1"]


def test_a_rehearsal_never_writes_a_real_report(rehearsed):
    assert not (rehearsed.folder / "reports/quickstart.md").exists()
    assert "Rehearsal" in (rehearsed.folder / "reports/quickstart.rehearsal.md").read_text()


def test_no_pickle_lies_in_the_store(rehearsed):
    files = [path for path in rehearsed.folder.glob(".harness/objects/**/*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".jsonl", ".npy", ".safetensors", ".onnx"}
    for path in files:
        head = path.read_bytes()[:2]
        assert head[:1] != b"\x80" or path.suffix == ".safetensors", path


def test_a_training_killed_in_the_middle_ends_like_an_undisturbed_one(rehearsed, project):
    run = project.start(*FEW, "--only", f"{ONE},compress=none")
    training = project.folder / ".harness" / "scratch"
    end = time.monotonic() + 120
    while not list(training.glob("*/state.safetensors")) and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    project.harness(*FEW, "--only", f"{ONE},compress=none")
    ours = cells(project.folder)["model=lstm-kd,compress=none,seed=1"]
    calm = cells(rehearsed.folder)["model=lstm-kd,compress=none,seed=1"]
    assert ours["quality"] == calm["quality"]
    assert ours["train"][0]["curve"] == calm["train"][0]["curve"]
    assert not list(training.glob("*"))


CHECKPOINT = """
schema = 1
[suite]
name = "checkpoint"
title = "A checkpoint from a folder"
anchor = { model = "teacher", compress = "none" }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/quickstart"
limit = 1500
max_length = 32
[models.teacher]
use = "transformer"
checkpoint = "bert"
train = { distil = "finetune", epochs = 10, learning_rate = 3e-3 }
[models.student]
use = "lstm"
hidden_size = 8
vocab_size = 600
train = { distil = "kd", teacher = "teacher", epochs = 1 }
[chains]
onnx-int8 = ["onnx", "onnx-int8"]
[matrix]
compress = ["none", "onnx-int8"]
[measure]
speed = false
"""


@pytest.fixture
def checkpoint(project):
    """A tiny BERT in the hub's layout, and a suite that starts from it."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    data = Path(harness_sentiment.__file__).parent / "data" / "quickstart" / "train.jsonl"
    texts = [json.loads(line)["text"] for line in data.read_text(encoding="utf-8").splitlines()]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for text in texts for word in text.split()})]
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(project.folder / "bert")
    (project.folder / "bert" / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    project.write(CHECKPOINT, "checkpoint.toml")
    return project


def test_a_checkpoint_trains_teaches_and_is_exported_and_its_code_is_never_run(checkpoint):
    canary = checkpoint.folder / "canary"
    (checkpoint.folder / "bert" / "modeling.py").write_text(f"open({str(canary)!r}, 'w')")
    checkpoint.harness("run", "checkpoint.toml")
    found = cells(checkpoint.folder, "checkpoint")
    assert {doc["status"] for doc in found.values()} == {"ok"}
    assert len(found) == 4
    assert found["model=teacher,compress=onnx-int8,seed=42"]["compress"][1]["int8_matmuls"] >= 6
    assert "stages: 0 done" in checkpoint.harness("run", "checkpoint.toml").err
    assert not canary.exists()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("pickle", "pickled files are never loaded"),
        ("auto_map", "auto_map"),
        ("missing", "is not here"),
    ],
)
def test_a_checkpoint_that_must_not_be_loaded_is_2_before_any_training(checkpoint, harm, said):
    folder = checkpoint.folder / "bert"
    if harm == "pickle":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif harm == "auto_map":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Evil"}}))
    else:
        folder.rename(checkpoint.folder / "elsewhere")
    done = checkpoint.harness("run", "checkpoint.toml", code=2)
    assert said in done.err, done.err
    assert "Traceback" not in done.err
    assert not list(checkpoint.folder.glob("reports/*"))
    assert not list(checkpoint.folder.glob(".harness/logs/train-*"))
