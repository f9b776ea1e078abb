"""Who stands in one table with whom, beside which anchor, and what keeps tables apart."""

from __future__ import annotations

import pytest
from leaderboard_fakes import AVX2, VNNI, answers, board, cell, entry, run, seeds, timed, write

from harness.errors import SuiteError
from harness.reports.model import Absent
from harness.statistics import Interval


def rows(*extra):
    return [*seeds("teacher", share=0.85), *seeds("small"), *extra]


def record(path, *cells, ms=None, anchor_ms=8.0, **changes):
    group, found = timed(cells or rows(), ms if ms is not None else {("small", "none"): 2.0}, anchor_ms)
    return write(path, run(**changes), group, *found)


def labels(found, class_=0):
    return [one.label for one in found.classes[class_].entries]


# --------------------------------------------------------------------------------------------------------------- classes


APART = {
    "test data": {"data": {"contents": "f00d"}},
    "labels": {"data": {"labels": ["bad", "fine"]}},
    "scored by": {"task": {"params": {"strict": True}}},
    "max_length": {"task": {"max_length": 128}},
}


@pytest.mark.parametrize("fact", APART)
def test_what_is_not_comparable_stands_apart_with_the_reason(fact, tmp_path):
    one = record(tmp_path / "a.records.jsonl")
    other = record(tmp_path / "b.records.jsonl", cpu="CPU 2", **APART[fact])
    found = board(one, other)
    assert len(found.classes) == 2
    first, second = found.classes
    assert first.id != second.id
    assert first.title != second.title
    assert f"other {fact}" in first.apart
    assert second.title in first.apart
    assert [len(class_.entries) for class_ in found.classes] == [2, 2]


def test_other_test_examples_stand_apart(tmp_path):
    other = [cell(model, ids=[f"other-{n}" for n in range(400)]) for model in ("teacher", "small")]
    one = record(tmp_path / "a.records.jsonl")
    two = record(tmp_path / "b.records.jsonl", *other, data={"examples": other[0]["quality"]["examples"]})
    assert len(board(one, two).classes) == 2


def test_a_param_that_scores_do_not_read_keeps_nobody_apart(tmp_path):
    one = record(tmp_path / "a.records.jsonl")
    two = record(
        tmp_path / "b.records.jsonl", *seeds("teacher", share=0.85), *seeds("more"), task={"params": {"limit": 9}}
    )
    (class_,) = board(one, two).classes
    assert {e.label for e in class_.entries} == {"teacher", "small", "more"}
    assert class_.apart == ""


def test_an_axis_that_sets_the_length_keeps_rows_of_one_record_apart(tmp_path):
    cells = [cell("teacher", axes={"length": n}, key=f"k{n}") for n in (64, 128)]
    path = write(tmp_path / "a.records.jsonl", run(sets={"length": "task.max_length"}), *cells)
    assert {c.facts["max_length"] for c in board(path).classes} == {"64 tokens", "128 tokens"}


def test_answers_that_depend_on_batch_mates_and_had_them_stand_apart(tmp_path):
    batched = [cell("small", "int8", n, predict={"use": "onnxruntime", "seconds": 1.0, "batch": 64}) for n in (1, 2)]
    alone = seeds("teacher", "int8")
    found = board(record(tmp_path / "a.records.jsonl", *rows(*batched, *alone)))
    assert sorted(labels(found, 1)) == ["small · int8"]
    assert found.classes[1].facts["batch"] == "64 at once"
    assert "teacher · int8" in labels(found)


def test_int8_of_two_kinds_of_cpus_is_never_ranked_together(tmp_path):
    paths = [
        record(
            tmp_path / f"{isa}.records.jsonl", *rows(*seeds("small", "int8", key=f"int8 on {isa}")), cpu=isa, isa=isa
        )
        for isa in (VNNI, AVX2)
    ]
    found = board(*paths)
    (everywhere,) = [c for c in found.classes if "CPUs" not in c.facts]
    by_isa = [c for c in found.classes if c is not everywhere]
    assert sorted(e.label for e in everywhere.entries) == ["small", "teacher"]
    assert sorted(c.facts["CPUs"].split(" ")[0] for c in by_isa) == [AVX2, VNNI]
    for class_ in by_isa:
        assert sorted(e.label for e in class_.entries) == ["small", "small · int8", "teacher"]
        assert class_.anchor is not None
        assert "int8 answers depend on the class of CPUs" in class_.apart


def test_int8_of_one_kind_of_cpus_stands_with_all_others(tmp_path):
    (class_,) = board(record(tmp_path / "a.records.jsonl", *rows(*seeds("small", "int8")))).classes
    assert len(class_.entries) == 3
    assert class_.facts["CPUs"].startswith(VNNI)


