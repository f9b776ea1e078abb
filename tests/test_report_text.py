"""Text of third parties in reports stays text, and numbers look as a reader wants them."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys

import pytest
import report_fakes as fakes
from report_fakes import REGISTRY, report, tables

from harness.records import Records
from harness.reports import render, summarise, summary_sentence, to_csv
from harness.reports.escape import code, csv_text, markdown, plain
from harness.reports.format import decimals, fixed, mib, off, ranged, seconds, significant, times
from harness.specs import Metric
from harness.statistics import Interval

HOSTILE = "a|b\x1b[31mred<script>alert(1)</script>\n# h [x](javascript:alert(2)) `c` \u202egpj.exe &amp; **b** $x$"


# ------------------------------------------------------------------------------------------------------- hostile text


CLAIM = {"source": HOSTILE, "quantity": "size", "ratio_at_least": 1}


def hostile_records():
    records = fakes.records(
        suite={"name": HOSTILE, "title": HOSTILE, "text": "", "set": [HOSTILE]},
        command=HOSTILE,
        plugins=[HOSTILE],
        versions={HOSTILE: HOSTILE},
        broken_plugins={HOSTILE: HOSTILE},
        published=[{"row": HOSTILE, "accuracy": 1.0, "source": HOSTILE, "note": HOSTILE, "training": HOSTILE}],
        claims=[{"text": HOSTILE, "source": HOSTILE}, {**CLAIM, "text": HOSTILE, "row": HOSTILE, "than": HOSTILE}],
        report={"columns": ["accuracy", "training"]},
    )
    records.run["task"]["data"][0].update(origin=HOSTILE, facts={HOSTILE: {HOSTILE: [HOSTILE]}})
    cells = []
    for cell in records.cells:
        axes = {**cell["axes"], HOSTILE: "=cmd()|x\n" + HOSTILE}
        steps = [{**step, "use": HOSTILE, "warnings": [HOSTILE], HOSTILE: HOSTILE} for step in cell["compress"]]
        slices = {HOSTILE: {HOSTILE: {"examples": 3, "accuracy": 0.5}}}
        details = {
            "classes": [HOSTILE],
            "slices": slices,
            "per_class": {HOSTILE: {HOSTILE: HOSTILE}},
            "confusion": [[1]],
        }
        quality = {**cell["quality"], "details": details}
        bad = {"status": "failed", "reason": HOSTILE, "retry": HOSTILE} if cell["axes"]["seed"] == 2 else {}
        cells.append({**cell, "axes": axes, "compress": steps, "quality": quality, "distil": [HOSTILE], **bad})
    return Records(records.run, records.measurements, cells)


def test_third_party_text_cannot_become_markup():
    text = render(found := summarise(hostile_records(), REGISTRY))
    outside_code = re.sub(r"(`+).*?\1", "", text)
    assert "<" not in outside_code
    (figure,) = re.findall(r"^!\[[\w ,.]*\]\(([\w%.-]+)\)$", outside_code, re.MULTILINE)
    assert figure.endswith(".accuracy.svg")
    assert "](" not in outside_code.replace("\\](", "").replace(f"]({figure})", "")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
    for rows in tables(text):
        assert len({len(line) for line in rows}) == 1
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert (
        len(headings) == len([line for line in render(report()).splitlines() if line.startswith("#")]) + 4
    )  # problems, claims, slices, published
    sentence = summary_sentence(found)
    assert sentence.isprintable()


def test_no_spreadsheet_takes_third_party_text_for_a_formula():
    lines = list(csv.reader(io.StringIO(to_csv(summarise(hostile_records(), REGISTRY)))))
    assert len({len(line) for line in lines}) == 1
    assert not any(cell.startswith(("=", "@", "\t", "+")) for line in lines for cell in line)
    assert any(cell.startswith("'=cmd()") for line in lines for cell in line)
    negative = [float(cell) for line in lines[1:] for cell in line if cell.startswith("-")]
    assert negative


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("[x](y)", "[x\\](y)"),
        ("[x]: y", "[x\\]: y"),
        ("macro_f1", "macro_f1"),
        ("_it_ and *it*", "\\_it\\_ and \\*it\\*"),
        ("# h", "\\# h"),
        ("1. one", "1\\. one"),
        ("1.5 two", "1.5 two"),
        ("two\nlines\r\nmore", "two lines more"),
        ("\x1b[31mred\x1b[0m\x07", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("a\u202eb\u200bc\ud800d", "abcd"),
    ],
)
def test_markdown_shows_the_text_and_nothing_else(text, expected):
    assert markdown(text) == expected


def test_code_spans_survive_backticks_and_stay_on_one_line():
    assert code("a `b` c\nd") == "``a `b` c d``"
    assert code("`x") == "`` `x ``"


def test_plain_text_is_cut_and_csv_text_is_disarmed():
    assert len(plain("x" * 1000)) == 400
    assert csv_text("-1+cmd") == "'-1+cmd"
    assert csv_text("a-b") == "a-b"


# ------------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(("widths", "places"), [([0.85], 1), ([1.15], 1), ([3.4], 0), ([0.04], 2), ([0.0], 1), ([], 1)])
def test_decimals_follow_the_intervals(widths, places):
    assert decimals(widths) == places


def test_numbers_as_a_reader_wants_them():
    assert ranged(Interval(-1.23, -2.0, 0.04), 1, signed=True) == "−1.2 [−2.0, 0.0]"
    assert fixed(0.04, 1, signed=True) == "0.0"
    assert [significant(v) for v in (0.001234, 7.9, 1234.4, 0.0, 9.999)] == ["0.00123", "7.90", "1,230", "0", "10.0"]
    assert [mib(v) for v in (45.02, 0.1213, 0.00098, 0.0, 1234.4)] == ["45.0", "0.12", "< 0.01", "0", "1,230"]
    assert [off(v) for v in (0.0052, 1.6)] == ["±0.52 %", "÷ or × 2.6"]
    assert ranged(Interval(3884, 2831, 13969), 0) == "3,884 [2,831, 13,969]"
    assert [times(v) for v in (1.0, 7.94, 12.9, 0.644, 120.4)] == ["1", "7.9", "13", "0.64", "120"]
    assert [seconds(v) for v in (0.84, 42.4, 200, 7500)] == ["0.8 s", "42 s", "3 min 20 s", "2 h 05 min"]


def test_a_metric_without_percent_is_shown_in_its_own_unit():
    metrics = [Metric(name="accuracy", unit="nats").__dict__]
    text = render(report(task={**fakes.run_document()["task"], "metrics": metrics}))
    assert "accuracy, nats ↑" in text
    assert tables(text)[0][2][2].startswith("0.80 [0.76")


def test_reports_import_nothing_heavy():
    found = (
        "import sys, harness.reports; print([m for m in ('torch', 'transformers', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
