"""The sentence that a comparison ends with: the answer first, then the likeliest reason."""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparing.model import Change, Fact, Pace, RowChange
from harness.reports import format as fmt
from harness.specs import Metric
from harness.statistics import Interval

NAMED = 3  # rows and facts in the sentence


def closing(rows: Sequence[RowChange], facts: Sequence[Fact], lost_rows: int, metrics: Sequence[Metric]) -> str:
    """One line. Texts of records stand in it as they are."""
    regressions = [row for row in rows if row.regression]
    missing = f" {_rows(lost_rows)} of the first record {'is' if lost_rows == 1 else 'are'} not in the second."
    missing = missing if lost_rows else ""
    if regressions:
        named = "; ".join(_named(row, metrics) for row in regressions[:NAMED])
        more = f"; and {len(regressions) - NAMED} more" if len(regressions) > NAMED else ""
        count = f"{len(regressions)} of {_rows(len(rows))} {'is' if len(regressions) == 1 else 'are'} worse"
        return f"{count}: {named}{more}.{_suspects(regressions, facts)}{missing}"
    return f"{_quiet(rows)}{missing}"


def difference(change: Change, metric: Metric, signed: bool = True) -> str:
    """`−3.1 [−4.0, −2.2] points`."""
    if not isinstance(change.difference, Interval):
        return change.difference.reason
    factor, unit = (100, " points") if metric.unit == "%" else (1, f" {metric.unit}" if metric.unit else "")
    scaled = Interval(*(factor * value for value in _bounds(change.difference)))
    places = fmt.decimals([fmt.half_width(scaled)])
    return f"{fmt.ranged(scaled, min(max(places, 1), 4), signed)}{unit}"


def _quiet(rows: Sequence[RowChange]) -> str:
    differing = [row for row in rows if row.differs]
    if not differing:
        return f"Nothing differs in {_rows(len(rows))}: the same answers, the same sizes, no ratio beyond noise."
    judged = [change.found for row in rows for change in row.quality]
    paces = [pace.found for row in rows for pace in row.pace]
    parts = [f"{_rows(len(differing))} of {len(rows)} {'differs' if len(differing) == 1 else 'differ'}"]
    parts += [f"{judged.count('better')} significantly better"] if "better" in judged else []
    parts += [f"{judged.count('worse')} worse within the limits"] if "worse" in judged else []
    parts += [f"{paces.count('worse')} ratios slower than before"] if "worse" in paces else []
    unjudged = sum(any(change.found == "not compared" for change in row.quality) for row in rows)
    parts += [f"the quality of {unjudged} not judged"] if unjudged else []
    return f"No regression: {', '.join(parts)}."


def _named(row: RowChange, metrics: Sequence[Metric]) -> str:
    by_name = {metric.name: metric for metric in metrics}
    parts = [f"no score any more ({row.lost})"] if row.lost else []
    parts += [_quality(change, by_name[change.metric]) for change in row.quality if change.regression]
    parts += [_pace(pace) for pace in row.pace if pace.regression]
    return f"{row.label} ({', '.join(parts)})"


def _quality(change: Change, metric: Metric) -> str:
    return f"{change.metric} {difference(change, metric)}, p = {shown_p(change.p)}"


def _pace(pace: Pace) -> str:
    assert isinstance(pace.ratio, Interval)  # noqa: S101 - only what was judged is a regression
    return f"{pace.kind} {fmt.measured(pace.ratio)} times as fast beside the anchor"


def shown_p(p: float | None) -> str:
    """`0.012`, `< 0.001`, `—`."""
    if p is None:
        return fmt.DASH
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _suspects(rows: Sequence[RowChange], facts: Sequence[Fact]) -> str:
    """What enters the work of all of them, else the machine, else nothing recorded."""
    shared = [fact for fact in facts if all(fact.name in row.touched_by for row in rows)]
    found = shared or [fact for fact in facts if fact.about in ("machine", "libraries", "code")]
    if not found:
        return " Nothing that was recorded differs: look at what is not, such as a changed plugin of the same version."
    named = ", ".join(f"{fact.name} ({fact.before or fmt.DASH} → {fact.after or fmt.DASH})" for fact in found[:NAMED])
    return f" Look first at {named}."


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _bounds(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high
