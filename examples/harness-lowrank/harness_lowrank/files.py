"""How a factorized model lies on disk: config.json, model.safetensors, and lowrank.json with the rank of each layer.

Nothing is pickled; what does not fit the architecture is refused when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from harness import Head, StageError, all_tensors, empty_model, fill_model
from harness_lowrank.layers import thin

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
RANKS = "lowrank.json"


def write(model: nn.Module, ranks: Mapping[str, int], folder: Path) -> int:
    """Save a model whose layers of these names are thin; returns the bytes of its tensors."""
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in all_tensors(model).items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / RANKS).write_text(json.dumps(dict(sorted(ranks.items())), indent=1), encoding="utf-8")
    return sum(tensor.nbytes for tensor in tensors.values())


def read(folder: Path, head: Head) -> nn.Module:
    """The model that was written. StageError where files are missing, broken or of another architecture."""
    try:
        ranks = json.loads((folder / RANKS).read_text(encoding="utf-8"))
        model = empty_model(folder, head)
        for name, rank in ranks.items():
            put_thin(model, name, rank)
        fill_model(model, load_file(folder / WEIGHTS))
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, SafetensorError) as error:
        msg = f"{folder}: not a model that 'lowrank' wrote: {error}. Compress its source again"
        raise StageError(msg) from error
    return model.eval()


def put_thin(model: nn.Module, name: str, rank: int) -> nn.Sequential:
    """Replace a linear layer by an empty thin one, which is returned. ValueError where there is no such layer."""
    layer = model.get_submodule(name)
    if type(layer) is not nn.Linear or not 1 <= rank <= min(layer.weight.shape):
        msg = f"'{name}' is no linear layer that could have rank {rank}"
        raise ValueError(msg)
    with torch.device(layer.weight.device):
        made = thin(layer.out_features, layer.in_features, rank, bias=layer.bias is not None)
    model.set_submodule(name, made)
    return made
