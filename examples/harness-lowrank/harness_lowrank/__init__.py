"""A third-party compressor: linear layers become products of two thin matrices. This module holds the hooks."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from harness import CompressorSpec, Params, RuntimeSpec, hookimpl

PAPER = "Wang et al., SVD-LLM: Truncation-aware Singular Value Decomposition, 2024, arXiv:2403.07378"


class LowRankParams(Params):
    """Options of `lowrank`. Any of them can be an axis of a matrix."""

    keep: float = Field(0.5, gt=0, lt=1, description="share of a layer's parameters that stays")
    smallest: int = Field(16, ge=2, description="layers with a smaller side stay whole: the classifier, for one")
    whiten: bool = Field(True, description="weigh errors by what goes into the layer on training texts")


@hookimpl
def harness_compressors() -> Iterator[CompressorSpec]:
    """Register `lowrank`."""
    yield CompressorSpec(
        name="lowrank",
        summary="Linear layers as products of two thin matrices",
        version=1,
        consumes=("torch",),
        produces="torch-lowrank",
        factory="harness_lowrank.compress:LowRank",
        params=LowRankParams,
        calibrates=True,
        tolerance=0.5,  # random weights, such as the conformance kit's, have no low rank to find
        libraries=("torch", "transformers"),
        reference=PAPER,
    )


@hookimpl
def harness_runtimes() -> Iterator[RuntimeSpec]:
    """Register what answers with the thin matrices."""
    yield RuntimeSpec(
        name="torch-lowrank",
        summary="PyTorch, thin matrices",
        version=1,
        formats=("torch-lowrank",),
        factory="harness_lowrank.runtime:LowRankRuntime",
        libraries=("torch", "transformers"),
    )
