"""Hooks of the PyTorch plugin."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from harness import CompressorSpec, Params, RuntimeSpec, hookimpl


class Int8Params(Params):
    """Options of `torch-int8`."""

    per_channel: bool = Field(True, description="one scale per output of a matrix, not one per matrix")


@hookimpl
def harness_compressors() -> Iterator[CompressorSpec]:
    """Dynamic int8."""
    yield CompressorSpec(
        name="torch-int8",
        summary="Dynamic int8 of Linear and LSTM layers, run by PyTorch",
        version=1,
        consumes=("torch",),
        produces="torch-int8",
        factory="harness_torch.int8:TorchInt8",
        params=Int8Params,
        batch_dependent=True,
        isa_dependent=True,
        libraries=("torch", "transformers"),
        reference="https://docs.pytorch.org/docs/stable/quantization.html",
    )


@hookimpl
def harness_runtimes() -> Iterator[RuntimeSpec]:
    """PyTorch on CPU."""
    yield RuntimeSpec(
        name="torch",
        summary="PyTorch eager, CPU",
        version=1,
        gives_states=True,
        formats=("torch", "torch-int8"),
        factory="harness_torch.runtime:TorchRuntime",
        libraries=("torch", "transformers"),
        reference="https://pytorch.org",
    )
