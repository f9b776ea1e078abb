"""Reports from made-up records: figures, verdicts, the closing sentence."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import report_fakes as fakes
from report_fakes import REGISTRY, change, part, report, row, tables

from harness.reports import render, summarise, summary_sentence, to_csv
from harness.reports.escape import markdown
from harness.reports.model import Absent
from harness.statistics import Interval, bootstrap_metrics, median_ratio, paired_difference, paired_ratio, percentile

# ------------------------------------------------------------------------------------------------------------ figures


def test_quality_is_the_bootstrap_of_the_samples_over_both_seeds():
    found = row(report(), "lstm-kd · int8")
    task = fakes.Task(None)
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
    assert main[0][9:] == ["× faster, request ↑", "request p50, ms ↓", "× faster, forward ↑"]
    assert next(line[11] for line in main if line[1] == "onnx") == "≈ 1"
    assert [line[11] for line in main if "anchor" in line[0]] == ["1"]
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


def test_whose_seed_teachers_have_is_said_where_students_have_several():
    said = "Teachers have their first seed"
    assert said in part(render(report()), "Training")
    untaught = [cell for cell in fakes.records().cells if cell["axes"]["model"] != "lstm-kd"]
    assert said not in render(summarise(replace(fakes.records(), cells=untaught), REGISTRY))


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


def test_a_perfect_score_has_the_bound_that_its_examples_support():
    perfect = {**fakes.quality("lstm", "none", 1, 1.0)}
    perfect["samples"] = [[gold, gold] for gold, _ in perfect["samples"]]
    records = change(fakes.records(), {"model": "lstm", "compress": "none"}, quality=perfect)
    found = row(summarise(records, REGISTRY), "lstm").quality["accuracy"].interval
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / fakes.EXAMPLES))


# ----------------------------------------------------------------------------------------------------------- sentence


def test_the_sentence_is_about_the_fastest_row_that_passes_the_lowest_bar():
    found = report()
    assert found.best == "teacher · onnx-int8"
    assert re.fullmatch(
        r"teacher · onnx-int8 keeps 98\.8 % \[9\d\.\d, 1?\d\d\.\d\] of teacher's accuracy at 3\.99× \[3\.98, 4\.01\] the "
        r"speed and 1/3\.7 of the size: the fastest of the 3 rows that pass the bar of 95 %\.",
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
    assert "at 2.00× [1.99, 2.01] the speed and 100 % of the size" in found.sentence
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
    assert "of lstm's accuracy at 16.0× [15.9, 16.0] the speed and 1/21 of the size of teacher:" in (
        report(measure=measure).sentence
    )


def timed(times, **twin):
    """The record with other times of the teacher's rows: {chain: subject}."""
    records = fakes.records()
    document = {**records.measurements["measure-teacher"], **twin}
    document["rows"] = {**document["rows"], **{f"row.{chain}": subject for chain, subject in times.items()}}
    cells = [c for c in records.cells if c["axes"]["model"] == "teacher"]
    return summarise(replace(records, cells=cells, measurements={"measure-teacher": document}), REGISTRY)


def wild(ms):
    """A subject whose blocks scatter by a factor of four."""
    found = fakes.result(ms, 5, blocks=7)
    found["workloads"]["single"]["forward_ms"] = [ms / 2, ms, ms * 2, ms / 2, ms * 2, ms, ms]
    return found


def test_rows_that_cannot_be_told_apart_are_among_the_fastest():
    found = timed({"int8": fakes.result(2.0, 21), "onnx-int8": fakes.result(2.0, 22)})
    assert "among the fastest of the 3 rows" in found.sentence
    assert found.best == "teacher · onnx-int8"
    assert ": the fastest of the 3 rows" in timed({"int8": fakes.result(1.0, 21)}).sentence


def test_a_row_that_is_not_resolved_sets_no_yardstick():
    short = {"anchor": fakes.result(8.0, 1, blocks=7), "twin": fakes.result(8.0, 2, blocks=7)}
    rows = {"onnx": fakes.result(4.0, 3, blocks=7), "onnx-int8": wild(1.0), "int8": fakes.result(6.0, 4, blocks=7)}
    found = timed(rows, **short)
    unresolved = row(found, "teacher · onnx-int8").speed.forward
    assert not unresolved.resolved
    assert unresolved.interval.value > row(found, "teacher · onnx").speed.forward.interval.value
    assert found.best == "teacher · onnx"
    assert ": the fastest of the 3 rows" in found.sentence
    main = tables(render(found))[0]
    assert next(line[11] for line in main if line[1] == "onnx-int8").endswith("] ?")
    assert next(line[11] for line in main if line[1] == "onnx").endswith("]")


def test_what_is_not_resolved_is_not_said_to_be_alike():
    """Times from half to twice the anchor's reach into the noise, and are not its own."""
    short = {"anchor": fakes.result(8.0, 1, blocks=7), "twin": fakes.result(8.0, 2, blocks=7)}
    found = timed({"onnx": fakes.result(4.0, 3, blocks=7), "onnx-int8": wild(8.0), "int8": wild(8.0)}, **short)
    ratio = row(found, "teacher · onnx-int8").speed.forward
    assert ratio.noise
    assert not ratio.resolved
    text = render(found)
    assert next(line[11] for line in tables(text)[0] if line[1] == "onnx-int8").endswith("] ?")
    assert "; ?: too noisy to be compared with other rows." in text
    assert "?: too noisy" not in render(timed({}))


def test_a_loud_measurement_resolves_nothing():
    found = timed({}, twin=fakes.result(16.0, 2))
    assert not row(found, "teacher · onnx-int8").speed.forward.resolved
    assert "the smallest of the 3 rows" in found.sentence
    assert "at a speed that the measurement did not resolve and 1/3.7 of the size" in found.sentence


def test_what_was_cut_for_all_rows_names_none_of_them():
    said = {"cut": 3}
    text = render(summarise(change(fakes.records(), {}, predict=said), REGISTRY))
    assert "- 3 of 400 test examples were cut for every row." in text
    some = render(summarise(change(fakes.records(), {"model": "lstm", "compress": "none"}, predict=said), REGISTRY))
    assert "- 3 of 400 test examples were cut for lstm." in some


def test_the_lower_bound_ranks():
    ratios = {"onnx": [8 / 4.0] * 20, "onnx-int8": [8 / r for r in (4.05, 5.2) * 10]}
    subjects = {}
    for chain, times in ratios.items():
        subjects[chain] = fakes.result(1.0, 3)
        subjects[chain]["workloads"]["single"]["forward_ms"] = times
    anchor = fakes.result(8.0, 1)
    anchor["workloads"]["single"]["forward_ms"] = [8.0] * 20
    found = timed(subjects, anchor=anchor, twin=anchor)
    wide, narrow = (row(found, f"teacher · {chain}").speed.forward.interval for chain in ("onnx-int8", "onnx"))
    assert wide.low > narrow.high
    assert found.best == "teacher · onnx-int8"
