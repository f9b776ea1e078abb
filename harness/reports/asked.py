"""What [report] sections asks for, from records: nothing of it is computed for a report that does not show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.plugins import Registry
from harness.records import Records
from harness.reports import quality
from harness.reports.broken import breakage
from harness.reports.model import Absent, Asked, Breakage, Ranged, Row
from harness.reports.waterfall import falls, taught, together
from harness.specs import Metric

Json = dict[str, Any]


def asked(
    records: Records,
    registry: Registry,
    rows: Sequence[Row],
    cells: Mapping[str, Sequence[Json]],
    metrics: Sequence[Metric],
    scores: Callable[[Row], quality.Scored | Absent],
    faster: Callable[[Row, Row], Ranged],
) -> Asked:
    """`cells`: by the rows' labels. PluginError when the record's task is not installed."""
    wanted = records.run.get("report", {}).get("sections", ())
    judged = records.run["mode"] != "random" and {"broken", "teachers"} & set(wanted)
    scorer = quality.make_scorer(records, registry) if judged else None
    return Asked(
        breakage=breakage(records, rows, cells, metrics, scorer.metrics)
        if scorer and "broken" in wanted
        else Breakage(),
        falls=falls(rows, cells, metrics[0], scores, faster) if "waterfall" in wanted else (),
        taught=taught(rows, cells, metrics[0], scores) if "teachers" in wanted else (),
        together=together(rows, cells, metrics[0], scores, scorer) if scorer and "teachers" in wanted else (),
    )
