"""An ONNX graph as OpenVINO's own: `model.xml`, `model.bin`, and what to compute in.

What was read is compared with ONNX Runtime before anything is made of it, because OpenVINO does not always say what it
cannot do: recurrences of both directions over padded texts are answered wrongly (seen in 2026.4).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness import Arrays, CompressRequest, Facts, StageError
from harness_openvino.extra import absent, no_bf16
from harness_openvino.graph import bytes_by_kind, kernels
from harness_openvino.runtime import GRAPH, SETTINGS, OpenVinoSession, compiled, told

ONNX = "model.onnx"
TOLERANCE = 1e-3  # of the largest logit: a wrong graph is off by tenths, a right one by 1e-6


class OpenVino:
    """The same weights in fp32."""

    precision: ClassVar[str] = "fp32"

    def compress(self, request: CompressRequest) -> Facts:
        """Write the graph. StageError where OpenVINO is not installed, or reads it wrongly or not at all."""
        if reason := absent("openvino"):
            raise StageError(reason)
        model = read(request)
        before = len(model.get_ops())
        write(model, request.out, self.precision)
        return {"changed": True, "nodes_before": before, **proof(request, self.precision)}


class OpenVinoBf16(OpenVino):
    """The same weights, computed in bf16."""

    precision: ClassVar[str] = "bf16"

    def compress(self, request: CompressRequest) -> Facts:
        """The same; StageError where the CPU has no bf16, too."""
        if reason := no_bf16():
            raise StageError(reason)
        return super().compress(request)


def read(request: CompressRequest) -> Any:
    """The source as OpenVINO's graph. StageError where it cannot be read, or answers otherwise than its source."""
    import openvino

    path = request.source / ONNX
    try:
        model = openvino.Core().read_model(path)
    except Exception as error:  # OpenVINO's errors are RuntimeErrors of many modules
        msg = f"OpenVINO {openvino.__version__} cannot read this ONNX graph: {told(error)}"
        raise StageError(msg) from error
    session, source = OpenVinoSession(compiled(model, "fp32", threads=1)), _source(path)
    for arrays in request.arrays:
        compare(session.forward(arrays), source(arrays))
    return model


def _source(path: Path) -> Callable[[Arrays], Arrays]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs, outputs = ([entry.name for entry in of] for of in (session.get_inputs(), session.get_outputs()))
    return lambda arrays: dict(zip(outputs, session.run(outputs, {n: arrays[n] for n in inputs}), strict=True))


def compare(found: Arrays, wanted: Arrays) -> None:
    """StageError where a graph does not answer a batch as its source does."""
    import openvino

    moved = max(float(np.abs(found[name] - value).max()) for name, value in wanted.items())
    largest = max(float(np.abs(value).max()) for value in wanted.values())
    if not moved <= TOLERANCE * largest + 1e-6:
        msg = (
            f"OpenVINO {openvino.__version__} answers a padded batch otherwise than the ONNX graph it was given: by "
            f"{moved:.2g}, where logits reach {largest:.2g}. It lacks an operator of this model; leave the chain out."
        )
        raise StageError(msg)


def write(model: Any, out: Path, precision: str) -> None:
    """The two files of a graph, and the settings that its runtime reads."""
    import openvino

    number(model)
    openvino.save_model(model, out / GRAPH, compress_to_fp16=False)
    (out / SETTINGS).write_text(json.dumps({"precision": precision}), encoding="utf-8")


def number(model: Any) -> None:
    """Name operators by their order: OpenVINO's names count what else this process has made. Outputs keep theirs."""
    for at, op in enumerate(model.get_ordered_ops()):
        op.set_friendly_name(f"op{at}")
        if op.get_type_name() in ("TensorIterator", "Loop"):
            number(op.get_function())


def proof(request: CompressRequest, precision: str) -> Facts:
    """What was written, and what this CPU runs when it answers a batch with it."""
    import openvino

    model = openvino.Core().read_model(request.out / GRAPH)
    session = OpenVinoSession(compiled(model, precision, threads=1))
    session.forward(request.arrays[0])
    return {
        "nodes_after": len(model.get_ops()),
        "precision": precision,
        "kernels": kernels(session.compiled),
        "bytes": bytes_by_kind(model),
    }
