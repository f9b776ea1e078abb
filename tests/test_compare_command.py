"""`harness compare` as a person and as CI call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

WORSE = "models.biased.bias=9.0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request):
    """A folder with two records of the toy suite: in the second, one model answers much worse."""
    from conftest import SUITE, Project

    made = Project(tmp_path_factory.mktemp("compare"))
    made.write(SUITE.replace('use = "toy"\n[models.plain]', 'use = "toy"\nexamples = 60\n[models.plain]'))
    made.harness("run", "toys.toml")
    (made.folder / "reports/toys.records.jsonl").rename(made.folder / "before.records.jsonl")
    made.harness("run", "toys.toml", "--set", WORSE)
    return made


def test_a_regression_is_1_with_what_explains_it(runs):
    said = runs.harness("compare", "before.records.jsonl", "toys", code=1)
    assert said.out.splitlines()[0] == "# toys against before.records.jsonl"
    closing = said.out.rstrip().splitlines()[-1]
    assert closing.startswith("2 of 4 rows are worse: biased (accuracy")
    assert "models.biased.bias=9.0" in said.out
    assert "comparing before.records.jsonl with reports/toys.records.jsonl" in said.err


def test_against_itself_it_is_0(runs):
    said = runs.harness("compare", "toys", "toys")
    assert "Nothing differs in 4 rows" in said.out


def test_the_other_way_round_it_is_0(runs):
    assert "significantly better" in runs.harness("compare", "toys", "before.records.jsonl").out


def test_a_limit_lets_it_pass(runs):
    runs.harness("compare", "before.records.jsonl", "toys", "--max-drop", "99")


def test_json_is_all_that_is_on_stdout(runs):
    document = json.loads(runs.harness("compare", "before.records.jsonl", "toys", "--json", code=1).out)
    assert document["regressions"] == ["biased", "biased · round"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("toyz", "toys"), "'toyz' is neither a record nor a report in reports/. Did you mean 'toys'?"),
        (("broken.jsonl", "toys"), "broken.jsonl"),
        (("toys", "rehearsal"), "only records of one mode can be compared"),
        (("toys", "nothing"), "nothing.records.jsonl"),
        (("toys", "toys", "--max-drop", "nan"), "--max-drop"),
        (("toys", "toys", "--metric", "f1"), "--metric f1: both records have 'accuracy'"),
    ],
)
def test_bad_input_is_2_with_what_to_do(runs, words, said):
    folder = runs.folder
    (folder / "broken.jsonl").write_text('{"kind": "run"')
    lines = (folder / "before.records.jsonl").read_text().splitlines()
    rehearsal = [
        json.dumps({**json.loads(line), **({"mode": "rehearsal"} if n == 0 else {})}) for n, line in enumerate(lines)
    ]
    (folder / "reports/rehearsal.records.jsonl").write_text("\n".join(rehearsal))
    cells = [{k: v for k, v in json.loads(line).items() if k != "quality"} for line in lines[1:]]
    (folder / "reports/nothing.records.jsonl").write_text("\n".join([lines[0], *map(json.dumps, cells)]))
    result = runs.harness("compare", *words, code=2)
    assert said in result.err
    assert "Traceback" not in result.err
    assert not result.out


def test_committed_reports_can_be_compared_with_themselves(tmp_path):
    from harness.comparing import compare
    from harness.plugins import load_registry
    from harness.records import read_records

    path = Path(__file__).parents[1] / "reports/quickstart.records.jsonl"
    record = read_records(path)
    found = compare(("quickstart", record), ("quickstart", record), load_registry())
    assert len(found.rows) == 22
    assert not found.regressions
