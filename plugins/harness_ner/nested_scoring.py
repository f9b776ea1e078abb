"""Exact mentions, counted per example and type, and scored under any number of weightings at once.

For T types the samples [n, T × 3] hold, per example and type: gold mentions, predicted ones, right ones. A mention is
its place and its type; as sets, each counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from harness import Facts
from harness_ner.bilou import Entity

_GOLD, _SAID, _RIGHT = range(3)


def to_samples(gold: Sequence[Iterable[Entity]], said: Sequence[Iterable[Entity]], types: Sequence[str]) -> np.ndarray:
    """Mentions of each example, gold and predicted → float64 [n, T × 3]."""
    column = {name: index for index, name in enumerate(types)}
    samples = np.zeros((len(gold), len(types), 3))
    for row, right, found in zip(samples, map(set, gold), map(set, said), strict=True):
        for kind, mentions in ((_GOLD, right), (_SAID, found), (_RIGHT, right & found)):
            for _, _, name in mentions:
                row[column[name], kind] += 1
    return samples.reshape(len(gold), len(types) * 3)


def totals(samples: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Samples [n, T × 3], weights [r, n] → counts [r, T, 3]."""
    counts: np.ndarray = np.asarray(weights, dtype=np.float64) @ samples
    return counts.reshape(len(weights), -1, 3)


def over_all(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Counts [r, T, 3] → {name: [r]} in [0, 1]: all mentions together, and the mean over all types.

    A type that neither side has counts as 0 in the mean.
    """
    gold, said, right = np.moveaxis(counts.sum(axis=1), -1, 0)
    return {
        "micro_f1": share(2 * right, gold + said),
        "precision": share(right, said),
        "recall": share(right, gold),
        "macro_f1_all": of_types(counts).mean(axis=1),
    }


def apart(counts: np.ndarray, few_shot: Sequence[bool], few: int) -> dict[str, np.ndarray]:
    """RuNNE's two figures: counts [r, T, 3], which types are few-shot ones [T], how many these are → {name: [r]}.

    The mean over the others that gold has, and the mean over the few-shot types, whether gold has them or not.
    """
    f1, chosen = of_types(counts), np.asarray(few_shot, dtype=bool)
    main = (counts[..., _GOLD] > 0) & ~chosen
    return {
        "macro_f1": share((f1 * main).sum(axis=1), main.sum(axis=1)),
        "macro_f1_few_shot": (f1 * chosen).sum(axis=1) / few,
    }


def of_types(counts: np.ndarray) -> np.ndarray:
    """F1 of each type: counts [r, T, 3] → [r, T]."""
    return share(2 * counts[..., _RIGHT], counts[..., _GOLD] + counts[..., _SAID])


def type_details(samples: np.ndarray, types: Sequence[str]) -> Facts:
    """Per type precision, recall, F1 and support."""
    counts = totals(samples, np.ones((1, len(samples))))[0]  # [T, 3]
    gold, said, right = counts.T
    columns = {
        "precision": share(right, said),
        "recall": share(right, gold),
        "f1": share(2 * right, gold + said),
    }
    return {
        "per_class": {
            name: {title: float(values[index]) for title, values in columns.items()} | {"support": int(gold[index])}
            for index, name in enumerate(types)
        }
    }


def constant_counts(
    words: int, gold: Sequence[Iterable[Entity]], alone: Sequence[Iterable[Entity]], types: Sequence[str]
) -> np.ndarray:
    """What calling every word a mention of every type would count, [1, T, 3]; `alone`: gold mentions of one word."""
    counts: np.ndarray = to_samples(gold, gold, types).sum(axis=0).reshape(1, -1, 3)
    counts[..., _SAID] = words
    counts[..., _RIGHT] = to_samples(alone, alone, types).sum(axis=0).reshape(1, -1, 3)[..., _RIGHT]
    return counts


def best_micro(counts: np.ndarray) -> float:
    """The best F1 over all mentions that an answerer gets who calls every word a mention of some of the types."""
    right, said = np.sort(counts[0, :, _RIGHT])[::-1].cumsum(), counts[0, :, _SAID].cumsum()
    return float(share(2 * right, said + counts[0, :, _GOLD].sum()).max(initial=0.0))


def share(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """A share of nothing is 0."""
    found: np.ndarray = np.divide(above, below, out=np.zeros(np.shape(below)), where=np.asarray(below) > 0)
    return found
