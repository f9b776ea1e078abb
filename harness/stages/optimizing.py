"""How a training moves: its steps, learning rate, optimiser, and where and how precisely it computes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from harness.errors import StageError
from harness.training import TrainParams

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def planned(train: TrainParams, examples: int) -> tuple[int, int, int]:
    """Steps of a whole epoch, steps in all, epochs begun."""
    per_epoch = math.ceil(examples / train.batch_size)
    total = min(per_epoch * train.epochs, train.max_steps or per_epoch * train.epochs)
    return per_epoch, total, math.ceil(total / per_epoch)


def learning_rate(train: TrainParams, step: int, total: int) -> float:
    """The rate of step 0 … total - 1: linear warm-up, then the schedule, which would reach 0 at `total`."""
    warm = round(train.warmup * total)
    if step < warm:
        return train.learning_rate * (step + 1) / (warm + 1)
    done = (step - warm) / max(1, total - warm)
    shapes = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}
    return train.learning_rate * shapes[train.schedule]


def make_optimizer(model: nn.Module, train: TrainParams) -> torch.optim.Optimizer:
    """Weight decay for matrices and embedding tables, none for biases and norms; SGD has momentum 0.9."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": train.weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if train.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=train.learning_rate, momentum=0.9, fused=True)
    kind = torch.optim.AdamW if train.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=train.learning_rate, fused=True)


def make_accelerator(train: TrainParams, device: str) -> Accelerator:
    """`device` is 'cpu' or 'auto'. StageError for fp16 without a GPU.

    A fresh one each time: its state is global, and the trainings of one process may differ in precision.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=_PRECISIONS[train.precision])
    if train.precision == "fp16" and accelerator.device.type == "cpu":
        msg = "precision = 'fp16' needs a GPU; on a CPU use 'fp32' or 'bf16'"
        raise StageError(msg)
    return accelerator


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Only deterministic kernels inside; they exist for every operation on a CPU."""
    settings: Any = torch.utils.deterministic
    before, filled = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before or wanted)
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = filled
