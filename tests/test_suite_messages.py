"""The exact words for everything that can be wrong with a suite's tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from suite_helpers import GOOD, HEAD, MODELS, REGISTRY, parse, problems

from harness.errors import SuiteError
from harness.suite import parse_suite


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
        (
            'name = "small"',
            f'name = "{"n" * 65}"',
            f"suite.name: '{'n' * 64}' (string)… has 65 characters, a name has at most 64",
        ),
        ("[measure]", "[select]\naxis = 'betta'\n[measure]", "select.axis: 'betta' is not an axis of this suite's matrix. "
         "Did you mean 'beta'? Known: 'beta', 'compress'"),
        ("[measure]", "[select]\naxis = 'beta'\nmetric = 'f1'\n[measure]", "select.metric: 'f1' is not a metric of task "
         "'reviews'. Known: 'accuracy', 'macro_f1'"),
        ("[measure]", "[select]\nmetric = 'accuracy'\n[measure]", "select.axis: required key is missing"),
        ("[measure]", "[mesure]\n[measure]", "mesure: unknown key. Did you mean 'measure'?"),
        ("[measure]", "[measure]\nx = 1", "measure.x: unknown key. Known: 'confidence', 'energy', 'retention', 'speed'"),
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
        ('use = "reviews"', 'use = "questions"', "task.labels: unknown key. Known: 'doc_stride', 'max_length', 'source', 'use'"),
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
        ('embeddings = "teacher"', 'tokenizer = "teacher"', "models.two-step.init.tokenizer: 'lstm' takes no 'tokenizer' "
         "from other models. It takes: 'embeddings', 'layers_of'"),
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
        ('int8 = ["torch-int8"]', 'int8 = ["onnx", { recover = { distil = "finetune" } }]', "chains.int8[1]: 'recover' "
         "consumes 'torch' but 'onnx' arrives; no known compressor turns 'onnx' into 'torch': put it earlier in the "
         "chain, or leave it out"),
        ('int8 = ["torch-int8"]', 'int8 = ["recover"]', "chains.int8[0]: 'recover' is training: write { recover = { "
         'distil = "…" } }'),
        ('int8 = ["torch-int8"]', 'int8 = [{ recover = { distil = "kd" } }]', "chains.int8[0].recover.teacher: 'kd' needs "
         "a teacher. Models of this suite: 'plain', 'student', 'teacher', 'two-step'"),
        ('int8 = ["torch-int8"]', 'int8 = [{ recover = { distil = "finetune" }, use = "onnx" }]', "chains.int8[0].use: "
         "unknown key. Known: 'recover'"),
        ('int8 = ["torch-int8"]', 'int8 = [{ recover = "finetune" }]', "chains.int8[0].recover: expected a table, got "
         "'finetune' (string)"),
        ('int8 = ["torch-int8"]', 'int8 = ["onnx", "torch-int8"]', "chains.int8[1]: 'torch-int8' consumes 'torch' but "
         "'onnx' arrives; no known compressor turns 'onnx' into 'torch': put it earlier in the chain, or leave it out"),
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
        ("size_mib = 12", "size_mib = [12]", "published[0].size_mib: expected a number, got a list"),
        ("size_mib = 12", "size_mb = 12", "published[0].size_mb: unknown key. Did you mean 'size_mib'?"),
        ("size_mib = 12", "minutes = 0", "published[0].minutes: expected a value greater than 0, got 0"),
        ("size_mib = 12", "note = 12", "published[0].note: expected a string, got 12 (integer)"),
        ('row = { model = "student", compress = "int8" }', 'row = { model = "studnt" }', "published[0].row.model: "
         "'studnt' is not a model of this suite. Did you mean 'student'? Known: 'plain', 'student', 'teacher', "
         "'two-step'"),
        ('row = { model = "student", compress = "int8" }', 'row = { mode = "student" }', "published[0].row.mode: "
         "'mode' is not an axis of a row. Did you mean 'model'? Known: 'beta', 'compress', 'model'"),
        ('text = "Distillation helps"', "txt = 'x'", "claims[0].text: required key is missing"),
        ("[measure]", "[report]\ncolums = []\n[measure]", "report.colums: unknown key. Did you mean 'columns'?"),
        ("[measure]", "[report]\ncolumns = ['accuracy', 'sise']\n[measure]", "report.columns[1]: 'sise' is not a column. "
         "Did you mean 'size'? Known: 'accuracy', 'batch_seconds', 'examples', 'final', 'folder', 'macro_f1', 'minutes', "
         "'parameters', 'peak', 'per_minute', 'request_ms', 'size', 'test_tokens', 'tokens', 'training', 'training_ratio'"),
        ("[measure]", "[report]\ncolumns = ['size', 'size']\n[measure]", "report.columns[1]: 'size' is named twice"),
        ("[measure]", "[report]\ncolumns = 'size'\n[measure]", "report.columns: expected a list, got 'size' (string). "
         'Write ["size"]'),
        ("[measure]", "[report]\nfigures = ['los']\n[measure]", "report.figures[0]: 'los' is not a figure. "
         "Did you mean 'loss'? Known: 'epochs', 'front', 'loss', 'time'"),
        ("[measure]", "[report]\nfigures = ['time', 'time']\n[measure]", "report.figures[1]: 'time' is named twice"),
        ("[measure]", "[report]\nmatrix = { rows = 'model' }\n[measure]", "report.matrix.columns: required key is missing"),
        ("[measure]", "[report]\nmatrix = { rows = 'model', columns = [] }\n[measure]", "report.matrix.columns: "
         "expected at least 1 item, got 0"),
        ("[measure]", "[report]\nmatrix = { rows = 'model', columns = 3 }\n[measure]", "report.matrix.columns: "
         "expected the name of an axis or a list of names, got 3 (integer)"),
        ("[measure]", "[report]\nmatrix = { rows = 'modle', columns = ['beta', 'compress'] }\n[measure]",
         "report.matrix.rows[0]: 'modle' is not an axis of a row. Did you mean 'model'? Known: 'beta', 'compress', 'model'"),
        ("[measure]", "[report]\nmatrix = { rows = 'model', columns = ['beta', 'model'] }\n[measure]",
         "report.matrix.columns[1]: 'model' is named twice"),
        ("[measure]", "[report]\nmatrix = { rows = 'model', columns = 'compress' }\n[measure]", "report.matrix: leaves "
         "out 'beta', which has several values: name it in rows or columns"),
        ("[measure]", "[report]\nmatrix = { rows = 'model', columns = 'beta', metric = 'acc' }\n[measure]",
         "report.matrix.metric[0]: 'acc' is not a metric of the task. Known: 'accuracy', 'macro_f1'"),
        ("[measure]", "[report]\nmatrix = { rows = 'model', colums = 'beta' }\n[measure]", "report.matrix.colums: "
         "unknown key. Did you mean 'columns'?"),
        ("schema = 1", "schema = 2", "schema: 2 is newer than what this version of the harness reads, 1: upgrade the "
         "harness"),
        ("schema = 1", "schema = '1'", "schema: expected 1, got '1' (string)"),
        ("schema = 1", "", "schema: required key is missing: write schema = 1 as the first line"),
    ],
)  # fmt: skip
def test_every_mistake_has_its_sentence(old: str, new: str, expected: str) -> None:
    assert expected in at(GOOD, old, new)


CLAIM = 'compares = ["student", "plain"]'
JUDGED = """\
row = { model = "student" }
than = "Their CNN"
quantity = "accuracy"
difference_at_least = 1.0
"""
BARS = "'difference_above', 'difference_at_least', 'difference_at_most', 'difference_below', 'ratio_at_least', 'ratio_at_most', 'within'"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('model = "student"', 'model = "studnt"', "row.model: 'studnt' is not a model of this suite. "
         "Did you mean 'student'? Known: 'plain', 'student', 'teacher', 'two-step'"),
        ('"Their CNN"', '"Their RNN"', "than: 'Their RNN' is not the row of a [[published]] outsider. "
         "Did you mean 'Their CNN'? Known: 'Their CNN'"),
        ('than = "Their CNN"\n', "", "than: required key is missing: a claim that is judged needs it"),
        ('"accuracy"', '"acuracy"', "quantity: 'acuracy' is not a quantity. Did you mean 'accuracy'? Known: "
         "'accuracy', 'forward', 'macro_f1', 'parameters', 'request', 'size', 'training'"),
        ("difference_at_least = 1.0\n", "", f"expected exactly one of {BARS}, found none"),
        ("difference_at_least = 1.0\n", "difference_at_least = 1.0\nwithin = 2\n", f"expected exactly one of {BARS}, "
         "found 'difference_at_least', 'within'"),
        ("difference_at_least = 1.0", "ratio_at_least = 0", "ratio_at_least: expected a value greater than 0, got 0"),
        ('"accuracy"', '"request"', "difference_at_least: times are compared as ratios: write 'ratio_at_least', "
         "'ratio_at_most' instead"),
    ],
)  # fmt: skip
def test_a_claim_that_can_be_judged_says_all_that_it_takes(old: str, new: str, expected: str) -> None:
    good = GOOD.replace(CLAIM, JUDGED)
    assert parse(good).claims[0]["difference_at_least"] == 1.0
    (line,) = at(good, JUDGED, JUDGED.replace(old, new))
    assert line in (f"claims[0].{expected}", f"claims[0]: {expected}")


def test_places_of_published_rows_count_what_is_no_table() -> None:
    text = HEAD + MODELS
    assert problems("published = [3, { row = 'x', accuracy = 'y', source = 's' }]\n" + text) == [
        "suite:1:14: published[0]: expected a table, got 3 (integer)",
        "suite:1:41: published[1].accuracy: expected a number, got 'y' (string)",
    ]


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


def test_a_model_that_cannot_be_trained_is_not_trained_inside_a_chain() -> None:
    text = HEAD + MODELS + "[models.still]\nuse = 'frozen'\n[chains]\nagain = [{ recover = { distil = 'finetune' } }]\n"
    matrix = "[matrix]\ncompress = ['none', 'again']\n"
    assert problems(text + matrix) == [
        "suite:13:12: chains.again[0].recover: 'frozen' cannot be trained, it is used as it is: "
        'exclude { model = "still", compress = "again" }'
    ]
    assert len(parse(text + matrix + "exclude = [{ model = 'still', compress = 'again' }]").cells) == 5
    alone = f"{text}[matrix]\nmodel = 'file'\n".replace("frozen", "onnx-file").replace("still", "file")
    assert problems(alone.replace("'file'\n", "['file']\ncompress = ['again']\n")) == [
        "suite:13:10: chains.again[0]: 'recover' consumes 'torch' but 'onnx' arrives; no known compressor turns 'onnx' "
        "into 'torch': leave the chain out, or name other models"
    ]


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
