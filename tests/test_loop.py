"""The loop: every example once an epoch, bit-identical after a kill, outputs as asked, refusals before any work."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import Batch, BuildRequest, Encoded, StageError
from harness.data import Predictions
from harness.heads.sequence import SequenceRules
from harness.stages.batching import balanced, bucketed, collate, drop_tokens, sorted_batches
from harness.stages.loop import Dev, LoopRequest, LoopResult, train
from harness.stages.optimizing import learning_rate, make_optimizer, planned
from harness.stages.resume import read_tensors, write_tensors
from harness.text import TokenIds
from harness.training import TrainParams
from harness_distillers.finetune import Finetune
from harness_distillers.kd import Kd
from harness_distillers.plugin import FinetuneParams, KdParams
from harness_recurrent.lstm import Lstm
from harness_recurrent.plugin import LstmParams
from harness_transformers.model import Transformer
from harness_transformers.plugin import TransformerParams

PAD = {"input_ids": 0, "attention_mask": 0}
TOKENS = TokenIds(1, (0, 1, 2, 3, 4))
TINY = {"vocab_size": 100, "hidden_size": 8}


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny batches gain nothing from threads and lose much to a neighbour who wants them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def data(count: int = 50, seed: int = 0) -> tuple[list[Encoded], np.ndarray]:
    """Texts of random ids; the class is decided by the first token."""
    rng = np.random.default_rng(seed)
    encoded, targets = [], []
    for _ in range(count):
        ids = rng.integers(5, 40, rng.integers(2, 15))
        targets.append(ids[0] % 3)
        encoded.append(Encoded({"input_ids": ids, "attention_mask": np.ones_like(ids)}, len(ids)))
    return encoded, np.array(targets)


def built(folder: Path, kind: str = "lstm") -> torch.nn.Module:
    factory, params = (
        (Lstm(), LstmParams(**TINY, embedding_size=8))
        if kind == "lstm"
        else (Transformer(), TransformerParams(**TINY, layers=1))
    )
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"{a}{b}" for a in "абвгд" for b in "клмнопрст"] * 3
    factory.build(
        BuildRequest(
            out=folder, head="sequence", labels=("a", "b", "c"), params=params, seed=3, max_length=16, assets={},
            artifacts={}, texts=lambda: iter(words),
        )
    )  # fmt: skip
    return factory.load(folder, "sequence")


def request(folder: Path, kind: str = "lstm", **changes) -> tuple[LoopRequest, dict[str, dict]]:
    """A small training and the place where its outputs arrive as {name: weights}."""
    saved: dict[str, dict] = {}
    encoded, targets = data()
    options = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, **changes.pop("train", {})}
    made = LoopRequest(
        **{
            "model": built(folder / "model", kind),
            "rules": SequenceRules(),
            "windows": encoded,
            "targets": targets,
            "pad": PAD,
            "distiller": Finetune(),
            "distiller_params": FinetuneParams(),
            "train": TrainParams(**options),
            "seed": 5,
            "outputs": frozenset({"last"}),
            "save": lambda model, name: saved.update({name: {k: v.clone() for k, v in model.state_dict().items()}}),
            "scratch": folder / "scratch",
            **changes,
        }
    )
    made = dataclasses.replace(made, targets=made.targets.reshape(-1, 1))
    return made, saved


def lesson(logits: np.ndarray):
    return SequenceRules().lesson(Predictions((), logits), [])


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def dev(**changes) -> Dev:
    encoded, targets = data(30, seed=9)

    def accuracy(outputs: list[np.ndarray]) -> float:
        assert all(output.shape == (3,) for output in outputs)
        return float(np.mean([output.argmax() == target for output, target in zip(outputs, targets, strict=True)]))

    return Dev(**{"windows": encoded, "score": accuracy, **changes})


# --------------------------------------------------------------------------------------------------------- batching


@pytest.mark.parametrize("count", [1, 7, 64, 1000])
def test_bucketed_has_every_example_once(count):
    lengths = np.random.default_rng(0).integers(1, 100, count)
    batches = bucketed(lengths, 8, np.random.default_rng(1), window=4)
    assert sorted(np.concatenate(batches)) == list(range(count))
    assert len(batches) == math.ceil(count / 8)
    assert sum(len(batch) < 8 for batch in batches) <= 1


def test_bucketed_pads_little_and_shuffles():
    lengths = np.random.default_rng(0).geometric(0.05, 4000)
    first, again, other = (bucketed(lengths, 32, np.random.default_rng(seed)) for seed in (1, 1, 2))
    padded = sum(len(batch) * lengths[batch].max() for batch in first)
    assert padded < 1.15 * lengths.sum()
    means = np.array([lengths[batch].mean() for batch in first])
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.3, "batches come in no order of length"
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    mates = [frozenset(batch.tolist()) for batch in first]
    assert not set(mates) & {frozenset(batch.tolist()) for batch in other}, "other batch mates in every epoch"


def test_rare_kinds_are_drawn_more_often_and_none_is_lost():
    kinds = np.zeros((102, 2), dtype=bool)
    kinds[:100, 0] = True
    kinds[99, 1] = True  # both
    chances = balanced(kinds)
    assert chances.sum() == pytest.approx(1)
    assert chances[99] / chances[0] == pytest.approx(np.log1p(100) / np.log1p(1))
    assert chances[100] == chances[0]


def test_balanced_epochs_have_as_many_windows_and_favour_the_rare(tmp_path):
    encoded, _ = data(60)
    targets = np.array([0] * 55 + [1] * 5)
    recording = Recording()
    made, _ = request(
        tmp_path, windows=encoded, targets=targets, distiller=recording, train={"epochs": 6, "balance": True}
    )
    train(made)
    seen = torch.cat([batch.targets for batch in recording.batches])
    assert len(seen) == 6 * 60
    assert (seen == 1).float().mean() > 2 * 5 / 60


def test_embeddings_stay_frozen_for_the_first_epochs(tmp_path):
    def table(epochs: int, frozen: int) -> torch.Tensor:
        folder = tmp_path / f"{epochs}-{frozen}"
        made, saved = request(folder, train={"epochs": epochs, "freeze_embeddings": frozen})
        train(made)
        return saved["last"]["lstm.embeddings.weight"]

    start = built(tmp_path / "start").state_dict()["lstm.embeddings.weight"]
    assert torch.equal(table(1, 1), start)
    assert not torch.equal(table(2, 1), start)
    assert not torch.equal(table(1, 0), start)


def test_sorted_batches_start_with_the_longest():
    batches = sorted_batches(np.array([3, 9, 1, 9, 4]), 2)
    assert [batch.tolist() for batch in batches] == [[1, 3], [4, 0], [2]]


def test_sorted_batches_hold_so_many_tokens_at_most():
    lengths = np.array([3, 9, 1, 9, 4, 40, 2])
    batches = sorted_batches(lengths, 3, tokens=20)
    assert sorted(row for batch in batches for row in batch) == list(range(7))
    assert [lengths[batch].tolist() for batch in batches] == [[40], [9, 9], [4, 3, 2], [1]]


def test_collate_pads_each_array_with_its_own_value():
    items = [
        Encoded({"a": np.array([1, 2, 3]), "b": np.array([1, 1, 1])}, 3),
        Encoded({"a": np.array([9]), "b": np.array([1])}, 1),
    ]
    arrays = collate(items, {"a": 7, "b": 0})
    assert arrays["a"].tolist() == [[1, 2, 3], [9, 7, 7]]
    assert arrays["b"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert arrays["a"].dtype == np.int64


def test_dropped_tokens_become_unknown_and_special_ones_stay():
    ids = np.tile(np.array([2, 10, 11, 12, 13, 3, 0]), (2000, 1))
    found = drop_tokens(ids, TOKENS, 0.25, np.random.default_rng(0))
    assert (found[:, [0, 5, 6]] == ids[:, [0, 5, 6]]).all()
    changed = found != ids
    assert set(found[changed]) == {1}
    assert changed[:, 1:5].mean() == pytest.approx(0.25, abs=0.02)
    assert (ids[:, 1] == 10).all(), "the stored text is untouched"


# -------------------------------------------------------------------------------------------------- rates, optimiser


def test_learning_rate_by_hand():
    options = TrainParams(learning_rate=1.0, warmup=0.2)
    rates = [learning_rate(options, step, 10) for step in range(10)]
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    cosine = TrainParams(learning_rate=2.0, warmup=0.0, schedule="cosine")
    assert [learning_rate(cosine, step, 4) for step in (0, 2)] == pytest.approx([2, 1])
    constant = TrainParams(learning_rate=2.0, warmup=0.0, schedule="constant")
    assert {learning_rate(constant, step, 4) for step in range(4)} == {2.0}


def test_planned_steps():
    assert planned(TrainParams(epochs=3, batch_size=8), 50) == (7, 21, 3)
    assert planned(TrainParams(epochs=3, batch_size=8, max_steps=9), 50) == (7, 9, 2)
    assert planned(TrainParams(epochs=3, batch_size=8, max_steps=99), 50) == (7, 21, 3)


def test_norms_and_biases_do_not_decay(tmp_path):
    model = built(tmp_path, "transformer")
    groups = make_optimizer(model, TrainParams(weight_decay=0.5)).param_groups
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        assert decays[id(parameter)] == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.5), name


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_optimiser_and_precision_learns(tmp_path, kind, precision):
    rate = 0.5 if kind == "sgd" else 0.05
    made, _ = request(
        tmp_path,
        train={"optimizer": kind, "precision": precision, "learning_rate": rate, "epochs": 8, "warmup": 0.0},
    )
    losses = [epoch["loss"] for epoch in train(made).epochs]
    assert losses[-1] < 0.8 * losses[0]


def test_half_precision_needs_a_gpu(tmp_path):
    made, _ = request(tmp_path, train={"precision": "fp16"})
    with pytest.raises(StageError, match="'bf16'"):
        train(made)


# --------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_same_seed_same_weights(tmp_path, kind):
    results = {}
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        made, saved = request(tmp_path / name, kind, seed=seed, tokens=TOKENS, train={"token_dropout": 0.2})
        torch.manual_seed(hash(name) % 1000)
        np.random.seed(hash(name) % 1000)  # what others left in the global generators must not matter
        train(made)
        results[name] = saved["last"]
    assert same(results["first"], results["again"])
    assert not same(results["first"], results["other"])


def test_global_settings_are_restored(tmp_path):
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    train(request(tmp_path, train={"max_steps": 1})[0])
    assert (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    ) == before


class Recording:
    """A distiller that remembers what it was shown."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def loss(self, batch, params):
        self.batches.append(batch)
        return batch.logits.pow(2).mean(), {"a": 1.5, **({"b": torch.tensor(2.0)} if len(self.batches) == 3 else {})}


