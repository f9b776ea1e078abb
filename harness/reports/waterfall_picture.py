"""The waterfall as a picture: quality, time and size of every step."""

from __future__ import annotations

from harness.reports.model import Absent, FallStep, Report
from harness.reports.pictures import Drop, Falls
from harness.reports.tables import scaled
from harness.specs import Metric
from harness.statistics import Interval

MOST = 12  # rows; a picture of more is read by nobody
TIME = "request, ms at the anchor's pace"
SIZE = "model file, MiB"


def waterfall_picture(report: Report) -> list[Falls]:
    """One picture of the first rows that have steps; a panel is left out where nothing is known of it."""
    falls = report.asked.falls[:MOST]
    steps = [step for fall in falls for step in fall.steps]
    if not steps:
        return []
    panels = [
        (_titled(report.primary), False, tuple(_quality(step, report.primary) for step in steps)),
        (TIME, True, tuple(_time(step) for step in steps)),
        (SIZE, True, tuple(_size(step) for step in steps)),
    ]
    left = len(report.asked.falls) - len(falls)
    title = "where the gain came from"
    more = f", of {len(report.asked.falls)} rows the first {MOST}" if left else ""
    return [
        Falls(
            name="waterfall",
            title=f"{title}{more}",
            alt=f"Quality, time and size of each step towards a compressed row{more}.",
            groups=tuple((fall.row, len(fall.steps)) for fall in falls),
            steps=tuple(" + ".join(step.use) for step in steps),
            panels=tuple(panel for panel in panels if any(panel[2])),
        )
    ]


def _titled(metric: Metric) -> str:
    return metric.name + (f", {metric.unit}" if metric.unit else "")


def _quality(step: FallStep, metric: Metric) -> Drop | None:
    """From the level before to the level after; bounds are those of the paired difference."""
    factor = 100 if metric.unit == "%" else 1
    before, change = scaled(step.before.quality, factor), scaled(step.quality, factor)
    if isinstance(before, Absent) or isinstance(change, Absent):
        return None
    start = before.value
    after = Interval(start + change.value, start + change.low, start + change.high)
    return Drop(start, after, change.value >= 0 if metric.higher_is_better else change.value <= 0)


def _time(step: FallStep) -> Drop | None:
    """From one time to the other; bounds are those of their ratio."""
    before, after, faster = step.before.ms, step.after.ms, step.faster
    if isinstance(before, Absent) or isinstance(after, Absent) or isinstance(faster, Absent):
        return None
    bounds = Interval(after.value, before.value / faster.high, before.value / faster.low)
    return Drop(before.value, bounds, after.value <= before.value)


def _size(step: FallStep) -> Drop | None:
    before, after = step.before.mib, step.after.mib
    if isinstance(before, Absent) or isinstance(after, Absent):
        return None
    return Drop(before, Interval(after, after, after), after <= before)
