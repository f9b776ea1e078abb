"""PyTorch on a CPU or a GPU: eager, no gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from harness import Arrays, Session, StageError, Student


class TorchSession:
    """A model in eval mode as a function of arrays; it returns when its device has finished."""

    def __init__(self, model: torch.nn.Module, device: str = "cpu") -> None:
        self.model = model.eval().to(device)
        self.device = device

    def forward(self, arrays: Arrays, states: Sequence[int] = ()) -> Arrays:
        """[B, L] int64 arrays → what the head gives, by name: `logits`, or `start_logits` and `end_logits`.

        With `states`, also the hidden states of these layers as `states.<layer>`, [B, L, H]; StageError where the
        model has none.
        """
        with torch.inference_mode():
            tensors: dict[str, Any] = {name: torch.tensor(value, device=self.device) for name, value in arrays.items()}
            answer = self.model(**tensors, output_hidden_states=True) if states else self.model(**tensors)
            found = {name: value.float().cpu().numpy() for name, value in answer.items() if name.endswith("logits")}
            return found | {f"states.{n}": _layer(answer, n).float().cpu().numpy() for n in states}


def _layer(answer: Any, layer: int) -> torch.Tensor:
    hidden = getattr(answer, "hidden_states", None) or ()
    if not -len(hidden) <= layer < len(hidden):
        msg = f"the teacher has {len(hidden)} layers of hidden states (0: embeddings), and no {layer}"
        raise StageError(msg)
    states: torch.Tensor = hidden[layer]
    return states


class TorchRuntime:
    """Loads fp32 models through their student, int8 and bf16 ones from what they are stored as."""

    def load(self, folder: Path, artifact: Mapping[str, Any], student: Student | None, threads: int) -> Session:
        """A session; `threads` becomes the process's count. StageError when the artifact is not what it says."""
        torch.set_num_threads(threads)
        if student is None:
            msg = f"{folder}: the torch runtime was given no student to load format '{artifact['format']}' with."
            raise StageError(msg)
        if artifact["format"] == "torch-int8":
            from harness_torch.int8_format import rebuild

            return TorchSession(rebuild(folder, artifact["head"]))
        if artifact["format"] == "torch-bf16":
            from harness_torch.bf16 import load

            return TorchSession(load(folder, artifact["head"]))
        model = student.load(folder, artifact["head"])
        return TorchSession(model, gpu() if artifact["format"] == "torch-cuda" else "cpu")


def gpu() -> str:
    """The device to run on; StageError where PyTorch sees none."""
    if not torch.cuda.is_available():
        msg = f"PyTorch {torch.__version__} sees no GPU: install a build with CUDA, or leave the chain with 'cuda' out"
        raise StageError(msg)
    return "cuda"
