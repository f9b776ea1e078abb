"""A study beside a run: its columns, its published rows, its claims, from made-up records."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import report_fakes as fakes
from report_fakes import REGISTRY, change, part, report, row, tables

from harness.reports import json_report, render, summarise, to_csv
from harness.reports.claims import verdict
from harness.reports.model import Absent
from harness.statistics import Interval, median_ratio

TEACHER, INT8, ONNX = ({"model": "teacher", "compress": chain} for chain in ("none", "int8", "onnx"))
STUDENT, SMALL = ({"model": "lstm-kd", "compress": chain} for chain in ("none", "onnx-int8"))
HALF = {"text": "int8 halves the time", "source": "§4", "row": INT8, "than": TEACHER, "quantity": "forward"}
RIVAL = {"row": "ruGPT", "accuracy": 66.0, "parameters_millions": 21.0, "size_mib": 80, "source": "T"}


def claimed(published=(), run=None, **claim):
    """The one claim, judged."""
    found = report(claims=[{"text": "t", "source": "s", **claim}], published=list(published), **(run or {}))
    return found.claims[0]


# -------------------------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("bar", "wanted", "expected"),
    [
        ("ratio_at_least", 1.9, "supported"),
        ("ratio_at_least", 2.0, "undecided"),
        ("ratio_at_least", 2.2, "contradicted"),
        ("ratio_at_most", 2.1, "supported"),
        ("ratio_at_most", 2.0, "undecided"),
        ("difference_at_most", 1.8, "contradicted"),
        ("within", 2.1, "supported"),
        ("within", 2.0, "undecided"),
        ("within", 1.0, "contradicted"),
    ],
)
def test_a_verdict_is_of_the_whole_interval(bar, wanted, expected):
    assert verdict(Interval(2.0, 1.9, 2.1), bar, wanted) == expected


def test_within_holds_on_both_sides():
    assert verdict(Interval(-2.0, -2.1, -1.9), "within", 1.0) == "contradicted"
    assert verdict(Interval(0.0, -0.4, 0.4), "within", 0.5) == "supported"


def test_times_of_one_measurement_are_compared_within_its_blocks():
    found = claimed(**HALF, ratio_at_least=1.3)
    document = fakes.records().measurements["measure-teacher"]
    mine, base = (
        subject["workloads"]["single"]["forward_ms"] for subject in (document["rows"]["row.int8"], document["anchor"])
    )
    plain, floor = median_ratio(base, mine), fakes.report().measurements[0].floors["forward"]
    assert found.found.value == plain.value
    assert found.found.low == pytest.approx(plain.low / (1 + floor))  # as far as noise may move it
    assert found.found.high == pytest.approx(plain.high * (1 + floor))
    assert found.verdict == "supported"
    assert (found.compared, found.quantity, found.condition) == (
        "teacher · int8 with teacher",
        "× faster, forward",
        "at least 1.3",
    )
    assert claimed(**HALF, ratio_at_least=2).verdict == "contradicted"


def test_times_of_two_measurements_meet_at_the_anchor():
    found = claimed(row=SMALL, than=ONNX, quantity="forward", ratio_at_least=7)
    assert found.found.value == pytest.approx(16 / 2, rel=0.02)
    assert found.verdict == "supported"
    back = claimed(row=ONNX, than=SMALL, quantity="forward", ratio_at_most=0.2)
    assert back.found.value == pytest.approx(1 / found.found.value)


def test_the_anchor_is_in_every_measurement():
    records = fakes.records(claims=[{**HALF, "row": SMALL, "ratio_at_least": 10}])
    found = summarise(records, REGISTRY)
    assert found.claims[0].found.value == row(found, "lstm-kd · onnx-int8").speed.forward.interval.value


def test_quality_is_paired_where_both_rows_are_ours():
    found = claimed(row=STUDENT, than=TEACHER, quantity="accuracy", difference_at_most=-0.1)
    difference = row(report(), "lstm-kd").quality["accuracy"].difference
    assert found.found == Interval(*(100 * v for v in (difference.value, difference.low, difference.high)))
    assert (found.quantity, found.condition) == ("Δ accuracy, points", "at most −0.1")
    assert found.verdict == "undecided"
    kept = claimed(row=STUDENT, than=TEACHER, quantity="accuracy", ratio_at_least=0.9)
    assert kept.found == row(report(), "lstm-kd").quality["accuracy"].retention


def test_an_exact_export_keeps_what_it_keeps():
    found = claimed(row=ONNX, than=TEACHER, quantity="accuracy", within=0.5)
    assert (found.found, found.verdict, found.condition) == (Interval(0, 0, 0), "supported", "within ±0.5")


def test_a_published_outsider_is_a_fixed_figure():
    found = claimed([RIVAL], row=STUDENT, than="ruGPT", quantity="accuracy", difference_at_least=2)
    mine = row(report(), "lstm-kd").quality["accuracy"].interval
    assert found.found.value == pytest.approx(100 * mine.value - 66)
    assert found.found.low == pytest.approx(100 * mine.low - 66)
    assert found.verdict == "supported"
    turned = claimed([RIVAL], row="ruGPT", than=STUDENT, quantity="accuracy", difference_at_most=-2)
    assert turned.found.low == pytest.approx(-found.found.high)
    assert turned.verdict == "supported"


def test_ratios_of_sizes_say_how_many_times_smaller():
    small = claimed(row=SMALL, than=TEACHER, quantity="size", ratio_at_least=20)
    assert small.found.value == pytest.approx(45 / (8 * 0.27))
    assert (small.quantity, small.verdict) == ("× smaller, size", "supported")
    fewer = claimed([RIVAL], row=STUDENT, than="ruGPT", quantity="parameters", ratio_at_least=10.5)
    assert fewer.found.value == pytest.approx(21e6 / (8 * 2**18))
    assert fewer.verdict == "contradicted"
    same = claimed(row=ONNX, than=TEACHER, quantity="size", within=1)
    assert (same.found.value, same.verdict) == (0, "supported")


@pytest.mark.parametrize(
    ("claim", "run", "why"),
    [
        ({"row": {"model": "lstm", "compress": "int4"}, "than": TEACHER, "quantity": "size"}, {},
         "lstm · int4: no row of this run"),
        ({"row": INT8, "than": "ruGPT", "quantity": "request"}, {}, "times of other hardware"),
        ({"row": INT8, "than": "ruGPT", "quantity": "macro_f1"}, {}, "ruGPT: no macro_f1 was published"),
        ({"row": INT8, "than": TEACHER, "quantity": "accuracy"}, {"mode": "random"}, "random weights"),
        ({"row": INT8, "than": TEACHER, "quantity": "accuracy"}, {"mode": "rehearsal"}, "a rehearsal"),
        ({"row": INT8, "than": TEACHER, "quantity": "size"}, {"mode": "rehearsal"}, "a rehearsal"),
        ({"row": INT8, "than": TEACHER, "quantity": "accuracy"},
         {"task": {**fakes.run_document()["task"], "source": "own.csv", "default_source": "hub:a/b"}}, "other data"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_says_why(claim, run, why):
    found = claimed([RIVAL], run, **claim, ratio_at_least=1.0)
    assert found.verdict == f"not judged: {why}"
    assert found.found == Absent(why)


def test_sizes_and_times_of_random_weights_are_judged():
    for quantity in ("size", "request"):
        assert claimed(
            run={"mode": "random"}, row=SMALL, than=TEACHER, quantity=quantity, ratio_at_least=5
        ).verdict == ("supported")


def test_training_times_are_compared_over_seeds():
    found = claimed(row=STUDENT, than=TEACHER, quantity="training", ratio_at_least=0.5)
    rows = [next(r for r in report().rows if r.axes == axes) for axes in (STUDENT, TEACHER)]
    mine, other = ([*one.training.seconds.values()] for one in rows)
    assert (found.found.low, found.found.high) == (min(mine) / max(other), max(mine) / min(other))
    assert found.found.low < found.found.value < found.found.high
    assert (found.quantity, found.verdict) == ("× longer, training", "supported")


def test_a_training_that_was_not_is_not_judged():
    records = fakes.records(
        claims=[
            {"text": "t", "source": "s", "row": STUDENT, "than": TEACHER, "quantity": "training", "ratio_at_least": 1}
        ]
    )
    untrained = change(records, STUDENT, train=[], distil=[])
    assert "not trained" in summarise(untrained, REGISTRY).claims[0].verdict


def test_a_row_that_was_not_measured_is_not_judged():
    records = change(fakes.records(claims=[{**HALF, "ratio_at_least": 1}]), INT8, measure=None)
    assert summarise(records, REGISTRY).claims[0].verdict == "not judged: not both rows were measured"


def test_claims_stand_near_the_top_and_in_the_json():
    claims = [{**HALF, "ratio_at_least": 2}, {"text": "It | helps", "source": "§5", "compares": ["a"]}]
    found = report(claims=claims)
    text = render(found)
    assert text.index("## Claims of the study") < text.index("## Quality")
    lines = tables(part(text, "Claims of the study"))[0][2:]
    assert lines[0][:4] == ["int8 halves the time", "teacher · int8 with teacher", "× faster, forward", "at least 2"]
    assert lines[0][5] == "**contradicted**"
    assert lines[1][0] == "It \\| helps"
    assert lines[1][5] == "**not judged: no checkable form**"
    assert [claim["verdict"] for claim in json_report(found)["claims"]] == [
        "contradicted",
        "not judged: no checkable form",
    ]
    assert "## Claims of the study" not in render(report())


# ----------------------------------------------------------------------------------------------------------- published


def test_published_figures_stand_beside_ours_with_a_verdict():
    plain = {"model": "lstm", "compress": "none"}
    rows = [
        {"row": plain, "accuracy": 70.4, "macro_f1": 50.0, "source": "A", "note": "old"},
        {"row": {"model": "lstm"}, "accuracy": 90, "size_mib": 8.1, "source": "B"},
        {"row": plain, "size_mib": 5.0, "requests_per_minute": 304.46, "source": "C"},
        {"row": plain, "parameters_millions": 2.1, "examples": 401, "minutes": 5.0, "source": "C"},
        {"row": "a model of theirs", "accuracy": 91.5, "source": "D", "hardware": "laptop"},
    ]
    found = report(published=rows)
    assert [(p.name, p.verdict) for p in found.published] == [
        ("accuracy", "reproduced"),
        ("macro_f1", "ours is above (better)"),
        ("accuracy", "ours is below (worse)"),
        ("size_mib", "reproduced"),
        ("requests_per_minute", "not comparable: other hardware"),
        ("size_mib", "ours is above (worse)"),
        ("examples", "ours is below"),
        ("minutes", "not comparable: other hardware"),
        ("parameters_millions", "reproduced"),
        ("accuracy", "not comparable: no row of this run"),
    ]
    assert found.published[0].note == "old"
    assert found.published[-1].note == "laptop"
    assert found.published[-1].row == "a model of theirs"
    section = part(render(found), "Published numbers")
    assert " 304.46 |" in section
    assert "- Source 1: A" in section
    assert "- lstm: old" in section
    assert "- a model of theirs: laptop" in section


def test_a_time_per_request_is_another_machines_and_its_ratio_is_not():
    base = {"row": TEACHER, "request_ms": 125.0, "source": "A"}
    found = report(published=[base, {"row": INT8, "request_ms": 12.5, "source": "A"}])
    assert [(p.name.partition(" than")[0], p.published) for p in found.published] == [
        ("request_ms", 125.0),
        ("request_ms", 12.5),
        ("× faster", 10.0),
    ]
    assert found.published[1].verdict == "not comparable: other hardware"
    assert found.published[2].verdict == "ours is below (worse)"


def anchored(**ours):
    """The anchor's published row, and one that is published 2.15 times faster and 4 times smaller."""
    base = {"row": TEACHER, "minutes": 80.0, "size_mib": 676.0, "source": "A"}
    return [base, {"row": INT8, "minutes": 80 / 2.15, "size_mib": 169.0, "source": "A", **ours}]


