"""Which measurements a plan needs: one stage per group of rows that start from the same build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from harness.errors import SuiteError
from harness.keys import Ref, Stage, identity_params
from harness.measuring.energy import find_meter
from harness.plan import CellPlan, task_json
from harness.specs import RuntimeSpec
from harness.suite.bind import bind
from harness.suite.types import Cell, EnergyConfig, SpeedConfig, axis_text

if TYPE_CHECKING:
    from harness.planner import Planner

Group = Mapping[str, CellPlan]  # chain → the row that stands for it


def add_measurements(
    planner: Planner, cells: Sequence[CellPlan], speed: SpeedConfig, failed: frozenset[str] = frozenset()
) -> tuple[CellPlan, ...]:
    """One stage per group: the anchor, its twin, and every chain of models that share a start.

    Rows that differ only in how their weights were trained have one start, so they share a measurement. Measured are
    artifacts of the first seed, also where other seeds alone are selected. What needs a failed stage is left out.
    """
    anchor = _anchor(planner)
    first = {row: plan for row, plan in _first_of_rows(planner, cells).items() if _possible(plan, failed)}
    if not _possible(anchor, failed):
        return tuple(cells)
    groups: dict[str, dict[str, CellPlan]] = {}
    for plan in first.values():
        groups.setdefault(str(plan.build), {}).setdefault(str(plan.cell["compress"]), plan)
    stages = {build: _stage(planner, anchor, rows, speed) for build, rows in groups.items()}
    return tuple(_measured(plan, first.get(plan.cell.row), groups, stages, anchor) for plan in cells)


def _possible(plan: CellPlan, failed: frozenset[str]) -> bool:
    return plan.artifact is not None and not failed.intersection(plan.work)


def _anchor(planner: Planner) -> CellPlan:
    wanted, seed = planner.suite.anchor.items(), planner.first_seed
    rows = [cell for cell in planner.suite.cells if all(dict(cell.axes).get(name) == value for name, value in wanted)]
    plan = next((planner.artifact(cell) for cell in rows if cell["seed"] == seed), None)
    if plan and plan.artifact:
        return plan
    why = f"its cell of the first seed ({seed}) is excluded" if rows else "no such row"
    if plan:
        why = f"it is skipped: {plan.skipped}"
    named = ", ".join(f"{axis} = {axis_text(value)}" for axis, value in wanted)
    msg = f"{planner.suite.path or 'suite'}: suite.anchor ({named}) cannot be measured: {why}; name another row"
    raise SuiteError(msg)


def _first_of_rows(planner: Planner, cells: Sequence[CellPlan]) -> dict[object, CellPlan]:
    found: dict[object, CellPlan] = {plan.cell.row: plan for plan in cells if plan.cell["seed"] == planner.first_seed}
    for plan in cells:
        if plan.cell.row not in found:
            axes = tuple((name, planner.first_seed if name == "seed" else value) for name, value in plan.cell.axes)
            found[plan.cell.row] = planner.artifact(Cell(axes=axes))
    return found


def _stage(planner: Planner, anchor: CellPlan, rows: Group, speed: SpeedConfig) -> Stage:
    task, _ = bind(planner.suite, anchor.cell)
    _check_length(planner, speed, task.max_length)
    spec = planner.context.registry.task(task.use)
    subjects = {"anchor": anchor, **{f"row.{n}": r for n, r in rows.items() if r.artifact != anchor.artifact}}
    runtimes = {name: _runtime(planner, plan) for name, plan in subjects.items()}
    tasks = {name: bind(planner.suite, plan.cell)[0] for name, plan in subjects.items()}
    reading = {name: identity_params(spec, own.params, spec.scoring) for name, own in tasks.items()}
    others = [name for name in subjects if reading[name] != reading["anchor"]]  # they read the same texts in their way
    energy = planner.suite.measure.energy
    return planner.add(
        Stage(
            kind="measure",
            component="core",
            version=1,
            params={
                **_asked(speed, energy),
                "runtimes": {name: [runtime.name, runtime.version] for name, runtime in runtimes.items()},
                "task": [task.use, spec.version],
                **({"tasks": {name: reading[name] for name in others}} if others else {}),
            },
            seed=0,
            inputs={
                "data": Ref(planner.prepare(task).key, "test"),  # what is scored is timed; timing selects nothing
                **{name: plan.artifact for name, plan in subjects.items() if plan.artifact},
            },
            libraries={
                "tokenizers": planner.context.library_version("tokenizers"),
                **{name: v for runtime in runtimes.values() for name, v in planner.libraries(runtime).items()},
            },
            facets={
                "machine": planner.context.machine["identity"],
                **({"counters": find_meter().names} if energy else {}),  # those that have become readable
            },
            options={"task": task_json(task), "tasks": {name: task_json(tasks[name]) for name in others}},
            label=f"measure {next(iter(rows.values())).cell['model']}",
            exclusive=True,
        )
    )


def _check_length(planner: Planner, speed: SpeedConfig, max_length: int) -> None:
    """Models are built for texts of max_length tokens: nothing longer can be run through them."""
    length = speed.fixed.length
    if "fixed" in speed.workloads and length is not None and length > max_length:
        where = f"{planner.suite.path or 'suite'}: measure.speed.fixed.length"
        msg = f"{where}: {length} is more than models read, task.max_length = {max_length}: lower it, or raise that"
        raise SuiteError(msg)


def _asked(speed: SpeedConfig, energy: EnergyConfig | None) -> dict[str, Any]:
    """What is measured; what is not asked for is left out, so that older keys stay."""
    asked = asdict(speed)
    if "fixed" not in speed.workloads:
        del asked["fixed"]
    if speed.warmup == SpeedConfig.warmup:
        del asked["warmup"]
    return {**asked, **({"energy": asdict(energy)} if energy else {})}


def _runtime(planner: Planner, plan: CellPlan) -> RuntimeSpec:
    return planner.runtime(plan.artifact or Ref(""), planner.suite.chains[str(plan.cell["compress"])])


def _measured(
    plan: CellPlan,
    like: CellPlan | None,
    groups: Mapping[str, Group],
    stages: Mapping[str, Stage],
    anchor: CellPlan,
) -> CellPlan:
    """Point the cell at the subject that stands for its row: the first of its group with the same chain."""
    if plan.artifact is None or like is None:
        return plan
    chain = str(plan.cell["compress"])
    subject = "anchor" if groups[str(like.build)][chain].artifact == anchor.artifact else f"row.{chain}"
    return replace(plan, measure=stages[str(like.build)].key, subject=subject)
