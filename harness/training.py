"""What the one training loop can be told; the words a suite may use in a `train` table beside the distiller's own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.specs import Params

STATE = "state.safetensors"  # in a training's scratch folder: what it goes on from after it was stopped


class TrainParams(Params):
    """Options of the loop. Any of them can be bound to an axis of the matrix as `train.<name>`."""

    epochs: int = Field(default=3, ge=1)
    max_steps: int | None = Field(default=None, ge=1)  # stop after so many steps, whatever `epochs` says
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(default=0.1, ge=0, lt=1)  # share of all steps
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float | None = Field(default=1.0, gt=0)  # largest gradient norm
    token_dropout: float = Field(default=0.0, ge=0, lt=1)  # share of input tokens replaced by the unknown token
    freeze_embeddings: int = Field(default=0, ge=0)  # epochs at the start in which word embeddings stay as they are
    balance: bool = False  # draw windows with replacement, those with rare classes more often
    select: Literal["last", "best"] = "last"  # which epoch the cell uses; `best` by the primary metric on dev
    eval_steps: int | None = Field(default=None, ge=1)  # judge dev after so many steps too, not only after each epoch
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    ensemble: Literal["mean", "confidence"] = "mean"  # how several teachers become one: alike, or by their certainty
