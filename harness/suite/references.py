"""What one part of a suite says about another: teachers, formats, the anchor, retention."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast

from harness.errors import choices
from harness.limits import Limits
from harness.specs import CompressorSpec, StudentSpec, TaskSpec
from harness.suite.components import RECOVER, TRAINED, Reader, fit, misfit
from harness.suite.locate import Loc
from harness.suite.matrix import no_value, same
from harness.suite.problems import Problems, not_among, typed
from harness.suite.schema import EnergyTable, LimitsTable, MeasureTable, RetentionTable, SelectTable, SpeedTable
from harness.suite.types import (
    AxisValue,
    Cell,
    ChainStep,
    EnergyConfig,
    FixedConfig,
    MeasureConfig,
    ModelConfig,
    Retention,
    Select,
    SpeedConfig,
    StepConfig,
    Suite,
)

Row = tuple[tuple[str, AxisValue], ...]


def check_cycles(problems: Problems, models: Mapping[str, ModelConfig]) -> None:
    """A model cannot need itself, be it as a teacher or for its first weights."""
    needs = {name: [*_needed(model)] for name, model in models.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        names = list(reversed(error.args[1]))[:-1]
        first = min(range(len(names)), key=lambda index: list(models).index(names[index]))
        ring = [*names[first:], *names[: first + 1]]
        told = " needs ".join(f"'{name}'" for name in ring)
        problems.at_key(("models", ring[0]), f"{told}, as teacher or for its first weights: that has no beginning")


def check_formats(reader: Reader, suite: Suite) -> None:
    """Note every chain of the cells whose first link cannot read what a model's student builds, or train it."""
    students: dict[str, dict[str, StudentSpec]] = {}
    for chain, model in dict.fromkeys((str(cell["compress"]), str(cell["model"])) for cell in suite.cells):
        if suite.chains[chain]:
            student = cast("StudentSpec", reader.registry.get("student", suite.models[model].use))
            students.setdefault(chain, {})[model] = student
    for chain, arriving in students.items():
        use, consumes = _first(reader, suite.chains[chain][0])
        wrong = {model: spec.format for model, spec in arriving.items() if spec.format not in consumes}
        for model, arrives in wrong.items():
            advice = fit(reader.registry, consumes, arrives, "leave the chain out, or name other models")
            if len(wrong) < len(arriving):
                advice = _exclude(model, chain)
            reader.problems.at_value(("chains", chain, 0), misfit(use, consumes, arrives, advice))
        _check_trainable(reader, suite, chain, {m: spec for m, spec in arriving.items() if m not in wrong})


def _check_trainable(reader: Reader, suite: Suite, chain: str, students: Mapping[str, StudentSpec]) -> None:
    """Note training inside a chain of models that are used as they are."""
    links = [index for index, link in enumerate(suite.chains[chain]) if isinstance(link, StepConfig)]
    for model, student in students.items():
        if links and not student.trainable:
            message = f"'{student.name}' cannot be trained, it is used as it is: {_exclude(model, chain)}"
            reader.problems.at_key(("chains", chain, links[0], RECOVER), message)


def _exclude(model: str, chain: str) -> str:
    return f'exclude {{ model = "{model}", compress = "{chain}" }}'


def _first(reader: Reader, link: ChainStep | StepConfig) -> tuple[str, Collection[str]]:
    """What a chain begins with, and what it consumes."""
    if isinstance(link, StepConfig):
        return RECOVER, (TRAINED,)
    return link.use, cast("CompressorSpec", reader.registry.get("compressor", link.use)).consumes