def test_teachers_and_targets_follow_their_examples(tmp_path):
    """Row i of each array carries i, so that any misalignment shows; the teacher is memory-mapped in half precision."""
    count = 50
    rows = np.repeat(np.arange(count, dtype=np.float16)[:, None], 3, axis=1)
    np.save(tmp_path / "teacher.npy", rows)
    teacher = np.load(tmp_path / "teacher.npy", mmap_mode="r")
    recording = Recording()
    made, _ = request(
        tmp_path,
        distiller=recording,
        targets=np.arange(count),
        lessons=[lesson(teacher), lesson(rows + 100)],
        train={"epochs": 1},
    )
    train(made)
    seen = torch.cat([batch.targets for batch in recording.batches])
    assert sorted(seen.tolist()) == list(range(count))
    for batch in recording.batches:
        assert batch.teachers[0].dtype == torch.float32
        assert torch.equal(batch.teachers[0][:, 0], batch.targets.float())
        assert torch.equal(batch.teachers[1][:, 2], batch.targets.float() + 100)
        assert batch.logits.shape == (len(batch.targets), 3)


def test_curve_and_progress_tell_every_step(tmp_path):
    told = []
    made, _ = request(tmp_path, distiller=Recording(), progress=lambda *step: told.append(step), train={"epochs": 2})
    result = train(made)
    assert result.steps == 14 == len(result.curve["loss"]) == len(result.curve["rate"])
    assert result.curve["parts"] == {"a": [1.5] * 14, "b": [None, None, 2.0, *[None] * 11]}
    assert [step[:2] for step in told] == [(step, 14) for step in range(1, 15)]
    assert [step[3] for step in told] == pytest.approx(result.curve["rate"], rel=1e-5)
    assert [(epoch["epoch"], epoch["steps"]) for epoch in result.epochs] == [(1, 7), (2, 7)]
    assert result.epochs[1]["loss"] == pytest.approx(np.mean(result.curve["loss"][7:]))
    json.dumps(dataclasses.asdict(result))


