"""Intervals: agreement with scipy, with closed forms and with their own promises on simulated data."""

import math

import numpy as np
import pytest
from scipy import stats

from harness import statistics
from harness.statistics import (
    Interval,
    block_mean,
    bootstrap_metrics,
    certain_share,
    chained_ratio,
    example_weights,
    is_noise,
    median_ratio,
    noise_floor,
    paired_difference,
    paired_ratio,
    percentile,
    samples_needed,
    verdict,
    weight_chunks,
)


def mean_metric(samples, weights):
    """The weighted mean of the first column, and a second metric beside it."""
    mean = weights @ samples[:, 0] / weights.sum(axis=1)
    return {"mean": mean, "square": mean**2}


def column(values):
    return np.asarray(values, dtype=np.float64)[:, None]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# -------------------------------------------------------------------------------------------------------------- weights


def test_weights_are_counts_of_n_draws():
    weights = example_weights(50, resamples=4000, seed=1)
    assert weights.shape == (4000, 50)
    assert weights.dtype == np.uint16
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.1)
    assert weights.astype(float).var() == pytest.approx(1 - 1 / 50, abs=0.02)  # multinomial


def test_weights_follow_the_seed_and_not_the_chunks(monkeypatch):
    weights = example_weights(31, resamples=100, seed=3)
    assert (weights == example_weights(31, resamples=100, seed=3)).all()
    assert (weights != example_weights(31, resamples=100, seed=4)).any()
    monkeypatch.setattr(statistics, "CHUNK", 31 * 7)
    chunks = list(weight_chunks(31, 100, 3))
    assert max(len(chunk) for chunk in chunks) == 7
    assert (np.concatenate(chunks) == weights).all()


def test_nothing_to_resample_is_an_error():
    with pytest.raises(ValueError, match="at least one example"):
        example_weights(0)


# ------------------------------------------------------------------------------------------------------------ bootstrap


def test_one_seed_agrees_with_scipy(rng):
    values = rng.normal(3, 2, size=300)
    mine = bootstrap_metrics(mean_metric, [column(values)], resamples=4000)["mean"]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=rng, batch=100)
    assert mine.value == pytest.approx(values.mean())
    assert mine.interval.low == pytest.approx(theirs.confidence_interval.low, abs=0.03)
    assert mine.interval.high == pytest.approx(theirs.confidence_interval.high, abs=0.03)


def test_every_metric_has_its_own_value_and_replicates(rng):
    found = bootstrap_metrics(mean_metric, [column(rng.normal(3, 1, 40))], resamples=50)
    assert list(found) == ["mean", "square"]
    assert found["square"].replicates == pytest.approx(found["mean"].replicates ** 2)
    assert found["mean"].replicates.shape == (50,)


def test_chunks_change_no_result(rng, monkeypatch):
    samples = [column(rng.normal(size=30)) for _ in range(2)]
    whole = bootstrap_metrics(mean_metric, samples, resamples=64)["mean"]
    monkeypatch.setattr(statistics, "CHUNK", 30 * 5)
    parts = bootstrap_metrics(mean_metric, samples, resamples=64)["mean"]
    assert parts.replicates == pytest.approx(whole.replicates, abs=1e-12)


def test_a_row_is_the_mean_over_its_seeds():
    found = bootstrap_metrics(mean_metric, [column([1, 2]), column([3, 6])], resamples=10)["mean"]
    assert found.by_seed == (1.5, 4.5)
    assert found.value == 3.0


def test_examples_are_drawn_jointly_for_all_seeds(rng):
    values = rng.normal(size=100)
    one = bootstrap_metrics(mean_metric, [column(values)])["mean"]
    three = bootstrap_metrics(mean_metric, [column(values)] * 3)["mean"]
    assert three.replicates == pytest.approx(one.replicates)  # three equal seeds tell no more than one


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_are_drawn_with_their_unbiased_variance(seeds):
    levels = np.arange(seeds, dtype=float)
    samples = [column(np.full(20, level)) for level in levels]  # examples do not vary: all variance is between seeds
    replicates = bootstrap_metrics(mean_metric, samples, resamples=20_000)["mean"].replicates
    assert replicates.mean() == pytest.approx(levels.mean(), abs=0.02)
    assert replicates.var() == pytest.approx(levels.var(ddof=1) / seeds, rel=0.05)


