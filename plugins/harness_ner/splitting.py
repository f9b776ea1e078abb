"""Sentences → roles: duplicates stay together where splits are cut here, the order of files never matters."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from harness_ner.reading import Sentence

Pool = list[Sentence]


def in_order(pool: Sequence[Sentence], seed: int) -> Pool:
    """The pool by hash of its words: any beginning of it is a random part, so that slices nest."""

    def rank(sentence: Sentence) -> tuple[str, str, str]:
        key = sentence.key
        return hashlib.sha256(f"{seed}\n{key}".encode()).hexdigest(), key, sentence.id

    return sorted(pool, key=rank)


def carve(pool: Sequence[Sentence], size: int, seed: int) -> tuple[Pool, Pool]:
    """(part, rest): groups of equal sentences in the order of a hash, each that still fits into `size` sentences."""
    part: Pool = []
    rest: Pool = []
    for _, group in groupby(in_order(pool, seed), key=lambda sentence: sentence.key):
        same = list(group)
        (part if len(part) + len(same) <= size else rest).extend(same)
    return part, rest


def duplicates(pool: Sequence[Sentence]) -> int:
    """How many sentences repeat another one."""
    return len(pool) - len(Counter(sentence.key for sentence in pool))


def shared(pool: Sequence[Sentence], other: Sequence[Sentence]) -> int:
    """How many sentences of the pool the other one has too."""
    keys = {sentence.key for sentence in other}
    return sum(sentence.key in keys for sentence in pool)
