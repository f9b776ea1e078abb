"""Places and fronts: who is told from whom."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.leaderboard.fronts import Cost, front
from harness.leaderboard.ranking import Contestant, places, pooled
from harness.statistics import Interval

RESAMPLES = 400


def contestant(mean, seeds=(0.0, 0.0), noise=0.01, draw=0):
    """`noise`: standard deviation over the examples, all of it the row's own."""
    drawn = np.random.default_rng(draw).normal(mean, noise, RESAMPLES).astype(np.float32)
    return Contestant(by_seed={str(n): mean + off for n, off in enumerate(seeds)}, over_examples=drawn)


def field_of(means, seeds=(-0.002, 0.002), noise=0.01):
    return [contestant(mean, seeds, noise, draw) for draw, mean in enumerate(means)]


def test_equal_rows_share_the_first_place():
    assert places(field_of([0.8, 0.8, 0.8]), 0.95) == [1, 1, 1]


def test_what_is_far_apart_has_places_in_order():
    assert places(field_of([0.5, 0.9, 0.7, 0.7001]), 0.95) == [3, 1, 2, 2]


def test_where_less_is_better_the_order_turns():
    assert places(field_of([0.5, 0.9, 0.7]), 0.95, higher_is_better=False) == [1, 3, 2]


def test_an_undefined_metric_has_no_place_and_takes_none():
    rows = [*field_of([0.9, 0.5]), contestant(math.nan)]
    assert places(rows, 0.95) == [1, 2, None]


@pytest.mark.parametrize("rows", [[], field_of([0.7])])
def test_few_rows(rows):
    assert places(rows, 0.95) == [1] * len(rows)


def test_a_comparison_that_is_paired_tells_what_intervals_do_not():
    drawn = np.random.default_rng(0).normal(0, 0.02, RESAMPLES).astype(np.float32)  # hard examples are hard for both
    rows = [Contestant(by_seed={"1": mean}, over_examples=mean + drawn) for mean in (0.80, 0.81)]
    rows = [Contestant(by_seed=r.by_seed, over_examples=r.over_examples + contestant(0.0, noise=0.001, draw=n).over_examples)
            for n, r in enumerate(rows)]  # fmt: skip
    assert places(rows, 0.95) == [2, 1]


def test_the_more_rows_the_further_apart_they_must_be():
    near, far = [0.80, 0.845], [0.3] * 60
    assert places(field_of(near), 0.95) == [2, 1]
    assert places(field_of(near + [0.80] * 60), 0.95)[:2] == [1, 1]
    assert places(field_of(near + far), 0.95)[:2] == [2, 1], "rows that are out of play do not count"


def test_a_higher_confidence_tells_less():
    rows = field_of([0.80, 0.845])
    assert places(rows, 0.95) == [2, 1]
    assert places(rows, 0.9999) == [1, 1]


def test_seeds_that_scatter_tell_less():
    calm, wild = (-0.001, 0.001), (-0.05, 0.05)
    assert places(field_of([0.80, 0.87, 0.80, 0.87], calm), 0.95) == [2, 1, 2, 1]
    assert places(field_of([0.80, 0.87, 0.80, 0.87], wild), 0.95) == [1, 1, 1, 1]


def test_a_row_of_one_seed_is_taken_to_scatter_like_the_others():
    others = field_of([0.5] * 6, (-0.05, 0.05))
    alone = [contestant(0.80, (0.0,), draw=11), contestant(0.87, (0.0,), draw=12)]
    assert places(alone, 0.95) == [2, 1]
    assert places([*alone, *others], 0.95)[:2] == [1, 1]


def test_a_row_that_fails_with_some_seeds_does_not_blur_the_others():
    good = field_of([0.80, 0.87, 0.80, 0.87, 0.80, 0.87])
    broken = contestant(0.4, (-0.4, 0.4), draw=99)
    assert places([*good, broken], 0.95)[:6] == [2, 1, 2, 1, 2, 1]


def test_the_usual_scatter_is_what_seeds_were_drawn_with():
    rng = np.random.default_rng(5)
    rows = [contestant(0.8, rng.normal(0, 0.02, 3), draw=n) for n in range(400)]
    assert math.sqrt(pooled(rows).variance) == pytest.approx(0.02, rel=0.1)


def test_equal_rows_are_hardly_ever_told_apart():
    told = 0
    for draw in range(200):
        rng = np.random.default_rng(draw)
        truth = rng.normal(0, 0.01, 8)  # of the examples that were drawn, beside the seeds' own
        rows = [
            Contestant(
                by_seed={str(n): 0.8 + off + seed for n, seed in enumerate(rng.normal(0, 0.01, 3))},
                over_examples=rng.normal(0.8, 0.01, 200),
            )
            for off in truth
        ]
        told += set(places(rows, 0.95)) != {1}
    assert told <= 10  # 5 %


def test_order_of_rows_is_no_matter():
    rows = field_of([0.5, 0.9, 0.7, 0.69, 0.88, 0.52])
    order = np.random.default_rng(0).permutation(len(rows))
    found = places(rows, 0.95)
    assert places([rows[at] for at in order], 0.95) == [found[at] for at in order]


# ---------------------------------------------------------------------------------------------------------------- fronts


def cost(value, spread=0.02, machines=("m1",)):
    return Cost(
        value=value, by_machine={m: Interval(value, value * (1 - spread), value * (1 + spread)) for m in machines}
    )


def test_the_front_is_who_is_not_beaten():
    assert front([1, 2, 3, 2], [cost(1), cost(4), cost(9), cost(3)]) == [True, True, True, False]


def test_a_better_place_and_no_less_speed_beat():
    assert front([1, 2], [cost(4), cost(4)]) == [True, False]


def test_of_one_place_all_stay_whose_speeds_are_not_told_apart():
    assert front([1, 1, 1], [cost(4), cost(4.05), cost(3)]) == [True, True, False]


def test_without_place_or_cost_nobody_is_on_a_front():
    assert front([None, 1, 2], [cost(9), None, cost(1)]) == [False, False, True]


def test_speeds_of_shared_machines_are_compared_on_each():
    slow_machine, fast_machine = {"m1": Interval(2, 1.9, 2.1)}, {"m2": Interval(8, 7.8, 8.2)}
    one = Cost(value=5, by_machine={**slow_machine, **fast_machine})
    better = Cost(value=6, by_machine={"m1": Interval(3, 2.9, 3.1), "m2": Interval(9, 8.8, 9.2)})
    mixed = Cost(value=6, by_machine={"m1": Interval(3, 2.9, 3.1), "m2": Interval(8, 7.8, 8.2)})
    assert better.told_cheaper(one)
    assert not mixed.told_cheaper(one)


def test_speeds_of_different_machines_are_told_apart_by_all_that_is_known():
    one, other = cost(5, machines=("m1",)), cost(4, machines=("m2",))
    assert one.told_cheaper(other)
    assert not cost(5, 0.2, ("m1",)).told_cheaper(cost(4, 0.2, ("m2",)))