def test_seeds_must_have_seen_the_same_examples():
    with pytest.raises(ValueError, match=r"got \[2, 3\]"):
        bootstrap_metrics(mean_metric, [column([1, 2]), column([1, 2, 3])])


def test_the_interval_covers_as_often_as_it_says(rng):
    trials = 300
    hits = 0
    for trial in range(trials):
        interval = bootstrap_metrics(mean_metric, [column(rng.random(100) < 0.7)], 400, trial)["mean"].interval
        hits += interval.low <= 0.7 <= interval.high
    assert 0.90 <= hits / trials <= 0.985


# ---------------------------------------------------------------------------------------------------------------- pairs


def test_pairing_removes_what_two_rows_share(rng):
    hard = rng.normal(0, 5, 400)
    base = bootstrap_metrics(mean_metric, [column(hard)])["mean"]
    row = bootstrap_metrics(mean_metric, [column(hard + rng.normal(0.2, 0.5, 400))])["mean"]
    difference = paired_difference(row, base)
    assert difference.low > 0  # found, although each interval alone is ten times as wide
    assert difference.high - difference.low < 0.15 * (base.interval.high - base.interval.low)
    assert difference.value == pytest.approx(row.value - base.value)


def test_retention_of_itself_is_exactly_one(rng):
    row = bootstrap_metrics(mean_metric, [column(rng.random(50))])["mean"]
    assert paired_ratio(row, row) == Interval(1.0, 1.0, 1.0)
    assert paired_difference(row, row) == Interval(0.0, 0.0, 0.0)


def test_retention_of_nothing_is_undefined_and_decides_nothing():
    zero, some = (bootstrap_metrics(mean_metric, [column([v] * 3)], 10)["mean"] for v in (0.0, 1.0))
    ratio = paired_ratio(some, zero)
    assert all(math.isnan(part) for part in (ratio.value, ratio.low, ratio.high))
    assert verdict(ratio, 0.9) == "INCONCLUSIVE"


@pytest.mark.parametrize("change", [{"n": 4}, {"resamples": 11}, {"seed": 1}, {"confidence": 0.9}])
def test_rows_that_share_no_resamples_are_not_compared(change):
    def row(n=3, resamples=10, seed=0, confidence=0.95):
        return bootstrap_metrics(mean_metric, [column(range(n))], resamples, seed, confidence)["mean"]

    for compare in (paired_difference, paired_ratio):
        with pytest.raises(ValueError, match="not paired"):
            compare(row(), row(**change))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.99, 1.01, "PASS"), (0.985, 0.995, "INCONCLUSIVE"), (0.97, 0.9899, "FAIL"), (0.97, 0.99, "INCONCLUSIVE")],
)
def test_a_verdict_needs_the_whole_interval(low, high, expected):
    assert verdict(Interval(0.99, low, high), at_least=0.99) == expected


def test_an_interval_is_cut_to_what_can_be():
    assert Interval(0.99, 0.97, 1.02).within(0, 1) == Interval(0.99, 0.97, 1)


# ---------------------------------------------------------------------------------------------------------------- speed


def test_drift_that_meets_both_cancels_within_blocks(rng):
    drift = np.linspace(1, 3, 20)
    anchor, row = 8 * drift * rng.normal(1, 0.01, 20), 2 * drift * rng.normal(1, 0.01, 20)
    ratio = median_ratio(anchor.tolist(), row.tolist())
    assert ratio.low < ratio.value < ratio.high
    assert ratio.value == pytest.approx(4, abs=0.05)
    assert ratio.high - ratio.low < 0.1
    assert ratio.value == pytest.approx(np.median(anchor / row))


def test_one_bad_block_moves_no_median():
    ratio = median_ratio([4.0] * 20, [1.0] * 19 + [100.0])
    assert (ratio.value, ratio.low, ratio.high) == (4, 4, 4)


