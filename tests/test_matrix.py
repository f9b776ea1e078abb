"""From [matrix] to cells, from cells to bound params, and `--only`."""

from __future__ import annotations

import pytest
from suite_helpers import BETA, GOOD, HEAD, MODELS, ids, parse, problems, suite, wrong

from harness.errors import NothingSelected, SuiteError
from harness.suite import bind, select
from harness.suite.matrix import LIMIT, expand
from harness.suite.types import AxisValue, axis_text

# ---------------------------------------------------------------------------------------------------------------- cells


def test_axes_vary_in_their_order_with_seed_last() -> None:
    matrix = "[matrix]\nseed = [7, 8]\nbeta = [0, 1]\ncompress = ['none', 'int8']\nsets = { beta = 'train.beta' }"
    built = suite(matrix)
    assert ids(built) == [
        "model=big,compress=none,seed=7",
        "model=big,compress=none,seed=8",
        "model=big,compress=int8,seed=7",
        "model=big,compress=int8,seed=8",
        "model=small,compress=none,beta=0,seed=7",
        "model=small,compress=none,beta=0,seed=8",
        "model=small,compress=none,beta=1,seed=7",
        "model=small,compress=none,beta=1,seed=8",
        "model=small,compress=int8,beta=0,seed=7",
        "model=small,compress=int8,beta=0,seed=8",
        "model=small,compress=int8,beta=1,seed=7",
        "model=small,compress=int8,beta=1,seed=8",
    ]
    assert list(built.axes) == ["model", "compress", "beta", "seed"]
    assert built.cells[0]["beta"] is None
    assert [axis for axis, _ in built.cells[0].axes] == ["model", "compress", "beta", "seed"]
    assert built.cells[0].row == (("model", "big"), ("compress", "none"), ("beta", None))


def test_exclude_removes_what_it_matches_in_part() -> None:
    matrix = BETA.replace("[matrix.sets]", "compress = ['none', 'int8']\n[matrix.sets]")
    exclude = "[[matrix.exclude]]\nmodel = 'small'\nbeta = 0\n[[matrix.exclude]]\nmodel = 'big'\ncompress = 'int8'\n"
    assert ids(suite(matrix + exclude)) == [
        "model=big,compress=none,seed=42",
        "model=small,compress=none,beta=0.1,seed=42",
        "model=small,compress=int8,beta=0.1,seed=42",
    ]


def test_an_exclude_can_name_several_values() -> None:
    matrix = "[matrix]\nseed = [1, 2, 3]\nexclude = [{ model = ['small'], seed = [1, 3] }]"
    assert ids(suite(matrix)) == [
        *(f"model=big,compress=none,seed={seed}" for seed in (1, 2, 3)),
        "model=small,compress=none,seed=2",
    ]


def test_an_exclude_inside_another_is_no_mistake() -> None:
    text = "[matrix]\nseed = [1, 2]\nexclude = [{ model = 'small' }, { model = 'small', seed = 1 }]"
    assert ids(suite(text)) == ["model=big,compress=none,seed=1", "model=big,compress=none,seed=2"]


def test_include_adds_cells_after_exclude() -> None:
    matrix = """
[matrix]
model = ["small"]
seed = [1, 2]
beta = [0.0]
exclude = [{ seed = 2 }]
include = [
  { model = "small", seed = 2 },
  { model = "small", beta = 0.5, compress = "int8", seed = 9 },
  { model = "big" },
]
sets = { beta = "train.beta" }
"""
    built = suite(matrix)
    assert ids(built) == [
        "model=small,compress=none,beta=0.0,seed=1",
        "model=small,compress=none,seed=2",
        "model=small,compress=int8,beta=0.5,seed=9",
        "model=big,compress=none,seed=1",
        "model=big,compress=none,seed=2",
    ]
    bound = [bind(built, cell)[1].train[0].params for cell in built.cells[:3]]
    assert [params.model_dump()["beta"] for params in bound] == [0.0, 0.0, 0.5]


