"""Scores of rows with their intervals, paired with the anchor's and with the retention reference's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from harness.errors import HarnessError, PluginError, in_a_line
from harness.plugins import Registry
from harness.records import Records, read_samples
from harness.reports.model import Absent, Bar, Figure, Kept, Ranged, Score
from harness.specs import Metric
from harness.statistics import (
    Bootstrap,
    Interval,
    bootstrap_metrics,
    certain_share,
    paired_difference,
    paired_ratio,
    verdict,
)

Json = dict[str, Any]
POWER = 0.8  # with which the smallest difference would be found

UNDEFINED = Absent("undefined: its denominator is zero in some resamples")
OTHER_EXAMPLES = Absent("scored on other examples than what it is compared with")
RANDOM = Absent("random weights: answers mean nothing")
NO_SCORE = Absent("no score: see the problems below")
NO_REFERENCE = Absent("what it would be compared with has no score")


@dataclass(frozen=True)
class Scored:
    """A row's bootstraps by metric. Only rows scored on the same `examples` are compared."""

    examples: str
    seeds: tuple[str, ...]
    metrics: Mapping[str, Bootstrap]


@dataclass(frozen=True)
class Scorer:
    """Bootstraps rows; artifacts that answer alike (an exact export) are resampled once."""

    metrics: Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]
    confidence: float
    _known: dict[Any, Mapping[str, Bootstrap]] = field(default_factory=dict)

    def row(self, cells: Sequence[Json]) -> Scored | Absent:
        """The scores of one row's cells, one per seed."""
        scored = [cell for cell in cells if cell["quality"]]
        if not scored:
            return NO_SCORE
        examples = {str(cell["quality"]["examples"]) for cell in scored}
        if len(examples) != 1:
            return Absent("its seeds were scored on different examples")
        samples = [read_samples(cell["quality"]["samples"]) for cell in scored]
        key = tuple(array.tobytes() for array in samples)
        if key not in self._known:
            self._known[key] = bootstrap_metrics(self.metrics, samples, confidence=self.confidence)
        return Scored(examples.pop(), tuple(str(cell["axes"]["seed"]) for cell in scored), self._known[key])


def make_scorer(records: Records, registry: Registry) -> Scorer:
    """A scorer with the task's own metrics. PluginError when the record's task is not installed, or does not fit it."""
    about = records.run["task"]
    names = [metric["name"] for metric in about["metrics"]]
    tested = [data for data in about["data"] if "test" in data["counts"]]
    labels = tuple(tested[0]["labels"]) if tested else ()
    with _fitting(about):
        task = registry.open_task({"use": about["name"], "params": about.get("params", {})})

    def metrics(samples: np.ndarray, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        with _fitting(about):
            found = task.metrics(samples, weights, labels)
            return {name: _checked(found[name], len(weights)) for name in names}

    return Scorer(metrics, records.run["measure"]["confidence"])


@contextmanager
def _fitting(about: Json) -> Iterator[None]:
    """Whatever a task says to params and samples that are not its own: the record is another version's, or made up."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        msg = (
            f"task '{about['name']}' as installed here does not fit the record ({in_a_line(error)}): "
            "install the version of it that the record names, or run the suite again"
        )
        raise PluginError(msg) from error


def _checked(values: np.ndarray, count: int) -> np.ndarray:
    """One figure per weighting."""
    if np.shape(values) != (count,):
        msg = f"figures of shape {np.shape(values)}, expected ({count},)"
        raise ValueError(msg)
    return values


def scores(row: Scored | Absent, anchor: Scored | Absent, metrics: Sequence[Metric]) -> dict[str, Score]:
    """Every metric of a row beside the anchor's."""
    return {metric.name: _score(row, anchor, metric) for metric in metrics}


def dev_means(cells: Sequence[Json]) -> dict[str, float]:
    """Metrics on dev, means over the seeds that have them."""
    found = [cell["dev"] for cell in cells if cell.get("dev")]
    names = [name for name in (found[0] if found else ()) if all(name in one for one in found)]
    return {name: float(np.mean([one[name] for one in found])) for name in names}


def kept(row: Scored | Absent, reference: Scored | Absent, of: str, metric: Metric, bars: Sequence[float]) -> Kept:
    """What the row keeps of the reference's metric, and the verdict on each bar."""
    share = compared(row, reference, metric.name, _retention(metric))
    return Kept(
        of=of,
        metric=metric.name,
        interval=share,
        bars=tuple(Bar(at_least=bar, verdict=_verdict(share, bar)) for bar in bars),
    )


def resolution(rows: Sequence[Scored | Absent], anchor: Scored | Absent, metric: str, confidence: float) -> Figure:
    """The smallest difference to the anchor that a paired comparison finds with probability `POWER`: the middle row's.

    (z of the confidence, two-sided, + z of the power) × standard error of the paired difference.
    """
    if isinstance(anchor, Absent):
        return NO_REFERENCE
    base = anchor.metrics[metric].replicates
    pairs = [row for row in rows if isinstance(row, Scored) and row.examples == anchor.examples]
    errors = [float(np.std(row.metrics[metric].replicates - base, ddof=1)) for row in pairs]
    sound = sorted(error for error in errors if error > 0)
    if not sound:
        return Absent("no row answers differently from the anchor")
    normal = NormalDist()
    return (normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(POWER)) * sound[len(sound) // 2]


def compared(
    row: Scored | Absent,
    reference: Scored | Absent,
    metric: str,
    how: Callable[[Bootstrap, Bootstrap], Interval],
) -> Ranged:
    """A paired comparison of one metric, or why there is none."""
    if isinstance(row, Absent):
        return row
    if isinstance(reference, Absent):
        return NO_REFERENCE
    if row.examples != reference.examples:
        return OTHER_EXAMPLES
    return _defined(how(row.metrics[metric], reference.metrics[metric]))


def _score(row: Scored | Absent, anchor: Scored | Absent, metric: Metric) -> Score:
    difference = compared(row, anchor, metric.name, paired_difference)
    retention = compared(row, anchor, metric.name, _retention(metric))
    if isinstance(row, Absent):
        return Score(interval=row, by_seed={}, difference=difference, retention=retention)
    found = row.metrics[metric.name]
    return Score(
        interval=_defined(_share(found) if metric.unit == "%" else found.interval),
        by_seed=dict(zip(row.seeds, found.by_seed, strict=True)),
        difference=difference,
        retention=retention,
    )


def _share(found: Bootstrap) -> Interval:
    return certain_share(found.interval.within(0, 1), found.examples, found.confidence)


def _retention(metric: Metric) -> Callable[[Bootstrap, Bootstrap], Interval]:
    """Row / reference; the other way round where less is better, so that more kept is better always."""
    return paired_ratio if metric.higher_is_better else lambda row, base: paired_ratio(base, row)


def _verdict(share: Ranged, bar: float) -> Any:
    return share if isinstance(share, Absent) else verdict(share, bar)


def _defined(interval: Interval) -> Ranged:
    return interval if math.isfinite(interval.value + interval.low + interval.high) else UNDEFINED
