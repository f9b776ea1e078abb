"""Two records side by side: planted regressions are found, noise is not, and what cannot be compared is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from report_fakes import (
    GAIN,
    MODELS,
    REGISTRY,
    change,
    measurement,
    records,
    run_document,
    samples,
    tables,
)

from harness.comparing import Limits, answers, compare, comparison_json, facts, render
from harness.errors import SuiteError


def compared(before, after, **limits):
    return compare(("before", before), ("after", after), REGISTRY, Limits(**limits))


def named(found, label):
    return next(row for row in found.rows if row.label == label)


def accuracy(found, label):
    return named(found, label).quality[0]


def rescored(found, label_axes, how, same="build"):
    """The record with the samples of one row's cells changed by `how(samples, seed)`, and other work.

    `same`: what the stages whose keys stay begin with.
    """

    def cell(document):
        if any(document["axes"][name] != value for name, value in label_axes.items()):
            return document
        moved = how(np.array(document["quality"]["samples"]), document["axes"]["seed"])
        stages = {name: key if name.startswith(same) else f"{key}-anew" for name, key in document["stages"].items()}
        return {**document, "stages": stages, "quality": {**document["quality"], "samples": moved.tolist()}}

    return replace(found, cells=[cell(document) for document in found.cells])


def wrong_on(share, seed_of=lambda seed: seed):
    """So many of the answers become wrong, others than right ones by chance."""

    def how(rows, seed):
        hit = np.random.default_rng([11, seed_of(seed)]).permutation(len(rows))[: round(share * len(rows))]
        rows[hit, 1] = (rows[hit, 0] + 1) % 3
        return rows

    return how


def reanswered(share, draw):
    """So many answers are drawn anew, right as often as they were: a training with other noise."""

    def how(rows, seed):
        rng = np.random.default_rng([12, draw, seed])
        right = (rows[:, 0] == rows[:, 1]).mean()
        hit = rng.random(len(rows)) < share
        anew = np.where(rng.random(len(rows)) < right, rows[:, 0], (rows[:, 0] + 1) % 3)
        rows[:, 1] = np.where(hit, anew, rows[:, 1])
        return rows

    return how


LSTM = {"model": "lstm", "compress": "none"}


# ------------------------------------------------------------------------------------------------------------ quality


def test_a_record_against_itself_differs_in_nothing():
    found = compared(records(), records(), speed=True)
    assert not found.regressions
    assert not found.facts
    assert {change.found for row in found.rows for change in row.quality} == {"same work"}
    assert found.sentence == ("Nothing differs in 12 rows: the same answers, the same sizes, no ratio beyond noise.")


def test_a_planted_regression_is_found_with_its_size():
    after = rescored(records(), LSTM, wrong_on(0.15))
    found = compared(records(), after)
    moved = accuracy(found, "lstm")
    lost = np.mean([before - now for before, now in zip(right_shares(records()), right_shares(after), strict=True)])
    assert moved.difference.value == pytest.approx(-lost)
    assert 0.08 < lost < 0.13
    assert moved.difference.low < -lost < moved.difference.high < 0
    assert (moved.found, moved.regression) == ("worse", True)
    assert [row.label for row in found.regressions] == ["lstm"]
    assert found.sentence.startswith("1 of 12 rows is worse: lstm (accuracy −")


def right_shares(found):
    cells = [cell for cell in found.cells if all(cell["axes"][name] == value for name, value in LSTM.items())]
    return [float(np.equal(*np.array(cell["quality"]["samples"]).T).mean()) for cell in cells]


def test_a_drop_within_the_limit_is_worse_and_no_regression():
    after = rescored(records(), LSTM, wrong_on(0.15))
    found = compared(records(), after, max_drop=20.0)
    assert accuracy(found, "lstm").found == "worse"
    assert not found.regressions
    assert "worse within the limits" in found.sentence
    assert "worse, within the limit" in render(found)


def test_the_other_way_round_it_is_better():
    worse = rescored(records(), LSTM, wrong_on(0.15))
    found = compared(worse, records())
    assert accuracy(found, "lstm").found == "better"
    assert not found.regressions


def test_a_drop_of_a_metric_where_less_is_better_is_a_gain():
    less = [{**metric, "higher_is_better": False} for metric in run_document()["task"]["metrics"]]
    task = {**run_document()["task"], "metrics": less}
    found = compared(
        records(task=task), replace(rescored(records(), LSTM, wrong_on(0.15)), run=run_document(task=task))
    )
    assert accuracy(found, "lstm").found == "better"


@pytest.mark.parametrize("draw", range(3))
def test_another_training_with_the_same_quality_is_no_difference(draw):
    after = rescored(records(), {"compress": "none"}, reanswered(0.3, draw))
    found = compared(records(), after)
    assert found.tests == 3
    assert {row.quality[0].found for row in found.rows if row.axes["compress"] == "none"} == {"not told apart"}
    assert not found.regressions


def test_seeds_that_scatter_make_a_difference_uncertain():
    """One seed is 20 points worse, the other is not: no more than two models say about a way of training."""
    after = rescored(records(), LSTM, lambda rows, seed: wrong_on(0.3)(rows, seed) if seed == 1 else rows)
    assert accuracy(compared(records(), after), "lstm").found == "not told apart"
    one = [replace(found, cells=[c for c in found.cells if c["axes"]["seed"] == 1]) for found in (records(), after)]
    single = accuracy(compared(*one), "lstm")
    assert single.found == "worse"
    assert "one shared seed" in single.note


def test_rows_that_answer_alike_are_one_test():
    after = rescored(records(), {"model": "lstm"}, wrong_on(0.05))
    found = compared(records(), after)
    assert found.tests == 2  # none and onnx answer alike, and so do int8 and onnx-int8
    plain, exported = accuracy(found, "lstm"), accuracy(found, "lstm · onnx")
    assert plain == exported


def test_other_examples_are_shown_and_never_judged():
    def elsewhere(document):
        return {**document, "quality": {**document["quality"], "examples": "others"}}

    worse = rescored(records(), LSTM, wrong_on(0.5))
    after = replace(worse, cells=[elsewhere(document) for document in worse.cells])
    found = compared(records(), after)
    moved = accuracy(found, "lstm")
    assert moved.difference.value < -0.2
    assert (moved.found, moved.p, moved.regression) == ("not compared", None, False)
    assert "other examples" in moved.note
    assert "scored on other examples: shown, not judged" in render(found)


@pytest.mark.parametrize(("contents", "found"), [("other texts", "not compared"), ("texts", "worse"), ("", "worse")])
def test_other_texts_of_the_same_ids_are_other_examples(contents, found):
    def described(text):
        data = {**run_document()["task"]["data"][0], "examples": "all of them", "contents": text}
        return {**run_document()["task"], "data": [data]}

    before = records(task=described("texts"))
    after = replace(rescored(records(), LSTM, wrong_on(0.15)), run=run_document(task=described(contents)))
    assert accuracy(compared(before, after), "lstm").found == found


def test_only_shared_seeds_are_paired():
    after = rescored(records(), LSTM, wrong_on(0.15))
    after = replace(after, cells=[cell for cell in after.cells if cell["axes"]["seed"] == 2])
    row = named(compared(records(), after), "lstm")
    assert row.seeds == ("2",)
    assert row.quality[0].found == "worse"


def test_another_order_of_classes_is_not_compared():
    data = [{**run_document()["task"]["data"][0], "labels": ["positive", "neutral", "negative"]}]
    other = records(task={**run_document()["task"], "data": data})
    moved = accuracy(compared(records(), other), "lstm")
    assert moved.found == "not compared"
    assert "classes" in moved.note


# ------------------------------------------------------------------------------------------------------- missing rows


def test_rows_of_one_record_alone_are_named():
    fewer = replace(records(), cells=[c for c in records().cells if c["axes"]["compress"] != "int8"])
    found = compared(records(), fewer)
    assert found.only_before == ("teacher · int8", "lstm · int8", "lstm-kd · int8")
    assert not found.regressions
    assert "3 rows of the first record are not in the second." in found.sentence
    assert compared(fewer, records()).only_after == found.only_before


def test_a_row_that_failed_since_is_a_regression():
    failed = change(records(), LSTM, status="failed", reason="out of memory", quality=None)
    found = compared(records(), failed)
    assert [row.label for row in found.regressions] == ["lstm"]
    assert "no score any more (failed: out of memory)" in found.sentence
    assert not compared(failed, records()).regressions


def test_a_row_that_is_skipped_here_is_none():
    skipped = change(records(), LSTM, status="skipped", reason="needs a GPU", quality=None)
    assert not compared(records(), skipped).regressions


def test_an_axis_that_is_added_moves_no_row():
    def with_axis(document):
        return {**document, "axes": {**document["axes"], "beta": None}}

    found = compared(records(), replace(records(), cells=[with_axis(cell) for cell in records().cells]))
    assert not found.only_before
    assert len(found.rows) == 12


# -------------------------------------------------------------------------------------------------------------- speed


def slower(factor, model="lstm", chain="onnx", **run):
    """The record in which one row takes `factor` times as long."""
    found = records(**run)
    key = f"measure-{model}"
    document = measurement(key, MODELS[model][4])
    slow = document["rows"][f"row.{chain}"]
    for workload in ("single", "batch"):
        for column in ("forward_ms", "request_ms"):
            slow["workloads"][workload][column] = [factor * t for t in slow["workloads"][workload][column]]
    return replace(found, measurements={**found.measurements, key: document})


def test_a_slower_row_is_a_regression_where_speed_counts():
    found = compared(records(), slower(1.5), speed=True)
    assert [row.label for row in found.regressions] == ["lstm · onnx", "lstm-kd · onnx"]
    request = named(found, "lstm · onnx").pace[0]
    assert request.ratio.value == pytest.approx(1 / 1.5, rel=0.01)
    assert "times as fast beside the anchor" in found.sentence
    assert not compared(records(), slower(1.5)).regressions
    assert not compared(records(), slower(1.5), speed=True, max_slowdown=40.0).regressions


def test_a_ratio_within_the_noise_floor_is_none():
    found = compared(records(), slower(1.01), speed=True)
    assert not found.regressions
    assert named(found, "lstm · onnx").pace[0].found == "not told apart"


def test_a_whole_machine_that_slows_down_is_none():
    """All times are twice as long, the anchor's as well."""
    found = records()

    def doubled(value):
        if isinstance(value, dict):
            return {
                name: doubled(entry) if name not in ("observed", "threads") else entry for name, entry in value.items()
            }
        if isinstance(value, list):
            return [2 * entry if isinstance(entry, float) else doubled(entry) for entry in value]
        return value

    measured = {key: doubled(document) for key, document in found.measurements.items()}
    result = compared(found, replace(found, measurements=measured), speed=True)
    assert not result.regressions
    assert not any(row.differs for row in result.rows)


