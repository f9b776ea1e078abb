"""Whatever a record holds, it is read and reported, or refused with a sentence: nothing else escapes."""

from __future__ import annotations

import pytest
import record_helpers as helpers

from harness.errors import HarnessError
from harness.plugins import load_registry
from harness.records import read_records
from harness.reports import csv_files, json_files, render, summarise

SOURCES = ("quickstart", "conll2003-minilm", "xquad-minilm", "encoder-speed.random")
READ, REPORTED = 150, 30  # mutations of each source
REGISTRY = load_registry()
ADVICE = ("un the suite again", "upgrade harness", "get the file again", "Known: ", "install ")


@pytest.mark.parametrize("source", SOURCES)
def test_a_broken_record_is_read_or_refused_with_advice(source, tmp_path):
    mutator, path, refused = helpers.Mutator(source), tmp_path / "a.records.jsonl", 0
    for seed in range(READ):
        path.write_text(mutator.text(seed), encoding="utf-8")
        try:
            read_records(path)
        except HarnessError as error:
            said = str(error)
        else:
            continue
        refused += 1
        assert said.startswith(f"{path}:")
        assert any(advice in said for advice in ADVICE)
    assert READ / 4 < refused < READ


@pytest.mark.parametrize("source", SOURCES)
def test_a_broken_record_is_reported_or_refused(source, tmp_path):
    mutator, path, reported = helpers.Mutator(source), tmp_path / "a.records.jsonl", 0
    for seed in range(READ, READ + REPORTED):
        path.write_text(mutator.text(seed), encoding="utf-8")
        try:
            records = read_records(path)
            report = summarise(records, REGISTRY)
        except HarnessError:
            continue
        assert render(report, "a") and csv_files(report, "a") and json_files(report, "a")  # noqa: PT018
        records.write(path)
        assert read_records(path) == records
        reported += 1
    assert reported > REPORTED / 10
