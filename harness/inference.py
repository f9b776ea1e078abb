"""An artifact that answers: encode, collate, forward, decode. Predict stages, the timer and `predict` share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from harness.artifacts import Artifact, read_artifact
from harness.errors import StageError, choices
from harness.heads import HeadRules, rules
from harness.plugins import Registry, load_registry
from harness.specs import Arrays, Encoded, Encoder, Example, Facts, Session, StatesSession, Task, load_object
from harness.stages.batching import collate, sorted_batches

TOKENS = 512  # of a batch, with padding: on CPUs throughput grows no further, and padding costs


@dataclass(frozen=True)
class Answerer:
    """A loaded artifact with its encoder and its task."""

    artifact: Artifact
    encoder: Encoder
    session: Session
    task: Task

    @property
    def rules(self) -> HeadRules:
        """What depends on the head."""
        return rules(self.artifact.head)

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Examples → windows of natural length."""
        return self.encoder.encode([self.task.input(example) for example in examples], self.artifact.head)

    def collate(self, windows: Sequence[Encoded], length: int | None = None) -> Arrays:
        """Pad to the longest of the batch, or to `length`."""
        return collate(windows, self.encoder.pad, length)

    def forward(self, arrays: Arrays) -> Arrays:
        """Arrays → the head's outputs, float32."""
        return self.session.forward(arrays)

    def read(self, windows: Sequence[Encoded], outputs: Arrays) -> list[Any]:
        """Outputs of a batch → what was said about each window."""
        missing = [name for name in self.rules.outputs if name not in outputs]
        if missing:
            msg = f"the model gives {choices(outputs)}; the head '{self.artifact.head}' needs {choices(missing)}"
            raise StageError(msg)
        for name in self.rules.outputs:
            if (shape := np.shape(outputs[name]))[:1] != (len(windows),):
                expected = f"expected a row for each of {len(windows)} windows"
                msg = f"the model gives '{name}' of shape {list(shape)}, {expected}"
                raise StageError(msg)
        return self.rules.read(windows, outputs)

    def answer(self, examples: Sequence[Example], windows: Sequence[Encoded], said: Sequence[Any]) -> list[Facts]:
        """What was said about windows → answers as a person wants them."""
        joined = self.rules.join(windows, said, len(examples))
        return [self.task.answer(e, output, self.artifact.labels) for e, output in zip(examples, joined, strict=True)]

    def answer_one(self, example: Example) -> Facts:
        """One answer, its windows read one by one."""
        windows = self.encode([example])
        return self.answer([example], windows, self.say(windows, batch_size=1))[0]

    def say(
        self, windows: Sequence[Encoded], batch_size: int, progress: Callable[[int, int], None] | None = None
    ) -> list[Any]:
        """What the model says about windows, computed in batches of similar length, in the given order."""
        return self.look(windows, batch_size, (), progress)[0]

    def look(
        self,
        windows: Sequence[Encoded],
        batch_size: int,
        layers: Sequence[int],
        progress: Callable[[int, int], None] | None = None,
        shard: tuple[int, int] = (0, 1),
    ) -> tuple[list[Any], dict[int, list[np.ndarray]]]:
        """The same, and the hidden states of the units of each window by layer, [U, H] each.

        `shard`: number i of n, from 0; it answers every n-th batch, and has None for windows of the others.
        """
        said: list[Any] = [None] * len(windows)
        states: dict[int, list[Any]] = {layer: [None] * len(windows) for layer in layers}
        number, count = shard
        lengths = np.array([window.length for window in windows])
        batches = sorted_batches(lengths, batch_size, TOKENS)[number::count]
        done, total = 0, sum(map(len, batches))
        for batch in batches:
            mates = [windows[i] for i in batch]
            outputs = self._outputs(self.collate(mates), layers)
            for row, (i, output) in enumerate(zip(batch, self.read(mates, outputs), strict=True)):
                said[i] = output
                for layer, found in states.items():
                    found[i] = self.rules.units(outputs[f"states.{layer}"][row : row + 1], [windows[i]], np.asarray)
            done += len(batch)
            if progress:
                progress(done, total)
        return said, states

    def _outputs(self, arrays: Arrays, layers: Sequence[int]) -> Arrays:
        return cast("StatesSession", self.session).forward(arrays, layers) if layers else self.forward(arrays)

    def predict(self, examples: Sequence[Example], batch_size: int) -> list[Any]:
        """Raw outputs per example in the given order, as `Task.samples` takes them."""
        windows = self.encode(examples)
        return self.rules.join(windows, self.say(windows, batch_size), len(examples))


def load_answerer(folder: Path, task: Task, registry: Registry, threads: int) -> Answerer:
    """Load an artifact with the runtime of its format. StageError / PluginError say what is missing."""
    artifact = read_artifact(folder)
    spec = registry.student(artifact.student)
    runtime = registry.runtime_for(artifact.format)
    student = spec.load() if "torch" in artifact.format else None
    encoder: Encoder = load_object(spec.encoder)(folder)
    session = runtime.load().load(folder, artifact.as_json(), student, threads)
    return Answerer(artifact, encoder, session, task)


def open_answerer(description: Mapping[str, Any]) -> Answerer:
    """The same from plain JSON {model: {artifact, task: {use, params}}, threads}, for measured processes."""
    model, registry = description["model"], load_registry()
    return load_answerer(
        Path(model["artifact"]), registry.open_task(model["task"]), registry, int(description["threads"])
    )
