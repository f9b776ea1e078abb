"""Figures: well-formed, every row in its place, labels apart, nothing of anybody else's taken for markup."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
import report_fakes as fakes
from report_fakes import change, entity_report, report, row

from harness.reports import render, summarise, write_reports
from harness.reports.figures import draw, file_name, pictures
from harness.statistics import Interval

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
THEIRS = [
    {"row": {"model": model, "compress": chain}, "accuracy": 60.0 + n, "requests_per_minute": 6000 + 900 * n, "source": "A"}
    for n, (model, chain) in enumerate((m, c) for m in fakes.MODELS for c in fakes.CHAINS)
]  # fmt: skip


def tree(found, name="accuracy"):
    return ET.fromstring(draw(found)[name])  # noqa: S314 - our own


def part(svg, gid):
    """The element with that id."""
    return next(element for element in svg.iter(f"{SVG}g") if element.get("id") == gid)


def marks(svg, kind="point"):
    """{number: (x, y)} of what is drawn as a single mark."""
    found = {}
    for element in svg.iter(f"{SVG}g"):
        if match := re.fullmatch(rf"{kind}-([\d-]+)", element.get("id") or ""):
            use = next(element.iter(f"{SVG}use"))
            found[match[1]] = float(use.get("x")), float(use.get("y"))
    return found


def path(svg, gid):
    """The corners of a line."""
    numbers = re.findall(r"[ML] ([\d.]+) ([\d.]+)", next(part(svg, gid).iter(f"{SVG}path")).get("d"))
    return [(float(x), float(y)) for x, y in numbers]


def labels(svg):
    """(left, top, right, bottom, text) of what stands beside a point, a little narrower than the library sets it."""
    found = []
    for element in svg.iter(f"{SVG}g"):
        if (element.get("id") or "").startswith("label-"):
            text = next(element.iter(f"{SVG}text"))
            x, y = float(text.get("x")), float(text.get("y"))
            found.append((x, y - 7, x + 4.6 * len(text.text), y, text.text))
    return found


def words(svg):
    return [text.text for text in svg.iter(f"{SVG}text")]


# --------------------------------------------------------------------------------------------------- quality against time


def test_every_row_is_a_point_with_whiskers_where_its_figures_are():
    found = report()
    svg = tree(found)
    points = list(marks(svg).values())
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
    for number in range(12):
        (_, low), (_, high) = path(svg, f"point-{number}-interval")
        assert high < points[number][1] < low


def test_published_points_stand_beside_ours_in_another_mark():
    svg = tree(report(published=THEIRS))
    assert len(marks(svg)) == 24
    shapes = {
        number: next(part(svg, f"point-{number}").iter(f"{SVG}use")).get("style").split(";")[0] for number in marks(svg)
    }
    assert {number for number, style in shapes.items() if style == "fill: #ffffff"} == set(map(str, range(12, 24)))
    assert "published, their machine" in words(svg)
    assert "published, their machine" not in words(tree(report()))
    minutes = [{"row": {"model": "lstm"}, "accuracy": 70.0, "minutes": 2.0, "examples": 400, "source": "A"}]
    rate = [{"row": {"model": "lstm"}, "accuracy": 70.0, "requests_per_minute": 200, "source": "A"}]
    assert draw(report(published=minutes)) == draw(report(published=rate))


def test_labels_cover_neither_each_other_nor_a_mark():
    svg = tree(report(published=THEIRS))
    found = labels(svg)
    assert len(found) == 24
    assert {text for *_, text in found} == set(fakes.CHAINS)  # the colour says the model
    assert set(fakes.MODELS) < set(words(svg))
    for n, (left, top, right, bottom, _) in enumerate(found):
        assert not any(left < r and x < right and top < b and t < bottom for x, t, r, b, _ in found[:n])
        assert not any(left < x < right and top < y < bottom for x, y in marks(svg).values())


def test_of_very_many_points_those_are_labelled_that_nothing_beats():
    many = [
        {"row": f"model {n}", "accuracy": 60.0 + n / 9, "requests_per_minute": 9000, "source": "A"} for n in range(30)
    ]
    found = report(published=many)
    told = {text for *_, text in labels(tree(found))}
    assert len(marks(tree(found))) == 42
    assert "none" in told  # the anchor
    assert row(found, found.best).label.removeprefix("teacher · ") in told
    assert not any(text.startswith("model") for text in told)


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


# --------------------------------------------------------------------------------------------------------- critical types


def test_a_task_with_critical_types_has_its_metrics_by_row():
    found = entity_report()
    svg = tree(found, "by-row")
    shown = marks(svg, "value")
    assert len(shown) == 2 * len(found.rows)
    for number, metric in enumerate(("f1", "f1_critical")):
        values = [r.quality[metric].interval.value for r in found.rows]
        places = [shown[f"{number}-{n}"][0] for n in range(len(values))]
        slope = (max(places) - min(places)) / (max(values) - min(values))
        assert places == pytest.approx([min(places) + slope * (v - min(values)) for v in values], abs=0.01)
    heights = [shown[f"0-{n}"][1] for n in range(len(found.rows))]
    assert heights == sorted(heights)  # the rows' order, from the top
    assert [text for text in words(svg) if text in {r.label for r in found.rows}] == [r.label for r in found.rows]


def test_published_figures_stand_beside_the_rows_that_they_are_of():
    theirs = [{"row": {"model": "constrained", "beta": 0.2}, "f1": 92.3, "f1_critical": 93.34, "source": "Table 2"}]
    svg = tree(entity_report(published=theirs), "by-row")
    position = [r.label for r in entity_report().rows].index("constrained · beta=0.2")
    assert set(marks(svg, "published")) == {f"0-{position}", f"1-{position}"}
    assert "published" in words(svg)


def test_of_many_rows_only_uncompressed_ones_are_compared_one_by_one():
    records = fakes.entity_records(chains=tuple(fakes.CHAINS))
    assert len(summarise(records, fakes.REGISTRY).rows) == 24
    (picture,) = [p for p in pictures(summarise(records, fakes.REGISTRY)) if p.name == "by-row"]
    assert len(picture.rows) == 6


def test_time_against_parameters_has_one_point_for_rows_that_share_both():
    svg = tree(entity_report(), "parameters")
    assert {text for *_, text in labels(svg)} == {
        "teacher", "teacher · onnx", "small and 4 more", "small · onnx and 4 more",
    }  # fmt: skip
    xs, ys = zip(*marks(svg).values(), strict=True)
    assert xs[0] == xs[1] > xs[2] == xs[3]
    assert ys[0] < ys[1]  # slower is higher
    asked = report(report={"columns": ["parameters"]})
    assert "parameters" in draw(asked)
    assert "parameters" not in draw(report())


def test_the_latency_of_a_fixed_batch_is_preferred_and_stands_beside_the_published_one():
    theirs = [{"row": "BERT", "parameters_millions": 108.9, "batch_seconds": 0.0078, "source": "Table 1"}]
    found = entity_report(published=theirs)
    seconds = Interval(0.4, 0.39, 0.41)
    rows = [
        replace(r, speed=replace(r.speed, batch_seconds=seconds, fixed=replace(r.speed.forward, interval=Interval(2.0, 1.9, 2.1))))
        for r in found.rows
    ]  # fmt: skip
    (picture,) = [p for p in pictures(replace(found, rows=tuple(rows))) if p.name == "parameters"]
    assert picture.title == "time of a batch against parameters"
    ours, theirs = ([p for p in picture.points if p.ours is whose] for whose in (True, False))
    assert {round(p.y.value, 9) for p in ours} == {400.0, 200.0}
    assert [(p.label, p.x.value, round(p.y.value, 9)) for p in theirs] == [("BERT", 108.9, 7.8)]


def test_metrics_are_drawn_along_an_axis_of_numbers_with_their_bands():
    found = entity_report()
    svg = tree(found, "by-beta")
    values = [row(found, f"constrained · beta={beta}").quality["f1"].interval for beta in fakes.BETAS]
    line = path(svg, "line-0-0")
    assert len(line) == 4
    assert [x for x, _ in line] == pytest.approx(
        [line[0][0] + b / 0.5 * (line[-1][0] - line[0][0]) for b in fakes.BETAS]
    )
    drawn = sorted(range(4), key=lambda n: line[n][1])  # from the top
    assert [values[n].value for n in drawn] == sorted((v.value for v in values), reverse=True)
    assert part(svg, "line-1-0-band") is not None
    assert {"f1, %", "f1_critical, %", "beta", "constrained", "teacher", "0.1", "0.5"} <= set(words(svg))


def test_two_values_or_words_make_no_curve():
    records = fakes.entity_records()
    few = [c for c in records.cells if c["axes"]["beta"] in (None, 0.0, 0.1)]
    named = [{**c, "axes": {**c["axes"], "beta": f"b{c['axes']['beta']}"}} for c in records.cells]
    for cells in (few, named):
        assert "by-beta" not in draw(summarise(replace(records, cells=cells), fakes.REGISTRY))


def test_other_axes_make_other_lines():
    records = fakes.entity_records(chains=("none",))
    both = [
        {**c, "axes": {**c["axes"], "form": form}, "cell": f"{c['cell']},form={form}"}
        for c in records.cells for form in (("a", "b") if c["axes"]["beta"] is not None else (None,))
    ]  # fmt: skip
    (picture,) = [
        p for p in pictures(summarise(replace(records, cells=both), fakes.REGISTRY)) if p.name.startswith("by-b")
    ]
    assert [line.label for line in picture.panels[0][1]] == ["constrained · form=a", "constrained · form=b"]
    assert [label for label, _ in picture.panels[0][2]] == ["teacher"]


# ------------------------------------------------------------------------------------------------------------- the files


def test_the_report_links_the_files_that_are_written(tmp_path):
    path, *_ = write_reports(report(), tmp_path, "my suite.v2", fakes.reporters())
    (link,) = re.findall(r"^!\[accuracy against .*\]\((.*)\)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert link == "my%20suite.v2.accuracy.svg"
    assert "<svg" in (tmp_path / "my suite.v2.accuracy.svg").read_text(encoding="utf-8")


def test_every_figure_of_a_study_is_linked_and_written(tmp_path):
    path, *_ = write_reports(entity_report(), tmp_path, "ner", fakes.reporters())
    links = re.findall(r"\]\((.*\.svg)\)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert links == ["ner.f1.svg", "ner.by-row.svg", "ner.parameters.svg", "ner.by-beta.svg"]
    assert all((tmp_path / link).exists() for link in links)


def test_the_same_report_gives_the_same_bytes_whatever_the_users_settings():
    import matplotlib as mpl

    first = draw(entity_report())
    with mpl.rc_context({"font.size": 20, "svg.fonttype": "path", "axes.grid": False}):
        assert draw(entity_report()) == first
        assert mpl.rcParams["font.size"] == 20
    assert "dc:date" not in first["f1"]


def test_names_of_others_are_text_and_no_path():
    bad = '</text><script>alert("x")</script>'
    records = fakes.records(published=[{"row": bad, "accuracy": 70.0, "requests_per_minute": 9000, "source": "A"}])
    cells = [{**c, "axes": {**c["axes"], "model": c["axes"]["model"] + bad}} for c in records.cells]
    found = summarise(fakes.Records(records.run, records.measurements, cells), fakes.REGISTRY)
    svg = tree(found)
    assert {element.tag.removeprefix(SVG) for element in svg.iter() if element.tag.startswith(SVG)} == {
        "svg", "title", "metadata", "defs", "style", "g", "path", "use", "text", "clipPath", "rect"
    }  # fmt: skip
    assert {element.get(LINK, "#")[0] for element in svg.iter()} == {"#"}
    assert bad in words(svg)
    assert file_name("../../up") == "______up"


@pytest.mark.parametrize(
    "name", ["мой-учитель", "教師モデル", "$x^2$ $", "\\frac{", "a\u202eb\x1b[31m", "", "😀", "&amp;"]
)
def test_any_name_is_drawn_as_it_is_and_warns_of_nothing(name):
    known = entity_report()
    rows = [replace(r, label=r.label + name, axes={**r.axes, "model": r.axes["model"] + name}) for r in known.rows]
    run = {**known.run, "suite": {**known.run["suite"], "name": name}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = draw(replace(known, run=run, rows=tuple(rows)))
    assert len(found) == 4
    shown = f"teacher{name}".replace("\u202e", "").replace("\x1b[31m", "")
    assert shown in words(ET.fromstring(found["by-row"]))  # noqa: S314


def test_a_single_value_still_has_an_axis():
    same = fakes.quality("teacher", "none", 1, 1.0)
    records = change(fakes.records(), {}, quality={**same, "samples": [[0, 0]] * fakes.EXAMPLES})
    flat = {key: {**document, "rows": dict.fromkeys(document["rows"], document["anchor"])}
            for key, document in records.measurements.items()}  # fmt: skip
    found = summarise(fakes.Records(records.run, flat, records.cells), fakes.REGISTRY)
    assert all(math.isfinite(v) for point in marks(tree(found)).values() for v in point)
    assert row(found, "lstm").speed.request_ms == row(found, "teacher").speed.request_ms


def test_the_plotting_library_is_imported_for_a_figure_alone():
    code = (
        "import sys; sys.path.insert(0, 'tests'); import report_fakes as fakes; from harness.reports import draw, render;"
        "render(fakes.report()); draw(fakes.report(mode='random')); before = 'matplotlib' in sys.modules;"
        "draw(fakes.report()); print(before, 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
