"""What several teachers score as one: averaged by the units of each head, in stages that only a report asks for."""

from __future__ import annotations

import json
from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import Project
from report_fakes import REGISTRY, change, part, records, row, tables
from scipy.special import logsumexp, softmax
from test_heads import output, window
from test_plan_shapes import HEAD, kinds, plan_of, the

from harness import StageError
from harness.certainty import confidence
from harness.cli.run_command import say_problems
from harness.data import read_examples, read_predictions
from harness.heads import MASKED, rules
from harness.heads.span import align
from harness.plugins import load_registry
from harness.records import read_records, read_samples
from harness.records.ensembles import ensemble
from harness.reports import render, summarise
from harness.runner import Outcome
from harness.specs import SpanOutput
from harness.store import Store

BOTH = ("mean", "confidence")
HEADS = {"sequence": (4,), "token": (5, 4), "nested-token": (5, 15)}
TOKENS = [(0, 3), (4, 9), (10, 12), (13, 20)]


def said(head, seed):
    """A teacher's answer about an example; of spans about two windows."""
    if head == "span":
        return output(TOKENS[:3], TOKENS[1:], seed=seed)
    return np.random.default_rng(seed).normal(scale=3, size=HEADS[head]).astype(np.float32)


def figures(one):
    return one.logits if isinstance(one, SpanOutput) else one


# ------------------------------------------------------------------------------------------------------------- heads


@pytest.mark.parametrize(("head", "by"), [*product((*HEADS, "span"), BOTH)])
def test_teachers_that_agree_are_together_what_each_is(head, by):
    one, again = said(head, 1), said(head, 1)
    found, weights = rules(head).together([one, again], by)
    assert figures(found) == pytest.approx(figures(one), abs=1e-5)
    assert figures(found).dtype == np.float32
    assert weights == pytest.approx(np.full(weights.shape, 0.5))


@pytest.mark.parametrize(("head", "by"), [*product(HEADS, BOTH)])
def test_probabilities_are_averaged_unit_by_unit(head, by):
    width = 5 if head == "nested-token" else 4
    teachers = [said(head, seed) for seed in (1, 2, 3)]
    found, weights = rules(head).together(teachers, by)
    units = [teacher.reshape(-1, width) for teacher in teachers]
    wanted = confidence(units) if by == "confidence" else np.full((3, len(units[0])), 1 / 3)
    assert weights == pytest.approx(wanted, abs=1e-6)
    mean = (wanted[..., None] * softmax(units, axis=-1)).sum(axis=0)
    assert found.shape == teachers[0].shape
    assert softmax(found.reshape(-1, width), axis=-1) == pytest.approx(mean, abs=1e-6)
    assert by == "mean" or not np.allclose(wanted, 1 / 3, atol=0.05)


@pytest.mark.parametrize("head", HEADS)
def test_answers_about_other_units_are_no_ensemble(head):
    short = said(head, 2)[..., :-1] if head == "sequence" else said(head, 2)[:-1]
    with pytest.raises(StageError, match=r"teachers answered for units and classes \(.*\) and \(.*\) of one example"):
        rules(head).together([said(head, 1), short], "mean")


def test_an_example_without_words_has_an_answer_too():
    found, weights = rules("token").together([np.zeros((0, 3), np.float32)] * 2, "confidence")
    assert found.shape == (0, 3)
    assert weights.shape == (2, 0)


# ------------------------------------------------------------------------------------------------------------- spans


