"""Two records → one comparison. Pure: nothing is read, run or timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.comparing import answers, facts, times
from harness.comparing.model import Change, Comparison, Fact, Limits, Pace, RowChange, Side
from harness.comparing.sentence import closing
from harness.comparing.sides import Axes, Opened, check_comparable, open_side
from harness.errors import SuiteError, choices, did_you_mean
from harness.plugins import Registry
from harness.records import Records
from harness.reports.rows import label, status
from harness.specs import Metric

Json = Any
Cells = Mapping[str, Json]
Progress = Callable[[int, int], None]


def compare(
    before: tuple[str, Records],
    after: tuple[str, Records],
    registry: Registry,
    limits: Limits | None = None,
    progress: Progress = lambda done, total: None,
) -> Comparison:
    """Two records, each with its name. SuiteError where they cannot be compared, PluginError without the task.

    `progress` is told (rows done, of how many).
    """
    asked = limits or Limits()
    old, new = (open_side(name, records, registry) for name, records in (before, after))
    check_comparable(old, new)
    pairing = _Pairing(old, new, registry, asked, progress)
    rows = pairing.rows()
    only_before = tuple(label(axes) for axes in old.rows if axes not in new.rows)
    return Comparison(
        before=_side(old),
        after=_side(new),
        mode=str(new.run["mode"]),
        metrics=pairing.metrics,
        rows=rows,
        only_before=only_before,
        only_after=tuple(label(axes) for axes in new.rows if axes not in old.rows),
        facts=pairing.facts,
        tests=answers.tests(pairing.found),
        limits=asked,
        sentence=closing(rows, pairing.facts, len(only_before), pairing.metrics),
    )


@dataclass
class _Pairing:
    """The rows of both records, in the order of the second."""

    before: Opened
    after: Opened
    registry: Registry
    limits: Limits
    progress: Progress

    def __post_init__(self) -> None:
        self.metrics = _metrics(self.before, self.after, self.limits.metrics)
        self.facts: tuple[Fact, ...] = facts.differing(self.before, self.after)
        self.shared = [axes for axes in self.after.rows if axes in self.before.rows]
        self.since = {axes: facts.first_difference(*self._cells(axes)) for axes in self.shared}
        compared = answers.Answers(
            self.before, self.after, self.metrics, answers.blocked(self.before, self.after, self.registry)
        )
        self.found = []
        for done, axes in enumerate(self.shared):
            self.progress(done, len(self.shared))
            self.found.append(compared.row(*self._cells(axes), self.since[axes]))

    def rows(self) -> tuple[RowChange, ...]:
        """Every shared row."""
        quality = answers.judged(self.found, self.metrics, self.limits)
        places = [
            (times.measured(self.before, self.before.rows[axes]), times.measured(self.after, self.after.rows[axes]))
            for axes in self.shared
        ]
        why_not, tests = times.why_not_judged(self.before, self.after), times.judged_ratios(places)
        paces = [times.pace(*place, why_not, tests, self.limits) for place in places]
        return tuple(self._row(*entry) for entry in zip(self.shared, quality, paces, strict=True))

    def _row(self, axes: Axes, quality: tuple[Change, ...], pace: Sequence[Pace]) -> RowChange:
        old, new = self._cells(axes)
        since = self.since[axes]
        return RowChange(
            label=label(axes),
            axes=dict(axes),
            anchor=times.is_anchor(self.after, axes),
            seeds=tuple(sorted(set(old) & set(new))),
            differs_from=since,
            quality=quality,
            pace=tuple(pace),
            weight=times.weight(old, new),
            lost=_lost(old, new),
            touched_by=facts.touching(self.facts, axes, next(iter(new.values())), since, self.registry),
        )

    def _cells(self, axes: Axes) -> tuple[Cells, Cells]:
        return self.before.rows[axes], self.after.rows[axes]


def _metrics(before: Opened, after: Opened, wanted: tuple[str, ...]) -> tuple[Metric, ...]:
    """Those asked for, else the primary one. SuiteError for one that not both records have."""
    old, new = ({metric.name: metric for metric in side.declared} for side in (before, after))
    shared = [name for name in new if name in old]
    unknown = [name for name in wanted or tuple(new)[:1] if name not in shared]
    if unknown:
        msg = f"--metric {unknown[0]}: both records have {choices(shared)}.{did_you_mean(unknown[0], shared)}"
        raise SuiteError(msg)
    return tuple(new[name] for name in wanted or tuple(new)[:1])


def _lost(before: Cells, after: Cells) -> str:
    """What became of a row that had a score, and failed since."""
    had = any(cell["quality"] for cell in before.values())
    failed = [cell for cell in after.values() if cell["status"] in ("failed", "not run")]
    if not had or any(cell["quality"] for cell in after.values()) or not failed:
        return ""
    return f"{status(list(after.values()))}: {failed[0]['reason'] or 'no reason recorded'}"


def _side(opened: Opened) -> Side:
    run = opened.run
    return Side(
        name=opened.name,
        suite=str(run["suite"]["name"]),
        started=str(run["started"]),
        commit=str(run["commit"].get("sha") or ""),
    )
