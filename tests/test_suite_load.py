"""Reading suites: what a good one becomes, and the exact words for everything wrong with a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest
from suite_helpers import (
    GOOD,
    HEAD,
    MODELS,
    REGISTRY,
    Int8Params,
    KdParams,
    LstmParams,
    ReviewParams,
    parse,
    problems,
)

from harness.errors import SuiteError
from harness.specs import Params
from harness.suite import (
    ChainStep,
    DataConfig,
    MeasureConfig,
    ModelConfig,
    Retention,
    SpeedConfig,
    StepConfig,
    TaskConfig,
    load_suite,
)
from harness.suite.types import Grid
from harness.training import TrainParams


def test_a_good_suite_becomes_values() -> None:
    suite = parse(GOOD)
    assert (suite.name, suite.title, suite.path, suite.text) == ("small", "Small: distillation × int8", None, GOOD)
    assert suite.anchor == {"model": "teacher", "compress": "none", "beta": None}
    labels = {"good": "positive", "so so": "neutral"}
    assert suite.task == TaskConfig(use="reviews", params=ReviewParams(labels=labels, stride=64), max_length=96)
    assert suite.data == {"news": DataConfig("data/news.jsonl")}
    assert list(suite.models) == ["teacher", "student", "two-step", "plain"]
    assert suite.models["two-step"] == ModelConfig(
        name="two-step",
        use="lstm",
        params=LstmParams(),
        init={"embeddings": "teacher"},
        train=(
            StepConfig(name="distil", distil="kd", teacher=("teacher", "student"), on="news", params=KdParams()),
            StepConfig(name="tune", distil="finetune"),
        ),
    )
    step = suite.models["student"].train[0]
    assert (step.name, step.teacher, step.params) == ("train", ("teacher",), KdParams(alpha=0.9))
    assert suite.models["teacher"].train[0].loop == TrainParams(epochs=3, learning_rate=2e-5)
    assert suite.models["plain"].train == ()
    assert suite.chains == {
        "none": (),
        "int8": (ChainStep(use="torch-int8", params=Params()),),
        "onnx-int8": (
            ChainStep(use="onnx", params=Params()),
            ChainStep(use="onnx-int8", params=Int8Params(per_channel=False)),
        ),
    }
    assert suite.measure == MeasureConfig(
        speed=SpeedConfig(workloads=("single",), threads=2),
        retention=(Retention(of="teacher", metric="macro_f1", at_least=(0.95, 0.99)),),
    )
    assert [row["row"] for row in suite.published] == [{"model": "student", "compress": "int8"}, "Their CNN"]
    assert suite.claims[0]["compares"] == ["student", "plain"]


def test_a_study_brings_its_columns() -> None:
    text = GOOD + "[report]\ncolumns = ['macro_f1', 'size', 'minutes']\n"
    assert parse(text).columns == ("macro_f1", "size", "minutes")
    assert parse(GOOD).columns == ()


def test_a_report_may_have_more_figures_and_a_compact_table() -> None:
    table = "matrix = { rows = 'model', columns = ['compress', 'beta'], metric = 'macro_f1' }\n"
    suite = parse(f"{GOOD}[report]\nfigures = ['loss', 'time']\n{table}")
    assert suite.figures == ("loss", "time")
    assert suite.grid == Grid(rows=("model",), columns=("compress", "beta"), metrics=("macro_f1",))
    assert parse(GOOD).grid is None
    plain = parse(f"{GOOD}[report]\nmatrix = {{ rows = ['model'], columns = 'beta' }}\n")  # uncompressed rows
    assert plain.grid == Grid(rows=("model",), columns=("beta",))


def test_what_a_suite_may_leave_out() -> None:
    suite = parse(HEAD + MODELS)
    assert suite.title == "s"
    assert suite.task == TaskConfig(use="reviews", params=ReviewParams(), source=None, max_length=128)
    assert [cell.id for cell in suite.cells] == ["model=big,compress=none,seed=42", "model=small,compress=none,seed=42"]
    assert suite.anchor == {"model": "big", "compress": "none"}
    assert suite.measure == MeasureConfig()
    assert (suite.chains, suite.data, suite.sets) == ({"none": ()}, {}, {})


def test_lines_come_in_the_order_of_the_file_and_all_at_once() -> None:
    text = """\