@pytest.mark.parametrize("by", BOTH)
def test_ends_of_spans_are_averaged_window_by_window(by):
    teachers = [said("span", seed) for seed in (1, 2)]
    found, weights = rules("span").together(teachers, by)
    assert found.places.tolist() == teachers[0].places.tolist()
    for number, rows in enumerate((slice(0, 4), slice(4, 8))):
        ends = [teacher.logits[rows].T for teacher in teachers]  # [2, L] each
        wanted = confidence(ends) if by == "confidence" else np.full((2, 2), 0.5)
        assert weights[:, 2 * number : 2 * number + 2] == pytest.approx(wanted, abs=1e-6)
        mean = (wanted[..., None] * softmax(ends, axis=-1)).sum(axis=0)
        assert softmax(found.logits[rows].T, axis=-1) == pytest.approx(mean, abs=1e-6)
        height = (wanted * logsumexp(ends, axis=-1)).sum(axis=0)  # what tells windows from each other
        assert logsumexp(found.logits[rows], axis=0) == pytest.approx(height, abs=1e-5)


def test_a_window_that_all_prefer_is_preferred():
    """By a softmax in each window, the empty one would be as good."""
    teachers = [said("span", seed) for seed in (1, 2)]
    for teacher in teachers:
        teacher.logits[5:8] += 9
    found, _ = rules("span").together(teachers, "mean")
    assert found.logits.argmax(axis=0).min() >= 5


LONGER = [(0, 9), (10, 20)]  # of two tokens each


@pytest.mark.parametrize("by", BOTH)
def test_teachers_of_other_tokens_meet_by_place_as_in_training(by):
    fine, coarse = output(TOKENS, seed=1), output(LONGER, seed=2)
    found, weights = rules("span").together([coarse, fine], by)
    assert found.places.tolist() == fine.places.tolist()
    own = window(TOKENS, question=0)  # a student of the same tokens reads them so
    lessons = [align(teacher, own) for teacher in (coarse, fine)]
    covered = np.logical_and.reduce([lesson.covered for lesson in lessons])
    assert covered.sum() == 5
    ends = np.stack([lesson.logits[:, covered] for lesson in lessons])  # [K, 2, 5]
    wanted = confidence(list(ends)) if by == "confidence" else np.full((2, 2), 0.5)
    assert weights == pytest.approx(wanted, abs=1e-6)
    mean = (wanted[..., None] * softmax(ends, axis=-1)).sum(axis=0)
    assert softmax(found.logits.T, axis=-1) == pytest.approx(mean, abs=1e-6)


def test_whoever_comes_first_the_score_is_the_same():
    teachers = [output(TOKENS, seed=1), output(LONGER, seed=2), output([(0, 12), (13, 20)], seed=3)]
    found = [rules("span").together(order, "confidence")[0].logits for order in permutations(teachers)]
    for other in found[1:]:
        assert other == pytest.approx(found[0], abs=1e-5)


def test_what_one_of_them_does_not_see_is_nobodys_answer():
    fine, blind = output(TOKENS, seed=1), output(LONGER[:1], seed=2)
    fine.logits[3:] += 20
    found, _ = rules("span").together([fine, blind], "mean")
    assert (found.logits[3:] < MASKED / 2).all()
    assert (found.logits[:3] > -50).all()
    assert np.isfinite(found.logits).all()


# ------------------------------------------------------------------------------------------------------------- plans

MODELS = """
[models.big]
use = "transformer"
train = { distil = "finetune" }
[models.large]
use = "transformer"
hidden_size = 128
train = { distil = "finetune" }
[models.small]
use = "lstm"
train = { distil = "kd", teacher = ["big", "large"] }
[models.other]
use = "lstm"
hidden_size = 32
train = { distil = "mse", teacher = ["big", "large"] }
[models.sure]
use = "lstm"
train = { distil = "kd", teacher = ["big", "large"], ensemble = "confidence" }
[chains]
again = ["prune", { recover = { distil = "kd", teacher = ["big", "large"] } }]
alone = ["prune", { recover = { distil = "kd", teacher = "big" } }]
[matrix]
MATRIX
[measure]
speed = false
"""
ASKED = '[report]\nsections = ["teachers"]\n'
EVERY = 'compress = ["none"]'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.jsonl").write_text("{}\n")
    return tmp_path


