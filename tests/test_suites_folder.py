"""Every suite that ships: valid, plannable, rehearsable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.assets import Places
from harness.errors import SuiteError
from harness.plan import Context
from harness.planner import make_plan
from harness.plugins import load_registry
from harness.rehearse import rehearsal
from harness.suite import load_suite

STUDIES = ("sberquad", "sberquad-distillation")
RECURRENT = ("runne-recurrent", "rurebus-recurrent")
SCRATCH = ("runne-scratch", "rurebus-scratch")
SUITES = sorted((Path(__file__).parents[1] / "suites").glob("*.toml"))


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def context(registry, folder):
    return Context(
        registry=registry, places=Places(folder), machine={"isa": "x", "identity": {}}, library_version=lambda name: "1"
    )


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_it_plans_and_rehearses(path, registry):
    suite = load_suite(path, registry)
    assert suite.name == path.stem
    plan = make_plan(suite, context(registry, path.parent))
    small = make_plan(rehearsal(suite, registry), context(registry, path.parent))
    assert len(small.cells) == len(plan.cells)
    assert small.missing == ()


def test_the_quickstart_is_offline_and_says_what_it_promises(registry):
    suite = load_suite(next(path for path in SUITES if path.stem == "quickstart"), registry)
    plan = make_plan(suite, context(registry, Path.cwd()))
    assert plan.missing == ()
    distillers = {step.distil for model in suite.models.values() for step in model.train}
    assert distillers == {"finetune", "kd"}
    assert "lstm" in {model.use for model in suite.models.values()}
    assert len(suite.axes["compress"]) == 4
    assert len(suite.axes["seed"]) == 2
    teacher_outputs = {
        ref for stage in plan.stages.values() for name, ref in stage.inputs.items() if name.startswith("teacher.")
    }
    assert len(teacher_outputs) == 1  # one pass of the teacher feeds every student and seed


def read(name, registry):
    return load_suite(next(path for path in SUITES if path.stem == name), registry)


@pytest.mark.parametrize("name", STUDIES)
def test_what_a_study_lacks_here_is_named_with_the_ways_to_provide_it(name, registry, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nothing"))
    suite = read(name, registry)
    plan = make_plan(suite, context(registry, tmp_path))
    checkpoints = {model.params.checkpoint for model in suite.models.values()}
    assert {missing.hub for missing in plan.missing} == {"kuznetsoffandrey/sberquad", *checkpoints}
    assert all(len(missing.remedies) == 3 for missing in plan.missing)
    exact = make_plan(suite, replace(context(registry, tmp_path), weights="random"))
    assert [missing.hub for missing in exact.missing] == ["kuznetsoffandrey/sberquad"]


@pytest.mark.parametrize("name", [*STUDIES, *RECURRENT, *SCRATCH])
def test_every_claim_of_a_study_can_be_judged_by_rows_that_are_there(name, registry):
    suite = read(name, registry)
    rows = [dict(cell.row) for cell in suite.cells]
    assert suite.claims
    for claim in suite.claims:
        for side in (claim["row"], claim["than"]):
            assert side in rows or any(row["row"] == side for row in suite.published)
    for row in suite.published:
        assert row["row"] in rows or isinstance(row["row"], str)


@pytest.mark.parametrize("name", RECURRENT)
def test_the_studies_of_recurrent_students_have_the_published_rows_and_a_transfer_set_of_their_own(name, registry):
    suite = read(name, registry)
    figures = {row["row"]["model"]: row["macro_f1_all"] for row in suite.published}
    scores = {
        "runne-recurrent": [(52.2, 64.9, 65.6), (55.3, 61.7, 63.6), (55.6, 64.3, 66.1)],
        "rurebus-recurrent": [(41.6, 58.0, 54.4), (43.2, 56.6, 53.9), (42.3, 58.0, 53.5)],
    }
    for family, three in zip(("lstm", "sru", "srupp"), scores[name], strict=True):
        for way, figure in zip(("scratch", "distilled", "two-step"), three, strict=True):
            assert figures[f"{family}-{way}"] == figure
            steps = suite.models[f"{family}-{way}"].train
            assert [step.on is not None for step in steps] == {"scratch": [False], "distilled": [True]}.get(
                way, [True, False]
            )
            assert [step.loop.select for step in steps if step.on is None] == ["best"] * (way != "distilled")
    (raw,) = suite.data.values()
    assert raw.source != suite.task.source
    assert raw.allow_overlap == ()


def test_the_study_of_critical_entities_names_rows_that_are_there_and_agrees_with_its_tables(registry):
    suite = read("conll2003-critical", registry)
    rows = [dict(row) for row in dict.fromkeys(cell.row for cell in suite.cells)]

    def found(side: dict) -> list[dict]:
        return [row for row in rows if {**dict.fromkeys(row), "compress": "none", **side} == row]

    for claim in suite.claims:
        assert len(found(claim["row"])) == len(found(claim["than"])) == 1, claim["text"]
    assert all(len(found(row["row"])) == 1 for row in suite.published)
    sweep = [row for row in suite.published if row["row"]["model"] == "constrained"]
    assert [row["row"]["beta"] for row in sweep] == [0.0, 0.1, 0.2, 0.5]
    for row in sweep:
        f1 = 2 * row["precision"] * row["recall"] / (row["precision"] + row["recall"])
        assert row["f1"] == pytest.approx(f1, abs=0.011)
        assert row["coverage"] == row["recall_critical"]
    betas = {(dict(cell.row)["form"], dict(cell.row)["beta"]) for cell in suite.cells}
    assert {(form, beta) for form in ("logits", "weights") for beta in (0.0, 0.1, 0.2, 0.5)} <= betas


def test_the_same_study_is_about_other_data_and_types_by_changing_the_task_alone(registry, tmp_path):
    source = "bundled:harness_ner/data/sample"
    changed = ["task.use=ner", f"task.source={source}", 'task.critical=["LOC"]', "suite.name=mine"]
    suites = Path(__file__).parents[1] / "suites"
    suite = load_suite(suites / "conll2003-critical.toml", registry, changed)
    plan = make_plan(suite, context(registry, tmp_path))
    assert not [missing for missing in plan.missing if "conll" in str(missing)]
    assert suite.task.params.critical == ["LOC"]
    assert len(plan.cells) == len(read("conll2003-critical", registry).cells)


def test_the_eight_rows_of_table_1_come_first_and_agree_with_themselves(registry):
    suite = read("sberquad", registry)
    assert [row["row"] for row in suite.published] == [dict(cell.row) for cell in suite.cells[:8]]
    for row in suite.published:
        assert row["minutes"] * row["requests_per_minute"] == pytest.approx(row["examples"], rel=0.001)
    rates = [row["requests_per_minute"] for row in suite.published]
    assert rates[-1] / rates[0] == pytest.approx(4.6, abs=0.05)  # and not by the 404.46 of the abstract
    sizes = [row["size_mib"] for row in suite.published]
    assert sizes[0] / sizes[-1] == pytest.approx(13, abs=0.1)
    assert "404.46" in suite.published[-1]["note"]


def test_the_students_of_the_distillation_study_are_compared_at_equal_budget_too(registry):
    suite = read("sberquad-distillation", registry)
    steps = {name: model.train[0] for name, model in suite.models.items()}
    budgets = {(steps[name].distil, steps[name].loop.epochs) for name in steps if name.startswith("distilbert-")}
    assert {("finetune", 2), ("finetune", 3), ("kd", 2), ("kd", 3)} <= budgets
    assert len(steps["distilbert-ensemble"].teacher) == 3
    outsiders = [row["row"] for row in suite.published if isinstance(row["row"], str)]
    assert len(outsiders) == 6
    assert {row["parameters_millions"] for row in suite.published} >= {178, 427, 355, 222, 737, 356, 760, 390, 973, 54}


def test_a_task_without_a_sample_cannot_be_rehearsed(registry, tmp_path):
    import dataclasses

    suite = load_suite(SUITES[0], registry)
    spec = dataclasses.replace(registry.task(suite.task.use), sample_source=None)
    entry = dataclasses.replace(registry.entry("task", suite.task.use), spec=spec)
    bare = dataclasses.replace(registry, components={**registry.components, "task": (entry,)})
    with pytest.raises(SuiteError, match="has no bundled sample"):
        rehearsal(suite, bare)
