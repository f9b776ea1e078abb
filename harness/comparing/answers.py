"""Quality of rows in two records: paired where the same examples were answered, and corrected for many rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.comparing.model import Change, Limits
from harness.comparing.sides import Opened
from harness.plugins import Registry
from harness.records import read_samples
from harness.reports.model import Absent, Figure, Ranged
from harness.specs import Metric
from harness.statistics import (
    CONFIDENCE,
    Interval,
    Paired,
    Tested,
    bootstrap_metrics,
    holm,
    paired_by_seed,
    t_tests,
    unpaired_difference,
)

Json = Any
Cells = Mapping[str, Json]
Samples = Sequence[np.ndarray]
ANEW = ("build", "train")  # stages after which seeds differ as trainings do
ONE_SEED = "one shared seed: about these two models, not about how they were made"
OTHER_EXAMPLES = "scored on other examples: shown, not judged"
OTHER_SEEDS = "no seed in both records: shown, not judged"


@dataclass(frozen=True, kw_only=True)
class Raw:
    """What was found about one row's metric, before it is tested. `pair` None: it is not."""

    change: Change
    pair: Paired | None = None
    test: Any = None  # rows that answer alike in both records share one test
    family: Any = None  # rows whose seeds scatter for the same reason: metric, and whether they were trained anew


@dataclass
class Answers:
    """Compares rows one by one; an exact export answers like its source and is resampled once."""

    before: Opened
    after: Opened
    metrics: Sequence[Metric]
    blocked: str  # why no row's quality can be compared; "" where it can
    _known: dict[Any, Mapping[str, Paired]] = field(default_factory=dict)

    def row(self, before: Cells, after: Cells, since: str) -> list[Raw]:
        """Every metric of a row that stands in both records; `since`: its first stage with another key."""
        sides = [{seed: cell for seed, cell in cells.items() if cell["quality"]} for cells in (before, after)]
        if self.blocked or not all(sides):
            return self._none(self.blocked or "no score in both records")
        seeds = [s for s in sorted(sides[0]) if s in sides[1] and self._same(sides[0][s], sides[1][s])]
        if not seeds:
            return self._unpaired(sides[0], sides[1])
        old, new = ([read_samples(side[seed]["quality"]["samples"]) for seed in seeds] for side in sides)
        if len({len(array) for array in (*old, *new)}) != 1:
            return self._none("its seeds hold different numbers of examples")
        return self._paired(old, new, since)

    def _paired(self, old: Samples, new: Samples, since: str) -> list[Raw]:
        values = [_means(self.after, side) for side in (old, new)]
        key = _fingerprint((*old, *new))
        pairs = self._pairs(key, old, new)
        raws = []
        for metric in self.metrics:
            pair = pairs[metric.name]
            point = Interval(pair.value, pair.value, pair.value)
            change = _change(metric, values[0], values[1], point, ONE_SEED if len(old) == 1 else "")
            if isinstance(change.difference, Absent):
                raws.append(Raw(change=change))
            elif pair.value == pair.of_examples == pair.scatter == 0:
                raws.append(Raw(change=replace(change, found="same answers" if since else "same work", note="")))
            else:
                family = (metric.name, since.partition(".")[0] in ANEW)
                raws.append(Raw(change=change, pair=pair, test=(key, metric.name), family=family))
        return raws

    def _pairs(self, key: bytes, old: Samples, new: Samples) -> Mapping[str, Paired]:
        if all(np.array_equal(a, b) for a, b in zip(old, new, strict=True)):
            return {metric.name: Paired(0.0, 0.0, 0.0, 0.0, len(old), len(old[0])) for metric in self.metrics}
        if key not in self._known:
            self._known[key] = paired_by_seed(self.after.metrics, new, old)
        return self._known[key]

    def _unpaired(self, before: Cells, after: Cells) -> list[Raw]:
        """Different examples, or no seed in common."""
        sides = []
        for opened, cells in ((self.before, before), (self.after, after)):
            samples = [read_samples(cell["quality"]["samples"]) for cell in cells.values()]
            if len({array.shape for array in samples}) != 1:
                return self._none("its seeds were scored on different examples")
            sides.append(bootstrap_metrics(opened.metrics, samples))
        one_set = all(self._same(old, new) for old in before.values() for new in after.values())
        note = OTHER_SEEDS if one_set else OTHER_EXAMPLES
        old, new = ({name: found.value for name, found in side.items()} for side in sides)
        apart = {name: unpaired_difference(sides[1][name], sides[0][name]) for name in new if name in old}
        return [Raw(change=_change(metric, old, new, apart[metric.name], note)) for metric in self.metrics]

    def _same(self, before: Json, after: Json) -> bool:
        """Were both scored on the same examples: by their ids, and by their contents where both records tell them?"""
        examples = _examples(before)
        contents = self.before.contents(examples), self.after.contents(examples)
        return examples == _examples(after) and (not all(contents) or bool(contents[0] & contents[1]))

    def _none(self, why: str) -> list[Raw]:
        nothing = Absent(why)
        return [
            Raw(change=Change(metric=metric.name, before=nothing, after=nothing, difference=nothing, p=None,
                              found="not compared", note=why))
            for metric in self.metrics
        ]  # fmt: skip


