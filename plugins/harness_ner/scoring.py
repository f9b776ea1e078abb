"""Entities found, missed and made up, counted by seqeval and scored under any number of weightings at once.

For T types the samples [n, T × (4 + T)] hold, per sentence and type: gold entities, predicted ones, predicted in
strict mode, right in strict mode; then of the gold entities those whose boundaries were predicted, by predicted type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness import Facts, StageError

NO_SPAN = "no entity"  # of the confusion: what the other side has no entity of the same boundaries for
_GOLD, _SAID, _SAID_STRICT, _RIGHT_STRICT, _READ_AS = range(5)

Tags = Sequence[Sequence[str]]
Places = Mapping[tuple[int, int, int], str]  # (sentence, first word, last word) → type


def predicted_tags(outputs: Sequence[np.ndarray], sizes: Sequence[int], labels: tuple[str, ...]) -> list[list[str]]:
    """Logits, n × [words, C] → the tag of the largest of each word (the first of equals).

    StageError where a sentence has other words than rows, or a logit is not finite.
    """
    shapes = [np.shape(output) for output in outputs]
    wrong = [(shape, size) for shape, size in zip(shapes, sizes, strict=True) if shape != (size, len(labels))]
    if wrong:
        shape, size = wrong[0]
        msg = f"{len(wrong)} of {len(sizes)} outputs do not fit: {shape} for {size} words of {len(labels)} classes"
        raise StageError(msg)
    if not outputs:
        return []
    logits = np.concatenate(outputs)  # [words, C]
    if not np.isfinite(logits).all():
        msg = "outputs are not finite: the model diverged or its artifact is damaged"
        raise StageError(msg)
    ends = np.cumsum(sizes)
    names = np.array(labels, dtype=object)[logits.argmax(axis=1)]
    return [part.tolist() for part in np.split(names, ends[:-1])]


def to_samples(gold: Tags, said: Tags, types: tuple[str, ...]) -> np.ndarray:
    """BIO tags, gold and predicted → float64 [n, T × (4 + T)]."""
    size = len(types)
    column = {name: index for index, name in enumerate(types)}
    samples = np.zeros((len(gold), size, _READ_AS + size))
    right, found, found_strict = default_mode(gold), default_mode(said), strict_mode(said)
    counted = ((_GOLD, right), (_SAID, found), (_SAID_STRICT, found_strict))
    for kind, places in counted:
        for (sentence, _, _), name in places.items():
            samples[sentence, column[name], kind] += 1
    for place, name in right.items():
        samples[place[0], column[name], _RIGHT_STRICT] += found_strict.get(place) == name
        if place in found:
            samples[place[0], column[name], _READ_AS + column[found[place]]] += 1
    return samples.reshape(len(gold), size * (_READ_AS + size))


def default_mode(tags: Tags) -> Places:
    """The entities that seqeval finds by default, which are conlleval's."""
    from seqeval.metrics.sequence_labeling import get_entities  # a second, and scikit-learn: only where scores are made

    begins = np.cumsum([0, *(len(sentence) + 1 for sentence in tags)])
    entities = get_entities([tag for sentence in tags for tag in (*sentence, "O")])
    sentences = np.searchsorted(begins, [first for _, first, _ in entities], side="right") - 1
    return {
        (sentence, first - begin, last - begin): name
        for (name, first, last), sentence, begin in zip(
            entities, sentences.tolist(), begins[sentences].tolist(), strict=True
        )
    }


def strict_mode(tags: Tags) -> Places:
    """The entities that seqeval finds in mode strict with scheme IOB2."""
    from seqeval.scheme import IOB2, Entities

    named = [index for index, sentence in enumerate(tags) if any(tag != "O" for tag in sentence)]
    entities = Entities([list(tags[index]) for index in named], scheme=IOB2).entities
    return {
        (index, entity.start, entity.end - 1): entity.tag
        for index, sentence in zip(named, entities, strict=True)
        for entity in sentence
    }


