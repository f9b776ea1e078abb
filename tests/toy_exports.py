"""Exported toy models, made once per process and shared by the test files that look at them."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from toy_models import toy_arrays, toy_bag, toy_bert, toy_distilbert, toy_lstm, toy_scanned

from harness import CompressRequest
from harness_onnx.export import OnnxExport
from harness_onnx.plugin import ExportParams, Int8Params
from harness_onnx.quantize import OnnxInt8
from harness_onnx.runtime import OnnxRuntime

MAX_LENGTH = 20


def request(source: Path, out: Path, params: Any, model: nn.Module | None = None, **arrays: Any) -> CompressRequest:
    out.mkdir()
    return CompressRequest(
        source=source,
        out=out,
        artifact={"format": "torch", "head": "sequence", "labels": ["a", "b", "c"], "max_length": MAX_LENGTH},
        params=params,
        seed=0,
        arrays=[toy_arrays(**arrays)],
        calibration=[],
        student=lambda: model,
    )


def exported(folder: Path, model: nn.Module, token_types: bool = False, **params: Any) -> dict[str, Any]:
    """Facts of `onnx`; the graph stands in folder/onnx."""
    asked = request(folder, folder / "onnx", ExportParams(**params), model, token_types=token_types)
    return OnnxExport().compress(asked)


def quantized(folder: Path, name: str = "int8", **params: Any) -> dict[str, Any]:
    """Facts of `onnx-int8` on folder/onnx; the graph stands in folder/<name>."""
    return OnnxInt8().compress(request(folder / "onnx", folder / name, Int8Params(**params)))


def answer(folder: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    return OnnxRuntime().load(folder, {"format": "onnx"}, None, threads=1).forward(arrays)["logits"]


def torch_answer(model: nn.Module, arrays: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        return model(**{name: torch.tensor(value) for name, value in arrays.items()}).logits.numpy()


class Made:
    """A model, its folder, and the facts of both steps."""

    def __init__(self, model: nn.Module, **params: Any) -> None:
        self._kept = tempfile.TemporaryDirectory()
        self.folder, self.model = Path(self._kept.name), model
        self.facts = exported(self.folder, model, **params)
        self.int8 = quantized(self.folder)

    def file(self, step: str) -> Path:
        """The graph after `onnx` or `int8`."""
        return self.folder / step / "model.onnx"


@functools.cache
def made(name: str) -> Made:
    """By the name of a toy; `plain` is `distilbert` with a 2-D mask."""
    if name == "plain":
        return Made(toy_distilbert(layers=6), mask="plain")
    toys = {"bag": toy_bag, "bert": toy_bert, "distilbert": toy_distilbert, "lstm": toy_lstm, "scanned": toy_scanned}
    return Made(toys[name](), token_types=name == "bert")


def save_graph(folder: Path, *nodes: onnx.NodeProto, weights: dict[str, np.ndarray] | None = None) -> Path:
    """A graph from input_ids [B, L] to logits."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["B", "L"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"
