"""Transfer sets that hold texts which models are judged by: found by content, refused, allowed by name."""

from __future__ import annotations

import json
import re

import pytest
from conftest import Project

from harness.overlap import known, text_of

TEXT = "Anna sang in the old town of Tver on Monday, and nobody there had heard of it before."


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (TEXT, True),
        (TEXT.upper().replace(",", " —").replace(" ", "\n "), True),
        (f"Before it. {TEXT} And after it.", True),
        (TEXT[:62], True),  # 12 of its 17 words: 5 of its 10 runs
        (TEXT[:50], False),
        (" ".join(reversed(TEXT.split())), False),
        ("Anna sang", False),
        ("", False),
    ],
)
def test_a_text_is_known_by_its_words(other, found):
    assert known(["nobody", TEXT, ""], ["something else", other]) == ([1] if found else [])


def test_a_short_text_is_known_as_a_whole():
    assert known(["Good!", "Bad"], ["good", "so bad"]) == [0]


def test_what_encoders_read_is_one_text():
    assert text_of("a b") == text_of(["a", "b"]) == text_of(("a", "b")) == "a b"


SUITE = """
schema = 1
[suite]
name = "nested"
title = "Nested"
anchor = { model = "teacher", compress = "none" }
[task]
use = "nested-ner"
source = "bundled:harness_ner/data/nested"
[data.more]
source = "more.jsonl"
[models.teacher]
use = "lstm"
train = { distil = "finetune", epochs = 1 }
[models.student]
use = "lstm"
train = { distil = "mse", teacher = "teacher", on = "more", epochs = 1 }
[matrix]
compress = ["none"]
[measure]
speed = false
"""


def test_a_transfer_set_with_test_texts_is_refused_before_any_training(tmp_path):
    from harness_ner.nested_sample import FOLDER

    project = Project(tmp_path)
    lines = (FOLDER / "test.jsonl").read_text().splitlines()
    texts = [{"text": json.loads(line)["text"].replace("\n", " ")} for line in lines[:3]]
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    project.write(SUITE, "nested.toml")
    said = project.harness("run", "nested.toml", code=2)
    assert "[data.more] holds" in said.err + said.out
    assert 'allow_overlap = ["test"]' in said.err + said.out
    project.write(SUITE.replace('"more.jsonl"', '"more.jsonl"\nallow_overlap = ["test"]'), "nested.toml")
    _, said = project.start("run", "nested.toml").communicate(timeout=300)
    assert re.search(r"done +prepare more", said)  # what the models learn afterwards is not the matter here