# --------------------------------------------------------------------------------------------------------------- merging


def test_the_same_row_of_several_machines_is_one_entry_with_their_spread(tmp_path):
    paths = [
        record(tmp_path / f"{n}.records.jsonl", cpu=f"CPU {n}", ms={("small", "none"): ms}, anchor_ms=8.0 * n)
        for n, ms in ((1, 2.0), (2, 4.0), (3, 4.0))
    ]
    found = board(*paths)
    small = entry(found, "small")
    assert len(found.machines) == 3
    assert len(small.timed) == 3
    assert small.request.value == pytest.approx(4.0, rel=0.03)
    assert small.request.low == pytest.approx(4.0, rel=0.03)
    assert small.request.high == pytest.approx(6.0, rel=0.03)
    assert small.evidence == ("r1", "r2", "r3")
    assert entry(found, "teacher").request.value == 1.0


def test_equal_machines_are_one_and_the_calmer_measurement_counts(tmp_path):
    calm = record(tmp_path / "b.records.jsonl", ms={("small", "none"): 2.0})
    loud_group, cells = timed(rows(), {("small", "none"): 3.0}, key="other")
    loud_group["twin"]["workloads"]["single"]["request_ms"] = [12.0] * 12
    loud = write(tmp_path / "a.records.jsonl", run(started="2031-05-07T07:08:09+00:00"), loud_group, *cells)
    small = entry(board(loud, calm), "small")
    assert [one.evidence for one in small.timed] == ["r2"]
    assert small.request.value == pytest.approx(4.0, rel=0.03)


def test_records_that_say_other_things_of_the_same_row_are_a_warning(tmp_path):
    other = [cell("small", seed=n, share=0.75, key=f"score of model=small,compress=none,seed={n}") for n in (1, 2)]
    one = record(tmp_path / "a.records.jsonl")
    two = record(tmp_path / "b.records.jsonl", *seeds("teacher", share=0.85), *other, cpu="CPU 2")
    found = board(one, two)
    (warning,) = found.warnings
    assert "a.records.jsonl and b.records.jsonl" in warning
    assert "small: accuracy 0.8000 and 0.7500" in warning
    assert entry(found, "small").scores["accuracy"].value == pytest.approx(0.8)


def test_quality_comes_from_the_record_with_most_seeds(tmp_path):
    one = record(tmp_path / "a.records.jsonl", *seeds("teacher"), *seeds("small", of=(1,)), cpu="CPU 1")
    two = record(tmp_path / "b.records.jsonl", *seeds("teacher"), *seeds("small", of=(1, 2, 3)), cpu="CPU 2")
    three = record(tmp_path / "c.records.jsonl", *seeds("teacher"), *seeds("small", of=(2,)), cpu="CPU 3")
    small = entry(board(one, two, three), "small")
    assert small.seeds == 3
    assert small.evidence == ("r2", "r1", "r3")
    assert len(small.timed) == 3
    assert small.notes == ()


def test_one_model_under_two_names_is_one_entry(tmp_path):
    alias = [cell("alias", seed=n, samples=answers("small", n, 0.8), key=f"score of model=small,compress=none,seed={n}")
             for n in (1, 2)]  # fmt: skip
    found = board(record(tmp_path / "a.records.jsonl", *rows(*alias)))
    assert sorted(labels(found)) == ["small", "teacher"]
    assert entry(found, "small").notes == ("also called alias (made-up)",)


def test_rows_of_one_name_are_told_apart(tmp_path):
    paths = []
    for n in (1, 2):
        cells = [cell(model, seed=seed, key=f"{model} {seed} {n}") for model in ("teacher", "small") for seed in (1, 2)]
        versions = {"torch": f"2.1{n}.0"}
        paths.append(record(tmp_path / f"{n}.records.jsonl", *cells, versions=versions, cpu=f"CPU {n}"))
    found = board(*paths)
    assert sorted(labels(found)) == sorted(f"{m} · torch 2.1{n}.0" for m in ("small", "teacher") for n in (1, 2))


# --------------------------------------------------------------------------------------------------------------- anchors


