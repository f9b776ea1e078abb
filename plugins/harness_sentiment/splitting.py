"""Reviews → roles: groups of duplicates stay together, classes keep their shares, the order of files never matters."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from harness_sentiment.reviews import Review

Pool = list[Review]


def rank(review: Review, seed: int) -> tuple[str, str, str, str]:
    """Where a review stands in the order of a seed: by hash of its normalised text; duplicates stand together."""
    digest = hashlib.sha256(f"{seed}\n{review.key}".encode()).hexdigest()
    return digest, review.text, review.label or "", review.id


def quotas(counts: Mapping[str, int], size: int) -> dict[str, int]:
    """`size` shared out in proportion to `counts`: floors, then one more for the largest remainders (Hamilton)."""
    total = sum(counts.values())
    exact = {name: size * count / total for name, count in counts.items()}
    shares = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (shares[name] - exact[name], name))
    for name in by_remainder[: size - sum(shares.values())]:
        shares[name] += 1
    return shares


def carve(pool: Sequence[Review], size: int, seed: int) -> tuple[Pool, Pool]:
    """(part, rest): part has `size` reviews in the pool's class shares, as exactly as whole groups of duplicates allow.

    Groups are taken in the order of `rank`; one that would overfill a class is passed over.
    """
    left = quotas(Counter(review.label or "" for review in pool), size)
    part: Pool = []
    rest: Pool = []
    for group in groups(pool, seed):
        wanted = Counter(review.label or "" for review in group)
        fits = all(left[label] >= count for label, count in wanted.items())
        if fits:
            left = {label: count - wanted[label] for label, count in left.items()}
        (part if fits else rest).extend(group)
    return part, rest


def groups(pool: Iterable[Review], seed: int) -> list[Pool]:
    """Reviews of equal normalised text, in the order of `rank`."""
    found: dict[str, Pool] = defaultdict(list)
    for review in sorted(pool, key=lambda review: rank(review, seed)):
        found[review.key].append(review)
    return list(found.values())


def stratified_order(pool: Sequence[Review], seed: int) -> Pool:
    """The pool in an order whose every beginning has the pool's class shares (within one review), so slices nest.

    The i-th of n reviews of a class stands at (i + 1/2) / n.
    """
    sizes = Counter(review.label for review in pool)
    seen: Counter[str | None] = Counter()
    placed: list[tuple[float, int, Review]] = []
    for review in sorted(pool, key=lambda review: rank(review, seed)):
        placed.append(((seen[review.label] + 0.5) / sizes[review.label], len(placed), review))
        seen[review.label] += 1
    return [review for _, _, review in sorted(placed, key=lambda item: item[:2])]


def without(pool: Sequence[Review], *others: Sequence[Review]) -> Pool:
    """The pool less every review whose normalised text is in one of the others."""
    keys = {review.key for other in others for review in other}
    return [review for review in pool if review.key not in keys]


def duplicate_facts(reviews: Sequence[Review]) -> dict[str, object]:
    """How many reviews repeat another one, exactly or after normalisation, and which groups disagree on the class."""
    found = groups(reviews, seed=0)
    conflicts = [group for group in found if len({review.label for review in group}) > 1]
    return {
        "exact": len(reviews) - len({review.text for review in reviews}),
        "normalised": len(reviews) - len(found),
        "conflicting_groups": len(conflicts),
        "conflicting_examples": [_conflict(group) for group in conflicts[:5]],
    }


def _conflict(group: Pool) -> dict[str, object]:
    return {
        "text": group[0].text[:200],
        "labels": {review.id: review.label for review in group},
    }
