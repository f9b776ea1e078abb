"""Reading suites: what a good one becomes, and the exact words for everything wrong with a bad one."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    MeasureConfig,
    ModelConfig,
    Retention,
    SpeedConfig,
    StepConfig,
    TaskConfig,
    load_suite,
    parse_suite,
)
from harness.training import TrainParams


def test_a_good_suite_becomes_values() -> None:
    suite = parse(GOOD)
    assert (suite.name, suite.title, suite.path, suite.text) == ("small", "Small: distillation × int8", None, GOOD)
    assert suite.anchor == {"model": "teacher", "compress": "none", "beta": None}
    labels = {"good": "positive", "so so": "neutral"}
    assert suite.task == TaskConfig(use="reviews", params=ReviewParams(labels=labels, stride=64), max_length=96)
    assert suite.data == {"news": "data/news.jsonl"}
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
        retention=Retention(of="teacher", metric="macro_f1", at_least=(0.95, 0.99)),
    )
    assert [row["row"] for row in suite.published] == [{"model": "student", "compress": "int8"}, "Their CNN"]
    assert suite.claims[0]["compares"] == ["student", "plain"]


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
        "Known: 'explosive', 'lstm', 'onnx-file', 'transformer'",
        "suite:11:36: models.lstm.train.teacher: 'tinny' is not a model of this suite. Did you mean 'tiny'? "
        "Known: 'lstm', 'tiny'",
        "suite:11:54: models.lstm.train.epochs: expected an integer, got '3' (string)",
        "suite:13:1: matrix.compres: unknown key. Did you mean 'compress'?",
    ]


def at(text: str, old: str, new: str) -> list[str]:
    """The problems after one change to a suite, without their places."""
    assert text.count(old) == 1, old
    return [line.split(": ", 1)[1] for line in problems(text.replace(old, new))]


KNOWN_STUDENTS = "Known: 'explosive', 'lstm', 'onnx-file', 'transformer'"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "small"', 'nmae = "small"', "suite.nmae: unknown key. Did you mean 'name'?"),
        (
            'name = "small"',
            'name = "a/b"',
            "suite.name: 'a/b' (string) cannot be a name: use letters, digits, '_', '-', '.' and '+', "
            "a letter or digit first",
        ),
        ("[measure]", "[mesure]\n[measure]", "mesure: unknown key. Did you mean 'measure'?"),
        ("[measure]", "[measure]\nx = 1", "measure.x: unknown key. Known: 'confidence', 'retention', 'speed'"),
        ('use = "reviews"', 'use = "review"', "task.use: 'review' is not a known task. Did you mean 'reviews'? Known: "
         "'questions', 'reviews'"),
        ("stride = 64", "strid = 64", "task.strid: unknown key. Did you mean 'stride'?"),
        ("stride = 64", "stride = 0", "task.stride: expected at least 1, got 0"),
        ("stride = 64", "stride = 6.5", "task.stride: expected an integer, got 6.5 (number)"),
        ("stride = 64", 'files = "a.csv"', "task.files: expected a list, got 'a.csv' (string). Write [\"a.csv\"]"),
        ("stride = 64", "columns = { txt = 'a' }", "task.columns.txt: unknown key. Did you mean 'text'?"),
        ("stride = 64", "columns = 3", "task.columns: expected a table, got 3 (integer)"),
        ("stride = 64", "limit = true", "task.limit: expected an integer or a table, got true (boolean)"),
        ("stride = 64", "limit = { dev = 'x' }", "task.limit.dev: expected an integer, got 'x' (string)"),
        ("stride = 64", "when = 2020-01-01", 'task.when: dates are written as strings: "2020-01-01"'),
        ("stride = 64", "stride = inf", "task.stride: expected a finite number, got inf"),
        ("stride = 64", f"stride = {10**20}", "task.stride: expected an integer of at most 64 bits"),
        ('use = "reviews"', 'use = "questions"', "task.labels: unknown key. Known: 'max_length', 'source', 'use'"),
        ("max_length = 96", "source = ''", "task.source: expected at least 1 character, got 0"),
        ("[data.news]", "[data.new]", "models.two-step.train[0].on: 'news' is not a [data] set of this suite. "
         "Did you mean 'new'? Known: 'new'"),
        ('use = "transformer"', "", "models.teacher.use: required key is missing"),
        ('use = "transformer"', 'sue = "transformer"', "models.teacher.sue: unknown key. Did you mean 'use'?"),
        ("hidden_size = 32", "hidden = 32", "models.teacher.hidden: unknown key. Did you mean 'hidden_size'?"),
        ("hidden_size = 32", "hidden_size = 30", "models.teacher: hidden_size 30 is not a multiple of heads 4"),
        ("epochs = 3", "epoch = 3", "models.teacher.train.epoch: unknown key. Did you mean 'epochs'?"),
        ("alpha = 0.9", "alhpa = 0.9", "models.student.train.alhpa: unknown key. Did you mean 'alpha'?"),
        ("alpha = 0.9", "alpha = 1.9", "models.student.train.alpha: expected at most 1, got 1.9"),
        ("alpha = 0.9", "learning_rate = 0", "models.student.train.learning_rate: expected a value greater than 0, "
         "got 0"),
        ("alpha = 0.9", "schedule = 'linaer'", "models.student.train.schedule: expected 'linear', 'cosine' or "
         "'constant', got 'linaer'. Did you mean 'linear'?"),
        ("alpha = 0.9", "step = 'a.b'", "models.student.train.step: 'a.b' (string) cannot be a step: use letters, "
         "digits, '_' and '-', a letter or digit first"),
        ('distil = "finetune", learning', 'distil = "finetun", learning', "models.teacher.train.distil: 'finetun' is "
         "not a known distiller. Did you mean 'finetune'? Known: 'finetune', 'greedy', 'hint', 'kd', 'lambda-kd'"),
        ('distil = "finetune", learning', "learning", "models.teacher.train.distil: required key is missing"),
        ('distil = "finetune", learning', 'distill = "finetune", learning',
         "models.teacher.train.distill: unknown key. Did you mean 'distil'?"),
        ('teacher = "teacher", alpha', "alpha", "models.student.train.teacher: 'kd' needs a teacher. Models of this "
         "suite: 'plain', 'student', 'teacher', 'two-step'"),
        ('teacher = "teacher", alpha', "teacher = 3, alpha", "models.student.train.teacher: expected the name of a "
         "model or a list of names, got 3 (integer)"),
        ('{ step = "tune"', '{ teacher = "plain", step = "tune"', "models.two-step.train[1].teacher: 'finetune' takes "
         "no teacher: remove it, or choose another distiller"),
        ('{ step = "tune", distil = "finetune"', '{ step = "tune", distil = "finetune", on = "news"',
         "models.two-step.train[1].on: 'finetune' needs labels, and [data.news] has none: remove 'on'"),
        ('"teacher", "student"]', '"teacher", "studnet"]', "models.two-step.train[0].teacher[1]: 'studnet' is not a "
         "model of this suite. Did you mean 'student'? Known: 'plain', 'student', 'teacher', 'two-step'"),
        ('"teacher", "student"]', '"teacher", "teacher"]', "models.two-step.train[0].teacher[1]: 'teacher' is named "
         "twice"),
        ('step = "tune"', 'step = "distil"', "models.two-step.train[1].step: 'distil' names an earlier step too"),
        ('step = "tune", ', "", 'models.two-step.train[1]: one of several steps needs a name: step = "…"'),
        ('embeddings = "teacher"', 'embedings = "teacher"', "models.two-step.init.embedings: unknown key. Did you mean "
         "'embeddings'?"),
        ('embeddings = "teacher"', 'embeddings = "teachr"', "models.two-step.init.embeddings: 'teachr' is not a model "
         "of this suite. Did you mean 'teacher'? Known: 'plain', 'student', 'teacher', 'two-step'"),
        ('embeddings = "teacher"', 'layers_of = "teacher"', "models.two-step.init: 'layers_of' and 'keep' go together: "
         "{ layers_of = MODEL, keep = [0, 2, 4] }"),
        ('embeddings = "teacher"', "", "models.two-step.init: write { embeddings = MODEL } or "
         "{ layers_of = MODEL, keep = [0, 2, 4] }"),
        ("[models.plain]\nuse = \"lstm\"", "[models.plain]\nuse = \"lstm\"\ntrain = []",
         "models.plain.train: expected a table or a list of tables, got an empty list: leave 'train' out to use the "
         "model as it is"),
        ("[models.plain]\nuse = \"lstm\"", "[models.plain]\nuse = \"onnx-file\"\ntrain = { distil = 'finetune' }",
         "models.plain.train: 'onnx-file' cannot be trained, it is used as it is: remove 'train'"),
        ("[models.plain]\nuse = \"lstm\"", "[models.plain]\nuse = \"lstm\"\ntrain = { distil = 'hint', "
         "teacher = 'teacher' }", "models.plain.train.distil: 'hint' cannot train the 'sequence' head of this task. "
         "Its heads: 'token'"),
        ("[models.plain]\nuse = \"lstm\"", "[models.plain]\nuse = \"explosive\"\nfuse = 3",
         "models.plain: the plugin cannot check this: KeyError: 'no wire 3'"),
        ("[models.plain]", "[models.'pl,ain']\nuse = 'lstm'\n[models.plain]", "models.\"pl,ain\": 'pl,ain' (string) "
         "cannot be a name: use letters, digits, '_', '-', '.' and '+', a letter or digit first"),
        ('int8 = ["torch-int8"]', 'int8 = ["torch-int9"]', "chains.int8[0]: 'torch-int9' is not a known compressor. "
         "Did you mean 'torch-int8'? Known: 'crush', 'onnx', 'onnx-int8', 'torch-int8'"),
        ('int8 = ["torch-int8"]', 'int8 = [{ use = "onnx-int9" }]', "chains.int8[0].use: 'onnx-int9' is not a known "
         "compressor. Did you mean 'onnx-int8'? Known: 'crush', 'onnx', 'onnx-int8', 'torch-int8'"),
        ('int8 = ["torch-int8"]', 'int8 = "torch-int8"', "chains.int8: expected a list of compressors, got "
         "'torch-int8' (string)"),
        ('int8 = ["torch-int8"]', "int8 = []", "chains.int8: expected a list of compressors, got an empty list: 'none' "
         "is the empty chain"),
        ('int8 = ["torch-int8"]', 'int8 = ["torch-int8"]\nnone = ["onnx"]', "chains.none: 'none' is always the empty "
         "chain; choose another name"),
        ('int8 = ["torch-int8"]', 'int8 = ["onnx-int8"]', "chains.int8[0]: 'onnx-int8' consumes 'onnx' but 'torch' "
         "arrives; put 'onnx' before it"),
        ('int8 = ["torch-int8"]', 'int8 = ["onnx", "torch-int8"]', "chains.int8[1]: 'torch-int8' consumes 'torch' but "
         "'onnx' arrives; no known compressor turns 'onnx' into 'torch'"),
        ("per_channel = false", "per_chanel = false", "chains.onnx-int8[1].per_chanel: unknown key. Did you mean "
         "'per_channel'?"),
        ('anchor = { model = "teacher", compress = "none" }', 'anchor = { modle = "teacher" }',
         "suite.anchor.modle: 'modle' is not an axis of this matrix. Did you mean 'model'? "
         "Known: 'beta', 'compress', 'model'"),
        ('anchor = { model = "teacher", compress = "none" }', 'anchor = { model = "techer" }', "suite.anchor.model: "
         "'techer' (string) is not a value of 'model'. Did you mean 'teacher'? Values: teacher, student, two-step, "
         "plain"),
        ('anchor = { model = "teacher", compress = "none" }', "anchor = { seed = 1 }", "suite.anchor.seed: 'seed' is "
         "not an axis of a row: it is aggregated. Known: 'beta', 'compress', 'model'"),
        ('anchor = { model = "teacher", compress = "none" }', 'anchor = { model = "student" }',
         "suite.anchor: picks 2 rows, expected one: name 'beta' too"),
        ('anchor = { model = "teacher", compress = "none" }', 'anchor = { model = "plain", compress = "int8" }',
         "suite.anchor: picks no row: the matrix has each of these values, but not together"),
        ('of = "teacher"', 'of = "teachr"', "measure.retention.of: 'teachr' is not a model of this suite. Did you mean "
         "'teacher'? Known: 'plain', 'student', 'teacher', 'two-step'"),
        ('"macro_f1"', '"macro-f1"', "measure.retention.metric: 'macro-f1' is not a metric of task 'reviews'. Did you "
         "mean 'macro_f1'? Known: 'accuracy', 'macro_f1'"),
        ("[0.95, 0.99]", "[0.95, 99]", "measure.retention.at_least[1]: expected at most 1, got 99"),
        ("[0.95, 0.99]", "[]", "measure.retention.at_least: expected at least 1 item, got 0"),
        ("threads = 2 }", "threds = 2 }", "measure.speed.threds: unknown key. Did you mean 'threads'?"),
        ('speed = { workloads = ["single"], threads = 2 }', "speed = 'no'", "measure.speed: expected a table or false, "
         "got 'no' (string)"),
        ('row = "Their CNN"', "row = 3", "published[1].row: expected axes of the matrix or the name of another row, "
         "got 3 (integer)"),
        ('row = "Their CNN"\n', "", "published[1].row: required key is missing"),
        ('source = "Table 2"\n', "", "published[0].source: required key is missing"),
        ("size_mib = 12", "size_mib = [12]", "published[0].size_mib: expected a number or a string, got a list"),
        ('row = { model = "student", compress = "int8" }', 'row = { model = "studnt" }', "published[0].row.model: "
         "'studnt' is not a model of this suite. Did you mean 'student'? Known: 'plain', 'student', 'teacher', "
         "'two-step'"),
        ('row = { model = "student", compress = "int8" }', 'row = { mode = "student" }', "published[0].row.mode: "
         "'mode' is not an axis of a row. Did you mean 'model'? Known: 'beta', 'compress', 'model'"),
        ('text = "Distillation helps"', "txt = 'x'", "claims[0].text: required key is missing"),
        ("schema = 1", "schema = 2", "schema: 2 is newer than what this version of the harness reads, 1: upgrade the "
         "harness"),
        ("schema = 1", "schema = '1'", "schema: expected 1, got '1' (string)"),
        ("schema = 1", "", "schema: required key is missing: write schema = 1 as the first line"),
    ],
)  # fmt: skip
def test_every_mistake_has_its_sentence(old: str, new: str, expected: str) -> None:
    assert expected in at(GOOD, old, new)


def test_a_suite_of_nothing_says_what_to_write() -> None:
    assert problems("") == [
        "suite:1:1: schema: required key is missing: write schema = 1 as the first line",
        'suite:1:1: suite: required table is missing: write [suite] with name = "…"',
        'suite:1:1: task: required table is missing: write [task] with use = "…"',
        'suite:1:1: models: required table is missing: write [models.NAME] with use = "…"',
    ]


def test_a_newer_schema_is_the_only_thing_said() -> None:
    assert len(problems(GOOD.replace("schema = 1", "schema = 2").replace("[models", "[modules"))) == 1


def test_students_and_their_heads() -> None:
    text = HEAD.replace("reviews", "questions") + "[models.a]\nuse = 'lstm'\n"
    assert problems(text) == [
        "suite:5:7: models.a.use: 'lstm' has no 'span' head, which task 'questions' needs. Its heads: 'sequence', "
        "'token'"
    ]


def test_who_needs_whom_must_have_a_beginning() -> None:
    text = HEAD + "".join(
        f"[models.{name}]\nuse = 'lstm'\ntrain = {{ distil = 'kd', teacher = '{teacher}' }}\n"
        for name, teacher in (("a", "b"), ("b", "c"), ("c", "a"))
    )
    ring = "'a' needs 'b' needs 'c' needs 'a', as teacher or for its first weights: that has no beginning"
    assert problems(text) == [f"suite:4:9: models.a: {ring}"]
    borrowed = text.replace("train = { distil = 'kd', teacher = 'c' }", "init = { embeddings = 'c' }")
    assert problems(borrowed) == [f"suite:4:9: models.a: {ring}"]


def test_a_chain_that_fits_some_models_says_which_it_does_not_fit() -> None:
    text = HEAD + MODELS + "[models.file]\nuse = 'onnx-file'\n[chains]\nint8 = ['onnx', 'onnx-int8']\n"
    matrix = "[matrix]\ncompress = ['none', 'int8']\n"
    assert problems(text + matrix) == [
        "suite:13:9: chains.int8[0]: 'onnx' consumes 'torch' but 'onnx' arrives; "
        'exclude { model = "file", compress = "int8" }'
    ]
    assert len(parse(text + matrix + "exclude = [{ model = 'file', compress = 'int8' }]").cells) == 5


def test_a_teacher_without_training_is_used_as_it_is() -> None:
    suite = parse(HEAD + MODELS.replace("train = { distil = 'finetune' }", ""))
    assert suite.models["small"].train[0].teacher == ("big",)


def test_a_param_may_be_a_word_that_python_reserves() -> None:
    model = "[models.c]\nuse = 'lstm'\ntrain = { distil = 'lambda-kd', teacher = 'big', lambda = 2 }\n"
    step = parse(HEAD + MODELS + model).models["c"].train[0]
    assert step.params.model_dump() == {"weight": 2.0}
    wrong = problems(HEAD + MODELS + model.replace("lambda = 2", "weight = 2"))
    assert wrong[0].startswith("suite:12:50: models.c.train.weight: unknown key. ")


def test_a_plugin_that_takes_the_loops_words_is_at_fault() -> None:
    text = HEAD + "[models.a]\nuse = 'lstm'\ntrain = { distil = 'greedy', epochs = 4 }\n"
    assert problems(text) == [
        "suite:6:20: models.a.train.distil: distiller 'greedy' declares the parameter 'epochs', which belongs to the "
        "harness: its plugin must rename it"
    ]


def test_a_broken_plugin_is_named_when_the_suite_needs_it() -> None:
    registry = replace(REGISTRY, broken={"harness-cnn 1.0": "ImportError: no cnn"})
    with pytest.raises(SuiteError) as caught:
        parse_suite(HEAD + "[models.a]\nuse = 'cnn'\n", registry)
    assert caught.value.problems[0].endswith("Plugin 'harness-cnn 1.0' failed to load: ImportError: no cnn")
    assert parse_suite(GOOD, registry).cells


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
    later = problems(GOOD, "models.teacher.train.epochs=x", "models.teacher.train={distil='finetun'}")
    assert later[0].startswith("--set models.teacher.train={distil='finetun'}: models.teacher.train.distil: 'finetun'")


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
    path.write_bytes('schema = 1\n# ой: '.encode() + "привет".encode("cp1251"))
    assert load(path) == f"{path}:2:7: byte 0xef is not UTF-8: save the file as UTF-8"
    path.write_text("schema = 1\n[suite\n")
    assert load(path) == f"{path}:2:7: not valid TOML: expected ']' at the end of a table declaration"
    path.write_text("schema = 1\nschema = 1\n")
    assert load(path) == f"{path}:2:11: not valid TOML: cannot overwrite a value"
    path.write_text("a = 1\nb = [1,\n")
    assert load(path) == f"{path}:3:1: not valid TOML: invalid value"
    path.write_text(f"a = {'9' * 5000}")
    assert load(path).startswith(f"{path}: not valid TOML: ")
    path.write_text(f"a = {'[' * 5000}{']' * 5000}")
    assert load(path) == f"{path}: nested too deeply for a suite"


def test_messages_never_carry_control_characters() -> None:
    (line,) = problems(GOOD.replace('name = "small"', 'name = "\\u001b[31m\\nred"'))
    assert line.isprintable()
    assert r"'\x1b[31m\nred'" in line


# ----------------------------------------------------------------------------------------------------------------- fuzz

GARBAGE = ("-1", "true", '"x"', "[]", "[{}]", "{ a = 1 }", '["teacher"]', "nan")


def paths(value: Any, loc: tuple[str, ...] = ()) -> Iterator[str]:
    if loc:
        yield ".".join(loc)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*loc, f'"{key}"'))


def only_suite_errors(text: str, *overrides: str) -> bool:
    """Whether the suite is refused; anything but SuiteError goes through and fails the test."""
    try:
        parse(text, *overrides)
    except SuiteError as error:
        lines = error.problems
    else:
        return False
    assert lines
    assert all(line.isprintable() and ": " in line for line in lines)
    return True


def test_garbage_in_any_place_is_a_message() -> None:
    places = list(paths(tomllib.loads(GOOD)))
    assert len(places) > 90
    refused = [
        only_suite_errors(GOOD, f"{place}{deeper}={garbage}")
        for index, place in enumerate(places)
        for garbage in GARBAGE
        for deeper in (("", ".new") if index % 5 == 0 else ("",))
    ]
    assert sum(refused) > 0.9 * len(refused)


def test_mangled_text_is_a_message() -> None:
    chance = random.Random(5)  # noqa: S311
    refused = 0
    for _ in range(900):
        text = GOOD
        for _ in range(chance.randrange(1, 4)):
            lines = text.splitlines(keepends=True)
            here, there = chance.randrange(len(lines)), chance.randrange(len(lines))
            spot = chance.randrange(len(text))
            words = text.split()
            text = chance.choice(
                [
                    text[:spot] + text[spot + chance.randrange(1, 12) :],
                    text[:spot] + chance.choice("\"'[]{}=.,#\n\\ \0é1a-") + text[spot:],
                    "".join(lines[:here] + lines[here + 1 :]),
                    "".join([*lines[:here], lines[there], *lines[here:]]),
                    text.replace(chance.choice(words), chance.choice(words), 1),
                ]
            )
        refused += only_suite_errors(text)
    assert refused > 600
