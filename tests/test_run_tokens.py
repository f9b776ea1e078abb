"""Entities from suite to report: every distiller of words, int8, the choice on dev, critical spans, shared teacher outputs."""

from __future__ import annotations

import json

import numpy as np
import pytest

STUDENT = 'use = "lstm"\nhidden_size = 24\nembedding_size = 24\nvocab_size = 300\n'
LOOP = "learning_rate = 2e-2, epochs = 12, batch_size = 16"
SUITE = f"""
schema = 1
[suite]
name = "words"
anchor = {{ model = "teacher", compress = "none" }}
[task]
use = "ner"
source = "bundled:harness_ner/data/sample"
max_length = 32
critical = ["PER"]
[models.teacher]
use = "transformer"
hidden_size = 32
layers = 2
heads = 2
vocab_size = 400
train = {{ distil = "finetune", learning_rate = 3e-3, epochs = 12, batch_size = 16 }}
[models.kd]
{STUDENT}train = {{ distil = "kd", teacher = "teacher", {LOOP} }}
[models.constrained]
{STUDENT}train = {{ distil = "constrained", teacher = "teacher", cooling = 1.0, {LOOP} }}
[models.guarantee]
{STUDENT}train = {{ distil = "guarantee", teacher = "teacher", {LOOP} }}
[models.hidden]
{STUDENT}train = {{ distil = "hidden", teacher = "teacher", layers = [[-1, 2], [0, 0]], {LOOP} }}
[models.mse]
{STUDENT}train = {{ distil = "mse", teacher = "teacher", alpha = 0.9, {LOOP} }}
[chains]
onnx-int8 = ["onnx", "onnx-int8"]
[matrix]
model = ["teacher", "kd", "constrained", "guarantee", "hidden", "mse"]
compress = ["none"]
beta = [0.0, 0.5]
seed = [1]
[[matrix.include]]
model = "kd"
compress = "onnx-int8"
seed = 1
[matrix.sets]
beta = "train.beta"
[select]
axis = "beta"
metric = "f1_critical"
[measure]
speed = false
retention = {{ of = "teacher", metric = "f1_critical", at_least = [0.9] }}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from conftest import Project

    made = Project(tmp_path_factory.mktemp("words"))
    made.write(SUITE, "words.toml")
    made.harness("run", "words.toml")
    return made


def documents(project):
    lines = (project.folder / "reports/words.records.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return found[0], {doc["cell"]: doc for doc in found if doc["kind"] == "cell"}


def test_every_distiller_of_words_trains(run):
    _, cells = documents(run)
    assert {doc["status"] for doc in cells.values()} == {"ok"}
    assert len(cells) == 8
    scores = [doc["quality"]["metrics"]["f1"] for doc in cells.values() if doc["axes"]["compress"] == "none"]
    assert len(set(scores)) > 3
    parts = {doc["distil"][0] for doc in cells.values()}
    assert parts == {"finetune", "kd", "constrained", "guarantee", "hidden", "mse"}


def test_a_sweeps_zero_is_trained_once(run):
    _, cells = documents(run)
    zero, kd = cells["model=constrained,compress=none,beta=0.0,seed=1"], cells["model=kd,compress=none,seed=1"]
    assert zero["train"][0]["use"] == kd["train"][0]["use"] == "kd"
    assert zero["quality"]["samples"] == kd["quality"]["samples"]
    assert [key for name, key in zero["stages"].items() if name.startswith("train")] == [
        key for name, key in kd["stages"].items() if name.startswith("train")
    ]
    half = cells["model=constrained,compress=none,beta=0.5,seed=1"]
    assert half["train"][0]["use"] == "constrained"


def test_the_teacher_answers_once_for_the_sweep_and_once_for_those_who_ask_for_states(run):
    kinds = {}
    for file in run.folder.glob(".harness/objects/**/key.json"):
        key = json.loads(file.read_text())
        kinds.setdefault(key["kind"], []).append(key)
    on_train = [key for key in kinds["predict"] if key["inputs"]["data"][1] == "train"]
    assert sorted(key["params"].get("states", []) for key in on_train) == [[], [0, 2]]
    assert len(kinds["train"]) == 6


def test_states_are_stored_in_half_precision_beside_the_logits(run):
    (file,) = run.folder.glob(".harness/objects/**/states.2.npy")
    states, logits = np.load(file), np.load(file.with_name("logits.npy"))
    assert states.dtype == np.float16
    assert states.shape == (len(logits), 32)
    assert states.std() > 0.1


def test_what_is_critical_changes_scores_and_losses_alone(run):
    before = run.harness("plan", "words.toml").out
    after = run.harness("plan", "words.toml", "--set", 'task.critical=["LOC"]').out
    assert "prepare 1/1" in before
    assert "train 6/6" in before
    assert "prepare 1/1" in after
    assert "train 4/6" in after  # constrained and guarantee are about other types now
    assert "score 0/" in after


def test_critical_spans_are_recorded_and_reported(run):
    document, cells = documents(run)
    items = document["task"]["data"][0]["items"]
    assert {item["type"] for item in items} == {"PER"}
    teacher = cells["model=teacher,compress=none,seed=1"]["quality"]
    found = np.unpackbits(np.frombuffer(bytes.fromhex(teacher["found"]), dtype=np.uint8))[: len(items)]
    assert found.mean() == pytest.approx(teacher["metrics"]["coverage"])
    page = (run.folder / "reports/words.md").read_text()
    assert "## Critical spans lost and won" in page
    assert "## Chosen on dev" in page


def test_what_was_chosen_is_the_best_on_dev(run):
    _, cells = documents(run)
    dev = {
        doc["axes"]["beta"]: doc["dev"]["f1_critical"]
        for doc in cells.values()
        if doc["axes"]["model"] == "constrained"
    }
    assert set(dev) == {0.0, 0.5}
    page = (run.folder / "reports/words.md").read_text()
    best = max(dev, key=lambda beta: (dev[beta], -beta))
    line = next(
        line for line in page[page.index("## Chosen on dev") :].splitlines() if line.startswith("| constrained")
    )
    assert f"**{best}**" in line


def test_predict_answers_with_the_artifact(run):
    words = ("predict", "words.toml", "--only", "model=teacher,compress=none", "--text", "Anna Petrova visited Tver .")
    answer = json.loads(run.harness(*words, "--json").out)
    assert answer["text"] == "Anna Petrova visited Tver ."
    for entity in answer["entities"]:
        assert answer["text"][entity["start"] : entity["end"]] == entity["text"]
        assert entity["critical"] == (entity["type"] == "PER")


def test_texts_that_may_not_be_passed_on_are_in_no_record_and_no_report(run, tmp_path):
    """The same suite as CoNLL-2003: spans are counted, and not a sentence of the test data is quoted."""
    from conftest import Project

    named = {
        "task.use": '"conll2003"',
        "matrix.model": '["teacher", "kd", "constrained"]',
        "task.critical": '["PER", "ORG"]',
    }
    words = [f"--set={name}={value}" for name, value in named.items()]
    made = Project(tmp_path)
    made.write(SUITE, "words.toml")
    made.harness("run", "words.toml", *words)
    files = [path for path in (tmp_path / "reports").iterdir() if path.is_file()]
    assert {".md", ".jsonl", ".json", ".csv"} <= {path.suffix for path in files}
    texts = [
        json.loads(line)["text"]
        for path in tmp_path.glob(".harness/objects/**/test/examples.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(texts) > 40
    for path in files:
        written = path.read_text()
        assert not [text for text in texts if text in written], path.name
    assert "## Critical spans lost and won" in (tmp_path / "reports/words.md").read_text()
    document, _ = documents(made)
    assert set(document["task"]["data"][0]["items"][0]) == {"example", "start", "end", "type"}
