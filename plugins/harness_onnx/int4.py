"""4-bit weights of an ONNX graph, a scale for each block: a matter of size first, and of speed for single texts.

With `accuracy_level` 4 activations are rounded to 8 bits, block by block, while the graph runs: three times as fast at
batch 1 as products in fp32, and in batches up to a fifth slower (MiniLM, ONNX Runtime 1.31 on AVX-512 with VNNI). Their
scales are those of one row, so that answers do not depend on batch mates.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization.onnx_model import ONNXModel

from harness import CompressRequest, Facts, StageError
from harness_onnx.graph import bytes_by_kind, float_matrices, operators, save
from harness_onnx.quantize import ISA, cpu_flags, load
from harness_onnx.quiet import quiet_root_logger
from harness_onnx.runtime import MODEL
from harness_onnx.safety import check_model

_SHOWN = 5  # names of operators left in floating point
_AXES = (("MatMul", 0), ("Gather", 1))  # along which blocks lie: what is summed over, and the width of a table


class OnnxInt4:
    """Packs weights of matrix products, and embedding tables, two to a byte."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write `model.onnx`. `changed` is False when no weight became 4-bit."""
        check_model(request.source / MODEL)
        before = load(request.source / MODEL)
        earlier = operators(before)
        after = packed(before, request.params)
        save(after, request.out / MODEL)
        counts, left, flags = operators(after), float_matrices(after), cpu_flags()
        found: Facts = {
            "changed": four_bit(counts) > four_bit(earlier),
            "nodes_before": earlier.total(),
            "nodes_after": counts.total(),
            "int4_matmuls": counts["MatMulNBits"],
            "int4_tables": counts["GatherBlockQuantized"],
            "float_matrices": {"count": len(left), "names": left[:_SHOWN]},
            "bytes": bytes_by_kind(after),
            "isa": [flag for flag in ISA if flag in flags],
        }
        return {**found, "warnings": [f"{len(left)} operators still multiply by fp32 weights"]} if left else found


def four_bit(counts: Counter[str]) -> int:
    """Operators that read 4-bit weights."""
    return counts["MatMulNBits"] + counts["GatherBlockQuantized"]


def packed(model: onnx.ModelProto, params: Any) -> onnx.ModelProto:
    """The graph with 4-bit weights. StageError with the library's reason."""
    kinds = ("MatMul", "Gather") if params.embeddings else ("MatMul",)
    try:
        # A block of zeros, as of a padding row, is divided by its scale of zero before that is mended. The module sets
        # up logging when it is imported, so that comes where it cannot.
        with quiet_root_logger(), np.errstate(invalid="ignore", divide="ignore"):
            from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

            plain = ONNXModel(model)
            plain.replace_gemm_with_matmul()
            quantizer = MatMulNBitsQuantizer(
                plain.model,
                bits=4,
                block_size=params.block_size,
                is_symmetric=params.symmetric,
                accuracy_level=params.accuracy_level,
                op_types_to_quantize=kinds,
                quant_axes=_AXES,
            )
            quantizer.process()
    except Exception as error:  # the quantizer raises many kinds
        msg = f"ONNX Runtime cannot pack this graph into 4 bits: {error}"
        raise StageError(msg) from error
    made: onnx.ModelProto = quantizer.model.model
    return made
