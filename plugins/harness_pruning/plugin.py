"""The hook of the pruning compressors and the params that a suite may set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator

from harness import CompressorSpec, Head, Params, hookimpl
from harness_pruning.choosing import absent, too_much

Scope = Literal["global", "layer"]
LIBRARIES = ("torch", "transformers")
_DIMENSIONS = frozenset({"hidden_size", "layers", "heads", "intermediate"})
_NO_LAYERS = frozenset({"lstm", "sru", "ngram", "onnx-file"})  # bundled students without heads or layers to remove


def no_layers(student: str, head: Head) -> str | None:  # noqa: ARG001 - heads of a task make no difference
    """Why a cell cannot lose heads, neurons or layers."""
    return f"'{student}' is no transformer: nothing to remove from it" if student in _NO_LAYERS else None


def _has_dimensions(student: Any) -> bool:
    """Does the suite say how large the model is? Else only its checkpoint, or the model it is cut from, knows."""
    return bool(_DIMENSIONS & student.model_fields_set) and type(student).model_fields.keys() >= _DIMENSIONS


def too_few_layers(params: Any, student: Any) -> str | None:
    """Why a model with so many layers cannot keep what it should."""
    if not _has_dimensions(student):
        return None
    reason = absent(params.keep, student.layers)
    return reason and f"layer-drop: {reason}"


def too_many_heads(params: Any, student: Any) -> str | None:
    """Why a model with so many heads cannot lose the share."""
    if not _has_dimensions(student) or params.scope == "layer":
        return None
    reason = too_much([student.heads] * student.layers, params.share, "heads")
    return reason and f"prune-heads: {reason}"


def too_many_neurons(params: Any, student: Any) -> str | None:
    """Why a model with so many neurons cannot lose the share."""
    if not _has_dimensions(student):
        return None
    neurons = student.intermediate or 4 * student.hidden_size
    layers = 1 if params.scope == "layer" else student.layers
    reason = too_much([neurons] * layers, params.share, "neurons", params.multiple_of)
    return reason and f"prune-ffn: {reason}"


class MagnitudeParams(Params):
    """Options of `prune-magnitude`."""

    sparsity: float = Field(0.5, ge=0, lt=1, description="share of the chosen weights that become zero")
    scope: Scope = Field("global", description="global: the smallest of all matrices; layer: of each matrix alike")
    embeddings: bool = Field(False, description="embedding tables, too; else linear and recurrent matrices alone")


class HeadsParams(Params):
    """Options of `prune-heads`."""

    share: float = Field(0.25, ge=0, lt=1, description="share of all attention heads that is removed")
    scope: Scope = Field("global", description="global: the least important of the model; layer: of each layer alike")
    refit: bool = Field(True, description="fit what reads the remaining ones to what it read before (least squares)")
    examples: int = Field(128, ge=1, le=256, description="training examples that importance is read from")


class FfnParams(HeadsParams):
    """Options of `prune-ffn`."""

    share: float = Field(0.25, ge=0, lt=1, description="share of all feed-forward neurons that is removed")
    multiple_of: int = Field(16, ge=1, description="what each layer's remaining neurons are a multiple of, for kernels")


class LayerParams(Params):
    """Options of `layer-drop`."""

    keep: int | list[int] | None = Field(
        None, description="how many layers stay, or which: positions from 0, ascending; default: half of them"
    )
    choose: Literal["importance", "even", "first"] = Field(
        "importance", description="of a number: those that answers hang on most, evenly spread ones, or the first"
    )
    examples: int = Field(128, ge=1, le=256, description="training examples that importance is read from")

    @field_validator("keep")
    @classmethod
    def _positions(cls, keep: int | list[int] | None) -> int | list[int] | None:
        if isinstance(keep, int) and keep < 1:
            msg = f"{keep} layers: at least one has to stay"
            raise ValueError(msg)
        if isinstance(keep, list) and (not keep or keep[0] < 0 or keep != sorted(set(keep))):
            msg = f"{keep}: name at least one layer, from 0, each once, in ascending order"
            raise ValueError(msg)
        return keep


@hookimpl
def harness_compressors() -> Iterator[CompressorSpec]:
    """One that masks, three that remove.

    Tolerances are for the conformance kit's toy at the default params: pruning means to change answers, and what it
    does to a real model is for the report to say.
    """
    yield CompressorSpec(
        name="prune-magnitude",
        summary="Set the smallest weights to zero: masked, not removed",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_pruning.magnitude:PruneMagnitude",
        params=MagnitudeParams,
        masks=lambda params: params.sparsity > 0,
        tolerance=0.5,
        libraries=LIBRARIES,
        reference="https://arxiv.org/abs/1506.02626",
    )
    yield CompressorSpec(
        name="prune-heads",
        summary="Remove the attention heads that answers hang on least",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_pruning.structured:PruneHeads",
        params=HeadsParams,
        calibrates=True,
        tolerance=0.2,
        supports=no_layers,
        fits=too_many_heads,
        miniature={"share": 0.5},
        libraries=LIBRARIES,
        reference="https://arxiv.org/abs/2203.09656",
    )
    yield CompressorSpec(
        name="prune-ffn",
        summary="Remove the feed-forward neurons that answers hang on least",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_pruning.structured:PruneFfn",
        params=FfnParams,
        calibrates=True,
        tolerance=0.2,
        supports=no_layers,
        fits=too_many_neurons,
        miniature={"share": 0.5},
        libraries=LIBRARIES,
        reference="https://arxiv.org/abs/2203.09656",
    )
    yield CompressorSpec(
        name="layer-drop",
        summary="Remove the layers that answers hang on least, or all but those that are named",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_pruning.layers:LayerDrop",
        params=LayerParams,
        calibrates=True,
        tolerance=2.0,
        supports=no_layers,
        fits=too_few_layers,
        miniature={"keep": 1},
        libraries=LIBRARIES,
        reference="https://arxiv.org/abs/2402.09025",
    )
