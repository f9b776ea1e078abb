"""What several teachers score as one, where the report asks for it. No other stage's key knows of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.keys import Ref, Stage
from harness.plan import CellPlan, task_json
from harness.suite.bind import bind
from harness.suite.types import Cell, StepConfig, Suite, TaskConfig, recoveries

if TYPE_CHECKING:
    from harness.planner import Planner


def with_ensemble(planner: Planner, planned: CellPlan) -> CellPlan:
    """A cell that learned from several teachers, with the score of what these say as one about the test data.

    They are those that taught it: of the first seed, and weighed as they were.
    """
    step = step_of_several(planner.suite, planned.cell)
    if step is None or planned.score is None:
        return planned
    task, _ = bind(planner.suite, planned.cell)
    shared = ("ensemble", id(task), step.teacher, step.loop.ensemble)
    return replace(planned, ensemble=planner.once(shared, lambda: _scored(planner, task, step).key))


def _scored(planner: Planner, task: TaskConfig, step: StepConfig) -> Stage:
    test, by = Ref(planner.prepare(task).key, "test"), step.loop.ensemble
    taught = [(f"{name} none seed {planner.first_seed}", planner.teacher(task, name).ref) for name in step.teacher]
    said = [planner.predict(task, ref, (), test, label).key for label, ref in taught]
    stage = planner.add(
        Stage(
            kind="ensemble",
            component="core",
            version=1,
            params={} if by == "mean" else {"by": by},
            inputs={**{f"teacher.{number}": Ref(key) for number, key in enumerate(said)}, "data": test},
            options={"task": task_json(task)},
            label=f"predict {' + '.join(step.teacher)}{'' if by == 'mean' else f' by {by}'} on {test.output}",
        )
    )
    return planner.score(task, stage, test)


def step_of_several(suite: Suite, cell: Cell) -> StepConfig | None:
    """The last training of a cell that has several teachers, those inside its chain included."""
    _, model = bind(suite, cell)
    steps = (*model.train, *recoveries(suite.chains[str(cell["compress"])]))
    return next((step for step in reversed(steps) if len(step.teacher) > 1), None)
