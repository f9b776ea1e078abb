"""Figures: well-formed, every row in its place, labels apart, nothing of anybody else's taken for markup."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

import pytest
import report_fakes as fakes
from report_fakes import change, report, row

from harness.reports import render, summarise, write_reports
from harness.reports.figures import LETTER, draw, file_name
from harness.specs import Metric

SVG = "{http://www.w3.org/2000/svg}"
THEIRS = [
    {"row": {"model": model, "compress": chain}, "accuracy": 60.0 + n, "requests_per_minute": 6000 + 900 * n, "source": "A"}
    for n, (model, chain) in enumerate((m, c) for m in fakes.MODELS for c in fakes.CHAINS)
]  # fmt: skip


def tree(found, metric="accuracy"):
    return ET.fromstring(draw(found)[metric])  # noqa: S314 - our own


def circles(svg):
    return [(float(c.get("cx")), float(c.get("cy"))) for c in svg.iter(f"{SVG}circle")][:-1]  # the legend's is last


def labels(svg):
    """(left, top, right, bottom, text) of what stands in the colour of a model."""
    found = []
    for text in svg.iter(f"{SVG}text"):
        if text.get("fill", "#666666") != "#666666":
            x, y = float(text.get("x")), float(text.get("y"))
            found.append((x, y - 10, x + LETTER * len(text.text), y + 3, text.text))
    return found


def test_every_row_is_a_point_with_whiskers_where_its_figures_are():
    found = report()
    svg = tree(found)
    points = circles(svg)
    assert len(points) == len(found.rows) == 12
    times = [r.speed.level_ms.value for r in found.rows]
    order = sorted(range(12), key=lambda n: times[n])
    assert [points[n][0] for n in order] == sorted(x for x, _ in points)
    ratios = [math.log(times[n] / times[order[0]]) for n in order]
    pixels = [points[n][0] - points[order[0]][0] for n in order]
    assert pixels == pytest.approx([ratio * pixels[-1] / ratios[-1] for ratio in ratios], abs=0.2)  # a log axis
    best, worst = points[0], points[order[0]]
    assert (best[1] < worst[1]) == (
        found.rows[0].quality["accuracy"].interval.value > found.rows[order[0]].quality["accuracy"].interval.value
    )
    bars = [p.get("d") for p in svg.iter(f"{SVG}path") if "V" in p.get("d")]
    assert len(bars) == 12
    top, bottom = map(float, re.search(r"M[\d.]+ ([\d.]+)V([\d.]+)", bars[0]).groups())
    assert top < best[1] < bottom


def test_published_points_stand_beside_ours_in_another_mark():
    svg = tree(report(published=THEIRS))
    assert len(list(svg.iter(f"{SVG}polygon"))) == 12 + 1  # and the legend's
    assert "published, their machine" in "".join(svg.itertext())
    assert not list(tree(report()).iter(f"{SVG}polygon"))
    minutes = [{"row": {"model": "lstm"}, "accuracy": 70.0, "minutes": 2.0, "examples": 400, "source": "A"}]
    rate = [{"row": {"model": "lstm"}, "accuracy": 70.0, "requests_per_minute": 200, "source": "A"}]
    assert draw(report(published=minutes)) == draw(report(published=rate))


def test_labels_cover_neither_each_other_nor_a_mark():
    svg = tree(report(published=THEIRS))
    found = labels(svg)
    assert len(found) == 24
    assert {text for *_, text in found} == set(fakes.CHAINS)  # the colour says the model
    for n, (left, top, right, bottom, _) in enumerate(found):
        assert not any(left < r and x < right and top < b and t < bottom for x, t, r, b, _ in found[:n])
        assert not any(left < x < right and top < y < bottom for x, y in circles(svg))


def test_one_row_per_model_is_labelled_by_its_model():
    records = fakes.records()
    plain = [c for c in records.cells if c["axes"]["compress"] == "none"]
    found = summarise(fakes.Records(records.run, records.measurements, plain), fakes.REGISTRY)
    assert {text for *_, text in labels(tree(found))} == set(fakes.MODELS)


def test_the_figures_are_of_the_studys_metrics_else_of_the_primary():
    assert list(draw(report())) == ["accuracy"]
    assert list(draw(report(report={"columns": ["size", "macro_f1", "accuracy"]}))) == ["accuracy", "macro_f1"]


def test_there_is_no_figure_without_speed_or_quality():
    assert draw(report(mode="rehearsal")) == {}
    assert draw(report(mode="random")) == {}
    unscored = change(fakes.records(), {}, quality=None)
    assert draw(summarise(unscored, fakes.REGISTRY)) == {}
    assert "![" not in render(summarise(unscored, fakes.REGISTRY))


def test_the_report_links_the_files_that_are_written(tmp_path):
    path = write_reports(report(), tmp_path, "my suite.v2")
    (link,) = re.findall(r"^!\[accuracy against .*\]\((.*)\)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert link == "my%20suite.v2.accuracy.svg"
    assert (tmp_path / "my suite.v2.accuracy.svg").read_text(encoding="utf-8").startswith("<svg")


def test_names_of_others_are_text_and_no_path():
    bad = '</text><script>alert("x")</script>'
    records = fakes.records(published=[{"row": bad, "accuracy": 70.0, "requests_per_minute": 9000, "source": "A"}])
    cells = [{**c, "axes": {**c["axes"], "model": c["axes"]["model"] + bad}} for c in records.cells]
    found = summarise(fakes.Records(records.run, records.measurements, cells), fakes.REGISTRY)
    svg = tree(found)
    assert {element.tag.removeprefix(SVG) for element in svg.iter()} == {
        "svg", "title", "rect", "text", "line", "path", "circle", "polygon"
    }  # fmt: skip
    assert bad in "".join(svg.itertext())
    assert file_name(Metric(name="../../up")) == "______up"


def test_a_single_value_still_has_an_axis():
    same = fakes.quality("teacher", "none", 1, 1.0)
    records = change(fakes.records(), {}, quality={**same, "samples": [[0, 0]] * fakes.EXAMPLES})
    flat = {key: {**document, "rows": dict.fromkeys(document["rows"], document["anchor"])}
            for key, document in records.measurements.items()}  # fmt: skip
    found = summarise(fakes.Records(records.run, flat, records.cells), fakes.REGISTRY)
    assert all(math.isfinite(v) for point in circles(tree(found)) for v in point)
    assert row(found, "lstm").speed.request_ms == row(found, "teacher").speed.request_ms
