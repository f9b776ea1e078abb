"""Several teachers as one: weights by certainty, whatever the head; who may ask for them; what a run keeps of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import Project
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from scipy.stats import entropy
from suite_helpers import MODELS, suite, wrong
from test_heads import output, window
from test_plan_shapes import HEAD, plan_of, the

from harness.certainty import FLOOR, certainty, combined, confidence, together
from harness.data import Predictions
from harness.heads import rules
from harness.heads.span import align
from harness.records import read_records
from harness.records.samples import read_samples
from harness.specs import Encoded
from harness.stages import teacher_inputs
from harness.suite import bind

SURE, UNSURE, LOST = [6.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 2.0, 2.0]
LOGITS = arrays(np.float32, (5, 4), elements=st.floats(-50, 50, width=32))


# -------------------------------------------------------------------------------------------------------- the formula


def test_certainty_is_the_share_of_the_greatest_entropy_that_is_missing():
    logits = np.array([SURE, UNSURE, LOST])
    wanted = 1 - entropy(softmax(logits, axis=1), axis=1) / np.log(3)
    assert certainty(logits) == pytest.approx(wanted, abs=1e-12)
    assert certainty(np.array([[1e4, -1e4, 0.0]])) == pytest.approx([1.0])


def test_weights_are_certainties_that_add_up_to_one():
    first, second = np.array([SURE, UNSURE]), np.array([UNSURE, UNSURE])
    sure, unsure = certainty(np.array([SURE, UNSURE]))
    wanted = (sure + FLOOR) / (sure + unsure + 2 * FLOOR)
    assert confidence([first, second])[:, 0] == pytest.approx([wanted, 1 - wanted], abs=1e-6)
    assert confidence([first, second])[:, 1].tolist() == [0.5, 0.5]
    assert wanted > 0.8


@given(LOGITS, LOGITS, LOGITS)
def test_weights_are_shares_whoever_comes_first(one, two, three):
    found = confidence([one, two, three])
    assert found.shape == (3, 5)
    assert found.dtype == np.float32
    assert ((found > 0) & (found < 1)).all()
    assert found.sum(axis=0) == pytest.approx(np.ones(5), abs=1e-6)
    assert confidence([three, one, two])[[1, 2, 0]] == pytest.approx(found, abs=1e-6)


def test_teachers_that_all_know_nothing_count_alike():
    lost = np.array([LOST, [0.0, 0.0, 1e-7]], dtype=np.float32)
    assert confidence([lost, lost + 3, lost - 900]) == pytest.approx(np.full((3, 2), 1 / 3), abs=1e-3)


def test_classes_that_are_not_there_say_nothing():
    known = np.array([[True, True, False], [True, False, False]])
    first, second = np.array([[2.0, 0.0, 99.0], [1.0, 5.0, 7.0]]), np.array([[1.0, 0.0, -99.0], [9.0, 5.0, 7.0]])
    found = confidence([first, second], known)
    assert found[:, 0] == pytest.approx(confidence([first[:1, :2], second[:1, :2]])[:, 0], abs=1e-6)
    assert found[:, 1].tolist() == [0.5, 0.5]  # one class alone: nobody can be unsure


def test_the_whole_is_the_weighted_mean_of_probabilities():
    logits = [np.array([[2.0, 0.0], [0.0, 900.0]]), np.array([[0.0, 1.0], [0.0, -900.0]])]
    weights = confidence(logits)
    mean = sum(weight[:, None] * softmax(values, axis=1) for weight, values in zip(weights, logits, strict=True))
    assert np.exp(together(logits, weights)) == pytest.approx(mean, abs=1e-6)
    alike, half = combined(logits, by="mean")
    assert half.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert softmax(alike, axis=1) == pytest.approx(np.mean([softmax(one, axis=1) for one in logits], axis=0), abs=1e-6)
    assert softmax(combined(logits, by="confidence")[0], axis=1) == pytest.approx(mean, abs=1e-6)


# ------------------------------------------------------------------------------------------ what each head is weighed by

PREDICTIONS = {  # of a teacher, in the order of its units
    "sequence": Predictions(("a", "b"), np.array([SURE, LOST], dtype=np.float32)),
    "token": Predictions(("a", "b"), np.array([SURE, LOST, UNSURE], dtype=np.float32), np.array([0, 2, 3])),
    "nested-token": Predictions(
        ("a", "b"), np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32), np.array([0, 2, 3])
    ),
}


def words(count, example):
    places = np.array([-1, *range(count), -1], dtype=np.int32)
    return Encoded({"input_ids": np.arange(len(places))}, len(places), example, places)


def trained(head, windows, teachers, folder, spy):
    """One step of the one loop, by a distiller that looks at its batch."""
    import torch

    from harness.stages.loop import LoopRequest, train
    from harness.training import TrainParams

    of = rules(head)
    width = {"nested-token": 10}.get(head, 3)

    class Bag(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(64, width)

        def forward(self, input_ids):
            said = self.table(input_ids)
            ends = {"start_logits": said[..., 0], "end_logits": said[..., 1]}
            return SimpleNamespace(logits=said[:, 0] if head == "sequence" else said, **ends)

    class Spy:
        def loss(self, batch, params):
            spy.append(batch)
            return batch.logits.sum() * 0 + 1, {"teacher": 1.0}

    targets = {
        "sequence": [0, 1], "token": [[0, 1], [2]], "nested-token": [[[0, 1], [2, 3]], [[4, 0]]],
        "span": [(0, 3), (4, 9)],
    }[head]  # fmt: skip
    return train(
        LoopRequest(
            model=Bag(), rules=of, windows=windows, targets=of.targets(windows, targets), pad={"input_ids": 0},
            lessons=[of.lesson(one, windows) for one in teachers], distiller=Spy(), distiller_params=None, seed=1,
            train=TrainParams(epochs=1, batch_size=2, ensemble="confidence"), outputs=frozenset(),
            save=lambda model, name: None, scratch=folder,
        )
    )  # fmt: skip


@pytest.mark.parametrize("head", ["sequence", "token", "nested-token"])
def test_every_unit_has_weights_of_its_own(head, tmp_path):
    windows = [words(2, 0), words(1, 1)] if head != "sequence" else [words(2, None), words(1, None)]
    first = PREDICTIONS[head]
    second = Predictions(first.ids, np.flip(first.values, axis=0).copy(), first.offsets)
    spy = []
    result = trained(head, windows, [first, second], tmp_path, spy)
    (batch,) = spy
    assert batch.weights.shape == (2, len(batch.logits))
    for number, row in enumerate(zip(*batch.teachers, strict=True)):
        sure = [float(certainty(one[None].numpy())[0]) + FLOOR for one in row]
        assert batch.weights[:, number].tolist() == pytest.approx([one / sum(sure) for one in sure], abs=1e-5)
    assert not np.allclose(batch.weights, 0.5)
    means = [result.curve["parts"][f"weight.{n}"][0] for n in (0, 1)]
    assert means == pytest.approx(batch.weights.mean(1).tolist(), abs=1e-5)


def test_ends_of_spans_are_weighed_by_what_teachers_of_other_tokens_both_see(tmp_path):
    """One teacher has the student's tokens, another has longer ones and does not see the last."""
    windows = [window([(0, 3), (4, 9), (10, 12)], 0), window([(0, 3), (4, 9)], 1)]
    own = [output([(0, 3), (4, 9), (10, 12)]), output([(0, 3), (4, 9)], seed=1)]
    longer = [output([(0, 9)], seed=2), output([(0, 9)], seed=3)]
    teachers = [
        Predictions(
            ("a", "b"),
            np.concatenate([one.logits for one in said]),
            np.cumsum([0, *(len(one.logits) for one in said)]),
            np.concatenate([one.places for one in said]),
        )
        for said in (own, longer)
    ]
    spy = []
    trained("span", windows, teachers, tmp_path, spy)
    (batch,) = spy
    assert batch.weights.shape == (2, 4)  # starts of both windows, then ends
    lengths = [one.length for one in windows]
    order = [lengths.index(int(length)) for length in batch.exists.sum(1)[:2] + 4]  # windows are sorted by length
    for side in (0, 1):
        for place, at in enumerate(order):
            lessons = [align(said[at], windows[at]) for said in (own, longer)]
            both = np.logical_and.reduce([lesson.covered for lesson in lessons])
            assert 1 < both.sum() < len(both)
            sure = [float(certainty(lesson.logits[side, both][None])[0]) + FLOOR for lesson in lessons]
            found = batch.weights[:, 2 * side + place].tolist()
            assert found == pytest.approx([one / sum(sure) for one in sure], abs=1e-5)


