"""Where a gain came from: the steps of a chain, found by the keys of stages; students beside several teachers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import report_fakes as fakes
from conftest import Project
from report_fakes import change, part, row, tables

from harness.records import read_records, read_samples
from harness.reports import json_report, markdown_files, render, summarise
from harness.reports.figures import pictures
from harness.reports.model import Absent

TITLE = "Where did the gain come from?"
TAUGHT = "Students of several teachers"
ASKED = {"columns": [], "figures": [], "sections": ["waterfall", "teachers"], "matrix": None}


def stages(model, chain, seed):
    """As a plan would number them: `onnx` of the chain onnx is the `onnx` of the chain onnx-int8."""
    own = [("build", f"build-{model}-{seed}"), ("train", f"train-{model}-{seed}")]
    uses = fakes.CHAINS[chain]
    own += [("compress", f"{'+'.join(uses[: n + 1])}-{model}-{seed}") for n in range(len(uses))]
    return {f"{kind}.{n}": key for n, (kind, key) in enumerate([*own, ("score", f"score-{model}-{chain}-{seed}")])}


def with_stages(found):
    return replace(found, cells=[{**cell, "stages": stages(**_named(cell))} for cell in found.cells])


def _named(cell):
    axes = cell["axes"]
    return {"model": axes["model"], "chain": axes["compress"], "seed": axes["seed"]}


def records(**run):
    return with_stages(fakes.records(report=ASKED, **run))


def summarised(found):
    return summarise(found, fakes.REGISTRY)


def fall(report, label):
    return next(found for found in report.asked.falls if found.row == label)


def without(found, **axes):
    cells = [c for c in found.cells if not all(c["axes"][axis] == value for axis, value in axes.items())]
    assert len(cells) < len(found.cells)
    return replace(found, cells=cells)


# ---------------------------------------------------------------------------------------------------------------- steps


def test_a_chain_is_split_at_the_rows_that_the_suite_has():
    found = fall(summarised(records()), "lstm-kd · onnx-int8")
    assert [step.use for step in found.steps] == [("kd",), ("onnx",), ("onnx-int8",)]
    assert [step.after.label for step in found.steps] == ["lstm-kd", "lstm-kd · onnx", "lstm-kd · onnx-int8"]
    assert found.steps[0].before.label == found.whole.before.label == "teacher"
    assert found.whole.after.label == "lstm-kd · onnx-int8"


def test_a_row_on_the_way_to_another_has_no_waterfall_of_its_own():
    labels = [found.row for found in summarised(records()).asked.falls]
    assert "lstm-kd · onnx" not in labels
    assert {"lstm-kd · int8", "lstm-kd · onnx-int8"} <= set(labels)


def test_steps_without_a_row_in_between_are_joined():
    found = fall(summarised(without(records(), compress="onnx")), "lstm · onnx-int8")
    assert [step.use for step in found.steps] == [("onnx", "onnx-int8")]
    assert "onnx + onnx-int8" in part(render(summarised(without(records(), compress="onnx"))), TITLE)


def test_a_failed_row_in_between_is_left_out():
    broken = change(records(), {"model": "lstm", "compress": "onnx"}, status="failed", reason="x", quality=None)
    assert [step.use for step in fall(summarised(broken), "lstm · onnx-int8").steps] == [("onnx", "onnx-int8")]


def test_another_parameter_of_the_first_compressor_makes_it_another_step():
    """Names are equal, keys are not."""
    other = {"build.0": "build-lstm-1", "train.1": "train-lstm-1", "compress.2": "another onnx", "score.3": "s"}
    changed = change(records(), {"model": "lstm", "compress": "onnx", "seed": 1}, stages=other)
    assert [step.use for step in fall(summarised(changed), "lstm · onnx-int8").steps] == [("onnx", "onnx-int8")]


def test_stages_are_ordered_by_number_and_not_by_text():
    long = {f"compress.{n}": f"key-{n}" for n in range(2, 12)}
    base = {"build.0": "build-lstm-1", "train.1": "train-lstm-1"}
    uses = [fakes.step("onnx") for _ in long]
    first = dict(list(long.items())[:9])  # up to compress.10, which sorts before compress.2 as text
    found = change(records(), {"model": "lstm", "compress": "onnx"}, stages={**base, **first}, compress=uses[:9])
    found = change(found, {"model": "lstm", "compress": "onnx-int8"}, stages={**base, **long}, compress=uses)
    steps = fall(summarised(found), "lstm · onnx-int8").steps
    assert [len(step.use) for step in steps] == [9, 1]


def test_training_inside_a_chain_is_named_by_its_distiller():
    recovered = {"build.0": "build-lstm-1", "train.1": "train-lstm-1", "compress.2": "p", "train.3": "again"}
    found = without(records(), compress="onnx")
    found = change(found, {"model": "lstm", "compress": "onnx-int8"}, stages={**recovered, "compress.4": "q"})
    found = change(found, {"model": "lstm", "compress": "onnx-int8"}, distil=["finetune", "kd"], recovered=1)
    assert [step.use for step in fall(summarised(found), "lstm · onnx-int8").steps] == [("onnx", "kd", "onnx-int8")]


def test_a_row_before_a_training_inside_a_chain_is_a_step_on_the_way():
    """As runs record it: numbers count both trainings before the compressors, ancestors come inputs first."""
    start = {"build.0": "build-lstm-1", "train.1": "train-lstm-1"}
    pruned = {**start, "compress.2": "pruned"}
    whole = {**start, "train.2": "again", "compress.3": "pruned", "compress.4": "exported"}
    flow = ["data", "build-lstm-1", "train-lstm-1", "pruned", "train-teacher-1", "again", "exported"]
    found = change(records(), {"model": "lstm", "compress": "onnx"}, stages=pruned, ancestors=flow[:4])
    found = change(found, {"model": "lstm", "compress": "onnx"}, compress=[fakes.step("prune")])
    found = change(found, {"model": "lstm", "compress": "onnx-int8"}, stages=whole, ancestors=flow)
    found = change(found, {"model": "lstm", "compress": "onnx-int8"}, distil=["finetune", "kd"], recovered=1)
    found = change(
        found, {"model": "lstm", "compress": "onnx-int8"}, compress=[fakes.step("prune"), fakes.step("onnx")]
    )
    report = summarised(found)
    assert [step.use for step in fall(report, "lstm · onnx-int8").steps] == [("prune",), ("kd", "onnx")]
    assert "lstm · onnx" not in [one.row for one in report.asked.falls]


# -------------------------------------------------------------------------------------------------------------- figures


def test_steps_add_up_to_the_whole():
    found = fall(summarised(records()), "lstm-kd · onnx-int8")
    assert sum(step.quality.value for step in found.steps) == pytest.approx(found.whole.quality.value)
    product = 1.0
    for step in found.steps:
        product *= step.faster.value
    assert product == pytest.approx(found.whole.faster.value, rel=0.05)
    assert [step.before.mib for step in found.steps[1:]] == [step.after.mib for step in found.steps[:-1]]


def test_quality_is_the_paired_difference_of_the_report():
    report = summarised(records())
    first = fall(report, "lstm-kd · int8").steps[0]
    assert first.quality == row(report, "lstm-kd").quality["accuracy"].difference
    assert first.quality.low < first.quality.value < first.quality.high


def test_times_are_ratios_that_the_fakes_were_made_with():
    onnx, int8 = fall(summarised(records()), "lstm · onnx-int8").steps
    assert onnx.faster.value == pytest.approx((2.0 + 0.5) / (1.0 + 0.5), rel=0.03)
    assert int8.faster.value == pytest.approx((1.0 + 0.5) / (0.5 + 0.5), rel=0.03)


def test_what_was_not_measured_is_a_dash_with_its_reason():
    found = records(measure={**fakes.run_document()["measure"], "speed": None})
    found = replace(found, measurements={}, cells=[{**c, "measure": None, "subject": None} for c in found.cells])
    report = summarised(found)
    assert isinstance(fall(report, "lstm · int8").whole.faster, Absent)
    assert "¹ not both rows were measured" in part(render(report), TITLE)


def test_the_table_leads_from_the_teacher_to_the_whole():
    (lines,) = tables(part(render(summarised(records())), TITLE))
    place = next(n for n, line in enumerate(lines) if line[0] == "lstm-kd · onnx-int8")
    assert [line[1] for line in lines[place : place + 4]] == ["kd (from teacher)", "onnx", "onnx-int8", "**all of it**"]
    assert [line[0] for line in lines[place + 1 : place + 4]] == [""] * 3
    assert lines[place][4:] == ["−37.0", "5.6"]
    assert lines[place + 1][4:] == ["0", "1"]


def test_the_figure_has_a_bar_for_every_step_and_the_report_shows_it():
    report = summarised(records())
    files = markdown_files(report, "made-up")
    drawn = files["made-up.waterfall.svg"]
    assert "made-up.waterfall.svg" in files["made-up.md"]
    steps = sum(len(found.steps) for found in report.asked.falls)
    assert len(set(re.findall(r'id="(step-0-\d+)"', drawn))) == steps
    assert drawn == markdown_files(report, "made-up")["made-up.waterfall.svg"]


def test_drops_say_which_way_is_better():
    (picture,) = (found for found in pictures(summarised(records())) if found.name == "waterfall")
    names = {title: drops for title, _, drops in picture.panels}
    assert set(names) == {"accuracy, %", "request, ms at the anchor's pace", "model file, MiB"}
    assert all(drop.better == (drop.after.value >= drop.before) for drop in names["accuracy, %"])
    assert all(drop.better == (drop.after.value <= drop.before) for drop in names["model file, MiB"])


def test_only_a_suite_that_asks_has_it():
    report = summarised(with_stages(fakes.records()))
    assert TITLE not in render(report)
    assert "waterfall" not in [found.name for found in pictures(report)]
    assert json_report(summarised(records()))["asked"]["falls"]


def test_names_of_others_stay_names():
    hostile = [fakes.step("<img src=x>"), fakes.step("a|b")]
    found = change(records(), {"model": "lstm", "compress": "onnx-int8"}, compress=hostile)
    files = markdown_files(summarised(without(found, compress="onnx")), "made-up")
    text = part(files["made-up.md"], TITLE)
    assert "<img" not in text + files["made-up.waterfall.svg"]
    assert "a\\|b" in text


# ------------------------------------------------------------------------------------------------------------- teachers


def of_several(found):
    return change(found, {"model": "lstm-kd"}, teachers=[["teacher", "lstm"]])


def test_a_student_of_several_teachers_is_told_from_each_alone():
    report = summarised(of_several(records()))
    assert [(entry.row, entry.teacher) for entry in report.asked.taught] == [
        ("lstm-kd", "teacher"),
        ("lstm-kd", "lstm"),
    ]
    text = part(render(report), TAUGHT)
    assert "beats 1 of its 2 teachers alone, is worse than 1" in text or "beats 1 of its 2 teachers alone." in text
    (lines,) = tables(text)
    assert lines[3][:2] == ["lstm-kd", "lstm"]
    assert lines[3][3] == "**better**"


def test_the_waterfall_begins_at_the_best_of_several_teachers():
    report = summarised(of_several(records()))
    assert fall(report, "lstm-kd · int8").steps[0].before.label == "teacher"


def test_compressed_students_stand_for_themselves_where_no_other_row_does():
    report = summarised(without(of_several(records()), model="lstm-kd", compress="none"))
    assert {entry.row for entry in report.asked.taught} == {"lstm-kd · int8", "lstm-kd · onnx", "lstm-kd · onnx-int8"}


def test_what_the_teachers_score_together_stands_beside_the_row():
    samples = fakes.samples("teacher", "none", 1, 0.90)
    together = {"teachers": ["teacher", "lstm"], "examples": "all of them", "samples": samples.tolist()}
    report = summarised(change(of_several(records()), {"model": "lstm-kd", "compress": "none"}, ensemble=together))
    (found,) = report.asked.together
    assert found.score.value == pytest.approx(0.90)
    assert found.difference.value == pytest.approx(row(report, "lstm-kd").quality["accuracy"].interval.value - 0.90)
    assert found.difference.high < 0
    assert ["lstm-kd", "teacher + lstm"] in [line[:2] for line in tables(part(render(report), TAUGHT))[1]]
    assert "not in the record" in part(render(summarised(of_several(records()))), TAUGHT)


SUITE = """
schema = 1
[suite]
name = "pair"
anchor = { model = "first", compress = "none" }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/sample"
max_length = 32
[models.first]
use = "ngram"
train = { distil = "finetune", learning_rate = 1e-2, epochs = 6, batch_size = 32 }
[models.second]
use = "ngram"
train = { distil = "finetune", learning_rate = 2e-2, epochs = 4, batch_size = 32 }
[models.student]
use = "ngram"
train = { distil = "kd", teacher = ["first", "second"], learning_rate = 1e-2, epochs = 2, batch_size = 32 }
[matrix]
compress = ["none"]
[measure]
speed = false
[report]
sections = ["teachers"]
"""


def test_a_run_keeps_what_its_teachers_answer_together(tmp_path):
    made = Project(tmp_path)
    made.write(SUITE, "pair.toml")
    made.harness("run", "pair.toml")
    found = read_records(tmp_path / "reports/pair.records.jsonl")
    kept = {cell["axes"]["model"]: cell["ensemble"] for cell in found.cells}
    assert kept["first"] is kept["second"] is None
    assert kept["student"]["teachers"] == ["first", "second"]
    samples = {cell["axes"]["model"]: read_samples(cell["quality"]["samples"]) for cell in found.cells}
    both = read_samples(kept["student"]["samples"])
    right = -np.log((np.exp(-samples["first"][:, 2]) + np.exp(-samples["second"][:, 2])) / 2)
    assert both[:, 2] == pytest.approx(right, abs=1e-5)  # the loss of mean probabilities
    assert "first + second" in (tmp_path / "reports/pair.md").read_text(encoding="utf-8")


def test_one_teacher_makes_no_section():
    assert TAUGHT not in render(summarised(records()))


def test_a_model_that_teaches_itself_in_a_made_up_record_ends():
    found = change(records(), {"model": "lstm-kd"}, teachers=[["lstm-kd"]])
    assert fall(summarised(found), "lstm-kd · int8").steps[0].use == ("torch-int8",)
