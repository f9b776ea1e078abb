"""Rows at bars: verdicts on whole intervals, and in how many resamples each bar is met. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.recommending.model import Judged, Quantity
from harness.reports import format as fmt
from harness.reports.front import smallness
from harness.reports.model import Absent
from harness.reports.resampled import Drawn, Resampled
from harness.specs import Metric
from harness.statistics import RESAMPLES, Bootstrap, Draws, Interval, verdict

MOST = 100.0  # times as much data as nobody will gather
SEEDED = 0.5  # share of the variance of what is kept from which on seeds are what matters


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar."""

    text: str
    quantity: Quantity
    at: float

    @property
    def sign(self) -> float:
        """What should be small is compared as its negative, so that larger is better."""
        return -1.0 if self.quantity in ("size", "latency") else 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One row with its gains at every bar, and what it keeps."""

    drawn: Resampled
    reference: Resampled
    kept: Drawn  # of the reference
    quality: Drawn

    def gain(self, bar: Bar) -> Drawn:
        """What is held to a bar, larger is better."""
        if bar.quantity == "retention":
            return self.kept
        if bar.quantity == "speedup":
            return self.drawn.speedup
        return negative(self.drawn.latency_ms) if bar.quantity == "latency" else exact_size(self.drawn)


def negative(draws: Drawn) -> Drawn:
    """The same where less is better."""
    return draws if isinstance(draws, Absent) else Draws(-draws.value, -draws.replicates)


def exact_size(row: Resampled) -> Drawn:
    """−MiB to the byte: a bar is a bar."""
    size = row.row.size.model_mib
    return size if isinstance(size, Absent) else Draws(-size, np.full(RESAMPLES, -size))


def judge(row: Row, bar: Bar, metric: Metric, confidence: float) -> Judged:
    """The verdict of one row at one bar."""
    gain, least = row.gain(bar), bar.sign * bar.at
    if isinstance(gain, Absent):
        return Judged(bar=bar.text, quantity=bar.quantity, at=bar.at, found=gain, verdict=gain, likely=0.0)
    interval = gain.interval(confidence)
    found = verdict(interval, least)
    return Judged(
        bar=bar.text,
        quantity=bar.quantity,
        at=bar.at,
        found=interval if bar.sign > 0 else Interval(-interval.value, -interval.high, -interval.low),
        verdict=found,
        likely=float((gain.replicates >= least).mean()),
        decides=_decides(row, bar, interval, least, metric) if found == "INCONCLUSIVE" else "",
    )


def met(rows: Sequence[Row], bars: Sequence[Bar]) -> np.ndarray:
    """Which rows meet all bars: truths [n, 1 + r], first by the figures themselves."""
    found = np.ones((len(rows), 1 + RESAMPLES), dtype=bool)
    for at, row in enumerate(rows):
        for bar in bars:
            found[at] &= flat(row.gain(bar)) >= bar.sign * bar.at
    return found


def winners(allowed: np.ndarray, gains: Sequence[np.ndarray]) -> np.ndarray:
    """The best of the allowed rows by the first gain, of equals by the next: truths [n, c], at most one per column."""
    left = allowed & np.isfinite(gains[0])
    for gain in gains:
        left &= gain == np.where(left, gain, -np.inf).max(axis=0)
    first: np.ndarray = left & (np.cumsum(left, axis=0) == 1)
    return first


def gains(rows: Sequence[Row], objective: str, metric: Metric) -> list[np.ndarray]:
    """What rows are chosen by [n, 1 + r], then what decides between equals; −inf where a row has no figure."""
    kinds = {
        "speed": [row.drawn.speedup for row in rows],
        "quality": [row.quality if metric.higher_is_better else negative(row.quality) for row in rows],
        "size": [smallness(row.drawn) for row in rows],
    }
    order = [objective, *(kind for kind in ("quality", "speed", "size") if kind != objective)]
    return [np.stack([flat(one) for one in kinds[kind]]) for kind in order]


def flat(draws: Drawn) -> np.ndarray:
    """[1 + r]: the value in front of the replicates."""
    if isinstance(draws, Absent):
        return np.full(1 + RESAMPLES, -np.inf)
    return np.concatenate([[draws.value], draws.replicates])


# ------------------------------------------------------------------------------------------------- what would decide it


def _decides(row: Row, bar: Bar, interval: Interval, at: float, metric: Metric) -> str:
    """How much more data would bring the bar out of the interval, if the value stays and its width shrinks as √n."""
    reaches = interval.value >= at
    width, gap = interval.value - interval.low if reaches else interval.high - interval.value, abs(interval.value - at)
    times = (width / gap) ** 2 if gap > 0 else math.inf
    if times > MOST:
        return f"it is so near the bar that {MOST:.0f}× the data would not decide it"
    what = "timed blocks on a calmer machine" if bar.quantity != "retention" else _data(row, metric, times)
    return f"about {fmt.times(max(times, 1.1))}× the {what} would make it a {'PASS' if reaches else 'FAIL'}"


def _data(row: Row, metric: Metric, times: float) -> str:
    scored, base = row.drawn.scored, row.reference.scored
    if isinstance(scored, Absent) or isinstance(base, Absent) or isinstance(row.kept, Absent):
        return "test examples"
    found = scored.metrics[metric.name]
    seeds, spread = len(found.by_seed), float(np.var(row.kept.replicates))
    if _of_seeds(found, base.metrics[metric.name], metric) > SEEDED * spread:
        return f"seeds ({math.ceil(seeds * times)} instead of {seeds}; they vary more than the examples)"
    return f"test examples ({fmt.count(math.ceil(found.examples * times))} instead of {fmt.count(found.examples)})"


def _of_seeds(row: Bootstrap, base: Bootstrap, metric: Metric) -> float:
    """Variance of the kept share by seeds, each beside its own of the reference; nan where a seed has none to keep."""
    mine, theirs = np.array(row.by_seed), np.array(base.by_seed)
    if len(mine) == 1:
        return 0.0
    beside = theirs if len(theirs) == len(mine) else np.full(len(mine), theirs.mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = mine / beside if metric.higher_is_better else beside / mine
        return float(np.var(shares, ddof=1)) / len(mine)
