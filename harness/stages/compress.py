"""compress: artifact in, smaller or faster artifact out, with the proof of what was done."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts import NAME, Artifact, read_artifact
from harness.data import read_examples
from harness.inference import Answerer, load_answerer
from harness.measuring.size import MODEL_SUFFIXES, artifact_sizes
from harness.specs import Compressor, CompressRequest, Encoded, Facts
from harness.stages import Work

PARITY_EXAMPLES = 32
CALIBRATION_EXAMPLES = 256
_MODEL_FILES = frozenset({"config.json", NAME})


def run(work: Work) -> Facts:
    """Output `out`: an artifact of the format that the compressor produces."""
    source = work.inputs["source"]
    before = read_artifact(source)
    spec = work.registry.compressor(work.options["compressor"])
    task = work.options["task"]["use"]
    examples = read_examples(work.inputs["data"])
    original = load_answerer(source, task, work.registry, work.threads)
    encoded = original.encode(examples[: max(PARITY_EXAMPLES, CALIBRATION_EXAMPLES if spec.calibrates else 0)])
    parity = encoded[:PARITY_EXAMPLES]
    out = work.output()
    compressor: Compressor = spec.load()
    facts = compressor.compress(
        CompressRequest(
            source=source,
            out=out,
            artifact=before.as_json(),
            params=spec.params(**work.options["params"]),
            seed=int(work.stage.seed or 0),
            arrays=[original.collate(parity[i : i + 8]) for i in range(0, len(parity), 8)],
            calibration=[original.collate([item]) for item in encoded] if spec.calibrates else [],
            student=lambda: work.registry.student(before.student).load().load(source, before.head),
        )
    )
    _copy_encoder(source, out)
    after = Artifact(**{**before.__dict__, "format": spec.produces})
    after.write(out)
    compressed = load_answerer(out, task, work.registry, work.threads)
    return {**facts, "parity": _parity(original, compressed, parity), "sizes": artifact_sizes(out)}


def _copy_encoder(source: Path, out: Path) -> None:
    for path in source.iterdir():
        model = path.name in _MODEL_FILES or path.name.endswith(MODEL_SUFFIXES)
        if path.is_file() and not model and not (out / path.name).exists():
            shutil.copyfile(path, out / path.name)


def _parity(original: Answerer, compressed: Answerer, encoded: list[Encoded]) -> dict[str, Any]:
    """How far the answers moved: against the source, and between batch 1 and a padded batch."""
    one = _logits(original, encoded, 1)
    new = _logits(compressed, encoded, 1)
    batched = _logits(compressed, encoded, len(encoded))
    return {
        "examples": len(encoded),
        "max_difference": float(np.abs(new - one).max()),
        "mean_difference": float(np.abs(new - one).mean()),
        "spread": float(one.std()),
        "same_answer": float((new.argmax(-1) == one.argmax(-1)).mean()),
        "batch_shift": float(np.abs(batched - new).max()),
    }


def _logits(answerer: Answerer, encoded: list[Encoded], size: int) -> np.ndarray:
    rows: list[np.ndarray] = []
    for i in range(0, len(encoded), size):
        items = encoded[i : i + size]
        rows += answerer.units(items, answerer.forward(answerer.collate(items)))
    return np.stack(rows)
