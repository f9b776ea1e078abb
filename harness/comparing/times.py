"""Speed and size of rows in two records: times only beside the anchor that was measured in the same minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.comparing.model import Found, Limits, Pace, Weight
from harness.comparing.sides import Axes, Opened
from harness.reports import speed
from harness.reports.model import Absent, Ranged
from harness.statistics import CONFIDENCE, Interval, median_ratio
from harness.suite.types import SpeedConfig

Json = Any
Cells = Mapping[str, Json]
KINDS = ("request", "forward")
SETTINGS = (
    "threads",
    "batch_size",
    "inputs",
    "turn_ms",
    "warmup",
)  # of a measurement: what changes them changes ratios


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Where a row's times stand."""

    document: Json
    subject: str
    key: str


def pace(before: Measured | None, after: Measured | None, why_not: str, tests: int, limits: Limits) -> list[Pace]:
    """Each kind of time. `why_not`: why ratios are shown and not judged; `tests`: among how many each is one."""
    if before is None or after is None:
        nothing = Absent("not measured in both records")
        return [Pace(kind=kind, before=nothing, after=nothing, ratio=nothing, found="not compared") for kind in KINDS]
    return [_pace(kind, before, after, why_not, tests, limits) for kind in KINDS]


def _pace(kind: str, before: Measured, after: Measured, why_not: str, tests: int, limits: Limits) -> Pace:
    beside = [_beside_anchor(side, kind) for side in (before, after)]
    if before.subject == "anchor" or after.subject == "anchor":
        nothing = Absent("the anchor: all ratios are to it")
        return Pace(kind=kind, before=beside[0], after=beside[1], ratio=nothing, found="not compared")
    if before.document == after.document and before.subject == after.subject:
        one = Interval(1.0, 1.0, 1.0)
        return Pace(kind=kind, before=beside[0], after=beside[1], ratio=one, found="same work")
    floor = max((f for side in (before, after) if isinstance(f := _floor(side, kind), float)), default=None)
    sides = [(side.document, side.subject) for side in (after, before)]
    confidence = 1 - (1 - CONFIDENCE) / max(1, tests)  # Bonferroni: one call for every ratio that is judged
    ratio = speed.faster(sides[0], sides[1], kind, floor or 0.0, confidence)
    if isinstance(ratio, Absent):
        return Pace(kind=kind, before=beside[0], after=beside[1], ratio=ratio, found="not compared")
    note = why_not or ("" if floor is not None else "no noise floor: the anchor's twin was not measured")
    found = "not compared" if note else _found(ratio)
    slower = 100 * (1 - ratio.value)
    regression = limits.speed and found == "worse" and slower > limits.max_slowdown
    return Pace(
        kind=kind, before=beside[0], after=beside[1], ratio=ratio, found=found, regression=regression, note=note
    )


def _found(ratio: Interval) -> Found:
    if ratio.high < 1:
        return "worse"
    return "better" if ratio.low > 1 else "not told apart"


def _beside_anchor(side: Measured, kind: str) -> Ranged:
    workload, column = speed.KINDS[kind]
    results = [side.document["anchor"], speed.subject(side.document, side.subject)]
    times = [result.get("workloads", {}).get(workload, {}).get(column, []) for result in results]
    return median_ratio(*times) if all(times) else Absent(f"the workload '{workload}' was not measured")


def _floor(side: Measured, kind: str) -> Any:
    return speed.floors(side.document, CONFIDENCE)[kind]


def measured(side: Opened, cells: Cells) -> Measured | None:
    """The first seed's measurement that the record holds."""
    documents = side.records.measurements
    found = [cell for cell in cells.values() if cell["measure"] in documents and cell["subject"]]
    if not found:
        return None
    key = str(found[0]["measure"])
    return Measured(document=documents[key], subject=str(found[0]["subject"]), key=key)


def why_not_judged(before: Opened, after: Opened) -> str:
    """Why ratios of the two records are no matter of regressions; "" where they are."""
    if before.anchor != after.anchor:
        return "other anchors: ratios are to different rows"
    if before.run["machine"].get("identity") != after.run["machine"].get("identity"):
        return "other machines: ratios to the anchor differ between machines, too"
    settings = [_settings(side) for side in (before, after)]
    changed = [name for name in SETTINGS if settings[0].get(name) != settings[1].get(name)]
    return f"measured otherwise: {', '.join(changed)}" if changed else ""


def _settings(side: Opened) -> Mapping[str, Json]:
    threads = sorted({document["threads"] for document in side.records.measurements.values()})
    return {"warmup": SpeedConfig.warmup, **(side.run["measure"]["speed"] or {}), "threads": threads}


def judged_ratios(rows: Sequence[tuple[Measured | None, Measured | None]]) -> int:
    """How many different ratios there are: rows that differ only in their training share a measurement."""
    pairs = {
        (before.key, before.subject, after.key, after.subject)
        for before, after in rows
        if before and after and "anchor" not in (before.subject, after.subject)
    }
    return len(pairs) * len(KINDS)


def weight(before: Cells, after: Cells) -> Weight:
    """The model file of the first artifact."""
    sizes = [speed.size(list(cells.values()), Absent("")).model_mib for cells in (before, after)]
    return Weight(before=sizes[0], after=sizes[1])


def is_anchor(side: Opened, axes: Axes) -> bool:
    """Is it the record's anchor?"""
    return set(side.anchor) <= set(axes)
