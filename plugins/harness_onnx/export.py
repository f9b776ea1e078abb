"""PyTorch → ONNX: the exporter that suits the model, a mask that keeps every matrix quantizable, fused operators.

Two things decide what the graph is worth later. The mask: an additive one of shape (B, 1, 1, L) that is never expanded
makes the fusion stop at `MultiHeadAttention` with separate query, key and value matrices; with a 2-D or an expanded
one it goes on to `Attention`, whose joined matrix dynamic int8 leaves in fp32. The exporter: recurrences need the one
that traces, because `torch.export` bakes their length in and hides `LSTM` from the quantizer.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from onnxscript.rewriter.ort_fusions import optimize_for_ort
from optimum.utils import NormalizedConfigManager

from harness import Arrays, CompressRequest, Facts, StageError
from harness_onnx.graph import bytes_by_kind, operators, save, split_normalisation
from harness_onnx.quiet import quiet_export
from harness_onnx.runtime import MODEL, OnnxSession
from harness_onnx.scan import scanned

OPSET = 20
TOLERANCE = 1e-3  # on logits, absolute: a wrong graph is off by tenths, a right one by 1e-6
_MASK = "attention_mask"
_AXES = {0: "batch", 1: "length"}
_FUSED = ("MultiHeadAttention", "Attention")


class OnnxExport:
    """Exports with dynamic batch and length, optimises, and compares with the model that it came from."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write `model.onnx`. StageError when export fails or its answers differ from the model's by over 1e-3."""
        model = request.student().eval()
        longest = int(request.artifact["max_length"])
        batches = samples(request.arrays[0], longest)
        additive = request.params.mask == "additive" and takes_additive_mask(model, batches[-1])
        wrapper = Wrapper(model, tuple(batches[0]), additive).eval()
        expected = [wrapper.answer(batch) for batch in batches]
        exporter = "torchscript" if is_recurrent(model) else "dynamo"
        raw = export(wrapper, resized(batches[0], 2, min(8, longest)), list(expected[0]), exporter)
        graph = optimise(raw) if request.params.optimise else raw
        save(graph, request.out / MODEL)
        return {
            "changed": True,
            "exporter": exporter,
            "mask": "additive" if additive else "plain",
            "opset": OPSET,
            "nodes_before": operators(raw).total(),
            "nodes_after": operators(graph).total(),
            "bytes": bytes_by_kind(graph),
            "export_check": parity(OnnxSession(request.out / MODEL, threads=1), batches, expected),
            **attention_facts(model, graph),
        }


