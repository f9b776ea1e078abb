"""Intervals and paired comparisons. numpy only; every result is a function of its arguments and a seed.

The bootstrap has two levels: examples are resampled jointly for all seeds of a row, and seeds are resampled too where
there are several. Rows that were scored on the same examples share their resamples, so differences are paired.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Metrics = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]  # samples [n, k], weights [r, n] → {name: [r]}

RESAMPLES = 2000
CONFIDENCE = 0.95
ROUNDING = 1e-9  # weighted means of ones are not always 1
CHUNK = 4_000_000  # weights held at once: 32 MB as float64
KEPT = 8_000_000  # weights that are kept for the next row: drawing them costs more than a metric


@dataclass(frozen=True)
class Interval:
    """A value between two bounds, in the value's own unit. All three are nan where the quantity is undefined."""

    value: float
    low: float
    high: float

    def within(self, low: float, high: float) -> Interval:
        """The same with its bounds cut to where the quantity can be (accuracy: 0 to 1)."""
        return Interval(self.value, max(self.low, low), min(self.high, high))


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """One metric of one row. Rows with equal `examples`, `seed` and number of seeds share their resamples."""

    value: float  # mean over the row's seeds
    by_seed: tuple[float, ...]
    replicates: np.ndarray  # [r] float64
    examples: int
    seed: int
    confidence: float

    @property
    def interval(self) -> Interval:
        """The percentile interval."""
        return _percentile_interval(self.value, self.replicates, self.confidence)


@dataclass(frozen=True, eq=False)
class Draws:
    """A figure and what it would have been in other draws of the same data."""

    value: float
    replicates: np.ndarray  # [r] float64

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The percentile interval; nan where a replicate is undefined."""
        return _percentile_interval(self.value, self.replicates, confidence)


@dataclass(frozen=True)
class Paired:
    """The difference of two rows in one metric, and what it varies with. All figures are nan where it is undefined."""

    value: float  # mean over seeds
    of_examples: float  # variance of the mean when examples are drawn anew
    own: float  # the part of a seed's variance over examples that the seeds do not share
    scatter: float  # variance between seeds, which `own` is a part of
    seeds: int
    examples: int


@dataclass(frozen=True)
class Tested:
    """A difference with its interval, and how likely one at least as large would be if there were none (two-sided)."""

    interval: Interval
    p: float  # nan where the difference is undefined


def example_weights(n: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each of n examples is drawn in each resample: uint16 [resamples, n], rows sum to n."""
    return np.concatenate([chunk.astype(np.uint16) for chunk in weight_chunks(n, resamples, seed)])


