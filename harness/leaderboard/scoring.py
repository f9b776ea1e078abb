"""Raw samples of a row → its scores with intervals, checked against what its record says."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from harness.keys import canonical
from harness.leaderboard.found import Quality, Row
from harness.records import read_samples
from harness.reports.model import Ranged
from harness.reports.quality import UNDEFINED
from harness.specs import Metric
from harness.statistics import Bootstrap, bootstrap_metrics, certain_share, over_seeds

Json = dict[str, Any]
ROUNDING = 1e-6  # a recorded metric and the same from its samples may differ by so much
KEPT = 16  # cells whose bootstraps are at hand: an exact export answers like the row before it


@dataclass(frozen=True)
class Scorer:
    """Bootstraps rows; cells that answer alike are resampled once."""

    confidence: float
    alike: OrderedDict[bytes, Mapping[str, Bootstrap]] = field(default_factory=OrderedDict)

    def row(self, cells: Sequence[Json], row: Row, task: Any) -> Quality | str:
        """Every metric of a row of so many seeds; a text says why there is none."""
        seeds: dict[str, Mapping[str, Bootstrap]] = {}
        for cell in cells:
            found = self._cell(read_samples(cell["quality"]["samples"]), row, task)
            if why := _contradiction(cell["quality"]["metrics"], found, row.terms.task):
                return why
            seeds[str(cell["axes"]["seed"])] = found
        primary, *_ = row.metrics
        known = [metric for metric in row.metrics if all(metric.name in found for found in seeds.values())]
        if primary not in known:
            return f"its samples give no {primary.name}, by which '{row.terms.task}' is ranked; run the suite again"
        first = [found[primary.name] for found in seeds.values()]
        return Quality(
            scores={m.name: _interval(over_seeds([found[m.name] for found in seeds.values()]), m) for m in known},
            by_seed={seed: found[primary.name].value for seed, found in seeds.items()},
            over_examples=np.mean([one.replicates for one in first], axis=0).astype(np.float32),
        )

    def _cell(self, samples: np.ndarray, row: Row, task: Any) -> Mapping[str, Bootstrap]:
        about = canonical([row.terms.task, row.terms.labels, row.terms.scoring, samples.shape])
        key = sha256(about.encode() + samples.tobytes()).digest()
        if key not in self.alike:
            self.alike[key] = bootstrap_metrics(
                lambda drawn, weights: task.metrics(drawn, weights, row.terms.labels),
                [samples],
                confidence=self.confidence,
            )
            if len(self.alike) > KEPT:
                self.alike.popitem(last=False)
        return self.alike[key]


def _contradiction(recorded: Mapping[str, float], found: Mapping[str, Bootstrap], task: str) -> str:
    """Where a record's figure is not what its own samples say: another definition of the metric, or a changed file."""
    for name, value in recorded.items():
        ours = found[name].value if name in found else value
        if abs(ours - value) > ROUNDING * max(1.0, abs(value)):
            return (
                f"it says {name} = {value:.6g}, its samples say {ours:.6g} with '{task}' as installed here: it was "
                "scored by another version of the task, or changed; run the suite again"
            )
    return ""


def _interval(found: Bootstrap, metric: Metric) -> Ranged:
    interval = found.interval
    if metric.unit == "%":
        interval = certain_share(interval.within(0, 1), found.examples, found.confidence)
    return interval if math.isfinite(interval.value + interval.low + interval.high) else UNDEFINED