def test_ratios_to_the_published_anchor_are_compared_across_machines():
    found = {p.name: p for p in report(published=anchored()).published if p.row == "teacher · int8"}
    faster, smaller = found["× faster than teacher"], found["× smaller than teacher"]
    assert faster.published == pytest.approx(2.15)
    narrow = row(report(), "teacher · int8").speed.request.interval
    assert faster.ours.value == narrow.value
    assert faster.ours.low < narrow.low < narrow.high < faster.ours.high  # as wide as the noise floor says
    assert faster.verdict == "ours is below (worse)"
    assert (smaller.published, smaller.verdict) == (4.0, "ours is below (worse)")
    measured = faster.ours.value
    again = report(published=anchored(minutes=80 / measured, size_mib=676 * 0.4)).published
    assert [p.verdict for p in again if p.name.startswith("×")] == ["reproduced", "reproduced"]


def test_ratios_need_a_row_of_the_anchor_from_the_same_source():
    other = [dict(anchored()[0], source="B"), anchored()[1]]
    assert not [p for p in report(published=other).published if p.name.startswith("×")]


def test_sizes_and_ratios_hold_with_random_weights_and_quality_does_not():
    found = report(mode="random", published=anchored(accuracy=80.0)).published
    verdicts = {p.name: p.verdict for p in found if p.row == "teacher · int8"}
    assert verdicts["accuracy"] == "not comparable: random weights"
    assert verdicts["size_mib"] == "ours is below (better)"
    assert verdicts["× faster than teacher"] == "ours is below (worse)"


