"""A cell's own task and model: the suite's, with the values of the cell's bound axes written into their params."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from pydantic import ValidationError

from harness.errors import PluginError, SuiteError
from harness.specs import Params
from harness.suite.problems import describe, validated, words
from harness.suite.schema import TaskTable
from harness.suite.types import AxisValue, Cell, ModelConfig, StepConfig, Suite, TaskConfig

P = TypeVar("P", bound=Params)
Pairs = tuple[tuple[str, AxisValue], ...]  # target and value


class BindingError(SuiteError):
    """Values of bound axes that params refuse. `faults`: (target, or None where no single one is to blame, message)."""

    def __init__(self, who: str, faults: list[tuple[str | None, str]]) -> None:
        self.who, self.faults = who, tuple(faults)
        super().__init__([f"{who}: {target or 'params'}: {message}" for target, message in faults])


def bind(suite: Suite, cell: Cell) -> tuple[TaskConfig, ModelConfig]:
    """The cell's task and model. Equal bindings give the same objects. BindingError where params refuse a value."""
    pairs = [(suite.sets[axis], value) for axis, value in cell.axes if axis in suite.sets and value is not None]
    of_task = tuple(pair for pair in pairs if pair[0].startswith("task."))
    of_model = tuple(pair for pair in pairs if not pair[0].startswith("task."))
    return _task(suite, of_task), _model(suite, str(cell["model"]), of_model)


def has_target(model: ModelConfig, target: str) -> bool:
    """Whether the model has what a target such as `train.beta` names; every model has `task.…`."""
    scope, *step, name = target.split(".")
    if scope == "model":
        return name in words(type(model.params))
    steps = [part for part in model.train if not step or part.name == step[0]]
    return scope == "task" or any(name in settable(part) for part in steps)


def settable(step: StepConfig) -> frozenset[str]:
    """Parameters of a step that an axis can set: how teachers become one is none where there is one, or no teacher."""
    alone = {"ensemble"} if len(step.teacher) < 2 else set()
    return frozenset({*words(type(step.params)), *words(type(step.loop))} - alone)


def _task(suite: Suite, pairs: Pairs) -> TaskConfig:
    key = ("task", repr(pairs))  # repr: 1, 1.0 and true are equal, yet not the same
    if pairs and key not in suite.bindings:
        task = suite.task
        own = tuple(pair for pair in pairs if pair[0] in ("task.max_length", "task.doc_stride"))
        written = TaskTable(use=task.use, max_length=task.max_length, doc_stride=task.doc_stride)
        table = _changed("the task", written, own)
        params = _changed("the task", task.params, tuple(pair for pair in pairs if pair not in own))
        suite.bindings[key] = replace(task, params=params, max_length=table.max_length, doc_stride=table.doc_stride)
    bound: TaskConfig = suite.bindings[key] if pairs else suite.task
    return bound


def _model(suite: Suite, name: str, pairs: Pairs) -> ModelConfig:
    key = ("model", name, repr(pairs))
    if pairs and key not in suite.bindings:
        model, who = suite.models[name], f"model '{name}'"
        params = _changed(who, model.params, tuple(pair for pair in pairs if pair[0].startswith("model.")))
        suite.bindings[key] = replace(model, params=params, train=tuple(_step(who, s, pairs) for s in model.train))
    bound: ModelConfig = suite.bindings[key] if pairs else suite.models[name]
    return bound


def _step(who: str, step: StepConfig, pairs: Pairs) -> StepConfig:
    scopes = ("train", f"train.{step.name}")
    known = settable(step)
    mine = [pair for pair in pairs if pair[0].rpartition(".")[0] in scopes and _word(pair) in known]
    params = tuple(pair for pair in mine if _word(pair) in words(type(step.params)))
    loop = tuple(pair for pair in mine if _word(pair) in words(type(step.loop)))
    return replace(step, params=_changed(who, step.params, params), loop=_changed(who, step.loop, loop))


def _word(pair: tuple[str, AxisValue]) -> str:
    return pair[0].rpartition(".")[2]


def _changed(who: str, params: P, pairs: Pairs) -> P:
    """`params` with the last word of each target set to its value, and checked again as a whole."""
    if not pairs:
        return params
    targets = {_word(pair): pair[0] for pair in pairs}
    written = params.model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw = written | {_word(pair): pair[1] for pair in pairs}
    try:
        return validated(type(params), raw)
    except PluginError as error:
        raise BindingError(who, [(None, str(error))]) from error
    except ValidationError as error:
        found = describe(error, type(params), raw)
        faults = [(targets.get(str(fault.loc[0])) if fault.loc else None, fault.message) for fault in found]
        raise BindingError(who, faults) from error
