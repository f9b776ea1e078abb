"""What compression broke: answers that changed, told from the per-example figures of records."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import record_helpers
import report_fakes as fakes
from conftest import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from report_fakes import change, entity_records, part, tables
from suite_helpers import GOOD, parse

from harness.errors import SuiteError
from harness.records import check, packed, read_confidence, read_records, read_samples
from harness.records.confidence import STEPS, recorded_confidence
from harness.reports import json_report, render, summarise
from harness.reports.answers import judge
from harness.reports.broken import BINS, calibration_error
from harness.reports.model import Absent
from harness.statistics import mcnemar

TITLE = "What did it break?"
ASKED = {"columns": [], "figures": [], "sections": ["broken"], "matrix": None}
IDS = [f"test-{n}" for n in range(fakes.EXAMPLES)]


def records(**run):
    found = fakes.records(report=ASKED, **run)
    (data,) = found.run["task"]["data"]
    task = {**found.run["task"], "data": [{**data, "examples": "all of them", "ids": IDS}]}
    return replace(found, run={**found.run, "task": task})


def broken(found, label):
    return next(entry for entry in found.asked.breakage.sources if entry.row == label)


def scored(samples, **more):
    return {**fakes.quality("lstm", "none", 1, 0.7), "samples": samples.tolist(), **more}


def planted(right_to_wrong, wrong_to_right, seeds=fakes.SEEDS):
    """The record with int8 rows of the lstm that answer like the lstm, but for so many flips, the same for all seeds."""
    found = records()
    for seed in seeds:
        base = fakes.samples("lstm", "none", seed, 0.7)
        right = base[:, 0] == base[:, 1]
        changed = base.copy()
        lost, won = np.flatnonzero(right)[:right_to_wrong], np.flatnonzero(~right)[:wrong_to_right]
        changed[lost, 1] = (base[lost, 0] + 1) % 3
        changed[won, 1] = base[won, 0]
        found = change(found, {"model": "lstm", "compress": "none", "seed": seed}, quality=scored(base))
        found = change(found, {"model": "lstm", "compress": "int8", "seed": seed}, quality=scored(changed))
    return found


def summarised(found):
    return summarise(found, fakes.REGISTRY)


# --------------------------------------------------------------------------------------------------------------- flips


def test_flips_are_counted_both_ways_with_their_net_and_their_p():
    entry = broken(summarised(planted(9, 2)), "lstm · int8")
    assert (entry.of, entry.lost, entry.won, entry.examples) == ("lstm", 9, 2, fakes.EXAMPLES)
    assert entry.same == pytest.approx(1 - 11 / fakes.EXAMPLES)
    assert entry.net.value == pytest.approx(-7 / fakes.EXAMPLES)
    assert entry.net.low < entry.net.value < entry.net.high < 0.001
    assert entry.p == {"1": pytest.approx(0.0654296875), "2": pytest.approx(0.0654296875)}  # binom.test(2, 11)


def test_an_exact_export_breaks_nothing():
    entry = broken(summarised(records()), "lstm · onnx")
    assert (entry.same, entry.lost, entry.won, entry.p) == (1, 0, 0, {"1": 1.0, "2": 1.0})
    assert (entry.net.value, entry.net.low, entry.net.high) == (0, 0, 0)
    assert entry.first_lost == entry.first_won == ()


def test_the_first_flips_are_named_with_what_was_answered_before_and_now():
    base = fakes.samples("lstm", "none", 1, 0.7)
    first = int(np.flatnonzero(base[:, 0] == base[:, 1])[0])
    flip, *others = broken(summarised(planted(9, 0)), "lstm · int8").first_lost
    assert len(others) == 4
    assert flip.example == f"test-{first}"
    assert (flip.gold, flip.before) == (fakes.LABELS[base[first, 0]],) * 2
    assert flip.after == fakes.LABELS[(base[first, 0] + 1) % 3]


def test_a_seed_that_the_reference_lacks_is_compared_with_the_references_first():
    found = change(planted(9, 2), {"model": "lstm", "compress": "none", "seed": 2}, quality=None, status="failed")
    assert set(broken(summarised(found), "lstm · int8").p) == {"1", "2"}


def test_rows_of_other_examples_are_not_compared():
    found = planted(9, 2)
    other = scored(fakes.samples("lstm", "none", 1, 0.7), examples="others")
    for seed in fakes.SEEDS:
        found = change(found, {"model": "lstm", "compress": "int8", "seed": seed}, quality=other)
    assert "lstm · int8" not in [entry.row for entry in summarised(found).asked.breakage.sources]


def test_compressed_rows_are_compared_with_the_anchor_too_but_its_own_once():
    found = summarised(records()).asked.breakage
    assert {entry.row.partition(" ")[0] for entry in found.sources} == set(fakes.MODELS)
    assert {entry.row.partition(" ")[0] for entry in found.anchors} == {"lstm", "lstm-kd"}
    assert {entry.of for entry in found.anchors} == {"teacher"}


@pytest.mark.parametrize(
    ("lost", "won", "p"), [(0, 0, 1.0), (3, 3, 1.0), (5, 0, 0.0625), (0, 5, 0.0625), (9, 2, 0.06543)]
)
def test_mcnemar_is_the_exact_test(lost, won, p):
    assert mcnemar(lost, won) == pytest.approx(p, abs=1e-5)


def test_mcnemar_of_very_many_flips_is_a_probability():
    assert mcnemar(50_000, 50_001) == pytest.approx(1, abs=1e-3)
    assert mcnemar(20_000, 10_000) < 1e-12


# ------------------------------------------------------------------------------------------- answers that are no classes


def test_entities_are_right_where_the_metric_finds_no_fault():
    found = entity_records(chains=("none", "onnx"), report=ASKED)
    found = replace(found, cells=[c | {"stages": {"build.0": c["cell"]}} for c in found.cells])
    report = summarised(found)
    entry = broken(report, "teacher · onnx")
    assert report.asked.breakage.judged == "f1"
    assert (entry.same, entry.lost, entry.won) == (1, 0, 0)
    text = part(render(report), TITLE)
    assert "same figures, %" in text
    assert "figures of answers, not the answers" in text


def test_a_sentence_without_entities_is_right_until_something_is_found_in_it():
    samples = np.array(
        [[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [1, 2, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0]]
    )
    score = fakes.Tagging(None).metrics
    cells = [{"quality": {"samples": samples.tolist()}}]

    def metrics(samples, weights):
        with np.errstate(invalid="ignore", divide="ignore"):
            return score(samples, weights, ())

    found = judge(fakes.NER_METRICS, metrics, cells)
    assert found.right(samples.astype(float)).tolist() == [True, True, False, False, False]


def test_nothing_is_judged_where_no_metric_is_ever_whole():
    cells = [{"quality": {"samples": [[0.5], [0.7]]}}]
    metric = fakes.METRICS[0]
    assert judge([metric], lambda s, w: {metric.name: (w @ s)[:, 0] / w.sum(axis=1)}, cells) is None


# --------------------------------------------------------------------------------------------------------- calibration


def naive_error(confidence, right):
    total = 0.0
    for n in range(BINS):
        inside = (confidence >= n / BINS) & ((confidence < (n + 1) / BINS) | (n == BINS - 1))
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / len(right)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_the_calibration_error_is_the_textbooks(seed, count):
    rng = np.random.default_rng(seed)
    samples = np.stack([rng.random(count), rng.integers(0, 2, count)], axis=1)
    weights = np.stack([np.ones(count), rng.multinomial(count, np.full(count, 1 / count))])
    drawn = np.repeat(samples, weights[1].astype(int), axis=0)
    found = calibration_error(samples, weights)["error"]
    assert found.tolist() == pytest.approx([naive_error(*samples.T), naive_error(*drawn.T)])


def with_confidence(found, model, chain, values):
    for seed in fakes.SEEDS:
        (cell,) = (c for c in found.cells if c["axes"] == {"model": model, "compress": chain, "seed": seed})
        numbers = packed(np.rint(np.full((fakes.EXAMPLES, 1), values) * STEPS).astype(np.int64))
        found = change(found, cell["axes"], quality={**cell["quality"], "confidence": numbers})
    return found


def test_overconfidence_after_compression_shows_as_a_change_of_the_error():
    found = with_confidence(planted(0, 0), "lstm", "none", 0.7)
    entry = broken(summarised(with_confidence(found, "lstm", "int8", 0.95)), "lstm · int8")
    assert entry.error == pytest.approx(0.25, abs=0.02)
    assert entry.error_change.value == pytest.approx(0.25, abs=0.03)
    assert entry.error_change.low > 0.15


def test_without_probabilities_calibration_is_absent_and_its_columns_are_not_shown():
    report = summarised(planted(1, 1))
    assert isinstance(broken(report, "lstm · int8").error, Absent)
    text = part(render(report), TITLE)
    assert "ECE" not in text
    assert "no probabilities of answers" in text
    known = with_confidence(with_confidence(planted(1, 1), "lstm", "none", 0.7), "lstm", "int8", 0.8)
    shown = part(render(summarised(known)), TITLE)
    assert "Δ ECE, points" in shown
    assert "15 equally wide bins" in shown


def test_confidence_is_the_likeliest_class_and_survives_the_record():
    logits = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 800.0]], dtype=np.float32)
    read = read_confidence({"confidence": recorded_confidence(logits)})
    assert read.tolist() == pytest.approx([0.5, 1 / (1 + math.exp(-2)), 1.0], abs=1e-4)
    assert recorded_confidence(np.array([[math.nan, 0.0]])) is None
    assert read_confidence({}) is None


@pytest.mark.parametrize(
    "recorded",
    [
        [[0.5]],
        packed(np.array([[STEPS + 1]] * record_helpers.EXAMPLES)),
        packed(np.array([[-1]] * record_helpers.EXAMPLES)),
        packed(np.array([[1, 2]] * record_helpers.EXAMPLES)),
        packed(np.array([[1]] * 3)),
        {"shape": [1, 1], "type": "i", "zlib": "?"},
    ],
)
def test_a_record_with_an_impossible_confidence_is_refused(tmp_path, recorded):
    found = record_helpers.documents()
    cell = next(document for document in found if document["kind"] == "cell")
    cell["quality"]["confidence"] = recorded
    (fault,) = check(record_helpers.write(tmp_path / "a.records.jsonl", found)).faults
    assert "quality.confidence" in fault


# ---------------------------------------------------------------------------------------------------------- the report


def test_only_a_suite_that_asks_has_the_section():
    assert TITLE not in render(fakes.plain_report())
    assert "asked" not in json_report(fakes.plain_report())
    report = summarised(planted(9, 2))
    assert TITLE in render(report)
    assert json_report(report)["asked"]["breakage"]["sources"]


def test_the_section_shows_counts_and_ids_and_how_to_ask_again():
    text = part(render(summarised(planted(9, 2))), TITLE)
    sources, anchors, ids, *_ = tables(text)
    line = next(line for line in sources if line[0] == "lstm · int8")
    assert line[1:5] == ["lstm", "97.25", "9 (2.25 %)", "2 (0.50 %)"]
    assert line[6] == "0.065 · 0.065"
    assert all(line[1] == "teacher" for line in anchors[2:])
    assert ["lstm · int8", "right → wrong"] in [line[:2] for line in ids]
    assert "harness predict suites/made-up.toml" in text


def test_classes_that_lost_are_shown_by_part_of_the_data():
    text = part(render(summarised(planted(9, 2))), TITLE)
    assert "By part of the test data" not in text  # the fakes' details are the same for all
    found = planted(9, 2)
    quality = scored(fakes.samples("lstm", "int8", 1, 0.7))
    quality["details"] = {"slices": {"length": {"long": {"examples": 40, "accuracy": 0.5}}}}
    worse = {**quality, "details": {"slices": {"length": {"long": {"examples": 40, "accuracy": 0.25}}}}}
    for seed in fakes.SEEDS:
        found = change(found, {"model": "lstm", "compress": "none", "seed": seed}, quality=quality)
        found = change(found, {"model": "lstm", "compress": "int8", "seed": seed}, quality=worse)
    *_, parts = tables(part(render(summarised(found)), TITLE))
    assert ["length", "long", "40", "−25.0"] in parts


def sliced(figure, **parts):
    quality = scored(fakes.samples("lstm", "int8", 1, 0.7))
    return {**quality, "details": {"slices": {"length": {"long": {"examples": 40, "accuracy": figure}}}, **parts}}


def test_parts_are_compared_seed_by_seed():
    """Of a row whose first seed failed the others stand beside their own."""
    found = planted(9, 2)
    for seed, figure in zip(fakes.SEEDS, (0.5, 0.9), strict=True):
        found = change(found, {"model": "lstm", "compress": "none", "seed": seed}, quality=sliced(figure))
        found = change(found, {"model": "lstm", "compress": "int8", "seed": seed}, quality=sliced(0.8))
    where = {"model": "lstm", "compress": "int8", "seed": fakes.SEEDS[0]}
    found = change(found, where, status="failed", reason="x", quality=None)
    (part_of,) = broken(summarised(found), "lstm · int8").slices
    assert part_of.change == pytest.approx(0.8 - 0.9)


def test_parts_of_a_metric_that_is_no_share_are_in_its_unit():
    found = planted(9, 2)
    first, *others = found.run["task"]["metrics"]
    task = {**found.run["task"], "metrics": [{**first, "unit": "nats"}, *others]}
    found = replace(found, run={**found.run, "task": task})
    for seed in fakes.SEEDS:
        before = sliced(0.5, per_class={"a": {"f1": 0.5, "support": 7}})
        after = sliced(0.25, per_class={"a": {"f1": 0.25, "support": 7}})
        found = change(found, {"model": "lstm", "compress": "none", "seed": seed}, quality=before)
        found = change(found, {"model": "lstm", "compress": "int8", "seed": seed}, quality=after)
    *_, parts = tables(part(render(summarised(found)), TITLE))
    assert ["length", "long", "40", "−0.2500"] in parts
    assert ["class, F1", "a", "7", "−25.0"] in parts


def test_names_of_others_stay_names():
    found = planted(3, 0)
    (data,) = found.run["task"]["data"]
    hostile = [f"<img src=x>|`{n}`" for n in range(fakes.EXAMPLES)]
    labels = ["<b>", "a|b", "*c*"]
    task = {**found.run["task"], "data": [{**data, "ids": hostile, "labels": labels}]}
    text = part(render(summarised(replace(found, run={**found.run, "task": task}))), TITLE)
    assert "<img" not in text
    assert "<b>" not in text
    assert "\\*c\\*" in text
    assert "a\\|b" in text


def test_random_weights_break_nothing():
    assert TITLE not in render(summarised(records(mode="random")))


# -------------------------------------------------------------------------------------------------------------- a run

SUITE = """
schema = 1
[suite]
name = "flips"
anchor = { model = "teacher", compress = "none" }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/sample"
max_length = 32
[models.teacher]
use = "lstm"
hidden_size = 16
embedding_size = 16
vocab_size = 300
train = { distil = "finetune", learning_rate = 1e-2, epochs = 1, batch_size = 64 }
[chains]
int8 = ["torch-int8"]
[matrix]
compress = ["none", "int8"]
[measure]
speed = false
[report]
sections = ["broken", "waterfall"]
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    made = Project(tmp_path_factory.mktemp("flips"))
    made.write(SUITE, "flips.toml")
    made.harness("run", "flips.toml")
    return made


