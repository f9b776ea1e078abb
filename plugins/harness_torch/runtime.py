"""PyTorch on CPU: eager, no gradients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness import Arrays, Session, StageError, Student


class TorchSession:
    """A model in eval mode as a function of arrays."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model.eval()

    def forward(self, arrays: Arrays) -> Arrays:
        """[B, L] int64 arrays → {"logits": [B, C] float32} (start_logits and end_logits for the span head)."""
        with torch.inference_mode():
            answer = self.model(**{name: torch.tensor(value) for name, value in arrays.items()})
            return {name: value.float().numpy() for name, value in answer.items() if name.endswith("logits")}


class TorchRuntime:
    """Loads fp32 models through their student, int8 ones from their integers."""

    def load(self, folder: Path, artifact: Mapping[str, Any], student: Student | None, threads: int) -> Session:
        """A session; `threads` becomes the process's count. StageError when the artifact is not what it says."""
        torch.set_num_threads(threads)
        if student is None:
            msg = f"{folder}: the torch runtime was given no student to load format '{artifact['format']}' with."
            raise StageError(msg)
        if artifact["format"] == "torch-int8":
            from harness_torch.int8_format import rebuild

            return TorchSession(rebuild(folder, artifact["head"]))
        return TorchSession(student.load(folder, artifact["head"]))
