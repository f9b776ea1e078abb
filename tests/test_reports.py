"""Reports from made-up records: figures, verdicts, the closing sentence, and text that wants to be more than text."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import report_fakes as fakes

from harness.errors import PluginError
from harness.plugins import build_registry
from harness.records import Records, read_records
from harness.reports import json_report, render, summarise, summary_sentence, to_csv, write_reports
from harness.reports.escape import code, csv_text, markdown, plain
from harness.reports.format import decimals, fixed, mib, off, ranged, seconds, significant, times
from harness.reports.model import Absent
from harness.specs import Metric
from harness.statistics import Interval, bootstrap_metrics, median_ratio, paired_difference, paired_ratio, percentile

REGISTRY = build_registry(fakes.specs())
HOSTILE = "a|b\x1b[31mred<script>alert(1)</script>\n# h [x](javascript:alert(2)) `c` \u202egpj.exe &amp; **b** $x$"


@functools.cache
def plain_report():
    return summarise(fakes.records(), REGISTRY)


def report(**run):
    return summarise(fakes.records(**run), REGISTRY) if run else plain_report()


def row(found, label):
    return next(r for r in found.rows if r.label == label)


def change(records, where, **changes):
    """The record with every cell that matches `where` changed."""
    hit = [all(cell["axes"][n] == v for n, v in where.items()) for cell in records.cells]
    assert any(hit)
    return replace(records, cells=[{**c, **changes} if h else c for c, h in zip(records.cells, hit, strict=True)])


def tables(text):
    """Every pipe table as a list of rows of cells."""
    found, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            found.append(rows)
            rows = []
    return found


def part(text, title):
    """A section's lines."""
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


# ------------------------------------------------------------------------------------------------------------- figures


def test_quality_is_the_bootstrap_of_the_samples_over_both_seeds():
    found = row(report(), "lstm-kd · int8")
    task = fakes.Task()
    mine, base = (
        bootstrap_metrics(
            lambda s, w: task.metrics(s, w, fakes.LABELS),
            [fakes.samples(model, chain, seed, share).astype(float) for seed in fakes.SEEDS],
        )
        for model, chain, share in (("lstm-kd", "int8", 0.78), ("teacher", "none", 0.80))
    )
    score = found.quality["accuracy"]
    assert score.interval == mine["accuracy"].interval
    assert score.difference == paired_difference(mine["accuracy"], base["accuracy"])
    assert score.retention == paired_ratio(mine["accuracy"], base["accuracy"])
    assert list(score.by_seed) == ["1", "2"]
    assert tuple(found.quality["macro_f1"].by_seed.values()) == mine["macro_f1"].by_seed


def test_rows_are_cells_without_seeds_and_the_anchor_comes_first():
    anchor_last = fakes.records(anchor={"model": "lstm", "compress": "onnx"})
    found = summarise(anchor_last, REGISTRY)
    assert len(found.rows) == 12
    assert found.rows[0].label == "lstm · onnx"
    assert [r.anchor for r in found.rows] == [True] + [False] * 11
    assert found.rows[1].label == "teacher"
    assert found.rows[0].quality["accuracy"].difference == Interval(0.0, 0.0, 0.0)


def test_verdicts_follow_the_interval_of_the_kept_share():
    found = report()
    by_label = {r.label: [bar.verdict for bar in r.kept.bars] for r in found.rows}
    assert by_label["teacher"] == ["PASS", "PASS"]
    assert by_label["teacher · int8"] == ["PASS", "INCONCLUSIVE"]
    assert by_label["lstm"] == ["FAIL", "FAIL"]
    assert by_label["lstm-kd"] == ["INCONCLUSIVE", "INCONCLUSIVE"]


def test_retention_is_of_the_model_that_the_suite_names_not_of_the_anchor():
    measure = {**fakes.run_document()["measure"], "retention": {"of": "lstm", "metric": "macro_f1", "at_least": [0.9]}}
    found = row(report(measure=measure), "lstm-kd")
    assert (found.kept.of, found.kept.metric) == ("lstm", "macro_f1")
    assert found.kept.interval.value > 1
    assert found.quality["macro_f1"].retention.value < 1
    assert "keeps of lstm's macro_f1, % ↑" in render(report(measure=measure))


