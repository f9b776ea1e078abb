"""bf16: weights of half the bytes, and arithmetic that the CPU does in bf16 by itself.

A folder holds `config.json`, `model.safetensors` (parameters and buffers, floats as bf16) and `bf16.json`. Sums of
products are fp32 inside the CPU and rounded once; how a batch is cut into blocks decides the last bit of a rounding, so
answers depend on batch mates a little.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from harness import CompressRequest, Facts, Head, StageError, all_tensors, empty_model, fill_model
from harness_torch.cpu import bf16_flags, no_bf16
from harness_torch.int8_format import CONFIG, WEIGHTS

DESCRIPTION = "bf16.json"


class TorchBf16:
    """Rounds every floating weight."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write the rounded weights. StageError where the CPU has no bf16, or a weight is too large for it."""
        check_cpu()
        model = request.student().eval()
        attention = getattr(model.config, "_attn_implementation", None)
        tables = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
        whole = {name: tensor.detach() for name, tensor in all_tensors(model).items()}
        stored = {name: rounded(name, tensor) for name, tensor in whole.items()}
        shutil.copyfile(request.source / CONFIG, request.out / CONFIG)
        save_file(stored, request.out / WEIGHTS)
        (request.out / DESCRIPTION).write_text(json.dumps({"attention": attention}), encoding="utf-8")
        return {
            "changed": any(tensor.dtype == torch.bfloat16 for tensor in stored.values()),
            "bytes": bytes_by_kind(stored, tables),
            "largest_rounding": max(_rounding(whole[name], tensor) for name, tensor in stored.items()),
            "isa": bf16_flags(),
        }


def check_cpu() -> None:
    """StageError where bf16 would be emulated."""
    if reason := no_bf16():
        raise StageError(reason)
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        msg = f"PyTorch {torch.__version__} is built without oneDNN, by which CPUs compute in bf16; install one with it"
        raise StageError(msg)


def rounded(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Floats as bf16, others as they are; a copy. StageError where a finite number becomes infinite."""
    if not tensor.is_floating_point():
        return tensor.clone().contiguous()
    result = tensor.to(torch.bfloat16, copy=True).contiguous()
    if bool((result.isinf() & tensor.isfinite()).any()):
        msg = f"'{name}' holds {tensor[tensor.isfinite()].abs().max().item():.3g}, more than bf16 can"
        raise StageError(msg)
    return result


def _rounding(whole: torch.Tensor, stored: torch.Tensor) -> float:
    """How far a number moved, as a share of the largest of its tensor."""
    finite = whole.isfinite()
    if not finite.any() or not whole.is_floating_point():
        return 0.0
    moved = (whole - stored.to(whole.dtype))[finite].abs().max()
    return float(moved / whole[finite].abs().max().clamp(min=torch.finfo(torch.float32).tiny))


def bytes_by_kind(stored: dict[str, torch.Tensor], tables: set[str]) -> dict[str, int]:
    """Bytes in the file: embedding tables, other floats, the rest."""
    kinds = dict.fromkeys(("embeddings", "bf16", "other"), 0)
    for name, tensor in stored.items():
        kind = "bf16" if tensor.is_floating_point() else "other"
        kinds["embeddings" if name in tables else kind] += tensor.nbytes
    return kinds


def load(folder: Path, head: Head) -> nn.Module:
    """The model that was written. StageError where the CPU has no bf16, or files are missing or do not fit.

    The student's module must have been imported, so that the Auto classes know its config.
    """
    check_cpu()
    try:
        attention = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["attention"]
        model = empty_model(folder, head, **({} if attention is None else {"attn_implementation": attention}))
        fill_model(model.to(torch.bfloat16), load_file(folder / WEIGHTS))
    except Exception as error:  # safetensors' own error has no public base
        msg = f"{folder}: not a bf16 model that 'torch-bf16' wrote: {error}"
        raise StageError(msg) from error
    return model.eval()