def test_an_excluded_cell_can_be_included_again() -> None:
    text = "[matrix]\nexclude = [{ model = 'small' }]\ninclude = [{ model = 'small' }]"
    assert ids(suite(text)) == ["model=big,compress=none,seed=42", "model=small,compress=none,seed=42"]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("exclude = [{}]", "matrix.exclude[0]: is empty; name at least one axis"),
        ("exclude = [{ modle = 'big' }]", "matrix.exclude[0].modle: 'modle' is not an axis of this matrix. Did you "
         "mean 'model'? Known: 'compress', 'model', 'seed'"),
        ("exclude = [{ model = 'bigg' }]", "matrix.exclude[0].model: matches no cell: 'bigg' (string) is not a value "
         "of 'model'. Did you mean 'big'? Values: big, small"),
        ("exclude = [{ seed = '42' }]", "matrix.exclude[0].seed: matches no cell: '42' (string) is not a value of "
         "'seed'. Did you mean '42'? Values: 42"),
        ("seed = [1]\nexclude = [{ seed = true }]", "matrix.exclude[0].seed: matches no cell: true (boolean) is not a "
         "value of 'seed'. Values: 1"),
        ("exclude = [{ model = [['big']] }]", "matrix.exclude[0].model: expected a single value (string, number, true "
         "or false), got a list"),
        ("exclude = [{ model = [] }]", "matrix.exclude[0].model: is an empty list; name at least one value"),
        ("exclude = [{ model = ['big', 'bigg'] }]", "matrix.exclude[0].model: matches no cell: 'bigg' (string) is not a "
         "value of 'model'. Did you mean 'big'? Values: big, small"),
        ("exclude = { model = 'big' }", "matrix.exclude: expected a list, got a table"),
        ("exclude = [{ compress = 'none' }]", "matrix: has no cells: everything is excluded"),
        ("include = [{ seed = 1 }]", "matrix.include[0]: must name a model"),
        ("include = [{ model = 'bigg' }]", "matrix.include[0].model: 'bigg' is not a model of this suite. Did you "
         "mean 'big'? Known: 'big', 'small'"),
        ("include = [{ model = 'big', compress = 'int9' }]", "matrix.include[0].compress: 'int9' is not a chain of "
         "this suite. Did you mean 'int8'? Known: 'int8', 'none'"),
        ("include = [{ model = 'big', seed = true }]", "matrix.include[0].seed: expected an integer from 0, got true "
         "(boolean)"),
        ("include = [{ model = 'big', beta = 1 }]", "matrix.include[0].beta: 'beta' is not an axis of this matrix. "
         "Known: 'compress', 'model', 'seed'"),
        ("include = [{ model = 'big' }]", "matrix.include[0]: is in the matrix already"),
        ("include = [{ model = 'big', seed = 1 }, { model = 'big', seed = 1 }]", "matrix.include[1]: is in the matrix "
         "already"),
        ("model = ['bigg']", "matrix.model[0]: 'bigg' is not a model of this suite. Did you mean 'big'? Known: 'big', "
         "'small'"),
        ("model = ['big', 'big']", "matrix.model[1]: 'big' (string) is listed twice"),
        ("model = []", "matrix.model: expected at least 1 item, got 0"),
        ("compress = ['int9']", "matrix.compress[0]: 'int9' is not a chain of this suite. Did you mean 'int8'? Known: "
         "'int8', 'none'"),
        ("seed = [-1]", "matrix.seed[0]: expected at least 0, got -1"),
        ("seed = [4294967296]", "matrix.seed[0]: expected a value less than 4294967296, got 4294967296"),
        ("seed = 1", "matrix.seed: expected a list, got 1 (integer). Write [1]"),
        ("seed = [1.0]", "matrix.seed[0]: expected an integer, got 1.0 (number)"),
        ("gamma = [1]", 'matrix.gamma: unknown key. An axis of your own needs a target, for example [matrix.sets] '
         'beta = "train.beta"'),
        ("epochs = [1]", "matrix.epochs: unknown key. Did you mean 'epoch'?"),
        ("epoch = [0]", "matrix.epoch[0]: expected an integer from 1, got 0 (integer)"),
        ("epoch = ['last']", "matrix.epoch[0]: expected an integer from 1, got 'last' (string)"),
        ("sets = { beta = 'train.beta' }", "matrix.sets.beta: 'beta' is not an axis that can be bound. Known: none"),
        ("sets = { seed = 'train.beta' }", "matrix.sets.seed: 'seed' is not an axis that can be bound. Known: none"),
        ("b = [1]\nsets = { b = 'chains.int8.share' }", "matrix.sets.b: 'chains.int8.share' is not a target. Write "
         "train.PARAMETER, train.STEP.PARAMETER, task.PARAMETER or model.PARAMETER. For a compressor's, write a chain for "
         "each value"),
        ("b = [1]\nsets = { b = 'trian.beta' }", "matrix.sets.b: 'trian.beta' is not a target. Write train.PARAMETER, "
         "train.STEP.PARAMETER, task.PARAMETER or model.PARAMETER"),
        ("b = [1]\nsets = { b = 'train.tnue.beta' }", "matrix.sets.b: 'tnue' is not a step of a model of this matrix. "
         "Known: 'train'"),
        ("b = [1]\nsets = { b = 'model.hiden_size' }", "matrix.sets.b: 'hiden_size' is not a parameter of a model of "
         "this matrix. Did you mean 'hidden_size'? Known: 'checkpoint', 'dropout', 'heads', 'hidden_size', 'pool'"),
        ("b = [1]\nsets = { b = 'task.max_len' }", "matrix.sets.b: 'max_len' is not a parameter of the task. Did you "
         "mean 'max_length'? Known: 'columns', 'doc_stride', 'files', 'labels', 'limit', 'max_length', 'stride'"),
        ("model = ['big']\nb = [1]\nsets = { b = 'model.pool' }", "matrix.sets.b: 'pool' is not a parameter of a model "
         "of this matrix. Known: 'checkpoint', 'heads', 'hidden_size'"),
        ("b = [1]\nc = [2]\nsets = { b = 'train.beta', c = 'train.train.beta' }", "matrix.sets.c: axis 'b' sets "
         "'train.beta' already"),
        ("b = [[1]]\nsets = { b = 'train.beta' }", "matrix.b[0]: expected a single value (string, number, true or "
         "false), got a list"),
        ("b = []\nsets = { b = 'train.beta' }", "matrix.b: expected at least 1 item, got 0"),
        ("b = 0.1\nsets = { b = 'train.beta' }", "matrix.b: expected a list, got 0.1 (number). Write [0.1]"),
        ("b = ['a,b']\nsets = { b = 'model.pool' }", "matrix.b[0]: 'a,b' (string) cannot be a value of an axis: empty "
         "text and , = | * ? [ ] are not allowed"),
        ("b = [1, 1.0]\nsets = { b = 'train.beta' }", "matrix.b[1]: 1.0 (number) is listed twice"),
        ("b = [0.5, -1]\nsets = { b = 'train.beta' }", "matrix.b[1]: train.beta of model 'small': expected at least 0, "
         "got -1"),
        ("b = [8, 0]\nsets = { b = 'task.max_length' }", "matrix.b[1]: task.max_length of the task: expected at least "
         "1, got 0"),
        ("b = [true]\nsets = { b = 'task.stride' }", "matrix.b[0]: task.stride of the task: expected an integer, got "
         "true (boolean)"),
        ("b = [64, 30]\nsets = { b = 'model.hidden_size' }", "matrix.sets: model 'big' with b = 30: hidden_size 30 is "
         "not a multiple of heads 4"),
        ("b = [1]\nsets = { b = 'train.beta' }\ninclude = [{ model = 'big', b = 1 }]", "matrix.include[0].b: model "
         "'big' has nothing that axis 'b' changes"),
        ("b = [1]\nsets = { b = 'train.beta' }\ninclude = [{ model = 'small', b = -1 }]", "matrix.include[0].b: "
         "train.beta of model 'small': expected at least 0, got -1"),
        ("'a b' = [1]\nsets = { 'a b' = 'train.beta' }", "matrix.\"a b\": 'a b' (string) cannot be a name: use "
         "letters, digits, '_', '-', '.' and '+', a letter or digit first"),
    ],
)  # fmt: skip
def test_every_mistake_has_its_sentence(matrix: str, expected: str) -> None:
    assert [line.split(": ", 1)[1] for line in wrong(f"[matrix]\n{matrix}\n")] == [expected]