def test_the_anchor_stands_first_and_other_suites_are_compared_by_way_of_theirs(tmp_path):
    one = record(tmp_path / "a.records.jsonl")
    cells = [*seeds("teacher", share=0.85), *seeds("tiny"), *seeds("base")]
    other = record(
        tmp_path / "b.records.jsonl", *cells, ms={("teacher", "none"): 8.0, ("tiny", "none"): 1.0}, anchor_ms=4.0,
        anchor={"model": "base", "compress": "none"}, cpu="CPU 2",
    )  # fmt: skip
    two = record(tmp_path / "c.records.jsonl", cpu="CPU 3")
    found = board(one, other, two)
    (class_,) = found.classes
    assert class_.entries[0].label == "teacher"
    assert class_.entries[0].id == class_.anchor
    assert entry(found, "tiny").request.value == pytest.approx(8.0, rel=0.03)
    assert entry(found, "base").request.value == pytest.approx(2.0, rel=0.03)
    assert entry(found, "teacher").request.machines == 3


def test_without_the_anchor_in_its_record_a_row_has_no_ratio_and_says_why(tmp_path):
    one, two = (record(tmp_path / f"{n}.records.jsonl", cpu=f"CPU {n}") for n in "ab")
    cells = [*seeds("base"), *seeds("tiny")]
    other = record(tmp_path / "c.records.jsonl", *cells, ms={("tiny", "none"): 1.0},
                   anchor={"model": "base", "compress": "none"}, cpu="CPU 3")  # fmt: skip
    tiny = entry(board(one, two, other), "tiny")
    assert tiny.request is None
    assert isinstance(tiny.times_smaller, Absent)
    (timed_,) = tiny.timed
    assert "does not hold the anchor of this table (teacher)" in timed_.request.reason
    assert isinstance(timed_.request_ms, Interval)


def test_the_anchor_of_the_same_suite_under_other_versions_counts_as_the_anchor(tmp_path):
    cells = [
        cell(model, seed=seed, key=f"{model} {seed} elsewhere") for model in ("teacher", "small") for seed in (1, 2)
    ]
    one = record(tmp_path / "a.records.jsonl")
    two = record(tmp_path / "b.records.jsonl", *cells, cpu="CPU 2", versions={"torch": "2.12.0"})
    found = board(one, two)
    assert [e.anchor for e in found.classes[0].entries].count(True) == 1
    assert entry(found, "small · torch 2.12.0").request.value == pytest.approx(4.0, rel=0.03)


def test_speeds_within_the_noise_are_marked(tmp_path):
    found = board(record(tmp_path / "a.records.jsonl", ms={("small", "none"): 8.001}))
    assert entry(found, "small").timed[0].noise


# -------------------------------------------------------------------------------------------------------------- the board


def test_places_and_fronts_follow_from_scores_speeds_and_sizes(tmp_path):
    cells = [
        *seeds("teacher", share=0.9),
        *seeds("small", share=0.6),
        *seeds("small", "int8", 0.6),
        *seeds("twin", share=0.9),
    ]
    ms = {("small", "none"): 2.0, ("small", "int8"): 1.0, ("twin", "none"): 8.0}
    (class_,) = board(record(tmp_path / "a.records.jsonl", *cells, ms=ms)).classes
    assert [(e.label, e.place, e.tied) for e in class_.entries] == [
        ("teacher", 1, True), ("twin", 1, True), ("small · int8", 2, True), ("small", 2, True),
    ]  # fmt: skip
    assert [e.label for e in class_.entries if e.front_speed] == ["teacher", "twin", "small · int8"]
    assert [e.label for e in class_.entries if e.front_size] == ["teacher", "twin", "small · int8"]


def test_a_board_does_not_depend_on_the_order_of_its_records(tmp_path):
    paths = [record(tmp_path / f"{n}.records.jsonl", cpu=f"CPU {n}") for n in "abc"]
    assert board(*paths) == board(*reversed(paths)) == board(tmp_path, base=tmp_path)


def test_ids_stay_when_records_are_added(tmp_path):
    one = record(tmp_path / "b.records.jsonl")
    before = board(one)
    more = record(tmp_path / "a.records.jsonl", *seeds("teacher", share=0.85), *seeds("new"), cpu="CPU 2")
    after = board(one, more)
    assert before.classes[0].id == after.classes[0].id
    assert entry(before, "small").id == entry(after, "small").id
    ids = [e.id for class_ in after.classes for e in class_.entries]
    assert len(set(ids)) == len(ids)


def test_a_board_can_be_of_one_task(tmp_path):
    path = record(tmp_path / "a.records.jsonl")
    assert [c.task for c in board(path, tasks=("reviews",)).classes] == ["reviews"]
    with pytest.raises(SuiteError, match=r"--task review: .*Did you mean 'reviews'"):
        board(path, tasks=("review",))


def test_another_confidence_makes_wider_intervals(tmp_path):
    path = record(tmp_path / "a.records.jsonl")
    wide, narrow = (entry(board(path, confidence=c), "small").scores["accuracy"] for c in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high