def test_less_of_a_metric_where_less_is_better_keeps_more():
    metrics = [{"name": "accuracy", "higher_is_better": False, "unit": "", "summary": ""}]
    task = {**fakes.run_document()["task"], "metrics": metrics}
    found = report(task=task)
    assert row(found, "lstm").kept.interval.value == pytest.approx(0.80 / 0.70)
    assert "accuracy ↓" in render(found)


def test_speed_is_the_ratio_within_blocks_of_the_rows_own_measurement():
    records = fakes.records()
    found = row(summarise(records, REGISTRY), "lstm-kd · int8").speed
    document = records.measurements["measure-lstm"]
    mine, anchor = document["rows"]["row.int8"]["workloads"], document["anchor"]["workloads"]
    assert found.forward.interval == median_ratio(anchor["single"]["forward_ms"], mine["single"]["forward_ms"])
    assert found.request.interval == median_ratio(anchor["single"]["request_ms"], mine["single"]["request_ms"])
    assert found.throughput.interval == median_ratio(anchor["batch"]["request_ms"], mine["batch"]["request_ms"])
    assert found.p90_ms == percentile(mine["single"]["requests"]["request_ms"], 0.9)
    assert found.examples_per_s.value == pytest.approx(1000 / np.median(mine["batch"]["request_ms"]), rel=1e-3)
    assert found.examples_per_s.low < found.examples_per_s.value < found.examples_per_s.high
    assert found.peak_mib == document["rows"]["row.int8"]["memory"]["peak_mib"]


def test_rows_of_one_start_share_a_measurement_and_the_report_says_so():
    found = report()
    assert row(found, "lstm · onnx").speed == row(found, "lstm-kd · onnx").speed
    assert row(found, "lstm").speed != row(found, "teacher · int8").speed
    assert found.measurements[1].rows[0] == "lstm"
    assert found.measurements[1].rows[-1] == "lstm-kd · onnx-int8"


def test_a_ratio_inside_the_noise_is_no_finding():
    records = fakes.records()
    slow_twin = fakes.result(8.6, 2)
    document = {**records.measurements["measure-teacher"], "twin": slow_twin}
    document["rows"] = {**document["rows"], "row.onnx": fakes.result(8.3, 9)}
    found = summarise(replace(records, measurements={**records.measurements, "measure-teacher": document}), REGISTRY)
    assert row(found, "teacher · onnx").speed.forward.noise
    assert not row(found, "teacher · onnx-int8").speed.forward.noise
    main = tables(render(found))[0]
    assert next(line[9] for line in main if line[1] == "onnx") == "≈ 1"
    assert [line[9] for line in main if "anchor" in line[0]] == ["1"]
    line = next(line for line in csv.DictReader(io.StringIO(to_csv(found))) if line["compress"] == "onnx")
    assert line["times_faster_forward_is_noise"] == "true"
    assert float(line["times_faster_forward"]) < 1


def test_percentiles_without_enough_samples_are_refused_with_the_reason():
    records = fakes.records()
    few = fakes.measurement("measure-lstm", 2.0)
    few["rows"] = {name: fakes.result(2.0, 5, blocks=6, inputs=4) for name in few["rows"]}
    few["anchor"], few["twin"] = fakes.result(8.0, 1, blocks=6), fakes.result(8.0, 2, blocks=6)
    found = summarise(replace(records, measurements={**records.measurements, "measure-lstm": few}), REGISTRY)
    assert isinstance(row(found, "lstm").speed.p50_ms, Interval)
    assert row(found, "lstm").speed.p90_ms == Absent("24 samples do not support a p90: it takes 29")
    assert "24 samples do not support a p90: it takes 29" in part(render(found), "Speed")


def test_sizes_are_relative_to_the_anchors_model_file():
    found = report()
    assert row(found, "lstm-kd").size.times_smaller == pytest.approx(45 / 8)
    assert row(found, "teacher").size.times_smaller == 1
    assert row(found, "teacher · onnx-int8").size.model_mib == pytest.approx(45 * 0.27)


