"""Questions → roles: no context in two of them, whole articles on one side, the order of files never matters."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from harness import AssetError, Role, Source
from harness_qa.questions import Question, normalise

Pool = list[Question]


def _digest(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def in_order(pool: Iterable[Question], seed: int) -> Pool:
    """The pool by hash of context and question: any beginning of it is a random part, so that slices nest."""

    def rank(item: Question) -> tuple[str, str]:
        return _digest(seed, normalise(item.context), normalise(item.question)), item.id

    return sorted(pool, key=rank)


def groups(pool: Sequence[Question]) -> list[Pool]:
    """What must stay together: articles (questions of one title), and articles that share a context.

    Where all titles are the same, as SberQuAD's are, or missing, a group is the questions of one context.
    """
    by_title = len({item.title for item in pool}) > 1
    contexts = [normalise(item.context) for item in pool]
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    names = [f"title {item.title}" if by_title and item.title else "" for item in pool]
    for name, context in zip(names, contexts, strict=True):
        if name:
            parent[root(name)] = root(f"context {context}")
    found: dict[str, Pool] = defaultdict(list)
    for item, context in zip(pool, contexts, strict=True):
        found[root(f"context {context}")].append(item)
    return list(found.values())


def carve(pool: Sequence[Question], size: int, seed: int) -> tuple[Pool, Pool]:
    """(part, rest): whole groups in the order of a hash, each that still fits into `size` questions.

    Where not even one fits, the smallest makes the part, so that it is not empty unless the pool is.
    """

    def rank(group: Pool) -> str:
        return min(_digest(seed, normalise(item.context)) for item in group)

    ordered = sorted(groups(pool), key=rank)
    chosen: list[Pool] = []
    left = size
    for group in ordered:
        if len(group) <= left:
            chosen.append(group)
            left -= len(group)
    chosen = chosen or sorted(ordered, key=len)[:1]
    part = [item for group in chosen for item in group]
    inside = {item.id for item in part}
    return part, [item for item in pool if item.id not in inside]


def without(pool: Sequence[Question], *others: Sequence[Question]) -> Pool:
    """The pool less every question whose context, normalised, is in one of the others."""
    contexts = {normalise(item.context) for other in others for item in other}
    return [item for item in pool if normalise(item.context) not in contexts]


def published(source: Source, chosen: Mapping[str, Role | None], test_from: str) -> dict[str, Role | None]:
    """The role of each file where the validation file is the test split: the test file, if any, is left out.

    AssetError when there is a train file and no validation file.
    """
    if test_from == "test" or "train" not in chosen.values():
        return dict(chosen)
    if "dev" not in chosen.values():
        msg = (
            f"{source.root}: task.test_from = 'validation', and no file's name begins with 'validation' or 'dev' "
            f"among {', '.join(map(repr, chosen))}. Add one, or set task.test_from = 'test'"
        )
        raise AssetError(msg)
    return {name: "test" if role == "dev" else role for name, role in chosen.items() if role != "test"}


def duplicates(pool: Sequence[Question]) -> int:
    """How many questions repeat another one about the same context."""
    seen = Counter((normalise(item.context), normalise(item.question)) for item in pool)
    return len(pool) - len(seen)
