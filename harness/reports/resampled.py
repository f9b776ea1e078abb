"""What the figures of rows may have been: one value per resample, the same resamples for all rows. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from harness.reports import speed
from harness.reports.model import Absent, Figure, Row
from harness.reports.quality import NO_REFERENCE, OTHER_EXAMPLES, UNDEFINED, Scored
from harness.specs import Metric
from harness.statistics import RESAMPLES, Bootstrap, Draws, mean_draws, ratio_draws

Json = dict[str, Any]
Drawn = Draws | Absent
KIND = "request"  # text to answer: what a user waits for
STREAM = 5  # of random numbers that nothing else uses
NOT_RESOLVED = Absent("not resolved: the measurement was too noisy")


@dataclass(frozen=True, eq=False, kw_only=True)
class Resampled:
    """A row with the draws of its figures. Rows scored on the same examples or timed in the same blocks are paired."""

    row: Row
    scored: Scored | Absent
    speedup: Drawn  # × the anchor's, requests; with what two processes of one artifact differ by
    latency_ms: Drawn  # of a request on the record's machine, at the anchor's pace in the calmest measurement

    @property
    def size_mib(self) -> Figure:
        """The model file, to the digits that are shown: no file is smaller by a few bytes of its header."""
        size = self.row.size.model_mib
        return size if isinstance(size, Absent) else float(f"{size:.3g}")

    def quality(self, metric: Metric, beside: Resampled | None = None) -> Drawn:
        """One metric, in its own unit; `beside`: only where both were scored on the same examples."""
        if isinstance(self.scored, Absent):
            return self.scored
        other = None if beside is None or isinstance(beside.scored, Absent) else beside.scored.examples
        if other not in (None, self.scored.examples):
            return OTHER_EXAMPLES
        found = self.scored.metrics[metric.name]
        return _defined(Draws(found.value, found.replicates))

    def kept(self, reference: Resampled, metric: Metric) -> Drawn:
        """The share of the reference's metric that the row keeps, paired; of one that should be low, the reverse."""
        if isinstance(self.scored, Absent):
            return self.scored
        if isinstance(reference.scored, Absent):
            return NO_REFERENCE
        if self.scored.examples != reference.scored.examples:
            return OTHER_EXAMPLES
        pair = self.scored.metrics[metric.name], reference.scored.metrics[metric.name]
        return _quotient(*(pair if metric.higher_is_better else pair[::-1]))


@dataclass(frozen=True)
class Timing:
    """One measurement: its document, its number among the record's, the noise floor of requests."""

    document: Json
    number: int
    floor: Figure


def speedup(timing: Timing, subject: str, confidence: float) -> Drawn:
    """How many times the anchor's speed, over blocks and over processes.

    Two processes of one artifact differ by the noise floor, so each is off by its √2-th part, and the anchor with it.
    """
    ratio = speed.ratio(timing.document, subject, KIND, timing.floor, confidence)
    if isinstance(ratio.interval, Absent):
        return ratio.interval
    if subject == "anchor":
        return Draws(1.0, np.ones(RESAMPLES))
    if not ratio.resolved:
        return NOT_RESOLVED
    anchor, row = (speed.times(timing.document, who, KIND) for who in ("anchor", subject))
    found = ratio_draws(anchor, row, seed=timing.number)
    off = _off(timing, "anchor", confidence) - _off(timing, subject, confidence)
    return Draws(found.value, found.replicates * np.exp(off))


def latency(speedup: Drawn, calmest: Timing | None) -> Drawn:
    """Milliseconds of a request, from the row's speed-up and the anchor's own time in the calmest measurement."""
    if isinstance(speedup, Absent):
        return speedup
    times = speed.times(calmest.document, "anchor", KIND) if calmest else []
    if not times:
        return Absent("the anchor was not measured")
    pace = mean_draws(times)
    return Draws(pace.value / speedup.value, pace.replicates / speedup.replicates)


def stacked(draws: Sequence[Draws]) -> np.ndarray:
    """[n, 1 + r]: the values in front of the replicates."""
    return np.stack([np.concatenate([[one.value], one.replicates]) for one in draws])


def _off(timing: Timing, subject: str, confidence: float) -> np.ndarray:
    """By how much a process of the subject may be slower, as a logarithm: [r], the same for all who ask."""
    if isinstance(timing.floor, Absent):
        return np.zeros(RESAMPLES)
    order = ["anchor", *sorted(timing.document["rows"])]
    rng = np.random.default_rng([STREAM, timing.number, order.index(subject)])
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(2)
    return rng.normal(0.0, math.log1p(timing.floor) / reach, RESAMPLES)


def _quotient(above: Bootstrap, below: Bootstrap) -> Drawn:
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.float64(above.value) / below.value)
        return _defined(Draws(value, above.replicates / below.replicates))


def _defined(draws: Draws) -> Drawn:
    return draws if math.isfinite(draws.value) and np.isfinite(draws.replicates).all() else UNDEFINED