def planned(folder, matrix=EVERY, report=ASKED, **settings):
    text = HEAD.format(anchor="big", head="span") + MODELS.replace("MATRIX", matrix) + report
    return plan_of(text, folder, **settings)


def scored(plan):
    return {f"{cell.cell['model']} {cell.cell['compress']}": cell.ensemble for cell in plan.cells}


def test_only_a_report_that_asks_has_ensembles_and_no_other_key_changes(folder):
    plain, asked = planned(folder, report=""), planned(folder)
    assert set(scored(plain).values()) == {None}
    assert "ensemble" not in kinds(plain)
    assert set(plain.stages) < set(asked.stages)
    more = [stage for key, stage in asked.stages.items() if key not in plain.stages]
    assert [stage.kind for stage in more] == ["ensemble", "score"] * 2
    assert [cell.work for cell in plain.cells] == [cell.work for cell in asked.cells]


def test_students_of_the_same_teachers_share_it_and_weights_tell_it_apart(folder):
    plan = planned(folder)
    found = scored(plan)
    assert found["big none"] is found["large none"] is None
    assert found["small none"] == found["other none"] != found["sure none"]
    mean, weighed = (the(plan, f"predict big + large{by} on test") for by in ("", " by confidence"))
    assert [stage.inputs["predictions"].key for stage in (plan.stages[found["small none"]], plan.stages[found["sure none"]])] == [
        mean.key, weighed.key,
    ]  # fmt: skip
    assert mean.params == {}
    assert weighed.identity == {**mean.identity, "params": {"by": "confidence"}}
    assert [plan.stages[mean.inputs[f"teacher.{n}"].key].label for n in (0, 1)] == [
        "predict big none seed 42 on test",
        "predict large none seed 42 on test",
    ]


def test_teachers_that_are_no_rows_answer_for_it_all_the_same(folder):
    plan = planned(folder, 'model = ["big", "small"]\ncompress = ["none"]')
    assert scored(plan)["small none"]
    assert the(plan, "predict large none seed 42 on test").key in plan.ancestors((scored(plan)["small none"],))


def test_seeds_of_a_student_have_the_teachers_of_the_first_one(folder):
    plan = planned(folder, 'compress = ["none"]\nseed = [3, 4]')
    assert kinds(plan)["ensemble"] == 2
    stage = the(plan, "predict big + large on test")
    assert plan.stages[stage.inputs["teacher.0"].key].label == "predict big none seed 3 on test"


def test_training_inside_a_chain_has_the_teachers_that_it_had(folder):
    """The last step with several counts: `alone` learned from one, after its model had learned from both."""
    found = scored(planned(folder, 'model = ["big", "large", "small", "sure"]\ncompress = ["none", "again", "alone"]'))
    assert found["large again"] == found["small again"] == found["sure again"] == found["small none"]
    assert found["large alone"] is None
    assert found["sure alone"] == found["sure none"]


def test_random_weights_have_nothing_to_score(folder):
    plan = planned(folder, weights="random")
    assert set(scored(plan).values()) == {None}
    assert "ensemble" not in kinds(plan)


# -------------------------------------------------------------------------------------------------------------- runs

