"""Questions → roles, by whole articles or contexts: a text is never learned from and asked about."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from harness import Role
from harness_qa.questions import Question

Pool = list[Question]
ARTICLES = 3  # titles that tell articles apart; fewer are names of a collection


def groups(pool: Sequence[Question], seed: int) -> list[Pool]:
    """Questions that belong together, in the order of a hash: those of one article, else of one context."""
    titles = {question.title for question in pool}
    by_title = len(titles) >= ARTICLES and "" not in titles
    found: dict[str, Pool] = defaultdict(list)
    for question in pool:
        found[question.title if by_title else question.context].append(question)
    return [found[key] for key in sorted(found, key=lambda key: (_rank(key, seed), key))]


def _rank(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()


def ordered(pool: Sequence[Question], seed: int) -> Pool:
    """The pool group by group, so that a shorter beginning is part of a longer one."""
    return [question for group in groups(pool, seed) for question in group]


def carve(pool: Sequence[Question], size: int, seed: int) -> tuple[Pool, Pool]:
    """(part, rest): whole groups until the part has at least `size` questions; the rest keeps at least one group."""
    part: Pool = []
    found = groups(pool, seed)
    while len(found) > 1 and len(part) < size:
        part += found.pop(0)
    return part, [question for group in found for question in group]


def apart(pools: Mapping[Role, Pool]) -> dict[Role, Pool]:
    """Without the questions of train and dev whose context is in test, or of train whose context is in dev."""
    test = {question.context for question in pools.get("test", [])}
    dev = [question for question in pools.get("dev", []) if question.context not in test]
    taken = test | {question.context for question in dev}
    train = [question for question in pools.get("train", []) if question.context not in taken]
    return {"train": train, "dev": dev, "test": list(pools.get("test", []))}
