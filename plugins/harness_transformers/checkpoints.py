"""What a checkpoint folder of someone else may contain before anything in it is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import AssetError, lies_in

_CODE = ("auto_map", "custom_pipelines", "trust_remote_code", "quantization_config", "use_kernels", "kernel_config")
_KERNELS = "_implementation"  # of attention, of experts: a name with a slash is a repository with compiled code
_LARGEST = 16 << 20  # bytes of a JSON file; an index of 10,000 shards has a tenth of it
_LARGEST_HEADER = 4 << 20  # bytes of a list of tensors: 40,000 of them
_MOST = {"layer": 1000, "num_labels": 100_000}  # each takes time and memory before a weight is looked at
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json`. AssetError when it is missing, broken, or asks for code that is not in transformers."""
    file = folder / "config.json"
    try:
        config = _json(file)
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{file}: cannot be read ({error}); a checkpoint is a folder with config.json and model.safetensors"
        raise AssetError(msg) from error
    asked = sorted({key for key, value in _entries(config) if _is_code(key, value)})
    many = [f"{key} = {str(value)[:20]}" for key, value in _entries(config) if _is_too_much(key, value)]
    if asked or many or not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        what = f"asks for {', '.join(asked)}, and code from a checkpoint is never run" if asked else "has no model_type"
        what = f"{many[0]} is more than any known model has" if many and not asked else what
        msg = f"{file}: {what}; use a checkpoint of an architecture that transformers knows"
        raise AssetError(msg)
    return config


def _json(file: Path) -> Any:
    if not file.is_file():
        msg = "it is not there, or no regular file"
        raise FileNotFoundError(msg)
    with file.open("rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        msg = f"more than {_LARGEST >> 20} MiB"
        raise ValueError(msg)
    return json.loads(data)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, of parts of a config too."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield from here.items()
        waiting += here.values() if isinstance(here, dict) else here if isinstance(here, list) else ()


def _is_code(key: str, value: Any) -> bool:
    return key in _CODE or (key.endswith(_KERNELS) and "/" in json.dumps(value))


def _is_too_much(key: str, value: Any) -> bool:
    return isinstance(value, int | float) and any(name in key and value > most for name, most in _MOST.items())


def weight_bytes(folder: Path) -> int:
    """Bytes of the files that `check_weights` has looked at."""
    return sum((folder / name).stat().st_size for name in _names(folder))


def check_weights(folder: Path) -> None:
    """AssetError unless the weights are safetensors files that really lie in this folder (or in its hub cache)."""
    if (folder / "adapter_config.json").exists():
        msg = f"{folder}: an adapter, not a whole model; merge it into its base model and save that"
        raise AssetError(msg)
    index = folder / "model.safetensors.index.json"
    if not (folder / "model.safetensors").exists() and not index.exists():
        raise AssetError(_no_weights(folder))
    for name in _names(folder):
        if Path(name).name != name or not name.endswith(".safetensors") or not lies_in(folder, folder / name):
            msg = f"{folder}: '{name}' is not a safetensors file of this folder"
            raise AssetError(msg)
        _check_header(folder / name)


def _check_header(file: Path) -> None:
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
    if not 0 < size <= min(_LARGEST_HEADER, file.stat().st_size - 8):
        most = f"at most {_LARGEST_HEADER:,} are read"
        msg = f"{file}: not a safetensors file, or a list of tensors of {size:,} bytes; {most}"
        raise AssetError(msg)


def _names(folder: Path) -> list[str]:
    whole = "model.safetensors"
    return [whole] if (folder / whole).exists() else sorted(_shards(folder / f"{whole}.index.json"))


def _shards(index: Path) -> set[str]:
    try:
        found: Mapping[str, str] = _json(index)["weight_map"]
        return {str(name) for name in found.values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{index}: not an index of shards ({error!r})"
        raise AssetError(msg) from error


def _no_weights(folder: Path) -> str:
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if not pickled:
        return f"{folder}: no model.safetensors there"
    convert = "load it once where you trust it and call save_pretrained(folder)"
    return f"{folder}: weights only as {', '.join(pickled)}, and pickled files are never loaded; {convert}"
