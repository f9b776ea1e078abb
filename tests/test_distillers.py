"""Losses against values computed by hand, in numpy, from the formulas of the papers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness import Batch, StageError
from harness_distillers.constrained import Constrained
from harness_distillers.dice import Dice
from harness_distillers.finetune import Finetune
from harness_distillers.guarantee import Guarantee, soft_recall
from harness_distillers.hidden import Hidden
from harness_distillers.kd import Kd
from harness_distillers.mse import Mse
from harness_distillers.plugin import (
    ConstrainedParams,
    DiceParams,
    FinetuneParams,
    GuaranteeParams,
    HiddenParams,
    KdParams,
    MseParams,
    harness_distillers,
)
from harness_distillers.teachers import standardised

STUDENT = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 1.0], [-3.0, 1.0, 0.0], [0.2, 0.1, 0.0]])
FIRST = np.array([[1.0, 0.0, -1.0], [9.0, 0.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 5.0]])
SECOND = np.array([[0.0, 3.0, 0.0], [1.0, 1.0, -2.0], [1.5, 0.5, 0.0], [2.0, 0.0, 0.0]])
TARGETS = np.array([0, -100, 1, 2])


def make(targets=TARGETS, teachers=(FIRST,), student=STUDENT) -> Batch:
    return Batch(
        logits=torch.tensor(student, dtype=torch.float32, requires_grad=True),
        targets=torch.tensor(targets, dtype=torch.int64),
        teachers=tuple(torch.tensor(teacher, dtype=torch.float32) for teacher in teachers),
    )


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def kl(teachers, student, temperature) -> float:
    """Sum over classes, mean over units."""
    wanted = np.mean([softmax(teacher / temperature) for teacher in teachers], axis=0)
    return float((wanted * (np.log(wanted) - np.log(softmax(student / temperature)))).sum(1).mean())


def ce(student, targets, smoothing=0.0) -> float:
    losses = []
    for row, target in zip(np.log(softmax(student)), targets, strict=True):
        if target >= 0:
            wanted = np.full(len(row), smoothing / len(row))
            wanted[target] += 1 - smoothing
            losses.append(-(wanted * row).sum())
    return float(np.mean(losses))


def value(distiller, params, batch: Batch) -> float:
    return distiller.loss(batch, params)[0].item()


# --------------------------------------------------------------------------------------------------------- finetune


def test_finetune_by_hand():
    """Two classes: the loss of a unit is log(1 + exp(-(right - wrong)))."""
    batch = make(targets=[0, 1], teachers=(), student=np.array([[1.0, 0.0], [3.0, 1.0]]))
    expected = (math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2
    assert value(Finetune(), FinetuneParams(), batch) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_finetune_averages_over_labelled_units_only(smoothing):
    found = value(Finetune(), FinetuneParams(label_smoothing=smoothing), make())
    assert found == pytest.approx(ce(STUDENT, TARGETS, smoothing), rel=1e-5)


def test_finetune_needs_a_label():
    with pytest.raises(StageError, match="'kd'"):
        Finetune().loss(make(targets=[-100] * 4), FinetuneParams())


# --------------------------------------------------------------------------------------------------------------- kd


def test_kd_by_hand():
    """One unit, two classes, T = 2: teacher log 9 apart at T gives (0.9, 0.1), the student (0.5, 0.5)."""
    teacher, student = np.array([[2 * math.log(9), 0.0]]), np.array([[0.0, 0.0]])
    batch = make(targets=[-100], teachers=(teacher,), student=student)
    expected = 4 * (0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5))
    assert value(Kd(), KdParams(temperature=2.0, alpha=1.0), batch) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 8.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_kd_mixes_teacher_and_labels(temperature, alpha):
    found = value(Kd(), KdParams(temperature=temperature, alpha=alpha, label_smoothing=0.1), make())
    expected = alpha * temperature**2 * kl([FIRST], STUDENT, temperature) + (1 - alpha) * ce(STUDENT, TARGETS, 0.1)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: kl([FIRST], STUDENT, t),  # no T²
        lambda t: t * t * kl([FIRST.T], STUDENT.T, t),  # softmax over units
        lambda t: t * t * kl([FIRST], STUDENT, t) / 3,  # mean over classes too
        lambda t: t * t * kl([FIRST], STUDENT, t) * 4,  # sum over units
        lambda t: t * t * kl([STUDENT], FIRST, t),  # the other direction
        lambda t: t * t * kl([FIRST], STUDENT * t, t),  # the student at T = 1
    ],
)
def test_usual_mistakes_would_give_another_value(wrong):
    """So that the test above can fail."""
    found = value(Kd(), KdParams(temperature=3.0, alpha=1.0), make())
    assert found == pytest.approx(9 * kl([FIRST], STUDENT, 3.0), rel=1e-5)
    assert abs(found - wrong(3.0)) > 0.05 * found


def test_teachers_are_averaged_as_probabilities_at_the_temperature():
    found = value(Kd(), KdParams(temperature=2.0, alpha=1.0), make(teachers=(FIRST, SECOND)))
    assert found == pytest.approx(4 * kl([FIRST, SECOND], STUDENT, 2.0), rel=1e-5)
    assert abs(found - 4 * kl([(FIRST + SECOND) / 2], STUDENT, 2.0)) > 0.01, "not as logits"
    same = value(Kd(), KdParams(temperature=2.0, alpha=1.0), make(teachers=(FIRST, FIRST)))
    assert same == pytest.approx(4 * kl([FIRST], STUDENT, 2.0), rel=1e-5)


def test_batch_without_labels_learns_from_the_teacher_alone():
    loss, parts = Kd().loss(make(targets=[-100] * 4), KdParams(temperature=2.0, alpha=0.3))
    assert loss.item() == pytest.approx(0.3 * 4 * kl([FIRST], STUDENT, 2.0), rel=1e-5)
    assert set(parts) == {"teacher"}


def test_value_does_not_depend_on_the_batch_size():
    double = make(np.tile(TARGETS, 2), (np.tile(FIRST, (2, 1)),), np.tile(STUDENT, (2, 1)))
    assert value(Kd(), KdParams(), double) == pytest.approx(value(Kd(), KdParams(), make()), rel=1e-6)


def test_gradient_of_kd_is_t_times_the_difference_of_probabilities():
    """d/dz of T²·KL = T·(q - p), averaged over units."""
    batch = make(targets=[-100] * 4)
    Kd().loss(batch, KdParams(temperature=4.0, alpha=1.0))[0].backward()
    expected = 4.0 * (softmax(STUDENT / 4) - softmax(FIRST / 4)) / len(STUDENT)
    np.testing.assert_allclose(batch.logits.grad, expected, atol=1e-6)


def test_a_certain_teacher_gives_finite_loss_and_gradient():
    batch = make(teachers=(FIRST * 1e4,), student=STUDENT * 30)
    loss, _ = Kd().loss(batch, KdParams())
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(batch.logits.grad).all()


def test_parts_carry_no_graph():
    for distiller, params in ((Kd(), KdParams()), (Finetune(), FinetuneParams())):
        assert not any(part.requires_grad for part in distiller.loss(make(), params)[1].values())


def test_params_out_of_range_are_refused():
    for wrong in ({"temperature": 0.0}, {"alpha": 1.5}, {"label_smoothing": 1.0}, {"alhpa": 0.5}):
        with pytest.raises(ValidationError):
            KdParams(**wrong)


def test_specs_say_what_they_need():
    specs = {spec.name: spec for spec in harness_distillers()}
    assert (specs["finetune"].needs_teacher, specs["finetune"].needs_labels) == (False, True)
    assert (specs["kd"].needs_teacher, specs["kd"].needs_labels) == (True, False)
    assert specs["kd"].supports(KdParams(), "sequence", 2) is None


# ------------------------------------------------------------------------------------------------------- kd, z-scores


def z(logits: np.ndarray) -> np.ndarray:
    return (logits - logits.mean(1, keepdims=True)) / logits.std(1, keepdims=True)


def test_standardised_kd_by_hand():
    params = KdParams(standardise=True, temperature=2.0, alpha=0.7)
    for teachers in ((FIRST,), (FIRST, SECOND)):
        wanted = 0.7 * 4 * kl([z(teacher) for teacher in teachers], z(STUDENT), 2.0) + 0.3 * ce(STUDENT, TARGETS)
        assert value(Kd(), params, make(teachers=teachers)) == pytest.approx(wanted, rel=1e-5)


def test_standardised_logits_may_have_any_level_and_spread():
    params = KdParams(standardise=True, alpha=1.0)
    assert value(Kd(), params, make(student=FIRST * 0.1 + 7)) == pytest.approx(0, abs=1e-5)
    assert value(Kd(), KdParams(alpha=1.0), make(student=FIRST * 0.1 + 7)) > 0.1


def test_equal_logits_have_a_gradient_when_standardised():
    batch = make(student=np.zeros((4, 3)))
    Kd().loss(batch, KdParams(standardise=True))[0].backward()
    assert torch.isfinite(batch.logits.grad).all()


@pytest.mark.parametrize("name", ["kd", "constrained", "guarantee", "hidden"])
def test_z_scores_of_two_logits_and_of_positions_are_refused(name):
    spec = next(spec for spec in harness_distillers() if spec.name == name)
    on, off = spec.params(standardise=True), spec.params()
    assert "always +1 and -1; remove it" in spec.supports(on, "sequence", 2)
    assert "a span is one of positions" in spec.supports(on, "span", None)
    assert spec.supports(on, "token", 3) is spec.supports(on, "sequence", None) is None
    assert spec.supports(off, "sequence", 2) is spec.supports(off, "span", None) is None


def test_of_two_classes_a_standardised_teacher_says_no_more_than_which():
    sure, unsure = (torch.tensor([[1.0, -x]]) for x in (9.0, -0.9))
    torch.testing.assert_close(standardised(sure), standardised(unsure))


TWO = """
schema = 1
[suite]
name = "two"
anchor = { model = "bag" }
[task]
%s
[models.bag]
use = "ngram"
rows = 512
train = { distil = "finetune", epochs = 8, learning_rate = 0.02, batch_size = 8 }
[models.taught]
use = "ngram"
rows = 512
train = { distil = "kd", standardise = true, teacher = "bag" }
[models.next]
use = "ngram"
rows = 512
train = { distil = "kd", teacher = "taught" }
[matrix]
[measure]
speed = false
"""
DROPPED = """use = "rureviews"
source = "bundled:harness_sentiment/data/sample"
labels = { negative = "bad", positive = "good", neutral = "" }"""
FOUND = 'use = "sentiment"\nsource = "data"'


def test_two_classes_that_the_suite_names_are_refused_by_the_plan(project):
    project.write(TWO % DROPPED, "two.toml")
    said = project.harness("plan", "two.toml").out
    assert "3 cells, 2 skipped" in said
    assert "model=taught,compress=none,seed=42: 'kd' with standardise = true learns nothing" in said
    assert "model=next,compress=none,seed=42: its teacher 'taught': 'kd' with standardise = true" in said


def test_two_classes_that_the_data_tell_are_refused_before_the_first_step(project):
    rows = [f"{('плохо', 'хорошо')[n % 2]} и {n},{('bad', 'good')[n % 2]}\n" for n in range(120)]
    (project.folder / "data").mkdir()
    (project.folder / "data" / "all.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    project.write(TWO % FOUND, "two.toml")
    assert "3 cells, 0 skipped" in project.harness("plan", "two.toml").out
    said = project.harness("run", "two.toml", "--only", "model=taught", code=1).err
    assert "failed   train taught seed 42: 'kd' with standardise = true learns nothing" in said


# -------------------------------------------------------------------------------------------------------------- mse


def test_mse_by_hand():
    wanted = 0.7 * ((STUDENT - FIRST) ** 2).mean() + 0.3 * ce(STUDENT, TARGETS)
    assert value(Mse(), MseParams(alpha=0.7), make()) == pytest.approx(wanted, rel=1e-6)


def test_mse_of_several_teachers_is_to_their_mean_logits():
    wanted = ((STUDENT - (FIRST + SECOND) / 2) ** 2).mean()
    assert value(Mse(), MseParams(), make(teachers=(FIRST, SECOND))) == pytest.approx(wanted, rel=1e-6)


def test_mse_counts_what_every_teacher_knows():
    covered = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 1, 1]], dtype=bool)
    batch = dataclasses.replace(make(targets=np.full(4, -100)), covered=torch.tensor(covered))
    assert value(Mse(), MseParams(), batch) == pytest.approx(((STUDENT - FIRST) ** 2)[covered].mean(), rel=1e-6)


# ------------------------------------------------------------------------------------------------------- constrained

CRITICAL = np.array([-1, 0, 0])  # of classes: 1 and 2 belong to the critical type 0


def critical_batch(**changes) -> Batch:
    return dataclasses.replace(make(**changes), critical=torch.tensor(CRITICAL))


@pytest.mark.parametrize("form", ["logits", "weights"])
def test_without_beta_constrained_is_kd_bit_for_bit(form):
    params = ConstrainedParams(beta=0.0, form=form, temperature=3.0, alpha=0.3, label_smoothing=0.1)
    one, two = critical_batch(), make()
    mine, _ = Constrained().loss(one, params)
    theirs, _ = Kd().loss(two, KdParams(temperature=3.0, alpha=0.3, label_smoothing=0.1))
    mine.backward()
    theirs.backward()
    assert torch.equal(mine, theirs)
    assert torch.equal(one.logits.grad, two.logits.grad)
    spec = next(spec for spec in harness_distillers() if spec.name == "constrained")
    name, same = spec.reduces_to(params)
    assert (name, KdParams(**same)) == ("kd", KdParams(temperature=3.0, alpha=0.3, label_smoothing=0.1))
    assert spec.reduces_to(ConstrainedParams(beta=0.1)) is None


def test_agreement_is_on_words_with_a_critical_label_alone():
    """TARGETS are 0, none, 1, 2: the last two are critical."""
    extra = ((STUDENT - FIRST)[2:] ** 2).mean()
    plain = value(Kd(), KdParams(), make())
    assert value(Constrained(), ConstrainedParams(beta=0.2), critical_batch()) == pytest.approx(
        plain + 0.2 * extra, rel=1e-6
    )


def test_weights_are_one_more_beta_on_critical_classes():
    log = np.log(softmax(STUDENT))
    weights = np.array([1, 1.5, 1.5])
    wanted = sum(weights[t] * -log[row, t] for row, t in ((0, 0), (2, 1), (3, 2))) / sum(weights[t] for t in (0, 1, 2))
    soft = 4 * kl([FIRST], STUDENT, 2.0)
    found = value(Constrained(), ConstrainedParams(beta=0.5, form="weights"), critical_batch())
    assert found == pytest.approx(0.5 * soft + 0.5 * wanted, rel=1e-6)


def test_a_batch_without_critical_words_costs_no_more():
    targets = np.array([0, -100, 0, 0])
    found = value(Constrained(), ConstrainedParams(beta=0.5), critical_batch(targets=targets))
    assert found == pytest.approx(value(Kd(), KdParams(), make(targets=targets)), rel=1e-7)


@pytest.mark.parametrize("critical", [None, np.array([-1, -1, -1])])
def test_a_task_without_critical_classes_is_told(critical):
    batch = dataclasses.replace(make(), critical=None if critical is None else torch.tensor(critical))
    with pytest.raises(StageError, match=r"set task\.critical"):
        Constrained().loss(batch, ConstrainedParams())


# --------------------------------------------------------------------------------------------------------- guarantee


def test_soft_recall_is_the_mean_probability_of_critical_labels():
    """TARGETS are 0, none, 1, 2, and the only critical type has the classes 1 and 2."""
    found, there = soft_recall(torch.tensor(softmax(STUDENT)), critical_batch())
    assert found.tolist() == pytest.approx([(softmax(STUDENT)[2, 1] + softmax(STUDENT)[3, 2]) / 2])
    assert there.tolist() == [True]


def test_a_guarantee_starts_as_kd_and_pulls_more_and_more():
    guarantee, params = Guarantee(), GuaranteeParams(epsilon=0.0, ascent=0.5, memory=0.0)
    kept = guarantee.begin(params, torch.tensor(CRITICAL), ())
    short = np.mean([softmax(FIRST)[2, 1] - softmax(STUDENT)[2, 1], softmax(FIRST)[3, 2] - softmax(STUDENT)[3, 2]])
    assert short > 0.2
    plain = value(Kd(), KdParams(), make())
    assert value(guarantee, params, critical_batch()) == pytest.approx(plain, rel=1e-6)
    assert kept.multipliers.tolist() == pytest.approx([0.5 * short], rel=1e-5)
    assert value(guarantee, params, critical_batch()) == pytest.approx(plain + 0.5 * short**2, rel=1e-5)
    assert kept.multipliers.tolist() == pytest.approx([short], rel=1e-5)


def test_a_multiplier_falls_where_the_student_does_better_and_never_below_zero():
    guarantee, params = Guarantee(), GuaranteeParams(epsilon=0.0, ascent=0.5, memory=0.0)
    kept = guarantee.begin(params, torch.tensor(CRITICAL), ())
    kept.multipliers.fill_(0.3)
    better = {"teachers": (STUDENT,), "student": FIRST}
    for _ in range(5):
        value(guarantee, params, critical_batch(**better))
    assert kept.multipliers.tolist() == [0.0]
    assert kept.shortfall.item() < -0.2


def test_a_guarantee_is_not_moved_by_batches_without_the_type():
    guarantee, params = Guarantee(), GuaranteeParams()
    kept = guarantee.begin(params, torch.tensor(CRITICAL), ())
    kept.shortfall.fill_(0.5)
    kept.multipliers.fill_(0.25)
    targets = np.array([0, -100, 0, 0])
    plain = value(Kd(), KdParams(), make(targets=targets))
    assert value(guarantee, params, critical_batch(targets=targets)) == pytest.approx(plain)
    assert kept.shortfall.tolist() == [0.5]
    assert kept.multipliers.tolist() == [0.25]


def test_the_gradient_of_a_guarantee_raises_the_probability_of_critical_labels():
    guarantee, params = Guarantee(), GuaranteeParams(alpha=0.0)
    guarantee.begin(params, torch.tensor(CRITICAL), ()).multipliers.fill_(5.0)
    one, two = critical_batch(), make()
    guarantee.loss(one, params)[0].backward()
    Kd().loss(two, KdParams(alpha=0.0))[0].backward()
    pull = (one.logits.grad - two.logits.grad).numpy()
    assert pull[2, 1] < 0
    assert pull[3, 2] < 0
    assert np.abs(pull[:2]).max() < 1e-7


# -------------------------------------------------------------------------------------------------------------- dice


def test_dice_by_hand():
    """TARGETS are 0, none, 1, 2; of three classes the first is "nothing here"."""
    p = softmax(STUDENT)[[0, 2, 3]]
    t = np.eye(3)[[0, 1, 2]]
    far = np.mean([1 - (2 * (p[:, c] * t[:, c]).sum() + 1) / ((p[:, c] + t[:, c]).sum() + 1) for c in (1, 2)])
    wanted = 0.2 * ce(STUDENT, TARGETS) + 0.8 * far
    assert value(Dice(), DiceParams(), make()) == pytest.approx(wanted, rel=1e-6)


def test_dice_is_counted_layer_by_layer():
    """Units of two words with two types each: the mean of what each type gives by itself."""
    targets = np.array([0, 1, 1, 2])
    of = [value(Dice(), DiceParams(weight=1.0), make(targets[kind::2], (), STUDENT[kind::2])) for kind in (0, 1)]
    both = dataclasses.replace(make(targets=targets), layers=2)
    assert value(Dice(), DiceParams(weight=1.0), both) == pytest.approx(np.mean(of), rel=1e-6)


def test_dice_needs_labels():
    with pytest.raises(StageError, match="dice learns from labels"):
        Dice().loss(make(targets=np.full(4, -100)), DiceParams())


# ------------------------------------------------------------------------------------------------------------ hidden


def test_states_are_compared_after_a_projection_of_their_own():
    rng = np.random.default_rng(0)
    ours = [rng.normal(size=(4, width)) for width in (2, 3)]
    theirs = [rng.normal(size=(4, width)) for width in (5, 4)]
    pairs = tuple(
        (torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32))
        for a, b in zip(ours, theirs, strict=True)
    )
    hidden, params = Hidden(), HiddenParams(layers=[[0, 1], [-1, -1]], weight=0.3)
    kept = hidden.begin(params, None, [(2, 5), (3, 4)])
    assert sum(p.numel() for p in kept.parameters()) == 2 * 5 + 5 + 3 * 4 + 4
    far = [
        ((a @ layer.weight.detach().numpy().T + layer.bias.detach().numpy() - b) ** 2).mean()
        for layer, a, b in zip(kept, ours, theirs, strict=True)
    ]
    found = value(hidden, params, dataclasses.replace(make(), states=pairs))
    assert found == pytest.approx(value(Kd(), KdParams(), make()) + 0.3 * np.mean(far), rel=1e-5)
