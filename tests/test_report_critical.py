"""Reports of what must not be lost: types, critical spans lost and won, several metrics to be kept, claims on a sweep."""

from __future__ import annotations

import csv
import io
import json
import math
import tracemalloc
import zlib
from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest
import report_fakes as fakes
from report_fakes import change, entity_report, part, row, tables

from harness.records import PLAIN, making, packed, read_records, read_samples, with_earlier
from harness.records.making import _items, _quality
from harness.reports import json_report, render, summarise, to_csv
from harness.reports.claims import verdict
from harness.reports.critical import exchange, types
from harness.reports.model import Absent, Exchange, TypeScore
from harness.reports.quality import make_scorer
from harness.statistics import Interval, paired_difference
from harness_ner.plugin import NerParams
from harness_ner.task import NamedEntities

BASE, MODERATE = ({"model": "constrained", "beta": beta} for beta in (0.0, 0.1))


def summarised(records):
    return summarise(records, fakes.REGISTRY)


def kept(*asked, **run):
    """The report of a suite that asks for these (of, metric, bars)."""
    bars = [{"of": of, "metric": metric, "at_least": list(at_least)} for of, metric, at_least in asked]
    return entity_report(measure={**fakes.run_document()["measure"], "retention": bars}, **run)


# ------------------------------------------------------------------------------------------------------------------ types


def test_types_are_columns_and_the_difference_to_the_anchor_is_in_points():
    found = entity_report()
    header, _, anchor, *rest = tables(part(render(found), "By type"))[0]
    assert header == ["row", "**PER** !, 400 spans", "LOC, 400 spans"]
    assert anchor[0] == "**teacher** (anchor)"
    assert anchor[1] == "93.0"
    line = next(line for line in rest if line[0] == "constrained · beta=0.1")
    shares = [fakes.tagging("constrained", seed, 0.1)[0][:, 5].mean() for seed in fakes.SEEDS]
    assert line[1] == f"{100 * np.mean(shares):.1f} (−3.0)"
    assert row(found, "constrained · beta=0.1").types["PER"].critical
    assert "## By type" not in render(fakes.report())


def test_types_are_read_from_what_the_task_of_entities_says():
    tags = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]]
    task = NamedEntities(NerParams(critical=["PER"]))
    labels = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    examples = [{"id": str(n), "text": "x", "words": [[0, 1]] * len(t), "tags": t} for n, t in enumerate(tags)]
    outputs = [np.eye(5, dtype=np.float32)[[labels.index(tag) for tag in t]] for t in (tags[0], ["O", "O"])]
    found = types([task.details(task.samples(examples, outputs, labels), labels)])
    assert found["PER"] == TypeScore(precision=1.0, recall=1.0, f1=1.0, support=1, critical=True)
    assert found["LOC"] == TypeScore(precision=1.0, recall=0.5, f1=pytest.approx(2 / 3), support=2, critical=False)


def test_of_many_rows_the_uncompressed_ones_and_the_best_are_shown():
    found = summarised(fakes.entity_records(chains=tuple(fakes.CHAINS)))
    labels = [line[0] for line in tables(part(render(found), "By type"))[0][2:]]
    assert len(labels) == 6 + 1
    assert found.best in labels
    assert "·" in found.best


# ---------------------------------------------------------------------------------------------------------- lost and won


def test_spans_lost_and_won_are_counted_seed_by_seed_against_the_reference():
    found = row(entity_report(), "constrained · beta=0.2").exchange
    pairs = [
        (fakes.tagging("constrained", seed, 0.2)[1], fakes.tagging("teacher", seed, None)[1]) for seed in fakes.SEEDS
    ]
    assert found.lost == np.mean([(there & ~here).sum() for here, there in pairs]) > 0
    assert found.won == np.mean([(here & ~there).sum() for here, there in pairs]) > 0
    assert found.found == np.mean([here.sum() for here, _ in pairs])
    assert (found.of, found.items) == ("teacher", 400)
    difference = row(entity_report(), "constrained · beta=0.2").quality["coverage"].difference
    assert (found.won - found.lost) / found.items == pytest.approx(difference.value)
    (first, teachers), _ = pairs
    assert [item.text for item in found.first_lost] == [f"Name {n}" for n in np.flatnonzero(teachers & ~first)[:5]]


