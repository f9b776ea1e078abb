"""`[matrix]` to cells: axes and their targets checked, cells expanded, every bound value tried on its params."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import did_you_mean
from harness.suite.bind import BindingError, bind, has_target, settable
from harness.suite.components import Reader, split
from harness.suite.locate import Loc
from harness.suite.matrix import Axes, Entry, Exclusion, expand, same
from harness.suite.problems import not_among, typed, words
from harness.suite.schema import MatrixTable, check_name
from harness.suite.types import AxisValue, Cell, ModelConfig, Suite, TaskConfig, axis_text

_TARGET = re.compile(r"train(\.[\w-]+)?\.\w+|(task|model)\.\w+")
_FORMS = "train.PARAMETER, train.STEP.PARAMETER, task.PARAMETER or model.PARAMETER"


@dataclass(frozen=True)
class Matrix:
    """`[matrix]` as written, with its defaults."""

    axes: Axes  # model, compress, the suite's own, seed
    sets: Mapping[str, str]
    exclude: Sequence[Exclusion]
    include: Sequence[Entry]


def read_matrix(reader: Reader, chains: Iterable[str]) -> Matrix | None:
    """The matrix, or None after noting what is wrong: all models, uncompressed, seed 42, unless it says otherwise."""
    before = len(reader.problems.found)
    own, rest = split(reader.document.get("matrix", {}), words(MatrixTable))
    known = _known_axes(reader, own, rest)
    table = reader.problems.check(MatrixTable, own | known if isinstance(own, dict) else own, ("matrix",))
    if table is None:
        return None
    _check_names(reader, table.model or (), reader.models, ("matrix", "model"), "a model of this suite")
    _check_names(reader, table.compress, chains, ("matrix", "compress"), "a chain of this suite")
    models = table.model or tuple(reader.models)
    axes: Axes = {"model": models, "compress": table.compress, **table.__pydantic_extra__, "seed": table.seed}
    _check_values(reader, axes, table.sets)
    _check_sets(reader, axes, table.sets)
    if len(reader.problems.found) > before:
        return None
    return Matrix(axes, table.sets, table.exclude, table.include)


def check_targets(reader: Reader, matrix: Matrix, task: TaskConfig, models: Mapping[str, ModelConfig]) -> None:
    """Raise with targets that nothing in the matrix has and parameters that two axes would set, if there are any."""
    before = len(reader.problems.found)
    names = {*matrix.axes["model"], *(entry.get("model") for entry in matrix.include)}
    used = [model for name, model in models.items() if name in names]
    earlier: dict[str, str] = {}
    for axis, target in matrix.sets.items():
        if message := _unknown_target(target, task, used):
            reader.problems.at_value(("matrix", "sets", axis), message)
        for other in (name for name, set_already in earlier.items() if _overlap(target, set_already)):
            reader.problems.at_value(("matrix", "sets", axis), f"axis '{other}' sets '{earlier[other]}' already")
        earlier[axis] = target
    if len(reader.problems.found) > before:
        raise reader.problems.error()


def with_cells(reader: Reader, suite: Suite, matrix: Matrix) -> Suite:
    """The suite with its cells; models under an `epoch` axis train as long as their longest cell."""

    def applies(model: str, axis: str) -> bool:
        config = suite.models[model]
        return has_target(config, suite.sets[axis]) if axis in suite.sets else bool(config.train)

    known = {"model": [*suite.models], "compress": [*suite.chains]}
    expansion = expand(matrix.axes, applies, matrix.exclude, matrix.include, known)
    reader.problems.add(expansion.faults)
    if not expansion.cells and not expansion.faults:
        reader.problems.at_key(("matrix",), "has no cells: everything is excluded")
    longest = _longest(suite, expansion.cells)
    models = {name: _trained(model, longest.get(name)) for name, model in suite.models.items()}
    return replace(suite, cells=expansion.cells, models=models)


def try_bindings(reader: Reader, suite: Suite, matrix: Matrix) -> None:
    """Bind every cell once and note which value of which axis its params refuse."""
    longest = _longest(suite, suite.cells)
    for cell in suite.cells:
        try:
            _, model = bind(suite, cell)
        except BindingError as error:
            for target, message in error.faults:
                reader.problems.at_value(*_blame(suite, matrix, cell, error.who, target, message))
        else:
            if model.train and model.train[-1].loop.epochs < longest.get(model.name, 0):
                reader.problems.at_value(*_too_short(reader, suite, matrix, cell, model, longest[model.name]))


def _known_axes(reader: Reader, own: Any, rest: Mapping[str, Any]) -> dict[str, Any]:
    """The suite's own axes among the keys of [matrix]: `epoch`, and those that `sets` binds."""
    sets = own.get("sets") if isinstance(own, dict) else None
    bound = list(sets) if isinstance(sets, dict) else []
    for axis in rest:
        if axis != "epoch" and axis not in bound:
            close = did_you_mean(axis, [*words(MatrixTable), "epoch", *bound])
            advice = ' An axis of your own needs a target, for example [matrix.sets] beta = "train.beta"'
            reader.problems.at_key(("matrix", axis), f"unknown key.{close or advice}")
        reader.problems.attempt(check_name, axis, ("matrix", axis))
    return {axis: values for axis, values in rest.items() if axis == "epoch" or axis in bound}