def test_max_steps_ends_inside_an_epoch(tmp_path):
    made, saved = request(tmp_path, train={"max_steps": 9}, outputs=frozenset({"last", "epoch-1", "epoch-2"}))
    result = train(made)
    assert result.steps == 9
    assert [epoch["steps"] for epoch in result.epochs] == [7, 2]
    assert same(saved["last"], saved["epoch-2"])


def test_a_student_learns_from_a_teacher_without_labels(tmp_path):
    encoded, targets = data()
    teacher = np.eye(3, dtype=np.float32)[targets] * 6
    made, _ = request(
        tmp_path, targets=np.full(50, -100), lessons=[lesson(teacher)], distiller=Kd(), distiller_params=KdParams(alpha=1.0),
        train={"epochs": 25, "learning_rate": 0.03}, dev=dev(windows=encoded, score=accuracy_on(targets)),
    )  # fmt: skip
    assert train(made).epochs[-1]["dev"] > 0.9


def accuracy_on(targets: np.ndarray):
    return lambda outputs: float(np.mean(np.argmax(outputs, axis=1) == targets))


def test_clipping_bounds_a_step(tmp_path):
    options = {"optimizer": "sgd", "weight_decay": 0.0, "learning_rate": 1.0, "warmup": 0.0, "max_steps": 1}
    for clip in (1e-3, None):
        made, saved = request(tmp_path / str(clip), train={**options, "clip": clip})
        before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
        train(made)
        moved = math.sqrt(sum((saved["last"][name] - before[name]).pow(2).sum().item() for name in before))
        assert moved == pytest.approx(1e-3, rel=1e-3) if clip else moved > 1e-2