@pytest.mark.parametrize(
    ("source", "default", "set_", "expected"),
    [
        (None, "hub:a/b", [], "reproduced"),
        ("hub:a/b@1234", "hub:a/b", [], "reproduced"),
        ("own.json", "hub:a/b", [], "not comparable: other data"),
        ("own.json", None, [], "reproduced"),
        ("own.json", None, ["task.source=own.json"], "not comparable: other data"),
    ],
)
def test_quality_is_compared_on_the_published_data_alone(source, default, set_, expected):
    document = fakes.run_document()
    task = {**document["task"], "source": source, "default_source": default}
    published = [{"row": TEACHER, "accuracy": 80.0, "source": "A"}]
    found = report(task=task, suite={**document["suite"], "set": set_}, published=published)
    assert found.published[0].verdict == expected


@pytest.mark.parametrize(
    ("set_", "why"),
    [
        (['task.critical=["LOC"]'], "task.critical was set"),
        (["task.use=ner"], "task.use was set"),
        (["task.limit=100", "task.test = 'b.csv'"], "task.limit was set, task.test was set"),
        (["task={use='ner'}"], "task was set"),
        ([' "task" . files.test =x'], "task.files.test was set"),
    ],
)
def test_other_types_are_not_the_published_ones(set_, why):
    document = fakes.run_document()
    run = {"suite": {**document["suite"], "set": set_}}
    found = report(**run, published=[{"row": TEACHER, "accuracy": 80.0, "source": "A"}])
    assert found.published[0].verdict == f"not comparable: other data or types ({why})"
    judged = claimed(run=run, row=INT8, than=TEACHER, quantity="accuracy", ratio_at_least=0.5)
    assert judged.verdict == f"not judged: other data or types ({why})"
    assert claimed(run=run, row=SMALL, than=TEACHER, quantity="size", ratio_at_least=5).verdict == "supported"


