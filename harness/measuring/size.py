"""Bytes on disk and parameters, read without loading a model. MiB are 2^20 bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from harness.errors import StageError

MIB = 2**20
MODEL_SUFFIXES = (".safetensors", ".onnx", ".onnx.data", ".onnx_data", ".bin", ".xml")
HEADER_CAP = 100_000_000  # bytes; the limit of the format's own reader
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
ITEM_BYTES |= {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}


def artifact_sizes(folder: Path) -> dict[str, float]:
    """`model_mib`: the files that hold weights or graph; `folder_mib`: everything. StageError for an empty folder.

    Model files are known by their suffix; in a format of somebody else's, the largest file is taken for it.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    if not files:
        msg = f"{folder}: no file was written, so there is no model"
        raise StageError(msg)
    model = [path for path in files if path.name.endswith(MODEL_SUFFIXES)]
    return {"model_mib": _mib(model or [max(files, key=lambda path: path.stat().st_size)]), "folder_mib": _mib(files)}


def parameter_counts(folder: Path, artifact_format: str) -> dict[str, int] | None:
    """`parameters` and `without_embeddings` of an artifact of format `torch`; None for others.

    Only there is every stored float one parameter; elsewhere (int8 values with scales, folded graphs) the counts that
    were recorded at the build hold. An embedding is a 2-D tensor with "embedding" in its name. Integer tensors are
    buffers and do not count. StageError where the weights are missing or broken.
    """
    if artifact_format != "torch":
        return None
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        msg = f"{folder}: no *.safetensors file"
        raise StageError(msg)
    tensors = [tensor for path in files for tensor in _float_tensors(path)]
    embeddings = sum(math.prod(shape) for name, shape in tensors if "embedding" in name.lower() and len(shape) == 2)
    total = sum(math.prod(shape) for _, shape in tensors)
    return {"parameters": total, "without_embeddings": total - embeddings}


def read_header(path: Path) -> dict[str, Any]:
    """The tensors that a safetensors file declares: name → {dtype, shape, data_offsets}, every entry checked.

    Source: https://huggingface.co/docs/safetensors (format). StageError says what is wrong with the file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            room = path.stat().st_size - 8 - length
            if length > HEADER_CAP or room < 0:
                _refuse(path, f"its header claims {length} bytes")
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError) as error:
        _refuse(path, str(error))
    if not isinstance(header, dict):
        _refuse(path, "its header is not an object")
    tensors = {str(name): entry for name, entry in header.items() if name != "__metadata__"}
    for name, entry in tensors.items():
        if not _consistent(entry, room):
            _refuse(path, f"tensor {name!r} contradicts itself: {entry!r:.100}")
    return tensors


def _consistent(entry: Any, room: int) -> bool:
    """Whether shape, type and place of one tensor agree and lie within the file."""
    try:
        shape, (begin, end) = entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
        sound = all(isinstance(number, int) and number >= 0 for number in numbers) and end <= room
        return sound and end - begin == math.prod(shape) * ITEM_BYTES[entry["dtype"]]
    except (KeyError, TypeError, ValueError):
        return False


def _float_tensors(path: Path) -> Iterator[tuple[str, list[int]]]:
    for name, entry in read_header(path).items():
        if "F" in entry["dtype"]:  # F32, BF16, F8_…
            yield name, entry["shape"]


def _refuse(path: Path, why: str) -> NoReturn:
    msg = f"{path}: not a sound safetensors file ({why})"
    raise StageError(msg)


def _mib(files: list[Path]) -> float:
    return sum(path.stat().st_size for path in files) / MIB