def test_another_machine_is_shown_and_never_judged():
    machine = json.loads(json.dumps(run_document()["machine"]))
    machine["identity"]["cpu"] = "Another CPU"
    found = compared(records(), slower(3.0, machine=machine), speed=True)
    assert not found.regressions
    request = named(found, "lstm · onnx").pace[0]
    assert request.ratio.value == pytest.approx(1 / 3, rel=0.01)
    assert request.found == "not compared"
    assert "other machines" in request.note
    assert ("machine.cpu", "Another CPU") in [(fact.name, fact.after) for fact in found.facts]


@pytest.mark.parametrize(("name", "value"), [("batch_size", 64), ("inputs", 32)])
def test_times_measured_otherwise_are_not_judged(name, value):
    measure = run_document()["measure"]
    speed = {**measure["speed"], name: value}
    found = compared(records(), slower(3.0, measure={**measure, "speed": speed}), speed=True)
    assert not found.regressions
    assert f"measured otherwise: {name}" in named(found, "lstm · onnx").pace[0].note


def test_sizes_are_exact():
    found = compared(
        records(),
        change(records(), LSTM, artifact={**records().cells[0]["artifact"], "sizes": {"model_mib": 8.0000001}}),
    )
    assert named(found, "lstm").differs
    assert named(found, "lstm").weight.before == 8.0 * GAIN["none"][0]
    assert "8.000000" in render(found)


