"""The bundled reading task: what the generator writes, whole, varied, and not to be solved without reading."""

from __future__ import annotations

import json
import re

import pytest

from harness import Source
from harness_qa.decoding import LONGEST
from harness_qa.generate import DATA, SIZES, files
from harness_qa.plugin import QaParams, SberQuadParams
from harness_qa.scoring import f1_and_em, squad
from harness_qa.task import LABELS, QuestionAnswering

ROLES = ("train", "dev", "test")
TASK = QuestionAnswering(QaParams())


def prepare(name: str, params=None):
    folder = DATA / name
    source = Source("bundled", folder, tuple(sorted(path.name for path in folder.iterdir())))
    return QuestionAnswering(params or QaParams()).prepare(source, ROLES)


@pytest.fixture(scope="module")
def reading():
    return prepare("reading")


def test_committed_files_are_what_the_generator_writes():
    written = files()
    assert {path.relative_to(DATA).as_posix() for path in DATA.rglob("*.json")} == set(written)
    for name, text in written.items():
        assert (DATA / name).read_bytes() == text.encode(), f"{name}: run python -m harness_qa.generate"


def test_small_enough_to_ship():
    assert sum(path.stat().st_size for path in DATA.rglob("*.json")) <= 1_300_000


@pytest.mark.parametrize("name", SIZES)
def test_nothing_had_to_be_repaired_or_removed(name):
    data = prepare(name)
    assert {role: len(data.roles[role]) for role in ROLES} == {role: 3 * size for role, size in SIZES[name].items()}
    answers = sum(map(len, data.roles.values()))
    assert data.facts["reading"] == {"answers": answers, "answers_with_edge_spaces": 0, "without_answers": 0}
    assert data.facts["duplicate_questions"] == 0


def test_the_sample_serves_both_tasks():
    assert all(prepare("sample", params).roles[role] for params in (QaParams(), SberQuadParams()) for role in ROLES)


def test_answers_are_short_enough_to_be_found_and_texts_to_be_learned(reading):
    for example in reading.roles["train"]:
        assert len(re.findall(r"\w+|[^\w\s]", example["context"])) <= 40
        assert len(example["answers"][0]["text"].split()) <= LONGEST
        begin, end = TASK.target(example, LABELS)
        assert example["context"][begin:end] == example["answers"][0]["text"]


def exact(examples, rule) -> float:
    pairs = [(rule(e["question"], e["context"]), [a["text"] for a in e["answers"]]) for e in examples]
    return sum(f1_and_em(said, golds, squad)[1] for said, golds in pairs) / len(pairs)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def clause_of(question: str, context: str) -> str:
    asked = set(words(question))
    clauses = re.split(r"[.,] ?", context.rstrip("."))
    return max(clauses, key=lambda clause: len(asked & set(words(clause))))


def leftover(question: str, context: str) -> str:
    """Of the clause that shares most words with the question, what the question does not say."""
    asked = set(words(question))
    return " ".join(word for word in words(clause_of(question, context)) if word not in asked)


def test_rules_that_count_words_do_not_solve_it(reading):
    test = reading.roles["test"]
    assert exact(test, clause_of) < 0.45
    assert exact(test, leftover) < 0.45
    assert exact(test, lambda question, context: clause_of(question, context).split()[-1]) < 0.45
    assert TASK.chance(test, LABELS) < 0.35


def test_the_text_alone_does_not_tell_the_answer(reading):
    """Questions about a text have different answers, so that a model which does not read them is wrong."""
    by_context: dict[str, set[str]] = {}
    for example in reading.roles["train"]:
        by_context.setdefault(example["context"], set()).add(example["answers"][0]["text"])
    assert sum(len(answers) > 1 for answers in by_context.values()) / len(by_context) > 0.95


def test_questions_come_in_many_forms(reading):
    openings = {" ".join(example["question"].split()[:2]) for example in reading.roles["train"]}
    assert len(openings) >= 12
    kinds = reading.facts["roles"]["train"]["first_words"]
    assert max(kinds.values()) < 0.5 * len(reading.roles["train"]), json.dumps(kinds, ensure_ascii=False)
