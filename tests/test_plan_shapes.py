"""Plans of suites that later components will need, made without torch: the plan carries them before they exist."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.assets import Places
from harness.errors import PluginError
from harness.keys import Ref, Stage
from harness.plan import Context, Plan
from harness.planner import make_plan
from harness.plugins import build_registry
from harness.specs import CompressorSpec, DistillerSpec, Metric, Params, RuntimeSpec, StudentSpec, TaskSpec
from harness.suite import parse_suite


class StudentParams(Params):
    hidden_size: int = 64
    tokenizer: str | None = None


class Kd(Params):
    alpha: float = 0.5


class Constrained(Params):
    beta: float = 0.5


NOWHERE = "never.imported:Thing"
HEADS = ("sequence", "token", "nested-token", "span")


def registry(scoring_version: int = 1):
    common = {"summary": "planned, not run", "version": 1, "factory": NOWHERE}
    tasks = [
        TaskSpec(
            name=f"fake-{head}", head=head, metrics=(Metric(name="f1"),), scoring_version=scoring_version, **common
        )
        for head in HEADS
    ]  # fmt: skip
    students = [
        StudentSpec(
            name=name, heads=HEADS, encoder=NOWHERE, params=StudentParams, assets=("tokenizer",), init=("embeddings", "tokenizer"),
            reads_text=lambda params: params.tokenizer is None, **common,
        )
        for name in ("transformer", "lstm")
    ]  # fmt: skip
    distillers = [
        DistillerSpec(name="finetune", heads=HEADS, needs_teacher=False, **common),
        DistillerSpec(
            name="picky",
            heads=HEADS,
            needs_teacher=False,
            supports=lambda params, head, classes: "never fits",
            **common,
        ),
        DistillerSpec(name="kd", heads=HEADS, needs_teacher=True, weighs_teachers=True, params=Kd, **common),
        DistillerSpec(name="mse", heads=HEADS, needs_teacher=True, needs_labels=False, **common),
        DistillerSpec(name="constrained", heads=HEADS, needs_teacher=True, params=Constrained, **common),
    ]
    compressors = [
        CompressorSpec(name="prune", consumes=("torch",), produces="torch", **common),
        CompressorSpec(
            name="curious",
            consumes=("torch",),
            produces="torch",
            fits=lambda params, student, before: params.share,
            **common,
        ),
        CompressorSpec(name="onnx", consumes=("torch",), produces="onnx", **common),
        CompressorSpec(
            name="static-int8", consumes=("onnx",), produces="onnx-int8", calibrates=True, isa_dependent=True, **common
        ),
    ]
    runtimes = [
        RuntimeSpec(name="torch", formats=("torch",), **common),
        RuntimeSpec(name="ort", formats=("onnx", "onnx-int8"), **common),
    ]
    return build_registry([*tasks, *students, *distillers, *compressors, *runtimes])


def plan_of(text: str, folder: Path, weights: str = "given", machine: str = "box", scoring_version: int = 1) -> Plan:
    components = registry(scoring_version)
    context = Context(
        registry=components,
        places=Places(folder),
        machine={"isa": "x86-64-vnni", "identity": {"cpu": machine}},
        library_version=lambda name: "1.0",
        weights=weights,
    )
    return make_plan(parse_suite(text, components), context)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.jsonl").write_text("{}\n")
    (tmp_path / "news.txt").write_text("news\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tokenizer.json").write_text("{}")
    return tmp_path


def kinds(plan: Plan) -> dict[str, int]:
    return dict(Counter(stage.kind for stage in plan.stages.values()))


def the(plan: Plan, label: str) -> Stage:
    found = [stage for stage in plan.stages.values() if stage.label == label]
    assert len(found) == 1, [stage.label for stage in plan.stages.values()]
    return found[0]


HEAD = """
schema = 1
[suite]
name = "s"
title = "t"
anchor = {{ model = "{anchor}", compress = "none" }}
[task]
use = "fake-{head}"
source = "train.jsonl"
"""


def test_span_student_of_two_teachers_with_another_tokenizer(folder: Path) -> None:
    plan = plan_of(
        HEAD.format(anchor="big", head="span")
        + """
