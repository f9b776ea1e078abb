"""The front: who is on it by planted figures, how sure that is, and what is shown of it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest
import report_fakes as fakes
from hostile_payloads import PAYLOADS
from report_fakes import part, report, tables

from harness.reports import json_report, render
from harness.reports.figures import pictures
from harness.reports.front import front
from harness.reports.plots import svg
from harness.reports.resampled import Resampled
from harness.statistics import bootstrap_metrics, unbeaten

ASKED = {"report": {"columns": [], "figures": ["front"]}}
SVG = "{http://www.w3.org/2000/svg}"


def asked(**run):
    return report(**ASKED, **run)


def beaten(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def drawn(found, name):
    (picture,) = (picture for picture in pictures(found) if picture.name == name)
    return ET.fromstring(svg(picture, "made-up"))  # noqa: S314 - our own


# ---------------------------------------------------------------------------------------------------------- mathematics


def test_who_is_no_worse_in_both_and_better_in_one_beats():
    quality, speed = np.array([3.0, 2.0, 1.0, 2.0, 3.0]), np.array([1.0, 5.0, 9.0, 4.0, 1.0])
    assert unbeaten(quality, speed).tolist() == [True, True, True, False, True]  # equals do not beat each other


def test_one_resample_after_the_other_as_a_plain_search_says():
    rng = np.random.default_rng(1)
    gains = rng.integers(0, 4, (2, 9, 50)).astype(float)  # many ties
    found = unbeaten(*gains)
    for r in range(50):
        rows = [tuple(gains[:, n, r]) for n in range(9)]
        assert found[:, r].tolist() == [not any(beaten(row, other) for other in rows) for row in rows]


def test_the_probability_is_how_often_it_is_so():
    """Of rows that are said to be on the front with 50 to 90 %, so many truly are."""
    rng, said, truth = np.random.default_rng(2), [], []
    for _ in range(400):
        gap = rng.normal(0, 0.05)  # the row's true advantage in quality over a faster one
        hard = rng.random((300, 1))
        right = hard < np.array([0.7 + gap, 0.7])
        row, rival = (
            bootstrap_metrics(lambda s, w: {"m": w @ s[:, 0] / w.sum(axis=1)}, [answers[:, None].astype(float)], 200)[
                "m"
            ]
            for answers in np.where(rng.random((300, 2)) < 0.3, rng.random((300, 2)) < 0.7, right).T
        )
        on = unbeaten(np.stack([row.replicates, rival.replicates]), np.array([[1.0], [2.0]]) * np.ones(200))
        said.append(on[0].mean())
        truth.append(gap > 0)
    said, truth = np.array(said), np.array(truth)
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        hit = (low <= said) & (said < high)
        assert hit.sum() > 25
        assert truth[hit].mean() == pytest.approx(said[hit].mean(), abs=0.15)


def test_very_many_rows_take_no_longer_than_sorting_them():
    """Ten thousand rows: comparing all with all would take a hundred million comparisons per resample."""
    rng = np.random.default_rng(3)
    one = rng.permutation(10_000).astype(float)[:, None] * np.ones(50)
    assert unbeaten(one, -one).all()
    assert unbeaten(one, one).sum() == 50


# ------------------------------------------------------------------------------------------------------------- in reports


def test_no_report_has_a_front_unasked():
    found = report()
    assert found.fronts == ()
    assert "## The front" not in render(found)
    assert "fronts" not in json_report(found)
    assert not [picture for picture in pictures(found) if picture.name.startswith("front")]


def test_the_figures_say_who_is_on_it_and_resamples_how_surely():
    found = asked()
    assert [one.against for one in found.fronts] == ["speed", "size"]
    speed, size = ({row.label: row for row in one.rows} for one in found.fronts)
    assert len(speed) == len(size) == 12
    places = {
        row.label: (row.quality["accuracy"].interval.value, speed[row.label].cost.value, -size[row.label].cost.value)
        for row in found.rows
    }
    for label, (quality, fast, small) in places.items():
        others = [place for name, place in places.items() if name != label]
        assert speed[label].on == (not any(beaten((quality, fast), (q, f)) for q, f, _ in others))
        assert size[label].on == (not any(beaten((quality, small), (q, s)) for q, _, s in others))
    assert speed["lstm-kd · onnx-int8"].probability > 0.9  # the fastest, and better than the other fastest
    assert speed["lstm"].probability == 0.0  # slower and worse than lstm-kd's chains
    assert size["teacher"].probability > 0.3


def test_each_row_has_its_cost_and_its_share_in_the_table():
    found = asked()
    rows = tables(part(render(found), "The front"))[0]
    assert rows[0] == [
        "row",
        "accuracy, % ↑",
        "× faster, request ↑",
        "on the front of speed",
        "MiB ↓",
        "on the front of size",
    ]
    by_name = {row[0]: row for row in rows[2:]}
    bold = {name for name, row in by_name.items() if row[3].startswith("**")}
    labels = {row.label for row in found.fronts[0].rows if row.on}
    assert {name.removeprefix("**").removesuffix("** (anchor)") for name in bold} == labels
    assert all(row[3].strip("*").endswith("%") for row in by_name.values())
    assert "are on neither" in render(found)
    assert {entry["against"] for entry in json_report(found)["fronts"]} == {"speed", "size"}


def test_the_picture_has_the_line_through_the_front_and_readable_shares():
    found = asked()
    for name in ("front-speed", "front-size"):
        tree = drawn(found, name)
        ids = {element.get("id") for element in tree.iter(f"{SVG}g")}
        assert "front" in ids
        assert {f"point-{n}" for n in range(12)} <= ids
        words = [text.text for text in tree.iter(f"{SVG}text")]
        on = [row for row in found.fronts[name == "front-size"].rows if row.on]
        assert len([word for word in words if word.endswith(" %") and ": " in word]) >= len(on)
    assert "](made-up.front-speed.svg)" in render(found)


def test_rows_without_times_are_on_the_front_of_size_alone():
    found = fakes.summarise(
        fakes.replace(
            fakes.records(**ASKED),
            measurements={},
            cells=[{**cell, "measure": "", "unmeasured": "no"} for cell in fakes.records().cells],
        ),
        fakes.REGISTRY,
    )
    assert [one.against for one in found.fronts] == ["size"]


def test_a_dash_says_why_the_row_has_no_place():
    records = fakes.records(**ASKED)
    loud = {**records.measurements["measure-teacher"], "twin": fakes.result(16.0, 2)}
    found = fakes.summarise(
        fakes.replace(records, measurements={**records.measurements, "measure-teacher": loud}), fakes.REGISTRY
    )
    text = part(render(found), "The front")
    assert any(row[0] == "teacher · onnx-int8" and row[2].startswith("—") for row in tables(text)[0])
    assert "¹ not resolved: the measurement was too noisy" in text


def test_random_weights_have_no_front():
    assert asked(mode="random").fronts == ()


def test_names_of_others_stay_names():
    found = asked()
    for payload in PAYLOADS[:4]:
        rows = tuple(fakes.replace(row, label=f"{payload} {n}") for n, row in enumerate(found.rows))
        names = {old.label: new.label for old, new in zip(found.rows, rows, strict=True)}
        both = tuple(
            fakes.replace(one, rows=tuple(fakes.replace(row, label=names[row.label]) for row in one.rows))
            for one in found.fronts
        )
        hostile = fakes.replace(found, rows=rows, fronts=both)
        text = part(render(hostile), "The front")
        assert "<script" not in text
        assert len({len(row) for row in tables(text)[0]}) == 1
        texts = [text.text for text in drawn(hostile, "front-speed").iter(f"{SVG}text")]
        assert any(" %" in text for text in texts)


def test_rows_of_other_examples_do_not_count():
    records = fakes.change(fakes.records(), {"model": "lstm"})
    cells = [
        {**c, "quality": c["quality"] | {"examples": "others"}} if c["axes"]["model"] == "lstm" else c
        for c in records.cells
    ]
    from harness.reports.rows import resample

    report, drawn = resample(fakes.replace(records, cells=cells), fakes.REGISTRY)
    assert isinstance(drawn[0], Resampled)
    labels = {row.label for row in front(drawn, report.primary, "size", 0.95).rows}
    assert labels
    assert not any(label == "lstm" or label.startswith("lstm ·") for label in labels)
