"""`harness predict` and `harness list` for suites that find entities."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest
from conftest import Project
from ner_helpers import entities, everyone, prepare, write

from harness import Prepared
from harness.cli.marking import brat, marked, tagged
from harness.cli.predict_command import _shown_entities, _write_brat
from harness.cli.task_card import _tagged_example
from harness.errors import SuiteError
from harness_ner.generate import DATA

SUITE = """
schema = 1
[suite]
name = "names"
title = "Names"
anchor = { model = "small", compress = "none" }
[task]
use = "conll2003"
source = "bundled:harness_ner/data/sample"
max_length = 32
[models.small]
use = "lstm"
hidden_size = 24
embedding_size = 24
vocab_size = 400
train = { distil = "finetune", epochs = 16, batch_size = 8, learning_rate = 1e-2 }
[matrix]
compress = ["none"]
seed = [1]
[measure]
speed = false
"""
TEXT = "Helka Yarrow of Brenmar Motors arrived in Corvale on Monday ."
TEXTS = (TEXT, "", "\ufeffElsgate beat Greyvale 2 - 3 .", "Mr Pavane\tleft\u00a0UCF .")
HOSTILE = "Mr Pavane\x1b[2J\u202e left \x9b UCF ."
SIGNS = {"\x1b", "\x9b", "\u202e"}  # that steer a terminal


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Project:
    made = Project(tmp_path_factory.mktemp("names"))
    made.write(SUITE, "names.toml")
    made.harness("run", "names.toml")
    return made


@pytest.fixture(scope="module")
def answers(trained) -> list[dict]:
    """What is said about TEXTS, read from stdin."""
    said = piped(trained, "\n".join(TEXTS), "--json")
    return [json.loads(line) for line in said.stdout.decode().split("\n")[:-1]]


def piped(project: Project, text: str | bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    data = text if isinstance(text, bytes) else text.encode()
    command = [sys.executable, "-m", "harness", "predict", "names.toml", *words]
    return subprocess.run(command, cwd=project.folder, env=project.environment, input=data, capture_output=True)


def test_entities_are_marked_with_type_and_confidence_and_critical_ones_by_a_sign(trained):
    said = trained.harness("predict", "names.toml", "--text", TEXT, "--text", HOSTILE)
    names, hostile = said.out.splitlines()
    shown = re.sub(r" [01]\.\d\d\]", "]", names)
    assert shown == "[Helka Yarrow PER!] of [Brenmar Motors ORG!] arrived in [Corvale LOC] on Monday ."
    assert "answered by" in said.err
    assert "Pavane" in hostile
    assert not set(hostile) & SIGNS


def test_json_lines_have_places_confidence_and_what_is_critical(answers):
    first, blank, match, _ = answers
    assert first["text"] == TEXT
    assert [(e["type"], e["text"], e["critical"]) for e in first["entities"]] == [
        ("PER", "Helka Yarrow", True), ("ORG", "Brenmar Motors", True), ("LOC", "Corvale", False),
    ]  # fmt: skip
    assert all(first["text"][e["start"] : e["end"]] == e["text"] for e in first["entities"])
    assert all(0.3 < e["score"] <= 1 for e in first["entities"] + match["entities"])
    assert blank == {"text": "", "entities": []}
    assert [e["type"] for e in match["entities"]] == ["ORG", "ORG"]


def test_brat_lines_of_one_text_go_to_stdout(trained):
    said = trained.harness("predict", "names.toml", "--text", HOSTILE, "--format", "brat")
    name, critical, sure = said.out.splitlines()[:3]
    assert (name, critical) == ("T1\tPER 3 9\tPavane", "A1\tCritical T1")
    assert re.fullmatch(r"#1\tAnnotatorNotes T1\t[01]\.\d\d", sure)
    assert not set(said.out) & SIGNS
    assert said.err == ""


def test_brat_folders_are_read_back_as_they_were_written(trained, answers, tmp_path):
    said = piped(trained, "\n".join(TEXTS), "--format", "brat", "--out", str(tmp_path / "docs"))
    assert (said.returncode, said.stdout) == (0, b"")
    names = {f"{number}.{end}" for number in range(len(TEXTS)) for end in ("txt", "ann")}
    assert {path.name for path in (tmp_path / "docs").iterdir()} == names
    read = {e["id"]: e for e in everyone(prepare(tmp_path, dev=1, test=1))}
    written = {f"docs/{number}": answer for number, answer in enumerate(answers) if answer["text"]}
    assert {name: e["text"] for name, e in read.items()} == {name: a["text"] for name, a in written.items()}
    assert {name: entities(e) for name, e in read.items()} == {
        name: [(e["type"], e["text"]) for e in answer["entities"]] for name, answer in written.items()
    }


def test_texts_are_answered_as_well_as_the_words_that_they_are_made_of(trained):
    """F1 of `harness predict` over the test split, given nothing but its texts."""
    examples = prepare(DATA / "sample", conll=True).roles["test"]
    done = piped(trained, "\n".join(e["text"] for e in examples), "--json")
    said = [
        [(e["type"], e["text"]) for e in json.loads(line)["entities"]] for line in done.stdout.decode().split("\n")[:-1]
    ]
    gold = [entities(e) for e in examples]
    right = sum((Counter(a) & Counter(b)).total() for a, b in zip(gold, said, strict=True))
    assert 2 * right / (sum(map(len, gold)) + sum(map(len, said))) > 0.9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "brat"], "--format brat writes one text to stdout, and 2 were given: name a folder with --out"),
        (["--format", "brat", "--json"], "--format brat and --json exclude each other"),
        (["--out", "x"], "--out is the folder of --format brat; other formats go to stdout"),
        (["--format", "brat", "--out", "."], "--out .: the folder is not empty. Name a new one"),
        (["--format", "xml"], "'xml' is not one of 'text', 'json', 'brat'"),
        (["--question", "who?", "--context", "a"], "this suite answers texts: give --text"),
    ],
)
def test_options_that_contradict_each_other_are_named(trained, words, said):
    done = piped(trained, "a\nb\n", *words)
    assert done.returncode == 2
    assert said in done.stderr.decode()


def test_brat_is_for_entities(project):
    said = project.harness("predict", "toys.toml", "--text", "a", "--format", "brat", code=2)
    assert "--format brat and a suite of head 'sequence' do not fit: it finds no entities" in said.err


# ------------------------------------------------------------------------------------------------------------- marking


def test_marks_leave_the_rest_of_the_text_alone():
    found = [
        {"start": 4, "end": 6, "type": "A", "text": "Bo", "critical": True},
        {"start": 7, "end": 8, "type": "B", "text": "c"},
    ]
    assert marked("see Bo c.", found) == "see [Bo A!] [c B]."
    assert marked("", []) == ""


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([(0, 6, "A"), (2, 6, "B"), (2, 3, "C")], "[a [[b C] cd B] A] e"),
        ([(2, 6, "B"), (0, 6, "A")], "[a [b cd B] A] e"),
        ([(0, 3, "A"), (0, 3, "B")], "[[a b B] A] cd e"),
        ([(0, 3, "A"), (4, 6, "B")], "[a b A] [cd B] e"),
        ([(0, 3, "A"), (2, 6, "B")], "[a [b A] cd B] e"),  # they cross
    ],
)
def test_entities_inside_others_are_marked_there(places, said):
    found = [{"start": start, "end": end, "type": kind, "text": ""} for start, end, kind in places]
    assert marked("a b cd e", found) == said


def test_answers_without_entities_are_shown_as_they_are_and_never_as_brat(tmp_path):
    fields, answer = {"text": "Ann sang"}, {"tags": ["NOUN", "VERB"]}
    assert json.loads(_shown_entities(fields, answer)) == fields | answer
    with pytest.raises(SuiteError, match=r"--format brat and this task do not fit: it finds no entities, it says tags"):
        _write_brat([(fields, answer)], tmp_path / "docs")
    assert not (tmp_path / "docs" / "0.ann").exists()


def test_brat_lines_hold_no_line_ends():
    entity = {"start": 3, "end": 11, "type": "big org", "text": "EU\r\nand\tX"}
    assert brat([entity]) == ["T1\tbig_org 3 5;7 12\tEU and\tX"]


def test_brat_lines_say_what_is_critical_and_how_sure_the_model_is():
    found = [
        {"start": 0, "end": 2, "type": "ORG", "text": "EU", "score": 0.984, "critical": False},
        {"start": 3, "end": 5, "type": "PER", "text": "Bo", "score": 1.0, "critical": True},
    ]
    assert brat(found) == [
        "T1\tORG 0 2\tEU", "#1\tAnnotatorNotes T1\t0.98",
        "T2\tPER 3 5\tBo", "A2\tCritical T2", "#2\tAnnotatorNotes T2\t1.00",
    ]  # fmt: skip


def test_tagged_words_are_entities_by_characters():
    text, found = tagged(["Ann", "Lee", "met", "Bo"], ["B-PER", "I-PER", "O", "B-PER"])
    assert text == "Ann Lee met Bo"
    assert found == [
        {"start": 0, "end": 7, "type": "PER", "text": "Ann Lee"}, {"start": 12, "end": 14, "type": "PER", "text": "Bo"},
    ]  # fmt: skip
    assert tagged([], []) == ("", [])


def test_any_i_may_begin_an_entity():
    _, found = tagged(["a", "b", "c", "d", "e"], ["I-A", "I-B", "O", "I-B", "I-B"])
    assert [(e["type"], e["text"]) for e in found] == [("A", "a"), ("B", "b"), ("B", "d e")]


# ---------------------------------------------------------------------------------------------------------------- list


def test_a_task_is_shown_with_a_marked_sentence_and_counts_of_types(project):
    body = "a O\n\nAnn B-PER\nLee I-PER\nin O\nOslo\x1b[2J B-LOC\n\nb O\n\nc O\n"
    for name in ("train", "dev", "test"):
        write(project.folder / "mine", f"{name}.txt", body)
    out = project.harness("list", "tasks", "ner", "--source", str(project.folder / "mine")).out
    assert "train 4, dev 4, test 4" in out
    assert "[Ann Lee PER] in [Oslo\\x1b[2J LOC]" in out
    assert [" ".join(line.split()) for line in out.splitlines() if "LOC 1" in line] == [
        "train LOC 1, PER 1", "dev LOC 1, PER 1", "test LOC 1, PER 1",
    ]  # fmt: skip


class Words:
    """A task about words, whose examples hold a label's number for each."""

    def input(self, example: dict) -> list[str]:
        return example["text"].split()

    def target(self, example: dict, _: tuple[str, ...]) -> list[int] | None:
        return example["target"]


