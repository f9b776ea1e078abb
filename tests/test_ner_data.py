"""The bundled sentences, and the published set where it is at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ner_helpers import ROLES, everyone, prepare, source_of, task
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from harness_ner.generate import DATA, SIZES, files

PUBLISHED = Path(os.environ.get("HARNESS_DATA_DIR", "")) / "conll2003"
needs_published = pytest.mark.skipif(
    not (PUBLISHED / "train.txt").exists(), reason="needs conll2003/{train,valid,test}.txt in HARNESS_DATA_DIR"
)


@pytest.fixture(scope="module")
def sample():
    return prepare(DATA / "sample", conll=True)


def test_committed_files_are_what_the_generator_writes():
    written = files()
    assert {path.relative_to(DATA).as_posix() for path in DATA.rglob("*.txt")} == set(written)
    for name, text in written.items():
        assert (DATA / name).read_bytes() == text.encode(), f"{name}: run python -m harness_ner.generate"


def test_the_sample_has_every_type_in_every_split_and_no_repeats(sample):
    assert {role: len(sample.roles[role]) for role in ROLES} == dict(
        zip(ROLES, (SIZES["sample"][role] for role in ("train", "valid", "test")), strict=True)
    )
    for role in ROLES:
        assert set(sample.facts["roles"][role]["entities"]) == {"PER", "ORG", "LOC", "MISC"}
    assert sample.facts["duplicates"] == 0
    assert sample.facts["first_illegal"] == []


def test_the_sample_serves_both_tasks(sample):
    assert prepare(DATA / "sample").roles["test"] == sample.roles["test"]
    assert sample.labels[1::2] == ("B-PER", "B-ORG", "B-LOC", "B-MISC")
    assert prepare(DATA / "sample").labels[1::2] == ("B-LOC", "B-MISC", "B-ORG", "B-PER")


def test_the_sample_is_cut_into_its_words_again(sample):
    made = task(conll=True)
    for example in everyone(sample):
        assert made.input({"id": "0", "text": example["text"]}) == made.input(example)


def features(words: list[str], around: int) -> list[dict[str, int]]:
    padded = ["", *words, ""]
    return [{f"{step}={padded[i + step]}": 1 for step in range(-around, around + 1)} for i in range(1, len(words) + 1)]


def f1_of_a_linear_tagger(data, around: int) -> float:
    made = task(conll=True)
    rows = [row for example in data.roles["train"] for row in features(made.input(example), around)]
    tags = [tag for example in data.roles["train"] for tag in example["tags"]]
    vectorizer = DictVectorizer()
    model = LogisticRegression(max_iter=300, C=10).fit(vectorizer.fit_transform(rows), tags)
    order = [model.classes_.tolist().index(label) for label in data.labels]
    outputs = [
        model.decision_function(vectorizer.transform(features(made.input(e), around)))[:, order]
        for e in data.roles["test"]
    ]
    samples = made.samples(data.roles["test"], outputs, data.labels)
    return float(made.metrics(samples, np.ones((1, len(samples))), data.labels)["f1"][0])


def test_the_sample_is_learned_from_neighbours_and_not_from_words_alone(sample):
    alone, among = (f1_of_a_linear_tagger(sample, around) for around in (0, 1))
    assert task().chance(sample.roles["test"], sample.labels) < 0.15
    assert alone < among - 0.05
    assert among > 0.9


def test_reading_and_answering_load_nothing_heavy():
    code = (
        "import sys; from harness_ner.task import NamedEntities; from harness_ner.plugin import NerParams; import numpy as np;"
        "t = NamedEntities(NerParams()); e = {'id': '0', 'text': 'Ann sang'}; t.input(e);"
        "t.answer(e, np.zeros((2, 3), dtype=np.float32), ('O', 'B-PER', 'I-PER')); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "transformers", "datasets", "sklearn", "scipy", "seqeval", "pandas"}


@pytest.fixture(scope="module")
def published():
    return task(conll=True).prepare(source_of(PUBLISHED), ROLES)


@needs_published
def test_the_published_set_is_read_whole(published):
    assert {role: len(published.roles[role]) for role in ROLES} == {"train": 14041, "dev": 3250, "test": 3453}
    facts = published.facts["roles"]
    assert {role: facts[role]["words"]["all"] for role in ROLES} == {"train": 203621, "dev": 51362, "test": 46435}
    assert facts["train"]["entities"] == {"LOC": 7140, "MISC": 3438, "ORG": 6321, "PER": 6600}
    assert facts["dev"]["entities"] == {"LOC": 1837, "MISC": 922, "ORG": 1341, "PER": 1842}
    assert facts["test"]["entities"] == {"LOC": 1668, "MISC": 702, "ORG": 1661, "PER": 1617}
    assert published.facts["also_in_train"] == {"dev": 193, "test": 126}
    assert published.facts["test_also_in_dev"] == 50


@needs_published
def test_the_published_set_in_iob1_is_the_same(published, tmp_path):
    """Tags of the other published encoding: B- only between neighbours of one type."""
    for name in ("train", "valid", "test"):
        rows = (PUBLISHED / f"{name}.txt").read_text(encoding="utf-8").split("\n")
        (tmp_path / f"{name}.txt").write_text("\n".join(iob1(rows)), encoding="utf-8")
    again = task(conll=True).prepare(source_of(tmp_path), ROLES)
    assert {entry["scheme"] for entry in again.facts["files"].values()} == {"IOB1"}
    assert again.facts["files"]["train.txt"]["illegal_transitions"] == 0
    assert again.roles == published.roles


def iob1(rows: list[str]) -> list[str]:
    made, before = [], "O"
    for row in rows:
        head, _, tag = row.rpartition(" ")
        begins = tag.startswith("B-") and before[1:] != tag[1:]
        made.append(f"{head} I-{tag[2:]}" if begins else row)
        before = tag or "O"
    return made


@needs_published
def test_published_sentences_are_cut_into_their_words_again(published):
    """At every sign, half of the sentences would have other words than the models were trained on."""
    made, examples = task(conll=True), published.roles["test"]
    same = [made.input({"id": "0", "text": e["text"]}) == made.input(e) for e in examples]
    assert sum(same) / len(same) > 0.999


@needs_published
def test_critical_items_of_the_published_set(published):
    items = task(conll=True).items(published.roles["test"])
    assert len(items) == 1661 + 1617
    assert all(item["text"] in item["context"] for item in items)
