"""Hooks of the PyTorch plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from harness import CompressorSpec, Params, RuntimeSpec, hookimpl
from harness_torch.cpu import no_bf16

_DRIVER = Path("/dev/nvidiactl")  # stands on every machine whose NVIDIA driver runs


def no_gpu() -> str | None:
    """Why a cell cannot run here, found without importing torch."""
    return None if _DRIVER.exists() else f"needs an NVIDIA GPU, and this machine has no driver of one ({_DRIVER})"


class Int8Params(Params):
    """Options of `torch-int8`."""

    per_channel: bool = Field(True, description="one scale per output of a matrix, not one per matrix")


@hookimpl
def harness_compressors() -> Iterator[CompressorSpec]:
    """Dynamic int8; bf16; the GPU."""
    yield CompressorSpec(
        name="torch-int8",
        summary="Dynamic int8 of Linear and LSTM layers, run by PyTorch",
        version=1,
        consumes=("torch",),
        produces="torch-int8",
        factory="harness_torch.int8:TorchInt8",
        params=Int8Params,
        batch_dependent=True,
        tolerance=0.2,
        isa_dependent=True,
        libraries=("torch", "transformers"),
        reference="https://docs.pytorch.org/docs/stable/quantization.html",
    )

    yield CompressorSpec(
        name="torch-bf16",
        summary="Weights and arithmetic in bf16, on CPUs that have it",
        version=1,
        consumes=("torch",),
        produces="torch-bf16",
        factory="harness_torch.bf16:TorchBf16",
        supports=lambda student, head: no_bf16(),
        batch_dependent=True,
        tolerance=0.2,
        isa_dependent=True,
        libraries=("torch", "transformers"),
    )
    yield CompressorSpec(
        name="cuda",
        summary="The same weights, answered by an NVIDIA GPU: a row beside the CPU's",
        version=1,
        consumes=("torch",),
        produces="torch-cuda",
        factory="harness_torch.cuda:Cuda",
        supports=lambda student, head: no_gpu(),
        isa_dependent=True,
        expects_change=False,
        libraries=("torch", "transformers"),
    )


@hookimpl
def harness_runtimes() -> Iterator[RuntimeSpec]:
    """PyTorch."""
    yield RuntimeSpec(
        name="torch",
        summary="PyTorch eager; CPU, or GPU for artifacts of `cuda`",
        version=1,
        gives_states=True,
        formats=("torch", "torch-int8", "torch-bf16", "torch-cuda"),
        factory="harness_torch.runtime:TorchRuntime",
        libraries=("torch", "transformers"),
        reference="https://pytorch.org",
    )
