"""A comparison before it is written: frozen values. `before` is the first record, `after` the second.

Every text in here comes from records of strangers: whoever writes a value down escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.reports.model import AxisValue, Figure, Ranged
from harness.specs import Metric

Found = Literal["worse", "better", "not told apart", "same answers", "same work", "not compared"]
MOVED: tuple[Found, ...] = ("worse", "better", "not told apart")  # the answers are others
About = Literal["suite", "data", "libraries", "code", "machine", "measuring"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What counts as a regression, besides being significant. Drops in points where the metric is a share."""

    metrics: tuple[str, ...] = ()  # none: the primary one
    max_drop: float = 0.0  # points of a '%' metric, else the metric's unit
    speed: bool = False  # do slower rows count?
    max_slowdown: float = 0.0  # %


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that both runs recorded, and that is not the same."""

    about: About
    name: str  # "models.lstm.train.epochs", "torch", "machine.cpu"
    before: str  # as JSON; "" where it is not there
    after: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """One metric of one row, over the seeds that both records have."""

    metric: str
    before: Figure  # in the metric's own unit (a share for '%')
    after: Figure
    difference: Ranged  # after − before
    p: float | None  # two-sided, corrected for all that was tested; None: not tested
    found: Found
    regression: bool = False
    note: str = ""  # why it is not tested, or what the test does not cover


@dataclass(frozen=True, kw_only=True)
class Pace:
    """One kind of time of one row, beside the anchor of its own record: above 1 is faster."""

    kind: str  # "request", "forward"
    before: Ranged
    after: Ranged
    ratio: Ranged  # after / before, widened by the noise floors
    found: Found
    regression: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """What the row ships, MiB of model file: exact."""

    before: Figure
    after: Figure


@dataclass(frozen=True, kw_only=True)
class RowChange:
    """One row of both records."""

    label: str
    axes: Mapping[str, AxisValue]
    anchor: bool
    seeds: tuple[str, ...]  # shared
    differs_from: str  # the first stage whose key is another one, "train.1"; "" where all work is the same
    quality: tuple[Change, ...]
    pace: tuple[Pace, ...]
    weight: Weight
    lost: str  # why it has no score any more, where it had one
    touched_by: tuple[str, ...]  # names of facts that enter this row's work, nearest first

    @property
    def unnamed(self) -> bool:
        """Are the answers others although every key up to them is the same?"""
        answered = self.differs_from and not self.differs_from.startswith("score")
        return not answered and any(change.found in MOVED for change in self.quality)

    @property
    def regression(self) -> bool:
        """Has it lost its score, or is anything of it significantly worse than the limits allow?"""
        worse = any(change.regression for change in self.quality) or any(pace.regression for pace in self.pace)
        return bool(self.lost) or worse

    @property
    def differs(self) -> bool:
        """Is anything about what it answers, weighs or how fast it is another than it was?"""
        moved = any(change.found in MOVED for change in self.quality)
        faster = any(pace.found in ("worse", "better") for pace in self.pace)
        return bool(self.lost) or moved or faster or self.weight.before != self.weight.after


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two records."""

    name: str  # as it was asked for
    suite: str
    started: str  # ISO 8601, UTC
    commit: str  # of the harness; "" where it says none


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that a comparison says."""

    before: Side
    after: Side
    mode: str  # "real", "rehearsal" or "random"
    metrics: tuple[Metric, ...]  # those that were tested
    rows: tuple[RowChange, ...]  # in the order of the second record
    only_before: tuple[str, ...]  # labels
    only_after: tuple[str, ...]
    facts: tuple[Fact, ...]
    tests: int  # how many differences in quality were tested, and corrected for
    limits: Limits
    sentence: str

    @property
    def regressions(self) -> tuple[RowChange, ...]:
        """The rows that a gate has to stop for."""
        return tuple(row for row in self.rows if row.regression)