RUN = """
schema = 1
[suite]
name = "NAME"
anchor = { model = "first", compress = "none" }
[task]
use = "NAME"
SOURCE
max_length = 64
[models.first]
KIND
train = { distil = "finetune", FIRST }
[models.second]
use = "lstm"
hidden_size = 32
embedding_size = 32
vocab_size = 300
lowercase = false
train = { distil = "finetune", SECOND }
[models.student]
use = "lstm"
train = { distil = "kd", teacher = ["first", "second"], learning_rate = 1e-2, epochs = 1 }
[chains]
again = [
  { use = "prune-magnitude", sparsity = 0.1 },
  { recover = { distil = "kd", teacher = ["second", "first"], ensemble = "confidence", epochs = 1 } },
]
[matrix]
compress = ["none"]
seed = [1]
[[matrix.include]]
model = "student"
compress = "again"
seed = 1
[measure]
speed = false
[report]
sections = ["teachers"]
"""
STUDENT, AGAIN = "model=student,compress=none,seed=1", "model=student,compress=again,seed=1"
SMALL = 'use = "transformer"\nhidden_size = 32\nlayers = 1\nheads = 2\nvocab_size = 400'
LARGE = 'use = "lstm"\nhidden_size = 48\nembedding_size = 48\nvocab_size = 500'
LONG = "learning_rate = 1e-2, epochs = 8, batch_size = 8"
RUNS = {  # spans take too long to learn: their teachers are rehearsed
    "ner": {
        "SOURCE": 'source = "bundled:harness_ner/data/sample"', "KIND": SMALL,
        "FIRST": "learning_rate = 3e-3, epochs = 12, batch_size = 8", "SECOND": LONG,
    },
    "nested-ner": {
        "SOURCE": 'source = "bundled:harness_ner/data/nested"', "KIND": LARGE, "FIRST": LONG, "SECOND": LONG,
    },
    "qa": {
        "SOURCE": "", "KIND": SMALL, "FIRST": "learning_rate = 3e-3, epochs = 2",
        "SECOND": "learning_rate = 1e-2, epochs = 3",
    },
}  # fmt: skip


def document(project, name):
    (path,) = (project.folder / "reports").glob(f"{name}.*records.jsonl")
    return {cell["cell"]: cell for cell in read_records(path).cells}


def entries(project, kind):
    """Stored stages of a kind: their keys' documents, with their folders."""
    files = project.folder.glob(".harness/objects/**/key.json")
    found = [(json.loads(file.read_text()), file.parent) for file in files]
    return [(key, folder) for key, folder in found if key["kind"] == kind]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_scores_what_its_teachers_say_as_one(name, tmp_path):
    made = Project(tmp_path)
    text = RUN.replace("NAME", name)
    for word, given in RUNS[name].items():
        text = text.replace(word, given)
    made.write(text, "many.toml")
    made.harness("run", "many.toml", *(["--rehearse"] if name == "qa" else []))
    cells = document(made, name)
    assert {cell["status"] for cell in cells.values()} == {"ok"}
    assert not any("no_ensemble" in cell for cell in cells.values())
    mean, weighed = cells[STUDENT]["ensemble"], cells[AGAIN]["ensemble"]
    assert mean["teachers"] == ["first", "second"]
    assert weighed["teachers"] == ["second", "first"]
    assert "ensemble" not in mean
    assert weighed["ensemble"] == "confidence"
    assert sum(weighed["weights"]) == pytest.approx(1, abs=1e-5)
    assert weighed["weights"] != pytest.approx([0.5, 0.5], abs=1e-4)

    alone = [read_samples(cells[f"model={one},compress=none,seed=1"]["quality"]["samples"]) for one in mean["teachers"]]
    for found, by in ((mean, "mean"), (weighed, "confidence")):
        assert not any(np.array_equal(read_samples(found["samples"]), one) for one in alone)
        assert read_samples(found["samples"]) == pytest.approx(by_hand(made, name, by))
        assert found["examples"] == cells[STUDENT]["quality"]["examples"]
    (page,) = (tmp_path / "reports").glob(f"{name}*.md")
    text = part(page.read_text(), TITLE)
    scored = {line[0]: line for line in tables(text)[1]}
    assert scored["student"][1] == "first + second"
    assert scored["student"][2] == "alike"
    assert scored["student · again"][1] == "second + first"
    assert scored["student · again"][2].startswith("confidence: ")