@pytest.mark.parametrize(
    "change_",
    ["task.max_length=96", "task.doc_stride=32", "tasks.critical=1", "models.task.critical=1", "matrix.seed=[1]"],
)
def test_what_models_read_and_what_is_no_tasks_leaves_figures_comparable(change_):
    document = fakes.run_document()
    published = [{"row": TEACHER, "accuracy": 80.0, "source": "A"}]
    found = report(suite={**document["suite"], "set": [change_]}, published=published)
    assert found.published[0].verdict == "reproduced"


def test_a_handful_of_examples_is_not_the_published_data():
    found = report(published=[{"row": TEACHER, "accuracy": 80.0, "examples": 5036, "source": "A"}]).published
    assert found[0].verdict == "not comparable: other data (400 test examples, published for 5,036)"
    near = report(published=[{"row": TEACHER, "accuracy": 80.0, "examples": 430, "source": "A"}]).published
    assert near[0].verdict == "reproduced"


# ------------------------------------------------------------------------------------------------------------- columns


def test_the_studys_columns_come_first_in_its_order_and_units():
    columns = ["macro_f1", "accuracy", "size", "folder", "minutes", "examples", "per_minute", "training", "parameters"]
    found = report(report={"columns": columns}, published=[RIVAL])
    header, _, first, *rest = tables(text := render(found))[0]
    assert header[2:11] == [
        "macro_f1, % ↑", "accuracy, % ↑", "model file, MiB ↓", "whole folder, MiB ↓",
        "minutes over the test examples ↓", "test examples", "requests per minute ↑", "training, own steps", "parameters, millions",
    ]  # fmt: skip
    assert header.count("accuracy, % ↑") == header.count("model file, MiB ↓") == 1
    mean = np.mean(fakes.records().measurements["measure-teacher"]["anchor"]["workloads"]["single"]["request_ms"])
    assert first[6].startswith(f"{mean * 400 / 60_000:.4f} [")
    assert first[7] == "400"
    assert first[8].startswith(f"{60_000 / mean:,.0f} [")
    assert first[9:11] == ["34 s", "11.8"]
    assert (
        "extrapolated to 400 test examples from 1,280 measured requests, at the anchor's pace in the calmest measurement."
        in text
    )
    outsider = rest[-1]
    assert outsider[:5] == ["*ruGPT* (published)", "", "—¹", "66", "80"]
    assert outsider[10] == "21"
    assert outsider[11] == "—²"
    assert "¹ not published · ² published, not run here" in text