def test_what_training_cost_with_and_without_its_teachers():
    found = row(report(), "lstm-kd · int8").training
    assert found.seconds == {"1": 33.0, "2": 36.0}
    assert found.with_teachers_s == 66.0
    assert row(report(), "lstm").training.with_teachers_s == 33.0
    alone = replace(fakes.records(), cells=[c for c in fakes.records().cells if c["axes"]["model"] == "lstm-kd"])
    unknown = row(summarise(alone, REGISTRY), "lstm-kd").training.with_teachers_s
    assert unknown == Absent("the training of teacher is in no cell of this run")


def test_the_resolving_power_is_that_of_a_paired_comparison():
    found = report()
    difference = [r.quality["accuracy"].difference for r in found.rows[1:]]
    widths = sorted(d.high - d.low for d in difference if d.high > d.low)
    middle = widths[len(widths) // 2] / (2 * 1.96)  # a standard error, from the interval
    assert found.resolution == pytest.approx(2.8 * middle, rel=0.1)
    assert "Resolving power: a true difference of" in part(render(found), "Quality")


def test_parity_is_the_worst_over_seeds():
    records = fakes.records()
    worse = fakes.step("torch-int8")
    worse["parity"] = {**worse["parity"], "same_answer": 0.5, "max_difference": 7.0, "mean_difference": 0.0}
    found = row(
        summarise(change(records, {"model": "lstm", "compress": "int8", "seed": 2}, compress=[worse]), REGISTRY),
        "lstm · int8",
    )
    assert found.steps[0].parity["same_answer"] == 0.5
    assert found.steps[0].parity["max_difference"] == 7.0
    assert found.steps[0].parity["mean_difference"] == pytest.approx(0.0063)


# ------------------------------------------------------------------------------------------------------------ sentence


def test_the_sentence_is_about_the_fastest_row_that_passes_the_lowest_bar():
    found = report()
    assert found.best == "teacher · onnx-int8"
    assert re.fullmatch(
        r"teacher · onnx-int8 keeps 98\.8 % \[9\d\.\d, 1?\d\d\.\d\] of teacher's accuracy at 4× the speed and "
        r"1/3\.7 of the size: the fastest of the 3 rows that pass the bar of 95 %\.",
        summary_sentence(found),
    )
    assert markdown(summary_sentence(found)) in render(found).split("\n## ")[0]


def test_faster_counts_before_smaller_and_noise_is_the_same_speed():
    records = fakes.records()
    document = {**records.measurements["measure-teacher"], "twin": fakes.result(8.6, 2)}
    document["rows"] = {**document["rows"], "row.onnx-int8": fakes.result(7.9, 9)}
    records = replace(records, measurements={**records.measurements, "measure-teacher": document})
    found = summarise(records, REGISTRY)
    assert found.best == "teacher · onnx"
    assert "at 2× the speed and 100 % of the size" in found.sentence
    alone = [
        c for c in records.cells if c["axes"]["compress"] in ("none", "onnx-int8") and c["axes"]["model"] == "teacher"
    ]
    assert "at the same speed and 1/3.7 of the size" in summarise(replace(records, cells=alone), REGISTRY).sentence


def test_without_bars_the_sentence_is_about_rows_that_are_not_shown_to_be_worse():
    measure = {**fakes.run_document()["measure"], "retention": None}
    found = report(measure=measure)
    assert found.best == "lstm-kd · onnx-int8"
    assert "whose accuracy is not shown to be worse than the anchor's" in found.sentence
    assert "≥" not in "".join(tables(render(found))[0][0])


def test_when_no_row_passes_the_sentence_says_so_and_names_the_closest():
    hard = {"of": "teacher", "metric": "accuracy", "at_least": [1.0]}
    records = fakes.records(measure={**fakes.run_document()["measure"], "retention": hard})
    only = [c for c in records.cells if c["axes"]["model"] == "lstm" or c["axes"]["compress"] == "none"]
    found = summarise(replace(records, cells=only), REGISTRY)
    assert found.best == "lstm-kd"
    assert found.sentence.endswith("no row passes the bar of 100 %, this one comes closest.")


def test_the_anchor_is_named_where_retention_is_about_another_row():
    measure = {**fakes.run_document()["measure"], "retention": {"of": "lstm", "metric": None, "at_least": [0.5]}}
    assert "of lstm's accuracy at 16× the speed and 1/21 of the size of teacher:" in report(measure=measure).sentence


# --------------------------------------------------------------------------------------------------------------- modes


def test_random_weights_leave_quality_out_and_keep_sizes_and_speeds():
    records = fakes.records(mode="random")
    bare = [{**c, "quality": None, "train": []} for c in records.cells]
    text = render(found := summarise(replace(records, cells=bare), REGISTRY))
    assert "**Random weights: sizes and speeds are real" in text
    assert "## Quality" not in text
    assert "## Training" not in text
    main = tables(text)[0]
    assert {line[2] for line in main[2:]} == {"—¹"}
    assert "¹ random weights: answers mean nothing" in text
    assert found.sentence == (
        "With random weights, lstm · onnx-int8 runs at 16× the speed and 1/21 of the size of teacher; "
        "quality is not looked at."
    )


def test_a_rehearsal_says_that_no_figure_means_anything_and_draws_no_conclusion():
    found = report(mode="rehearsal", published=[{"row": {"model": "lstm"}, "accuracy": 70.0, "source": "s"}])
    text = render(found)
    assert text.splitlines()[2] == "**Rehearsal: sampled data, miniature models. No figure here means anything.**"
    assert found.sentence == "Rehearsal: 24 of 24 cells went through on sampled data with miniature models."
    assert found.best is None
    assert found.published[0].verdict == "not comparable: a rehearsal"


# ------------------------------------------------------------------------------------------------------------ failures


def failed(cell, status="failed", reason="boom"):
    nothing = {"quality": None, "artifact": None, "measure": None, "train": [], "compress": [], "subject": None}
    return {**cell, **nothing, "status": status, "reason": reason}


def test_a_report_of_failures_alone_still_says_everything():
    records = fakes.records()
    gone = replace(records, cells=[failed(c) for c in records.cells], measurements={})
    found = summarise(gone, REGISTRY)
    text = render(found)
    assert found.sentence == "Nothing to compare: 0 of 24 cells went through."
    assert "⚠ Of 24 cells 24 failed" in text
    assert text.count("Try again: `harness run suites/made-up.toml --only model=") == 24
    assert "## Speed" not in text
    assert to_csv(found).count("\n") == 13
    json.dumps(json_report(found), allow_nan=False)


def test_one_failed_seed_leaves_a_row_with_the_other():
    records = fakes.records()
    cells = [failed(c) if c["cell"] == "model=lstm,compress=none,seed=1" else c for c in records.cells]
    found = summarise(replace(records, cells=cells), REGISTRY)
    lstm = row(found, "lstm")
    assert (lstm.status, lstm.seeds_ok, lstm.seeds) == ("1 of 2 seeds failed", 1, 2)
    assert list(lstm.quality["accuracy"].by_seed) == ["2"]
    assert isinstance(lstm.speed.forward.interval, Interval)
    assert tables(render(found))[0][0][-1] == "status"
    assert tables(render(report()))[0][0][-1] != "status"


def test_skipped_and_not_run_cells_stand_with_their_reasons():
    records = fakes.records()
    states = {"int8": ("skipped", "no int8 kernel"), "onnx": ("not run", "because of train lstm: killed")}
    cells = [failed(c, *states[c["axes"]["compress"]]) if c["axes"]["compress"] in states else c for c in records.cells]
    text = render(summarise(replace(records, cells=cells), REGISTRY))
    assert "⚠ Of 24 cells 6 not run, 6 skipped" in text
    problems = part(text, "Failed, skipped, not run")
    assert problems.count("no int8 kernel") == 1
    assert problems.count("because of train lstm: killed") == 1
    assert "Try again" not in problems


def test_without_the_anchor_rows_stand_by_themselves():
    records = fakes.records()
    cells = [c for c in records.cells if (c["axes"]["model"], c["axes"]["compress"]) != ("teacher", "none")]
    found = summarise(replace(records, cells=cells), REGISTRY)
    assert found.sentence == "The anchor is not among the 11 rows: nothing can be said about what they keep of it."
    assert isinstance(found.rows[0].quality["accuracy"].interval, Interval)
    assert isinstance(found.rows[0].quality["accuracy"].difference, Absent)
    render(found)


def test_an_anchor_without_a_score_leaves_speed_and_size():
    records = change(fakes.records(), {"model": "teacher", "compress": "none"}, quality=None)
    found = summarise(records, REGISTRY)
    assert found.sentence.startswith("lstm · onnx-int8 runs at 16× the speed and 1/21 of the size of teacher")
    assert row(found, "lstm").kept.bars[0].verdict == Absent("what it would be compared with has no score")


def test_a_subject_that_failed_in_its_measurement_is_a_dash_and_a_problem():
    records = fakes.records()
    document = {**records.measurements["measure-lstm"]}
    document["rows"] = {
        **document["rows"],
        "row.int8": {"status": "failed", "label": "x", "reason": "killed by SIGKILL"},
    }
    found = summarise(replace(records, measurements={**records.measurements, "measure-lstm": document}), REGISTRY)
    assert row(found, "lstm · int8").speed.forward.interval == Absent("not measured: killed by SIGKILL")
    text = render(found)
    assert "⚠ Of 24 cells 1 not measured" in text
    assert "**not measured** chain int8 in measurement 2: killed by SIGKILL" in text


def test_without_the_twin_there_is_no_noise_floor_and_no_claim_of_noise():
    records = fakes.records()
    lost = {"status": "failed", "label": "anchor", "reason": "died"}
    measured = {key: {**document, "twin": lost} for key, document in records.measurements.items()}
    found = summarise(replace(records, measurements=measured), REGISTRY)
    assert isinstance(found.measurements[0].floors["forward"], Absent)
    assert not any(r.speed.forward.noise for r in found.rows)
    assert "the anchor's twin was not measured: died" in render(found)


def test_scores_on_other_examples_are_not_compared():
    records = fakes.records()
    other = {**records.cells[-1]["quality"], "ids": [f"other-{n}" for n in range(fakes.EXAMPLES)]}
    found = summarise(change(records, {"model": "lstm-kd", "compress": "onnx-int8"}, quality=other), REGISTRY)
    assert "other examples" in row(found, "lstm-kd · onnx-int8").quality["accuracy"].difference.reason
    assert isinstance(row(found, "lstm-kd · onnx-int8").quality["accuracy"].interval, Interval)


def test_a_row_that_lacks_a_seed_says_which_it_has():
    records = change(fakes.records(), {"model": "lstm", "compress": "onnx", "seed": 1}, quality=None)
    line = next(x for x in tables(part(render(summarise(records, REGISTRY)), "Quality"))[0] if x[0] == "lstm · onnx")
    assert line[1] == "1/2"
    assert line[4] == "seed 2: 70.0"


def test_speed_that_was_not_asked_for_has_no_columns():
    records = fakes.records(measure={**fakes.run_document()["measure"], "speed": None})
    bare = replace(records, cells=[{**c, "measure": None, "subject": None} for c in records.cells], measurements={})
    text = render(found := summarise(bare, REGISTRY))
    assert row(found, "lstm").speed.forward.interval == Absent("speed was not asked for")
    assert "× faster" not in text.split("\n## ")[0]
    assert found.best == "teacher · onnx-int8"
    assert "the smallest of the 3 rows" in found.sentence


def test_int8_answers_are_said_to_be_those_of_a_class_of_cpus():
    registry = build_registry([replace(s, isa_dependent=True) if s.name == "torch-int8" else s for s in fakes.specs()])
    text = part(render(summarise(fakes.records(), registry)), "Quality")
    assert (
        "Answers after torch-int8 depend on the CPU's class of instructions; these are of x86-64-avx512_vnni." in text
    )


def test_one_seed_has_no_column_of_seeds():
    records = fakes.records()
    single = replace(records, cells=[c for c in records.cells if c["axes"]["seed"] == 1])
    text = render(summarise(single, REGISTRY))
    assert "by seed" not in text
    assert row(summarise(single, REGISTRY), "lstm").seeds == 1


def test_an_undefined_interval_is_a_dash_and_never_nan():
    zero = {**fakes.quality("teacher", "none", 1, 0.8)}
    zero["samples"] = [[gold, (gold + 1) % 3] for gold, _ in zero["samples"]]
    found = summarise(change(fakes.records(), {"model": "teacher", "compress": "none"}, quality=zero), REGISTRY)
    assert "denominator" in row(found, "lstm").kept.interval.reason
    text = render(found) + to_csv(found) + json.dumps(json_report(found), allow_nan=False)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_a_report_of_an_uninstalled_task_says_what_is_missing():
    with pytest.raises(PluginError, match="'reviews' is not a known task"):
        summarise(fakes.records(), build_registry([]))


# ------------------------------------------------------------------------------------------------------- loud and shown


def test_a_compressor_that_changed_nothing_is_loud_unless_that_is_its_nature():
    records = change(
        fakes.records(), {"model": "lstm", "compress": "int8"}, compress=[fakes.step("torch-int8", changed=False)]
    )
    records = change(records, {"model": "lstm", "compress": "onnx"}, compress=[fakes.step("archive", changed=False)])
    section = part(render(summarise(records, REGISTRY)), "What the compressors did")
    assert [line for line in section.splitlines() if "⚠" in line] == [
        "- **⚠ torch-int8 on lstm · int8: changed nothing**"
    ]


def test_warnings_of_compressors_are_loud_and_their_facts_are_shown():
    facts = {"warnings": ["only 1 of 3 layers were fused"], "nodes_before": 1210, "nodes_after": 85, "int8_matmuls": 37}
    step = fakes.step("onnx-int8", **facts, cpu_seconds=1.5, float_matrices={"count": 1, "names": ["/head"]})
    section = part(
        render(
            summarise(change(fakes.records(), {"model": "lstm", "compress": "onnx-int8"}, compress=[step]), REGISTRY)
        ),
        "What the compressors did",
    )
    assert "⚠ onnx-int8 on lstm · onnx-int8: only 1 of 3 layers were fused" in section
    line = next(line for line in tables(section)[0] if line[0] == "lstm · onnx-int8")
    assert line[1:4] == ["onnx-int8", "1,210 → 85", "37"]
    assert line[7] == "31/32"
    assert "- onnx-int8 (lstm · onnx-int8): float_matrices.count 1, float_matrices.names /head" in section
    assert "cpu_seconds" not in section


def test_a_step_that_chains_share_is_listed_once():
    steps = [line[:2] for line in tables(part(render(report()), "What the compressors did"))[0][2:]]
    expected = [["int8", "torch-int8"], ["onnx", "onnx"], ["onnx-int8", "onnx-int8"]]
    assert [[label.partition(" · ")[2], use] for label, use in steps if label.startswith("lstm ·")] == expected


def test_published_figures_stand_beside_ours_with_a_verdict():
    rows = [
        {
            "row": {"model": "lstm", "compress": "none"},
            "accuracy": 70.4,
            "macro_f1": 50.0,
            "source": "A",
            "note": "old",
        },
        {"row": {"model": "lstm", "compress": "none"}, "accuracy": 90, "size_mib": 8.1, "source": "B"},
        {"row": {"model": "lstm", "compress": "none"}, "size_mib": 5.0, "requests_per_minute": 304.46, "source": "C"},
        {"row": "a model of theirs", "accuracy": 91.5, "source": "D", "hardware": "laptop"},
    ]
    found = report(published=rows)
    assert [(p.name, p.verdict) for p in found.published] == [
        ("accuracy", "reproduced"),
        ("macro_f1", "ours is above (better)"),
        ("accuracy", "ours is below (worse)"),
        ("size_mib", "reproduced"),
        ("requests_per_minute", "not comparable: no figure of this report"),
        ("size_mib", "ours is above (worse)"),
        ("accuracy", "not comparable: no row of this run"),
    ]
    assert found.published[0].note == "old"
    assert found.published[-1].note == "laptop"
    assert found.published[-1].row == "a model of theirs"
    assert " 304.46 |" in part(render(found), "Published numbers")


def test_the_identity_of_the_run_is_all_there():
    text = part(render(report()), "How this was measured")
    for fact in ("2031-05-06T07:08:09", "Made-up CPU @ 3 GHz", "avx512_vnni", "torch 2.13.0", "0123456789ab",
                 "with uncommitted changes", "--set matrix.seed=[1,2]", "harness run suites/made-up.toml"):  # fmt: skip
        assert fact in text


def test_other_axes_are_columns_and_a_model_without_one_shows_a_dash():
    records = fakes.records()
    cells = [{**c, "axes": {**c["axes"], "beta": 0.1 if "lstm" in c["axes"]["model"] else None}} for c in records.cells]
    found = summarise(replace(records, cells=cells), REGISTRY)
    assert found.axes == ("model", "compress", "beta")
    assert row(found, "lstm · int8 · beta=0.1").axes["beta"] == 0.1
    assert [line[2] for line in tables(render(found))[0][2:7]] == ["—¹"] * 4 + ["0.1"]


# --------------------------------------------------------------------------------------------------------- determinism


def test_the_report_of_a_record_read_back_is_the_same_bytes(tmp_path):
    records = fakes.records(
        published=[{"row": {"model": "lstm", "compress": "none"}, "macro_f1": 1.0, "accuracy": 2.0, "source": "A"}]
    )
    records.write(tmp_path / "x.records.jsonl")
    for name, source in (("a", records), ("b", read_records(tmp_path / "x.records.jsonl"))):
        assert write_reports(summarise(source, REGISTRY), tmp_path, name) == tmp_path / f"{name}.md"
    for suffix in ("md", "csv", "json"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_quality_is_the_same_bytes_whatever_the_timings():
    slow = {key: fakes.measurement(key, 5.0) for key in ("measure-teacher", "measure-lstm")}
    texts = [render(summarise(r, REGISTRY)) for r in (fakes.records(), replace(fakes.records(), measurements=slow))]
    assert part(texts[0], "Quality") == part(texts[1], "Quality")
    first, second = ([line[:7] for line in tables(text)[0]] for text in texts)
    assert first == second
    assert tables(texts[0])[0] != tables(texts[1])[0]


# -------------------------------------------------------------------------------------------------------- hostile text


def hostile_records():
    records = fakes.records(
        suite={"name": HOSTILE, "title": HOSTILE, "text": "", "set": [HOSTILE]},
        command=HOSTILE,
        plugins=[HOSTILE],
        versions={HOSTILE: HOSTILE},
        broken_plugins={HOSTILE: HOSTILE},
        published=[{"row": HOSTILE, "accuracy": 1.0, "source": HOSTILE, "note": HOSTILE}],
    )
    records.run["task"]["data"][0].update(origin=HOSTILE, facts={HOSTILE: {HOSTILE: [HOSTILE]}})
    cells = []
    for cell in records.cells:
        axes = {**cell["axes"], HOSTILE: "=cmd()|x\n" + HOSTILE}
        steps = [{**step, "use": HOSTILE, "warnings": [HOSTILE], HOSTILE: HOSTILE} for step in cell["compress"]]
        details = {"classes": [HOSTILE], "per_class": {HOSTILE: {HOSTILE: HOSTILE}}, "confusion": [[1]]}
        quality = {**cell["quality"], "details": details}
        bad = {"status": "failed", "reason": HOSTILE, "retry": HOSTILE} if cell["axes"]["seed"] == 2 else {}
        cells.append({**cell, "axes": axes, "compress": steps, "quality": quality, "distil": [HOSTILE], **bad})
    return Records(records.run, records.measurements, cells)


def test_third_party_text_cannot_become_markup():
    text = render(found := summarise(hostile_records(), REGISTRY))
    outside_code = re.sub(r"(`+).*?\1", "", text)
    assert "<" not in outside_code
    assert "](" not in outside_code.replace("\\](", "")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
    for rows in tables(text):
        assert len({len(line) for line in rows}) == 1
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert (
        len(headings) == len([line for line in render(report()).splitlines() if line.startswith("#")]) + 2
    )  # problems, published
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


# ------------------------------------------------------------------------------------------------------------- numbers


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
