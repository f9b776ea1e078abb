"""Scores of classification from (gold, predicted, loss) of every example, under any number of weightings at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness import Facts, StageError

_NO_LOSS = 2  # columns of samples of scoring version 1


def to_samples(gold: Sequence[int | None], outputs: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """Gold ids and logits, n × [C] → float64 [n, 3]: gold id, id of the largest logit (the first of equals), loss.

    The loss is the cross-entropy of the gold class, -ln softmax(logits)[gold].

    StageError where an example has no label, a logit is not finite, or an output has not C of them.
    """
    missing = sum(value is None for value in gold)
    if missing:
        msg = f"{missing} of {len(gold)} examples have no label: they cannot be scored"
        raise StageError(msg)
    if len(outputs) != len(gold) or any(np.shape(output) != (classes,) for output in outputs):
        shapes = sorted({np.shape(output) for output in outputs})
        msg = f"{len(outputs)} outputs of shape {shapes} for {len(gold)} examples of {classes} classes"
        raise StageError(msg)
    logits = np.array(outputs, dtype=np.float64).reshape(-1, classes)  # [n, C]
    broken = int((~np.isfinite(logits)).any(axis=1).sum())
    if broken:
        msg = f"{broken} of {len(gold)} outputs are not finite: the model diverged or its artifact is damaged"
        raise StageError(msg)
    ids = np.array(gold, dtype=np.int64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(ids)), ids]
    return np.stack([ids, logits.argmax(axis=1), losses], axis=1)


def weighted_metrics(samples: np.ndarray, weights: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Every metric under every weighting: samples [n, 3], weights [r, n] → accuracy, macro_f1 and loss, each [r].

    F1 of a class is 2·tp / (gold + predicted); the macro mean is over the classes that occur in gold or predictions
    of the weighted sample, which is scikit-learn's `f1_score(average='macro')`. A row of zero weights gives nan.
    Records of scoring version 1 have samples [n, 2] and no loss; their reports are made as they were.
    """
    weights = np.asarray(weights, dtype=np.float64)
    gold, predicted = _one_hot(samples[:, 0], classes), _one_hot(samples[:, 1], classes)  # [n, C]
    right, ends = np.hsplit(weights @ np.concatenate([gold * predicted, gold + predicted], axis=1), 2)  # each [r, C]
    total = weights.sum(axis=1)
    f1 = np.divide(2 * right, ends, out=np.zeros_like(right), where=ends > 0)
    found = {
        "accuracy": _ratio(right.sum(axis=1), total),
        "macro_f1": _ratio(f1.sum(axis=1), (ends > 0).sum(axis=1).astype(np.float64)),
    }
    if samples.shape[1] > _NO_LOSS:
        found["loss"] = _ratio(weights @ samples[:, 2], total)
    return found


def class_details(samples: np.ndarray, labels: tuple[str, ...]) -> Facts:
    """Per-class precision, recall, F1 (0 where undefined) and support; confusion matrix, a row for each gold class."""
    size = len(labels)
    ids = samples.astype(np.int64)
    confusion = np.bincount(ids[:, 0] * size + ids[:, 1], minlength=size * size).reshape(size, size)
    right = np.diag(confusion).astype(np.float64)
    support, claimed = confusion.sum(axis=1), confusion.sum(axis=0)
    columns = {
        "precision": _ratio(right, claimed, undefined=0.0),
        "recall": _ratio(right, support, undefined=0.0),
        "f1": _ratio(2 * right, support + claimed, undefined=0.0),
    }
    return {
        "classes": list(labels),
        "per_class": {
            label: {name: float(values[index]) for name, values in columns.items()} | {"support": int(support[index])}
            for index, label in enumerate(labels)
        },
        "confusion": confusion.tolist(),
    }


def softmax(logits: np.ndarray) -> np.ndarray:
    """Logits [C] → probabilities [C], without overflow."""
    wide = np.asarray(logits, dtype=np.float64)
    powers = np.exp(wide - wide.max())
    probabilities: np.ndarray = powers / powers.sum()
    return probabilities


def _one_hot(ids: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[ids.astype(np.int64)]


def _ratio(above: np.ndarray, below: np.ndarray, undefined: float = np.nan) -> np.ndarray:
    ratio: np.ndarray = np.divide(above, below, out=np.full(above.shape, undefined), where=below > 0)
    return ratio
