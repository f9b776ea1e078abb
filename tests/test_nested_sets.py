"""The bundled documents, and the published sets where they are at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nested_helpers import ROLES, logits, prepare, rebus, source_of, task
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from harness_ner.bilou import types_of
from harness_ner.nested_sample import FOLDER, SIZES, files
from harness_ner.plugin import FEW_SHOT

DATA = Path(os.environ.get("HARNESS_DATA_DIR", ""))
needs_runne = pytest.mark.skipif(not (DATA / "runne/train.jsonl").exists(), reason="needs runne/ in HARNESS_DATA_DIR")
needs_rurebus = pytest.mark.skipif(not (DATA / "rurebus/train").exists(), reason="needs rurebus/ in HARNESS_DATA_DIR")


# ------------------------------------------------------------------------------------------------------------- sample


@pytest.fixture(scope="module")
def sample():
    return prepare(FOLDER, runne=True)


def test_committed_files_are_what_the_generator_writes():
    written = dict(files())
    assert {path.name for path in FOLDER.iterdir()} == set(written)
    for name, text in written.items():
        assert (FOLDER / name).read_bytes() == text.encode(), f"{name}: run python -m harness_ner.nested_sample"


def test_the_sample_has_what_the_task_is_about(sample):
    assert {role: fact["documents"] for role, fact in sample.facts["roles"].items()} == SIZES
    assert set(FEW_SHOT) < set(types_of(sample.labels))
    for role in ROLES:
        assert set(sample.facts["roles"][role]["entities"]) == set(types_of(sample.labels))
        assert sample.facts["representation"][role]["nested_in_its_type"] > 0
        assert "cuts_word" not in sample.facts["representation"][role]
    assert sample.facts["also_in_train"] == {"dev": 0, "test": 0}
    assert prepare(FOLDER).roles == sample.roles


def features(words: list[str], around: int) -> list[dict[str, int]]:
    padded = ["", "", *words, "", ""]
    return [{f"{step}={padded[i + step]}": 1 for step in range(-around, around + 1)} for i in range(2, len(words) + 2)]


def score_of_a_linear_tagger(data, around: int) -> dict[str, float]:
    made, count = task(runne=True), len(types_of(data.labels))
    rows = [row for example in data.roles["train"] for row in features(made.input(example), around)]
    tags = np.concatenate([made.target(example, data.labels) for example in data.roles["train"]])
    vectorizer = DictVectorizer()
    known = vectorizer.fit_transform(rows)
    asked = [vectorizer.transform(features(made.input(example), around)) for example in data.roles["test"]]
    outputs = [np.full((e.shape[0], count, 5), -30.0) for e in asked]
    for kind in range(count):
        model = LogisticRegression(max_iter=200, C=10, tol=1e-3).fit(known, tags[:, kind])
        for output, entry in zip(outputs, asked, strict=True):
            output[:, kind, model.classes_] = model.predict_log_proba(entry)
    samples = made.samples(data.roles["test"], [output.reshape(len(output), -1) for output in outputs], data.labels)
    return {n: float(v[0]) for n, v in made.metrics(samples, np.ones((1, len(samples))), data.labels).items()}


def test_the_sample_is_learned_from_neighbours_and_not_from_words_alone(sample):
    alone, among = (score_of_a_linear_tagger(sample, around) for around in (0, 2))
    assert task(runne=True).chance(sample.roles["test"], sample.labels) < 0.1
    assert alone["macro_f1"] < among["macro_f1"] - 0.05
    assert among["macro_f1"] > 0.8
    assert among["micro_f1"] <= sample.facts["ceilings"]["test"]["micro_f1"]


def test_reading_and_answering_load_nothing_heavy():
    code = (
        "import sys; from harness_ner.plugin import harness_tasks; from harness import Source; from pathlib import Path\n"
        "task = next(spec for spec in harness_tasks() if spec.name == 'runne').load()\n"
        f"names = ('dev.jsonl', 'test.jsonl', 'train.jsonl')\n"
        f"data = task.prepare(Source('', Path({str(FOLDER)!r}), names), ('train', 'dev', 'test'))\n"
        "print(*{'torch', 'transformers', 'datasets', 'sklearn', 'seqeval', 'pandas'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []


# -------------------------------------------------------------------------------------------------------------- RuNNE


@pytest.fixture(scope="module")
def runne():
    return prepare(DATA / "runne", runne=True)


@needs_runne
def test_runnes_counts_are_the_published_ones(runne):
    facts = runne.facts
    assert facts["files"]["test_with_answers.jsonl"]["documents"] == 0
    assert {name: entry["documents"] for name, entry in facts["files"].items() if entry["documents"]} == {
        "dev.jsonl": 323, "test.jsonl": 93, "train.jsonl": 461,
    }  # fmt: skip
    counts = {role: sum(facts["roles"][role]["entities"].values()) for role in ROLES}
    assert counts["train"] + counts["dev"] == 27_727
    assert counts["test"] == 5_838
    assert (
        facts["roles"]["test"]["entities"] | {"PERSON": 961, "PROFESSION": 857, "PERCENT": 7}
        == (facts["roles"]["test"]["entities"])
    )
    assert facts["reading"]["duplicate_mentions"] == 16 + 5
    assert len(types_of(runne.labels)) == 29
    assert facts["also_in_train"] == {"dev": 0, "test": 0}


@needs_runne
def test_what_overlaps_in_runne_is_what_others_counted(runne):
    overlaps = runne.facts["overlaps"]
    assert overlaps["test"] == {
        "inside_another": 1201, "inside_one_of_its_type": 472, "crossing_pairs": 7, "same_place_pairs": 5,
    }  # fmt: skip
    whole = {name: overlaps["train"][name] + overlaps["dev"][name] for name in overlaps["test"]}
    assert list(whole.values()) == [6196, 2354, 60, 36]


@needs_runne
def test_runnes_ceiling_is_that_of_one_layer_for_each_type(runne):
    ceiling, lost = runne.facts["ceilings"]["test"], runne.facts["representation"]["test"]
    assert ceiling["macro_f1"] == pytest.approx(0.971, abs=5e-4)
    assert ceiling["macro_f1_few_shot"] == pytest.approx(0.928, abs=5e-4)
    assert ceiling["micro_f1"] == pytest.approx(0.958, abs=1e-3)
    assert lost["cuts_word"] == 6
    assert sum(lost.values()) == 5_838


@needs_runne
def test_whoever_says_what_runnes_layers_can_hold_reaches_the_ceiling(runne):
    made, examples = task(runne=True), runne.roles["test"]
    perfect = [logits(np.array(made.target(example, runne.labels))) for example in examples]
    samples = made.samples(examples, perfect, runne.labels)
    scores = made.metrics(samples, np.ones((1, len(samples))), runne.labels)
    assert {name: round(float(v[0]), 4) for name, v in scores.items()} == runne.facts["ceilings"]["test"]


@needs_runne
def test_runnes_unlabelled_documents_are_a_transfer_set():
    from harness import Source

    data = task(runne=True).prepare(Source("dev", DATA / "runne", ("dev.jsonl",)), ("transfer",))
    assert data.facts["roles"]["transfer"]["documents"] == 323


# ------------------------------------------------------------------------------------------------------------ RuREBus


@needs_rurebus
def test_rurebus_counts_are_the_published_ones():
    data = rebus().prepare(source_of(DATA / "rurebus"), ROLES)
    facts = data.facts
    assert facts["files"] == {
        "train/*": {"documents": 188, "role": "train"}, "test_full/*": {"documents": 30, "role": "test"}
    }  # fmt: skip
    assert facts["reading"]["mentions"] == 54_388 + 8_457
    assert facts["duplicates_in_train"]["dropped"] == 6
    assert facts["roles"]["train"]["documents"] + facts["roles"]["dev"]["documents"] == 182
    assert sum(facts["roles"]["test"]["entities"].values()) == 8_457
    assert types_of(data.labels) == ("ACT", "BIN", "CMP", "ECO", "INST", "MET", "QUA", "SOC")
    assert facts["ceilings"]["test"]["micro_f1"] == 1.0
    bases = {role: {e["doc"].split("_part_")[0] for e in data.roles[role]} for role in ROLES}
    assert not bases["train"] & bases["dev"]
    assert not bases["train"] & bases["test"]
