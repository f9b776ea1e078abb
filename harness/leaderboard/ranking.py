"""Places: rows share one where paired comparisons cannot tell them from the best of it. Pure, numpy and scipy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TINY = 1e-9
MEDIAN = 0.4  # a median of variances of 2 or 3 seeds is as good as a mean of so large a part of them


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """What a comparison needs of a row; all of one ranking were scored on the same examples."""

    by_seed: Mapping[str, float]
    over_examples: np.ndarray  # [r]: mean over the seeds, under resamples of the examples that all share

    @property
    def value(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(list(self.by_seed.values())))


@dataclass(frozen=True)
class Scatter:
    """How far seeds of a row are apart, as the rows of a class tell together."""

    variance: float  # of one seed
    freedom: float  # degrees of freedom; 0: no row has two seeds

    def of(self, row: Contestant) -> float:
        """Variance of a row's mean: by its own seeds where these are further apart than others' are."""
        values = list(row.by_seed.values())
        own = float(np.var(values, ddof=1)) if len(values) > 1 else 0.0
        return max(own, self.variance) / len(values)


def places(rows: Sequence[Contestant], confidence: float, higher_is_better: bool = True) -> list[int | None]:
    """The place of each row, from 1; None where its metric is undefined.

    The first place belongs to the best value and all that it is not told from, the next to the best of the others, and
    so on. The best is picked by looking, so every pair of the rows in play counts as a comparison: a row is told apart
    where p ≤ (1 − confidence) / pairs, and each that is told apart leaves fewer pairs for the next (Holm's step-down).
    Rows of a place that are truly equal to its best all share it with at least that confidence.
    """
    found: list[int | None] = [None] * len(rows)
    values = np.array([row.value for row in rows])
    sound = [at for at, row in enumerate(rows) if np.isfinite(values[at]) and np.isfinite(row.over_examples).all()]
    left = sorted(sound, key=lambda at: -values[at] if higher_is_better else values[at])
    scatter = pooled([rows[at] for at in sound])
    place = 1
    while left:
        best, others = left[0], left[1:]
        p = p_values(rows[best], [rows[at] for at in others], scatter)
        for at in (best, *(at for at, tied in zip(others, _tied(p, confidence), strict=True) if tied)):
            found[at] = place
        left = [at for at in left if found[at] is None]
        place += 1
    return found


def pooled(rows: Sequence[Contestant]) -> Scatter:
    """The scatter between seeds that is usual among rows.

    Rows have two or three seeds, of which none tells it alone. It is a median, each variance divided by the median that
    one of so few values has: a row that fails with some seeds, or a made-up one, does not decide about the others.
    """
    from scipy.special import gammaincinv

    several = [list(row.by_seed.values()) for row in rows if len(row.by_seed) > 1]
    if not several:
        return Scatter(0.0, 0.0)
    degrees = np.array([len(values) - 1.0 for values in several])
    variances = np.array([np.var(values, ddof=1) for values in several])
    usual = 2 * gammaincinv(degrees / 2, 0.5) / degrees
    return Scatter(float(np.median(variances / usual)), MEDIAN * float(degrees.sum()))


def p_values(best: Contestant, others: Sequence[Contestant], scatter: Scatter) -> np.ndarray:
    """How likely a difference to `best` is at least as large as the one found, were there none: two-sided, [n].

    What examples add to a difference's variance is bootstrapped, paired. Seeds add their scatter, which is estimated:
    so the statistic is Student's, with Satterthwaite's degrees of freedom. Where no row has two seeds, comparisons are
    about these models, and not about how they were made.
    """
    if not others:
        return np.empty(0)
    from scipy.special import stdtr

    drawn = np.stack([other.over_examples for other in others]).astype(np.float64)
    of_examples = (drawn - best.over_examples).var(axis=1, ddof=1)
    of_seeds = np.array([scatter.of(best) + scatter.of(other) for other in others])
    variance = of_examples + of_seeds
    difference = np.abs(np.array([best.value - other.value for other in others]))
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.where(of_seeds > 0, scatter.freedom * (variance / of_seeds) ** 2, np.inf)
        statistic = np.where(difference > TINY, difference / np.sqrt(variance), 0.0)
    found: np.ndarray = 2 * stdtr(degrees, -statistic)
    return found


def _tied(p: np.ndarray, confidence: float) -> np.ndarray:
    """Which rows are not told from the best."""
    tied = np.ones(len(p), dtype=bool)
    for at in np.argsort(p):
        in_play = int(tied.sum()) + 1
        if p[at] > (1 - confidence) / (in_play * (in_play - 1) / 2):
            break
        tied[at] = False
    return tied