def test_the_report_counts_them_for_every_row_and_shows_some_of_the_best():
    records = fakes.entity_records()
    hostile = [{**item, "context": f"<b>x</b> | {item['context']}"} for item in fakes.ITEMS]
    data = [{**records.run["task"]["data"][0], "items": hostile}]
    found = summarised(replace(records, run={**records.run, "task": {**records.run["task"], "data": data}}))
    text = part(render(found), "Critical spans lost and won")
    counts, shown = tables(text)
    assert counts[2] == ["**teacher** (anchor)", "372", "0", "0", "0"]
    assert len(counts) == 2 + len(found.rows)
    best = row(found, found.best).exchange
    line = next(line for line in counts if line[0] == found.best)
    assert line[4].replace("−", "-") == f"{best.won - best.lost:.0f}"
    assert [line[0] for line in shown[2:]] == ["lost"] * len(best.first_lost) + ["won"] * len(best.first_won)
    assert shown[2][1:3] == [best.first_lost[0].text, "PER"]
    assert shown[2][3].startswith("&lt;b&gt;x&lt;/b&gt; \\| Sentence \\| ")
    assert "## Critical spans" not in render(fakes.report())


def test_a_long_sentence_is_cut_around_its_span():
    item = {**fakes.ITEMS[0], "text": "Needle", "context": "hay " * 300 + "Needle" + " hay" * 300}
    records = fakes.entity_records()
    data = [{**records.run["task"]["data"][0], "items": [item] * 400}]
    found = summarised(replace(records, run={**records.run, "task": {**records.run["task"], "data": data}}))
    line = tables(part(render(found), "Critical spans lost and won"))[1][2]
    assert "Needle" in line[3]
    assert line[3][0] == line[3][-1] == "…"
    assert len(line[3]) < 170


def test_without_a_retention_spans_are_compared_with_the_anchors():
    measure = {**fakes.run_document()["measure"], "retention": []}
    found = entity_report(measure=measure, anchor={"model": "small", "compress": "none", "beta": None})
    assert row(found, "teacher").exchange.of == "small"
    assert row(found, "teacher").exchange.won > row(found, "teacher").exchange.lost


def test_a_seed_that_the_reference_lacks_is_compared_with_its_first():
    cells = [fakes.entity_cell("constrained", "none", seed, 0.1) for seed in (1, 2)]
    teacher = [fakes.entity_cell("teacher", "none", 1)]
    known = {"all of them": fakes.ITEMS}
    found = exchange(cells, teacher, "teacher", known)
    base = fakes.tagging("teacher", 1, None)[1]
    assert found.lost == np.mean([(base & ~fakes.tagging("constrained", seed, 0.1)[1]).sum() for seed in (1, 2)])


@pytest.mark.parametrize(
    ("cells", "known", "why"),
    [
        ([], {"all of them": fakes.ITEMS}, "no score: see the problems below"),
        ([fakes.entity_cell("small", "none", 1)], {}, "the task names no critical types"),
    ],
)
def test_what_was_not_counted_says_why(cells, known, why):
    assert exchange(cells, [fakes.entity_cell("teacher", "none", 1)], "teacher", known) == Absent(why)


def test_found_spans_of_another_length_are_no_record():
    with pytest.raises(ValueError, match="400 bits of found spans for 4 critical spans"):
        exchange(*[[fakes.entity_cell("teacher", "none", 1)]] * 2, "teacher", {"all of them": fakes.ITEMS[:4]})


def test_failed_rows_do_not_stop_the_others():
    records = change(fakes.entity_records(), {"model": "constrained", "beta": 0.5}, quality=None)
    found = summarised(records)
    assert row(found, "constrained · beta=0.5").exchange == Absent("no score: see the problems below")
    assert isinstance(row(found, "constrained · beta=0.2").exchange, Exchange)
    assert "constrained · beta=0.5" not in part(render(found), "Critical spans lost and won")


# ------------------------------------------------------------------------------------------------------------- to be kept


