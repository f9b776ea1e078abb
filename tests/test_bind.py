"""What a cell's axes change: bound params, and how long a model under an `epoch` axis trains."""

from __future__ import annotations

from typing import Any

import pytest
from suite_helpers import BETA, HEAD, MODELS, LstmParams, ids, problems, suite, wrong

from harness.suite import BindingError, Cell, Suite, bind
from harness.suite.types import AxisValue


def bound(built: Suite, **axes: AxisValue) -> Any:
    (cell,) = [cell for cell in built.cells if all(cell[name] == value for name, value in axes.items())]
    return bind(built, cell)


TWO_STEPS = """\
[models.big]
use = "transformer"
[models.small]
use = "lstm"
train = [
  { step = "distil", distil = "kd", teacher = "big", alpha = 0.9, beta = 3.0 },
  { step = "tune", distil = "kd", teacher = "big" },
]
"""


def test_train_targets_reach_every_step_or_the_named_one() -> None:
    matrix = "[matrix]\nbeta = [0.1, 1]\nepochs = [4]\n[matrix.sets]\nbeta = 'train.beta'\nepochs = 'train.tune.epochs'"
    built = suite(matrix, models=TWO_STEPS)
    first, second = bound(built, model="small", beta=0.1)[1].train
    assert (first.params.beta, second.params.beta) == (0.1, 0.1)
    assert first.params.alpha == 0.9
    assert (first.loop.epochs, second.loop.epochs) == (3, 4)
    assert first.params.model_fields_set == {"alpha", "beta"}
    named = suite(matrix.replace("'train.beta'", "'train.tune.beta'"), models=TWO_STEPS)
    assert [step.params.beta for step in bound(named, model="small", beta=1)[1].train] == [3.0, 1.0]
    assert bound(built, model="big")[1] is built.models["big"]


def test_a_target_is_written_as_the_suite_writes_the_parameter() -> None:
    model = "[models.c]\nuse = 'lstm'\ntrain = { distil = 'lambda-kd', teacher = 'big' }\n"
    built = suite("[matrix]\nl = [0.5]\nsets = { l = 'train.lambda' }", models=MODELS + model)
    assert bound(built, model="c")[1].train[0].params.model_dump() == {"weight": 0.5}


def test_task_and_model_targets() -> None:
    matrix = "[matrix]\nlength = [32, 64]\nstride = [8]\npool = ['mean', 'max']\n[matrix.sets]\n"
    sets = "length = 'task.max_length'\nstride = 'task.stride'\npool = 'model.pool'\n"
    built = suite(matrix + sets)
    assert len(built.cells) == 2 + 4
    task, model = bound(built, model="small", length=32, pool="mean")
    assert (task.max_length, task.params.stride) == (32, 8)
    assert model.params == LstmParams(pool="mean")
    assert built.task.max_length == 128
    assert bound(built, model="big", length=32)[0] is task  # every model shares the task


def test_equal_bindings_are_one_object() -> None:
    built = suite(BETA.replace("[matrix.sets]", "seed = [1, 2]\ncompress = ['none', 'int8']\n[matrix.sets]"))
    models = [bind(built, cell)[1] for cell in built.cells if cell["model"] == "small"]
    assert len(models) == 8
    assert len({id(model) for model in models}) == 2
    assert len({id(bind(built, cell)[0]) for cell in built.cells}) == 1
    without = suite("")
    assert bind(without, without.cells[0]) == (without.task, without.models["big"])
    assert bind(without, without.cells[0])[0] is without.task


def test_one_and_true_are_different_bindings() -> None:
    built = suite("[matrix]\nb = [1]\nsets = { b = 'task.stride' }")
    cell = built.cells[0]
    assert bind(built, cell)[0].params.model_dump()["stride"] == 1
    forged = Cell(axes=tuple((name, True if name == "b" else value) for name, value in cell.axes))
    with pytest.raises(BindingError) as caught:
        bind(built, forged)
    assert str(caught.value) == "the task: task.stride: expected an integer, got true (boolean)"


def test_what_only_fits_together_is_accepted() -> None:
    matrix = "[matrix]\nsize = [30]\nheads = [3]\nsets = { size = 'model.hidden_size', heads = 'model.heads' }"
    params = bound(suite(matrix), model="big")[1].params
    assert (params.hidden_size, params.heads) == (30, 3)


# ---------------------------------------------------------------------------------------------------------------- epoch


def epochs(built: Suite, name: str) -> int:
    return built.models[name].train[-1].loop.epochs


def test_models_under_an_epoch_axis_train_as_long_as_their_longest_cell() -> None:
    plain = MODELS + "[models.plain]\nuse = 'lstm'\n"
    built = suite("[matrix]\nepoch = [5, 1]\nexclude = [{ model = 'small', epoch = 5 }]", models=plain)
    assert ids(built) == [
        "model=big,compress=none,epoch=5,seed=42",
        "model=big,compress=none,epoch=1,seed=42",
        "model=small,compress=none,epoch=1,seed=42",
        "model=plain,compress=none,seed=42",
    ]
    assert (epochs(built, "big"), epochs(built, "small")) == (5, 1)
    assert built.models["plain"].train == ()
    assert bound(built, model="big", epoch=1)[1] is built.models["big"]


def test_more_epochs_than_the_axis_asks_for_are_fine_and_fewer_are_not() -> None:
    models = MODELS.replace('"finetune"', '"finetune", epochs = 4')
    assert epochs(suite("[matrix]\nepoch = [1, 2]", models=models), "big") == 4
    assert problems(HEAD + models + "[matrix]\nepoch = [2, 5]") == [
        "suite:6:41: models.big.train.epochs: 4 is fewer than the largest epoch of 'big' in the matrix, 5"
    ]


def test_a_bound_number_of_epochs_must_reach_the_epoch_axis_too() -> None:
    matrix = "[matrix]\nepoch = [1, 5]\nlong = [9, 3]\nsets = { long = 'train.epochs' }"
    assert wrong(matrix) == [
        "12: matrix.long[1]: 3 is fewer than the largest epoch of 'big' in the matrix, 5",
        "12: matrix.long[1]: 3 is fewer than the largest epoch of 'small' in the matrix, 5",
    ]


def test_an_epoch_axis_with_a_target_is_an_axis_like_any_other() -> None:
    built = suite("[matrix]\nepoch = [1, 2]\nsets = { epoch = 'train.epochs' }")
    assert [bind(built, cell)[1].train[0].loop.epochs for cell in built.cells] == [1, 2, 1, 2]
    assert epochs(built, "big") == 3
