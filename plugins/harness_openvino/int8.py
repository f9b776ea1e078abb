"""Static int8 by NNCF: scales are read from training texts, biases corrected for what rounding takes."""

from __future__ import annotations

import contextlib
import io
import platform
from collections.abc import Sequence
from typing import Any

from harness import Arrays, CompressRequest, Facts, StageError, cpu_flags
from harness_openvino.convert import proof, read, write
from harness_openvino.extra import absent
from harness_openvino.graph import bytes_by_kind

_VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}
_X86 = ("x86_64", "amd64", "i386", "i686")


class OpenVinoInt8:
    """Quantizes products and embedding tables; what stands between them stays in fp32."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write the graph; `changed` is False when no weight became 8-bit. StageError as for `openvino`, or by NNCF."""
        if reason := absent("openvino", "nncf"):
            raise StageError(reason)
        params = request.params
        texts = request.calibration[: params.examples]
        if not texts:
            msg = "static int8 needs training examples to calibrate on, and there are none"
            raise StageError(msg)
        model = read(request)
        before, earlier = len(model.get_ops()), bytes_by_kind(model)["int8"]
        reduced = reduces_range(platform.machine(), cpu_flags(), params.reduce_range)
        write(quantized(model, texts, params.preset, reduced), request.out, "fp32")
        facts = {"nodes_before": before, **proof(request, "fp32")}
        eight_bit = facts["kernels"].get("u8", 0) + facts["kernels"].get("i8", 0)
        left = sum(facts["kernels"].values()) - eight_bit
        warnings = [f"{left} operators still multiply by fp32 weights"] if left else []
        return {
            **facts,
            "changed": facts["bytes"]["int8"] > earlier,
            "int8_matmuls": eight_bit,
            "texts": len(texts),
            "reduce_range": reduced,
            **({"warnings": warnings} if warnings else {}),
        }


def quantized(model: Any, texts: Sequence[Arrays], preset: str, reduced: bool) -> Any:
    """The graph with notes on rounding and 8-bit weights. StageError with NNCF's reason."""
    with contextlib.redirect_stdout(io.StringIO()):  # progress bars
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

        names = [entry.any_name for entry in model.inputs]
        nncf.set_log_level("ERROR")
        try:
            return nncf.quantize(
                model,
                nncf.Dataset(texts, lambda arrays: {name: arrays[name] for name in names}),
                subset_size=len(texts),
                model_type=nncf.ModelType.TRANSFORMER,
                preset=nncf.QuantizationPreset(preset),
                advanced_parameters=AdvancedQuantizationParameters(
                    overflow_fix=OverflowFix.ENABLE if reduced else OverflowFix.DISABLE
                ),
            )
        except Exception as error:  # NNCF raises many kinds
            msg = f"NNCF {nncf.__version__} cannot quantize this graph: {error}"
            raise StageError(msg) from error


def reduces_range(machine: str, flags: frozenset[str], asked: bool | None) -> bool:
    """What was asked for; else 7 bits on x86 unless it adds 8-bit products in 32 bits."""
    if asked is not None:
        return asked
    return machine.lower() in _X86 and not flags & _VNNI