def test_every_retention_has_its_columns():
    found = kept(("teacher", "f1", [0.95, 0.9]), ("teacher", "coverage", [0.5]))
    header = tables(render(found))[0][0]
    start = header.index("keeps of teacher's f1, % ↑")
    assert header[start : start + 5] == [
        "keeps of teacher's f1, % ↑", "f1 ≥ 90 %", "f1 ≥ 95 %", "keeps of teacher's coverage, % ↑", "coverage ≥ 50 %",
    ]  # fmt: skip
    small = row(found, "small")
    assert [keep.metric for keep in small.keeps] == ["f1", "coverage"]
    base = row(found, "teacher").quality["coverage"].interval.value
    assert small.also_kept[0].interval.value == pytest.approx(small.quality["coverage"].interval.value / base)


def test_columns_of_one_metric_kept_of_two_models_have_two_names():
    found = kept(("teacher", "f1", [0.95]), ("small", "f1", [0.9]), ("teacher", "coverage", [0.5]))
    header, *lines = csv.reader(io.StringIO(to_csv(found)))
    assert len(set(header)) == len(header)
    said = {line["model"]: line for line in (dict(zip(header, line, strict=True)) for line in lines)}
    assert (said["small"]["f1_of_small_kept_of"], said["small"]["f1_of_teacher_kept_of"]) == ("small", "teacher")
    assert said["small"]["f1_of_small_kept_percent"] == "100"
    assert float(said["small"]["f1_of_teacher_kept_percent"]) < 100
    assert said["small"]["f1_of_small_at_least_90_percent"] == "PASS"
    assert said["teacher"]["f1_of_teacher_at_least_95_percent"] == "PASS"
    assert said["teacher"]["coverage_kept_percent"] == "100"


def test_the_cheapest_row_passes_all_bars_at_the_strictest_level_that_any_row_passes():
    found = entity_report()
    passing = [
        r for r in found.rows[1:] if r.kept.bars[1].verdict == "PASS" and r.also_kept[0].bars[0].verdict == "PASS"
    ]
    assert len(passing) == 5
    assert found.best == "constrained · onnx · beta=0.1"
    assert "the cheapest of the 5 rows that pass f1 ≥ 95 % and f1_critical ≥ 90 %." in found.sentence
    assert "the speed of a request" in found.sentence
    assert ", of which the sentence above speaks" not in render(found)


def test_a_row_that_fails_one_of_them_is_no_answer_however_cheap():
    strict = kept(("teacher", "f1", [0.5]), ("teacher", "f1_critical", [0.99]))
    only = [r.label for r in strict.rows if r.label != "teacher" and r.also_kept[0].bars[0].verdict == "PASS"]
    assert only == ["teacher · onnx"] == [strict.best]
    assert "the only row that passes f1 ≥ 50 % and f1_critical ≥ 99 %." in strict.sentence


def test_when_none_passes_all_the_sentence_names_the_inconclusive_ones():
    records = fakes.entity_records(chains=("none",))
    bars = [{"of": "teacher", "metric": metric, "at_least": [0.98]} for metric in ("f1", "f1_critical")]
    run = {**records.run, "measure": {**records.run["measure"], "retention": bars}}
    found = summarised(replace(records, run=run))
    unsure = [r.label for r in found.rows if {k.bars[0].verdict for k in r.keeps} == {"INCONCLUSIVE"}]
    assert unsure == ["constrained · beta=0.1", "constrained · beta=0.2"]
    assert found.best in unsure
    assert found.sentence.endswith(
        "; no row passes f1 ≥ 98 % and f1_critical ≥ 98 %, inconclusive: constrained · beta=0.1 and constrained · beta=0.2."
    )
    bars = [{**bar, "at_least": [1.0]} for bar in bars]
    cells = [c for c in records.cells if c["axes"]["model"] != "constrained"]
    none = summarised(replace(records, cells=cells, run={**run, "measure": {**run["measure"], "retention": bars}}))
    assert none.sentence.endswith("; no row passes f1 ≥ 100 % and f1_critical ≥ 100 %, this one comes closest.")


def test_one_retention_says_what_it_always_said():
    one = {"of": "teacher", "metric": "accuracy", "at_least": [0.95, 0.99]}
    reports = [
        fakes.report(measure={**fakes.run_document()["measure"], "retention": value}) for value in (one, [one], (one,))
    ]
    assert len({render(found) for found in reports}) == 1
    assert render(reports[0]) == render(fakes.report())


