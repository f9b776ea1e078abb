"""Documents that something executes: commands exist, the format's example loads, the README shows the real report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli import COMMANDS
from harness.plugins import load_registry
from harness.suite import parse_suite

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    for word in re.findall(r"(?:^|`)harness ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
        assert word in COMMANDS, word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_design_says_where_everything_is():
    places = (
        (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("## Where things are")[2].partition("##")[0]
    )
    named = {name.removeprefix("harness/").rstrip("/") for name in re.findall(r"`([^`]+)`", places)}
    there = {
        path.name for path in (ROOT / "harness").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - named == {"__init__.py", "__main__.py"}
    assert {name for name in named if name.endswith(".py")} <= {*there, "loop.py"}


def test_the_example_suite_loads():
    text = (ROOT / "docs/suites.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    suite = parse_suite(example, load_registry())
    assert {"teacher", "lstm-kd", "two-steps"} == set(suite.models)


def test_the_readme_shows_the_quickstarts_report():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("<!-- quickstart -->\n")[2].partition("<!-- /quickstart -->")[0].strip()
    report = (ROOT / "reports/quickstart.md").read_text(encoding="utf-8")
    assert shown
    assert shown in report


def test_every_report_has_its_record_and_says_what_it_ran():
    reports = [path for path in (ROOT / "reports").glob("*.md") if path.name not in {"README.md", "leaderboard.md"}]
    assert {path.stem for path in reports} >= {"quickstart", "rureviews-scratch"}
    for path in reports:
        record = path.with_name(f"{path.stem}.records.jsonl")
        assert record.exists()
        assert '"dirty": false' in record.read_text(encoding="utf-8").partition("\n")[0]


def test_reports_follow_from_their_records():
    from harness.records import read_records
    from harness.reports import render, summarise

    for path in (ROOT / "reports").glob("*.records.jsonl"):
        report = path.with_name(path.name.replace(".records.jsonl", ".md"))
        assert render(summarise(read_records(path), load_registry())) == report.read_text(encoding="utf-8")
