"""Hooks of the ONNX plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from harness import CompressorSpec, Params, RuntimeSpec, StudentSpec, hookimpl


class ExportParams(Params):
    """Options of `onnx`."""

    mask: Literal["additive", "plain"] = Field(
        "additive", description="additive: [B, 1, 1, L], built beside the model; plain: as the encoder gives it"
    )
    optimise: bool = Field(True, description="fuse attention, GELU and layer normalisation into single operators")


class Int8Params(Params):
    """Options of `onnx-int8`."""

    per_channel: bool = Field(True, description="one scale per output of a matrix, not one per matrix")
    embeddings: bool = Field(True, description="quantize embedding tables too (one scale per table)")
    reduce_range: bool | None = Field(
        None, description="7-bit weights; default: only on x86 without VNNI, where sums of 8-bit products overflow"
    )


class StaticInt8Params(Params):
    """Options of `onnx-static-int8`."""

    method: Literal["minmax", "percentile", "entropy"] = Field(
        "minmax", description="range of an activation: its extremes, most of its values, or what tells most of them"
    )
    percentile: float = Field(99.99, gt=50, le=100, description="how many of 100 values `percentile` keeps in range")
    examples: int = Field(128, ge=1, le=256, description="training examples that ranges are read from")
    per_channel: bool = Field(True, description="one scale per output of a matrix, not one per matrix")
    symmetric: bool = Field(False, description="signed activations around zero: much slower on x86")
    embeddings: bool = Field(True, description="quantize embedding tables too (one scale per table)")
    reduce_range: bool | None = Field(
        None, description="7-bit weights; default: only on x86 without VNNI, where sums of 8-bit products overflow"
    )


class Int4Params(Params):
    """Options of `onnx-int4`."""

    block_size: Literal[16, 32, 64, 128, 256] = Field(32, description="weights that share a scale")
    symmetric: bool = Field(False, description="blocks around zero: a little smaller, a little less exact")
    accuracy_level: Literal[0, 1, 4] = Field(
        4, description="what products are computed in: 4: int8 by blocks, fastest for single texts; 1: fp32; 0: any"
    )
    embeddings: bool = Field(True, description="pack embedding tables too")


class OnnxFileParams(Params):
    """Options of `onnx-file`."""

    model: str = Field(description="an .onnx file, or a folder with model.onnx; tokenizer.json stands beside it")
    labels: list[str] | None = Field(
        None, description="the classes in the file's own order; default: as its config.json says, else the task's order"
    )


@hookimpl
def harness_compressors() -> Iterator[CompressorSpec]:
    """Export to ONNX; 8 and 4 bits."""
    yield CompressorSpec(
        name="onnx",
        summary="ONNX export with graph optimisation",
        version=2,
        consumes=("torch",),
        produces="onnx",
        factory="harness_onnx.export:OnnxExport",
        params=ExportParams,
        libraries=("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "optimum"),
        reference="https://docs.pytorch.org/docs/stable/onnx_export.html",
    )
    yield CompressorSpec(
        name="onnx-int8",
        summary="Dynamic int8 of an ONNX graph, per channel",
        version=1,
        consumes=("onnx",),
        produces="onnx-int8",
        factory="harness_onnx.quantize:OnnxInt8",
        params=Int8Params,
        batch_dependent=True,
        tolerance=0.2,
        isa_dependent=True,
        libraries=("onnx", "onnxruntime"),
        reference="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html",
    )
    yield CompressorSpec(
        name="onnx-static-int8",
        summary="Static int8 of an ONNX graph, calibrated on training texts",
        version=1,
        consumes=("onnx",),
        produces="onnx-int8",
        factory="harness_onnx.static_int8:OnnxStaticInt8",
        params=StaticInt8Params,
        calibrates=True,
        tolerance=0.2,
        isa_dependent=True,
        libraries=("onnx", "onnxruntime"),
        reference="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html",
    )
    yield CompressorSpec(
        name="onnx-int4",
        summary="4-bit weights of an ONNX graph, in blocks: matrices and tables",
        version=1,
        consumes=("onnx",),
        produces="onnx-int4",
        factory="harness_onnx.int4:OnnxInt4",
        params=Int4Params,
        tolerance=0.5,
        isa_dependent=True,
        libraries=("onnx", "onnxruntime"),
        reference="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html",
    )


@hookimpl
def harness_runtimes() -> Iterator[RuntimeSpec]:
    """ONNX Runtime on CPU."""
    yield RuntimeSpec(
        name="onnxruntime",
        summary="ONNX Runtime, CPU",
        version=2,
        formats=("onnx", "onnx-int8", "onnx-int4"),
        factory="harness_onnx.runtime:OnnxRuntime",
        libraries=("onnxruntime",),
        reference="https://onnxruntime.ai",
    )


@hookimpl
def harness_students() -> Iterator[StudentSpec]:
    """ONNX files made elsewhere."""
    yield StudentSpec(
        name="onnx-file",
        summary="An existing ONNX classifier with its tokenizer.json, used as it is",
        version=1,
        heads=("sequence",),
        encoder="harness_onnx.encoder:load",
        assets=("model",),
        format="onnx",
        trainable=False,
        batch_dependent=True,  # the file may be quantized already
        isa_dependent=True,
        factory="harness_onnx.onnx_file:OnnxFile",
        params=OnnxFileParams,
        libraries=("onnx", "onnxruntime", "tokenizers"),
    )
