"""An epoch of a student on stored outputs of its teacher against the same epoch with the teacher run along.

The teacher has the exact architecture of DeepPavlov/rubert-base-cased, its 119,547 rows of embeddings too, and random
weights. Both sides are our training loop with `mse` for nested entities, from the same start through the same batches;
they differ in where the lesson of a batch comes from, and their losses are compared to show it. The faster of two turns
counts, on each side. Storing takes one pass, whatever number of students, seeds and epochs reads it.

RuNNE in HARNESS_DATA_DIR gives the texts, else the documents that are bundled. EXAMPLES sets their number (256).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.recurrences import SHAPES, build, nested
from benchmarks.tagging import THREADS, timed
from harness.data import read_predictions, write_predictions
from harness.heads import Lesson, Rows, rules
from harness.inference import Answerer, load_answerer
from harness.plugins import Registry, load_registry
from harness.specs import Encoded, Example, load_object
from harness.stages.loop import LoopRequest, LoopResult, train
from harness.stages.predict import BATCH
from harness.training import TrainParams

TEACHER = "DeepPavlov/rubert-base-cased"
STUDENTS: Mapping[str, Mapping[str, Any]] = {
    "small": {**SHAPES["small"], "vocab_size": 12_000, "lowercase": False},
    "as published": SHAPES["as published"],  # with the teacher's embeddings, which are frozen for the first 20 epochs
}
BORROWS = ("as published",)
BATCH_SIZE, ROUNDS, WANTED = 16, 2, 5  # the last: × cheaper


@dataclass(frozen=True)
class Study:
    """A teacher, what it said, and the texts, each of which is one window to everyone."""

    registry: Registry
    folder: Path
    teacher: Answerer
    examples: Sequence[Example]
    labels: tuple[str, ...]

    def windows(self, student: str) -> list[Encoded]:
        return _encoded(self.registry, self.folder / student, self.examples)


def run() -> Iterator[str]:
    torch.set_num_threads(THREADS)
    registry = load_registry()
    examples, labels, origin = nested(registry, "train")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        build(
            registry, "transformer", folder / "teacher", examples, labels, {"checkpoint": TEACHER}, random_weights=True
        )
        for name, params in STUDENTS.items():
            borrowed = {"embeddings": folder / "teacher"} if name in BORROWS else {}
            build(registry, "lstm", folder / name, examples, labels, params, **borrowed)
        teacher = load_answerer(folder / "teacher", registry.task("runne").load(), registry, THREADS)
        study = Study(registry, folder, teacher, _drawn(registry, folder, examples), labels)
        once = _store(study)
        yield (
            f"storing: {1000 * once:.1f} ms per text, once (BERT-base, {len(study.examples)} texts of {origin}, "
            f"{THREADS} threads)"
        )
        for name in STUDENTS:
            yield _compared(study, name, once)


def _drawn(registry: Registry, folder: Path, examples: Sequence[Example]) -> list[Example]:
    """Some texts, without those that are too long for one window of anyone."""
    count = min(int(os.environ.get("EXAMPLES", "256")), len(examples))
    drawn = [examples[row] for row in np.random.default_rng(0).choice(len(examples), count, replace=False)]
    windows = {name: _encoded(registry, folder / name, drawn) for name in ("teacher", *STUDENTS)}
    of = [np.bincount([window.example or 0 for window in found], minlength=count) for found in windows.values()]
    return [drawn[row] for row in np.flatnonzero((np.stack(of) == 1).all(axis=0))]


def _encoded(registry: Registry, folder: Path, examples: Sequence[Example]) -> list[Encoded]:
    spec = registry.student("transformer" if folder.name == "teacher" else "lstm")
    task = registry.task("runne").load()
    windows: list[Encoded] = load_object(spec.encoder)(folder).encode(list(map(task.input, examples)), "nested-token")
    return windows


def _store(study: Study) -> float:
    """Seconds per text: encoding, answering and storing, as a predict stage does."""
    study.teacher.predict(study.examples[:BATCH_SIZE], BATCH)  # warm

    def predict() -> None:
        ids = [example["id"] for example in study.examples]
        write_predictions(study.folder / "outputs", ids, study.teacher.predict(study.examples, BATCH))

    return timed(predict)[0] / len(study.examples)


# ----------------------------------------------------------------------------------------------------------- the epochs


def _compared(study: Study, name: str, once: float) -> str:
    stored = rules("nested-token").lesson(
        read_predictions(study.folder / "outputs", study.examples), study.windows(name)
    )
    lessons = {"stored": stored, "along": _along(study)}
    turns = [{way: _epoch(study, name, lesson) for way, lesson in lessons.items()} for _ in range(ROUNDS)]
    cost = {way: min(turn[way].epochs[0]["seconds"] for turn in turns) / len(study.examples) for way in lessons}
    losses = [np.array(turns[0][way].curve["loss"]) for way in lessons]
    return (
        f"{name}: an epoch takes {1000 * cost['stored']:.1f} ms per text from stored outputs and "
        f"{1000 * cost['along']:.1f} with the teacher run along: {cost['along'] / cost['stored']:.1f}× (wanted: at least "
        f"{WANTED}×); with storing counted, {cost['along'] / (cost['stored'] + once / 10):.1f}× over 10 epochs; losses "
        f"of {len(losses[0])} steps differ by {np.abs(losses[0] / losses[1] - 1).max():.1g} of themselves at most"
    )


def _along(study: Study) -> Lesson:
    """The teacher answers every batch when it comes."""
    teacher = study.teacher
    windows = teacher.encode(study.examples)

    def taught(rows: Rows) -> np.ndarray:
        mates = [windows[row] for row in rows]
        return np.concatenate(teacher.read(mates, teacher.forward(teacher.collate(mates))))  # [words, 5·T]

    return taught


def _epoch(study: Study, name: str, lesson: Lesson) -> LoopResult:
    """One epoch of `mse` from the stored start."""
    registry, head, windows = study.registry, rules("nested-token"), study.windows(name)
    student, spec, task = registry.student("lstm"), registry.distiller("mse"), registry.task("runne").load()
    with tempfile.TemporaryDirectory() as scratch:
        return train(
            LoopRequest(
                model=student.load().load(study.folder / name, "nested-token"), rules=head, windows=windows,
                targets=head.targets(windows, [task.target(example, study.labels) for example in study.examples]),
                lessons=[lesson], pad=load_object(student.encoder)(study.folder / name).pad, distiller=spec.load(),
                distiller_params=spec.params(), seed=1, outputs=frozenset({"last"}), save=lambda model, name: None,
                train=TrainParams(epochs=1, batch_size=BATCH_SIZE, freeze_embeddings=int(name in BORROWS)),
                scratch=Path(scratch),
            )
        )  # fmt: skip