# ---------------------------------------------------------------------------------------------------------- outputs


def test_outputs_are_the_epochs_they_name(tmp_path):
    wanted = frozenset({"last", "best", "epoch-1", "epoch-3"})
    scores = iter([0.5, 0.9, 0.9])
    made, saved = request(tmp_path, outputs=wanted, dev=dev(score=lambda outputs: next(scores)))
    result = train(made)
    assert set(saved) == wanted
    assert same(saved["last"], saved["epoch-3"])
    assert not same(saved["best"], saved["last"])
    assert not same(saved["best"], saved["epoch-1"])
    assert result.best_epoch == 2, "the first of equals"
    assert [epoch["dev"] for epoch in result.epochs] == [0.5, 0.9, 0.9]
    longer, second = request(tmp_path / "two", outputs=frozenset({"epoch-2"}))
    train(longer)
    assert same(second["epoch-2"], saved["best"]), "judging on dev changes nothing in training"


def test_best_can_be_the_lowest(tmp_path):
    scores = iter([0.5, 0.1, 0.9])
    made, _ = request(
        tmp_path, outputs=frozenset({"best"}), dev=dev(score=lambda _: next(scores), higher_is_better=False)
    )
    assert train(made).best_epoch == 2


def test_dev_is_judged_without_dropout_and_in_order(tmp_path):
    seen = []
    encoded, _ = data(30, seed=9)
    made, _ = request(tmp_path, dev=dev(score=lambda outputs: seen.append(np.stack(outputs)) or 0.0))
    train(made)
    model = made.model.eval()
    for item, answer in zip(encoded, seen[-1], strict=True):
        arrays = {name: torch.from_numpy(array) for name, array in collate([item], PAD).items()}
        with torch.no_grad():
            np.testing.assert_allclose(model(**arrays).logits[0].numpy(), answer, atol=1e-5)


