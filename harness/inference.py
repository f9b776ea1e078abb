"""An artifact that answers: encode, collate, forward, decode. Predict stages, the timer and `predict` share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts import Artifact, read_artifact
from harness.errors import StageError
from harness.plugins import Registry, load_registry
from harness.specs import Arrays, Encoded, Encoder, Example, Facts, Session, Task, load_object
from harness.stages.batching import collate, sorted_batches


@dataclass(frozen=True)
class Answerer:
    """A loaded artifact with its encoder and its task."""

    artifact: Artifact
    encoder: Encoder
    session: Session
    task: Task

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Examples → arrays of natural length."""
        return self.encoder.encode([self.task.input(example) for example in examples], self.artifact.head)

    def collate(self, encoded: Sequence[Encoded]) -> Arrays:
        """Pad to the longest of the batch."""
        return collate(encoded, self.encoder.pad)

    def forward(self, arrays: Arrays) -> Arrays:
        """Arrays → {"logits": float32}."""
        return self.session.forward(arrays)

    def decode(self, examples: Sequence[Example], encoded: Sequence[Encoded], outputs: Arrays) -> list[Facts]:
        """Outputs → answers as a person wants them."""
        rows = self.units(encoded, outputs)
        return [self.task.answer(e, row, self.artifact.labels) for e, row in zip(examples, rows, strict=True)]

    def units(self, encoded: Sequence[Encoded], outputs: Arrays) -> list[np.ndarray]:
        """Outputs of a batch → one array per example; for the sequence head its logits [C]."""
        logits = outputs["logits"]
        if len(logits) != len(encoded) or not np.isfinite(logits).all():
            msg = f"the model answered {len(logits)} of {len(encoded)} examples, or with numbers that are not finite"
            raise StageError(msg)
        return list(logits)

    def predict(
        self, examples: Sequence[Example], batch_size: int, progress: Callable[[int, int], None] | None = None
    ) -> list[np.ndarray]:
        """Raw outputs per example in the given order, computed in batches of similar length."""
        encoded = self.encode(examples)
        outputs: list[Any] = [None] * len(encoded)
        done = 0
        for batch in sorted_batches(np.array([item.length for item in encoded]), batch_size):
            items = [encoded[i] for i in batch]
            for i, row in zip(batch, self.units(items, self.forward(self.collate(items))), strict=True):
                outputs[i] = row
            done += len(batch)
            if progress:
                progress(done, len(encoded))
        return outputs


def load_answerer(folder: Path, task_name: str, registry: Registry, threads: int) -> Answerer:
    """Load an artifact with the runtime of its format. StageError / PluginError say what is missing."""
    artifact = read_artifact(folder)
    spec = registry.student(artifact.student)
    runtime = registry.runtime_for(artifact.format)
    student = spec.load() if "torch" in artifact.format else None
    encoder: Encoder = load_object(spec.encoder)(folder)
    session = runtime.load().load(folder, artifact.as_json(), student, threads)
    return Answerer(artifact, encoder, session, registry.task(task_name).load())


def open_answerer(description: Mapping[str, Any]) -> Answerer:
    """The same from plain JSON {model: {artifact, task}, threads}, for measured processes."""
    model = description["model"]
    return load_answerer(Path(model["artifact"]), model["task"], load_registry(), int(description["threads"]))
