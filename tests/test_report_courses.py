"""Training sizes, epochs, losses and times in reports: a grid of models × training sizes × epochs, made up."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
import re
from dataclasses import asdict, replace
from xml.etree import ElementTree as ET

import pytest
import report_fakes as fakes
from click.testing import CliRunner
from report_fakes import REGISTRY, row, tables

from harness.errors import SuiteError
from harness.reports import json_report, render, summarise, to_csv
from harness.reports.figures import POINTS, WEIGHT, draw, pictures, smoothed
from harness.reports.model import Absent
from harness.reports.pictures import Along, Descent, Dots
from harness.reports.plots import _told
from harness.reports.summary import summarise_rows
from harness.specs import Metric
from harness.statistics import bootstrap_metrics, paired_difference
from harness.suite.grid import parse_grid
from harness.suite.types import Grid

LIMITS, EPOCHS, SEEDS = (3000, 9000, 27000), (1, 2), (1, 2)
SHARES = {"large": 0.62, "small": 0.615, "tiny": 0.45}
SECONDS = {"large": 100.0, "small": 20.0, "tiny": 10.0}  # of an epoch on 3,000 examples, seed 1
SETS = {"limit": "task.limit"}
GRID = {"rows": ["model"], "columns": ["limit", "epoch"], "metrics": []}
SVG = "{http://www.w3.org/2000/svg}"


def share(model, limit, epoch):
    return SHARES[model] + 0.05 * math.log2(limit / 3000) + 0.04 * (epoch - 1)


def training(model, limit, seed):
    each = SECONDS[model] * limit / 3000 * (1 if seed == 1 else 1.2)
    dev = [0.60, 0.58 + 0.002 * seed]  # the first epoch is the best
    epochs = [{"epoch": n, "steps": limit // 100, "loss": 1.0 / n, "dev": dev[n - 1], "seconds": each} for n in (1, 2)]
    steps = 2 * limit // 100
    curve = {"steps_per_point": 2, "loss": [0.4 + seed / (1 + n) for n in range(steps // 2)]}
    counts = {"examples": limit, "windows": limit, "tokens": limit * (20 if model == "large" else 15)}
    return {"use": "finetune", "seconds": 2 * each, "steps": steps, "epochs": epochs, "curve": curve, **counts}


def cell(model, limit, epoch, seed, chain="none"):
    axes = {"model": model, "compress": chain, "limit": limit, "epoch": epoch, "seed": seed}
    name = ",".join(f"{axis}={value}" for axis, value in axes.items())
    train = f"train-{model}-{limit}-{seed}"
    return fakes.cell("teacher", chain, seed) | {
        "cell": name,
        "axes": axes,
        "quality": fakes.quality(model, "none", seed, share(model, limit, epoch)),
        "dev": None,
        "train": [training(model, limit, seed)],
        "predict": {"use": "torch", "seconds": 1.0, "examples": 400, "windows": 400, "tokens": 400 * 18},
        "stages": {"train.1": train, "score.3": name},
        "ancestors": [train],
        "measure": None,
        "unmeasured": "not here",
    }


def records(cells=None, **report):
    run = fakes.run_document(
        anchor={"model": "large", "compress": "none", "limit": 27000, "epoch": 2},
        sets=SETS,
        report={"columns": [], "figures": [], "matrix": None, **report},
        measure={**fakes.run_document()["measure"], "retention": []},
    )
    whole = [cell(m, limit, e, seed) for m in SHARES for limit in LIMITS for e in EPOCHS for seed in SEEDS]
    return fakes.Records(run, {}, whole if cells is None else cells)


@functools.cache
def plain_report():
    return summarise(records(), REGISTRY)


def report(cells=None, **asked):
    if cells is None and "matrix" not in asked:
        return replace(plain_report(), **{name: tuple(names) for name, names in asked.items()})
    return summarise(records(cells, **asked), REGISTRY)


def picture(found, name):
    return next(one for one in pictures(found) if one.name == name)


def svg(found, name):
    return ET.fromstring(draw(found)[name])  # noqa: S314 - our own


def ids(tree, pattern):
    return sorted(e.get("id") for e in tree.iter() if re.fullmatch(pattern, e.get("id") or ""))


# ------------------------------------------------------------------------------------------------------ learning curves


def test_an_axis_of_training_sizes_gives_learning_curves_on_a_logarithmic_axis():
    found = report()
    (one,) = pictures(found)
    assert isinstance(one, Along)
    assert (one.name, one.logarithmic) == ("by-limit", True)
    ((_, lines, _),) = one.panels
    assert {line.label: line.model for line in lines} == {
        f"{model} · epoch={epoch}": model for model in SHARES for epoch in EPOCHS
    }
    for line in lines:
        assert line.xs == LIMITS
        assert all(y.low < y.value < y.high for y in line.ys)
    tree = svg(found, "by-limit")
    (first, *_) = [p for e in tree.iter(f"{SVG}g") if e.get("id") == "line-0-0" for p in e.iter(f"{SVG}path")]
    xs = [float(x) for x in re.findall(r"[ML] ([\d.]+)", first.get("d"))]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.1)  # 3,000 → 9,000 → 27,000
    assert {"3,000", "9,000", "27,000"} <= {text.text for text in tree.iter(f"{SVG}text")}


def test_two_training_sizes_are_a_curve_and_one_is_none():
    few = [c for c in records().cells if c["axes"]["limit"] != 9000]
    assert [len(line.xs) for line in picture(report(few), "by-limit").panels[0][1]] == [2] * 6
    one = [c for c in records().cells if c["axes"]["limit"] == 9000]
    assert pictures(report(one)) == []
    model = next(iter(SHARES))
    mixed = [c for c in records().cells if c["axes"]["limit"] == 9000 or c["axes"]["model"] != model]
    assert model not in {line.model for line in picture(report(mixed), "by-limit").panels[0][1]}


def test_learning_curves_are_of_the_studys_metrics():
    found = report(columns=["macro_f1", "accuracy"])
    assert [panel[0] for panel in picture(found, "by-limit").panels] == ["accuracy, %", "macro_f1, %"]


# ------------------------------------------------------------------------------------------------------------- losses


def test_smoothing_is_bias_corrected():
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
    first, second = smoothed([1.0, 0.0], 0.5)
    assert (first, second) == (1.0, pytest.approx(1 / 3))  # (0.5 · 1 · 0.5 + 0) / (1 − 0.25)


def test_losses_are_drawn_where_the_suite_asks_for_them_a_line_per_training():
    assert "training-loss" not in [one.name for one in pictures(report())]
    found = report(figures=["loss"])
    one = picture(found, "training-loss")
    assert isinstance(one, Descent)
    ((distil, lines),) = one.panels
    assert distil == "finetune"
    assert [line.label for line in lines] == [
        f"{m} · limit={limit}" for m in SHARES for limit in LIMITS
    ]  # not by epoch
    first = lines[0]
    assert first.raw == tuple(0.4 + 1 / (1 + n) for n in range(30))  # of the first seed
    assert first.steps == tuple(float(2 * n) for n in range(1, 31))
    assert first.smooth == smoothed(first.raw)
    assert "means of up to 2 steps" in one.note
    assert f"{WEIGHT:g} of the past" in one.note
    assert ids(svg(found, "training-loss"), r"line-0-\d+") == sorted(f"line-0-{n}" for n in range(9))
    assert ids(svg(found, "training-loss"), r"line-0-\d+-raw") == sorted(f"line-0-{n}-raw" for n in range(9))
    assert "made-up.training-loss.svg" in render(found)


def test_losses_of_other_distillers_have_scales_of_their_own():
    cells = [
        {**c, "train": [{**step, "use": "kd"} for step in c["train"]]} if c["axes"]["model"] == "tiny" else c
        for c in records().cells
    ]
    assert [panel[0] for panel in picture(report(cells, figures=["loss"]), "training-loss").panels] == [
        "finetune",
        "kd",
    ]


def test_a_picture_of_very_many_losses_stays_small():
    long = {"steps_per_point": 40, "loss": [1 / (1 + n) + 0.1 * math.sin(9 * n) for n in range(200)]}
    cells = [cell("tiny", limit, 2, 1) for limit in range(1000, 31000, 1000)]
    cells = [{**c, "train": [{**c["train"][0], "curve": long}]} for c in cells]
    found = report(cells, figures=["loss"])
    ((_, lines),) = picture(found, "training-loss").panels
    assert sum(len(line.raw) for line in lines) <= POINTS
    assert all(line.steps[-1] == 8000 for line in lines)
    assert len(draw(found)["training-loss"].encode()) < 200_000


def test_records_without_a_curve_have_no_picture_of_losses():
    cells = [{**c, "train": [{**step, "curve": None} for step in c["train"]]} for c in records().cells]
    assert "training-loss" not in draw(report(cells, figures=["loss"]))


# ------------------------------------------------------------------------------------------------------- dev and epochs


def test_dev_over_epochs_has_a_line_per_training_that_spans_the_seeds():
    one = picture(report(figures=["epochs"]), "epochs")
    ((title, lines, _),) = one.panels
    assert title == "dev accuracy, %"
    assert len(lines) == len(SHARES) * len(LIMITS)
    assert lines[0].xs == (1.0, 2.0)
    assert (lines[0].ys[1].low, lines[0].ys[1].value, lines[0].ys[1].high) == pytest.approx((58.2, 58.3, 58.4))


def test_final_and_peak_are_of_dev_and_end_with_the_rows_own_epoch():
    text = render(report(columns=["final", "peak"]))
    main = tables(text)[0]
    assert main[0][4:6] == ["dev accuracy, last epoch, % ↑", "dev accuracy, peak over epochs, % ↑"]
    assert main[0][2:4] == ["epoch", "limit"]
    shown = {(line[0], line[2], line[3]): line[4:6] for line in main[2:]}
    assert shown["tiny", "2", "3000"] == ["58.3 (58.2–58.4)", "60.0"]
    assert shown["tiny", "1", "3000"] == ["60.0", "60.0"]
    assert "dev: judged after each epoch" in text


def inside(cells, models=tuple(SHARES)):
    """As if dev had been judged in the middle of each epoch of these models, and had been best in the first one."""
    return [
        {
            **c,
            "train": [
                {**s, "epochs": [{**e, "within": [[e["steps"] // 2, 0.9 / e["epoch"]]]} for e in s["epochs"]]}
                for s in c["train"]
            ],
        }
        if c["axes"]["model"] in models
        else c
        for c in cells
    ]


def test_a_peak_inside_an_epoch_is_seen_where_dev_was_judged_there():
    cells = inside(records().cells)
    text = render(report(cells, columns=["final", "peak"]))
    main = tables(text)[0]
    assert main[0][4:6] == ["dev accuracy, last epoch, % ↑", "dev accuracy, peak over steps, % ↑"]
    shown = {(line[0], line[2], line[3]): line[4:6] for line in main[2:]}
    assert shown["tiny", "2", "3000"] == ["58.3 (58.2–58.4)", "90.0"]
    assert "dev: judged after each epoch, and inside the epochs too; mean" in text
    ((_, lines, _),) = picture(report(cells, figures=["epochs"]), "epochs").panels
    assert lines[0].xs == (0.5, 1.0, 1.5, 2.0)


def test_an_axis_of_many_steps_has_few_ticks():
    cells = inside(records().cells)
    often = [
        {
            **c,
            "train": [
                {**s, "epochs": [{**e, "within": [[n, 0.5] for n in range(1, e["steps"])]} for e in s["epochs"]]}
                for s in c["train"]
            ],
        }
        for c in cells
    ]
    found = report(often, figures=["epochs"])
    ((_, lines, _),) = picture(found, "epochs").panels
    assert max(len(line.xs) for line in lines) > 40
    drawn = draw(found)["epochs"]
    places = ET.fromstring(drawn).iter(f"{SVG}g")  # noqa: S314 - our own
    ticks = [e for e in places if e.get("id", "").startswith("xtick_")]
    assert 2 <= len(ticks) <= 16


def test_models_that_were_judged_more_often_are_named():
    cells = inside(records().cells, models=("tiny",))
    assert "and inside the epochs of tiny too" in render(report(cells, columns=["peak"]))


def test_a_model_that_was_not_judged_on_dev_says_so():
    cells = records().cells
    no_dev = [
        {**c, "train": [{**s, "epochs": [{**e, "dev": None} for e in s["epochs"]]} for s in c["train"]]} for c in cells
    ]
    assert "no dev set" in render(report(no_dev, columns=["peak"]))
    assert "not trained here" in render(report([{**c, "train": [], "distil": []} for c in cells], columns=["peak"]))


def test_training_inside_a_chain_is_a_training_of_its_own():
    cells = []
    for c in records().cells:
        if c["axes"]["model"] == "tiny" and c["axes"]["epoch"] == 2:
            chain = {**c, "cell": c["cell"].replace("compress=none", "compress=recovered")}
            chain["axes"] = {**c["axes"], "compress": "recovered"}
            more = {**c["train"][0], "use": "kd", "epochs": [{**c["train"][0]["epochs"][0], "dev": 0.9}]}
            cells.append(
                {
                    **chain,
                    "train": [*c["train"], more],
                    "distil": ["finetune", "kd"],
                    "teachers": [[], ["large"]],
                    "recovered": 1,
                }
            )
        cells.append(c)
    text = render(report(cells, columns=["final"]))
    shown = {(line[0], line[1], line[2], line[3]): line[4] for line in tables(text)[0][2:]}
    assert shown["tiny", "recovered", "2", "3000"] == "90.0"
    assert shown["tiny", "none", "2", "3000"] == "58.3 (58.2–58.4)"
    trained = next(t for t in tables(text) if "distilled" in t[0][1] or "distil" in t[0][1])
    names = [line[0] for line in trained[2:]]
    assert any("compress=recovered" in name for name in names)
    assert any("compress" not in name and name.startswith("tiny") for name in names)


# --------------------------------------------------------------------------------------------------------------- time


def test_the_time_of_an_epoch_is_that_of_the_training_up_to_it():
    found = report()
    assert row(found, "tiny · epoch=1 · limit=3000").training.seconds == {"1": 10.0, "2": 12.0}
    assert row(found, "tiny · epoch=2 · limit=3000").training.seconds == {"1": 20.0, "2": 24.0}
    assert row(found, "tiny · epoch=1 · limit=3000").training.with_teachers_s == 10.0


def test_an_axis_that_is_called_epoch_and_sets_something_else_cuts_nothing():
    made = records()
    made = replace(made, run={**made.run, "sets": {**SETS, "epoch": "task.stride"}})
    assert row(summarise(made, REGISTRY), "tiny · epoch=1 · limit=3000").training.seconds == {"1": 20.0, "2": 24.0}


def test_times_are_compared_with_the_cheapest_model_under_the_same_conditions():
    found = report(figures=["time"])
    shown = [line for table in tables(render(found)) if table[0][-1] == "× ↓" for line in table[2:]]
    ratios = {line[0]: line[-1] for line in shown}
    assert ratios["large · epoch=1 · limit=3000"] == ratios["large · epoch=2 · limit=27000"] == "10"
    assert ratios["small · epoch=2 · limit=9000"] == "2"
    assert next(line[2] for line in shown if line[0] == "tiny · epoch=1 · limit=3000") == "11 s (10 s–12 s)"
    one = picture(found, "time")
    assert isinstance(one, Dots)
    assert len(one.rows) == 18
    assert "tiny, same epoch and limit" in one.across
    assert ids(svg(found, "time"), r"value-\d+") == sorted(f"value-{n}" for n in range(18))
    assert "× ↓" not in render(report())


def test_a_training_that_the_cheapest_model_lacks_has_no_ratio():
    cells = [c for c in records().cells if c["axes"]["model"] != "tiny" or c["axes"]["limit"] != 9000]
    text = render(report(cells, figures=["time"]))
    assert "the cheapest model was not trained so" in text


# -------------------------------------------------------------------------------------------------------------- tokens


def test_tokens_are_means_per_example_beside_the_anchors():
    found = report(columns=["tokens", "test_tokens", "training_ratio"])
    tiny = row(found, "tiny · epoch=2 · limit=27000")
    assert (tiny.tokens, tiny.test_tokens) == (15.0, 18.0)
    main = tables(render(found))[0]
    assert main[0][4:7] == ["tokens per training example ↓", "tokens per test example ↓", "training, × anchor's ↓"]
    line = next(line for line in main if line[0] == "tiny" and line[2:4] == ["2", "27000"])
    assert line[4:7] == ["15.0 (× 0.75)", "18.0 (× 1)", "0.10"]
    table = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert {line["tokens_per_training_example"] for line in table} == {"20", "15"}


def test_records_of_earlier_versions_have_no_tokens():
    cells = [
        {
            **c,
            "train": [{k: v for k, v in s.items() if k not in ("tokens", "examples")} for s in c["train"]],
            "predict": {"use": "torch"},
        }
        for c in records().cells
    ]
    found = report(cells, columns=["tokens", "test_tokens"])
    assert isinstance(found.rows[0].tokens, Absent)
    assert "not measured: the record is of an earlier version" in render(found)
    assert summarise(fakes.records(), REGISTRY).figures == ()


# ------------------------------------------------------------------------------------------------------- compact table


def test_a_compact_table_has_models_by_line_and_a_column_per_combination():
    found = report(matrix=GRID)
    (table, *_) = tables(render(found))
    assert table[0] == ["model", *(f"limit {limit:,} · epoch {epoch}" for limit in LIMITS for epoch in EPOCHS)]
    assert [line[0] for line in table[2:]] == list(SHARES)
    large = row(found, "large · epoch=1 · limit=3000").quality["accuracy"].interval
    assert table[2][1].strip("*") == f"{100 * large.value:.1f} [{100 * large.low:.1f}, {100 * large.high:.1f}]"
    assert json_report(found)["compact"][0]["columns"][0] == [3000, 1]
    assert "compact" not in json_report(report())


def test_the_best_of_a_column_is_bold_and_what_a_paired_comparison_does_not_tell_from_it():
    found = report(matrix=GRID)
    (one,) = found.compact
    task = fakes.Task(None)
    for number, (limit, epoch) in enumerate(one.columns):
        scores = {
            m: bootstrap_metrics(
                lambda s, w: task.metrics(s, w, fakes.LABELS),
                [fakes.samples(m, "none", seed, share(m, limit, epoch)).astype(float) for seed in SEEDS],
            )["accuracy"]
            for m in SHARES
        }
        best = max(scores, key=lambda m: scores[m].value)
        tied = {m for m in SHARES if (d := paired_difference(scores[m], scores[best])).low <= 0 <= d.high}
        marked = {m for (m,), line in zip(one.rows, one.places, strict=True) if line[number].best}
        assert marked == tied | {best}
        assert marked == {"large", "small"}


def test_what_is_missing_says_so_and_what_lacks_an_axis_stands_in_every_column():
    cells = [c for c in records().cells if c["axes"]["model"] != "tiny" or c["axes"]["limit"] != 9000]
    cells = [
        {**c, "axes": {**c["axes"], "epoch": None}} if c["axes"]["model"] == "large" else c
        for c in cells
        if c["axes"]["model"] != "large" or c["axes"]["epoch"] == 2
    ]
    text = render(report(cells, matrix=GRID))
    lines = {line[0]: line[1:] for line in tables(text)[0][2:]}
    assert lines["tiny"][2:4] == ["—¹", "—¹"]
    assert "not measured: no such row in this run" in text
    assert lines["large"][0].strip("*") == lines["large"][1].strip("*")


def test_the_table_is_of_uncompressed_rows_unless_it_names_the_chain():
    chains = [
        cell(m, limit, 2, seed, chain)
        for m in SHARES
        for limit in LIMITS
        for chain in ("none", "int8")
        for seed in SEEDS
    ]
    plain = tables(render(report(chains, matrix={**GRID, "columns": ["limit", "epoch"]})))[0]
    assert len(plain[0]) == 4
    whole = tables(
        render(report(chains, matrix={**GRID, "rows": ["model", "compress"], "columns": ["limit", "epoch"]}))
    )[0]
    assert [line[:2] for line in whole[2:4]] == [["large", "none"], ["large", "int8"]]


def test_metrics_have_a_table_each():
    found = report(matrix={**GRID, "metrics": ["macro_f1", "accuracy"]})
    assert [one.metric for one in found.compact] == ["accuracy", "macro_f1"]
    assert len(tables(render(found))[1][0]) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model", "--matrix model: expected ROWS:COLUMNS or ROWS:COLUMNS:METRICS"),
        ("model:", "expected ROWS:COLUMNS"),
        ("model:limt,epoch", "columns[0]: 'limt' is not an axis of a row. Did you mean 'limit'?"),
        ("model:limit", "leaves out 'epoch', which has several values: name it in rows or columns"),
        ("model:limit,epoch:acc", "metric[0]: 'acc' is not a metric of the task"),
        ("model:limit,epoch,epoch", "columns[2]: 'epoch' is named twice"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(text, message):
    axes = {"model": list(SHARES), "compress": ["none"], "limit": LIMITS, "epoch": EPOCHS}
    with pytest.raises(SuiteError, match=re.escape(message)):
        parse_grid(text, axes, ["accuracy", "macro_f1"])


def test_the_option_may_name_chains_and_several_of_each():
    axes = {"model": list(SHARES), "compress": ["none", "int8"], "limit": LIMITS}
    assert parse_grid("model, compress:limit:accuracy", axes, ["accuracy"]) == Grid(
        rows=("model", "compress"), columns=("limit",), metrics=("accuracy",)
    )


def test_report_prints_a_compact_table_on_demand(tmp_path, monkeypatch):
    from harness.cli.report_command import command

    records().write(tmp_path / "a.records.jsonl")
    monkeypatch.setattr("harness.cli.report_command.load_registry", lambda: REGISTRY)
    done = CliRunner().invoke(command, [str(tmp_path / "a.records.jsonl"), "--matrix", "model:limit,epoch"])
    assert tables(done.stdout)[0][0][1] == "limit 3,000 · epoch 1"
    assert not (tmp_path / "a.md").exists()
    shown = CliRunner().invoke(command, [str(tmp_path / "a.records.jsonl"), "--matrix", "model:limit,epoch", "--json"])
    assert json.loads(shown.stdout)["compact"][0]["metric"] == "accuracy"


def test_a_suites_table_survives_its_record():
    asked = asdict(Grid(rows=("model",), columns=("limit", "epoch")))
    made = records(matrix=asked)
    again = replace(made, run=json.loads(json.dumps(made.run)))
    assert summarise(again, REGISTRY).compact == report(matrix=GRID).compact


# ------------------------------------------------------------------------------------------- what is kept, and of which


def test_the_reference_of_what_is_kept_is_the_row_that_shares_most_with_the_anchor():
    made = records()
    asked = [{"of": model, "metric": "accuracy", "at_least": (0.95,)} for model in ("large", "tiny")]
    run = {**made.run, "measure": {**made.run["measure"], "retention": asked}}
    found = summarise(replace(made, run=run), REGISTRY)
    own, other = row(found, "small · epoch=1 · limit=3000").keeps
    assert (own.of, other.of) == ("large · epoch=2 · limit=27000", "tiny · epoch=2 · limit=27000")
    largest = fakes.samples("large", "none", 1, share("large", 27000, 2))
    least = fakes.samples("small", "none", 1, share("small", 3000, 1))
    right = [float((found[:, 0] == found[:, 1]).mean()) for found in (least, largest)]
    assert own.interval.value == pytest.approx(right[0] / right[1], abs=0.02)


# ---------------------------------------------------------------------------------- a metric of which less is better

LOSS = Metric(name="loss", higher_is_better=False, unit="nats")


def with_loss(found):
    """What macro_f1 says taken for nats."""

    def renamed(quality):
        return {"accuracy": quality["accuracy"], "loss": quality["macro_f1"]}

    rows = tuple(replace(r, quality=renamed(r.quality)) for r in found.rows)
    return replace(found, metrics=(found.metrics[0], LOSS), rows=rows)


def test_a_metric_called_loss_and_the_loss_of_trainings_are_pictures_of_their_own():
    found = with_loss(fakes.report())
    asked = {"columns": ("accuracy", "loss"), "figures": ("loss", "epochs", "time")}
    found = replace(found, courses=plain_report().courses, **asked)
    names = [one.name for one in pictures(found)]
    assert {"accuracy", "loss", "training-loss", "epochs", "time"} <= set(names)
    assert len(set(names)) == len(names)
    assert picture(found, "loss").up == "loss, nats, lower is better"
    assert isinstance(picture(found, "training-loss"), Descent)


def _unbeaten(rows, sign):
    """Names of the anchor and of what no other row is both as fast and as good as."""
    return {
        name
        for name, (x, y, anchor) in rows.items()
        if anchor or not any(a <= x and sign * b <= sign * y for other, (a, b, _) in rows.items() if other != name)
    }


def test_of_very_many_points_the_least_are_labelled_where_less_is_better():
    many = [{"row": f"model {n}", "accuracy": 60.0, "loss": 0.5, "request_ms": 7, "source": "A"} for n in range(30)]
    found = replace(with_loss(fakes.report(published=many)), columns=("loss",), best=None)
    rows = {r.label: (r.speed.level_ms.value, r.quality["loss"].interval.value, r.anchor) for r in found.rows}
    least, most = (_unbeaten(rows, sign) for sign in (1, -1))
    told = _told(picture(found, "loss").points, higher_is_better=False)
    assert least != most
    assert {(p.x.value, p.y.value) for p in told} == {rows[name][:2] for name in least}
    assert len(ids(svg(found, "loss"), r"label-\d+")) == len(least)


def test_nats_are_no_percent_in_any_table():
    asked = {"select": {"axis": "limit", "metric": "loss"}}
    found = with_loss(report(matrix=GRID))
    found = replace(found, run={**found.run, **asked}, columns=("loss",))
    rows = tuple(replace(r, dev={"loss": 0.9 - r.axes["limit"] / 1e5}) for r in found.rows)
    text = render(replace(found, rows=rows))
    assert "chosen, test loss, nats ↓" in text
    assert "**27000**: **0.6300**" in text  # the least
    assert "loss, nats ↓" in text
    assert "Δ, nats" in text
    header, line = next(iter(csv.reader(io.StringIO(to_csv(found))))), found.rows[0]
    assert {"loss_nats", "loss_difference_nats", "loss_kept_of_anchor_percent"} <= set(header)
    record = next(iter(csv.DictReader(io.StringIO(to_csv(found)))))
    assert float(record["loss_nats"]) == pytest.approx(line.quality["loss"].interval.value, rel=1e-5)


def test_the_legend_says_what_is_kept_of_a_loss():
    found = with_loss(report())
    rows = tuple(replace(r, kept=replace(r.kept, metric="loss")) for r in found.rows)
    said = "Kept of loss: the reference's over the row's, because less is better."
    assert said in render(replace(found, rows=rows))
    assert said not in render(found)


def test_a_summary_of_nats_has_the_digits_that_its_interval_bears():
    found = with_loss(fakes.report())
    rows = [replace(r, kept=replace(r.kept, of="teacher", metric="accuracy")) for r in found.rows]
    _, sentence = summarise_rows(rows, LOSS, "real")
    assert re.search(r"Its loss is 0\.\d\d \[0\.\d\d, 0\.\d\d\] nats, [+−]?0\.\d+ \[.*\] nats against", sentence), (
        sentence
    )