# ------------------------------------------------------------------------------------------------------- who may ask

BOTH = """
[models.big]
use = "transformer"
train = { distil = "finetune" }
[models.large]
use = "transformer"
hidden_size = 128
train = { distil = "finetune" }
[models.small]
use = "lstm"
train = { distil = "DISTIL", teacher = ["big", "large"]MORE }
[measure]
speed = false
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.jsonl").write_text("{}\n")
    return tmp_path


def planned(folder, more="", distil="kd"):
    return plan_of(
        HEAD.format(anchor="big", head="token") + BOTH.replace("MORE", more).replace("DISTIL", distil), folder
    )


def test_the_mean_is_no_part_of_a_key_and_confidence_is(folder):
    plain, said = (the(planned(folder, more), "train small seed 42") for more in ("", ', ensemble = "mean"'))
    weighed = the(planned(folder, ', ensemble = "confidence"'), "train small seed 42")
    assert plain.key == said.key != weighed.key
    assert "ensemble" not in json.dumps(plain.identity)
    assert weighed.identity == {**plain.identity, "params": {**plain.params, "loop": {"ensemble": "confidence"}}}


def test_a_distiller_that_cannot_weigh_is_refused_by_the_plan(folder):
    plan = planned(folder, ', ensemble = "confidence"', distil="mse")  # of these tests' registry
    skipped = {str(cell.cell["model"]): cell.skipped for cell in plan.cells}
    assert skipped["big"] is None
    assert skipped["small"] == "'mse' cannot weigh its teachers: remove ensemble = \"confidence\""
    assert all(cell.skipped is None for cell in planned(folder, "", distil="mse").cells)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("distil = 'kd', teacher = 'big', ensemble = 'confidence'", "weighs several teachers, and there is one"),
        ("distil = 'kd', teacher = ['big'], ensemble = 'confidence'", "weighs several teachers, and there is one"),
        ("distil = 'finetune', ensemble = 'confidence'", "weighs several teachers, and there is none"),
        ("distil = 'kd', teacher = ['big', 'big2'], ensemble = 'loudest'", "expected 'mean' or 'confidence', got"),
    ],
)
def test_what_there_is_nothing_to_weigh_of_is_refused(step, said):
    models = MODELS + "[models.big2]\nuse = 'lstm'\n" + f"[models.more]\nuse = 'lstm'\ntrain = {{ {step} }}\n"
    (found,) = wrong("", models=models)
    assert f"models.more.train.ensemble: {said}" in found
    assert "got" in said or 'remove it, or name more: teacher = ["…", "…"]' in found


PAIR = (
    MODELS
    + """
