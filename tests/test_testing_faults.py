"""Every check of the conformance kit fails for a component that breaks its promise, and no other check does."""

from __future__ import annotations

from dataclasses import replace

import planted
import pytest
from planted import OTHER_STUDENT, RUNTIME, STUDENT, compressor

from harness.plugins import build_registry
from harness.testing import checks


def failed(kind, spec, folder, *others):
    """Names of the checks that a component fails, and all findings."""
    found = {}
    for check in checks(kind, spec.name, build_registry([spec, *others])):
        own = folder / check.name
        own.mkdir()
        found[check.name] = check.run(own)
    return [name for name, finding in found.items() if finding.status == "failed"], found


MATRIX = (STUDENT, RUNTIME)


def test_a_sound_compressor_passes(tmp_path):
    names, found = failed("compressor", compressor("Slow"), tmp_path, *MATRIX)
    assert not names, found
    assert found["resumes"].note == "killed while it wrote"
    assert {name for name, finding in found.items() if finding.status == "not applicable"} == {"light-import"}
    assert found["deterministic"].note == "the same bytes from two processes"


COMPRESSORS = [
    ("documented", compressor("Half", version=0), "version = 0"),
    ("documented", compressor("Half", summary=" "), "summary"),
    ("documented", compressor("Half", params=planted.Undescribed), "without a description: bits"),
    ("documented", compressor("Half", execution_only=frozenset({"speed"})), "names 'speed', which is no param"),
    ("defaults", compressor("Half", params=planted.BadDefault), "greater than or equal to 1"),
    ("defaults", compressor("Half", params=planted.NoJson), "refused by its own params"),
    ("consumes", compressor("OneFormatOnly", consumes=("matrix", "matrix-b")), "cannot read this"),
    ("consumes", compressor("Crashes"), "ended with SIGABRT"),
    ("consumes", compressor("Exits"), "ended with exit code 3"),
    ("consumes", compressor("ReadsTexts"), "without having said so"),
    ("consumes", replace(compressor("Half"), factory="planted:Nobody"), "planted:Nobody"),
    ("consumes", compressor("NoMethod"), "factory 'planted:NoMethod' makes a NoMethod, which has no method `compress`"),
    ("produces", compressor("Half", produces="void"), "no installed runtime loads the format 'void'. Known: 'matrix'"),
    ("facts", compressor("SaysNothing"), "no `changed`"),
    ("facts", compressor("NoJsonFacts"), "facts that are not JSON"),
    ("facts", compressor("NotFinite"), "facts.errors.worst[1] is nan, expected a finite number"),
    ("facts", compressor("TooManyBytes"), "at most"),
    ("round-trip", compressor("Placed"), "from another folder"),
    ("parity", compressor("Wrong"), "declare `tolerance`"),
    ("batch-invariance", compressor("BatchMates"), "batch mates"),
    ("batch-invariance", compressor("Padding"), "padding"),
    ("dynamic-lengths", compressor("Lengths"), "a 2×17 batch"),
    ("odd-inputs", compressor("Empty"), "not finite"),
    ("deterministic", compressor("Hashes"), "two processes"),
    ("resumes", compressor("Torn"), "after a kill"),
    ("leaves-nothing", compressor("LeavesHome"), "files left behind: home/.cache/planted"),
    ("leaves-nothing", compressor("LeavesHere"), "work/planted.log"),
    ("leaves-nothing", compressor("LeavesTemporary"), "files left behind: tmp/"),
    ("leaves-nothing", compressor("LeavesProcess"), "processes left behind"),
    ("leaves-nothing", compressor("LeavesThread"), "threads left behind: planted"),
    ("leaves-nothing", compressor("WritesElsewhere"), "elsewhere.txt"),
    ("leaves-nothing", compressor("AsksNetwork"), "network: localhost"),
    ("source-kept", compressor("ChangesSource"), "notes.txt"),
    ("no-test-split", compressor("ReadsTest"), "test.jsonl"),
    ("no-test-split", compressor("ReadsTestNearby"), "test.jsonl"),
    ("audit", compressor("Copies"), "nothing was quantized"),
    ("audit", compressor("Unchanged"), "did nothing"),
    ("audit", compressor("Unchanged", expects_change=False), "answers are others"),
    ("audit", compressor("Masks", tolerance=1.0), "masked, not removed"),
    ("audit", compressor("MasksAndSays", tolerance=1.0), "does not say so (`masks`)"),
]  # fmt: skip


MASKS = compressor("MasksAndSays", tolerance=1.0, masks=lambda params: True)


@pytest.mark.parametrize(("name", "spec", "said"), COMPRESSORS, ids=lambda value: getattr(value, "factory", None))
def test_a_compressor_fails_one_check(name, spec, said, tmp_path):
    names, found = failed("compressor", spec, tmp_path, *MATRIX, OTHER_STUDENT)
    assert names == [name], found
    assert said in found[name].note


