"""What the plan and the store know about one cell: its artifact, how good, small and fast it is, how it was made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.artifacts import Artifact, read_artifact
from harness.assets import Asset, find_model
from harness.errors import HarnessError, NothingSelected, SuiteError
from harness.plan import CellPlan, Context, Plan
from harness.plugins import Registry
from harness.records import Records, RunFacts, make_records
from harness.reports import quality, summarise
from harness.reports.model import Report, Row, Score
from harness.reports.rows import label, row_axes
from harness.runner import Outcome
from harness.specs import StudentSpec, TaskSpec
from harness.store import Store
from harness.suite import Cell, Suite, bind
from harness.suite.types import ModelConfig, TaskConfig, compressors

Json = Any
_HUB = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """A suite that was opened for exporting. `command`: how to run it."""

    suite: Suite
    registry: Registry
    context: Context
    mode: str  # "real" or "rehearsal"
    command: str
    machine: Mapping[str, Json]
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One training step, as somebody else could repeat it."""

    distil: str
    teachers: tuple[str, ...]
    params: Mapping[str, Json]  # the distiller's
    loop: Mapping[str, Json]
    transfer: bool  # on unlabelled texts of another source
    facts: Mapping[str, Json]  # epochs, steps, best_epoch, …


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that a card says, before it is written."""

    folder: Path  # the artifact in the store
    key: str  # of the stage that made it
    artifact: Artifact
    suite: str
    mode: str
    cell: Cell
    seed: int
    row: Row  # over all seeds
    anchor: Row | None
    own: Mapping[str, Score]  # of this very artifact, by metric
    report: Report
    record: Json  # the cell's own document
    task: TaskConfig
    task_spec: TaskSpec
    model: ModelConfig
    student: StudentSpec
    steps: tuple[Step, ...]
    base_model: str | None  # on the hub
    dataset: str | None  # on the hub
    batch_dependent: bool
    isa_dependent: bool
    reads_text: bool  # was the vocabulary learned from training texts?
    distributions: tuple[str, ...]  # "harness 0.1.0", …: whose code reads it


def gather(sources: Sources, cells: Sequence[Cell], store: Store) -> Material:
    """The first seed of the one row that is selected. SuiteError for several rows, NothingSelected without artifact."""
    cell = _one_row(cells)
    planned, plan = _planned(sources, cells, store)
    folder = store.path(planned.artifact)  # type: ignore[arg-type]
    problem = store.verify(planned.artifact.key)  # type: ignore[union-attr]
    if problem:
        msg = f"{planned.cell.id}: the stored artifact is damaged ({problem}); to make it again: {sources.command}"
        raise HarnessError(msg)
    records = _records(sources, plan, store, planned.cell)
    report = summarise(records, sources.registry)
    task, model = bind(sources.suite, planned.cell)
    return _material(sources, planned, folder, records, report, task, model, label(row_axes(dict(cell.row))))


def _one_row(cells: Sequence[Cell]) -> Cell:
    rows = list(dict.fromkeys(cell.row for cell in cells))
    if len(rows) > 1:
        named = "; ".join(Cell(axes=row).id for row in rows[:4])
        msg = f"CELL selects {len(rows)} rows, and one is exported at a time. Name all axes, such as one of: {named}"
        raise SuiteError(msg)
    return cells[0]


def _planned(sources: Sources, cells: Sequence[Cell], store: Store) -> tuple[CellPlan, Plan]:
    """The first selected cell whose artifact is there, in a plan of the whole suite: rows are measured in groups."""
    from harness.planner import make_plan

    plan = make_plan(sources.suite, sources.context, sources.suite.cells)
    wanted = {cell.id for cell in cells}
    found = [p for p in plan.cells if p.cell.id in wanted and p.artifact and store.entry(p.artifact.key)]
    if not found:
        first = cells[0].id
        skipped = next((p.skipped for p in plan.cells if p.cell.id == first), None)
        how = f"Its cell is skipped: {skipped}" if skipped else f"To make it: {sources.command} --only {first}"
        msg = f"{first}: no artifact of it in the store {store.root}. {how}"
        raise NothingSelected(msg)
    if found[0].measure and not store.entry(found[0].measure):
        plan = plan.merged(_without_what_is_missing(sources, plan, store))
    return next(p for p in plan.cells if p.cell == found[0].cell), plan


def _without_what_is_missing(sources: Sources, plan: Plan, store: Store) -> Plan:
    """As a run plans measurements when some rows have failed: among those that are there."""
    from harness.planner import make_plan

    missing = frozenset(k for k, stage in plan.stages.items() if stage.kind != "measure" and not store.entry(k))
    sound = [p.cell for p in plan.cells if not p.skipped and not missing & set(p.work)]
    return make_plan(sources.suite, sources.context, tuple(sound), missing)


def _records(sources: Sources, plan: Plan, store: Store, cell: Cell) -> Records:
    """A record of the row, the anchor and what rows are held against, made from the store as a run makes it."""
    references = {retention.of for retention in sources.suite.measure.retention}
    kept = [
        p
        for p in plan.cells
        if p.cell.row == cell.row
        or all(dict(p.cell.axes).get(name) == value for name, value in sources.suite.anchor.items())
        or (p.cell["model"] in references and p.cell["compress"] == "none")
    ]
    there = {key: Outcome(status="cached") for key in plan.stages if store.entry(key)}
    absent = Outcome(status="not run", reason="it is not in the store")
    outcomes = {key: there.get(key, absent) for key in plan.stages}
    facts = RunFacts(
        mode=sources.mode,
        started="",
        seconds=0.0,
        command=sources.command,
        machine=dict(sources.machine),
        versions=dict(sources.versions),
    )
    return make_records(replace(plan, cells=tuple(kept)), store, outcomes, sources.registry, facts)


def _material(
    sources: Sources,
    planned: CellPlan,
    folder: Path,
    records: Records,
    report: Report,
    task: TaskConfig,
    model: ModelConfig,
    name: str,
) -> Material:
    record = next(cell for cell in records.cells if cell["cell"] == planned.cell.id)
    artifact = read_artifact(folder)
    registry = sources.registry
    student = registry.student(artifact.student)
    chain = compressors(sources.suite.chains[str(planned.cell["compress"])])
    specs = [registry.compressor(step.use) for step in chain]
    scored = quality.make_scorer(records, registry).row([record])
    return Material(
        folder=folder,
        key=planned.artifact.key if planned.artifact else "",
        artifact=artifact,
        suite=sources.suite.name,
        mode=sources.mode,
        cell=planned.cell,
        seed=int(planned.cell["seed"] or 0),
        row=next(row for row in report.rows if row.label == name),
        anchor=report.anchor,
        own=quality.scores(scored, scored, report.metrics),
        report=report,
        record=record,
        task=task,
        task_spec=registry.task(task.use),
        model=model,
        student=student,
        steps=_steps(model, record),
        base_model=_base_model(sources, model),
        dataset=_dataset(sources, task),
        batch_dependent=student.batch_dependent or any(spec.batch_dependent for spec in specs),
        isa_dependent=student.isa_dependent or any(spec.isa_dependent for spec in specs),
        reads_text=student.reads_text(model.params)
        or any(spec.reads_text(step.params) for spec, step in zip(specs, chain, strict=True)),
        distributions=_distributions(registry, artifact, task),
    )


def _steps(model: ModelConfig, record: Json) -> tuple[Step, ...]:
    facts = [*record["train"], *({} for _ in model.train)]
    return tuple(
        Step(
            distil=step.distil,
            teachers=step.teacher,
            params=step.params.model_dump(mode="json", exclude_none=True),
            loop=step.loop.model_dump(mode="json"),
            transfer=step.on is not None,
            facts=facts[number],
        )
        for number, step in enumerate(model.train)
    )


def _base_model(sources: Sources, model: ModelConfig) -> str | None:
    """The hub's id of the checkpoint that the weights come from, by way of the model whose layers were taken, too."""
    if "layers_of" in model.init:
        return _base_model(sources, sources.suite.models[str(model.init["layers_of"])])
    name = getattr(model.params, "checkpoint", None)
    if name is None or not _HUB.fullmatch(name):
        return None
    found = find_model(name, sources.context.places)
    local = isinstance(found, Asset) and found.origin == name  # a folder of that name beside the suite
    return None if local else str(name)


def _dataset(sources: Sources, task: TaskConfig) -> str | None:
    """The hub's id of the data set, wherever its files were read from."""
    source = task.source or sources.registry.task(task.use).default_source or ""
    kind, _, rest = source.partition(":")
    return rest.partition("@")[0] if kind == "hub" else None


def _distributions(registry: Registry, artifact: Artifact, task: TaskConfig) -> tuple[str, ...]:
    """The packages whose code an answer needs: the harness, the student's, the runtime's and the task's."""
    runtime = registry.runtime_for(artifact.format).name
    used = (("student", artifact.student), ("runtime", runtime), ("task", task.use))
    providers = [str(registry.entry(kind, name).provider) for kind, name in used]
    return tuple(dict.fromkeys(["harness " + _version(), *providers]))


def _version() -> str:
    import harness

    return harness.__version__
