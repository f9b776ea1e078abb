"""The test behind comparisons: how often noise is called a difference, and how often a difference is found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.statistics import (
    Interval,
    bootstrap_metrics,
    holm,
    paired_by_seed,
    t_tests,
    unpaired_difference,
)

N = 300


def paired_test(metrics, row, base, resamples=2000):
    pairs = paired_by_seed(metrics, row, base, resamples)
    return {name: t_tests([pair])[0] for name, pair in pairs.items()}


def share(samples, weights):
    """Right answers."""
    return {"share": weights @ samples[:, 0] / weights.sum(axis=1)}


def trained(rng, seeds, scatter=0.0, loss=0.0, own=0.15):
    """Right or wrong per example by seed: what is hard is hard for all; `own` of the answers are the seed's own."""
    hard = np.random.default_rng(5).random(N) < 0.8
    sides = []
    for _ in range(seeds):
        level = 0.8 - loss + rng.normal(0, scatter)
        anew = rng.random(N) < own
        sides.append(
            np.where(anew, rng.random(N) < level - (1 - own) * (0.8 - level) / own, hard).astype(float)[:, None]
        )
    return sides


def rejections(seeds, runs=150, **how):
    """In which share of comparisons p is below 0.05."""
    found = []
    for run in range(runs):
        rng = np.random.default_rng([run, seeds])
        before, after = trained(rng, seeds, scatter=how.get("scatter", 0.0)), trained(rng, seeds, **how)
        found.append(paired_test(share, after, before, resamples=200)["share"].p < 0.05)
    return float(np.mean(found))


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_noise_of_answers_is_called_a_difference_in_no_more_than_1_of_20(seeds):
    """150 comparisons with a rate of 5 % give more than 10 % in 1 of 250 cases."""
    assert rejections(seeds) <= 0.10


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_noise_of_seeds_is_called_a_difference_about_as_rarely(seeds):
    """Trainings that scatter by 5 points, ten times what examples explain."""
    assert rejections(seeds, scatter=0.05) <= 0.12


def test_tables_of_rows_that_scatter_hold_a_false_finding_in_no_more_than_1_of_20():
    """12 rows of two seeds that scatter by 5 points. Each row by itself would put one in more than every fourth table."""
    alone = together = 0
    for run in range(60):
        rng = np.random.default_rng([run, 77])
        pairs = []
        for _ in range(12):
            before, after = trained(rng, 2, scatter=0.05), trained(rng, 2, scatter=0.05)
            pairs.append(paired_by_seed(share, after, before, resamples=100)["share"])
        together += min(holm([found.p for found in t_tests(pairs)])) < 0.05
        alone += min(holm([t_tests([pair])[0].p for pair in pairs])) < 0.05
    assert together <= 6
    assert alone > 15


def test_noise_of_seeds_that_is_taken_for_one_of_examples_would_fail_that():
    """With one seed there is no scatter to see: so this is said of comparisons of one seed."""
    assert rejections(1, scatter=0.05) > 0.3


@pytest.mark.parametrize(("seeds", "share_"), [(1, 0.7), (2, 0.4), (3, 0.7)])
def test_a_loss_of_seven_points_is_found(seeds, share_):
    """Two seeds tell so little about their scatter that they find less than one, of which nobody asks it."""
    assert rejections(seeds, loss=0.07, runs=40) > share_


def test_the_difference_and_its_interval():
    before = trained(np.random.default_rng(1), 2)
    after = [np.where(np.arange(N)[:, None] < 30, 0.0, side) for side in before]
    found = paired_test(share, after, before)["share"]
    expected = np.mean([a.mean() - b.mean() for a, b in zip(after, before, strict=True)])
    assert found.interval.value == pytest.approx(expected)
    assert found.interval.low < expected < found.interval.high < 0
    assert found.p < 0.001


def test_no_difference_has_no_uncertainty():
    side = trained(np.random.default_rng(1), 2)
    found = paired_test(share, side, side)["share"]
    assert (found.interval, found.p) == (Interval(0.0, 0.0, 0.0), 1.0)


def test_a_difference_without_any_spread_is_as_certain_as_its_examples():
    right, wrong = np.ones((4, 1)), np.zeros((4, 1))
    assert paired_test(share, [wrong], [right])["share"].p == 2.0**-3


def test_sides_that_do_not_match_are_an_error():
    side = trained(np.random.default_rng(1), 2)
    with pytest.raises(ValueError, match="not paired: 1 and 2 seeds"):
        paired_test(share, side[:1], side)
    with pytest.raises(ValueError, match="scored on"):
        paired_test(share, [array[:50] for array in side], side)


def test_an_undefined_metric_stays_undefined():
    found = paired_test(lambda s, w: {"x": np.full(len(w), math.nan)}, [np.ones((5, 1))], [np.zeros((5, 1))])["x"]
    assert math.isnan(found.p)
    assert math.isnan(found.interval.value)


def test_unpaired_differences_are_wider_than_paired_ones():
    rng = np.random.default_rng(2)
    before, after = trained(rng, 1, own=0.05), trained(rng, 1, own=0.05)
    old, new = (bootstrap_metrics(share, side)["share"] for side in (before, after))
    apart, paired = unpaired_difference(new, old), paired_test(share, after, before)["share"].interval
    assert apart.value == pytest.approx(paired.value)
    assert apart.high - apart.low > 2 * (paired.high - paired.low)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_holm_keeps_whole_tables_from_false_findings():
    """20 true nulls: uncorrected, 64 % of tables hold a finding; corrected, 5 %."""
    tables = np.random.default_rng(3).random((400, 20))
    assert np.mean((tables < 0.05).any(axis=1)) > 0.55
    assert np.mean([min(holm(list(row))) < 0.05 for row in tables]) <= 0.08
