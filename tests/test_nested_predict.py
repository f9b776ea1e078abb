"""`harness run`, `predict` and `list` for a suite of nested entities, from documents to brat and back."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

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
DATA = Path(os.environ.get("HARNESS_DATA_DIR", ""))
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


def cells(report: str, begin: str) -> list[str]:
    """Of the first row of a report's tables that begins so."""
    (row, *_) = [line for line in report.splitlines() if line.replace("*", "").startswith(f"| {begin} ")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_report_counts_parameters_with_embeddings_and_without(trained):
    size = (trained.folder / "reports/nested.md").read_text().split("## Size")[1]
    whole, without = (
        int(cells(size, "small (anchor)")[cells(size, "row").index(name)].replace(",", ""))
        for name in ("parameters", "without embeddings")
    )
    (config,) = trained.folder.glob(".harness/objects/*/*/last/config.json")
    assert whole - without == json.loads(config.read_text())["vocab_size"] * 48


@pytest.mark.skipif(not (DATA / "runne/train.jsonl").exists(), reason="needs runne/ in HARNESS_DATA_DIR")
def test_the_report_prints_what_one_layer_for_each_type_can_reach_on_runne(tmp_path):
    project = Project(tmp_path, {"HARNESS_DATA_DIR": str(DATA)})
    small = SUITE.replace('"nested-ner"\nsource = "bundled:harness_ner/data/nested"', '"runne"\nlimit = 32')
    project.write(small.replace("epochs = 12", "epochs = 1"), "nested.toml")
    project.harness("run", "nested.toml")
    _, said = cells((tmp_path / "reports/nested.md").read_text(), "ceilings.test")
    assert re.search(r"\bmacro_f1:? 0\.971\b", said)
    _, said = cells((tmp_path / "reports/nested.md").read_text(), "overlaps.test")
    assert re.search(r"\bcrossing_pairs:? 7\b", said)


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
