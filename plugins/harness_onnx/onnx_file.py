"""An existing ONNX classifier as a model: checked, reduced to its logits, stored as one file with its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx

from harness import AssetError, BuildRequest, Facts, Head, StageError, choices, read_tokenizer
from harness_onnx.encoder import SETTINGS, TOKENIZER
from harness_onnx.graph import bytes_by_kind, operators, parameter_counts, save
from harness_onnx.runtime import MODEL, OnnxSession
from harness_onnx.safety import check_model

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_PADS = ("[PAD]", "<pad>")
_LOGITS = "logits"


class OnnxFile:
    """Builds an artifact from `params.model`; nothing is trained."""

    def build(self, request: BuildRequest) -> Facts:
        """Write model.onnx, tokenizer.json, encoder.json. StageError when the file is not a classifier for the task."""
        path = model_file(request.assets["model"])
        check_model(path)
        model = read_model(path)
        inputs = read_inputs(model, path)
        keep_logits(model, path)
        order, origin = label_order(request, path.parent)
        permute(model, order)
        save(model, request.out / MODEL)
        settings = {"max_length": request.max_length, "pad": write_tokenizer(path.parent, request.out, inputs)}
        (request.out / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        try_out(request, inputs)
        return {
            "inputs": inputs,
            "label_order": origin,
            "nodes": operators(model).total(),
            "bytes": bytes_by_kind(model),
            **parameter_counts(model),
        }

    def load(self, folder: Path, head: Head) -> NoReturn:
        """ONNX files have no PyTorch form."""
        msg = f"{folder}: an ONNX file cannot be loaded by PyTorch. Use the runtime 'onnxruntime'."
        raise StageError(msg)


def model_file(asset: Path) -> Path:
    """The file itself, or model.onnx in a folder. StageError when there is none."""
    path = asset / MODEL if asset.is_dir() else asset
    if not path.is_file():
        msg = f"{path}: no such file. Name an .onnx file, or a folder with {MODEL} and {TOKENIZER}."
        raise StageError(msg)
    return path


def read_model(path: Path) -> onnx.ModelProto:
    """With its external data. StageError where `onnx` cannot read it."""
    try:
        return onnx.load(path)
    except Exception as error:  # of protobuf, of onnx's checker, of the disk
        msg = f"{path}: cannot be read ({type(error).__name__}: {error})."
        raise StageError(msg) from error


def read_inputs(model: onnx.ModelProto, path: Path) -> list[str]:
    """Names of the inputs. StageError when one is not something that a tokenizer gives."""
    weights = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in weights]
    if "input_ids" not in names or not set(names) <= set(_INPUTS):
        msg = f"{path}: its inputs are {choices(names)}. Allowed: {choices(_INPUTS)}, input_ids among them."
        raise StageError(msg)
    return names


def keep_logits(model: onnx.ModelProto, path: Path) -> None:
    """Leave one output: `logits`, or the only one there is, under that name."""
    found = {value.name: value for value in model.graph.output}
    if not found:
        msg = f"{path}: it has no outputs. One of them must be called 'logits'."
        raise StageError(msg)
    name = _LOGITS if _LOGITS in found else next(iter(found))
    if name != _LOGITS and len(found) > 1:
        msg = f"{path}: its outputs are {choices(found)}. One of them must be called 'logits'."
        raise StageError(msg)
    value = found[name]
    model.graph.ClearField("output")
    model.graph.output.append(value)
    if name != _LOGITS:
        model.graph.node.append(onnx.helper.make_node("Identity", [name], [_LOGITS]))
        model.graph.output[0].name = _LOGITS


def label_order(request: BuildRequest, folder: Path) -> tuple[list[int], str]:
    """Which of the file's columns holds each class of the task, and who said so.

    The suite's `labels` win, then the names in config.json where they are the task's; else the task's order is taken.
    """
    given = request.params.labels
    if given is not None and sorted(given) != sorted(request.labels):
        msg = f"labels: found {choices(given)}; the task's classes are {choices(request.labels)}. Name each once."
        raise StageError(msg)
    if given is not None:
        return [given.index(label) for label in request.labels], "suite"
    named = _config_labels(folder)
    if named is not None and sorted(named) == sorted(request.labels):
        return [named.index(label) for label in request.labels], "config.json"
    return list(range(len(request.labels))), "assumed to be the task's"


def _config_labels(folder: Path) -> list[str] | None:
    """`id2label` of a config.json beside the model, in the order of ids; None where there is no such thing."""
    file = folder / "config.json"
    try:
        table = json.loads(file.read_text(encoding="utf-8") if file.is_file() else "{}")["id2label"]
        return [str(table[str(index)]) for index in range(len(table))]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def permute(model: onnx.ModelProto, order: Sequence[int]) -> None:
    """Put the columns of `logits` into the task's order."""
    if list(order) == sorted(order):
        return
    for node in model.graph.node:
        node.output[:] = ["logits_in_file_order" if name == _LOGITS else name for name in node.output]
        node.input[:] = ["logits_in_file_order" if name == _LOGITS else name for name in node.input]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(order, np.int64), "label_order"))
    model.graph.node.append(onnx.helper.make_node("Gather", ["logits_in_file_order", "label_order"], [_LOGITS], axis=1))


def write_tokenizer(folder: Path, out: Path, inputs: Sequence[str]) -> dict[str, int]:
    """Copy tokenizer.json after loading it; returns the padding value of each array."""
    source = folder / TOKENIZER
    try:
        tokenizer = read_tokenizer(source)
    except AssetError as error:
        msg = f"{source}: cannot be read ({error}). An ONNX file needs its {TOKENIZER} beside it."
        raise StageError(msg) from error
    (out / TOKENIZER).write_bytes(source.read_bytes())
    padding = (tokenizer.padding or {}).get("pad_id")
    known = [tokenizer.token_to_id(token) for token in _PADS]
    pad = padding if padding is not None else next((value for value in known if value is not None), 0)
    return {name: pad if name == "input_ids" else 0 for name in inputs}


def try_out(request: BuildRequest, inputs: Sequence[str]) -> None:
    """Run two shapes, the longest allowed among them. StageError unless each gives one finite row per example."""
    session = _session(request)
    for batch, length in ((1, min(3, request.max_length)), (2, request.max_length)):
        answer = _answer(session, request, {name: np.ones((batch, length), np.int64) for name in inputs})
        if answer.shape != (batch, len(request.labels)) or not np.isfinite(answer).all():
            wanted = f"[{batch}, {len(request.labels)}] finite numbers, one per class of the task"
            msg = (
                f"{request.assets['model']}: for a {batch}×{length} batch it gives {list(answer.shape)}, not {wanted}."
            )
            raise StageError(msg)


def _session(request: BuildRequest) -> OnnxSession:
    try:
        return OnnxSession(request.out / MODEL, threads=1)
    except StageError as error:
        msg = f"{request.assets['model']}: cannot be run. {error}"
        raise StageError(msg) from error


def _answer(session: OnnxSession, request: BuildRequest, arrays: dict[str, Any]) -> np.ndarray:
    try:
        return session.forward(arrays)[_LOGITS]
    except Exception as error:  # ONNX Runtime's errors share no other base
        shape = "×".join(map(str, arrays["input_ids"].shape))
        what = f"{request.assets['model']}: the ONNX file cannot read a {shape} batch: {error}"
        msg = f"{what}. Export it with dynamic axes, or lower max_length."
        raise StageError(msg) from error
