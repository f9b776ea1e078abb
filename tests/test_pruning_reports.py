"""What a reader of a report cannot overlook: zeros that are still there."""

from __future__ import annotations

import report_fakes as fakes
from report_fakes import REGISTRY, change, part, tables

from harness.reports import render, summarise


def page(**facts):
    records = change(
        fakes.records(), {"model": "lstm", "compress": "int8"}, compress=[fakes.step("prune-magnitude", **facts)]
    )
    report = summarise(records, REGISTRY)
    return report, render(report)


def test_masked_weights_are_said_under_the_main_table_and_with_the_compressors():
    _, text = page(masked=True, nonzero=500, weights=1000)
    table, rest = text.split("**⚠ Masked, not removed:** ")
    assert table.rstrip().splitlines()[-1].startswith("|")  # it stands right below the first table
    assert "## " not in table.split("| model")[-1]
    assert rest.startswith("lstm · int8: weights that pruning set to zero are still in the files")
    section = part(text, "What the compressors did")
    assert "- **⚠ prune-magnitude on lstm · int8: masked, not removed: its zeros are stored" in section
    assert "nonzero 500" in section


def test_what_is_smaller_is_what_the_files_are():
    masked, _ = page(masked=True)
    plain, _ = page()
    assert [row.size for row in masked.rows] == [row.size for row in plain.rows]


def test_a_kind_of_bytes_that_is_not_told_apart_is_not_said_to_be_none():
    _, text = page(bytes={"fp32": 2**20})
    head, *lines = tables(part(text, "Size"))[0]
    cells = dict(zip(head, next(line for line in lines if line[0] == "lstm · int8"), strict=True))
    assert cells["fp32, MiB"] == "1.00"
    assert cells["embeddings, MiB"].startswith("—")


def test_nothing_is_said_of_what_masked_nothing():
    for facts in ({}, {"masked": False}):
        assert "asked, not removed" not in page(**facts)[1]
