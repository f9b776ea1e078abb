"""A layer of BILOU tags over words for every type: mentions → layers, logits → legal layers → mentions.

Layers are int8 [words, T] of the classes O, B, I, L, U. Within a layer mentions share no word; between layers they may
nest and cross as they like.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness import StageError

CLASSES = ("O", "B", "I", "L", "U")
_O, _B, _I, _L, _U = range(5)
_TOGETHER = 64  # examples that are decoded at once: of similar length, so that padding is small

Entity = tuple[int, int, str]  # first character, last + 1, type
KEPT = "kept"


def labels_of(types: Sequence[str]) -> tuple[str, ...]:
    """The columns of a model's output: five of each type, `AGE:O`, `AGE:B`, …"""
    return tuple(f"{kind}:{name}" for kind in types for name in CLASSES)


def types_of(labels: Sequence[str]) -> tuple[str, ...]:
    """The types of such columns. StageError where the columns are others."""
    types = tuple(label.rpartition(":")[0] for label in labels[:: len(CLASSES)])
    if labels_of(types) != tuple(labels):
        msg = f"labels {list(labels[:6])}… where five of each type were expected, such as {labels_of(['AGE'])}"
        raise StageError(msg)
    return types


# ---------------------------------------------------------------------------------------------------------- encoding


def encode(
    words: Sequence[Sequence[int]], size: int, entities: Sequence[Entity], types: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """Words of a text of `size` characters, mentions → (layers, what became of each mention).

    Of mentions of a type that share a word the longest is kept, of equally long ones the first. Mentions that reach out
    of the text, or begin or end elsewhere than words do, have no place in a layer.
    """
    layers = np.zeros((len(words), len(types)), dtype=np.int8)
    begins = {word[0]: index for index, word in enumerate(words)}
    ends = {word[1]: index for index, word in enumerate(words)}
    column = {kind: index for index, kind in enumerate(types)}
    fates = [""] * len(entities)
    kept: dict[str, list[Entity]] = {kind: [] for kind in types}
    for index in sorted(range(len(entities)), key=lambda index: _rank(entities[index])):
        begin, end, kind = entities[index]
        fates[index] = fate = _fate(entities[index], size, begin in begins and end in ends, kept[kind])
        if fate == KEPT:
            kept[kind].append(entities[index])
            _write(layers[:, column[kind]], begins[begin], ends[end])
    return layers, fates


def _rank(entity: Entity) -> tuple[int, int, str]:
    begin, end, kind = entity
    return begin - end, begin, kind


def _fate(entity: Entity, size: int, fits: bool, rivals: Sequence[Entity]) -> str:
    """What becomes of a mention. Rivals are of its type, kept, and at least as long."""
    begin, end, _ = entity
    if begin < 0 or end > size:
        return "crosses_border"
    if not fits:
        return "cuts_word"
    over = [rival for rival in rivals if rival[0] < end and begin < rival[1]]
    if not over:
        return KEPT
    inside = any(rival[0] <= begin and end <= rival[1] for rival in over)
    return "nested_in_its_type" if inside else "crosses_its_type"


def _write(layer: np.ndarray, first: int, last: int) -> None:
    if first == last:
        layer[first] = _U
        return
    layer[first], layer[last] = _B, _L
    layer[first + 1 : last] = _I


# ---------------------------------------------------------------------------------------------------------- decoding


def decode(outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Logits, n × [words, 5·T] → the likeliest legal layers of each, int8 [words, T].

    Viterbi with the model's own log-probabilities and no others. Their normalizers are the same for every path, so that
    logits serve as well; and whether a mention is open is all that a path has to remember. Of equally likely layers the
    one with fewer open mentions is taken.
    """
    order = sorted(range(len(outputs)), key=lambda index: len(outputs[index]))
    decoded: list[np.ndarray] = [np.zeros((0, 0), dtype=np.int8)] * len(outputs)
    for start in range(0, len(order), _TOGETHER):
        mates = order[start : start + _TOGETHER]
        layers = _best(_padded([outputs[index] for index in mates]))
        for index, own in zip(mates, layers, strict=True):
            decoded[index] = own[: len(outputs[index])]
    return decoded


def _padded(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """float64 [n, longest, T, 5]; behind its end a text has no mention."""
    types = outputs[0].shape[1] // len(CLASSES)
    padded = np.zeros((len(outputs), max(map(len, outputs)), types, len(CLASSES)))
    padded[..., _B:] = -np.inf
    for row, output in zip(padded, outputs, strict=True):
        row[: len(output)] = np.asarray(output).reshape(len(output), types, len(CLASSES))
    return padded


def _best(logits: np.ndarray) -> np.ndarray:
    """[n, words, T, 5] → int8 [n, words, T]."""
    count, words, types, _ = logits.shape
    closed, opened = np.zeros((count, types)), np.full((count, types), -np.inf)
    left = np.zeros((words, count, types), dtype=bool)  # is a mention closed by this word, if none is open behind it?
    stayed = np.zeros((words, count, types), dtype=bool)  # was one open before it, if one is open behind it?
    alone = np.where(logits[..., _U] > logits[..., _O], _U, _O).astype(np.int8)  # the better class outside of mentions
    outside = np.maximum(logits[..., _O], logits[..., _U])
    for word in range(words):
        here = logits[:, word]
        ends, goes_on = opened + here[..., _L], opened + here[..., _I]
        passes, begins = closed + outside[:, word], closed + here[..., _B]
        left[word], stayed[word] = ends > passes, goes_on > begins
        closed, opened = np.maximum(ends, passes), np.maximum(goes_on, begins)
    layers = np.zeros((count, words, types), dtype=np.int8)
    inside = np.zeros((count, types), dtype=bool)  # is a mention open behind the word?
    for word in reversed(range(words)):
        before = np.where(inside, stayed[word], left[word])
        layers[:, word] = np.where(inside, np.where(before, _I, _B), np.where(before, _L, alone[:, word]))
        inside = before
    return layers


def mentions(layers: np.ndarray) -> list[tuple[int, int, int]]:
    """(first word, last + 1, type's number) of every mention of legal layers [words, T]: type after type, in order."""
    by_type = layers.T
    kinds, firsts = np.nonzero((by_type == _B) | (by_type == _U))
    _, lasts = np.nonzero((by_type == _L) | (by_type == _U))
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), kinds.tolist(), strict=True))


def shares(output: np.ndarray) -> np.ndarray:
    """Logits [words, 5·T] → the probability that a word belongs to a mention of a type, float64 [words, T]."""
    logits = np.asarray(output, dtype=np.float64).reshape(len(output), -1, len(CLASSES))
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    inside: np.ndarray = powers[..., _B:].sum(axis=-1) / powers.sum(axis=-1)
    return inside
