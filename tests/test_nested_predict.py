"""`harness run`, `predict` and `list` for a suite of nested entities, from documents to brat and back."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import Project
from nested_helpers import prepare

SUITE = """
schema = 1
[suite]
name = "nested"
title = "Nested"
anchor = { model = "small", compress = "none" }
[task]
use = "nested-ner"
source = "bundled:harness_ner/data/nested"
max_length = 96
[models.small]
use = "lstm"
hidden_size = 48
embedding_size = 48
vocab_size = 500
lowercase = false
train = { distil = "finetune", epochs = 12, batch_size = 8, learning_rate = 1e-2 }
[matrix]
compress = ["none"]
seed = [1]
[measure]
speed = false
"""
TEXT = "Fenna Pavane, mayor of Farholm, opened the elections in Corvia."


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Project:
    made = Project(tmp_path_factory.mktemp("nested"))
    made.write(SUITE, "nested.toml")
    made.harness("run", "nested.toml")
    return made


@pytest.fixture(scope="module")
def answer(trained) -> dict:
    return json.loads(trained.harness("predict", "nested.toml", "--text", TEXT, "--json").out)


def test_what_was_learned_is_far_above_chance(trained):
    report = (trained.folder / "reports/nested.md").read_text()
    score = float(report.split("| **small** (anchor) | none")[1].split("|")[1].split()[0])
    assert score > 60
    assert "| ceilings.test" in report


def test_an_answer_holds_entities_inside_others(answer):
    places = [(entity["start"], entity["end"]) for entity in answer["entities"]]
    assert places == sorted(places, key=lambda place: (place[0], -place[1]))
    assert all(TEXT[e["start"] : e["end"]] == e["text"] for e in answer["entities"])
    inside = [(a, b) for a in places for b in places if a != b and b[0] <= a[0] and a[1] <= b[1]]
    assert inside


def test_the_text_shows_them(trained, answer):
    shown = trained.harness("predict", "nested.toml", "--text", TEXT).out
    assert shown.count("[") == len(answer["entities"])
    assert "]" in shown


def test_brat_files_of_answers_are_read_back(trained, answer, tmp_path):
    folder = tmp_path / "train"
    trained.harness("predict", "nested.toml", "--text", TEXT, "--format", "brat", "--out", str(folder))
    (example,) = prepare(tmp_path, ("transfer",)).roles["transfer"]
    assert example["text"] == TEXT
    for role in ("dev", "test"):
        (tmp_path / role).mkdir()
        for path in folder.iterdir():
            (tmp_path / role / path.name).write_bytes(path.read_bytes())
    (example,) = prepare(tmp_path).roles["test"]
    assert [tuple(e) for e in example["entities"]] == [(e["start"], e["end"], e["type"]) for e in answer["entities"]]


def test_the_tasks_page_shows_an_example(trained):
    page = trained.harness("list", "tasks", "nested-ner").out
    assert "without_entities" in page
    assert "data: bundled:harness_ner/data/nested: train " in page


def test_a_new_suite_for_nested_entities_of_ones_own_runs(trained):
    from harness_ner.nested_sample import FOLDER

    shutil.copytree(FOLDER, trained.folder / "corpus")
    path = trained.harness("new", "suite", "--task", "nested-ner", "--data", "corpus").out.strip()
    text = (trained.folder / path).read_text()
    assert 'metric = "micro_f1"' in text
    assert text.count("lowercase = false") == 3
    assert "→ 36 cells, 0 skipped" in trained.harness("plan", path).out
    changed = ("models.teacher.train.epochs=1", "models.student.train.epochs=1", "measure.speed=false")
    sets = [word for change in changed for word in ("--set", change)]
    trained.harness("run", path, "--only", "model=teacher|student,compress=none|onnx-int8,seed=1", *sets)
    report = (trained.folder / "reports/corpus.md").read_text()
    assert report.count("| onnx-int8 ") >= 2
    assert "failed" not in report
