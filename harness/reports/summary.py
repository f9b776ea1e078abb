"""The sentence that a report begins with and a run ends with."""

from __future__ import annotations

from collections.abc import Sequence

from harness.reports.format import fixed, measured, ranged, share, times
from harness.reports.model import Absent, Row
from harness.specs import Metric
from harness.statistics import Interval

NO_RATIO = 1.0  # a row without a resolved speed is taken for as fast as the anchor


def summarise_rows(rows: Sequence[Row], metric: Metric, mode: str) -> tuple[str | None, str]:
    """(label of the row that it is about, the sentence)."""
    anchor = next((row for row in rows if row.anchor), None)
    others = [row for row in rows if not row.anchor and row.status != "skipped"]
    if mode == "rehearsal":
        return None, _rehearsed(rows)
    done = [row for row in others if _has_result(row)]
    if anchor is None or not done:
        return None, _nothing(rows, anchor)
    if mode == "random":
        best = _fastest(done)
        return best.label, f"With random weights, {_unscored(best, anchor)}; quality is not looked at."
    scored = [row for row in done if isinstance(row.kept.interval, Interval)]
    if not scored:
        best = _fastest(done)
        return best.label, f"{_unscored(best, anchor)}; nothing is known of its quality."
    best, why = _choose(scored, metric)
    of = "" if best.kept.of == anchor.label else anchor.label
    return best.label, f"{best.label} keeps {_kept(best)} {_gains(best, of)}{why}."


def _has_result(row: Row) -> bool:
    return isinstance(row.kept.interval, Interval) or isinstance(row.size.model_mib, float | int)


def _choose(rows: Sequence[Row], metric: Metric) -> tuple[Row, str]:
    """The fastest of the rows that pass the lowest bar; without bars, of those no worse than the anchor."""
    bars = rows[0].kept.bars
    if not bars:
        equal = [row for row in rows if not _is_worse(row, metric)]
        if equal:
            best = _fastest(equal)
            return best, f": {_rank(best, equal)} whose {metric.name} is not shown to be worse than the anchor's"
        return _keeper(rows), f"; every row's {metric.name} is worse than the anchor's, this one's the least"
    lowest = min(bar.at_least for bar in bars)
    passed = [row for row in rows if any(b.at_least == lowest and b.verdict == "PASS" for b in row.kept.bars)]
    if passed:
        verb = "passes" if len(passed) == 1 else "pass"
        best = _fastest(passed)
        return best, f": {_rank(best, passed)} that {verb} the bar of {share(lowest)}"
    return _keeper(rows), f"; no row passes the bar of {share(lowest)}, this one comes closest"


def _rank(best: Row, rows: Sequence[Row]) -> str:
    """`the fastest of the 3 rows`; among the fastest where others cannot be told from it."""
    if len(rows) == 1:
        return "the only row"
    of = f"of the {len(rows)} rows"
    if _speedup(best) <= NO_RATIO:
        return f"the smallest {of}"
    tied = any(_overlap(row, best) for row in rows if row is not best)
    return f"among the fastest {of}" if tied else f"the fastest {of}"


def _is_worse(row: Row, metric: Metric) -> bool:
    difference = row.quality[metric.name].difference
    if isinstance(difference, Absent):
        return True
    return difference.high < 0 if metric.higher_is_better else difference.low > 0


def _fastest(rows: Sequence[Row]) -> Row:
    """Of those as fast as the fastest, as far as can be told, the one that keeps most, then the smallest."""
    first = max(rows, key=_speedup)
    if _speedup(first) == NO_RATIO:
        return max(rows, key=_smaller)
    tied = [row for row in rows if row is first or _overlap(row, first)]
    return max(tied, key=lambda row: (round(_kept_share(row), 3), _smaller(row), _speedup(row)))


def _overlap(row: Row, other: Row) -> bool:
    one, two = row.speed.forward.interval, other.speed.forward.interval
    if not _is_faster(row) or isinstance(one, Absent) or isinstance(two, Absent):
        return False
    return one.low <= two.high and two.low <= one.high


def _is_faster(row: Row) -> bool:
    """Is its ratio one to go by: measured, resolved and outside the noise?"""
    ratio = row.speed.forward
    return isinstance(ratio.interval, Interval) and ratio.resolved and not ratio.noise


def _kept_share(row: Row) -> float:
    return row.kept.interval.value if isinstance(row.kept.interval, Interval) else 0.0


def _keeper(rows: Sequence[Row]) -> Row:
    return max(rows, key=_kept_share)


def _speedup(row: Row) -> float:
    """The lower bound: a wide interval is no merit."""
    interval = row.speed.forward.interval
    return interval.low if isinstance(interval, Interval) and _is_faster(row) else NO_RATIO


def _smaller(row: Row) -> float:
    return 0.0 if isinstance(row.size.times_smaller, Absent) else row.size.times_smaller


def _kept(row: Row) -> str:
    """`98.1 % [97.2, 98.9] of teacher's accuracy`."""
    found = row.kept.interval
    assert isinstance(found, Interval)  # noqa: S101 - rows were chosen for it
    value, rest = ranged(Interval(*(100 * v for v in (found.value, found.low, found.high))), 1).split(" ", 1)
    return f"{value} % {rest} of {row.kept.of}'s {row.kept.metric}"


def _unscored(row: Row, anchor: Row) -> str:
    return f"{row.label} runs {_gains(row, anchor.label)}"


def _gains(row: Row, of: str) -> str:
    """`at 7.9× the speed and 1/13 of the size`; the anchor is named where the sentence has not done so."""
    parts = [part for part in (_speed(row), _size(row)) if part]
    if not parts:
        return "(neither speed nor size is known)"
    return "at " + " and ".join(parts) + (f" of {of}" if of else "")


def _speed(row: Row) -> str:
    ratio = row.speed.forward
    if isinstance(ratio.interval, Absent):
        return ""
    if ratio.noise or not ratio.resolved:
        return "the same speed" if ratio.noise else "a speed that was not resolved"
    value, bounds = measured(ratio.interval).split(" ", 1)
    return f"{value}× {bounds} the speed"


def _size(row: Row) -> str:
    smaller = row.size.times_smaller
    if isinstance(smaller, Absent):
        return ""
    if smaller >= 1.75:
        return f"1/{times(smaller)} of the size"
    return f"{fixed(100 / smaller, 0)} % of the size"


def _rehearsed(rows: Sequence[Row]) -> str:
    cells, done = sum(row.seeds for row in rows), sum(row.seeds_ok for row in rows)
    return f"Rehearsal: {done} of {cells} cells went through on sampled data with miniature models."


def _nothing(rows: Sequence[Row], anchor: Row | None) -> str:
    if anchor is None:
        return f"The anchor is not among the {len(rows)} rows: nothing can be said about what they keep of it."
    if len(rows) == 1 and _has_result(anchor):
        return f"{anchor.label} is the only row: there is nothing to compare it with."
    cells, done = sum(row.seeds for row in rows), sum(row.seeds_ok for row in rows)
    return f"Nothing to compare: {done} of {cells} cells went through."