schema = 1
[suite]
name = "small"
[task]
use = "reviews"
max_length = "96"
[models.tiny]
use =    "trasformer"
[models.lstm]
use = "lstm"
train = { distil = "kd", teacher = "tinny", epochs = "3" }
[matrix]
compres = ["none"]
"""
    assert problems(text) == [
        "suite:6:14: task.max_length: expected an integer, got '96' (string)",
        "suite:8:10: models.tiny.use: 'trasformer' is not a known student. Did you mean 'transformer'? "
        "Known: 'explosive', 'frozen', 'lstm', 'onnx-file', 'transformer'",
        "suite:11:36: models.lstm.train.teacher: 'tinny' is not a model of this suite. Did you mean 'tiny'? "
        "Known: 'lstm', 'tiny'",
        "suite:11:54: models.lstm.train.epochs: expected an integer, got '3' (string)",
        "suite:13:1: matrix.compres: unknown key. Did you mean 'compress'?",
    ]


def test_a_suite_of_nothing_says_what_to_write() -> None:
    assert problems("") == [
        "suite:1:1: schema: required key is missing: write schema = 1 as the first line",
        'suite:1:1: suite: required table is missing: write [suite] with name = "…"',
        'suite:1:1: task: required table is missing: write [task] with use = "…"',
        'suite:1:1: models: required table is missing: write [models.NAME] with use = "…"',
    ]


def test_a_newer_schema_is_the_only_thing_said() -> None:
    assert len(problems(GOOD.replace("schema = 1", "schema = 2").replace("[models", "[modules"))) == 1


def test_full_names_of_components_work() -> None:
    assert REGISTRY.entry("student", "lstm").full_name == "test/lstm"
    assert parse(HEAD + "[models.a]\nuse = 'test/lstm'\n").models["a"].use == "test/lstm"


# ------------------------------------------------------------------------------------------------------------------ set


def test_overrides_are_toml_or_plain_text() -> None:
    changes = (
        "task.max_length=64",
        "matrix.seed=[7, 8, 9]",
        "suite.title=Plain words = fine",
        "models.teacher.train.epochs=1",
        "models.two-step.train.tune.epochs=2",
        "models.two-step.train.0.epochs=5",
        "models.student.use=lstm",
        "measure.speed=false",
        'models."plain".hidden_size = 16',
        "published.0.accuracy=75.5",
    )
    suite = parse(GOOD, *changes)
    assert suite.overrides == changes
    assert (suite.text, suite.title) == (GOOD, "Plain words = fine")
    assert (suite.task.max_length, suite.axes["seed"]) == (64, (7, 8, 9))
    assert suite.models["teacher"].train[0].loop.epochs == 1
    assert [step.loop.epochs for step in suite.models["two-step"].train] == [5, 2]
    assert suite.measure.speed is None
    assert suite.models["plain"].params == LstmParams(hidden_size=16)
    assert suite.published[0]["accuracy"] == 75.5


def test_overrides_create_tables_and_the_last_one_wins() -> None:
    suite = parse(HEAD + MODELS, "measure.speed.threads=3", "models.new.use=lstm", "matrix.seed=[1]", "matrix.seed=[2]")
    assert suite.measure.speed == SpeedConfig(threads=3)
    assert suite.models["new"].use == "lstm"
    assert suite.axes["seed"] == (2,)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("modles.x=1", "modles: unknown key. Did you mean 'models'?"),
        ("task.maxlength=1", "task.maxlength: unknown key. Did you mean 'max_length'?"),
        ("models.x.hidden_size=1", "models.x.use: required key is missing"),
        ("matrix.seed=3", "matrix.seed: expected a list, got 3 (integer). Write [3]"),
        ("task.max_length=long", "task.max_length: expected an integer, got 'long' (string)"),
        ("models.teacher.train={distil='finetune', epochs='2'}", "models.teacher.train.epochs: expected an integer, "
         "got '2' (string)"),
        ("matrix.model=['teachr']", "matrix.model[0]: 'teachr' is not a model of this suite. Did you mean 'teacher'? "
         "Known: 'plain', 'student', 'teacher', 'two-step'"),
        ("models.two-step.train.epochs=3", "models.two-step.train is a list; instead of 'epochs' write 'distil', "
         "'tune'"),
        ("matrix.seed.7=3", "matrix.seed is a list; instead of '7' write an index below 2"),
        ("suite.name.x=3", "suite.name is 'small', not a table"),
        ("task", "expected key=value, for example matrix.seed=[1,2]"),
        ("=3", "expected key=value, for example matrix.seed=[1,2]"),
        ("a b=3", "expected key=value, for example matrix.seed=[1,2]"),
    ],
)  # fmt: skip
def test_wrong_overrides_are_their_own_place(change: str, expected: str) -> None:
    assert f"--set {change}: {expected}" in problems(GOOD, change)


def test_an_override_and_the_file_each_keep_their_place() -> None:
    text = GOOD.replace("epochs = 3", "epochs = '3'").replace("stride = 64", "stride = 0")
    lines = problems(text, "models.teacher.train.epochs=x")
    assert lines == [
        "suite:10:10: task.stride: expected at least 1, got 0",
        "--set models.teacher.train.epochs=x: models.teacher.train.epochs: expected an integer, got 'x' (string)",
    ]
    later = problems(GOOD, "models.teacher.train.epochs=x", "models.teacher.train={distil='finetune', epochs='y'}")
    assert later == [
        "--set models.teacher.train={distil='finetune', epochs='y'}: models.teacher.train.epochs: "
        "expected an integer, got 'y' (string)"
    ]


# ---------------------------------------------------------------------------------------------------------------- files


def load(path: Path) -> str:
    with pytest.raises(SuiteError) as caught:
        load_suite(path, REGISTRY)
    return str(caught.value)


def test_paths_are_shown_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("suites").mkdir()
    path = Path("suites/small.toml")
    path.write_text(GOOD.replace("seed = [1, 2]", "sed = [1, 2]"), encoding="utf-8")
    assert load(path) == "suites/small.toml:43:1: matrix.sed: unknown key. Did you mean 'seed'?"
    path.write_text("\ufeff" + GOOD, encoding="utf-8", newline="\r\n")
    suite = load_suite(path, REGISTRY)
    assert (suite.path, len(suite.cells)) == (path, 28)
    assert suite.text.startswith("schema = 1\r\n")


def test_missing_files_suggest_their_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("suites").mkdir()
    assert load(Path("suites/a.toml")) == "suites/a.toml: no such file. There is no suite in suites"
    Path("suites/quickstart.toml").write_text("")
    assert load(Path("suites/qickstart.toml")) == (
        "suites/qickstart.toml: no such file. Did you mean 'suites/quickstart.toml'?"
    )
    assert load(Path("suites/zz")) == "suites/zz: no such file. Suites there: 'suites/quickstart.toml'"
    assert load(Path("nowhere/zz")) == "nowhere/zz: no such file. There is no suite in nowhere"
    assert load(Path("suites")) == "suites: is a folder; name a suite in it, a .toml file"
    assert load(Path("a\0b")).startswith("a\\x00b: cannot be read: ")


def test_unreadable_text_has_a_place(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes("schema = 1\n# ой: ".encode() + "привет".encode("cp1251"))
    assert load(path) == f"{path}:2:7: byte 0xef is not UTF-8: save the file as UTF-8"
    path.write_text("schema = 1\n[suite\n")
    assert load(path) == f"{path}:2:7: not valid TOML: expected ']' at the end of a table declaration"
    path.write_text("schema = 1\nschema = 1\n")
    assert load(path) == f"{path}:2:11: not valid TOML: cannot overwrite a value"
    path.write_text("a = 1\nb = [1,\n")
    assert load(path).startswith(f"{path}:3:1: not valid TOML: ")
    path.write_text(f"a = {'9' * 5000}")
    assert load(path).startswith(f"{path}: not valid TOML: ")
    path.write_text(f"a = {'[' * 5000}{']' * 5000}")
    assert load(path) == f"{path}: nested too deeply for a suite"


def test_messages_never_carry_control_characters() -> None:
    (line,) = problems(GOOD.replace('name = "small"', 'name = "\\u001b[31m\\nred"'))
    assert line.isprintable()
    assert r"'\x1b[31m\nred'" in line


def test_texts_that_no_suite_has_are_refused_at_once(tmp_path):
    path = tmp_path / "a.toml"
    for text, said in (
        ("#" * (2 << 20), "larger than 1 MiB"),
        (".".join("a" * 50_000) + " = 1", "a chain of 100 keys"),
    ):
        path.write_text(text)
        with pytest.raises(SuiteError, match=rf"a\.toml: {said}"):
            load_suite(path, REGISTRY)
