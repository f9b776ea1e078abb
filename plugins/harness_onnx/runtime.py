"""ONNX Runtime on CPU. Imports neither torch nor transformers nor onnx, so that measured processes stay small."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from harness import Arrays, Session, StageError, Student, choices
from harness_onnx.safety import check_model

MODEL = "model.onnx"
_SLOWER = ("SkipLayerNormFusion",)  # optimisers whose operator is slower on CPUs than those it replaces; see graph.py
_INTEGERS: dict[str, type[np.int64 | np.int32]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


class OnnxSession:
    """A checked and loaded graph. Outputs keep their names; the sequence head has `logits`.

    StageError when the file is hostile, or not one that runs here.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._session = _start(path, threads)
        self.inputs = {entry.name: _integer(path, entry) for entry in self._session.get_inputs()}
        self.outputs = [entry.name for entry in self._session.get_outputs()]

    def forward(self, arrays: Arrays) -> Arrays:
        """[B, L] integer arrays → {output name: float32}. Arrays that the graph does not read are left out."""
        missing = [name for name in self.inputs if name not in arrays]
        if missing:
            msg = f"the graph reads {choices(self.inputs)}; the encoder gives {choices(arrays)}."
            raise StageError(msg)
        feed = {name: np.asarray(arrays[name], dtype) for name, dtype in self.inputs.items()}
        answers = self._session.run(self.outputs, feed)
        return {name: np.asarray(value, np.float32) for name, value in zip(self.outputs, answers, strict=True)}


class OnnxRuntime:
    """Loads `model.onnx` after checking what it refers to."""

    def load(self, folder: Path, artifact: Mapping[str, Any], student: Student | None, threads: int) -> Session:
        """A session with `threads` threads. StageError as `OnnxSession`."""
        return OnnxSession(folder / MODEL, threads)


def _start(path: Path, threads: int) -> ort.InferenceSession:
    check_model(path)
    try:
        return ort.InferenceSession(
            path, session_options(threads), providers=["CPUExecutionProvider"], disabled_optimizers=list(_SLOWER)
        )
    except Exception as error:  # ONNX Runtime's errors share no other base
        msg = f"{path}: ONNX Runtime {ort.__version__} cannot load it: {error}"
        raise StageError(msg) from error


def session_options(threads: int) -> ort.SessionOptions:
    """Sequential execution on `threads` threads, graph optimisation, spinning as ONNX Runtime ships it."""
    result = ort.SessionOptions()
    result.intra_op_num_threads = threads
    result.inter_op_num_threads = 1
    result.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    result.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    result.log_severity_level = 4  # errors are raised as well; what is logged goes to stderr past any logger
    return result


def _integer(path: Path, entry: ort.NodeArg) -> type[np.int64 | np.int32]:
    if entry.type not in _INTEGERS:
        msg = f"{path}: input '{entry.name}' is {entry.type}. Allowed: {choices(_INTEGERS)}."
        raise StageError(msg)
    return _INTEGERS[entry.type]
