"""Batches of similar length: who goes together, padded to the longest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.specs import Arrays, Encoded

if TYPE_CHECKING:
    from harness.text import TokenIds

Rows = np.ndarray  # int64 [B]: positions of examples


def bucketed(lengths: np.ndarray, batch_size: int, rng: np.random.Generator, window: int = 50) -> list[Rows]:
    """One epoch: every example once, in random order, batch mates of similar length.

    Shuffles, sorts by length within windows of `window` batches, cuts, shuffles the batches. Only the last window
    may give a batch that is not full. lengths [N] → positions, each [≤ batch_size].
    """
    order = rng.permutation(len(lengths))
    batches: list[Rows] = []
    for start in range(0, len(order), batch_size * window):
        mates = order[start : start + batch_size * window]
        batches += _cut(mates[np.argsort(lengths[mates], kind="stable")], batch_size)
    return [batches[i] for i in rng.permutation(len(batches))]


def balanced(kinds: np.ndarray) -> np.ndarray:
    """Chances of windows to be drawn, by the rarest kind of label in each: 1 / log(1 + windows that have it).

    kinds bool [W, K] → float64 [W], sum 1. A window without any gets the least chance that another has; the logarithm
    keeps rare kinds from being all there is.
    """
    weights = kinds * (1 / np.log1p(np.maximum(1, kinds.sum(axis=0))))  # [W, K]
    chances: np.ndarray = weights.max(axis=1, initial=0.0)
    chances[chances == 0] = chances[chances > 0].min(initial=1.0)
    chances /= chances.sum()
    return chances


def sorted_batches(lengths: np.ndarray, batch_size: int, tokens: int | None = None) -> list[Rows]:
    """For inference: longest first (the largest batch fails early), every example once.

    A batch has at most `tokens` with its padding, unless one example has more: mates of similar length waste less.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    if tokens is None:
        return _cut(order, batch_size)
    batches: list[Rows] = []
    at = 0
    while at < len(order):
        count = min(batch_size, max(1, tokens // max(1, int(lengths[order[at]]))))
        batches.append(order[at : at + count])
        at += count
    return batches


def _cut(order: np.ndarray, batch_size: int) -> list[Rows]:
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def collate(encoded: Sequence[Encoded], pad: Mapping[str, int], length: int | None = None) -> Arrays:
    """Stack arrays of natural length into int64 [B, longest of the batch, or `length`], filled up with `pad`."""
    longest = max(item.length for item in encoded) if length is None else length
    arrays = {name: np.full((len(encoded), longest), value, dtype=np.int64) for name, value in pad.items()}
    for name, array in arrays.items():
        for row, item in enumerate(encoded):
            array[row, : item.length] = item.arrays[name]
    return arrays


def drop_tokens(ids: np.ndarray, tokens: TokenIds, share: float, rng: np.random.Generator) -> np.ndarray:
    """Replace a share of the ids that are not special by the unknown token; ids [B, L] → a new [B, L]."""
    dropped = (rng.random(ids.shape) < share) & ~np.isin(ids, tokens.special)
    return np.where(dropped, tokens.unknown, ids)