def blocked(before: Opened, after: Opened, registry: Registry) -> str:
    """Why quality cannot be compared at all, or nothing."""
    if after.run["mode"] == "random":
        return "random weights: answers mean nothing"
    if before.labels != after.labels:
        return "the classes are others, or stand in another order"
    spec = registry.task(str(after.task["name"]))
    params = [side.task.get("params", {}) for side in (before, after)]
    rules = sorted(name for name in spec.scoring if params[0].get(name) != params[1].get(name))
    return f"scored by other rules: task.{', task.'.join(rules)}" if rules else ""


def judged(rows: Sequence[Sequence[Raw]], metrics: Sequence[Metric], limits: Limits) -> list[tuple[Change, ...]]:
    """Test all differences, correct them together, and say of each what was found."""
    tested = _tested([raw for row in rows for raw in row])
    corrected = dict(zip(tested, holm([found.p for found in tested.values()]), strict=True))
    by_name = {metric.name: metric for metric in metrics}

    def change(raw: Raw) -> Change:
        if raw.pair is None:
            return raw.change
        whole = replace(raw.change, difference=tested[raw.test].interval, p=corrected[raw.test])
        return _judged(whole, by_name[raw.change.metric], limits)

    return [tuple(change(raw) for raw in row) for row in rows]


def _tested(raws: Sequence[Raw]) -> dict[Any, Tested]:
    families: dict[Any, dict[Any, Paired]] = {}
    for raw in raws:
        if raw.pair is not None:
            families.setdefault(raw.family, {})[raw.test] = raw.pair
    found: dict[Any, Tested] = {}
    for pairs in families.values():
        found.update(zip(pairs, t_tests(list(pairs.values())), strict=True))
    return found


def tests(rows: Sequence[Sequence[Raw]]) -> int:
    """How many there are."""
    return len({raw.test for row in rows for raw in row if raw.pair is not None})


def _judged(change: Change, metric: Metric, limits: Limits) -> Change:
    assert isinstance(change.difference, Interval)  # noqa: S101 - what is undefined is not tested
    gain = change.difference.value * (1 if metric.higher_is_better else -1)
    if change.p is None or change.p > 1 - CONFIDENCE:
        return replace(change, found="not told apart")
    drop = -gain * (100 if metric.unit == "%" else 1)
    return replace(change, found="better" if gain > 0 else "worse", regression=gain < 0 and drop > limits.max_drop)


def _change(
    metric: Metric, before: Mapping[str, float], after: Mapping[str, float], difference: Interval, note: str
) -> Change:
    """Before it is judged."""
    return Change(
        metric=metric.name,
        before=_figure(before[metric.name]),
        after=_figure(after[metric.name]),
        difference=_defined(difference),
        p=None,
        found="not compared",
        note=note,
    )


def _fingerprint(samples: Samples) -> bytes:
    """Rows that answer alike have the same; the figures of 10,000 rows would take gigabytes."""
    whole = hashlib.sha256()
    for array in samples:
        whole.update(repr((array.dtype.str, array.shape)).encode())
        whole.update(np.ascontiguousarray(array).data)
    return whole.digest()


def _examples(cell: Json) -> str:
    return str(cell["quality"]["examples"])


def _means(side: Opened, samples: Samples) -> dict[str, float]:
    """Each metric, mean over seeds."""
    points = [side.metrics(array, np.ones((1, len(array)))) for array in samples]
    return {name: float(np.mean([point[name][0] for point in points])) for name in points[0]}


def _figure(value: float) -> Figure:
    return value if math.isfinite(value) else Absent("undefined")


def _defined(interval: Interval) -> Ranged:
    whole = math.isfinite(interval.value + interval.low + interval.high)
    return interval if whole else Absent("undefined: its denominator is zero in some resamples")