def by_hand(project, name, by):
    """The samples of what the stored answers of the teachers are together."""
    (key,) = [one for one, _ in entries(project, "ensemble") if one["params"] == ({} if by == "mean" else {"by": by})]
    where = {folder.name: folder for _, folder in [*entries(project, "predict"), *entries(project, "prepare")]}
    data = where[key["inputs"]["data"][0]]
    examples, labels = read_examples(data / "test"), json.loads((data / "meta/meta.json").read_text())["labels"]
    paths = [where[key["inputs"][f"teacher.{n}"][0]] / "out" for n in (0, 1)]
    pairs = list(zip(*(read_predictions(path, examples).per_example() for path in paths), strict=True))
    if name == "qa":
        assert any(len(a.places) != len(b.places) for a, b in pairs)  # teachers of other tokens
        outputs = [rules("span").together(pair, by)[0] for pair in pairs]
    else:
        outputs = [averaged(pair, 5 if name == "nested-ner" else len(labels), by) for pair in pairs]
    return load_registry().open_task({"use": name, "params": {}}).samples(examples, outputs, tuple(labels))


def averaged(pair, width, by):
    units = [one.reshape(-1, width) for one in pair]
    weights = confidence(units) if by == "confidence" else np.full((2, len(units[0])), 0.5)
    return np.log((weights[..., None] * softmax(units, axis=-1)).sum(axis=0)).reshape(pair[0].shape)


def test_why_there_is_no_score_is_said(folder, tmp_path, capsys):
    plan = planned(folder)
    (cell,) = [cell for cell in plan.cells if cell.cell["model"] == "small"]
    made = plan.stages[cell.ensemble].inputs["predictions"].key
    outcomes = {
        made: Outcome(status="failed", reason="out of memory\n…"),
        cell.ensemble: Outcome(status="not run", reason="because of: x"),
    }
    found = ensemble(cell, plan, Store(tmp_path / "store"), outcomes)
    assert found == {"ensemble": None, "no_ensemble": "predict big + large on test: out of memory …"}
    (alone,) = [cell for cell in plan.cells if cell.cell["model"] == "big"]
    assert ensemble(alone, plan, Store(tmp_path / "store"), outcomes) == {"ensemble": None}

    opened = SimpleNamespace(suite=SimpleNamespace(measure=SimpleNamespace(speed=None)))
    cells = [
        {"cell": "model=pupil", "status": "ok", "reason": "", "unmeasured": "", **found},
        {"cell": "model=big", "status": "ok", "unmeasured": "", "ensemble": None},
    ]
    assert say_problems(opened, SimpleNamespace(cells=cells), outcomes) == 1
    assert "teachers not scored together  1 cell: predict big + large on test: out of memory" in capsys.readouterr().err
    assert say_problems(opened, SimpleNamespace(cells=cells[1:]), outcomes) == 0


# ------------------------------------------------------------------------------------------------------------ reports

TITLE = "Students of several teachers"
SECTIONS = {"columns": [], "figures": [], "sections": ["teachers"], "matrix": None}


def of_several(**more):
    return change(records(report=SECTIONS), {"model": "lstm-kd"}, teachers=[["teacher", "lstm"]], **more)


def test_a_score_that_could_not_be_had_has_its_reason_in_the_report():
    report = summarise(of_several(no_ensemble="predict teacher + lstm on test: <b>no</b> memory"), REGISTRY)
    text = part(render(report), TITLE)
    assert "predict teacher + lstm on test: " in text
    assert "<b>" not in text
    assert tables(text)[1][2][:3] == ["lstm-kd", "teacher + lstm", "—¹"]


def test_a_record_that_gives_a_reason_for_nothing_has_no_row_of_it():
    found = change(of_several(), {"model": "lstm"}, no_ensemble="x")
    assert summarise(found, REGISTRY).asked.together == ()


def test_rows_that_recovered_from_several_teachers_stand_beside_their_source():
    found = change(
        records(report=SECTIONS),
        {"model": "lstm", "compress": "int8"},
        teachers=[[], ["teacher", "lstm-kd"]],
        recovered=1,
    )
    report = summarise(found, REGISTRY)
    assert {entry.row for entry in report.asked.taught} == {"lstm · int8"}
    assert row(report, "lstm · int8")
