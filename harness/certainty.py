"""How much each of several teachers counts in a unit (a text, a word, a layer of a word, an end of a span).

Without labels, so that unlabelled texts do: by how little is left open in a teacher's own answer. Lower entropy at a
larger rate: Kwon et al., Adaptive Knowledge Distillation Based on Entropy, ICASSP 2020,
https://doi.org/10.1109/ICASSP40776.2020.9054698.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Weighting = Literal["mean", "confidence"]  # how several teachers become one: `TrainParams.ensemble`

# Added to every certainty: teachers that all know nothing count alike, and rounding decides nothing between them.
FLOOR = 1e-4


def confidence(logits: Sequence[np.ndarray], known: np.ndarray | None = None) -> np.ndarray:
    """Logits [U, C] of each of K teachers → weights float32 [K, U] that add up to 1 in each unit.

    w_k ∝ 1 - H(p_k) / log C, the share of the greatest possible entropy that is missing. It stays in [0, 1] where 1 / H
    has no limit, so that of two teachers who are nearly sure neither drowns the other. `known`, bool [U, C]: the
    classes that there are (C is their number then); None: all.
    """
    certain = np.stack([certainty(one, known) for one in logits]) + FLOOR  # [K, U]
    return np.asarray(certain / certain.sum(axis=0), dtype=np.float32)


def combined(
    logits: Sequence[np.ndarray], known: np.ndarray | None = None, *, by: Weighting
) -> tuple[np.ndarray, np.ndarray]:
    """Logits [U, C] of each of K teachers → of all as one, float32 [U, C], and how much each counted, float32 [K, U].

    Their softmax is the weighted mean of the teachers' probabilities. How high they stand, which no probability tells,
    is the mean of the teachers' too: answers from several windows are chosen among by it. So teachers that agree are
    together what each of them is. `known`: as for `confidence`; elsewhere logits must be next to no probability.
    """
    alike = np.full((len(logits), len(logits[0])), 1 / len(logits), dtype=np.float32)
    weights = confidence(logits, known) if by == "confidence" else alike
    heights = [np.logaddexp.reduce(np.asarray(one, dtype=np.float64), axis=-1) for one in logits]
    height = (weights * np.stack(heights)).sum(axis=0)  # [U]
    return (together(logits, weights) + height[:, None]).astype(np.float32), weights


def together(logits: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Logits [U, C] of each of K teachers, weights [K, U] → logarithms of their mean probabilities, float64 [U, C]."""
    logs = np.stack([log_probabilities(one) for one in logits])
    return np.asarray(np.logaddexp.reduce(logs + np.log(weights.astype(np.float64))[..., None], axis=0))


def certainty(logits: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """1 - H / log C of logits [U, C] → [U]: 0 where all classes are alike, or there is but one; 1 without a doubt."""
    there = np.ones(logits.shape, dtype=bool) if known is None else known
    logs = log_probabilities(np.where(there, logits, -np.inf))
    entropy = -(np.exp(logs) * np.where(there, logs, 0)).sum(axis=-1)
    most = np.log(np.maximum(there.sum(axis=-1), 1))
    found: np.ndarray = np.clip(1 - np.divide(entropy, most, out=np.ones_like(entropy), where=most > 0), 0, 1)
    return found


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Log-softmax over the last axis, in float64."""
    wide = np.asarray(logits, dtype=np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found
