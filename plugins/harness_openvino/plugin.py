"""Hooks of the OpenVINO plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from harness import CompressorSpec, Params, RuntimeSpec, hookimpl
from harness_openvino.extra import absent, gap, no_bf16


class Int8Params(Params):
    """Options of `openvino-int8`."""

    examples: int = Field(128, ge=1, le=256, description="training examples that ranges of activations are read from")
    preset: Literal["mixed", "performance"] = Field(
        "mixed", description="mixed: activations lie around zero where that costs nothing; performance: everywhere"
    )
    reduce_range: bool | None = Field(
        None, description="7-bit weights; default: only on x86 without VNNI, where sums of 8-bit products overflow"
    )


@hookimpl
def harness_compressors() -> Iterator[CompressorSpec]:
    """fp32, bf16, static int8."""
    yield CompressorSpec(
        name="openvino",
        summary="An ONNX graph as OpenVINO's own, computed in fp32",
        version=1,
        consumes=("onnx",),
        produces="openvino",
        factory="harness_openvino.convert:OpenVino",
        supports=lambda student, head: absent("openvino") or gap(student),
        libraries=("openvino",),
        reference="https://docs.openvino.ai",
    )
    yield CompressorSpec(
        name="openvino-bf16",
        summary="An ONNX graph as OpenVINO's own, computed in bf16 on CPUs that have it",
        version=1,
        consumes=("onnx",),
        produces="openvino",
        factory="harness_openvino.convert:OpenVinoBf16",
        supports=lambda student, head: absent("openvino") or gap(student) or no_bf16(),
        batch_dependent=True,
        tolerance=0.2,
        isa_dependent=True,
        libraries=("openvino",),
        reference="https://docs.openvino.ai",
    )
    yield CompressorSpec(
        name="openvino-int8",
        summary="Static int8 of an ONNX graph by NNCF, run by OpenVINO",
        version=1,
        consumes=("onnx",),
        produces="openvino",
        factory="harness_openvino.int8:OpenVinoInt8",
        params=Int8Params,
        calibrates=True,
        supports=lambda student, head: absent("openvino", "nncf") or gap(student),
        batch_dependent=True,  # a sum's last bit hangs on the shape of a batch, and can move a value to the next step
        tolerance=0.2,
        isa_dependent=True,
        libraries=("nncf", "openvino"),
        reference="https://github.com/openvinotoolkit/nncf",
    )


@hookimpl
def harness_runtimes() -> Iterator[RuntimeSpec]:
    """OpenVINO on CPU."""
    yield RuntimeSpec(
        name="openvino",
        summary="OpenVINO, CPU (an optional extra)",
        version=1,
        formats=("openvino",),
        factory="harness_openvino.runtime:OpenVinoRuntime",
        libraries=("openvino",),
        reference="https://docs.openvino.ai",
    )