def test_a_compressor_of_other_heads_fails_there(tmp_path):
    student = replace(STUDENT, heads=("sequence", "token"))
    words = replace(RUNTIME, factory="planted:WordsRuntime")
    names, found = failed("compressor", compressor("WrongForTokens"), tmp_path, student, words)
    assert names == ["heads"], found


def test_what_a_spec_declares_is_no_failure(tmp_path):
    names, found = failed("compressor", compressor("BatchMates", batch_dependent=True), tmp_path, *MATRIX)
    assert not names
    assert found["batch-invariance"].status == "declared"
    assert "batch mates 0." in found["batch-invariance"].note
    (tmp_path / "more").mkdir()
    names, found = failed("compressor", MASKS, tmp_path / "more", *MATRIX)
    assert not names
    assert found["audit"].status == "declared"


# ------------------------------------------------------------------------------------------------------------ runtimes

RUNTIMES = [
    ("loads", "Nobody", "cannot be imported"),
    ("loads", "OneFormatRuntime", "not this one"),
    ("dynamic-lengths", "LengthRuntime", "2×17"),
    ("odd-inputs", "EmptyRuntime", "not finite"),
    ("arrays-kept", "WritingRuntime", "changes the arrays"),
    ("floats", "DoubleRuntime", "float64"),
    ("threads", "Eager", "it started 1 beside"),
    ("refuses", "Trusting", "loads a folder without a model"),
    ("refuses", "Careless", "FileNotFoundError"),
    ("states", "FlatStatesRuntime", "[batch, length, width] was expected"),
]


@pytest.mark.parametrize(("name", "factory", "said"), RUNTIMES)
def test_a_runtime_fails_one_check(name, factory, said, tmp_path):
    spec = replace(RUNTIME, factory=f"planted:{factory}", gives_states=name == "states")
    names, found = failed("runtime", spec, tmp_path, STUDENT, OTHER_STUDENT)
    assert names == [name], found
    assert said in found[name].note


def test_a_runtime_that_is_off_fails_one_check(tmp_path):
    from planted_torch import SHIFTED, student

    names, found = failed("runtime", SHIFTED, tmp_path, student("Ngram", factory="harness_ngram.student:Ngram"))
    assert names == ["agrees"], found
    assert "differ from PyTorch's" in found["agrees"].note


# --------------------------------------------------------------------------------------------------------------- tasks

TASKS = [
    ("light-task", "heavy", {}, "imports torch"),
    ("prepares", "SameIds", {}, "an `id` of its own"),
    ("prepares", "Shuffled", {}, "twice gives other examples"),
    ("prepares", "NoDev", {}, "no examples for dev"),
    ("disjoint", "Leaking", {}, "3 texts of test stand in train"),
    ("targets", "FloatTargets", {}, "is no class id"),
    ("metrics", "Unscaled", {}, "from 0 to 1"),
    ("maximum", "Upside", {}, "accuracy = 0.0000"),
    ("weights", "Unweighted", {}, "where examples weigh 0, 1 and 2"),
    ("few", "Many", {}, "of one example is [nan]"),
    ("answers", "NumericAnswers", {}, "not JSON serializable"),
    ("chance", "NoChance", {}, "chance is nan"),
]


@pytest.mark.parametrize(("name", "factory", "fields", "said"), TASKS)
def test_a_task_fails_one_check(name, factory, fields, said, tmp_path):
    from planted_tasks import task

    names, found = failed("task", task(factory, **fields), tmp_path)
    assert names == ([name] if name != "metrics" else ["metrics", "maximum"]), found
    assert said in found[name].note


def test_a_task_that_declares_more_than_it_computes_fails(tmp_path):
    from planted_tasks import task

    from harness import Metric

    spec = task(
        "Sentiment", factory="harness_sentiment.task:Sentiment", metrics=(Metric(name="accuracy"), Metric(name="x"))
    )
    names, found = failed("task", spec, tmp_path)
    assert names[0] == "metrics"
    assert "declares x" in found["metrics"].note


@pytest.mark.parametrize(("factory", "said"), [("Uncritical", "for 9 classes"), ("Overlooking", "122 of 123")])
def test_a_task_with_critical_types_fails_one_check(factory, said, tmp_path):
    from planted_tasks import entities

    names, found = failed("task", entities(factory), tmp_path)
    assert names == ["critical"], found
    assert said in found["critical"].note


# ----------------------------------------------------------------------------------------------------------- distillers

