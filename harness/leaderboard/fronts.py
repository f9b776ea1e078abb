"""Who is not beaten: quality against speed, and quality against size. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.statistics import Interval, unbeaten


@dataclass(frozen=True, kw_only=True)
class Cost:
    """How cheap a row is; more is better. Exact where there is one value, by machine where it was measured."""

    value: float
    by_machine: Mapping[str, Interval]

    def told_cheaper(self, other: Cost) -> bool:
        """Is it cheaper beyond doubt: on every machine that has both, else on all machines of both?"""
        both = self.by_machine.keys() & other.by_machine.keys()
        if both:
            return all(self.by_machine[name].low > other.by_machine[name].high for name in both)
        low = min((one.low for one in self.by_machine.values()), default=self.value)
        high = max((one.high for one in other.by_machine.values()), default=other.value)
        return low > high


def front(places: Sequence[int | None], costs: Sequence[Cost | None]) -> list[bool]:
    """For each row whether nobody beats it. Rows without a place or a cost are on no front.

    A row is beaten by another that has no worse a place and is no dearer, where the data tell one of the two: it has a
    better place, or is cheaper beyond doubt.
    """
    found = [False] * len(places)
    known = [(place, cost, at) for at, (place, cost) in enumerate(zip(places, costs, strict=True)) if place and cost]
    if not known:
        return found
    known.sort(key=lambda one: (one[0], -one[1].value))
    plainly = unbeaten(np.array([-float(place) for place, *_ in known]), np.array([cost.value for _, cost, _ in known]))
    for number, (place, cost, at) in enumerate(known):
        ahead = () if plainly[number] else known[:number]  # whom no figures beat nobody beats beyond doubt
        found[at] = not any(_beats((p, c), (place, cost)) for p, c, _ in ahead)  # nor does anybody behind a row
    return found


def _beats(rival: tuple[int, Cost], row: tuple[int, Cost]) -> bool:
    (place, cost), (other_place, other) = rival, row
    return place <= other_place and cost.value >= other.value and (place < other_place or cost.told_cheaper(other))