def test_dev_is_judged_inside_epochs_where_asked_and_training_stays_what_it_is(tmp_path):
    expected, weights = undisturbed(tmp_path, dev=dev(), **EVERYTHING)
    asked = {**EVERYTHING, "train": {**EVERYTHING["train"], "eval_steps": 3}}
    made, saved = request(tmp_path / "judged", dev=dev(), **asked)
    result = train(made)
    assert [[step for step, _ in epoch["within"]] for epoch in result.epochs] == [[3, 6]] * 3
    assert all(0 <= value <= 1 for epoch in result.epochs for _, value in epoch["within"])
    plain = [{name: value for name, value in epoch.items() if name != "within"} for epoch in result.epochs]
    assert without_seconds(dataclasses.replace(result, epochs=plain)) == without_seconds(expected)
    assert all(same(saved[name], weights[name]) for name in weights)


def test_the_last_step_is_judged_once(tmp_path):
    judged = []
    made, _ = request(
        tmp_path,
        train={"eval_steps": 2, "max_steps": 10},
        dev=dev(score=lambda _: judged.append(1) or 0.5),
    )
    result = train(made)
    assert [epoch["within"] for epoch in result.epochs] == [[[2, 0.5], [4, 0.5], [6, 0.5]], [[2, 0.5]]]
    assert len(judged) == 6, "steps 2, 4, 6, 7 of the first epoch, 2 and 3 of the second"


# --------------------------------------------------------------------------------------------------------- resuming


class Killed(Exception):
    pass


def undisturbed(folder: Path, **changes) -> tuple[LoopResult, dict]:
    made, saved = request(folder / "undisturbed", **changes)
    return train(made), saved


EVERYTHING = {
    "outputs": frozenset({"last", "best", "epoch-1", "epoch-2"}),
    "tokens": TOKENS,
    "train": {"token_dropout": 0.1, "learning_rate": 0.02},
}


def without_seconds(result: LoopResult) -> dict:
    epochs = [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in result.epochs]
    return {**dataclasses.asdict(result), "epochs": epochs}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("state_seconds", [0.0, 1e9])  # state after every step; at the ends of epochs only
@pytest.mark.parametrize("step", [1, 7, 8, 12, 21])
def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path, step, state_seconds, optimizer):
    options = {**EVERYTHING, "train": {**EVERYTHING["train"], "optimizer": optimizer, "eval_steps": 4}}
    expected, weights = undisturbed(tmp_path, dev=dev(), **options)

    def kill(at, total, loss, rate):
        if at == step:
            raise Killed

    first, nothing = request(tmp_path, dev=dev(), progress=kill, state_seconds=state_seconds, **options)
    with pytest.raises(Killed):
        train(first)
    assert nothing == {}
    steps = []
    again, saved = request(tmp_path, dev=dev(), progress=lambda at, *_: steps.append(at), **options)
    result = train(again)
    assert without_seconds(result) == without_seconds(expected)
    assert saved.keys() == weights.keys()
    assert all(same(saved[name], weights[name]) for name in weights)
    done = step - 1 if state_seconds == 0 else (step - 1) // 7 * 7
    assert steps == list(range(done + 1, 22)), "only what was not done yet is done again"


def test_kill_minus_nine(tmp_path):
    """A process that is shot in the middle leaves state that another process can use."""
    code = f"""
import sys, os, signal, pathlib
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch; torch.set_num_threads({torch.get_num_threads()})
import test_loop as t
def kill(at, *_):
    if at == 11: os.kill(os.getpid(), signal.SIGKILL)
made, _ = t.request(pathlib.Path({str(tmp_path)!r}), progress=kill, state_seconds=0.0, **t.EVERYTHING, dev=t.dev())
t.train(made)
"""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    expected, weights = undisturbed(tmp_path, dev=dev(), **EVERYTHING)
    steps = []
    made, saved = request(tmp_path, dev=dev(), progress=lambda at, *_: steps.append(at), **EVERYTHING)
    assert without_seconds(train(made)) == without_seconds(expected)
    assert steps[0] == 11
    assert all(same(saved[name], weights[name]) for name in weights)


