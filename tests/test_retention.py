"""`[measure.retention]`, one or several: what a suite says must be kept."""

from __future__ import annotations

import pytest
from suite_helpers import GOOD, parse, problems

from harness.suite import Retention

ONE = 'retention = { of = "teacher", metric = "macro_f1", at_least = [0.95, 0.99] }\n'
SEVERAL = """
[[measure.retention]]
of = "teacher"
metric = "macro_f1"
at_least = [0.99]

[[measure.retention]]
of = "teacher"
at_least = [0.95]
"""


def several(old="", new=""):
    assert GOOD.count(ONE) == 1
    return GOOD.replace(ONE, "") + SEVERAL.replace(old, new, 1)


def test_one_table_and_several_are_read_alike():
    kept = Retention(of="teacher", metric="macro_f1", at_least=(0.95, 0.99))
    assert parse(GOOD).measure.retention == (kept,)
    assert parse(several()).measure.retention == (
        Retention(of="teacher", metric="macro_f1", at_least=(0.99,)),
        Retention(of="teacher", metric="accuracy", at_least=(0.95,)),  # the task's primary metric
    )
    assert parse(GOOD.replace(ONE, "")).measure.retention == ()


def test_an_override_reaches_the_one_table():
    assert parse(GOOD, "measure.retention.at_least=[0.5]").measure.retention[0].at_least == (0.5,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (several('"macro_f1"', '"macro-f1"'), "measure.retention[0].metric: 'macro-f1' is not a metric of task 'reviews'."),
        (several("[0.95]", "[95]"), "measure.retention[1].at_least[0]: expected at most 1, got 95"),
        (several('"macro_f1"', '"accuracy"'), "measure.retention[1]: is the second about accuracy of 'teacher'"),
        (several('of = "teacher"', 'of = "techer"'), "measure.retention[0].of: 'techer' is not a model of this suite."),
        (several('of = "teacher"\n', ""), "measure.retention[0].of: required key is missing"),
        (several('of = "teacher"', "off = 1"), "measure.retention[0].off: unknown key."),
        (GOOD.replace(ONE, "retention = 0.95\n"), "measure.retention: expected a table or a list of tables, got 0.95"),
        (GOOD.replace(ONE, "retention = [0.95]\n"), "measure.retention[0]: expected a table, got 0.95"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_of_several_has_its_place(text, expected):
    found = problems(text)
    assert any(expected in line for line in found), found


def test_each_reference_needs_an_uncompressed_row():
    text = several() + '\n[[matrix.exclude]]\nmodel = "teacher"\ncompress = "none"\n'
    lines = [line for line in problems(text) if "has no uncompressed row" in line]
    assert [line.split(": ")[1] for line in lines] == ["measure.retention[0].of", "measure.retention[1].of"]
