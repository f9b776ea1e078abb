"""How sure each answer was: from stored logits into a record, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.records.samples import check_samples, packed, read_samples, samples_shape

STEPS = 10_000  # of a probability: whole numbers take a fraction of the bytes
Json = dict[str, Any]


def recorded_confidence(logits: np.ndarray) -> Json | None:
    """Logits [n, C] → the probability of the likeliest class, packed; None where one is not finite."""
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        return None
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return packed(np.rint(STEPS / powers.sum(axis=1, keepdims=True)).astype(np.int64))


def read_confidence(quality: Mapping[str, Any]) -> np.ndarray | None:
    """A cell's quality → probabilities [n]; None where the record holds none."""
    recorded = quality.get("confidence")
    return None if recorded is None else read_samples(recorded)[:, 0] / STEPS


def check_confidence(recorded: Any) -> Any:
    """What a record holds, back as it is. ValueError unless it is packed probabilities, one per example."""
    if not isinstance(recorded, dict):
        msg = "confidence is not packed"
        raise ValueError(msg)
    check_samples(recorded)
    values = read_samples(recorded)
    if samples_shape(recorded)[1] != 1 or values.min() < 0 or values.max() > STEPS:
        msg = f"confidence is {values.shape[1]} figures per example from {values.min():g} to {values.max():g}; "
        msg += f"expected one, from 0 to {STEPS}"
        raise ValueError(msg)
    return recorded
