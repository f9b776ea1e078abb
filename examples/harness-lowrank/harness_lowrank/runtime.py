"""Answers with thin matrices: PyTorch on a CPU, eager, no gradients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness import Arrays, Session, Student
from harness_lowrank.files import read


class ThinSession:
    """A model in eval mode as a function of arrays."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def forward(self, arrays: Arrays) -> Arrays:
        """[B, L] int64 arrays → what the head gives, by name."""
        with torch.inference_mode():
            answer = self.model(**{name: torch.from_numpy(value) for name, value in arrays.items()})
        return {name: value.float().numpy() for name, value in answer.items() if name.endswith("logits")}


class LowRankRuntime:
    """Loads what `lowrank` wrote."""

    def load(self, folder: Path, artifact: Mapping[str, Any], student: Student | None, threads: int) -> Session:
        """A session; `threads` becomes the process's count. StageError when the artifact is not what it says."""
        torch.set_num_threads(threads)
        return ThinSession(read(folder, artifact["head"]))