[models.big]
use = "transformer"
train = { distil = "finetune" }
[models.large]
use = "transformer"
hidden_size = 128
train = { distil = "finetune" }
[models.small]
use = "lstm"
tokenizer = "other"
train = { distil = "kd", teacher = ["big", "large"] }
[measure]
speed = false
""",
        folder,
    )
    # two teachers predict once each on train; three models are tested
    # each teacher is judged on dev before it teaches: a prediction, a score and a floor more
    assert kinds(plan) == {"prepare": 1, "build": 3, "train": 3, "predict": 7, "score": 5, "floor": 2}
    prepared = the(plan, "prepare fake-span")
    student = the(plan, "train small seed 42")
    outputs = [plan.stages[student.inputs[f"teacher.{n}"].key] for n in (0, 1)]
    assert [stage.label for stage in outputs] == ["predict big on train", "predict large on train"]
    assert all(stage.inputs["data"] == Ref(prepared.key, "train") for stage in outputs)
    # the student's own tokenizer reaches its build alone: no teacher output depends on it
    assert "tokenizer" in the(plan, "build small seed 42").data
    assert "data" not in the(plan, "build small seed 42").inputs
    assert "tokenizer" not in the(plan, "build big seed 42").data


def test_nested_token_student_distilled_on_a_transfer_set_then_tuned(folder: Path) -> None:
    plan = plan_of(
        HEAD.format(anchor="big", head="nested-token")
        + """
[data.news]
source = "news.txt"
[models.big]
use = "transformer"
train = { distil = "finetune" }
[models.small]
use = "lstm"
init = { embeddings = "big" }
train = [
  { step = "distil", distil = "mse", teacher = "big", on = "news" },
  { step = "tune", distil = "finetune" },
]
[measure]
speed = false
""",
        folder,
    )
    assert kinds(plan) == {"prepare": 2, "build": 2, "train": 3, "predict": 4, "score": 3, "floor": 1}
    news = the(plan, "prepare news")
    assert news.params["roles"] == ["transfer"]
    distil, tune = the(plan, "train small.distil seed 42"), the(plan, "train small.tune seed 42")
    assert distil.inputs["data"] == Ref(news.key, "transfer")
    assert plan.stages[distil.inputs["teacher.0"].key].inputs["data"] == Ref(news.key, "transfer")
    assert tune.inputs["start"] == Ref(distil.key, "last")
    assert tune.inputs["data"].output == "train"
    assert not [name for name in tune.inputs if name.startswith("teacher")]
    assert the(plan, "build small seed 42").inputs["init.embeddings"] == Ref(the(plan, "train big seed 42").key, "last")


@pytest.mark.parametrize(("written", "same"), [("", True), ('source = "news.txt"', False)])
def test_a_transfer_set_without_a_source_is_read_from_the_tasks(folder: Path, written: str, same: bool) -> None:
    plan = plan_of(
        HEAD.format(anchor="big", head="token")
        + f"""
[data.news]
{written}
[models.big]
use = "transformer"
train = {{ distil = "finetune" }}
[models.small]
use = "lstm"
train = {{ distil = "mse", teacher = "big", on = "news" }}
[measure]
speed = false
""",
        folder,
    )
    assert (the(plan, "prepare news").data == the(plan, "prepare fake-token").data) is same


def test_who_lends_a_tokenizer_is_built_and_not_trained_for_it(folder: Path) -> None:
    text = (
        HEAD.format(anchor="small", head="token")
        + """
[models.big]
use = "transformer"
train = { distil = "finetune" }
[models.small]
use = "lstm"
init = { tokenizer = "big" }
train = { distil = "finetune" }
[matrix]
model = ["small"]
[measure]
speed = false
"""
    )
    plan = plan_of(text, folder)
    assert kinds(plan) == {"prepare": 1, "build": 2, "train": 1, "predict": 1, "score": 1}
    assert the(plan, "build small seed 42").inputs["init.tokenizer"] == Ref(the(plan, "build big seed 42").key)


@pytest.mark.parametrize(("select", "again"), [("last", set()), ("best", {"train", "predict"})])
def test_another_way_of_scoring_scores_anew_and_trains_only_what_is_selected_by_score(folder, select, again) -> None:
    text = HEAD.format(anchor="big", head="token") + BETA.replace('"finetune"', f'"finetune", select = "{select}"')
    one, two = (plan_of(text, folder, scoring_version=version).stages for version in (1, 2))
    changed = {key for key in one if key not in two}
    kinds = {one[key].kind for key in changed}
    assert "score" in kinds
    assert kinds & {"prepare", "build", "train", "compress", "predict"} == again


BETA = """
[models.big]
use = "transformer"
train = { distil = "finetune" }
[models.small]
use = "lstm"
train = { distil = "constrained", teacher = "big" }
[matrix]
seed = [1, 2, 3]
beta = [0.0, 0.1, 0.2, 0.5]
[matrix.sets]
beta = "train.beta"
"""


def test_beta_sweep_shares_teacher_outputs_and_starts(folder: Path) -> None:
    plan = plan_of(HEAD.format(anchor="big", head="token") + BETA, folder)
    assert len(plan.cells) == 3 + 4 * 3  # the teacher has no β: it exists once per seed
    # 3 seeds × 2 models start; 3 teachers + 12 students train; one teacher predicts on train, 15 cells on test
    assert kinds(plan) == {"prepare": 1, "build": 6, "train": 15, "predict": 17, "score": 16, "floor": 1, "measure": 2}
    students = [stage for stage in plan.stages.values() if stage.label.startswith("train small")]
    assert len({stage.inputs["teacher.0"] for stage in students}) == 1
    assert len({stage.inputs["start"] for stage in students}) == 3
    teacher = plan.stages[students[0].inputs["teacher.0"].key].inputs["artifact"]
    assert teacher == Ref(the(plan, "train big seed 1").key, "last")  # the first seed, and the same node as its row
    assert teacher.key in {cell.train[0] for cell in plan.cells if cell.cell["model"] == "big"}
    # rows that differ only in β share one measurement
    assert len({cell.measure for cell in plan.cells if cell.cell["model"] == "small"}) == 1


def test_epoch_axis_takes_outputs_of_one_training(folder: Path) -> None:
    plan = plan_of(
        HEAD.format(anchor="big", head="sequence").replace('"none" }', '"none", epoch = 2 }')
        + """
