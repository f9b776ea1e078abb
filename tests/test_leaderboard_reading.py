"""Files and records: what is taken, what is refused and why, and that nothing raw stays."""

from __future__ import annotations

import json
import os
from dataclasses import fields, is_dataclass

import leaderboard_fakes as fakes
import numpy as np
import pytest
from leaderboard_fakes import REGISTRY, board, cell, entry, run, seeds, timed, write

from harness.leaderboard import files as files_module
from harness.leaderboard.files import File, find
from harness.leaderboard.reading import Reader
from harness.leaderboard.scoring import Scorer
from harness.records import read_records
from harness.reports import summarise


def read(path, reader=None):
    reader = reader or Reader(REGISTRY, Scorer(0.95))
    return reader.read(File(path, path.name))


def rows(*extra):
    return [*seeds("teacher", share=0.85), *seeds("small"), *extra]


# ----------------------------------------------------------------------------------------------------------------- files


def test_folders_are_searched_and_files_taken_as_named(tmp_path):
    deep = write(tmp_path / "a" / "b" / "x.records.jsonl", run())
    named = write(tmp_path / "other.jsonl", run())
    (tmp_path / "a" / "notes.txt").write_text("no record")
    found, refused = find([tmp_path / "a", named, deep], tmp_path)
    assert [file.shown for file in found] == ["a/b/x.records.jsonl", "other.jsonl"]
    assert not refused


def test_links_out_of_a_folder_are_refused_and_links_inside_are_not_read_twice(tmp_path):
    outside = write(tmp_path / "secret" / "x.records.jsonl", run())
    inside = write(tmp_path / "given" / "y.records.jsonl", run())
    (tmp_path / "given" / "out.records.jsonl").symlink_to(outside)
    (tmp_path / "given" / "same.records.jsonl").symlink_to(inside)
    (tmp_path / "given" / "circle.records.jsonl").symlink_to("circle.records.jsonl")
    (tmp_path / "given" / "folder").symlink_to(tmp_path / "secret")
    found, refused = find([tmp_path / "given"], tmp_path)
    assert len(found) == 1
    reasons = {one.file: one.reason for one in refused}
    assert "leads out of its folder" in reasons["given/out.records.jsonl"]
    assert set(reasons) == {"given/out.records.jsonl", "given/circle.records.jsonl"}