DISTILLERS = [
    ("finite-loss", "Unsteady", {}, "and then"),
    ("finite-loss", "PerUnit", {}, "one finite number was expected"),
    ("finite-loss", "NanPart", {}, "part 'teacher'"),
    ("gradient", "Detached", {}, "missing, zero or not finite"),
    ("descends", "Away", {}, "away from labels and teacher"),
    ("finite-loss", "LossAlone", {}, "returned a Tensor; expected the loss and its parts"),
    ("at-the-teacher", "Smoothed", {}, "its gradient"),
    ("at-the-teacher", "DeafToItsTeacher", {}, "without labels the loss has no gradient"),
    ("masks", "Blind", {}, "unknown to the teacher"),
    ("masks", "Everywhere", {}, "do not exist"),
    ("weights", "Deaf", {"weighs_teachers": True}, "weights of 0 and 1 choose no teacher"),
    ("unlabelled", "LabelsAlways", {}, "no labels the loss is nan"),
    (
        "supports",
        "Soft",
        {"supports": lambda params, head, classes: "" if classes == 9 else None},
        "None or a sentence",
    ),
    ("supports", "Soft", {"reduces_to": lambda params: ("nobody", {})}, "no installed distiller"),
]


@pytest.mark.parametrize(("name", "factory", "fields", "said"), DISTILLERS)
def test_a_distiller_fails_one_check(name, factory, fields, said, tmp_path):
    from planted_torch import distiller

    names, found = failed("distiller", distiller(factory, **fields), tmp_path)
    assert names == [name], found
    assert said in found[name].note


def test_a_sound_distiller_passes(tmp_path):
    from planted_torch import distiller

    names, found = failed("distiller", distiller("Soft"), tmp_path)
    assert not names, found


# ------------------------------------------------------------------------------------------------------------- students

STUDENTS = [
    ("builds", "Numeric", {}, "facts that are not JSON"),
    ("builds", "Raising", {}, "no such layer"),
    ("round-trip", "Forgetful", {}, "loaded again it answers differently"),
    ("batch-invariance", "BatchMates", {}, "batch mates"),
    ("dynamic-lengths", "Lengths", {}, "a 7×23 batch"),
    ("odd-inputs", "Ngram", {"factory": "harness_ngram.student:Ngram", "encoder": "planted:fussy"}, "no words"),
    ("light-encoder", "Ngram", {"factory": "harness_ngram.student:Ngram", "encoder": "planted_torch:heavy_encoder"}, "imports torch"),
    ("deterministic", "Hashed", {}, "the same seed in two processes"),
    ("deterministic", "Seedless", {}, "the seed is not used"),
    ("labels", "Renamed", {}, "names the classes"),
    ("learns", "Upwards", {}, "the loss went from"),
    ("gradients", "Idle", {}, "such as spare"),
    ("leaves-nothing", "Littering", {}, "home/planted.txt"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "factory", "fields", "said"), STUDENTS)
def test_a_student_fails_one_check(name, factory, fields, said, tmp_path):
    from planted_torch import student

    from harness_torch.plugin import harness_runtimes

    names, found = failed("student", student(factory, **fields), tmp_path, *harness_runtimes())
    assert names == [name], found
    assert said in found[name].note


def test_a_student_may_freeze_what_it_does_not_train(tmp_path):
    from planted_torch import student

    from harness_torch.plugin import harness_runtimes

    names, found = failed("student", student("Frozen"), tmp_path, *harness_runtimes())
    assert not names, found
    assert found["gradients"].status == "declared"


# --------------------------------------------------------------------------------- executors, reporters and observers

RUNNING = [
    ("executor", "Lying", "runs", "the store does not have it"),
    ("executor", "Raising", "fails", "a worker died"),
    ("executor", "Full", "waits", "closed already"),
    ("reporter", "Elsewhere", "names", "without folders"),
    ("reporter", "Dated", "same", "other bytes"),
    ("reporter", "Raw", "quiet", "U+001B"),
    ("reporter", "heavy", "light-factory", "imports torch"),
    ("observer", "Strict", "notices", "UnicodeEncodeError"),
    ("observer", "Meddling", "notices-kept", "changes the notices"),
    ("observer", "Lingering", "ends", "threads go on"),
    ("observer", "heavy_watcher", "light-factory", "imports torch"),
]


@pytest.mark.parametrize(("kind", "work", "name", "said"), RUNNING)
def test_what_surrounds_a_run_fails_one_check(kind, work, name, said, tmp_path):
    import planted_running

    names, found = failed(kind, getattr(planted_running, kind)(work), tmp_path)
    assert names == [name], found
    assert said in found[name].note


def test_every_check_of_every_kind_is_proved_here():
    import importlib

    from harness.testing.kit import MODULES

    proved = {
        "compressor": {name for name, *_ in COMPRESSORS} | {"heads", "light-import"},  # the latter in test_testing_kit
        "student": {name for name, *_ in STUDENTS},
        "distiller": {name for name, *_ in DISTILLERS},
        "task": {name for name, *_ in TASKS} | {"critical"},
        "runtime": {name for name, *_ in RUNTIMES} | {"agrees"},
        **{kind: {name for one, _, name, _ in RUNNING if one == kind} for kind in ("executor", "reporter", "observer")},
    }
    common = {"documented", "defaults", "light-import"}
    for kind, module in MODULES.items():
        assert {look.name for look in importlib.import_module(module).CHECKS} == proved[kind] | common, kind