def test_finished_training_is_only_saved_again(tmp_path):
    made, saved = request(tmp_path, **EVERYTHING, dev=dev())
    train(made)
    told = []
    again, second = request(tmp_path, **EVERYTHING, dev=dev(), progress=lambda *step: told.append(step))
    train(again)
    assert told == []
    assert all(same(saved[name], second[name]) for name in saved)


def test_dropout_acts_in_every_training_step(tmp_path):
    modes = []
    made, _ = request(tmp_path, dev=dev(), progress=lambda *_: modes.append(made.model.training))
    train(made)
    assert modes == [True] * 21


@pytest.mark.parametrize("damage", [lambda whole: whole[:100], lambda whole: b"", lambda whole: b"\xff" * 500])
def test_broken_state_starts_over(tmp_path, damage):
    expected, weights = undisturbed(tmp_path)
    made, _ = request(tmp_path, train={"max_steps": 9})
    train(made)
    state = tmp_path / "scratch" / "state.safetensors"
    state.write_bytes(damage(state.read_bytes()))
    again, saved = request(tmp_path)
    assert without_seconds(train(again)) == without_seconds(expected)
    assert same(saved["last"], weights["last"])


def test_state_is_replaced_whole(tmp_path, monkeypatch):
    file = tmp_path / "state.safetensors"
    write_tensors(file, {"x": torch.zeros(3)}, {"step": 1})

    def broken(*_):
        raise OSError

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError):  # noqa: PT011 - planted
        write_tensors(file, {"x": torch.ones(3)}, {"step": 2})
    tensors, notes = read_tensors(file)
    assert (tensors["x"].sum().item(), notes["step"]) == (0, 1)


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"windows": [], "targets": np.array([])}, "nothing to train on"),
        ({"targets": np.zeros(49, dtype=np.int64)}, "49 rows of targets for 50 windows"),
        ({"train": {"token_dropout": 0.1}}, "remove token_dropout"),
        ({"outputs": frozenset({"epoch-4"})}, "output epoch-4: this training has 3 epochs"),
        ({"outputs": frozenset({"best"})}, "no dev set"),
    ],
)
def test_impossible_requests_are_refused_before_any_work(tmp_path, changes, words):
    told = []
    made, _ = request(tmp_path, progress=lambda *step: told.append(step), **changes)
    with pytest.raises(StageError, match=words):
        train(made)
    assert told == []


def test_a_loss_that_is_not_finite_is_an_error_with_the_step(tmp_path):
    class Broken(Recording):
        def loss(self, batch, params):
            loss, parts = super().loss(batch, params)
            return loss * (math.nan if len(self.batches) == 4 else 1.0), parts

    made, _ = request(tmp_path, distiller=Broken())
    with pytest.raises(StageError, match="nan at step 4 of 21; lower learning_rate"):
        train(made)


# ------------------------------------------------------------------------------------------- what distillers keep beside


class Remembering:
    """A loss with a weight that learns and a count of its batches."""

    class Kept(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.zeros(3))
            self.register_buffer("batches", torch.zeros(()))

    def __init__(self, dies_at: int | None = None):
        self.kept, self.dies_at = self.Kept(), dies_at

    def loss(self, batch, params):
        if self.kept.batches == self.dies_at:
            raise InterruptedError
        self.kept.batches += 1
        loss = torch.nn.functional.cross_entropy(batch.logits + self.kept.scale * self.kept.batches, batch.targets)
        return loss, {"batches": self.kept.batches.item()}


def remembered(folder: Path, dies_at: int | None = None) -> tuple[Remembering, LoopResult]:
    distiller = Remembering(dies_at)
    made, _ = request(folder, distiller=distiller, distiller_params=None, aside=distiller.kept, state_seconds=0.0)
    return distiller, train(made)


def test_what_a_distiller_keeps_learns_and_survives_a_kill(tmp_path):
    calm, wanted = remembered(tmp_path / "calm")
    assert calm.kept.scale.abs().min() > 0
    with pytest.raises(InterruptedError):
        remembered(tmp_path / "killed", dies_at=5)
    again, found = remembered(tmp_path / "killed")
    assert found.curve == wanted.curve
    assert again.kept.batches == calm.kept.batches == wanted.steps
    assert torch.equal(again.kept.scale, calm.kept.scale)
