"""The work of `torch-fp16`: halves the file; the loader turns the weights back into fp32."""

from __future__ import annotations

import shutil

import torch
from safetensors.torch import load_file, save_file

from harness import CompressRequest, Facts

WEIGHTS = "model.safetensors"


class Fp16:
    """Round every fp32 tensor to fp16: relative error at most 2⁻¹¹ for normal numbers."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write config and rounded weights; facts say how many bytes each kind takes."""
        tensors = load_file(request.source / WEIGHTS)
        half = {n: t.half() if t.dtype == torch.float32 else t for n, t in tensors.items()}
        save_file(half, request.out / WEIGHTS, metadata={"format": "pt"})
        shutil.copyfile(request.source / "config.json", request.out / "config.json")
        size = sum(t.numel() * t.element_size() for t in half.values())
        return {"changed": any(half[n].dtype != t.dtype for n, t in tensors.items()), "bytes": {"fp16": size}}
