"""A board as markdown, CSV, JSON and on the command line."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import board_fakes
import pytest

from harness.cli import main_inner
from harness.leaderboard.markdown import places, render
from harness.leaderboard.sentences import sentences
from harness.leaderboard.table_csv import to_csv
from harness.leaderboard.writing import json_text, write_board
from harness.reports.model import Absent
from harness.statistics import Interval

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "reports" / "xquad-minilm.records.jsonl"
PAYLOAD = "=cmd|'/c calc'!A1 <script>alert(1)</script> [x](javascript:alert(1)) | `a` \x1b[31m"


@pytest.fixture(scope="module")
def small():
    return board_fakes.small()


def first_class(board, **changes):
    return replace(board, classes=(replace(board.classes[0], **changes), *board.classes[1:]))


def first_entry(board, **changes):
    entry, *rest = board.classes[0].entries
    return first_class(board, entries=(replace(entry, **changes), *rest))


def table(text, title):
    """The first table under a heading, a dict per row."""
    lines = text.split(f"\n## {title}\n")[1].splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("|"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[begin:] if line.startswith("|")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:] if len(row) == len(rows[0])]


def test_markdown_has_every_entry_of_every_class_in_order(small):
    text = render(small)
    for class_ in small.classes:
        labels = [row["row"] for row in table(text, class_.title)][: len(class_.entries)]
        assert [label.removesuffix(" (anchor)").strip("*") for label in labels] == [e.label for e in class_.entries]


def test_places_name_all_that_share_one(small):
    class_ = small.classes[0]
    entries = [replace(e, place=place) for e, place in zip(class_.entries, [1, 1, 1, 2, None], strict=False)]
    assert list(places(replace(class_, entries=tuple(entries))).values()) == ["1–3", "1–3", "1–3", "4"]


def test_figures_that_are_absent_say_why(small):
    board = first_entry(small, model_mib=Absent("the file was lost"), place=None)
    text = render(board)
    assert table(text, board.classes[0].title)[0]["model, MiB"].startswith("—")
    assert "the file was lost" in text
    assert "not ranked" in text


def test_every_record_and_machine_of_the_board_is_described(small):
    text = render(small)
    for one in small.evidence:
        assert f"### {one.id}" in text
        assert one.digest in text
    for machine in small.machines:
        assert f"{machine.id}: {machine.name}" in text
    for refused in small.refused:
        assert refused.reason in text


def test_texts_of_strangers_are_harmless_in_markdown(small):
    board = first_entry(small, label=PAYLOAD, suite=PAYLOAD, notes=(PAYLOAD,))
    one = replace(small.evidence[0], file="../../x (y) [z]\n<b>.records.jsonl", command=PAYLOAD)
    text = render(replace(board, title=PAYLOAD, warnings=(PAYLOAD,), evidence=(one,)))
    shown = re.sub(r"(`+)[^`].*?\1", "", text.replace("\\`", ""))  # code spans show markup as it is
    assert "<script" not in shown
    assert not re.search(r"(?<!\\)\]\(javascript", shown)
    assert "\x1b" not in text
    assert "](../../x%20%28y%29%20%5Bz%5D%0A%3Cb%3E.records.jsonl)" in text


def test_csv_has_a_line_per_entry_with_plain_numbers(small):
    rows = list(csv.DictReader(io.StringIO(to_csv(small))))
    entries = [(class_, entry) for class_ in small.classes for entry in class_.entries]
    assert len(rows) == len(entries)
    for row, (class_, entry) in zip(rows, entries, strict=True):
        assert row["class"] == class_.title
        assert row["row"] == entry.label
        found = entry.scores[class_.metrics[0].name]
        if isinstance(found, Interval):
            assert float(row[f"{class_.metrics[0].name}_percent"]) == pytest.approx(found.value * 100, rel=1e-5)


def test_csv_neutralises_what_a_spreadsheet_would_run(small):
    for text in ("=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"):
        board = first_entry(small, label=text, model=text, suite=text, student=text, distil=(text,), notes=(text,))
        first = next(csv.reader(io.StringIO(to_csv(board).split("\n", 1)[1])))
        assert not [cell for cell in first if cell[:1] in {"=", "+", "@", "\t", "\r"} or cell.startswith("-1+")]


def test_csv_says_why_a_figure_is_absent(small):
    (row, *_) = csv.DictReader(io.StringIO(to_csv(first_entry(small, times_smaller=Absent("no anchor")))))
    assert row["times_smaller"] == ""
    assert row["times_smaller_why_not"] == "no anchor"


def test_json_is_the_whole_board(small):
    document = json.loads(json_text(small))
    assert document["schema"] == 1
    assert [len(one["entries"]) for one in document["classes"]] == [len(one.entries) for one in small.classes]
    assert document["classes"][0]["entries"][0]["label"] == small.classes[0].entries[0].label
    assert [one["digest"] for one in document["evidence"]] == [one.digest for one in small.evidence]


def test_files_are_written_beside_each_other(small, tmp_path):
    paths = write_board(small, tmp_path / "new" / "board.of.spring")
    assert sorted(path.name for path in paths) == [f"board.of.spring.{kind}" for kind in ("csv", "html", "json", "md")]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)


def test_sentences_say_who_is_best_and_who_is_as_good_for_less(small):
    entries = small.classes[0].entries
    alone = [replace(e, place=n, tied=False) for n, e in enumerate(entries, start=1)]
    (line, *_) = sentences(first_class(small, entries=tuple(alone)))
    assert f"{alone[0].label} is best with" in line
    assert "comes near" in line
    shared = [replace(e, place=1, tied=True) for e in entries]
    (line, *_) = sentences(first_class(small, entries=tuple(shared)))
    assert f"cannot be told from {len(shared) - 1} others of {len(shared)} rows" in line
    assert "the smallest" in line


def test_a_sentence_is_one_printable_line(small):
    for line in sentences(first_entry(small, label="a\nb\x1b[31m", place=1)):
        assert line.isprintable()


# ------------------------------------------------------------------------------------------------------ the command line


def test_the_command_writes_a_board_and_says_what_it_says(tmp_path, capfd):
    assert main_inner(["leaderboard", str(RECORD), "--out", str(tmp_path), "--title", "Questions"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert "qa · f1: teacher is best with 49.1" in err
    assert (tmp_path / "leaderboard.md").read_text(encoding="utf-8").startswith("# Questions\n")
    assert {path.suffix for path in tmp_path.iterdir()} == {".md", ".csv", ".json", ".html"}


def test_json_goes_to_stdout_and_talk_to_stderr(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main_inner(["leaderboard", str(RECORD), "--json"]) == 0
    out, _ = capfd.readouterr()
    assert json.loads(out)["classes"][0]["task"] == "qa"
    assert not list(tmp_path.iterdir())


def test_without_a_record_that_can_be_taken_it_is_2_with_the_reasons(tmp_path, capfd):
    random = ROOT / "reports" / "sberquad.random.records.jsonl"
    words = ["leaderboard", str(random), str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]
    assert main_inner(words) == 2
    _, err = capfd.readouterr()
    assert "random weights" in err
    assert "there is no such file or folder" in err
    assert "no row can stand on a board" in err
    assert not (tmp_path / "out").exists()


def test_leaderboards_load_nothing_heavy(tmp_path):
    words = ["leaderboard", str(RECORD), "--out", str(tmp_path)]
    code = f"import sys; from harness.cli import main_inner; main_inner({words!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "torch",
        "transformers",
        "datasets",
        "onnxruntime",
        "onnx",
        "accelerate",
        "optimum",
        "pandas",
        "matplotlib",
    }
    assert not set(done.stdout.split()) & heavy