def test_a_run_records_how_sure_answers_are(ran):
    found = read_records(ran.folder / "reports/flips.records.jsonl")
    for cell in found.cells:
        sure = read_confidence(cell["quality"])
        samples = read_samples(cell["quality"]["samples"])
        right = samples[:, 0] == samples[:, 1]
        assert sure[right] == pytest.approx(np.exp(-samples[right, 2]), abs=1e-4)  # the loss is of the same class
        assert (sure >= 1 / 3 - 1e-4).all()
    assert "ECE, %" in (ran.folder / "reports/flips.md").read_text(encoding="utf-8")


def test_an_example_is_shown_by_the_id_that_reports_name(ran):
    found = read_records(ran.folder / "reports/flips.records.jsonl")
    (data,) = (data for data in found.run["task"]["data"] if "ids" in data)
    cell = next(cell for cell in found.cells if cell["axes"]["compress"] == "int8")
    words = ("predict", "flips.toml", "--only", "compress=int8", "--example", data["ids"][3])
    answer = json.loads(ran.harness(*words, "--json").out)
    gold, said = read_samples(cell["quality"]["samples"])[3, :2].astype(int)
    assert answer["id"] == data["ids"][3]
    assert (answer["truth"]["label"], answer["label"]) == (data["labels"][gold], data["labels"][said])
    assert f"{data['ids'][3]}, as labelled: " in ran.harness(*words).out
    unknown = ran.harness(*words[:-1], "nobody", code=2).err
    assert "--example 'nobody': not among the" in unknown
    assert f"such as {data['ids'][0]}" in unknown
    assert "--example asks about" in ran.harness(*words, "--text", "x", code=2).err


# ----------------------------------------------------------------------------------------------------------- the suite


def test_a_suite_names_the_sections_that_it_wants():
    assert parse(f"{GOOD}[report]\nsections = ['broken', 'waterfall', 'teachers']\n").sections == (
        "broken", "waterfall", "teachers",
    )  # fmt: skip
    assert parse(GOOD).sections == ()
    with pytest.raises(SuiteError, match=r"'brocken' is not a section.*'broken', 'teachers', 'waterfall'"):
        parse(f"{GOOD}[report]\nsections = ['brocken']\n")
    with pytest.raises(SuiteError, match="named twice"):
        parse(f"{GOOD}[report]\nsections = ['broken', 'broken']\n")