def test_positions_point_into_the_matrix() -> None:
    assert problems(HEAD + MODELS + "[matrix]\nexclude = [{ model = 'big' },\n  { seed = 3 }]\n") == [
        "suite:12:12: matrix.exclude[1].seed: matches no cell: 3 (integer) is not a value of 'seed'. Values: 42"
    ]
    text = HEAD + MODELS + BETA + "[[matrix.exclude]]\nmodel = 'big'\nbeta = 0.1\n"
    assert problems(text) == ["suite:14:1: matrix.exclude[0]: matches no cell"]


def test_mistakes_of_the_matrix_come_with_the_others() -> None:
    found = problems(HEAD + MODELS + "[matrix]\nexclude = [{ seed = 3 }]\n[measure]\nspeed = 3\n")
    assert [line.split(":")[1] for line in found] == ["11", "13"]


def test_a_matrix_out_of_hand_is_refused_before_it_is_built() -> None:
    seeds = list(range(1000))
    text = f"[matrix]\nseed = {seeds}\nb = {seeds}\nsets = {{ b = 'train.beta' }}"
    assert wrong(text) == [f"2: matrix: is 1,001,000 cells, more than {LIMIT:,}: shorten an axis"]


def test_ten_thousand_cells_and_fifty_excludes() -> None:
    axes: dict[str, tuple[AxisValue, ...]] = {
        "model": ("a", "b"), "compress": ("none",), "x": tuple(range(100)), "seed": tuple(range(50)),
    }  # fmt: skip
    found = expand(axes, lambda model, axis: True, [{"x": (n,)} for n in range(50)], [{"model": "a", "x": 1000}])
    assert (len(found.cells), found.faults) == (50 * 2 * 50 + 50, ())
    assert found.cells[0].id == "model=a,compress=none,x=50,seed=0"
    assert found.cells[-1].id == "model=a,compress=none,x=1000,seed=49"


