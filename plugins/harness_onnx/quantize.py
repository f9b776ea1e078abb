"""Dynamic int8 of an ONNX graph: 8-bit weights in the file, activations quantized while it runs.

x86 without VNNI adds pairs of unsigned × signed 8-bit products in 16 bits and saturates; 7-bit weights cannot
overflow there. ARM and VNNI add in 32 bits and keep 8-bit weights.
"""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from harness import CompressRequest, Facts, StageError
from harness_onnx.graph import bytes_by_kind, float_matrices, operators
from harness_onnx.quiet import quiet_root_logger
from harness_onnx.runtime import MODEL
from harness_onnx.safety import check_model

ISA = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
_X86 = ("x86_64", "amd64", "i386", "i686")
_SHOWN = 5  # names of operators left in floating point


class OnnxInt8:
    """Quantizes matrices, LSTMs and embedding tables."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write `model.onnx`. `changed` is False when no weight became 8-bit: some files have such weights already."""
        check_model(request.source / MODEL)
        before = load(request.source / MODEL)
        flags = cpu_flags()
        reduced = needs_reduced_range(platform.machine(), flags, request.params.reduce_range)
        quantize(before, request.out / MODEL, request.params, reduced)
        after = onnx.load(request.out / MODEL)
        counts, left, earlier = operators(after), float_matrices(after), operators(before)
        sizes = bytes_by_kind(after)
        facts: Facts = {
            "changed": eight_bit(counts) > eight_bit(earlier)
            or sizes["embeddings"] < bytes_by_kind(before)["embeddings"],
            "nodes_before": earlier.total(),
            "nodes_after": counts.total(),
            "int8_matmuls": counts["MatMulInteger"] + counts["QAttention"],
            "dynamic_quantize_lstm": counts["DynamicQuantizeLSTM"],
            "float_matrices": {"count": len(left), "names": left[:_SHOWN]},
            "bytes": sizes,
            "reduce_range": reduced,
            "isa": [flag for flag in ISA if flag in flags],
        }
        return {**facts, "warnings": [f"{len(left)} operators still multiply by fp32 weights"]} if left else facts


def eight_bit(counts: Counter[str]) -> int:
    """Operators that multiply by 8-bit weights."""
    return counts["MatMulInteger"] + counts["QAttention"] + counts["DynamicQuantizeLSTM"]


def load(path: Path) -> onnx.ModelProto:
    """The graph without its notes on intermediate shapes, which go stale when the quantizer transposes a weight."""
    model = onnx.load(path)
    model.graph.ClearField("value_info")
    return model


def quantize(model: onnx.ModelProto, out: Path, params: Any, reduced: bool) -> None:
    """Quantize in memory: given a path, the quantizer would write beside the source. StageError with its reason."""
    kinds = ["MatMul", "Attention", "LSTM", *(["Gather"] if params.embeddings else [])]
    _quantize(model, out, kinds, params.per_channel, reduced)


def quantize_tables(model: onnx.ModelProto, out: Path) -> None:
    """Embedding tables alone, one scale each. StageError with its reason."""
    _quantize(model, out, ["Gather"], per_channel=False, reduced=False)


def _quantize(model: onnx.ModelProto, out: Path, kinds: list[str], per_channel: bool, reduced: bool) -> None:
    try:
        with quiet_root_logger():
            quantize_dynamic(
                model,
                out,
                op_types_to_quantize=kinds,
                per_channel=per_channel,
                reduce_range=reduced,
                weight_type=QuantType.QInt8,
                # Fused operators have no shape inference: without a default type the quantizer gives up on them.
                extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
            )
    except Exception as error:  # the quantizer raises many kinds
        msg = f"ONNX Runtime cannot quantize this graph: {error}"
        raise StageError(msg) from error


def needs_reduced_range(machine: str, flags: frozenset[str], asked: bool | None) -> bool:
    """What was asked for; else 7 bits on x86 unless a VNNI flag is seen (no flags known counts as none)."""
    if asked is not None:
        return asked
    return machine.lower() in _X86 and not flags & {"avx512_vnni", "avx_vnni"}


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Instruction sets that the kernel reports; empty where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    named = next((line for line in lines if line.startswith(("flags", "Features"))), ":")
    return frozenset(named.partition(":")[2].split())