def test_ratios_need_the_same_blocks():
    for anchor, row in ([1.0], [1.0, 2.0]), ([], []):
        with pytest.raises(ValueError, match="same blocks"):
            median_ratio(anchor, row)


def test_what_lies_within_the_noise_is_no_finding(rng):
    anchor, twin, same = (rng.normal(10, 0.3, 20).tolist() for _ in range(3))
    floor = noise_floor(anchor, twin)
    assert 0 < floor < 0.05
    assert noise_floor(twin, anchor) == pytest.approx(floor, abs=0.01)  # which of the two is slower does not matter
    assert is_noise(median_ratio(anchor, same), floor)
    assert not is_noise(median_ratio(anchor, [value / 2 for value in same]), floor)
    assert not is_noise(median_ratio(anchor, [value * 2 for value in same]), floor)


def test_ratios_of_two_measurements_meet_at_the_anchor(rng):
    fast_day, slow_day = rng.normal(8, 0.1, 30), rng.normal(16, 0.2, 30)  # the anchor, on two machines' days
    row, base = fast_day / 4 * rng.normal(1, 0.01, 30), slow_day / 2 * rng.normal(1, 0.01, 30)
    found = chained_ratio((fast_day.tolist(), row.tolist()), (slow_day.tolist(), base.tolist()))
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(2, abs=0.05)
    back = chained_ratio((slow_day.tolist(), base.tolist()), (fast_day.tolist(), row.tolist()))
    assert back.value == pytest.approx(1 / found.value)
    alone = median_ratio(fast_day.tolist(), row.tolist())
    assert (found.high - found.low) / found.value > (alone.high - alone.low) / alone.value


def test_a_mean_over_blocks_has_the_interval_of_their_scatter(rng):
    times = rng.normal(100, 5, 40)
    found = block_mean(times.tolist())
    assert found.value == pytest.approx(times.mean())
    error = times.std(ddof=1) / math.sqrt(40)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    with pytest.raises(ValueError, match="at least one block"):
        block_mean([])


@pytest.mark.parametrize("n", [1, 10, 400])
def test_shares_of_nothing_and_of_all_have_the_exact_bound(n):
    none, whole = (certain_share(Interval(v, v, v), n) for v in (0.0, 1.0))
    assert (none.low, none.high) == pytest.approx((0, stats.binomtest(0, n).proportion_ci(0.95).high))
    assert (whole.low, whole.high) == pytest.approx((stats.binomtest(n, n).proportion_ci(0.95).low, 1))


@pytest.mark.parametrize("interval", [Interval(1.0, 0.9, 1.0), Interval(0.5, 0.5, 0.5), Interval(0.0, 0.0, 0.1)])
def test_other_shares_keep_their_interval(interval):
    assert certain_share(interval, 10) == interval


# ---------------------------------------------------------------------------------------------------------- percentiles


@pytest.mark.parametrize(("q", "least"), [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299)])
def test_percentiles_are_refused_below_what_supports_them(q, least):
    assert samples_needed(q) == least
    assert percentile(range(least - 1), q) is None
    found = percentile(range(least), q)
    assert found.high == least - 1  # the slowest of all is the upper bound, just
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("q", "n"), [(0.5, 100), (0.9, 29), (0.9, 640), (0.99, 1280)])
def test_bounds_are_the_tightest_order_statistics(q, n):
    found = percentile(range(1, n + 1), q)  # a sample's value is its rank
    assert stats.binom.cdf(found.high - 1, n, q) >= 0.95 > stats.binom.cdf(found.high - 2, n, q)
    assert stats.binom.cdf(found.low - 1, n, q) <= 0.05 < stats.binom.cdf(found.low, n, q)
    assert found.value == math.ceil(n * q)


def test_order_does_not_matter_to_a_percentile(rng):
    values = rng.lognormal(size=60)
    assert percentile(values, 0.95) == percentile(np.sort(values), 0.95)
    assert percentile(values, 0.95).value == np.quantile(values, 0.95, method="inverted_cdf")