# --------------------------------------------------------------------------------------------------------------- select


def test_only_takes_patterns_and_alternatives() -> None:
    cells = parse(GOOD).cells
    assert select(cells, "model=teacher") == cells[:6]
    assert [cell.id for cell in select(cells, "model=t*,compress=int8|none,seed=1,beta=0.1")] == [
        "model=two-step,compress=none,beta=0.1,seed=1",
        "model=two-step,compress=int8,beta=0.1,seed=1",
    ]
    assert len(select(cells, " model = plain | teacher , seed = 2 ")) == 4
    assert all(cell in select(cells, cell.id) for cell in cells)
    assert {cell["model"] for cell in select(cells, "beta=*")} == {"student", "two-step"}  # the others have no beta


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("modle=a", "'modle' is not an axis of this suite. Did you mean 'model'? Known: 'beta', 'compress', 'model', "
         "'seed'"),
        ("model=teachr", "'teachr' is not a value of 'model'. Did you mean 'teacher'? Values: teacher, student, "
         "two-step, plain"),
        ("model=teacher|x*", "'x*' is not a value of 'model'. Values: teacher, student, two-step, plain"),
        ("seed=01", "'01' is not a value of 'seed'. Did you mean '1'? Values: 1, 2"),
        ("teacher", "'teacher': expected axis=value, for example model=lstm*,compress=int8"),
        ("", "'': expected axis=value, for example model=lstm*,compress=int8"),
        ("model=", "'model=': expected axis=value, for example model=lstm*,compress=int8"),
        ("model=plain,model=teacher", "'model=teacher': write model=a|b"),
    ],
)  # fmt: skip
def test_only_says_what_there_is(only: str, expected: str) -> None:
    with pytest.raises(SuiteError) as caught:
        select(parse(GOOD).cells, only)
    assert str(caught.value) == f"--only {only}: {expected}"


def test_only_that_leaves_nothing_is_another_error() -> None:
    with pytest.raises(NothingSelected) as caught:
        select(parse(GOOD).cells, "model=plain,compress=int8")
    assert str(caught.value) == (
        "--only model=plain,compress=int8: each part matches some cell, no cell matches all of them"
    )
    assert caught.value.exit_code == 5


def test_values_are_written_as_in_the_suite() -> None:
    assert [axis_text(value) for value in (True, False, None, 1, 1.0, 1e-5, "a")] == [
        "true", "false", "—", "1", "1.0", "1e-05", "a",
    ]  # fmt: skip