def test_the_csv_has_the_same_figures_with_bounds():
    found = report()
    line = next(csv.DictReader(io.StringIO(to_csv(found))))
    mean = row(found, "teacher").speed.request_ms
    assert float(line["requests_per_minute_low"]) == pytest.approx(60_000 / mean.high, rel=1e-5)
    assert float(line["minutes_over_test_examples"]) == pytest.approx(mean.value * 400 / 60_000, rel=1e-5)
    assert line["requests_timed"] == "1280"


def test_records_of_earlier_versions_have_no_columns():
    records = fakes.records()
    assert "report" not in records.run
    assert summarise(records, REGISTRY).columns == ()


# ------------------------------------------------------------------------------------------------- slices, instructions


def test_slices_of_the_anchor_and_the_best_row():
    records = fakes.records()
    cells = []
    for cell in records.cells:
        share = 0.5 if cell["axes"]["model"] == "teacher" else 0.25
        slices = {"first word": {"кто": {"examples": 1200, "accuracy": share, "macro_f1": 1.0}}, "length": {}}
        quality = {**cell["quality"], "details": {**cell["quality"]["details"], "slices": slices}}
        cells.append({**cell, "quality": quality})
    found = summarise(replace(records, cells=cells), REGISTRY)
    lines = tables(part(render(found), "By slice"))[0]
    assert lines[0] == ["slice", "value", "row", "examples", "accuracy, % ↑", "macro_f1, % ↑"]
    assert lines[2:] == [
        ["first word", "кто", "**teacher** (anchor)", "1,200", "50.0", "100.0"],
        ["first word", "кто", found.best, "1,200", "50.0", "100.0"],
    ]
    assert "## By slice" not in render(report())


def test_every_step_whose_answers_depend_on_the_cpu_says_on_which():
    registry = fakes.build_registry([replace(s, isa_dependent=True) if "int8" in s.name else s for s in fakes.specs()])
    lines = tables(part(render(summarise(fakes.records(), registry)), "What the compressors did"))[0]
    assert lines[0][-1] == "answers hold for"
    said = {line[1]: line[-1] for line in lines[2:]}
    isa = "x86-64-avx512_vnni (avx512_vnni avx2)"
    assert said == {"torch-int8": isa, "onnx": "any", "onnx-int8": isa}


def test_minutes_of_two_measurements_are_brought_to_one_pace():
    """Requests per minute of two rows are apart as their ratio to the anchor says, however slow each measurement was."""
    found = report(columns=["per_minute"])
    anchor = found.anchor
    for one in found.rows:
        if isinstance(one.speed.request.interval, Interval):
            expected = anchor.speed.level_ms.value / one.speed.request.interval.value
            assert one.speed.level_ms.value == pytest.approx(expected)
    means = [np.mean(m["anchor"]["workloads"]["single"]["request_ms"]) for m in fakes.records().measurements.values()]
    assert any(anchor.speed.level_ms.value == pytest.approx(mean) for mean in means)
