"""An int8 model on disk as plain integers, and back into modules without an fp32 copy of any quantized weight.

A folder holds `config.json`, `model.safetensors` and `int8.json`. For a quantized weight K the tensors are K (int8),
`K.scale` (float32) and `K.zero_point` (int8), both with one entry per output row, or a single one; parameters that were
not quantized and all buffers are stored as they are. Nothing is pickled.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.ao.nn.quantized import dynamic

from harness import Head, StageError, all_tensors, choices, empty_model, fill_model

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
DESCRIPTION = "int8.json"
KINDS: dict[str, type[nn.Module]] = {"Linear": nn.Linear, "LSTM": nn.LSTM}
_LINEAR: Any = dynamic.Linear  # torch.ao has no annotations
_LSTM: Any = dynamic.LSTM
_ENGINES = ("x86", "fbgemm", "onednn", "qnnpack")  # fastest first


def use_engine() -> str:
    """Select the fastest int8 engine of this PyTorch build. StageError when it has none."""
    supported = torch.backends.quantized.supported_engines
    engine = next((name for name in _ENGINES if name in supported), None)
    if engine is None:
        msg = (
            f"this PyTorch has no int8 engine (found: {choices(supported)}; known: {choices(_ENGINES)}). "
            "Use the chain onnx, onnx-int8 instead."
        )
        raise StageError(msg)
    torch.backends.quantized.engine = engine
    return engine


@contextmanager
def quiet_torch_ao() -> Iterator[None]:
    """Mute the two deprecations that torch.ao announces; what it points to has no int8 kernels as fast on CPU."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel", UserWarning)
        yield


def save(model: nn.Module, modules: Mapping[str, str], folder: Path) -> dict[str, torch.Tensor]:
    """Write tensors and description of a quantized model; `modules`: name → kind. Returns the tensors."""
    stored = {name: tensor.detach().clone().contiguous() for name, tensor in all_tensors(model).items()}
    for name in modules:
        stored.update(_taken_apart(name, model.get_submodule(name)))
    save_file(stored, folder / WEIGHTS)
    attention = getattr(model.config, "_attn_implementation", None)
    description = {"attention": attention, "modules": dict(modules)}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
    return stored


def _taken_apart(name: str, module: Any) -> dict[str, torch.Tensor]:
    """Integers, scales, zero points and biases of one quantized module."""
    if hasattr(module, "get_weight"):  # recurrent: dicts by name
        weights, biases = module.get_weight(), module.get_bias()
    else:
        weights, biases = {"weight": module.weight()}, {"bias": module.bias()}
    result = {f"{name}.{key}": bias.detach().clone() for key, bias in biases.items() if bias is not None}
    for key, weight in weights.items():
        result.update({f"{name}.{key}{suffix}": part for suffix, part in _integers(weight).items()})
    return result


def _integers(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """A quantized tensor as int8 values, float32 scale and int8 zero point (per row, or 0-d)."""
    if weight.qscheme() == torch.per_tensor_affine:
        scale, zero = torch.tensor(weight.q_scale()), torch.tensor(weight.q_zero_point())
    else:
        scale, zero = weight.q_per_channel_scales(), weight.q_per_channel_zero_points()
    return {"": weight.int_repr(), ".scale": scale.float(), ".zero_point": zero.to(torch.int8)}


def rebuild(folder: Path, head: Head) -> nn.Module:
    """The model that was saved, bit for bit. StageError when files are missing or do not fit the architecture.

    The student's module must have been imported, so that the Auto classes know its config.
    """
    use_engine()
    description, stored = _read(folder)
    try:
        attention = description["attention"]
        model = empty_model(folder, head, **({} if attention is None else {"attn_implementation": attention}))
        with quiet_torch_ao():
            for name, kind in description["modules"].items():
                model.set_submodule(name, _put_together(model.get_submodule(name), name, kind, stored))
        fill_model(model, stored)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        msg = f"{folder}: the int8 model does not fit its own config.json: {error}"
        raise StageError(msg) from error
    return model.eval()


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return description, load_file(folder / WEIGHTS)
    except Exception as error:  # safetensors' own error has no public base
        msg = f"{folder}: not an int8 model: {error}"
        raise StageError(msg) from error


def _put_together(plain: Any, name: str, kind: str, stored: dict[str, torch.Tensor]) -> nn.Module:
    """The int8 twin of a skeleton's module, from its tensors, which are taken out of `stored`."""
    if type(plain) is not KINDS[kind]:
        msg = f"'{name}' is {type(plain).__name__}, not {kind}"
        raise ValueError(msg)
    parts = {key: _taken(f"{name}.{key}", shape.shape, stored) for key, shape in plain.named_parameters()}
    if isinstance(plain, nn.Linear):
        linear = _LINEAR(plain.in_features, plain.out_features)
        linear.set_weight_bias(parts["weight"], parts.get("bias"))
        return cast("nn.Module", linear)
    sizes = (plain.input_size, plain.hidden_size, plain.num_layers, plain.bias, plain.batch_first)
    lstm = _LSTM(*sizes, bidirectional=plain.bidirectional)
    lstm.set_weight_bias(parts)
    return cast("nn.Module", lstm)


def _taken(key: str, shape: torch.Size, stored: dict[str, torch.Tensor]) -> torch.Tensor:
    """A quantized weight, or a bias. ValueError when its shape is not the architecture's."""
    values = stored.pop(key)
    if values.shape != shape:
        msg = f"'{key}' has shape {tuple(values.shape)}, not {tuple(shape)}"
        raise ValueError(msg)
    if values.dtype != torch.int8:
        return values
    scale, zero = stored.pop(f"{key}.scale"), stored.pop(f"{key}.zero_point")
    if scale.ndim == 0:
        return torch._make_per_tensor_quantized_tensor(values, float(scale), int(zero))  # noqa: SLF001
    # No public function makes a quantized tensor from integers: the public ones start from floats.
    return torch._make_per_channel_quantized_tensor(values, scale.double(), zero.long(), 0)  # noqa: SLF001
