"""Does ONNX say what PyTorch says? fp32, every question of the Russian XQuAD, the architectures of suites/sberquad.toml.

Random weights with the real vocabulary of a Russian BERT. QUESTIONS limits the questions. Needs HARNESS_DATA_DIR.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.scoring import LENGTH, STRIDE, THREADS, compress, questions
from harness.artifacts import Artifact
from harness.inference import load_answerer
from harness.plugins import load_registry
from harness.specs import BuildRequest

SHAPES = {
    "rubert-tiny": {"hidden_size": 312, "layers": 3, "heads": 12, "intermediate": 600},
    "distilbert": {"model_type": "distilbert", "hidden_size": 768, "layers": 6, "heads": 12},
    "ruBert-base": {"hidden_size": 768, "layers": 12, "heads": 12},
}


def run() -> Iterator[str]:
    root = os.environ.get("HARNESS_DATA_DIR")
    if not root:
        yield "skipped: HARNESS_DATA_DIR is not set, and this is about real questions with a real vocabulary"
        return
    torch.set_num_threads(THREADS)
    examples = questions(Path(root) / "xquad" / "xquad.ru.json", int(os.environ.get("QUESTIONS", "0")) or None)
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            yield f"{name}: {_compared(shape, Path(folder), Path(root) / 'vocabs' / 'ruBert.vocab.txt', examples)}"


def _compared(shape, scratch: Path, vocabulary: Path, examples) -> str:
    registry, labels = load_registry(), ("start", "end")
    student = registry.student("transformer")
    source, exported = scratch / "torch", scratch / "onnx"
    for folder in (source, exported):
        folder.mkdir()
    student.load().build(
        BuildRequest(
            out=source, head="span", labels=labels, params=student.params(**shape, lowercase=False), seed=1,
            max_length=LENGTH, doc_stride=STRIDE, assets={"tokenizer": vocabulary}, artifacts={}, texts=lambda: iter(()),
        )
    )  # fmt: skip
    Artifact(format="torch", student="transformer", head="span", labels=labels, max_length=LENGTH).write(source)
    compress("onnx", source, exported, registry, examples)
    Artifact(format="onnx", student="transformer", head="span", labels=labels, max_length=LENGTH).write(exported)
    sides = [load_answerer(folder, registry.task("qa").load(), registry, THREADS) for folder in (source, exported)]
    outputs = [side.predict(examples, 16) for side in sides]
    answers = [
        [side.task.answer(e, o, labels)["answer"] for e, o in zip(examples, said, strict=True)]
        for side, said in zip(sides, outputs, strict=True)
    ]
    worst = max(float(np.abs(a.logits - b.logits).max()) for a, b in zip(*outputs, strict=True))
    same = sum(one == other for one, other in zip(*answers, strict=True))
    return f"{same} of {len(examples)} answers are the same; logits differ by {worst:.1e} at most"