def weight_chunks(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """The rows of `example_weights` as float64 [≤ CHUNK / n, n], a few at a time. ValueError when n is 0."""
    if n < 1:
        msg = "a bootstrap needs at least one example"
        raise ValueError(msg)
    return iter(_kept_chunks(n, resamples, seed)) if n * resamples <= KEPT else _chunks(n, resamples, seed)


def over_seeds(seeds: Sequence[Bootstrap]) -> Bootstrap:
    """One metric of a row from the bootstraps of its seeds, each alone: what `bootstrap_metrics` makes of all at once.

    ValueError where they do not share their resamples.
    """
    first = seeds[0]
    for other in seeds[1:]:
        _check_paired(other, first)
    weights = _seed_weights(len(seeds), len(first.replicates), first.seed)
    return replace(
        first,
        value=float(np.mean([one.value for one in seeds])),
        by_seed=tuple(one.value for one in seeds),
        replicates=(np.stack([one.replicates for one in seeds]) * weights).sum(axis=0),
    )


def bootstrap_metrics(
    metrics: Metrics,
    samples_by_seed: Sequence[np.ndarray],
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> dict[str, Bootstrap]:
    """Every metric of a row with its replicates. ValueError when the seeds were not scored on equally many examples.

    With S ≥ 2 seeds the resampled seeds' deviation is scaled by √(S / (S − 1)): plain resampling of two or three
    values understates their variance by that factor (Rao & Wu, 1988, Resampling inference with complex survey data).
    """
    counts = {len(samples) for samples in samples_by_seed}
    if len(counts) != 1:
        msg = f"every seed of a row must be scored on the same examples; got {sorted(counts)} of them"
        raise ValueError(msg)
    n = counts.pop()
    points = [{name: float(v[0]) for name, v in metrics(s, np.ones((1, n))).items()} for s in samples_by_seed]
    replicates = _replicates(metrics, samples_by_seed, resamples, seed)
    seeds = _seed_weights(len(samples_by_seed), resamples, seed)
    return {
        name: Bootstrap(
            value=float(np.mean([point[name] for point in points])),
            by_seed=tuple(point[name] for point in points),
            replicates=(values * seeds).sum(axis=0),
            examples=n,
            seed=seed,
            confidence=confidence,
        )
        for name, values in replicates.items()
    }


def paired_difference(row: Bootstrap, base: Bootstrap) -> Interval:
    """`row` − `base` over the same resamples. ValueError when they do not share them."""
    _check_paired(row, base)
    return _percentile_interval(row.value - base.value, row.replicates - base.replicates, row.confidence)


def paired_by_seed(
    metrics: Metrics, row: Sequence[np.ndarray], base: Sequence[np.ndarray], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Paired]:
    """`row` − `base` for every metric of both: samples of the same examples by seed, the same seeds in the same order.

    ValueError where the two sides do not match.
    """
    counts = {len(samples) for samples in (*row, *base)}
    if len(row) != len(base) or len(counts) != 1:
        msg = f"not paired: {len(row)} and {len(base)} seeds, scored on {sorted(counts)} examples"
        raise ValueError(msg)
    ones = np.ones((1, counts.pop()))
    drawn = [_replicates(metrics, side, resamples, seed) for side in (row, base)]
    points = [[metrics(samples, ones) for samples in side] for side in (row, base)]
    pairs = {}
    for name in (name for name in drawn[0] if name in drawn[1]):  # samples of earlier versions support fewer metrics
        by_seed = np.array([float(a[name][0] - b[name][0]) for a, b in zip(*points, strict=True)])
        pairs[name] = _paired(by_seed, drawn[0][name] - drawn[1][name], ones.size)
    return pairs


def t_tests(pairs: Sequence[Paired], confidence: float = CONFIDENCE) -> list[Tested]:
    """Each mean difference against 0, by Student's t with Satterthwaite's degrees of freedom.

    What seeds scatter beyond what examples explain is known from few of them. Two that happen to agree would make any
    difference look certain; so no row is taken to scatter less than the rows do on average. A single seed has no
    scatter: then the test is about these two models, and not about how they were made.
    """
    several = [pair for pair in pairs if pair.seeds > 1 and math.isfinite(pair.scatter)]
    usual = max(0.0, float(np.mean([pair.scatter - pair.own for pair in several]))) if several else 0.0
    freedom = sum(pair.seeds - 1 for pair in several)
    return [_t_test(pair, usual, freedom, confidence) for pair in pairs]


def unpaired_difference(row: Bootstrap, base: Bootstrap) -> Interval:
    """`row` − `base` scored on different examples, each resampled for itself."""
    shuffled = np.random.default_rng([row.seed, 4]).permutation(row.replicates)
    return _percentile_interval(row.value - base.value, shuffled - base.replicates, row.confidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that at most a share α of whole tables holds any false finding below α (Holm, 1979)."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def mcnemar(lost: int, won: int) -> float:
    """How likely so uneven a split of changed answers would be if either way were as likely (exact, two-sided).

    McNemar, 1947: the fewer of the two against Binomial(lost + won, 1/2).
    """
    if lost == won:
        return 1.0
    return min(1.0, 2 * float(_binomial_cdf(lost + won, 0.5)[min(lost, won)]))


def paired_ratio(row: Bootstrap, base: Bootstrap) -> Interval:
    """`row` / `base` (retention) over the same resamples; undefined where the base is 0 in one of them."""
    _check_paired(row, base)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.float64(row.value) / base.value)
        return _percentile_interval(value, row.replicates / base.replicates, row.confidence)


def verdict(ratio: Interval, at_least: float) -> Verdict:
    """PASS: the whole interval reaches the bar. FAIL: none of it does. An undefined ratio decides nothing."""
    if ratio.low >= at_least:
        return "PASS"
    return "FAIL" if ratio.high < at_least else "INCONCLUSIVE"


def median_ratio(
    anchor: Sequence[float],
    row: Sequence[float],
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """How many times faster the row is: median of anchor time / row time within blocks, bootstrapped over blocks.

    Both sequences hold one time per block, in the same order of blocks. ValueError when they do not, or are empty.
    """
    value, replicates = _block_ratios(anchor, row, resamples, seed)
    return _percentile_interval(value, replicates, confidence)


def chained_ratio(
    row: tuple[Sequence[float], Sequence[float]],
    base: tuple[Sequence[float], Sequence[float]],
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """How many times faster `row` is than `base`, each an (anchor's times, its own times) of another measurement.

    The quotient of their ratios to the anchor; the two measurements are resampled independently.
    """
    value, replicates = _block_ratios(*row, resamples, seed)
    other, others = _block_ratios(*base, resamples, seed + 1)
    return _percentile_interval(value / other, replicates / others, confidence)


def ratio_draws(anchor: Sequence[float], row: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Draws:
    """What `median_ratio` makes an interval of. Rows of equally many blocks and one seed share them."""
    return Draws(*_block_ratios(anchor, row, resamples, seed))


def mean_draws(times: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Draws:
    """What `block_mean` makes an interval of. ValueError without any."""
    if not times:
        msg = "a mean needs at least one block"
        raise ValueError(msg)
    values = np.asarray(times, dtype=np.float64)
    return Draws(float(values.mean()), values[_draws(len(values), resamples, seed, 3)].mean(axis=1))


def unbeaten(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Who is on the Pareto front of two gains [n, …] of n rows, more is better: truths [n, …], each column for itself.

    A row is beaten by another that is no worse in both and better in one; equals do not beat each other.
    """
    order = np.lexsort((-other, -one), axis=0)  # the best in the first gain in front, of equals the best in the second
    first, second = np.take_along_axis(one, order, 0), np.take_along_axis(other, order, 0)
    at = np.arange(len(one)).reshape(-1, *[1] * (one.ndim - 1))
    begins = np.ones(first.shape, dtype=bool)  # of rows that are equal in the first
    begins[1:] = first[1:] != first[:-1]
    start = np.maximum.accumulate(np.where(begins, at, 0), axis=0)
    highest = np.maximum.accumulate(second, axis=0)
    ahead = np.where(start > 0, np.take_along_axis(highest, np.maximum(start - 1, 0), 0), -np.inf)
    found = np.empty(first.shape, dtype=bool)
    np.put_along_axis(found, order, (ahead < second) & (np.take_along_axis(second, start, 0) <= second), 0)
    return found


def block_mean(
    times: Sequence[float], resamples: int = RESAMPLES, seed: int = 0, confidence: float = CONFIDENCE
) -> Interval:
    """The mean over blocks, one time each, bootstrapped over blocks. ValueError without any."""
    return mean_draws(times, resamples, seed).interval(confidence)


def certain_share(interval: Interval, n: int, confidence: float = CONFIDENCE) -> Interval:
    """A share of exactly 0 or 1 with the bound that n examples support, where the bootstrap sees no spread.

    Clopper and Pearson, 1934: 1 − (α/2)^(1/n) away, α = 1 − confidence. Any other interval comes back as it is.
    """
    if not any(max(abs(interval.low - end), abs(interval.high - end)) < ROUNDING for end in (0, 1)):
        return interval
    reach = 1 - ((1 - confidence) / 2) ** (1 / n)
    return Interval(0.0, 0.0, reach) if interval.value < ROUNDING else Interval(1.0, 1 - reach, 1.0)


def noise_floor(anchor: Sequence[float], twin: Sequence[float], confidence: float = CONFIDENCE) -> float:
    """How far two measurements of one artifact may differ: f, so that their ratio lies in [1 / (1 + f), 1 + f]."""
    ratio = median_ratio(anchor, twin, confidence=confidence)
    return max(ratio.high, 1 / ratio.low) - 1


def is_noise(ratio: Interval, floor: float) -> bool:
    """Does the interval reach into the noise around 1? Such a ratio is no finding: it is shown as ≈ 1."""
    return ratio.low <= 1 + floor and ratio.high >= 1 / (1 + floor)


def percentile(samples: Sequence[float], q: float, confidence: float = CONFIDENCE) -> Interval | None:
    """The q-quantile with order statistics as one-sided bounds, each at `confidence`; no distribution is assumed.

    None where too few samples support it (at 95 %: 5 for p50, 29 for p90, 59 for p95, 299 for p99).
    """
    n = len(samples)
    if n < samples_needed(q, confidence):
        return None
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    cdf = _binomial_cdf(n, q)  # cdf[k] = P(at most k samples lie below the quantile)
    low = int(np.searchsorted(cdf, 1 - confidence, side="right")) - 1
    high = int(np.searchsorted(cdf, confidence, side="left"))
    value = ordered[max(0, math.ceil(n * q) - 1)]
    return Interval(float(value), float(ordered[low]), float(ordered[high]))


def samples_needed(q: float, confidence: float = CONFIDENCE) -> int:
    """From how many samples on both bounds of the q-quantile exist: q^n and (1 − q)^n ≤ 1 − confidence."""
    return math.ceil(math.log(1 - confidence) / math.log(max(q, 1 - q)))


def _block_ratios(anchor: Sequence[float], row: Sequence[float], resamples: int, seed: int) -> tuple[float, np.ndarray]:
    """The median of anchor time / row time within blocks, and its replicates [r]."""
    if len(anchor) != len(row) or not anchor:
        msg = f"a ratio needs the same blocks on both sides; got {len(anchor)} and {len(row)}"
        raise ValueError(msg)
    ratios = np.asarray(anchor, dtype=np.float64) / np.asarray(row, dtype=np.float64)  # [blocks]
    draws = _draws(len(ratios), resamples, seed, 2)
    ordered = np.sort(ratios[draws], axis=1)  # a fourth of what np.median takes
    middle = ordered[:, (len(ratios) - 1) // 2 : len(ratios) // 2 + 1]
    return float(np.median(ratios)), middle.mean(axis=1)


def _chunks(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng([seed, 0])
    size = max(1, CHUNK // n)
    for start in range(0, resamples, size):
        yield _counts(rng, n, min(size, resamples - start))


@functools.lru_cache(maxsize=1)
def _kept_chunks(n: int, resamples: int, seed: int) -> tuple[np.ndarray, ...]:
    return tuple(_read_only(chunk) for chunk in _chunks(n, resamples, seed))


@functools.lru_cache(maxsize=16)
def _draws(n: int, resamples: int, seed: int, stream: int) -> np.ndarray:
    """Which of n blocks each resample holds: [resamples, n]."""
    return _read_only(np.random.default_rng([seed, stream]).integers(0, n, size=(resamples, n)))


def _read_only(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


def _counts(rng: np.random.Generator, n: int, rows: int) -> np.ndarray:
    """Multinomial counts, float64 [rows, n]: faster by drawing indices than by `rng.multinomial`."""
    drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _replicates(metrics: Metrics, by_seed: Sequence[np.ndarray], resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Each metric under each resample for each seed: {name: [S, r]}."""
    chunks = [[metrics(s, weights) for s in by_seed] for weights in weight_chunks(len(by_seed[0]), resamples, seed)]
    return {name: np.concatenate([[m[name] for m in chunk] for chunk in chunks], axis=1) for name in chunks[0][0]}


def _seed_weights(count: int, resamples: int, seed: int) -> np.ndarray:
    """[S, r]: what each seed weighs in each resample; columns sum to 1."""
    if count == 1:
        return np.ones((1, resamples))
    drawn = _counts(np.random.default_rng([seed, 1]), count, resamples).T / count
    even = 1 / count
    return even + math.sqrt(count / (count - 1)) * (drawn - even)


def _percentile_interval(value: float, replicates: np.ndarray, confidence: float) -> Interval:
    """The middle `confidence` of the replicates; nan where one of them is undefined."""
    if not (math.isfinite(value) and np.isfinite(replicates).all()):
        return Interval(math.nan, math.nan, math.nan)
    low, high = np.quantile(replicates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


def _paired(by_seed: np.ndarray, replicates: np.ndarray, examples: int) -> Paired:
    """From differences [S] and their replicates over examples [S, r]."""
    value, count = float(by_seed.mean()), len(by_seed)
    if not (math.isfinite(value) and np.isfinite(replicates).all()):
        return Paired(math.nan, math.nan, math.nan, math.nan, count, examples)
    spread = np.atleast_2d(np.cov(replicates))  # [S, S]
    of_examples = float(spread.mean())
    if count == 1:
        return Paired(value, of_examples, 0.0, 0.0, count, examples)
    own = float(spread.trace() - of_examples * count) / (count - 1)
    return Paired(value, of_examples, own, float(by_seed.var(ddof=1)), count, examples)


def _t_test(pair: Paired, usual: float, pooled: int, confidence: float) -> Tested:
    """`usual`: how much seeds scatter beyond their examples on average, known with `pooled` degrees of freedom."""
    from scipy.special import stdtr, stdtrit

    if not math.isfinite(pair.value):
        return Tested(Interval(math.nan, math.nan, math.nan), math.nan)
    beyond = max(0.0, pair.scatter - pair.own) if pair.seeds > 1 else 0.0
    extra = max(beyond, usual) if pair.seeds > 1 else 0.0
    variance = pair.of_examples + extra / pair.seeds
    if variance < ROUNDING**2:  # as many coins, all of which fell on one side
        p = 1.0 if abs(pair.value) < ROUNDING else 2.0 ** (1 - pair.examples)
        return Tested(Interval(pair.value, pair.value, pair.value), p)
    of_one = _freedom(pair.seeds - 1, variance * pair.seeds, pair.scatter)
    of_all = _freedom(pooled, variance * pair.seeds, pair.own + usual)
    freedom = math.inf if pair.seeds == 1 else of_one if beyond > usual else of_all if usual else max(of_one, of_all)
    error = math.sqrt(variance)
    reach = error * float(stdtrit(freedom, (1 + confidence) / 2))
    p = 2 * float(stdtr(freedom, -abs(pair.value) / error))
    return Tested(Interval(pair.value, pair.value - reach, pair.value + reach), p)


def _freedom(known: int, variance: float, doubtful: float) -> float:
    """Of a variance, a part of which is known with so many degrees of freedom, and the rest exactly."""
    return known * (variance / doubtful) ** 2 if doubtful > ROUNDING**2 else math.inf


def _check_paired(row: Bootstrap, base: Bootstrap) -> None:
    mine, other = ((b.examples, len(b.replicates), b.seed, b.confidence) for b in (row, base))
    if mine != other:
        msg = f"not paired: (examples, resamples, seed, confidence) are {mine} and {other}"
        raise ValueError(msg)


def _binomial_cdf(n: int, q: float) -> np.ndarray:
    """P(X ≤ k) for X ~ Binomial(n, q), k = 0 … n, float64 [n + 1]."""
    k = np.arange(1, n + 1)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((n - k + 1) / k))])
    counts = np.arange(n + 1)
    return np.cumsum(np.exp(log_choose + counts * math.log(q) + (n - counts) * math.log1p(-q)))
