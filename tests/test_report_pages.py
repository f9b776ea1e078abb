"""Reports from made-up records: modes, failures, what must be said, and the same bytes every time."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import report_fakes as fakes
from report_fakes import REGISTRY, change, part, report, row, tables

from harness.errors import PluginError
from harness.plugins import build_registry
from harness.records import read_records
from harness.reports import json_report, render, summarise, to_csv, write_reports
from harness.reports.model import Absent
from harness.statistics import Interval

# -------------------------------------------------------------------------------------------------------------- modes


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
        "With random weights, lstm · onnx-int8 runs at 16.0× [15.9, 16.0] the speed and 1/21 of the size of teacher; "
        "quality is not looked at."
    )


def test_a_rehearsal_says_that_no_figure_means_anything_and_draws_no_conclusion():
    found = report(mode="rehearsal", published=[{"row": {"model": "lstm"}, "accuracy": 70.0, "source": "s"}])
    text = render(found)
    assert text.splitlines()[2] == "**Rehearsal: sampled data, miniature models. No figure here means anything.**"
    assert (
        found.sentence
        == "Rehearsal: 24 of 24 cells went through on bundled samples with miniature models; your own data was not read."
    )
    assert found.best is None
    assert found.published[0].verdict == "not comparable: a rehearsal"


# ----------------------------------------------------------------------------------------------------------- failures


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
    text = render(found := summarise(replace(records, cells=cells), REGISTRY))
    assert {problem.status for problem in found.problems if problem.retry} == {"not run"}
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
    assert found.sentence.startswith("lstm · onnx-int8 runs at 16.0× [15.9, 16.0] the speed and 1/21 of the size")
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
    other = {**records.cells[-1]["quality"], "examples": "others"}
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


# ----------------------------------------------------------------------------------------------------- loud and shown


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


# -------------------------------------------------------------------------------------------------------- determinism


def test_the_report_of_a_record_read_back_is_the_same_bytes(tmp_path):
    records = fakes.records(
        published=[{"row": {"model": "lstm", "compress": "none"}, "macro_f1": 1.0, "accuracy": 2.0, "source": "A"}]
    )
    records.write(tmp_path / "x.records.jsonl")
    for name, source in (("a", records), ("b", read_records(tmp_path / "x.records.jsonl"))):
        (tmp_path / name).mkdir()
        paths = write_reports(summarise(source, REGISTRY), tmp_path / name, "x", fakes.reporters())
        assert paths[0] == tmp_path / name / "x.md"
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert written == ["x.accuracy.svg", "x.csv", "x.json", "x.md"]
    for name in written:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_quality_is_the_same_bytes_whatever_the_timings():
    slow = {key: fakes.measurement(key, 5.0) for key in ("measure-teacher", "measure-lstm")}
    texts = [render(summarise(r, REGISTRY)) for r in (fakes.records(), replace(fakes.records(), measurements=slow))]
    assert part(texts[0], "Quality") == part(texts[1], "Quality")
    first, second = ([line[:7] for line in tables(text)[0]] for text in texts)
    assert first == second
    assert tables(texts[0])[0] != tables(texts[1])[0]
