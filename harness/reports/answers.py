"""What single examples were answered, as far as records tell: right or wrong, the same as another row, how sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.records import read_confidence, read_samples
from harness.specs import Metric

Json = Mapping[str, Any]
Score = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]  # samples [n, k], weights [r, n] → {name: [r]}
BLOCK = 512  # examples that are scored one by one at a time
WHOLE = 1 - 1e-9  # of a metric in [0, 1]


@dataclass(frozen=True, eq=False)
class Answers:
    """One cell's answers. `said` are class ids [n, 1] where `gold` is known, else the task's samples [n, k]."""

    examples: str  # digest of their ids
    right: np.ndarray  # bool [n]
    said: np.ndarray
    gold: np.ndarray | None  # class ids [n]
    confidence: np.ndarray | None  # probability of what was said [n]


@dataclass(frozen=True, eq=False)
class Judge:
    """Tells right answers from others: an example is right where adding it to a faultless one costs nothing.

    So an example in which there is nothing to find, and nothing was found, is right as well.
    """

    score: Score
    metric: str
    faultless: np.ndarray  # samples of one example [k]

    def right(self, samples: np.ndarray) -> np.ndarray:
        """Samples [n, k] → bool [n]."""
        kinds, which = np.unique(samples, axis=0, return_inverse=True)
        found: np.ndarray = _one_by_one(self.score, self.metric, kinds, self.faultless) >= WHOLE
        return found[which.reshape(-1)]


def by_seed(cells: Sequence[Json], classes: int, judge: Judge | None) -> dict[str, Answers]:
    """Seed → its answers; of cells without a score, and of those whose answers nothing can judge, none.

    `classes`: how many there are, 0 where samples are not (gold class, predicted class, …).
    """
    scored = [cell for cell in cells if cell["quality"]]
    found = {str(cell["axes"]["seed"]): _answers(cell["quality"], classes, judge) for cell in scored}
    return {seed: answers for seed, answers in found.items() if answers is not None}


def judge(metrics: Sequence[Metric], score: Score, cells: Sequence[Json]) -> Judge | None:
    """By the first metric in percent under which some example alone is faultless; None where there is none."""
    for metric in (metric for metric in metrics if metric.unit == "%" and metric.higher_is_better):
        for cell in (cell for cell in cells if cell["quality"]):
            samples = np.unique(read_samples(cell["quality"]["samples"]), axis=0)
            whole = np.flatnonzero(_one_by_one(score, metric.name, samples) >= WHOLE)
            if whole.size:
                return Judge(score, metric.name, samples[whole[0]])
    return None


def class_count(run: Json, cells: Sequence[Json]) -> int:
    """How many classes samples name; 0 where the answers of the run's task are no classes."""
    tested = [data for data in run["task"]["data"] if "test" in data["counts"]]
    count = len(tested[0]["labels"]) if tested and run["task"]["head"] == "sequence" else 0
    scored = [read_samples(cell["quality"]["samples"]) for cell in cells if cell["quality"]]
    return count if all(_are_classes(samples, count) for samples in scored) else 0


def _answers(quality: Json, classes: int, judge: Judge | None) -> Answers | None:
    samples = read_samples(quality["samples"])
    examples = str(quality["examples"])
    confidence = read_confidence(quality)
    if classes:
        gold, said = samples[:, 0], samples[:, 1]
        return Answers(examples, gold == said, samples[:, 1:2], gold.astype(np.int64), confidence)
    return None if judge is None else Answers(examples, judge.right(samples), samples, None, confidence)


def _are_classes(samples: np.ndarray, classes: int) -> bool:
    ids = samples[:, :2]
    return samples.shape[1] > 1 and bool(((ids >= 0) & (ids < classes) & (ids == np.floor(ids))).all())


def _one_by_one(score: Score, metric: str, samples: np.ndarray, beside: np.ndarray | None = None) -> np.ndarray:
    """The metric of each example alone, or of it and `beside` together: [n]."""
    found = []
    for start in range(0, len(samples), BLOCK):
        block = samples[start : start + BLOCK]
        weights = np.eye(len(block))
        if beside is not None:
            block = np.concatenate([block, beside[None]])
            weights = np.hstack([weights, np.ones((len(weights), 1))])
        found.append(score(block, weights)[metric])
    return np.concatenate(found)
