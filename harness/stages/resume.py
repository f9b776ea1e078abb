"""State of a training that was interrupted: tensors in safetensors, the rest as JSON in the same file's header."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


def write_tensors(file: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None) -> None:
    """Write all or nothing: a temporary file, synced, renamed over the old one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{uuid.uuid4().hex}.partial")  # other machines have the same process numbers
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    save_file(copies, partial, metadata={"notes": json.dumps(notes or {})})
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(file)


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and notes; None when the file is not there or not whole, so that training starts over."""
    try:
        with safe_open(file, framework="pt") as opened:
            notes = json.loads(opened.metadata()["notes"])
        return load_file(file), notes
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; shared ones once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def put_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy into the model in place. KeyError when one is missing."""
    with torch.no_grad():
        for name, tensor in weights_of(model).items():
            tensor.copy_(tensors[name])


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`<parameter>|<moment>` → tensor."""
    return {
        f"{name}|{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def put_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The reverse of `optimizer_state`."""
    parameters = dict(model.named_parameters())
    for name, value in tensors.items():
        parameter, _, key = name.rpartition("|")
        owner = parameters[parameter]
        optimizer.state[owner][key] = value if key == "step" else value.to(owner.device)