def find_anchor(reader: Reader, cells: Sequence[Cell], wanted: Mapping[str, AxisValue]) -> dict[str, AxisValue]:
    """Every axis of the one row that the suite's anchor names, else of the first row; uncompressed where it can be."""
    rows = list(dict.fromkeys(cell.row for cell in cells))
    axes = [axis for axis, _ in rows[0]] if rows else []
    strangers = [axis for axis in wanted if axis not in axes]
    for axis in strangers:
        what = "an axis of a row: it is aggregated" if axis == "seed" else "an axis of this matrix"
        reader.problems.at_key(("suite", "anchor", axis), not_among(axis, what, axes))
    if strangers or not rows:
        return {}
    found = [row for row in rows if _matches(row, wanted)] if wanted else rows[:1]
    if len(found) > 1:
        found = [row for row in found if _matches(row, {"compress": "none", **wanted})] or found
    if len(found) != 1:
        _no_anchor(reader, rows, found, wanted)
        return {}
    return dict(found[0])


def read_measure(reader: Reader, task: TaskSpec | None) -> MeasureConfig:
    """`[measure]`, with defaults for what is missing."""
    raw = reader.document.get("measure", {})
    table = reader.problems.check(MeasureTable, raw, ("measure",))
    speed = _speed(reader, raw.get("speed", True) if isinstance(raw, dict) else True)
    if table is None:
        return MeasureConfig(speed=speed)
    retention = _retentions(reader, table.retention, task)
    energy = _energy(reader, table.energy, speed)
    return MeasureConfig(speed=speed, energy=energy, retention=retention, confidence=table.confidence)


def read_limits(reader: Reader) -> Limits:
    """`[limits]`, flat: `train.minutes`."""
    table = reader.problems.check(LimitsTable, reader.document.get("limits", {}), ("limits",))
    found = table.model_dump(exclude_none=True) if table else {}
    own = {name: value for name, value in found.items() if not isinstance(value, dict)}
    kinds = {kind: value for kind, value in found.items() if isinstance(value, dict)}
    return Limits({**own, **{f"{kind}.{name}": n for kind, value in kinds.items() for name, n in value.items()}})


def read_select(reader: Reader, task: TaskSpec | None, axes: Mapping[str, Sequence[AxisValue]] | None) -> Select | None:
    """`[select]`: an axis of the suite's own, with several values, and a metric of the task."""
    if "select" not in reader.document:
        return None
    table = reader.problems.check(SelectTable, reader.document["select"], ("select",))
    if table is None or task is None or axes is None:
        return None
    metrics, own = [metric.name for metric in task.metrics], [name for name in axes if name not in ("model", "seed")]
    if table.axis not in own:
        reader.problems.at_value(("select", "axis"), not_among(table.axis, "an axis of this suite's matrix", own))
    elif len(axes[table.axis]) < 2:
        message = f"the axis '{table.axis}' has one value: there is nothing to choose"
        reader.problems.at_value(("select", "axis"), message)
    if table.metric is not None and table.metric not in metrics:
        message = not_among(table.metric, f"a metric of task '{task.name}'", metrics)
        reader.problems.at_value(("select", "metric"), message)
    return Select(axis=table.axis, metric=table.metric or metrics[0])


def check_retention(reader: Reader, suite: Suite) -> None:
    """The model that rows are compared with must be in the matrix, uncompressed."""
    measure = reader.document.get("measure")
    for loc, table in _tables(measure.get("retention") if isinstance(measure, dict) else None):
        of = table.get("of") if isinstance(table, dict) else None
        known = isinstance(of, str) and of in suite.models and suite.cells
        if known and not any(_matches(cell.row, {"model": of, "compress": "none"}) for cell in suite.cells):
            message = f"'{of}' has no uncompressed row in the matrix: add compress = \"none\" for it"
            reader.problems.at_value((*loc, "of"), message)


def _needed(model: ModelConfig) -> list[str]:
    first = [other for key, other in model.init.items() if key != "keep"]
    return [*first, *(teacher for step in model.train for teacher in step.teacher)]


def _matches(row: Row, wanted: Mapping[str, AxisValue]) -> bool:
    values = dict(row)
    return all(same(values[axis], value) for axis, value in wanted.items())


