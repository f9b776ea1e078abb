"""OpenVINO on CPU. Imports neither torch nor transformers, so that measured processes stay small."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness import Arrays, Session, StageError, Student, choices
from harness_openvino.extra import absent, no_bf16
from harness_openvino.safety import check_graph

GRAPH, WEIGHTS, SETTINGS = "model.xml", "model.bin", "openvino.json"
PRECISIONS = {"fp32": "f32", "bf16": "bf16"}  # ours → OpenVINO's


class OpenVinoSession:
    """A compiled graph. Outputs keep their names; the sequence head has `logits`."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.inputs = [entry.any_name for entry in compiled.inputs]
        self.outputs = [entry.any_name for entry in compiled.outputs]
        self._request = compiled.create_infer_request()

    def forward(self, arrays: Arrays) -> Arrays:
        """[B, L] integer arrays → {output name: float32}. Arrays that the graph does not read are left out.

        StageError with OpenVINO's reason for a batch that it cannot answer.
        """
        missing = [name for name in self.inputs if name not in arrays]
        if missing:
            msg = f"the graph reads {choices(self.inputs)}; the encoder gives {choices(arrays)}."
            raise StageError(msg)
        feed = {name: np.ascontiguousarray(arrays[name], np.int64) for name in self.inputs}
        try:
            answers = self._request.infer(feed, share_inputs=True)
        except RuntimeError as error:
            shape = "×".join(map(str, next(iter(feed.values())).shape))
            msg = f"OpenVINO cannot answer a {shape} batch with this graph: {told(error)}. Use ONNX Runtime for it."
            raise StageError(msg) from error
        return {name: np.array(answers[name], np.float32) for name in self.outputs}


def told(error: Exception) -> str:
    """The reason in one of OpenVINO's errors, which stands behind places in its source."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith("Exception from")), str(error))


class OpenVinoRuntime:
    """Loads `model.xml` after checking what it refers to."""

    def load(self, folder: Path, artifact: Mapping[str, Any], student: Student | None, threads: int) -> Session:
        """A session with `threads` threads. StageError where files are hostile or broken, or something is missing."""
        if reason := absent("openvino"):
            raise StageError(reason)
        precision = _precision(folder / SETTINGS)
        if precision == "bf16" and (reason := no_bf16()):
            raise StageError(reason)
        check_graph(folder / GRAPH, folder / WEIGHTS)
        return OpenVinoSession(compiled(folder / GRAPH, precision, threads))


def compiled(graph: Any, precision: str, threads: int) -> Any:
    """A path, or a model in memory, for this CPU. StageError with OpenVINO's reason.

    One stream, as for one person who waits: with one thread that of the caller (stream 0), so that none is started.
    Threads are not pinned to cores, as those of other runtimes are not.
    """
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": min(1, threads - 1),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "ENABLE_CPU_PINNING": False,
    }
    try:
        return openvino.Core().compile_model(graph, "CPU", options)
    except Exception as error:  # OpenVINO's errors are RuntimeErrors of many modules
        msg = f"OpenVINO {openvino.__version__} cannot load this graph: {told(error)}"
        raise StageError(msg) from error


def _precision(path: Path) -> str:
    try:
        precision = json.loads(path.read_text(encoding="utf-8"))["precision"]
        PRECISIONS[precision]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path}: does not say what to compute in ({error!r}). Compress its source again."
        raise StageError(msg) from error
    return str(precision)
