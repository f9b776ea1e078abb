"""What is kept of a record: rows with their figures, none of their raw samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.leaderboard.model import Refused
from harness.reports.model import AxisValue, Figure, Ranged
from harness.specs import Metric

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Under which rows were scored: only rows with equal terms may be ranked together."""

    task: str
    examples: str  # digest of the test examples' ids
    contents: str  # digest of the test examples; "" where the record does not say
    count: int
    labels: tuple[str, ...]
    scoring: str  # params that scores read, canonical JSON
    version: str  # of the scoring; "" where the record does not say
    max_length: int
    stride: int | None  # tokens that windows share; None for tasks that read a text in one window
    batch: int | None  # where answers depend on batch mates and were not given one by one


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Scores of a row: every metric with its interval, and what paired comparisons of the first metric need."""

    scores: Mapping[str, Ranged]
    by_seed: Mapping[str, float]  # seed → the first metric
    over_examples: np.ndarray  # float32 [r]: mean over the seeds under resamples of the examples that all rows share


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of one record."""

    axes: Mapping[str, AxisValue]
    label: str
    student: str
    distil: tuple[str, ...]
    compressors: tuple[str, ...]
    seeds: int  # that were scored
    cells: frozenset[str]  # what decides the scores of each seed: rows that share one are the same
    terms: Terms
    isa: str  # class of CPUs that its answers hold for; "" where they hold for all
    metrics: tuple[Metric, ...]
    quality: Quality | None  # None: an earlier record has the same cells
    model_mib: Figure
    parameters: Figure
    measurement: str  # key, "" where it was not measured
    subject: str
    unmeasured: str  # why
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record, read and reduced."""

    file: str
    digest: str
    suite: str
    recipe: str  # digest of the suite's text and overrides, with the anchor's axes
    commit: str
    started: str
    command: str
    versions: Mapping[str, str]
    machine: Json  # identity
    anchor: Mapping[str, AxisValue]
    rows: tuple[Row, ...]
    measurements: Mapping[str, Json]  # by key, without the times of single requests
    refused: tuple[Refused, ...]

    def anchor_row(self) -> Row | None:
        """The row that this record's ratios refer to."""
        wanted = self.anchor.items()
        return next((row for row in self.rows if all(row.axes.get(name) == value for name, value in wanted)), None)
