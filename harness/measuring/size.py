"""Bytes on disk. MiB are 2^20 bytes."""

from __future__ import annotations

from pathlib import Path

from harness.errors import StageError

MIB = 2**20
MODEL_SUFFIXES = (".safetensors", ".onnx", ".onnx.data", ".onnx_data", ".bin", ".xml")


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


def _mib(files: list[Path]) -> float:
    return sum(path.stat().st_size for path in files) / MIB
