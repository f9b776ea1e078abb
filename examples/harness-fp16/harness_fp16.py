"""A third-party compressor: weights stored in half precision, computed in single. This module holds the hooks."""

from __future__ import annotations

from collections.abc import Iterator

from harness import CompressorSpec, hookimpl


@hookimpl
def harness_compressors() -> Iterator[CompressorSpec]:
    """Register `torch-fp16`."""
    yield CompressorSpec(
        name="torch-fp16",
        summary="Weights in half precision on disk, fp32 arithmetic",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_fp16_compress:Fp16",
    )
