"""`harness recommend`: planted rows whose right answer is known, what it says, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import report_fakes as fakes
from hostile_payloads import PAYLOADS
from report_fakes import tables

from harness.cli import main_inner
from harness.errors import SuiteError
from harness.recommending import Wishes, recommend, recommendation_json, render
from harness.recommending.judging import winners

EXAMPLES = 2000
RIGHT = {"teacher": 1600, "good": 1590, "near": 1552, "poor": 1200}  # of EXAMPLES; near is 97.0 % of teacher
MIB = {"teacher": 40.0, "good": 20.0, "near": 10.0, "poor": 5.0}
MS = {"teacher": 8.0, "good": 4.0, "near": 2.0, "poor": 1.0}


def planted(right=RIGHT, mib=MIB, ms=MS, **run):
    """One row per model and two seeds; whoever answers worse is wrong where the better ones are, too, and beyond."""
    cells = []
    for model in right:
        for seed in fakes.SEEDS:
            order = np.random.default_rng(3).permutation(EXAMPLES)  # the same for all: what is hard is hard for all
            said = np.where(np.argsort(order) < right[model], 0, 1)
            samples = np.stack([np.zeros(EXAMPLES, dtype=int), said], axis=1).tolist()
            quality = {"metrics": {}, "details": {}, "examples": "all of them", "samples": samples}
            sizes = {"sizes": {"model_mib": mib[model], "folder_mib": mib[model] + 1}}
            base = fakes.cell("lstm", "none", seed)
            changed = {
                "cell": f"model={model},compress=none,seed={seed}",
                "axes": {"model": model, "compress": "none", "seed": seed},
                "quality": quality,
                "artifact": base["artifact"] | sizes,
                "measure": "measure-planted",
                "subject": "anchor" if model == "teacher" else f"row.{model}",
            }
            cells.append(base | changed)
    measured = fakes.measurement("measure-planted", 1.0, chains=())
    rows = {f"row.{model}": fakes.result(ms[model], 10 + n) for n, model in enumerate(ms)}
    measured |= {"rows": rows, "anchor": fakes.result(ms["teacher"], 1), "twin": fakes.result(ms["teacher"], 2)}
    return fakes.Records(fakes.run_document(**run), {"measure-planted": measured}, cells)


def asked(records=None, **wishes):
    return recommend(records or planted(), fakes.REGISTRY, Wishes(**wishes))


def candidate(found, label):
    rows = [found.chosen, found.runner_up, found.nearest, *found.undecided, *found.failed]
    return next(row for row in rows if row is not None and row.label == label)


# ------------------------------------------------------------------------------------------------------- the right answer


def test_the_fastest_that_passes_is_named_with_its_runner_up():
    found = asked(min_retention=0.95)
    assert (found.chosen.label, found.runner_up.label, found.qualified) == ("near", "good", 3)
    assert found.chosen.meets == pytest.approx(1.0)
    assert found.chosen.best == pytest.approx(1.0)
    assert [row.label for row in found.failed] == ["poor"]  # it would be faster
    assert found.failed[0].missed[0].verdict == "FAIL"


@pytest.mark.parametrize(
    ("wishes", "label"),
    [
        ({"min_retention": 0.95, "objective": "size"}, "near"),
        ({"min_retention": 0.95, "objective": "quality"}, "teacher"),
        ({"min_retention": 0.95, "objective": "quality", "max_size": 20}, "good"),
        ({"min_retention": 0.95, "max_latency_ms": 3.5, "objective": "quality"}, "near"),
        ({"min_retention": 0.95, "min_speedup": 1.5, "objective": "quality"}, "good"),
        ({"min_retention": 0, "max_size": 5}, "poor"),
        ({"min_retention": 0.99}, "teacher"),
    ],
)
def test_every_bar_and_every_objective(wishes, label):
    records = planted({**RIGHT, "good": 1570}) if wishes["min_retention"] == 0.99 else planted()
    assert asked(records, **wishes).chosen.label == label


def test_the_suites_own_bar_holds_where_none_is_given():
    assert asked().excluded[0].bar == "keep at least 95 % of teacher's accuracy"
    assert asked(min_retention=0).excluded == ()


def test_on_the_bar_nothing_is_recommended_and_what_would_decide_is_said():
    found = asked(min_retention=0.97)
    assert found.chosen.label == "good"
    assert [row.label for row in found.undecided] == ["near"]
    near = found.undecided[0]
    assert 0.3 < near.meets < 0.7  # a coin
    assert near.best == pytest.approx(near.meets)
    assert found.chosen.best == pytest.approx(1 - near.meets, abs=0.02)
    assert "100× the data would not decide it" in near.undecided[0].decides
    further = asked(min_retention=0.968).undecided[0].undecided[0]
    assert "test examples (" in further.decides
    assert further.decides.endswith("would make it a PASS")
    assert asked(min_retention=0.9715).undecided[0].undecided[0].decides.endswith("would make it a FAIL")


def test_so_many_more_examples_do_decide():
    """What the sentence promises comes true where the figures stay as they are."""
    share = 0.966
    found = next(iter(asked(min_retention=share).undecided), None)
    assert found is not None
    needed = int(found.undecided[0].decides.split("(")[1].split(" ")[0].replace(",", ""))
    records = planted()
    times = -(-needed // EXAMPLES)
    cells = [
        {**cell, "quality": cell["quality"] | {"samples": cell["quality"]["samples"] * (times + 1)}}
        for cell in records.cells
    ]
    assert asked(replace(records, cells=cells), min_retention=share).chosen.label == "near"


def test_seeds_are_asked_for_where_they_vary_more():
    records = planted()
    shift = iter((1, -1) * 9)
    cells = []
    for cell in records.cells:
        samples = np.array(cell["quality"]["samples"])
        if cell["axes"]["model"] == "near":
            wrong = np.flatnonzero(samples[:, 1] == (1 if (sign := next(shift)) > 0 else 0))[:60]
            samples[wrong, 1] = 0 if sign > 0 else 1
        cells.append({**cell, "quality": cell["quality"] | {"samples": samples.tolist()}})
    near = next(
        row for row in asked(replace(records, cells=cells), min_retention=0.96).undecided if row.label == "near"
    )
    assert "seeds (" in near.undecided[0].decides


def test_seeds_that_move_a_row_as_its_reference_decide_nothing():
    """Both lose as much with the second seed: what is kept hangs on the examples alone."""
    records, lower = planted(), planted({**RIGHT, "teacher": 1500, "good": 1490, "near": 1455})
    second = fakes.SEEDS[1]
    pairs = zip(records.cells, lower.cells, strict=True)
    cells = [other if one["axes"]["seed"] == second else one for one, other in pairs]
    found = asked(replace(records, cells=cells), min_retention=0.968)
    near = next(row for row in found.undecided if row.label == "near")
    assert "test examples (" in near.undecided[0].decides


def test_nothing_meets_the_bars_says_which_excludes_what_and_the_nearest():
    found = asked(min_retention=0.99, max_size=12)
    assert found.chosen is None
    assert [(one.fail, one.undecided, one.unknown) for one in found.excluded] == [
        (2, 1, 0),
        (2, 0, 0),
    ]  # the teacher and good are too large
    assert found.nearest.label == "near"
    text = render(found)
    assert text.startswith("**No row is known to keep at least 99 % of teacher's accuracy and weigh at most 12 MiB**")
    assert "weigh at most 12 MiB: 2 of 4 rows fail" in text
    assert "Nearest: **near**" in text


def test_equals_are_told_apart_by_what_comes_next():
    allowed = np.ones((3, 2), dtype=bool)
    allowed[2, 1] = False
    speed, quality = np.array([[2.0, 2.0], [2.0, 2.0], [9.0, 9.0]]), np.array([[0.1, 0.3], [0.2, 0.9], [0.0, 0.0]])
    assert winners(allowed, [speed, quality]).T.tolist() == [[False, False, True], [False, True, False]]
    assert not winners(np.zeros((3, 2), dtype=bool), [speed]).any()


def test_sure_as_often_as_it_says():
    """Over many records of two students near the bar: a row said to meet it with p truly does with about p."""
    from harness.reports.model import Absent
    from harness.reports.quality import Scored
    from harness.reports.resampled import Resampled
    from harness.statistics import bootstrap_metrics

    rng, metric = np.random.default_rng(5), fakes.METRICS[0]
    said, truth = [], []
    for _ in range(300):
        share = rng.uniform(0.62, 0.90)
        drawn = []
        for right in (0.8, share):
            samples = (rng.random((250, 1)) < right).astype(float)
            found = bootstrap_metrics(lambda s, w: {"accuracy": w @ s[:, 0] / w.sum(axis=1)}, [samples], 200)
            scored = Scored("all", ("1",), found)
            drawn.append(Resampled(row=None, scored=scored, speedup=Absent("none"), latency_ms=Absent("none")))
        kept = drawn[1].kept(drawn[0], metric)
        said.append((kept.replicates >= 0.95).mean())
        truth.append(share / 0.8 >= 0.95)
    said, truth = np.array(said), np.array(truth)
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.01)):
        hit = (low <= said) & (said < high)
        assert hit.sum() > 20
        assert truth[hit].mean() == pytest.approx(said[hit].mean(), abs=0.15)


def test_processes_differ_by_the_noise_floor():
    """Two rows that a quiet measurement tells apart are a toss-up where the anchor differs from its twin."""
    close = {**MS, "good": 2.02}
    quiet = asked(planted(ms=close), min_retention=0.95)
    loud_records = planted(ms=close)
    document = loud_records.measurements["measure-planted"]
    loud = {"measure-planted": document | {"twin": fakes.result(8.0 * 1.08, 2)}}
    noisy = asked(replace(loud_records, measurements=loud), min_retention=0.95)
    assert quiet.chosen.best > 0.85 > noisy.chosen.best > 0.5


def test_less_may_be_better():
    """Wrong answers per example, which no row keeps all of."""
    metric = replace(fakes.METRICS[0], name="errors", higher_is_better=False, unit="")

    class Errors(fakes.Task):
        def metrics(self, samples, weights, labels):
            return {"errors": weights @ (samples[:, 0] != samples[:, 1]) / weights.sum(axis=1)}

    fakes.Errors = Errors
    spec = fakes.TaskSpec(
        name="errors", head="sequence", metrics=(metric,), factory="report_fakes:Errors", summary="made up", version=1
    )
    task = fakes.run_document()["task"] | {"name": "errors", "metrics": [fakes.asdict(metric)]}
    records = planted(task=task, measure=fakes.run_document()["measure"] | {"retention": None})
    found = recommend(records, fakes.build_registry([spec]), Wishes(min_retention=0.9))
    assert found.chosen.label == "good"  # 410 errors where the teacher makes 400; near makes 448
    assert "errors ↓" in render(found)


# ----------------------------------------------------------------------------------------------------------- what is shown


def test_the_sentence_comes_first_then_the_table():
    text = render(asked(min_retention=0.97, max_size=60))
    first = text.splitlines()[0]
    assert first.startswith(
        "**good** is the fastest of the 2 rows that keep at least 97 % of teacher's accuracy and weigh"
    )
    assert "as fast as teacher, 20.0 MiB, keeps 99.4 % [" in first
    (rows,) = tables(text)
    assert [row[0] for row in rows[2:]] == ["good", "**teacher** (anchor)", "near", "poor"]
    assert [row[-1] for row in rows[2:]] == ["PASS", "PASS", "INCONCLUSIVE", "FAIL"]
    assert "the record's own machine (Made-up CPU @ 3 GHz)" in text
    assert "INCONCLUSIVE; it is so near the bar" in text


def test_json_is_plain():
    document = recommendation_json(asked(min_retention=0.97))
    again = json.loads(json.dumps(document, allow_nan=False))
    assert again["chosen"]["label"] == "good"
    assert again["chosen"]["judged"][0]["verdict"] == "PASS"


@pytest.mark.parametrize("payload", PAYLOADS[:6])
def test_names_of_others_stay_names(payload):
    records = planted()
    named = {"near": f"{payload} x"}
    cells = [
        {**cell, "axes": cell["axes"] | {"model": named.get(cell["axes"]["model"], cell["axes"]["model"])}}
        for cell in records.cells
    ]
    text = render(asked(replace(records, cells=cells), min_retention=0.95))
    assert "<script" not in text
    assert "\x1b" not in text
    assert len({len(row) for row in tables(text)[0]}) == 1


# -------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"min_retention": 97}, "--min-retention 97: expected a share from 0 to 2, such as 0.97; 97 % is 0.97"),
        ({"min_retention": float("nan")}, "--min-retention nan: expected a share"),
        ({"max_size": 0}, "--max-size 0: expected a number above 0, MiB"),
        ({"max_latency_ms": float("inf")}, "--max-latency-ms inf"),
        ({"min_speedup": -1}, "--min-speedup -1: expected a number above 0, times the anchor's speed"),
        ({"metric": "acuracy"}, "--metric acuracy: the record has no such metric. Did you mean 'accuracy'?"),
    ],
)
def test_bars_that_are_none(wishes, said):
    with pytest.raises(SuiteError) as caught:
        asked(**wishes)
    assert said in str(caught.value)


@pytest.mark.parametrize("mode", ["rehearsal", "random"])
def test_what_means_nothing_is_not_recommended(mode):
    with pytest.raises(SuiteError, match=f"mode '{mode}'"):
        asked(planted(mode=mode))


def test_without_times_speed_cannot_be_asked_for():
    records = planted()
    cells = [{**cell, "measure": "", "unmeasured": "no time"} for cell in records.cells]
    still = replace(records, cells=cells, measurements={})
    with pytest.raises(SuiteError, match="--objective speed: no row has that figure; take size or quality"):
        asked(still)
    with pytest.raises(SuiteError, match="latency: no row has it"):
        asked(still, max_latency_ms=5, objective="size")
    assert asked(still, objective="size", min_retention=0.95).chosen.label == "near"


# --------------------------------------------------------------------------------------------------------------- commands


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Calls the command in a folder with the quickstart's record."""
    from pathlib import Path

    reports = Path(__file__).parents[1] / "reports"
    (tmp_path / "reports").mkdir()
    for name in ("quickstart", "sberquad.random"):
        file = f"{name}.records.jsonl"
        (tmp_path / "reports" / file).write_bytes((reports / file).read_bytes())
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main_inner(["recommend", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_report_a_record_and_a_suite_are_the_same(run):
    code, out, err = run("quickstart", "--min-retention", "0.95")
    assert code == 0
    assert out.startswith("**lstm-kd · onnx** is the fastest of the ")
    assert "reading reports/quickstart.records.jsonl" in err
    assert run("reports/quickstart.records.jsonl", "--min-retention", "0.95")[1] == out
    assert run("suites/quickstart.toml", "--min-retention", "0.95")[1] == out


def test_the_exit_code_says_whether_there_is_one(run):
    code, out, _ = run("quickstart", "--min-retention", "1.2", "--json")
    assert code == 1
    assert json.loads(out)["chosen"] is None
    code, _, err = run("quickstart", "--max-size", "-3")
    assert (code, "reports/quickstart.records.jsonl: --max-size -3: expected" in err) == (2, True)
    code, _, err = run("quikstart")
    assert (code, "Did you mean 'quickstart'?" in err) == (2, True)
    code, _, err = run("sberquad.random")
    assert (code, "mode 'random'" in err) == (2, True)


def test_it_loads_nothing_heavy():
    from pathlib import Path

    from test_cli import HEAVY, loaded_by

    assert not loaded_by(["recommend", "quickstart"], Path(__file__).parents[1]) & set(HEAVY)