[models.big]
use = "transformer"
train = { distil = "finetune" }
[models.raw]
use = "transformer"
hidden_size = 32
[models.small]
use = "lstm"
train = { distil = "kd", teacher = "big" }
[matrix]
epoch = [1, 2]
seed = [1]
[measure]
speed = false
""",
        folder,
    )
    rows = {(cell.cell["model"], cell.cell["epoch"]): cell for cell in plan.cells}
    assert set(rows) == {("big", 1), ("big", 2), ("raw", None), ("small", 1), ("small", 2)}
    assert kinds(plan) == {"prepare": 1, "build": 3, "train": 2, "predict": 7, "score": 6, "floor": 1}
    trained = the(plan, "train big seed 1")
    assert trained.params["outputs"] == ["epoch-1", "epoch-2", "last"]
    assert trained.options["loop"]["epochs"] == 2
    assert rows[("big", 1)].artifact == Ref(trained.key, "epoch-1")
    assert rows[("big", 2)].artifact == Ref(trained.key, "epoch-2")
    # a teacher teaches as it stands after its last epoch
    taught = plan.stages[the(plan, "train small seed 1").inputs["teacher.0"].key]
    assert taught.inputs["artifact"] == Ref(trained.key, "last")


CHAINS = """
[models.big]
use = "transformer"
train = { distil = "finetune" }
[chains]
onnx = ["onnx"]
static = ["onnx", "static-int8"]
[matrix]
compress = ["none", "onnx", "static"]
"""


def test_chain_shares_its_prefix_and_calibrates_on_train(folder: Path) -> None:
    plan = plan_of(HEAD.format(anchor="big", head="token") + CHAINS, folder)
    assert kinds(plan) == {"prepare": 1, "build": 1, "train": 1, "compress": 2, "predict": 3, "score": 3, "measure": 1}
    export = the(plan, "compress big seed 42 with onnx")
    static = the(plan, "compress big seed 42 with static-int8")
    assert static.inputs["source"] == Ref(export.key)
    assert static.inputs["data"].output == "train"
    # int8 answers depend on the CPU's instructions, fp32 answers do not
    predicted = {cell.cell["compress"]: plan.stages[cell.predict] for cell in plan.cells}
    assert predicted["static"].facets == {"isa": "x86-64-vnni"}
    assert predicted["onnx"].facets == {}
    measured = next(stage for stage in plan.stages.values() if stage.kind == "measure")
    assert set(measured.inputs) == {"anchor", "data", "row.onnx", "row.static"}
    assert measured.exclusive


RECOVERY = """
[models.big]
use = "transformer"
train = { distil = "finetune" }
[models.small]
use = "lstm"
train = { distil = "finetune", epochs = 2 }
[chains]
pruned = ["prune"]
recovered = ["prune", { recover = { distil = "kd", teacher = "big", epochs = 1 } }]
shipped = ["prune", { recover = { distil = "kd", teacher = "big", epochs = 1 } }, "onnx"]
[matrix]
model = ["small"]
compress = ["none", "pruned", "recovered", "shipped"]
"""


def test_training_inside_a_chain_is_an_ordinary_train_stage(folder: Path) -> None:
    plan = plan_of(HEAD.format(anchor="small", head="sequence") + RECOVERY, folder)
    pruned, recovered = the(plan, "compress small seed 42 with prune"), the(plan, "train small.recover seed 42")
    assert recovered.inputs["start"] == Ref(pruned.key)
    assert recovered.inputs["teacher.0"].key == the(plan, "predict big on train").key
    assert recovered.options["loop"]["epochs"] == 1
    exported = the(plan, "compress small seed 42 with onnx")
    assert exported.inputs["source"] == Ref(recovered.key, "last")
    cells = {cell.cell["compress"]: cell for cell in plan.cells}
    own = the(plan, "train small seed 42")
    assert cells["pruned"].train == (own.key,)
    assert cells["recovered"].train == cells["shipped"].train == (own.key, recovered.key)
    assert cells["recovered"].artifact == Ref(recovered.key, "last")
    runtimes = {name: plan.stages[cell.predict].component.partition("/")[2] for name, cell in cells.items()}
    assert runtimes == {"none": "torch", "pruned": "torch", "recovered": "torch", "shipped": "ort"}


def test_random_weights_recover_nothing(folder: Path) -> None:
    plan = plan_of(HEAD.format(anchor="small", head="sequence") + RECOVERY, folder, weights="random")
    assert "train" not in kinds(plan)
    assert kinds(plan)["compress"] == 2


def test_what_cannot_be_trained_is_skipped_inside_a_chain_too(folder: Path) -> None:
    text = RECOVERY.replace("epochs = 1 } }]\n[", "epochs = 1 } }]\n[").replace(
        'distil = "kd", teacher = "big"', 'distil = "picky"'
    )
    plan = plan_of(HEAD.format(anchor="small", head="sequence") + text, folder)
    skipped = {cell.cell["compress"]: cell.skipped for cell in plan.cells}
    assert skipped == {"none": None, "pruned": None, "recovered": "'picky' never fits", "shipped": "'picky' never fits"}


def test_a_compressor_that_fails_when_it_is_asked_is_named(folder: Path) -> None:
    text = (HEAD.format(anchor="big", head="token") + CHAINS).replace('["onnx"]', '["curious"]')
    with pytest.raises(PluginError, match=r"'curious' cannot say whether it takes 'transformer': .*'share'.*at fault"):
        plan_of(text, folder)


def test_no_stage_that_selects_reads_test(folder: Path) -> None:
    plan = plan_of(HEAD.format(anchor="big", head="token") + CHAINS, folder)
    readers = {s.kind for s in plan.stages.values() for ref in s.inputs.values() if ref.output == "test"}
    assert readers == {"predict", "score", "measure"}  # what is scored is timed, and timing selects nothing


def test_random_weights_train_and_score_nothing(folder: Path) -> None:
    plan = plan_of(HEAD.format(anchor="big", head="token") + CHAINS, folder, weights="random")
    assert kinds(plan) == {"prepare": 1, "build": 1, "compress": 2, "measure": 1}
    built = the(plan, "build big seed 42")
    assert built.params == {"random_weights": True}
    assert built.key != the(plan_of(HEAD.format(anchor="big", head="token") + CHAINS, folder), built.label).key
    assert all(cell.score is None for cell in plan.cells)


def test_a_machine_changes_measurements_alone(folder: Path) -> None:
    text = HEAD.format(anchor="big", head="token") + CHAINS
    here, there = plan_of(text, folder), plan_of(text, folder, machine="another")
    changed = {here.stages[key].kind for key in set(here.stages) - set(there.stages)}
    assert changed == {"measure"}


def test_data_decides_keys_and_its_place_does_not(folder: Path, tmp_path: Path) -> None:
    text = HEAD.format(anchor="big", head="token") + CHAINS
    first = plan_of(text, folder)
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "train.jsonl").write_text("{}\n")
    assert set(plan_of(text, moved).stages) == set(first.stages)
    (moved / "train.jsonl").write_text('{"other": 1}\n')
    assert not set(plan_of(text, moved).stages) & set(first.stages)


def test_planning_imports_no_torch() -> None:
    code = "import sys, test_plan_shapes, harness.cli.plan_command; print([m for m in HEAVY if m in sys.modules])"
    heavy = "HEAVY = ('torch', 'transformers', 'datasets', 'onnxruntime', 'onnx')\n"
    done = subprocess.run(
        [sys.executable, "-c", heavy + code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_checkpoint_reaches_its_build_without_the_dimensions_that_it_excludes(folder: Path) -> None:
    from harness.plugins import load_registry

    (folder / "bert").mkdir()
    (folder / "bert" / "config.json").write_text("{}")
    components = load_registry()
    text = (
        HEAD.format(anchor="big", head="x").replace("fake-x", "sentiment")
        + '[models.big]\nuse = "transformer"\ncheckpoint = "bert"\n[measure]\nspeed = false\n'
    )
    context = Context(
        registry=components,
        places=Places(folder),
        machine={"isa": "x", "identity": {}},
        library_version=lambda name: "1.0",
    )
    built = the(make_plan(parse_suite(text, components), context), "build big seed 42")
    params = components.student("transformer").params(**built.options["params"])  # as the worker makes them
    assert params.checkpoint == "bert"
