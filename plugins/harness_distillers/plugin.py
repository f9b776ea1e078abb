"""The hook of the distillers and the params that a suite may set in a `train` table."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from harness import DistillerSpec, Params, hookimpl


class FinetuneParams(Params):
    """Labels only."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")


class KdParams(Params):
    """A mixture of teacher and labels."""

    temperature: float = Field(2.0, gt=0, description="T: both distributions are softened by it")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the teacher; 1 - alpha is the weight of the labels")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")


@hookimpl
def harness_distillers() -> Iterable[DistillerSpec]:
    """Plain fine-tuning, and knowledge distillation."""
    yield DistillerSpec(
        name="finetune",
        summary="Cross-entropy with the labels; no teacher",
        version=1,
        heads=("sequence", "span"),
        needs_teacher=False,
        factory="harness_distillers.finetune:Finetune",
        params=FinetuneParams,
        libraries=("torch",),
    )
    yield DistillerSpec(
        name="kd",
        summary="KL to the teacher at a temperature, mixed with the labels",
        version=1,
        heads=("sequence", "span"),
        needs_teacher=True,
        needs_labels=False,
        factory="harness_distillers.kd:Kd",
        params=KdParams,
        libraries=("torch",),
        reference="https://arxiv.org/abs/1503.02531",
    )
