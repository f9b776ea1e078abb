"""Which measurements a plan needs: one stage per group of rows that start from the same build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from harness.errors import SuiteError
from harness.keys import Ref, Stage
from harness.plan import CellPlan, task_params
from harness.suite.bind import bind
from harness.suite.types import Cell, SpeedConfig

if TYPE_CHECKING:
    from harness.planner import Planner

Group = Mapping[str, CellPlan]  # chain → the row that stands for it


def add_measurements(planner: Planner, cells: Sequence[CellPlan], speed: SpeedConfig) -> tuple[CellPlan, ...]:
    """One stage per group: the anchor, its twin, and every chain of models that share a start.

    Rows that differ only in how their weights were trained have one start, so they share a measurement. Measured are
    artifacts of the first seed, also where other seeds alone are selected.
    """
    anchor = _anchor(planner)
    first = _first_of_rows(planner, cells)
    groups: dict[str, dict[str, CellPlan]] = {}
    for plan in first.values():
        if plan.artifact:
            groups.setdefault(str(plan.build), {}).setdefault(str(plan.cell["compress"]), plan)
    stages = {build: _stage(planner, anchor, rows, speed) for build, rows in groups.items()}
    return tuple(_measured(plan, first[plan.cell.row], groups, stages, anchor) for plan in cells)


def _anchor(planner: Planner) -> CellPlan:
    wanted = planner.suite.anchor.items()
    for cell in planner.suite.cells:
        axes = dict(cell.axes)
        if axes["seed"] == planner.first_seed and all(axes.get(name) == value for name, value in wanted):
            plan = planner.cell(cell)
            if plan.artifact:
                return plan
    msg = f"suite.anchor: {dict(wanted)} is not a cell that can run; name another row"
    raise SuiteError(msg)


def _first_of_rows(planner: Planner, cells: Sequence[CellPlan]) -> dict[object, CellPlan]:
    found: dict[object, CellPlan] = {plan.cell.row: plan for plan in cells if plan.cell["seed"] == planner.first_seed}
    for plan in cells:
        if plan.cell.row not in found:
            axes = tuple((name, planner.first_seed if name == "seed" else value) for name, value in plan.cell.axes)
            found[plan.cell.row] = planner.cell(Cell(axes=axes))
    return found


def _stage(planner: Planner, anchor: CellPlan, rows: Group, speed: SpeedConfig) -> Stage:
    task, _ = bind(planner.suite, anchor.cell)
    role = "dev" if "dev" in planner.context.registry.task(task.use).roles else "test"
    subjects = {f"row.{n}": row.artifact for n, row in rows.items() if row.artifact not in (None, anchor.artifact)}
    runtimes = [entry.spec for entry in planner.context.registry.components["runtime"]]
    return planner.add(
        Stage(
            kind="measure",
            component="core",
            version=1,
            params=asdict(speed),
            seed=0,
            inputs={
                "anchor": anchor.artifact or Ref(""),
                "data": Ref(planner.prepare(task).key, role),
                **{name: ref for name, ref in subjects.items() if ref},
            },
            libraries={name: version for spec in runtimes for name, version in planner.libraries(spec).items()},
            facets={"machine": planner.context.machine["identity"]},
            options={"task": {"use": task.use, "params": task_params(task)}},
            label=f"measure {next(iter(rows.values())).cell['model']}",
            exclusive=True,
        )
    )


def _measured(
    plan: CellPlan, like: CellPlan, groups: Mapping[str, Group], stages: Mapping[str, Stage], anchor: CellPlan
) -> CellPlan:
    """Point the cell at the subject that stands for its row: the first of its group with the same chain."""
    if plan.artifact is None or like.artifact is None:
        return plan
    chain = str(plan.cell["compress"])
    subject = "anchor" if groups[str(like.build)][chain].artifact == anchor.artifact else f"row.{chain}"
    return replace(plan, measure=stages[str(like.build)].key, subject=subject)
