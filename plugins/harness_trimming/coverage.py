"""What texts need of a vocabulary, and what a smaller one makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from tokenizers import Tokenizer

from harness import Facts

_AT_ONCE = 1000  # texts that are tokenised in parallel


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> Counter[int]:
    """How often each token id occurs, without those around texts."""
    counts: Counter[int] = Counter()
    for encoding in _encodings(tokenizer, texts):
        counts.update(encoding.ids)
    return counts


def alphabet(tokenizer: Tokenizer, texts: Sequence[str]) -> set[str]:
    """Every character that is left of the texts after normalisation."""
    normaliser = tokenizer.normalizer
    return {character for text in texts for character in (normaliser.normalize_str(text) if normaliser else text)}


def coverage(before: Tokenizer, after: Tokenizer, new: Mapping[int, int], unknown: int, texts: Sequence[str]) -> Facts:
    """Shares of the texts' tokens that are still cut out alike, and of their characters that are unknown now.

    `new`: old id → new id; `unknown`: new id.
    """
    tokens = same = characters = lost = 0
    for old, now in zip(_encodings(before, texts), _encodings(after, texts), strict=True):
        tokens += len(old.ids)
        renamed = [new.get(at, -1) for at in old.ids]
        same += len(renamed) if renamed == now.ids else len(_places(renamed, old) & _places(now.ids, now))
        characters += sum(end - start for start, end in now.offsets)
        lost += sum(end - start for at, (start, end) in zip(now.ids, now.offsets, strict=True) if at == unknown)
    return {
        "texts": len(texts),
        "tokens": tokens,
        "same_tokens": same / max(1, tokens),
        "unknown_characters": lost / max(1, characters),
    }


def _places(ids: Iterable[int], encoding: Any) -> set[tuple[int, tuple[int, int]]]:
    return set(zip(ids, encoding.offsets, strict=True))


def _encodings(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[Any]:
    remaining = iter(texts)
    while batch := list(islice(remaining, _AT_ONCE)):
        yield from tokenizer.encode_batch(batch, add_special_tokens=False)
