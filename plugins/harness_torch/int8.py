"""Dynamic int8 in PyTorch: 8-bit weights, activations quantized while the model runs, one scale per batch."""

from __future__ import annotations

import shutil
from collections import Counter

import torch
from torch import nn
from torch.ao.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig, quantize_dynamic

from harness import CompressRequest, Facts, StageError
from harness_torch.int8_format import CONFIG, KINDS, quiet_torch_ao, rebuild, save, use_engine
from harness_torch.runtime import TorchSession

_SHOWN = 5  # names of layers left in fp32


class TorchInt8:
    """Quantizes Linear and LSTM layers; embeddings and normalisation stay in fp32."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write integers and their description. StageError when what was written does not answer bit for bit alike."""
        model = request.student().eval()
        left = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.RNNBase)]
        tables = [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
        engine = use_engine()
        modules = quantize(model, request.params.per_channel)
        shutil.copyfile(request.source / CONFIG, request.out / CONFIG)
        stored = save(model, modules, request.out)
        compare(model, request)
        left = [name for name in left if name not in modules]
        return {
            "changed": bool(modules),
            "modules": dict.fromkeys(KINDS, 0) | Counter(modules.values()),
            "left_fp32": {"count": len(left), "names": left[:_SHOWN]},
            "bytes": bytes_by_kind(stored, tables),
            "engine": engine,
        }


def quantize(model: nn.Module, per_channel: bool) -> dict[str, str]:
    """Replace layers in place; returns module name → kind. Weights are symmetric (zero point 0)."""
    modules = quantizable(model)
    if modules:
        recipe = per_channel_dynamic_qconfig if per_channel else default_dynamic_qconfig
        with quiet_torch_ao():
            quantize_dynamic(model, dict.fromkeys(modules, recipe), inplace=True)  # type: ignore[no-untyped-call]
    return modules


def quantizable(model: nn.Module) -> dict[str, str]:
    """What the int8 kernels can compute: exactly Linear, and LSTM with biases and without a projection."""
    kinds = {layer: kind for kind, layer in KINDS.items()}
    found = {name: module for name, module in model.named_modules() if type(module) in kinds}
    return {name: kinds[type(module)] for name, module in found.items() if _has_kernel(module)}


def _has_kernel(module: nn.Module) -> bool:
    return not isinstance(module, nn.LSTM) or (bool(module.bias) and module.proj_size == 0)


def compare(model: nn.Module, request: CompressRequest) -> None:
    """Load what was written and answer one batch with both."""
    again = TorchSession(rebuild(request.out, request.artifact["head"])).forward(request.arrays[0])
    wanted = TorchSession(model).forward(request.arrays[0])
    if any((again[name] != wanted[name]).any() for name in wanted):
        msg = f"{type(model).__name__}: the int8 model that was written answers differently from the one in memory."
        raise StageError(msg)


def bytes_by_kind(stored: dict[str, torch.Tensor], tables: list[str]) -> dict[str, int]:
    """Bytes in the file: embedding tables, integers of quantized layers, other floats (scales too), the rest."""
    kinds = dict.fromkeys(("embeddings", "int8", "fp32", "other"), 0)
    for name, tensor in stored.items():
        kind = "fp32" if tensor.is_floating_point() else "int8" if tensor.dtype == torch.int8 else "other"
        kinds["embeddings" if name in tables else kind] += tensor.nbytes
    return kinds