def _no_anchor(reader: Reader, rows: Sequence[Row], found: Sequence[Row], wanted: Mapping[str, AxisValue]) -> None:
    loc: Loc = ("suite", "anchor")
    values = {axis: dict.fromkeys(dict(row)[axis] for row in rows) for axis in wanted}
    lost = [axis for axis, value in wanted.items() if not any(same(value, other) for other in values[axis])]
    for axis in lost:
        reader.problems.at_value((*loc, axis), f"{typed(wanted[axis])} {no_value(axis, wanted[axis], values[axis])}")
    if found:
        open_axes = [axis for axis, value in found[0] if any(dict(row)[axis] != value for row in found)]
        reader.problems.at_value(loc, f"picks {len(found)} rows, expected one: name {choices(open_axes)} too")
    elif not lost:
        reader.problems.at_value(loc, "picks no row: the matrix has each of these values, but not together")


def _speed(reader: Reader, raw: Any) -> SpeedConfig | None:
    """`true` or nothing: as usual; `false`: not at all."""
    if isinstance(raw, bool):
        return SpeedConfig() if raw else None
    if not isinstance(raw, dict):
        reader.problems.at_value(("measure", "speed"), f"expected a table or false, got {typed(raw)}")
        return None
    table = reader.problems.check(SpeedTable, raw, ("measure", "speed"))
    if table is None:
        return None
    if table.fixed and "fixed" not in table.workloads:
        message = "is about the workload 'fixed', which is not asked for: add it to workloads"
        reader.problems.at_key(("measure", "speed", "fixed"), message)
    fixed = FixedConfig(**(table.fixed.model_dump() if table.fixed else {}))
    return SpeedConfig(**table.model_dump(exclude_unset=True, exclude={"fixed"}), fixed=fixed)


def _energy(reader: Reader, raw: Any, speed: SpeedConfig | None) -> EnergyConfig | None:
    """`true`: as usual; `false` or nothing: not at all. It is measured beside the speed, never without."""
    loc: Loc = ("measure", "energy")
    if raw is False:
        return None
    if raw is not True and not isinstance(raw, dict):
        reader.problems.at_value(loc, f"expected a table, true or false, got {typed(raw)}")
        return None
    if speed is None:
        reader.problems.at_value(loc, "is measured after the speed: remove speed = false")
    table = reader.problems.check(EnergyTable, {} if raw is True else raw, loc)
    return EnergyConfig(**table.model_dump()) if table else None


def _retentions(reader: Reader, raw: Any, task: TaskSpec | None) -> tuple[Retention, ...]:
    """One table, or several: each about another metric or another model."""
    if not isinstance(raw, dict | list | tuple):
        message = f"expected a table or a list of tables, got {typed(raw)}"
        reader.problems.at_value(("measure", "retention"), message)
    found: dict[tuple[str, str], Retention] = {}
    for loc, table in _tables(raw):
        checked = reader.problems.check(RetentionTable, table, loc)
        kept = _retention(reader, checked, task, loc) if checked else None
        if kept and (kept.of, kept.metric) in found:
            message = f"is the second about {kept.metric} of '{kept.of}': write one at_least for both"
            reader.problems.at_key(loc, message)
        elif kept:
            found[kept.of, kept.metric] = kept
    return tuple(found.values())


def _tables(raw: Any) -> list[tuple[Loc, Any]]:
    """What `measure.retention` holds, each with its place."""
    loc: Loc = ("measure", "retention")
    if isinstance(raw, dict):
        return [(loc, raw)]
    return [((*loc, index), table) for index, table in enumerate(raw)] if isinstance(raw, list | tuple) else []


def _retention(reader: Reader, table: RetentionTable, task: TaskSpec | None, loc: Loc) -> Retention:
    metrics = [metric.name for metric in task.metrics] if task else []
    if table.of not in reader.models:
        reader.problems.at_value((*loc, "of"), not_among(table.of, "a model of this suite", reader.models))
    if task and table.metric is not None and table.metric not in metrics:
        message = not_among(table.metric, f"a metric of task '{task.name}'", metrics)
        reader.problems.at_value((*loc, "metric"), message)
    return Retention(of=table.of, metric=table.metric or next(iter(metrics), ""), at_least=table.at_least)