# -------------------------------------------------------------------------------------------------------------- facts

TOML = """
[task]
use = "reviews"
[models.teacher]
use = "transformer"
train = { distil = "finetune", epochs = 3 }
[models.lstm]
use = "lstm"
train = { distil = "finetune", epochs = %d }
[models.lstm-kd]
use = "lstm"
train = { distil = "kd", teacher = "teacher", epochs = 3 }
[chains]
int8 = ["torch-int8"]
"""


def suite(epochs):
    return {**run_document()["suite"], "text": TOML % epochs}


def test_what_changed_is_named_beside_the_rows_that_it_enters():
    before = records(suite=suite(3))
    after = replace(
        rescored(before, LSTM, wrong_on(0.15)),
        run=run_document(suite=suite(1), versions={"torch": "2.14.0", "onnxruntime": "1.30.0"}),
    )
    found = compared(before, after)
    assert [(fact.name, fact.before, fact.after) for fact in found.facts] == [
        ("models.lstm.train.epochs", "3", "1"),
        ("torch", "2.13.0", "2.14.0"),
    ]
    row = named(found, "lstm")
    assert row.differs_from == "train.1"
    assert row.touched_by[0] == "models.lstm.train.epochs"
    assert "Look first at models.lstm.train.epochs (3 → 1)" in found.sentence
    assert named(found, "lstm-kd").touched_by == ()
    assert named(found, "lstm-kd").differs_from == ""


