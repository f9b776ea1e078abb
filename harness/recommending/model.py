"""What somebody wants of a row, and the answer: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.reports.model import Absent, Figure, Ranged
from harness.specs import Metric
from harness.statistics import Verdict

Objective = Literal["speed", "size", "quality"]
Quantity = Literal["retention", "size", "latency", "speedup"]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The bars, None where there is none, and what is best among rows that meet them."""

    min_retention: float | None = None  # share of the reference's metric; None: the suite's own lowest bar; 0: no bar
    max_size: float | None = None  # MiB, the model file
    max_latency_ms: float | None = None  # a request, one at a time
    min_speedup: float | None = None  # × the anchor, request
    metric: str | None = None  # None: the task's first
    objective: Objective = "speed"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One row at one bar."""

    bar: str  # "keep ≥ 97 % of teacher's f1"
    quantity: Quantity
    at: float  # the bar
    found: Ranged
    verdict: Verdict | Absent  # on the whole interval
    likely: float  # share of resamples in which the row meets it
    decides: str = ""  # of an INCONCLUSIVE one: what would


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One row with what it would be taken for. Shares are of the resamples."""

    label: str
    anchor: bool
    quality: Ranged  # in the metric's own unit
    kept: Ranged
    speedup: Ranged
    latency_ms: Ranged
    size_mib: Figure
    judged: tuple[Judged, ...]
    meets: float  # all bars at once
    best: float  # the best by the objective among the rows that meet them in the same resample

    @property
    def qualified(self) -> bool:
        """Does it meet every bar beyond doubt?"""
        return all(one.verdict == "PASS" for one in self.judged)

    @property
    def missed(self) -> tuple[Judged, ...]:
        """The bars that it fails, or has no figure for."""
        return tuple(one for one in self.judged if one.verdict not in ("PASS", "INCONCLUSIVE"))

    @property
    def undecided(self) -> tuple[Judged, ...]:
        """The bars that lie inside its intervals."""
        return tuple(one for one in self.judged if one.verdict == "INCONCLUSIVE")


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """What one bar does to the rows."""

    bar: str
    fail: int
    undecided: int
    unknown: int  # rows without the figure


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer. Without a chosen row `nearest` is the one that comes closest."""

    suite: str
    metric: Metric
    objective: Objective
    reference: str  # label of the row that shares are kept of
    anchor: str
    machine: str  # the record's own
    resamples: int
    confidence: float
    resolution: Figure  # of the report: the smallest difference to the anchor that would be found
    rows: int
    qualified: int
    chosen: Candidate | None
    runner_up: Candidate | None
    nearest: Candidate | None
    undecided: tuple[Candidate, ...]  # no bar failed, one at least inside an interval; the likeliest first
    failed: tuple[Candidate, ...]  # that would be preferred, had they not failed one bar; the nearest first
    excluded: tuple[Excluded, ...]
    some_have_one_seed: bool