def test_the_tables_for_machines_hold_it_all():
    found = entity_report()
    document = json_report(found)
    json.dumps(document, allow_nan=False)
    entry = next(r for r in document["rows"] if r["label"] == "small")
    assert entry["also_kept"][0]["metric"] == "f1_critical"
    assert entry["types"]["PER"]["critical"] is True
    assert entry["exchange"]["items"] == 400
    assert "items" not in document["task"]["data"][0]
    assert to_csv(found).count("\n") == 1 + len(found.rows)


# ----------------------------------------------------------------------------------------------------------------- claims


def claimed(**claim):
    return entity_report(claims=[{"text": "t", "source": "s", "row": MODERATE, "than": BASE, **claim}]).claims[0]


def test_a_claim_on_a_sweep_is_paired_over_examples_and_seeds():
    found = claimed(quantity="f1_critical", difference_above=0)
    assert found.compared == "constrained · beta=0.1 with constrained · beta=0.0"
    assert (found.quantity, found.condition, found.verdict) == ("Δ f1_critical, points", "above 0", "supported")
    records = fakes.entity_records()
    scorer = make_scorer(records, fakes.REGISTRY)
    mine, base = (
        scorer.row([c for c in records.cells if c["axes"]["beta"] == beta and c["axes"]["compress"] == "none"])
        for beta in (0.1, 0.0)
    )
    expected = paired_difference(mine.metrics["f1_critical"], base.metrics["f1_critical"])
    assert found.found == Interval(*(100 * v for v in (expected.value, expected.low, expected.high)))
    assert mine.seeds == ("1", "2")


def test_little_cost_is_a_bar_too():
    assert claimed(quantity="f1", difference_at_least=-0.5).verdict == "supported"
    assert claimed(quantity="coverage", difference_below=0).verdict == "contradicted"


def test_rows_that_are_equal_raise_nothing():
    same = {"row": BASE, "than": BASE, "quantity": "f1"}
    assert claimed(**same, difference_at_least=0).verdict == "supported"
    assert claimed(**same, difference_above=0).verdict == "contradicted"
    assert claimed(**same, difference_below=0).verdict == "contradicted"


@pytest.mark.parametrize(
    ("interval", "bar", "expected"),
    [
        (Interval(1, 0.1, 2), "difference_above", "supported"),
        (Interval(1, 0.0, 2), "difference_above", "undecided"),
        (Interval(-1, -2, 0.0), "difference_above", "contradicted"),
        (Interval(-1, -2, -0.1), "difference_below", "supported"),
        (Interval(-1, -2, 0.0), "difference_below", "undecided"),
        (Interval(1, 0.0, 2), "difference_below", "contradicted"),
    ],
)
def test_a_strict_bar_is_passed_and_not_met(interval, bar, expected):
    assert verdict(interval, bar, 0) == expected


def test_an_axis_that_a_claim_leaves_open_is_said():
    found = entity_report(claims=[{"text": "t", "source": "s", "row": {"model": "constrained"}, "than": BASE,
                                   "quantity": "f1", "difference_above": 0}]).claims[0]  # fmt: skip
    assert found.verdict == "not judged: constrained: constrained is 4 rows of this run"


# ---------------------------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize("values", [np.arange(12).reshape(6, 2), np.linspace(0, 1, 8).reshape(4, 2)])
def test_packed_samples_come_back_as_they_were(values):
    held = json.loads(json.dumps(packed(values)))
    assert np.array_equal(read_samples(held), values.astype(np.float64))
    assert np.array_equal(read_samples(values.tolist()), values.astype(np.float64))


SHAPE = r"packed samples have the shape .*, expected \[examples, figures\], at most 33,554,432 in all"
TYPE = "packed samples are of type .*, expected 'i' or 'f'"