def _check_names(reader: Reader, names: Sequence[str], known: Iterable[str], loc: Loc, what: str) -> None:
    for index, name in enumerate(names):
        if name not in (known := list(known)):
            reader.problems.at_value((*loc, index), not_among(name, what, known))


def _check_values(reader: Reader, axes: Axes, sets: Mapping[str, str]) -> None:
    for axis, values in axes.items():
        for index, value in enumerate(values):
            loc = ("matrix", axis, index)
            if any(same(value, other) or axis_text(value) == axis_text(other) for other in values[:index]):
                reader.problems.at_value(loc, f"{typed(value)} is listed twice")
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if axis == "epoch" and axis not in sets and not whole:
                reader.problems.at_value(loc, f"expected an integer from 1, got {typed(value)}")


def _check_sets(reader: Reader, axes: Axes, sets: Mapping[str, str]) -> None:
    own = [axis for axis in axes if axis not in ("model", "compress", "seed")]
    for axis, target in sets.items():
        if axis not in own:
            reader.problems.at_key(("matrix", "sets", axis), not_among(axis, "an axis that can be bound", own))
        if not _TARGET.fullmatch(target):
            chained = ". For a compressor's, write a chain for each value" if target.startswith("chains.") else ""
            reader.problems.at_value(("matrix", "sets", axis), f"'{target}' is not a target. Write {_FORMS}{chained}")


def _unknown_target(target: str, task: TaskConfig, models: Sequence[ModelConfig]) -> str:
    """What is wrong with a target of the right form, or nothing."""
    scope, *named, name = target.split(".")
    steps = [step for model in models for step in model.train]
    if named and named[0] not in {step.name for step in steps}:
        return not_among(named[0], "a step of a model of this matrix", {step.name for step in steps})
    steps = [step for step in steps if not named or step.name == named[0]]
    known = {
        "task": {"doc_stride", "max_length", *words(type(task.params))},
        "model": {word for model in models for word in words(type(model.params))},
        "train": {word for step in steps for word in settable(step)},
    }[scope]
    whose = {"task": "the task", "model": "a model of this matrix", "train": "the training of a model of this matrix"}
    return "" if name in known else not_among(name, f"a parameter of {whose[scope]}", known)


def _overlap(one: str, other: str) -> bool:
    (scope, *step, name), (scope2, *step2, name2) = one.split("."), other.split(".")
    return (scope, name) == (scope2, name2) and (not step or not step2 or step == step2)


def _longest(suite: Suite, cells: Sequence[Cell]) -> dict[str, int]:
    """The largest epoch of each model's cells, where `epoch` picks an output of training."""
    longest: dict[str, int] = {}
    if "epoch" in suite.axes and "epoch" not in suite.sets:
        for cell in cells:
            name, epoch = str(cell["model"]), cell["epoch"]
            if isinstance(epoch, int):
                longest[name] = max(epoch, longest.get(name, 0))
    return longest


def _trained(model: ModelConfig, epochs: int | None) -> ModelConfig:
    """The model with so many epochs in its last step, unless the suite says how many."""
    if epochs is None or "epochs" in model.train[-1].loop.model_fields_set:
        return model
    last = replace(model.train[-1], loop=model.train[-1].loop.model_copy(update={"epochs": epochs}))
    return replace(model, train=(*model.train[:-1], last))


def _blame(suite: Suite, matrix: Matrix, cell: Cell, who: str, target: str | None, message: str) -> tuple[Loc, str]:
    """Where the value that a binding refused is written, and the message."""
    for axis, bound in suite.sets.items():
        if bound == target:
            return _value_loc(matrix, axis, cell[axis]), f"{target} of {who}: {message}"
    values = ", ".join(f"{axis} = {axis_text(value)}" for axis, value in cell.axes if axis in suite.sets)
    return ("matrix", "sets"), f"{who} with {values}: {message}"


def _too_short(
    reader: Reader, suite: Suite, matrix: Matrix, cell: Cell, model: ModelConfig, longest: int
) -> tuple[Loc, str]:
    epochs = model.train[-1].loop.epochs
    message = f"{epochs} is fewer than the largest epoch of '{model.name}' in the matrix, {longest}"
    for axis, target in suite.sets.items():
        if target in ("train.epochs", f"train.{model.train[-1].name}.epochs") and cell[axis] is not None:
            return _value_loc(matrix, axis, cell[axis]), message
    return (*reader.step_loc(model.name, len(model.train) - 1), "epochs"), message


def _value_loc(matrix: Matrix, axis: str, value: AxisValue) -> Loc:
    for index, listed in enumerate(matrix.axes[axis]):
        if same(listed, value):
            return ("matrix", axis, index)
    included = (number for number, entry in enumerate(matrix.include) if same(entry.get(axis), value))
    return ("matrix", "include", next(included), axis)