def weighted_metrics(
    samples: np.ndarray, weights: np.ndarray, types: tuple[str, ...], critical: Sequence[str]
) -> dict[str, np.ndarray]:
    """Every metric under every weighting: samples [n, T × (4 + T)], weights [r, n] → {name: [r]} in [0, 1].

    As with seqeval, a share of nothing is 0.
    """
    counts = _counts(samples, types)  # [n, T, 6]
    chosen = counts[:, [types.index(name) for name in critical]]  # [n, K, 6]
    sums = np.concatenate([counts.sum(axis=1), chosen.sum(axis=1)], axis=1)  # [n, 12]
    totals = (np.asarray(weights, dtype=np.float64) @ sums).T  # [12, r]
    gold, said, right, said_strict, right_strict, _ = totals[:6]
    gold_k, said_k, right_k, _, _, blind_k = totals[6:]
    return {
        "f1": _share(2 * right, gold + said),
        "precision": _share(right, said),
        "recall": _share(right, gold),
        "f1_strict": _share(2 * right_strict, gold + said_strict),
        "f1_critical": _share(2 * right_k, gold_k + said_k),
        "precision_critical": _share(right_k, said_k),
        "recall_critical": _share(right_k, gold_k),
        "coverage": _share(right_k, gold_k),
        "coverage_blind": _share(blind_k, gold_k),
    }


def type_details(samples: np.ndarray, types: tuple[str, ...], critical: Sequence[str]) -> Facts:
    """Per type precision, recall, F1, support and whether it is critical; the confusion of types (rows: gold).

    The last class of the confusion is for entities whose boundaries the other side does not have.
    """
    counts = _table(samples, types).sum(axis=0)  # [T, 4 + T]
    gold, said, read_as = counts[:, _GOLD], counts[:, _SAID], counts[:, _READ_AS:]
    right = np.diag(read_as)
    missed, made_up = gold - read_as.sum(axis=1), said - read_as.sum(axis=0)
    confusion = np.block([[read_as, missed[:, None]], [made_up[None], np.zeros((1, 1))]])
    columns = {
        "precision": _share(right, said),
        "recall": _share(right, gold),
        "f1": _share(2 * right, gold + said),
    }
    return {
        "classes": [*types, NO_SPAN],
        "per_class": {
            name: {title: float(values[index]) for title, values in columns.items()}
            | {"support": int(gold[index]), "critical": "yes" if name in critical else "no"}
            for index, name in enumerate(types)
        },
        "confusion": confusion.astype(np.int64).tolist(),
    }


def constant_f1(gold: Tags) -> float:
    """The best F1 of calling every word an entity of one and the same type."""
    words = sum(map(len, gold))
    entities = default_mode(gold)
    single = [name for (_, first, last), name in entities.items() if first == last]
    return max((2 * single.count(name) / (words + len(entities)) for name in set(single)), default=0.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Logits [words, C] → probabilities [words, C], without overflow."""
    wide = np.asarray(logits, dtype=np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _table(samples: np.ndarray, types: tuple[str, ...]) -> np.ndarray:
    return samples.reshape(len(samples), len(types), _READ_AS + len(types))


def _counts(samples: np.ndarray, types: tuple[str, ...]) -> np.ndarray:
    """[n, T, 6]: gold, predicted, right; predicted and right in strict mode; right but for the type."""
    table = _table(samples, types)
    read_as = table[:, :, _READ_AS:]  # [n, T, T]
    right = np.diagonal(read_as, axis1=1, axis2=2)  # [n, T]
    said_strict, right_strict = table[:, :, _SAID_STRICT], table[:, :, _RIGHT_STRICT]
    return np.stack(
        [table[:, :, _GOLD], table[:, :, _SAID], right, said_strict, right_strict, read_as.sum(axis=2)], axis=2
    )


def _share(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    share: np.ndarray = np.divide(above, below, out=np.zeros(below.shape), where=below > 0)
    return share