[models.pair]
use = "lstm"
train = [
  { step = "distil", distil = "kd", teacher = ["big", "small"] },
  { step = "tune", distil = "kd", teacher = "big" },
]
"""
)


def test_an_axis_of_it_is_one_of_models_with_several_teachers():
    built = suite("[matrix]\nby = ['mean', 'confidence']\nsets = { by = 'train.ensemble' }", models=PAIR)
    found = {(str(cell["model"]), cell["by"]): model for cell in built.cells for model in [bind(built, cell)[1]]}
    assert set(found) == {("big", None), ("small", None), ("pair", "mean"), ("pair", "confidence")}
    assert [step.loop.ensemble for step in found["pair", "confidence"].train] == ["confidence", "mean"]
    (refused,) = wrong("[matrix]\nby = ['mean']\nsets = { by = 'train.tune.ensemble' }", models=PAIR)
    assert "matrix.sets.by: 'ensemble' is not a parameter of the training" in refused


def test_training_inside_a_chain_is_held_to_it_too():
    step = "{ recover = { distil = 'kd', teacher = 'big', ensemble = 'confidence' } }"
    (refused,) = wrong(f"again = [{step}]")  # the table [chains] stands before it
    assert "chains.again[0].recover.ensemble: weighs several teachers, and there is one" in refused


def test_it_can_be_set_from_the_command_line():
    one = f"{MODELS}[models.pair]\nuse = 'lstm'\ntrain = {{ distil = 'kd', teacher = ['big', 'small'] }}\n"
    built = suite("", "models.pair.train.ensemble=confidence", models=one)
    assert built.models["pair"].train[0].loop.ensemble == "confidence"
    (refused,) = wrong("", "models.small.train.ensemble=confidence", models=one)
    assert "weighs several teachers, and there is one" in refused


# ------------------------------------------------------------------------------------------------------ what is kept

SUITE = """
schema = 1
[suite]
name = "pair"
anchor = { model = "first", compress = "none" }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/sample"
max_length = 32
[data.more]
source = "bundled:harness_sentiment/data/sample"
allow_overlap = ["dev", "test"]
[models.first]
use = "ngram"
train = { distil = "finetune", learning_rate = 1e-2, epochs = 6, batch_size = 32 }
[models.second]
use = "ngram"
train = { distil = "finetune", learning_rate = 2e-2, epochs = 4, batch_size = 32 }
[models.student]
use = "ngram"
train = { distil = "kd", teacher = ["first", "second"], on = "more", alpha = 1.0, learning_rate = 1e-2, epochs = 2, batch_size = 32 }
[matrix]
ensemble = ["mean", "confidence"]
[matrix.sets]
ensemble = "train.ensemble"
[measure]
speed = false
[report]
sections = ["teachers"]
"""


def test_a_run_weighs_on_unlabelled_texts_and_says_so(tmp_path):
    made = Project(tmp_path)
    made.write(SUITE, "pair.toml")
    made.harness("run", "pair.toml")
    found = read_records(tmp_path / "reports/pair.records.jsonl")
    cells = {(cell["axes"]["model"], cell["axes"]["ensemble"]): cell for cell in found.cells}
    assert {cell["status"] for cell in cells.values()} == {"ok"}
    assert set(cells) == {("first", None), ("second", None), ("student", "mean"), ("student", "confidence")}
    mean, weighed = cells["student", "mean"], cells["student", "confidence"]
    (step,) = weighed["train"]
    assert step["ensemble"] == "confidence"
    assert sum(step["weights"]) == pytest.approx(1, abs=1e-5)
    assert step["weights"] != pytest.approx([0.5, 0.5], abs=1e-3)
    assert "ensemble" not in mean["train"][0]
    assert "ensemble" not in mean["ensemble"]
    assert weighed["ensemble"]["ensemble"] == "confidence"
    assert sum(weighed["ensemble"]["weights"]) == pytest.approx(1, abs=1e-5)
    losses = [read_samples(cell["ensemble"]["samples"])[:, 2] for cell in (mean, weighed)]
    alone = [read_samples(cells[name, None]["quality"]["samples"])[:, 2] for name in ("first", "second")]
    right = np.exp(-np.array(alone))  # probability of the right class, [2, n]
    assert losses[0] == pytest.approx(-np.log(right.mean(axis=0)), abs=1e-5)
    assert not np.allclose(*losses)
    weights = (np.exp(-losses[1]) - right[1]) / (right[0] - right[1])  # each lies between the two that it is made of
    assert ((weights > 0) & (weights < 1))[np.abs(right[0] - right[1]) > 1e-3].all()
    page = (tmp_path / "reports/pair.md").read_text(encoding="utf-8")
    first, second = weighed["ensemble"]["weights"]
    assert f"confidence: {first:.3f} + {second:.3f}" in page
    assert "| alike " in page
    assert "(teachers by confidence) beats" in page


def test_a_model_card_says_it():
    from harness.exporting.card import _step
    from harness.exporting.gather import Step
    from harness.training import TrainParams

    def said(ensemble):
        loop = TrainParams(ensemble=ensemble).model_dump(mode="json")
        return _step(1, Step(distil="kd", teachers=("a", "b"), params={}, loop=loop, transfer=False, facts={}))

    assert said("confidence").startswith("Training 1: kd from a, b, weighed by confidence (")
    assert said("mean").startswith("Training 1: kd from a, b (")


def test_the_eleventh_teacher_comes_after_the_tenth():
    work = SimpleNamespace(inputs={f"teacher.{n}": Path() for n in reversed(range(12))} | {"data": Path()})
    assert teacher_inputs(work) == [f"teacher.{n}" for n in range(12)]