class Wrapper(torch.nn.Module):
    """A model as a function of arrays in a fixed order; builds the additive mask where asked to."""

    def __init__(self, model: torch.nn.Module, names: tuple[str, ...], additive: bool) -> None:
        super().__init__()
        self.model, self.names, self.additive = model, names, additive

    def forward(self, *arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Arrays [B, L] → logits, [B, C] for the sequence head."""
        named = dict(zip(self.names, arrays, strict=True))
        if self.additive:
            named[_MASK] = additive_mask(named[_MASK])
        return tuple(outputs(self.model(**named)).values())

    def answer(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What the model itself says, with the mask as the encoder gives it."""
        with torch.inference_mode():
            answers = outputs(self.model(**tensors(arrays)))
        return {name: value.float().numpy() for name, value in answers.items()}


def additive_mask(mask: torch.Tensor) -> torch.Tensor:
    """[B, L] of 0 and 1 → [B, 1, 1, L]: 0 where attended, the lowest float elsewhere."""
    return (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min


def outputs(answer: Any) -> dict[str, torch.Tensor]:
    """The logits of a model's answer by name: `logits`, or `start_logits` and `end_logits`."""
    found = {name: getattr(answer, name, None) for name in ("logits", "start_logits", "end_logits")}
    return {name: value for name, value in found.items() if value is not None}


def tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    """Copies, because stored arrays may be read-only."""
    return {name: torch.tensor(value) for name, value in arrays.items()}


def samples(arrays: Arrays, max_length: int) -> list[Arrays]:
    """The batch as it came, then others: one short text, several shorter ones, the longest texts allowed.

    Only the longest show whether a model attends to a window that an additive mask would open.
    """
    shapes = ((1, min(3, max_length)), (4, min(17, max_length)), (2, max_length))
    return [arrays, *(resized(arrays, batch, length) for batch, length in shapes)]


def resized(arrays: Arrays, batch: int, length: int) -> Arrays:
    """The same values cut or repeated to [batch, length]; row i loses its last i positions to the mask."""
    result = {name: np.resize(value, (batch, length)) for name, value in arrays.items()}
    if _MASK in result:
        ends = np.maximum(1, length - np.arange(batch))  # [batch]
        result[_MASK] = (np.arange(length) < ends[:, None]).astype(arrays[_MASK].dtype)  # [batch, length]
    return result


def takes_additive_mask(model: torch.nn.Module, arrays: Arrays) -> bool:
    """Does the model give the same answers for an additive [B, 1, 1, L] mask? `arrays` must contain padding."""
    if _MASK not in arrays:
        return False
    plain = tensors(arrays)
    with torch.inference_mode():
        wanted = outputs(model(**plain))
        try:
            got = outputs(model(**{**plain, _MASK: additive_mask(plain[_MASK])}))
        except (RuntimeError, ValueError, IndexError, TypeError):
            return False  # pools by the mask, or packs by it
    return all(_alike(value, got[name]) for name, value in wanted.items())


def _alike(wanted: torch.Tensor, got: torch.Tensor) -> bool:
    """Equal but for rounding, relative to the largest logit: random weights give small ones, trained weights large."""
    if wanted.shape != got.shape:
        return False
    return bool((wanted - got).abs().max() <= 1e-4 * wanted.abs().max() + 1e-6)


def is_recurrent(model: torch.nn.Module) -> bool:
    """Has the model a recurrent layer of PyTorch, or a loop that was scripted?"""
    modules = list(model.modules())
    if any(isinstance(module, torch.nn.RNNBase | torch.nn.RNNCellBase) for module in modules):
        return True
    scripted: list[Any] = [module for module in modules if isinstance(module, torch.jit.ScriptModule)]
    return any("prim::Loop" in str(found.graph) for found in (*scripted, *_scripted_functions(modules)))


def _scripted_functions(modules: Sequence[torch.nn.Module]) -> Iterator[Any]:
    """Those that methods of the modules' classes name, or plain functions beside them that the methods name."""
    classes = {base for module in modules for base in type(module).__mro__}
    waiting = [value for base in classes for value in vars(base).values() if inspect.isfunction(value)]
    seen = set(waiting)
    while waiting:
        function = waiting.pop()
        for value in map(function.__globals__.get, function.__code__.co_names):
            if isinstance(value, torch.jit.ScriptFunction):
                yield value
            elif inspect.isfunction(value) and value.__module__ == function.__module__ and value not in seen:
                seen.add(value)
                waiting.append(value)


def export(wrapper: Wrapper, arrays: Arrays, names: list[str], exporter: str) -> onnx.ModelProto:
    """Trace on one batch of at least 2 × 2; `names`: of the outputs. StageError with the exporter's reason."""
    arguments = tuple(tensors(arrays).values())
    trace = _torchscript if exporter == "torchscript" else _dynamo
    try:
        with quiet_export():
            model = trace(wrapper, arguments, names)
        return scanned(onnx_ir.to_proto(ClearMetadataAndDocStringPass()(onnx_ir.from_proto(model)).model))
    except Exception as error:  # exporters raise many kinds
        msg = f"{type(wrapper.model).__name__} cannot be exported to ONNX by the {exporter} exporter: {error}"
        raise StageError(msg) from error


def _dynamo(wrapper: Wrapper, arguments: tuple[torch.Tensor, ...], names: list[str]) -> onnx.ModelProto:
    program = torch.onnx.export(
        wrapper,
        arguments,
        dynamo=True,
        input_names=list(wrapper.names),
        output_names=names,
        dynamic_shapes=(tuple(_AXES for _ in arguments),),
        opset_version=OPSET,
        verbose=False,
    )
    return program.model_proto  # type: ignore[union-attr]  # None only for the other exporter


def _torchscript(wrapper: Wrapper, arguments: tuple[torch.Tensor, ...], names: list[str]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL
        torch.onnx.export(
            wrapper,
            arguments,
            path,
            dynamo=False,
            input_names=list(wrapper.names),
            output_names=names,
            dynamic_axes={**dict.fromkeys(wrapper.names, _AXES), **{name: {0: "batch"} for name in names}},
            opset_version=OPSET,
        )
        return onnx.load(path)


def optimise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and fuse what ONNX Runtime has single operators for, except the one slower than its parts."""
    fused, _ = optimize_for_ort(onnx_ir.from_proto(model))
    return split_normalisation(onnx_ir.to_proto(fused))


def parity(session: OnnxSession, batches: Sequence[Arrays], expected: Sequence[dict[str, np.ndarray]]) -> Facts:
    """Largest difference over several lengths and batch sizes. StageError above the tolerance."""
    worst = 0.0
    for arrays, wanted in zip(batches, expected, strict=True):
        got = _run(session, arrays)
        difference = float(np.max([np.abs(got[name] - value).max() for name, value in wanted.items()]))  # keeps NaN
        if not difference <= TOLERANCE:
            found = f"differs from its model by {difference:.2g} (allowed: {TOLERANCE})"
            msg = f"the exported graph {found} on a {_shape(arrays)} batch."
            raise StageError(msg)
        worst = max(worst, difference)
    return {"largest_difference": worst, "shapes": [_shape(arrays) for arrays in batches]}


def _run(session: OnnxSession, arrays: Arrays) -> Arrays:
    try:
        return session.forward(arrays)
    except Exception as error:  # ONNX Runtime's errors share no other base
        msg = f"the exported graph cannot read a {_shape(arrays)} batch, so a size was fixed by the export: {error}"
        raise StageError(msg) from error


def _shape(arrays: Arrays) -> str:
    return "×".join(map(str, next(iter(arrays.values())).shape))


def attention_facts(model: torch.nn.Module, graph: onnx.ModelProto) -> Facts:
    """How many attention layers there are and how many became one operator; a warning when some did not."""
    counts = operators(graph)
    fused = sum(counts[name] for name in _FUSED)
    layers = _layers(model)
    facts: Facts = {"fused": {name: counts[name] for name in counts if _is_fused(name)}, "attention_fused": fused}
    if layers is None:
        return facts
    if fused < layers:
        facts["warnings"] = [f"only {fused} of {layers} attention layers were fused into single operators"]
    return {**facts, "attention_layers": layers}


def _is_fused(operator: str) -> bool:
    return operator in (*_FUSED, "BiasGelu", "FastGelu", "RotaryEmbedding")


def _layers(model: torch.nn.Module) -> int | None:
    """Layers with attention, by optimum's table of architectures; None for a model that is not in it."""
    config: Any = getattr(model, "config", None)
    try:
        normalised = NormalizedConfigManager.get_normalized_config_class(config.model_type)
        return int(normalised(config).num_layers)
    except (AttributeError, KeyError):
        return None
