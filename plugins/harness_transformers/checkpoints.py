"""What a checkpoint folder of someone else may contain before anything in it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness import AssetError

_CODE = ("auto_map", "custom_pipelines", "trust_remote_code", "quantization_config")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json`. AssetError when it is missing, broken, or asks for code that is not in transformers."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{file}: cannot be read ({error}); a checkpoint is a folder with config.json and model.safetensors"
        raise AssetError(msg) from error
    asked = [key for key in _CODE if isinstance(config, dict) and key in config]
    if not isinstance(config, dict) or asked or "model_type" not in config:
        what = f"asks for {', '.join(asked)}, and code from a checkpoint is never run" if asked else "has no model_type"
        msg = f"{file}: {what}; use a checkpoint of an architecture that transformers knows"
        raise AssetError(msg)
    return config


def check_weights(folder: Path) -> None:
    """AssetError unless the weights are safetensors files that really lie in this folder (or in its hub cache)."""
    if (folder / "adapter_config.json").exists():
        msg = f"{folder}: an adapter, not a whole model; merge it into its base model and save that"
        raise AssetError(msg)
    index = folder / "model.safetensors.index.json"
    if not (folder / "model.safetensors").exists() and not index.exists():
        raise AssetError(_no_weights(folder))
    names = {"model.safetensors"} if (folder / "model.safetensors").exists() else _shards(index)
    for name in sorted(names):
        if Path(name).name != name or not name.endswith(".safetensors") or not _inside(folder, folder / name):
            msg = f"{folder}: '{name}' is not a safetensors file of this folder"
            raise AssetError(msg)


def _shards(index: Path) -> set[str]:
    try:
        return {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{index}: not an index of shards ({error!r})"
        raise AssetError(msg) from error


def _inside(folder: Path, file: Path) -> bool:
    """A regular file below the folder; in a hub cache `snapshots/<commit>/` links to `blobs/` beside it."""
    root = folder.resolve()
    cache = [root.parent.parent / "blobs"] if root.parent.name == "snapshots" else []
    found = file.resolve()
    return found.is_file() and any(found.is_relative_to(place) for place in (root, *cache))


def _no_weights(folder: Path) -> str:
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if not pickled:
        return f"{folder}: no model.safetensors there"
    convert = "load it once where you trust it and call save_pretrained(folder)"
    return f"{folder}: weights only as {', '.join(pickled)}, and pickled files are never loaded; {convert}"