@pytest.mark.parametrize("levels", [100, 990, 3000])
def test_a_suite_of_many_levels_is_told_apart_by_its_digest_at_least(levels):
    text = "[models]\n" + ".".join(["a"] * levels) + " = 1\n"
    after = records(suite={**run_document()["suite"], "text": text}, digest="0ther")
    found = compared(records(suite=suite(3)), after)
    assert found.facts
    assert all(len(fact.name) <= facts.LONGEST for fact in found.facts)


def test_names_of_facts_cannot_grow_with_their_depth():
    name = "n" * 5000
    run = run_document(suite=suite(3))
    run["machine"] = {**run["machine"], "identity": {name: {name: dict.fromkeys(map(str, range(50)), 1)}}}
    other = json.loads(json.dumps(run).replace(": 1}", ": 2}"))
    found = compared(replace(records(), run=run), replace(records(), run=other))
    assert [len(fact.name) for fact in found.facts] == [facts.LONGEST]


def test_rows_are_known_again_by_what_they_answered_and_kept_by_a_digest():
    one, other = np.arange(6.0).reshape(3, 2), np.arange(6.0).reshape(2, 3)
    assert answers._fingerprint([one]) == answers._fingerprint([one.copy()])
    assert len({answers._fingerprint([one]), answers._fingerprint([other]), answers._fingerprint([one, one])}) == 3
    assert len(answers._fingerprint([np.zeros((100_000, 2))])) == 32


def test_a_teachers_change_touches_its_students():
    before = records(suite=suite(3))
    changed = {**suite(3), "text": suite(3)["text"].replace('"finetune", epochs = 3', '"finetune", epochs = 9', 1)}
    after = replace(
        rescored(before, {"model": "lstm-kd", "compress": "none"}, wrong_on(0.1)), run=run_document(suite=changed)
    )
    assert named(compared(before, after), "lstm-kd").touched_by == ("models.teacher.train.epochs",)


def test_the_same_keys_with_other_answers_are_said_to_be_unnamed():
    def other(document):
        return {**document, "quality": {**document["quality"], "samples": samples("lstm", "none", 9, 0.6).tolist()}}

    after = replace(records(), cells=[other(cell) for cell in records().cells])
    found = compared(records(), after)
    assert named(found, "lstm").unnamed
    assert "other answers from the same keys" in render(found)


