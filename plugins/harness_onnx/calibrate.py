"""Which values activations take on calibration texts, and which of them 8 bits are to tell apart.

ONNX Runtime's own calibrators want texts of one length and keep all activations of all texts until the end: gigabytes
for a few hundred. Here one text is looked at at a time; what stays is a histogram of each activation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import onnx
import onnxruntime as ort

from harness import Arrays, StageError
from harness_onnx.runtime import session_options

Method = Literal["minmax", "percentile", "entropy"]
Range = tuple[float, float]
BINS = 2048  # of the absolute values
LEVELS = 128  # that 8 bits have for absolute values
_STEP = 8  # bins by which thresholds are tried


def ranges(
    model: onnx.ModelProto, names: Sequence[str], texts: Sequence[Arrays], method: Method, percentile: float
) -> dict[str, Range]:
    """(lowest, highest) of each named activation over the texts. StageError where one is not a finite number."""
    session = watched(model, names)
    found = _extremes(session, names, texts)
    if method == "minmax":
        return found
    counts = _histograms(session, found, texts)
    return {name: narrowed(counts[name], found[name], method, percentile) for name in names}


def watched(model: onnx.ModelProto, names: Sequence[str]) -> ort.InferenceSession:
    """The graph with these values as its only outputs; one thread, so that sums are the same each time."""
    looking = onnx.ModelProto()
    looking.CopyFrom(model)
    looking.graph.ClearField("output")
    looking.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    try:
        return ort.InferenceSession(
            looking.SerializeToString(), session_options(threads=1), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's errors share no other base
        msg = f"the graph cannot be watched for calibration: {error}"
        raise StageError(msg) from error


def _looks(session: ort.InferenceSession, texts: Sequence[Arrays]) -> Iterator[list[np.ndarray]]:
    """The activations of one text after another."""
    inputs = [entry.name for entry in session.get_inputs()]
    for arrays in texts:
        yield session.run(None, {name: arrays[name] for name in inputs})


def _extremes(session: ort.InferenceSession, names: Sequence[str], texts: Sequence[Arrays]) -> dict[str, Range]:
    lows, highs = [], []
    for values in _looks(session, texts):
        lows.append([value.min() for value in values])
        highs.append([value.max() for value in values])
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    for name, ends in zip(names, np.stack([low, high], 1), strict=True):
        if not np.isfinite(ends).all():
            msg = f"activation '{name}' reaches {ends.tolist()} on training texts: 8 bits cannot hold that"
            raise StageError(msg)
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def _histograms(
    session: ort.InferenceSession, found: dict[str, Range], texts: Sequence[Arrays]
) -> dict[str, np.ndarray]:
    """Counts [2 · BINS] of each activation between minus and plus its largest absolute value."""
    counts = {name: np.zeros(2 * BINS, np.int64) for name in found}
    for values in _looks(session, texts):
        for (name, ends), value in zip(found.items(), values, strict=True):
            counts[name] += np.histogram(value, 2 * BINS, (-_largest(ends), _largest(ends)))[0]
    return counts


def _largest(ends: Range) -> float:
    return max(-ends[0], ends[1], float(np.finfo(np.float32).tiny))


def narrowed(counts: np.ndarray, ends: Range, method: Method, percentile: float) -> Range:
    """The part of a range that is worth 8 bits; counts [2 · BINS] lie between minus and plus the larger end."""
    edges = np.linspace(-_largest(ends), _largest(ends), len(counts) + 1)
    if method == "percentile":
        low, high = _within(counts, percentile)
    else:
        kept = least_divergence(counts[BINS:] + counts[BINS - 1 :: -1])
        low, high = BINS - kept, BINS + kept
    return max(ends[0], float(edges[low])), min(ends[1], float(edges[high]))


def _within(counts: np.ndarray, percentile: float) -> tuple[int, int]:
    """Edges between which that much of all values lies; half of the rest is cut at each side."""
    cut = (1 - percentile / 100) / 2 * counts.sum()
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])
    return int(np.argmax(below > cut)), len(counts) - int(np.argmax(above > cut))


def least_divergence(counts: np.ndarray) -> int:
    """How many of the lowest bins of absolute values to keep: with least loss of information (Migacz 2017).

    What lies above counts as the highest value that is kept, as it does when it is quantized. The kept bins are
    told apart by LEVELS levels, and compared with themselves by Kullback–Leibler divergence.
    """
    kept: list[int] = [*range(LEVELS, len(counts), _STEP), len(counts)]
    return min(kept, key=lambda number: _divergence(counts, number))


def _divergence(counts: np.ndarray, kept: int) -> float:
    inside = counts[:kept].astype(float)
    clipped = inside.copy()
    clipped[-1] += counts[kept:].sum()
    level = np.arange(kept) * LEVELS // kept  # of each bin
    filled = np.bincount(level, inside > 0, LEVELS)
    shared = np.bincount(level, inside, LEVELS) / np.maximum(filled, 1)
    told = np.where(inside > 0, shared[level], 0.0)
    p, q = clipped / clipped.sum(), told / max(told.sum(), 1.0)
    there = p > 0
    return float((p[there] * np.log(p[there] / np.maximum(q[there], 1e-12))).sum())