@pytest.mark.parametrize(
    ("change_", "said"),
    [
        ({"zlib": "AAAA"}, "packed samples cannot be unpacked: "),
        ({"zlib": "é"}, "ASCII"),
        ({"zlib": None}, "packed samples cannot be unpacked: "),
        ({"zlib": packed(np.arange(3)[:, None])["zlib"][:-8]}, "hold .* bytes, their shape .* takes 96"),
        ({"shape": [9, 9]}, r"hold 96 bytes, their shape \[9, 9\] takes 648"),
        ({"shape": [5, 2]}, r"hold more than 80 bytes, their shape \[5, 2\] takes 80"),
        *(({"shape": shape}, SHAPE) for shape in (
            [0, 5], [12], [3, 2, 2], [-6, -2], [6.0, 2], [True, 12], "62", None, [2**13, 2**13], [2**70, 1], [[6], 2],
        )),
        *(({"type": kind}, TYPE) for kind in ("O", "u", None, ["i"], {})),
    ],
)  # fmt: skip
def test_packed_samples_that_are_broken_are_refused(change_, said):
    with pytest.raises(ValueError, match=said):
        read_samples({**packed(np.arange(12).reshape(6, 2)), **change_})


@pytest.mark.parametrize("missing", ["type", "shape", "zlib"])
def test_packed_samples_of_which_a_part_is_missing_are_refused(missing):
    held = {name: value for name, value in packed(np.arange(12).reshape(6, 2)).items() if name != missing}
    with pytest.raises(ValueError, match="packed samples"):
        read_samples(held)


@pytest.mark.parametrize("shape", [[0, 5], [6, 2]])
def test_a_bomb_is_not_unpacked(shape):
    """300 KiB of text that would be 256 MiB."""
    press = zlib.compressobj()
    parts = [press.compress(bytes(1 << 20)) for _ in range(256)]
    bomb = b64encode(b"".join([*parts, press.flush()])).decode()
    tracemalloc.start()
    with pytest.raises(ValueError, match="packed samples"):
        read_samples({"shape": shape, "type": "i", "zlib": bomb})
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_what_a_score_found_is_recorded_and_what_there_was_to_find_once(tmp_path):
    class OneScore:
        def path(self, ref):
            return tmp_path

    (tmp_path / "score.json").write_text('{"metrics": {}, "details": {}, "ids": ["a", "b"]}')
    np.save(tmp_path / "samples.npy", np.ones((2, 3)))
    plain = _quality("key", OneScore())
    assert "found" not in plain
    assert _items("key", OneScore(), False) == _items(None, OneScore(), False) == {}
    np.save(tmp_path / "found.npy", np.array([True] * 9 + [False] * 3))
    (tmp_path / "items.json").write_text(json.dumps(fakes.ITEMS[:12]))
    assert _quality("key", OneScore()) == {**plain, "found": "ff80"}
    assert _items("key", OneScore(), False) == {"items": fakes.ITEMS[:12]}
    bare = [
        {name: value for name, value in item.items() if name not in ("text", "context")} for item in fakes.ITEMS[:12]
    ]
    assert _items("key", OneScore(), True) == {"items": bare}
    np.save(tmp_path / "samples.npy", np.ones((PLAIN, 2)))
    assert read_samples(_quality("key", OneScore())["samples"]).shape == (PLAIN, 2)


def test_packed_and_plain_samples_make_one_report():
    records = fakes.entity_records()
    cells = [
        {**c, "quality": {**c["quality"], "samples": packed(np.asarray(c["quality"]["samples"]))}}
        for c in records.cells
    ]
    assert render(summarised(replace(records, cells=cells))) == render(entity_report())


def test_records_with_spans_are_written_and_read_back(tmp_path):
    path = tmp_path / "ner.records.jsonl"
    fakes.entity_records().write(path)
    assert render(summarised(read_records(path))) == render(entity_report())


def test_spans_that_an_earlier_run_listed_stay_with_its_cells(monkeypatch):
    earlier = fakes.entity_records()
    document = earlier.run["task"]["data"][0]
    bare = {
        **earlier.run,
        "task": {**earlier.run["task"], "data": [{k: v for k, v in document.items() if k != "items"}]},
    }

    class Nothing:
        cells = ()

    def data(run):
        monkeypatch.setattr(making, "_data", lambda plan, store: run["task"]["data"])
        return with_earlier(replace(earlier, run=run, cells=[]), earlier, Nothing(), None).run["task"]["data"]

    assert data(bare)[0]["items"] == fakes.ITEMS
    other = {**document, "examples": "others", "items": []}
    assert data({**bare, "task": {**bare["task"], "data": [other]}})[0]["items"] == []
    assert not any(math.isnan(r.exchange.lost) for r in entity_report().rows)