def test_a_fact_that_one_side_did_not_record_is_no_difference():
    assert not compared(records(versions={"torch": "2.13.0"}), records()).facts


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change_", "said"),
    [
        ({"mode": "rehearsal"}, "only records of one mode can be compared"),
        ({"task": {**run_document()["task"], "name": "entities"}}, "only records of one task"),
    ],
)
def test_what_cannot_stand_side_by_side_is_refused(change_, said):
    with pytest.raises(SuiteError, match=said):
        compared(records(), records(**change_))


def test_no_shared_row_is_refused():
    other = replace(records(), cells=[{**c, "axes": {**c["axes"], "model": "gru"}} for c in records().cells])
    with pytest.raises(SuiteError, match="no row stands in both"):
        compared(records(), other)


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(SuiteError, match=r"--metric macro_f2: both records have 'accuracy', 'macro_f1'.*Did you mean"):
        compared(records(), records(), metrics=("macro_f2",))


def test_random_weights_are_compared_in_size_and_speed_alone():
    found = compared(records(mode="random"), slower(1.5, mode="random"), speed=True)
    assert {change.found for row in found.rows for change in row.quality} == {"not compared"}
    assert found.regressions


# -------------------------------------------------------------------------------------------------------------- output


def test_the_page_has_only_what_differs_and_ends_with_the_sentence():
    found = compared(records(), rescored(records(), LSTM, wrong_on(0.15)))
    text = render(found)
    (quality, *_rest) = tables(text)
    assert [row[0] for row in quality[2:]] == ["lstm"]
    assert quality[2][-1] == "**worse**"
    assert text.rstrip().splitlines()[-1].startswith("1 of 12 rows is worse: lstm")


def test_the_json_says_the_same():
    found = compared(records(), rescored(records(), LSTM, wrong_on(0.15)))
    document = json.loads(json.dumps(comparison_json(found), allow_nan=False))
    assert document["regressions"] == ["lstm"]
    row = next(row for row in document["rows"] if row["label"] == "lstm")
    assert row["quality"][0]["found"] == "worse"
    assert row["regression"]


HOSTILE = [
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "a|b|c",
    "\x1b[31mred",
    "`code`",
    "=1+1",
    "\u202elive",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_harmless(name):
    def renamed(found):
        cells = [
            {**cell, "axes": {**cell["axes"], "model": cell["axes"]["model"].replace("lstm", name)}}
            for cell in found.cells
        ]
        return replace(
            found,
            cells=cells,
            run={**found.run, "versions": {name: found.run["started"]}, "anchor": {"model": name, "compress": "none"}},
        )

    before, after = renamed(records()), renamed(rescored(records(started=name), LSTM, wrong_on(0.15)))
    found = compare((name, before), (name, after), REGISTRY)
    text = render(found)
    assert found.regressions
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "\x1b" not in text
    assert "\u202e" not in text
    for rows in tables(text):
        assert len({len(row) for row in rows}) == 1


def test_all_rows_are_corrected_together():
    """Two rows with a difference each, one of them not trained anew, so that they share nothing but the correction."""
    int8 = {"model": "teacher", "compress": "int8"}
    alone = [
        accuracy(compared(records(), rescored(records(), LSTM, wrong_on(0.05))), "lstm").p,
        accuracy(
            compared(records(), rescored(records(), int8, wrong_on(0.02), ("build", "train"))), "teacher · int8"
        ).p,
    ]
    both = rescored(rescored(records(), LSTM, wrong_on(0.05)), int8, wrong_on(0.02), ("build", "train"))
    found = [accuracy(compared(records(), both), label).p for label in ("lstm", "teacher · int8")]
    small, large = sorted(range(2), key=alone.__getitem__)
    assert found[small] == pytest.approx(2 * alone[small])
    assert found[large] == pytest.approx(max(alone[large], found[small]))
