"""The params that a suite may set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from harness import Params

Scope = Literal["global", "layer"]


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
