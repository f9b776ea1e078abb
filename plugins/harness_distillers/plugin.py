"""The hook of the distillers and the params that a suite may set in a `train` table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from harness import DistillerSpec, Head, Params, hookimpl

_TWO = 2


class FinetuneParams(Params):
    """Labels only."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")


class DiceParams(FinetuneParams):
    """Labels only, with the overlap of what is said and what is right beside their probability."""

    weight: float = Field(0.8, ge=0, le=1, description="weight of Dice; 1 - weight is that of cross-entropy")


class KdParams(Params):
    """A mixture of teacher and labels."""

    temperature: float = Field(2.0, gt=0, description="T: both distributions are softened by it")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the teacher; 1 - alpha is the weight of the labels")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    standardise: bool = Field(
        False, description="compare z-scores of logits, so that the student is free in their level and spread"
    )


class MseParams(Params):
    """Regression on the teacher's logits, mixed with the labels."""

    alpha: float = Field(1.0, ge=0, le=1, description="weight of the teacher; 1 - alpha is the weight of the labels")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")


class ConstrainedParams(KdParams):
    """`kd` with a stronger hold on what the task calls critical."""

    beta: float = Field(0.5, ge=0, description="strength; 0 is kd")
    cooling: float = Field(0.0, ge=0, description="the learning rate is divided by 1 + cooling·beta")
    form: Literal["logits", "weights"] = Field(
        "logits",
        description="logits: agree with the teacher on gold critical words; weights: critical classes weigh more",
    )


class HiddenParams(KdParams):
    """`kd`, and hidden states of chosen layers as the teacher's."""

    layers: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = Field(
        [[-1, -1]], min_length=1, description="[student's, teacher's] layers; 0: embeddings, -1: the last"
    )
    weight: float = Field(1.0, ge=0, description="weight of the distance between states")


class GuaranteeParams(KdParams):
    """`kd` under the constraint that no critical type is recalled worse than by the teacher."""

    epsilon: float = Field(0.02, ge=0, lt=1, description="by how much soft recall of a critical type may fall short")
    ascent: float = Field(0.01, gt=0, description="step of the multipliers, at every training step")
    memory: float = Field(0.95, ge=0, lt=1, description="of the running mean of what recall falls short by")
    most: float = Field(1.0, gt=0, description="largest multiplier")


def _without_beta(params: ConstrainedParams) -> tuple[str, dict[str, Any]] | None:
    """β = 0 is `kd` with the same params."""
    return (
        ("kd", params.model_dump(include=set(KdParams.model_fields), exclude_unset=True)) if params.beta == 0 else None
    )


def _standardisable(params: KdParams, head: Head, classes: int | None) -> str | None:
    """Z-scores need three logits to say anything, and each unit the same classes."""
    if params.standardise and head == "span":
        return "with standardise = true is about classes, and a span is one of positions; remove standardise"
    if params.standardise and classes is not None and classes <= _TWO:
        return "with standardise = true learns nothing: the z-scores of two logits are always +1 and -1; remove it"
    return None


@hookimpl
def harness_distillers() -> Iterable[DistillerSpec]:
    """Plain fine-tuning, and ways to learn from a teacher."""
    yield DistillerSpec(
        name="finetune",
        summary="Cross-entropy with the labels; no teacher",
        version=1,
        heads=("sequence", "token", "nested-token", "span"),
        needs_teacher=False,
        factory="harness_distillers.finetune:Finetune",
        params=FinetuneParams,
        libraries=("torch",),
    )
    yield DistillerSpec(
        name="kd",
        summary="KL to the teacher at a temperature, mixed with the labels",
        version=1,
        heads=("sequence", "token", "nested-token", "span"),
        needs_teacher=True,
        weighs_teachers=True,
        needs_labels=False,
        factory="harness_distillers.kd:Kd",
        params=KdParams,
        supports=_standardisable,
        libraries=("torch",),
        reference="https://arxiv.org/abs/1503.02531",
    )
    yield DistillerSpec(
        name="mse",
        summary="Mean square of the distance to the teacher's logits, mixed with the labels",
        version=1,
        heads=("sequence", "token", "nested-token", "span"),
        needs_teacher=True,
        weighs_teachers=True,
        needs_labels=False,
        factory="harness_distillers.mse:Mse",
        params=MseParams,
        libraries=("torch",),
        reference="https://arxiv.org/abs/1312.6184",
    )
    yield DistillerSpec(
        name="constrained",
        summary="kd, and more weight on the types that the task calls critical",
        version=1,
        heads=("token",),
        needs_teacher=True,
        weighs_teachers=True,
        reads_critical=True,
        reduces_to=_without_beta,
        rate=lambda params: 1 / (1 + params.cooling * params.beta),
        factory="harness_distillers.constrained:Constrained",
        params=ConstrainedParams,
        supports=_standardisable,
        libraries=("torch",),
        reference="Chudnov, Romashkova: Models of resource-efficient distillation of transformers in NER",
    )
    yield DistillerSpec(
        name="guarantee",
        summary="kd, held by multipliers to the teacher's recall of every critical type, less epsilon",
        version=2,
        heads=("token",),
        needs_teacher=True,
        weighs_teachers=True,
        reads_critical=True,
        stateful=True,
        factory="harness_distillers.guarantee:Guarantee",
        params=GuaranteeParams,
        supports=_standardisable,
        libraries=("torch",),
        reference="https://arxiv.org/abs/1805.08852",
    )
    yield DistillerSpec(
        name="hidden",
        summary="kd, and hidden states of chosen layers, projected, close to the teacher's",
        version=1,
        heads=("sequence", "token", "nested-token"),
        needs_teacher=True,
        needs_labels=False,
        stateful=True,
        miniature={"layers": [[-1, -1]]},
        states=lambda params: tuple((ours, theirs) for ours, theirs in params.layers),
        factory="harness_distillers.hidden:Hidden",
        params=HiddenParams,
        supports=_standardisable,
        libraries=("torch",),
        reference="https://arxiv.org/abs/1412.6550",
    )
    yield DistillerSpec(
        name="dice",
        summary="Cross-entropy and Dice with the labels, for classes that are rare; no teacher",
        version=1,
        heads=("token", "nested-token"),
        needs_teacher=False,
        factory="harness_distillers.dice:Dice",
        params=DiceParams,
        libraries=("torch",),
        reference="https://arxiv.org/abs/1911.02855",
    )