def test_what_is_missing_or_no_file_or_too_large_is_refused(tmp_path, monkeypatch):
    large = write(tmp_path / "large.records.jsonl", run())
    os.mkfifo(tmp_path / "pipe.records.jsonl")
    monkeypatch.setattr(files_module, "LARGEST", 10)
    found, refused = find([tmp_path / "nothing", tmp_path / "pipe.records.jsonl", large], tmp_path)
    assert not found
    assert [one.reason.split(";")[0] for one in refused] == [
        "there is no such file or folder", "not a file", "0 MiB are more than the 0 MiB that a record may have",
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(("mode", "word"), [("rehearsal", "a rehearsal"), ("random", "random weights")])
def test_what_is_not_real_is_refused(mode, word, tmp_path):
    found = read(write(tmp_path / "x.records.jsonl", run(mode=mode), *rows()))
    assert word in found.reason
    assert "run the suite itself" in found.reason


def test_a_task_that_is_not_installed_is_named(tmp_path):
    found = read(write(tmp_path / "x.records.jsonl", run(task={"name": "theirs"}), *rows()))
    assert "'theirs' is not a known task" in found.reason
    assert "Install the plugin" in found.reason


def test_rows_without_quality_are_refused_one_by_one(tmp_path):
    failed = [cell("broken", seed=n, status="failed", reason="train: out of memory", quality=None) for n in (1, 2)]
    skipped = [cell("gpu", status="skipped", reason="there is no GPU", quality=None)]
    found = read(write(tmp_path / "x.records.jsonl", run(), *rows(*failed, *skipped)))
    assert {one.row: one.reason for one in found.refused} == {
        "broken": f"failed: train: out of memory; try again: {failed[0]['retry']}",
        "gpu": "skipped: there is no GPU",
    }
    assert {row.label for row in found.rows} == {"teacher", "small"}


def test_a_figure_that_its_samples_do_not_give_is_refused(tmp_path):
    lying = cell("liar")
    lying["quality"]["metrics"]["accuracy"] = 0.99
    found = read(write(tmp_path / "x.records.jsonl", run(), *rows(lying)))
    (refused,) = found.refused
    assert refused.row == "liar"
    assert "it says accuracy = 0.99, its samples say 0.8" in refused.reason


def test_samples_that_the_task_cannot_read_are_refused(tmp_path):
    odd = cell("odd", samples=[[0, 1, 0.1], [1, 1, 0.1]])
    odd["quality"]["samples"] = [[0], [1]]
    found = read(write(tmp_path / "x.records.jsonl", run(), *rows(odd)))
    assert [(one.row, "it cannot be scored (IndexError" in one.reason) for one in found.refused] == [("odd", True)]


def test_a_record_that_breaks_off_leaves_nothing_behind(tmp_path):
    broken = write(tmp_path / "a.records.jsonl", run(), *rows())
    broken.write_text(broken.read_text() + '{"schema": 1, "kind": "cell", "cel')
    whole = write(tmp_path / "b.records.jsonl", run(cpu="CPU 2"), *rows())
    found = board(broken, whole)
    assert [one.file for one in found.evidence] == ["b.records.jsonl"]
    assert [(one.file, one.reason.startswith("line 6: not JSON")) for one in found.refused] == [
        ("a.records.jsonl", True)
    ]
    assert entry(found, "small").scores["accuracy"].value == pytest.approx(0.8)


def test_the_same_record_counts_once(tmp_path):
    first = write(tmp_path / "a.records.jsonl", run(), *rows())
    second = write(tmp_path / "b.records.jsonl", run(), *rows())
    found = board(first, second)
    assert [(one.file, one.reason) for one in found.refused] == [
        ("b.records.jsonl", "the same record as a.records.jsonl")
    ]


# ---------------------------------------------------------------------------------------------------------------- reduced


def test_scores_and_intervals_are_those_of_the_records_own_report(tmp_path):
    path = write(tmp_path / "x.records.jsonl", run(), *rows(*seeds("small", "int8", 0.7, of=(1, 2))))
    found = {row.label: row.quality.scores for row in read(path).rows}
    report = {row.label: row.quality for row in summarise(read_records(path), REGISTRY).rows}
    assert found.keys() == report.keys()
    for label, scores in found.items():
        assert scores["accuracy"] == report[label]["accuracy"].interval


def test_no_raw_sample_and_no_single_request_stays(tmp_path):
    group, cells = timed(rows(), {("small", "none"): 2.0})
    path = write(tmp_path / "x.records.jsonl", run(), group, *cells)
    found = read(path)
    assert largest(found) <= 2000, "replicates are the most that is kept"
    assert "requests" not in json.dumps(found.measurements)


def largest(value):
    """Length of the longest sequence anywhere in a value."""
    if isinstance(value, np.ndarray):
        return value.size
    if is_dataclass(value):
        return max(largest(getattr(value, one.name)) for one in fields(value))
    if isinstance(value, dict):
        return max([len(value), *map(largest, value.values())], default=0)
    if isinstance(value, list | tuple | set | frozenset):
        return max([len(value), *map(largest, value)], default=0)
    return 0


def test_seeds_that_do_not_stand_together_are_one_row(tmp_path):
    first, second = seeds("small")
    together = read(write(tmp_path / "x.records.jsonl", run(), first, second, *seeds("teacher")))
    apart = read(write(tmp_path / "y.records.jsonl", run(), first, *seeds("teacher"), second))
    one, other = (next(row for row in record.rows if row.label == "small") for record in (together, apart))
    assert one.seeds == other.seeds == 2
    assert one.quality.scores == other.quality.scores
    assert np.array_equal(one.quality.over_examples, other.quality.over_examples)


def test_rows_that_another_record_has_scored_are_not_scored_again(tmp_path, monkeypatch):
    reader = Reader(REGISTRY, Scorer(0.95))
    read(write(tmp_path / "a.records.jsonl", run(), *rows()), reader)
    monkeypatch.setattr(fakes.Task, "metrics", None)
    again = read(write(tmp_path / "b.records.jsonl", run(cpu="CPU 2"), *rows()), reader)
    assert [row.quality for row in again.rows] == [None, None]
    assert not again.refused


def test_what_readers_must_know_stands_in_notes(tmp_path):
    unchanged = cell("idle", "onnx", compress=[{"use": "onnx", "seconds": 1.0, "changed": False}])
    half = [cell("half", seed=1), cell("half", seed=2, status="failed", reason="killed", quality=None)]
    strange = seeds("foreign", "strange")
    found = read(write(tmp_path / "x.records.jsonl", run(), *rows(unchanged, *half, *strange)))
    notes = {row.label: row.notes for row in found.rows}
    assert notes["small"] == ()
    assert "onnx changed nothing" in notes["idle · onnx"]
    assert "1 of 2 seeds failed" in notes["half"]
    assert "one seed: how much training varies is not known" in notes["half"]
    assert notes["foreign · strange"] == (
        "'nobody-has-it' is not installed here, so its answers are taken to depend on the CPU",
    )