@pytest.mark.parametrize(
    ("labels", "targets", "shown", "counted"),
    [
        (("NOUN", "VERB"), [None, [0, -100, 1]], "text         Ann/NOUN Lee sang/VERB", "train        NOUN 1, VERB 1"),
        (("O", "NOUN"), [[0, 1, 0]], "text         Ann/O Lee/NOUN sang/O", "train        O 2, NOUN 1"),
        (("O", "B-A", "I-A"), [[0, 0, 0], [1, 2, -100]], "text         [Ann Lee A] sang", "train        A 1"),
        (("O", "B-A", "I-A"), [[2, -100, 2]], "text         [Ann A] Lee [sang A]", "train        A 2"),
        (("O", "B-A", "I-A"), [[-100, 0, 0]], "text         Ann Lee sang", None),  # no entity: as it is stored
    ],
)
def test_tags_of_any_kind_and_words_without_one_are_shown(labels, targets, shown, counted):
    examples = [{"id": str(n), "text": "Ann Lee sang", "target": target} for n, target in enumerate(targets)]
    out = [line.strip() for line in _tagged_example(Words(), Prepared({"train": examples}, labels, {}))]
    assert shown in out
    assert (counted in out) == (counted is not None)


def test_the_bundled_sample_is_shown_where_nothing_else_is(project):
    assert "HARNESS_DATA_DIR" not in project.environment
    assert os.linesep.join(["entities:", "  train        PER"]) in project.harness("list", "tasks", "conll2003").out
