"""Every suite that ships: valid, plannable, rehearsable."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assets import Places
from harness.errors import SuiteError
from harness.plan import Context
from harness.planner import make_plan
from harness.plugins import load_registry
from harness.rehearse import rehearsal
from harness.suite import load_suite

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


def test_a_task_without_a_sample_cannot_be_rehearsed(registry, tmp_path):
    import dataclasses

    suite = load_suite(SUITES[0], registry)
    spec = dataclasses.replace(registry.task(suite.task.use), sample_source=None)
    entry = dataclasses.replace(registry.entry("task", suite.task.use), spec=spec)
    bare = dataclasses.replace(registry, components={**registry.components, "task": (entry,)})
    with pytest.raises(SuiteError, match="has no bundled sample"):
        rehearsal(suite, bare)
