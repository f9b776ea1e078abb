"""One record, ready to be compared: its rows by what they are, their cells by seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import SuiteError
from harness.plugins import Registry
from harness.records import Records
from harness.reports.model import AxisValue
from harness.reports.rows import label, row_axes
from harness.specs import Metric

Json = Any
Axes = tuple[tuple[str, AxisValue], ...]
Metrics = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Opened:
    """A record with its rows. An axis that a row does not have is left out: adding one to a suite moves no row."""

    name: str
    records: Records
    rows: Mapping[Axes, Mapping[str, Json]]  # axes of a row → seed → cell
    metrics: Metrics

    @property
    def run(self) -> Json:
        """The run's own document."""
        return self.records.run

    @property
    def task(self) -> Json:
        """What it says about its task."""
        return self.run["task"]

    @property
    def labels(self) -> tuple[str, ...]:
        """The order of class ids in its test data."""
        return test_labels(self.run)

    def contents(self, examples: str) -> frozenset[str]:
        """Digests of the contents of these test examples; early records have none."""
        found = (data for data in self.task["data"] if data.get("examples") == examples)
        return frozenset(str(data["contents"]) for data in found if data.get("contents"))

    @property
    def anchor(self) -> Axes:
        """The anchor's axes."""
        return without_none(row_axes(self.run["anchor"]))

    @property
    def declared(self) -> tuple[Metric, ...]:
        """Its metrics, the primary one first."""
        return tuple(Metric(**metric) for metric in self.task["metrics"])


def open_side(name: str, records: Records, registry: Registry) -> Opened:
    """PluginError when the record's task is not installed."""
    about = records.run["task"]
    task = registry.open_task({"use": about["name"], "params": about.get("params", {})})
    names = test_labels(records.run)
    rows: dict[Axes, dict[str, Json]] = {}
    for cell in records.cells:
        rows.setdefault(without_none(row_axes(cell["axes"])), {})[str(cell["axes"]["seed"])] = cell
    return Opened(name, records, rows, lambda samples, weights: task.metrics(samples, weights, names))


def without_none(axes: Axes) -> Axes:
    """The axes that the row's model has."""
    return tuple((name, value) for name, value in axes if value is not None)


def test_labels(run: Json) -> tuple[str, ...]:
    """The labels of the first data with a test split."""
    tested = [data for data in run["task"]["data"] if "test" in data["counts"]]
    return tuple(tested[0]["labels"]) if tested else ()


def check_comparable(before: Opened, after: Opened) -> None:
    """SuiteError with every reason why the two cannot stand side by side."""
    problems = []
    for what, path in (("task", ("task", "name")), ("head", ("task", "head")), ("mode", ("mode",))):
        found = [_at(side.run, path) for side in (before, after)]
        if found[0] != found[1]:
            problems.append(
                f"{what}: '{found[0]}' in {before.name}, '{found[1]}' in {after.name}: only records of one {what} can "
                "be compared"
            )
    if not problems and not set(before.rows) & set(after.rows):
        named = [", ".join(label(axes) for axes in list(side.rows)[:3]) or "none" for side in (before, after)]
        problems.append(
            f"no row stands in both records: {before.name} has {named[0]}, …, {after.name} has {named[1]}, …. Rows are "
            "the same when all their axes are; run the same matrix"
        )
    if problems:
        raise SuiteError(problems)


def _at(document: Json, path: tuple[str, ...]) -> Json:
    for name in path:
        document = document[name]
    return document
