"""A registry of components that can be declared but not run, and suites that use them."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from harness import CompressorSpec, DistillerSpec, Metric, Params, RuntimeSpec, StudentSpec, SuiteError, TaskSpec
from harness.plugins import build_registry
from harness.suite import Suite, parse_suite


class Columns(Params):
    text: str = "text"
    label: str = "label"


class ReviewParams(Params):
    labels: dict[str, str] | None = None
    files: tuple[str, ...] = ()
    columns: Columns = Columns()
    limit: int | dict[Literal["train", "dev"], int] | None = None
    stride: int = Field(128, ge=1)


class TransformerParams(Params):
    checkpoint: str | None = None
    hidden_size: int = Field(64, ge=1)
    heads: int = 4

    @model_validator(mode="after")
    def check_heads(self) -> TransformerParams:
        if self.hidden_size % self.heads:
            msg = f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}"
            raise ValueError(msg)
        return self


class LstmParams(Params):
    hidden_size: int = Field(128, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    pool: Literal["max", "mean", "last"] = "max"


class KdParams(Params):
    alpha: float = Field(0.5, ge=0, le=1)
    temperature: float = Field(2.0, gt=0)
    beta: float = Field(0.0, ge=0)


class GreedyParams(Params):
    epochs: int = 3


class ExplosiveParams(Params):
    fuse: int = 0

    @field_validator("fuse")
    @classmethod
    def burn(cls, value: int) -> int:
        if value:
            msg = f"no wire {value}"
            raise KeyError(msg)
        return value


class LambdaParams(Params):
    weight: float = Field(1.0, alias="lambda", gt=0)


class Int8Params(Params):
    per_channel: bool = True


HEADS: Any = ("sequence", "token", "nested-token", "span")
COMMON: dict[str, Any] = {"summary": "for tests", "version": 1, "factory": "nowhere:nothing"}
METRICS = (Metric(name="accuracy"), Metric(name="macro_f1"))
SPECS = (
    TaskSpec(name="reviews", head="sequence", metrics=METRICS, params=ReviewParams, **COMMON),
    TaskSpec(name="questions", head="span", metrics=(Metric(name="f1"),), **COMMON),
    StudentSpec(
        name="transformer", heads=HEADS, encoder="x:y", params=TransformerParams, init=("layers_of",), **COMMON
    ),
    StudentSpec(
        name="lstm",
        heads=("sequence", "token"),
        encoder="x:y",
        params=LstmParams,
        init=("embeddings", "layers_of"),
        **COMMON,
    ),
    StudentSpec(name="onnx-file", heads=HEADS, encoder="x:y", format="onnx", trainable=False, **COMMON),
    StudentSpec(name="frozen", heads=HEADS, encoder="x:y", trainable=False, **COMMON),
    StudentSpec(name="explosive", heads=HEADS, encoder="x:y", params=ExplosiveParams, **COMMON),
    DistillerSpec(name="finetune", heads=HEADS, needs_teacher=False, **COMMON),
    DistillerSpec(name="kd", heads=HEADS, needs_teacher=True, needs_labels=False, params=KdParams, **COMMON),
    DistillerSpec(name="hint", heads=("token",), needs_teacher=True, params=LambdaParams, **COMMON),
    DistillerSpec(name="lambda-kd", heads=HEADS, needs_teacher=True, params=LambdaParams, **COMMON),
    DistillerSpec(name="greedy", heads=HEADS, needs_teacher=False, params=GreedyParams, **COMMON),
    CompressorSpec(name="torch-int8", consumes=("torch",), produces="torch-int8", **COMMON),
    CompressorSpec(name="onnx", consumes=("torch",), produces="onnx", **COMMON),
    CompressorSpec(name="onnx-int8", consumes=("onnx",), produces="onnx-int8", params=Int8Params, **COMMON),
    CompressorSpec(name="crush", consumes=("clay",), produces="dust", **COMMON),
    RuntimeSpec(name="torch", formats=("torch", "torch-int8"), **COMMON),
)
REGISTRY = build_registry(SPECS)

GOOD = """\
schema = 1
[suite]
name = "small"
title = "Small: distillation × int8"
anchor = { model = "teacher", compress = "none" }

[task]
use = "reviews"
max_length = 96
stride = 64
labels = { good = "positive", "so so" = "neutral" }

[data.news]
source = "data/news.jsonl"

[models.teacher]
use = "transformer"
hidden_size = 32
train = { distil = "finetune", learning_rate = 2e-5, epochs = 3 }

[models.student]
use = "lstm"
train = { distil = "kd", teacher = "teacher", alpha = 0.9 }

[models.two-step]
use = "lstm"
init = { embeddings = "teacher" }
train = [
  { step = "distil", distil = "kd", teacher = ["teacher", "student"], on = "news" },
  { step = "tune", distil = "finetune" },
]

[models.plain]
use = "lstm"

[chains]
int8 = ["torch-int8"]
onnx-int8 = ["onnx", { use = "onnx-int8", per_channel = false }]

[matrix]
model = ["teacher", "student", "two-step"]
compress = ["none", "int8", "onnx-int8"]
seed = [1, 2]
beta = [0.0, 0.1]

[matrix.sets]
beta = "train.beta"

[[matrix.exclude]]
model = "student"
compress = "onnx-int8"

[[matrix.include]]
model = "plain"

[measure]
speed = { workloads = ["single"], threads = 2 }
retention = { of = "teacher", metric = "macro_f1", at_least = [0.95, 0.99] }

[[published]]
row = { model = "student", compress = "int8" }
accuracy = 74.1
size_mib = 12
source = "Table 2"

[[published]]
row = "Their CNN"
accuracy = 78.0
source = "Table 3"
hardware = "one GPU"

[[claims]]
text = "Distillation helps"
source = "§5"
compares = ["student", "plain"]
"""

HEAD = """\
schema = 1
suite.name = "s"
task.use = "reviews"
"""
MODELS = """\
[models.big]
use = "transformer"
train = { distil = "finetune" }
[models.small]
use = "lstm"
train = { distil = "kd", teacher = "big" }
"""

CHAINS = "[chains]\nint8 = ['torch-int8']\n"
BETA = "[matrix]\nbeta = [0.0, 0.1]\n[matrix.sets]\nbeta = 'train.beta'\n"


def parse(text: str, *overrides: str) -> Suite:
    return parse_suite(text, REGISTRY, overrides)


def problems(text: str, *overrides: str) -> list[str]:
    """Every line of the error that the suite raises."""
    with pytest.raises(SuiteError) as caught:
        parse(text, *overrides)
    return list(caught.value.problems)


def ids(suite: Suite) -> list[str]:
    return [cell.id for cell in suite.cells]


def suite(matrix: str, *overrides: str, models: str = MODELS) -> Suite:
    return parse(HEAD + models + CHAINS + matrix, *overrides)


def wrong(matrix: str, *overrides: str, models: str = MODELS) -> list[str]:
    """The problems without the name and line of the document."""
    return [line.split(":", 2)[2] for line in problems(HEAD + models + CHAINS + matrix, *overrides)]
