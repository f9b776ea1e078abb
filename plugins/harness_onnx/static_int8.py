"""Static int8 of an ONNX graph (QDQ): scales of activations are read from training texts and stand in the file.

Answers do not depend on batch mates, as those of dynamic int8 do. Only what goes into a product is quantized: its sum
goes on in fp32, because a second rounding costs accuracy and buys no time (MiniLM on CoNLL-2003: logits move by 2.5
times as much). Activations are unsigned, as x86's 8-bit instructions take them: signed ones are ten times as slow at
batch 1 (ONNX Runtime 1.31 on AVX-512 with VNNI).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from harness import CompressRequest, Facts, StageError
from harness_onnx.calibrate import Range, ranges
from harness_onnx.graph import bytes_by_kind, float_matrices, operators, products, save, static_products
from harness_onnx.quantize import ISA, cpu_flags, load, needs_reduced_range, quantize_tables
from harness_onnx.quiet import quiet_root_logger
from harness_onnx.runtime import MODEL
from harness_onnx.safety import check_model

_SHOWN = 5  # names of operators left in floating point
_PRODUCTS = ("MatMul", "Gemm")


class OnnxStaticInt8:
    """Quantizes products of activations with weights, and embedding tables."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write `model.onnx`. `changed` is False when no weight became 8-bit."""
        check_model(request.source / MODEL)
        params, flags = request.params, cpu_flags()
        reduced = needs_reduced_range(platform.machine(), flags, params.reduce_range)
        texts = request.calibration[: params.examples]
        if not texts:
            msg = "static int8 needs training examples to calibrate on, and there are none"
            raise StageError(msg)
        if params.embeddings:
            quantize_tables(load(request.source / MODEL), request.out / MODEL)
        model = named(load((request.out if params.embeddings else request.source) / MODEL))
        found = products(model, _PRODUCTS)
        seen = dict.fromkeys(node.input[0] for node in found)
        measured = ranges(model, list(seen), texts, params.method, params.percentile) if found else {}
        after = quantized(model, found, measured, params, reduced)
        save(after, request.out / MODEL)
        return facts(load(request.source / MODEL), after, reduced, flags) | {
            "activations": {"method": params.method, "tensors": len(measured), "texts": len(texts)}
        }


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, in place, whose nodes all have names: by these the quantizer is told which to take."""
    for at, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{at}"
    return model


def quantized(
    model: onnx.ModelProto, found: list[onnx.NodeProto], measured: Mapping[str, Range], params: Any, reduced: bool
) -> onnx.ModelProto:
    """The graph with 8-bit weights and notes on how to round what meets them. StageError with the library's reason."""
    if not found:
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    # Fused operators have no shape inference: what the quantizer does not know to be a float it leaves alone.
    result.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in measured
    )
    try:
        with quiet_root_logger():
            quantizer = QDQQuantizer(
                result,
                params.per_channel,
                reduced,
                QuantType.QInt8,
                QuantType.QInt8 if params.symmetric else QuantType.QUInt8,
                _as_data(measured),
                [node.name for node in found],
                [],
                list(_PRODUCTS),
                {
                    "ActivationSymmetric": params.symmetric,
                    "DefaultTensorType": onnx.TensorProto.FLOAT,
                    "OpTypesToExcludeOutputQuantization": list(_PRODUCTS),
                },
            )
            quantizer.quantize_model()
    except Exception as error:  # the quantizer raises many kinds
        msg = f"ONNX Runtime cannot quantize this graph: {error}"
        raise StageError(msg) from error
    made: onnx.ModelProto = quantizer.model.model
    made.graph.ClearField("value_info")
    return made


def _as_data(measured: Mapping[str, Range]) -> TensorsData:
    return TensorsData(
        CalibrationMethod.MinMax,
        {n: TensorData(lowest=np.float32(low), highest=np.float32(high)) for n, (low, high) in measured.items()},
    )


def facts(before: onnx.ModelProto, after: onnx.ModelProto, reduced: bool, flags: frozenset[str]) -> Facts:
    """What became 8-bit and what did not."""
    left, eight_bit, sizes = float_matrices(after), static_products(after), bytes_by_kind(after)
    found: Facts = {
        "changed": eight_bit > static_products(before) or sizes["embeddings"] < bytes_by_kind(before)["embeddings"],
        "nodes_before": operators(before).total(),
        "nodes_after": operators(after).total(),
        "int8_matmuls": eight_bit,
        "float_matrices": {"count": len(left), "names": left[:_SHOWN]},
        "bytes": sizes,
        "reduce_range": reduced,
        "isa": [flag for flag in ISA if flag in flags],
    }
    return {**found, "warnings": [f"{len(left)} operators still multiply by fp32 weights"]} if left else found
