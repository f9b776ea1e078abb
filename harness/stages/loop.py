"""The one training loop: any student, any distiller, stored teacher outputs, resumable at any step.

Every random draw is a function of (seed, epoch) or (seed, step), so a resumed training needs no generator's state and
ends with the weights of an undisturbed one, bit for bit on a CPU with the same number of threads. Weight decay applies
to matrices and embedding tables, not to biases and norms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from harness.certainty import confidence
from harness.errors import StageError
from harness.heads import HeadRules, Lesson
from harness.specs import Batch, Distiller, Encoded
from harness.stages.batching import balanced, bucketed, collate, drop_tokens, sorted_batches
from harness.stages.masks import hold, zeros
from harness.stages.optimizing import deterministic, learning_rate, make_accelerator, make_optimizer, planned
from harness.stages.resume import (
    optimizer_state,
    put_optimizer_state,
    put_weights,
    read_tensors,
    weights_of,
    write_tensors,
)
from harness.training import STATE, TrainParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.text import TokenIds

WEIGHT = "weight."  # and the number of a teacher: a part of the curve, its mean weight in each step
DIVERGED = 1e15  # a loss that comes so far; records hold no greater one


@dataclass(frozen=True, kw_only=True)
class Dev:
    """What a model is judged by. `score`: what was said about every dev window, in order → the primary metric."""

    windows: Sequence[Encoded]
    score: Callable[[list[Any]], float]
    higher_is_better: bool = True


@dataclass(frozen=True, kw_only=True)
class LoopRequest:
    """One training on W windows."""

    model: nn.Module
    rules: HeadRules
    windows: Sequence[Encoded]  # W
    targets: np.ndarray  # int64 [W, k]; -100 = unlabelled
    lessons: Sequence[Lesson] = ()  # one per teacher
    critical: np.ndarray | None = None  # int64 [C]: see `Batch.critical`
    states: Sequence[tuple[int, Lesson]] = ()  # layer of the model, states of a teacher's; see `Batch.states`
    aside: nn.Module | None = None  # what the distiller keeps: trained and resumed beside the model
    pad: Mapping[str, int]
    distiller: Distiller
    distiller_params: Any
    train: TrainParams
    seed: int
    outputs: frozenset[str]  # of 'last', 'best', 'epoch-1', 'epoch-2', …
    save: Callable[[nn.Module, str], None]  # called once per output, at the end
    scratch: Path  # survives a kill; the caller removes it once the outputs are safe
    dev: Dev | None = None
    tokens: TokenIds | None = None  # needed by token_dropout
    masked: bool = False  # do weights of matrices and tables that are zero stay zero?
    progress: Callable[[int, int, float, float], None] = field(default=lambda step, total, loss, rate: None)
    device: Literal["cpu", "auto"] = "cpu"
    state_seconds: float = 60.0  # state is written at least so often, and at the end of each epoch


@dataclass(frozen=True)
class LoopResult:
    """What a training leaves beside its weights; plain JSON values."""

    steps: int
    curve: dict[str, Any]  # per step: {"loss": […], "rate": […], "parts": {name: […]}}
    epochs: list[dict[str, Any]]  # per epoch: {"epoch", "steps", "loss", "dev" (None without one), "seconds"}, and with
    # `eval_steps` "within": [[step of the epoch, dev], …]
    best_epoch: int | None  # the first of the best on dev


def train(request: LoopRequest) -> LoopResult:
    """Train `request.model` and save every output. StageError when the request or a loss makes no sense."""
    _check(request)
    accelerator = make_accelerator(request.train, request.device)
    with deterministic(accelerator.device.type == "cpu"):
        run = _Run(request, accelerator)
        run.resume()
        while len(run.epochs) < run.planned_epochs:
            run.epoch()
        return run.finish()


class _Run:
    """A training in progress: the model, its optimiser, and what has been observed."""

    def __init__(self, request: LoopRequest, accelerator: Accelerator) -> None:
        self.request = request
        self.per_epoch, self.total, self.planned_epochs = planned(request.train, len(request.windows))
        self.lengths = np.array([item.length for item in request.windows])
        self.chances = balanced(request.rules.kinds(request.targets)) if request.train.balance else None
        self.accelerator = accelerator
        self.plain = request.model
        self.whole = _whole(request)
        self.model, self.optimizer = self.accelerator.prepare(request.model, make_optimizer(self.whole, request.train))
        if request.aside is not None:
            request.aside.to(self.accelerator.device)
        self.held = zeros(request.model) if request.masked else {}
        self.step = 0
        self.curve: dict[str, Any] = {"loss": [], "rate": [], "parts": {}}
        self.epochs: list[dict[str, Any]] = []
        self.epoch_seconds = 0.0  # spent on training in the unfinished epoch, earlier processes included
        self.within: list[list[float]] = []  # of the unfinished epoch: [its step, dev]

    # -------------------------------------------------------------------------------------------------- one epoch

    def epoch(self) -> None:
        """The rest of the current epoch, its verdict on dev, the outputs it gives, and the state after it."""
        number = len(self.epochs) + 1
        first = (number - 1) * self.per_epoch
        rng = np.random.default_rng([self.request.seed, 0, number])
        batches = self._batches(rng)
        self._freeze(number <= self.request.train.freeze_embeddings)
        self.model.train()
        self.clock = time.monotonic()
        for rows in batches[self.step - first : self.total - first]:
            self._train_on(rows)
            self._judge_within(self.step - first)
            if time.monotonic() - self.clock > self.request.state_seconds:
                self._write_state()
        seconds = self.epoch_seconds + time.monotonic() - self.clock
        losses = self.curve["loss"][first:]
        verdict = {"epoch": number, "steps": len(losses), "loss": float(np.mean(losses)), "dev": self._judge()}
        within = {"within": self.within} if self._judges_within else {}
        self.epochs.append({**verdict, "seconds": round(seconds, 3), **within})
        self.epoch_seconds, self.within, self.clock = 0.0, [], time.monotonic()
        self._keep(number)
        self._write_state()

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        size = self.request.train.batch_size
        if not self.request.train.balance:
            return bucketed(self.lengths, size, rng)
        drawn = rng.choice(len(self.lengths), len(self.lengths), p=self.chances)
        return [drawn[rows] for rows in bucketed(self.lengths[drawn], size, rng)]

    def _freeze(self, frozen: bool) -> None:
        if self.request.train.freeze_embeddings:
            cast("PreTrainedModel", self.plain).get_input_embeddings().requires_grad_(not frozen)

    def _train_on(self, rows: np.ndarray) -> None:
        rate = learning_rate(self.request.train, self.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng([self.request.seed, 1, self.step])
        torch.manual_seed(int(rng.integers(2**63)))
        batch = self._batch(rows, rng)
        loss, parts = self.request.distiller.loss(batch, self.request.distiller_params)
        value = loss.item()
        if not abs(value) <= DIVERGED:  # nor is one that is no number
            msg = f"the loss is {value} at step {self.step + 1} of {self.total}; lower learning_rate or clip more"
            raise StageError(msg)
        self.accelerator.backward(loss)
        hold(self.plain, self.held)
        if self.request.train.clip is not None:
            self.accelerator.clip_grad_norm_(self.whole.parameters(), self.request.train.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._note(value, rate, {**parts, **_mean_weights(batch)})
        self.request.progress(self.step, self.total, value, rate)

    def _batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        request = self.request
        windows = [request.windows[row] for row in rows]
        arrays = collate(windows, request.pad)
        if request.train.token_dropout and request.tokens:
            arrays["input_ids"] = drop_tokens(arrays["input_ids"], request.tokens, request.train.token_dropout, rng)
        lessons = [lesson(rows) for lesson in request.lessons]
        asked = {"output_hidden_states": True} if request.states else {}
        answer = self.model(**self._tensors(arrays), **asked)
        batch = self._weighed(request.rules.batch(answer, windows, request.targets[rows], lessons, self._tensor))
        if request.critical is not None:
            batch = replace(batch, critical=self._tensor(request.critical))
        return replace(batch, states=self._states(answer, windows, rows)) if request.states else batch

    def _weighed(self, batch: Batch) -> Batch:
        if self.request.train.ensemble == "mean":
            return batch
        said = [teacher.cpu().numpy() for teacher in batch.teachers]
        known = None if batch.covered is None else batch.covered.cpu().numpy()
        return replace(batch, weights=self._tensor(confidence(said, known)))

    def _states(self, answer: Any, windows: Sequence[Encoded], rows: np.ndarray) -> tuple[tuple[Tensor, Tensor], ...]:
        units = self.request.rules.units
        return tuple(
            (units(answer.hidden_states[layer], windows, self._tensor).float(), self._tensor(lesson(rows)))
            for layer, lesson in self.request.states
        )

    def _tensors(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        return {name: self._tensor(array) for name, array in arrays.items()}

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.accelerator.device)

    def _note(self, loss: float, rate: float, parts: Mapping[str, float | Tensor]) -> None:
        """Six digits are enough for a curve. A part that a batch lacks is None there."""
        self.curve["loss"].append(_short(loss))
        self.curve["rate"].append(_short(rate))
        for name in {*parts, *self.curve["parts"]}:
            column = self.curve["parts"].setdefault(name, [None] * (self.step - 1))
            column.append(_short(float(parts[name])) if name in parts else None)

    # ------------------------------------------------------------------------------------------------- judging, keeping

    @property
    def _judges_within(self) -> bool:
        return self.request.dev is not None and self.request.train.eval_steps is not None

    def _judge_within(self, step: int) -> None:
        """After every so many steps of an epoch, the clock standing; its last step is judged with the epoch."""
        last = step == min(self.per_epoch, self.total - len(self.epochs) * self.per_epoch)
        if self._judges_within and not last and step % cast("int", self.request.train.eval_steps) == 0:
            self.epoch_seconds += time.monotonic() - self.clock
            self.within.append([step, cast("float", self._judge())])
            self.model.train()
            self.clock = time.monotonic()

    def _judge(self) -> float | None:
        dev = self.request.dev
        if dev is None:
            return None
        self.model.eval()
        outputs: list[Any] = [None] * len(dev.windows)
        lengths = np.array([item.length for item in dev.windows])
        with torch.inference_mode():
            for rows in sorted_batches(lengths, self.request.train.batch_size):
                windows = [dev.windows[row] for row in rows]
                answer = self.model(**self._tensors(collate(windows, self.request.pad)))
                arrays = {name: answer[name].float().cpu().numpy() for name in self.request.rules.outputs}
                for row, said in zip(rows, self.request.rules.read(windows, arrays), strict=True):
                    outputs[row] = said
        return float(dev.score(outputs))

    def best_epoch(self) -> int | None:
        """The first of the best so far; None without dev."""
        dev = self.request.dev
        if dev is None:
            return None
        sign = 1 if dev.higher_is_better else -1
        return int(max(self.epochs, key=lambda epoch: (sign * epoch["dev"], -epoch["epoch"]))["epoch"])

    def _keep(self, number: int) -> None:
        """Weights of this epoch go to scratch under every output name that they are (so far)."""
        names = {f"epoch-{number}", *(["best"] if self.best_epoch() == number else [])}
        for name in sorted(names & self.request.outputs):
            write_tensors(self._kept(name), weights_of(self.plain))

    def _kept(self, name: str) -> Path:
        return self.request.scratch / f"{name}.safetensors"

    def finish(self) -> LoopResult:
        """Hand every output to `save`, the last one first, since the others replace the weights."""
        model = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False).eval()
        for name in sorted(self.request.outputs, key=lambda name: (name != "last", name)):
            if name != "last":
                kept = read_tensors(self._kept(name))
                if kept is None:
                    msg = f"{self._kept(name)} is gone or broken; remove its folder and train again"
                    raise StageError(msg)
                put_weights(model, kept[0])
            self.request.save(model, name)
        return LoopResult(self.step, self.curve, self.epochs, self.best_epoch())

    # ------------------------------------------------------------------------------------------------------- resuming

    def _write_state(self) -> None:
        self.epoch_seconds += time.monotonic() - self.clock
        scaler = self.accelerator.scaler
        notes = {
            "step": self.step,
            "total": self.total,
            "curve": self.curve,
            "epochs": self.epochs,
            "epoch_seconds": self.epoch_seconds,
            "within": self.within,
            "scaler": scaler.state_dict() if scaler else None,
        }
        moments = optimizer_state(self.whole, self.optimizer.optimizer)
        tensors = {f"w:{n}": t for n, t in weights_of(self.whole).items()} | {f"o:{n}": t for n, t in moments.items()}
        write_tensors(self.request.scratch / STATE, tensors, notes)
        self.clock = time.monotonic()

    def resume(self) -> None:
        """Go on from the state in scratch, if there is one."""
        state = read_tensors(self.request.scratch / STATE)
        if state is None:
            return
        tensors, notes = state
        put_weights(self.whole, {n[2:]: t for n, t in tensors.items() if n.startswith("w:")})
        moments = {n[2:]: t for n, t in tensors.items() if n.startswith("o:")}
        put_optimizer_state(self.whole, self.optimizer.optimizer, moments)
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(notes["scaler"])
        self.step, self.curve, self.epochs = notes["step"], notes["curve"], notes["epochs"]
        self.epoch_seconds, self.within = notes["epoch_seconds"], notes["within"]


def _mean_weights(batch: Batch) -> dict[str, float]:
    """Of each teacher, over the units of a batch: `weight.0`, …; nothing where they count alike."""
    means = [] if batch.weights is None else batch.weights.mean(1).tolist()
    return {f"{WEIGHT}{number}": mean for number, mean in enumerate(means)}


def _whole(request: LoopRequest) -> nn.Module:
    """The model, with what the distiller keeps beside it."""
    if request.aside is None:
        return request.model
    return nn.ModuleDict({"model": request.model, "aside": request.aside})


def _check(request: LoopRequest) -> None:
    """StageError for a request that cannot end well, before any work."""
    count = len(request.windows)
    if count == 0:
        msg = "there is nothing to train on: the data of this step is empty"
        raise StageError(msg)
    if len(request.targets) != count:
        msg = f"{len(request.targets)} rows of targets for {count} windows"
        raise StageError(msg)
    if request.train.token_dropout and request.tokens is None:
        msg = "token_dropout: this student's encoder does not say which token is the unknown one; remove token_dropout"
        raise StageError(msg)
    epochs = planned(request.train, count)[2]
    possible = {"last", *(f"epoch-{n}" for n in range(1, epochs + 1)), *(["best"] if request.dev else [])}
    if request.outputs - possible:
        asked = ", ".join(sorted(request.outputs - possible))
        msg = (
            f"output {asked}: this training has {epochs} epochs and {'a' if request.dev else 'no'} dev set to judge by"
        )
        raise StageError(msg)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
