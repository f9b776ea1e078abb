"""The sentence that a report begins with and a run ends with.

Of one metric that should be kept it names the fastest model that passes, of several the cheapest row that passes all.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.reports.format import decimals, fixed, half_width, measured, ranged, share, times
from harness.reports.model import Absent, Bar, Kept, Ratio, Row
from harness.specs import Metric
from harness.statistics import Interval

NAMED = 4  # rows that the sentence names at most
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
        return best.label, f"{_unscored(best, anchor)}; {_own(best, metric)}."
    if scored[0].also_kept:
        kept = [row for row in rows if isinstance(row.kept.interval, Interval)]
        label, sentence = _cheapest_of_all(kept, anchor)
        return label, sentence + _besides(next((row for row in kept if row.label == label), None), metric)
    best, why = _choose(scored, metric)
    of = "" if best.kept.of == anchor.label else anchor.label
    sentence = f"{best.label} keeps {_kept(best)} {_gains(best, of)}{why}."
    return best.label, sentence + _besides(best, metric)


def _own(row: Row, metric: Metric) -> str:
    """Of a row whose kept share cannot be formed, because the reference's is 0 or missing."""
    interval = row.quality[metric.name].interval
    if isinstance(interval, Absent):
        return "nothing is known of its quality"
    return f"its {metric.name} is {shown(interval, metric)}; what it keeps of {row.kept.of}'s cannot be said"


def _besides(row: Row | None, metric: Metric) -> str:
    """What became of the primary metric, where only others were to be kept."""
    if row is None or row.anchor or metric.name in {kept.metric for kept in row.keeps}:
        return ""
    difference, interval = row.quality[metric.name].difference, row.quality[metric.name].interval
    if isinstance(difference, Absent) or isinstance(interval, Absent):
        return ""
    points = " points" if metric.unit == "%" else f" {metric.unit}".rstrip()
    moved = _digits(difference, metric, signed=True)
    return f" Its {metric.name} is {shown(interval, metric)}, {moved}{points} against the anchor's."


def shown(interval: Interval, metric: Metric) -> str:
    """A score with its interval and unit: `83.1 [81.9, 84.2] %`."""
    return f"{_digits(interval, metric)}{f' {metric.unit}' if metric.unit else ''}"


def _digits(interval: Interval, metric: Metric, signed: bool = False) -> str:
    """A digit after the point of percents; of anything else what its interval bears."""
    found = _scaled(interval, metric)
    return ranged(found, 1 if metric.unit == "%" else decimals([half_width(found)]), signed)


def _scaled(interval: Interval, metric: Metric) -> Interval:
    factor = 100 if metric.unit == "%" else 1
    return Interval(*(factor * v for v in (interval.value, interval.low, interval.high)))


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
    if _speedup(best.speed.forward) <= NO_RATIO:
        return f"the smallest {of}"
    tied = any(_overlap(row.speed.forward, best.speed.forward) for row in rows if row is not best)
    return f"among the fastest {of}" if tied else f"the fastest {of}"


def _is_worse(row: Row, metric: Metric) -> bool:
    difference = row.quality[metric.name].difference
    if isinstance(difference, Absent):
        return True
    return difference.high < 0 if metric.higher_is_better else difference.low > 0


def _fastest(rows: Sequence[Row]) -> Row:
    """Of those as fast as the fastest, as far as can be told, the one that keeps most, then the smallest."""
    first = max(rows, key=lambda row: _speedup(row.speed.forward))
    if _speedup(first.speed.forward) == NO_RATIO:
        return max(rows, key=_smaller)
    tied = [row for row in rows if row is first or _overlap(row.speed.forward, first.speed.forward)]
    return max(tied, key=lambda row: (round(_kept_share(row), 3), _smaller(row), _speedup(row.speed.forward)))


def _overlap(ratio: Ratio, other: Ratio) -> bool:
    one, two = ratio.interval, other.interval
    if not _is_faster(ratio) or isinstance(one, Absent) or isinstance(two, Absent):
        return False
    return one.low <= two.high and two.low <= one.high


def _is_faster(ratio: Ratio) -> bool:
    """Is it one to go by: measured, resolved and outside the noise?"""
    return isinstance(ratio.interval, Interval) and ratio.resolved and not ratio.noise


def _kept_share(row: Row) -> float:
    return row.kept.interval.value if isinstance(row.kept.interval, Interval) else 0.0


def _keeper(rows: Sequence[Row]) -> Row:
    return max(rows, key=_kept_share)


def _speedup(ratio: Ratio) -> float:
    """The lower bound: a wide interval is no merit."""
    return ratio.interval.low if isinstance(ratio.interval, Interval) and _is_faster(ratio) else NO_RATIO


def _smaller(row: Row) -> float:
    return 0.0 if isinstance(row.size.times_smaller, Absent) else row.size.times_smaller


def _kept(row: Row) -> str:
    """`98.1 % [97.2, 98.9] of teacher's accuracy`."""
    return _part(row.kept)


def _part(kept: Kept) -> str:
    found = kept.interval
    if isinstance(found, Absent):
        return f"an unknown share of {kept.of}'s {kept.metric}"
    value, *rest = ranged(Interval(*(100 * v for v in (found.value, found.low, found.high))), 1).split(" ", 1)
    return f"{' '.join([value, '%', *rest])} of {kept.of}'s {kept.metric}"


def _unscored(row: Row, anchor: Row) -> str:
    return f"{row.label} runs {_gains(row, anchor.label)}"


def _gains(row: Row, of: str) -> str:
    """`at 7.9× the speed and 1/13 of the size`; the anchor is named where the sentence has not done so."""
    return _gained([_speed(row.speed.forward, "the speed"), _size(row)], of)


def _gained(said: Sequence[str], of: str) -> str:
    parts = [part for part in said if part]
    if not parts:
        return "(neither speed nor size is known)"
    return "at " + " and ".join(parts) + (f" of {of}" if of else "")


def _speed(ratio: Ratio, what: str) -> str:
    """`7.9× [7.8, 8.0] the speed`."""
    if isinstance(ratio.interval, Absent):
        return ""
    if not ratio.resolved:
        return "a speed that the measurement did not resolve"
    if ratio.noise:
        return what.replace("the ", "the same ", 1)
    value, bounds = measured(ratio.interval).split(" ", 1)
    return f"{value}× {bounds} {what}"


def _size(row: Row) -> str:
    smaller = row.size.times_smaller
    if isinstance(smaller, Absent):
        return ""
    if smaller >= 1.75:
        return f"1/{times(smaller)} of the size"
    return f"{fixed(100 / smaller, 0)} % of the size"


# ------------------------------------------------------------------------------------------------ several to be kept


def _cheapest_of_all(rows: Sequence[Row], anchor: Row) -> tuple[str | None, str]:
    """The cheapest row that keeps all that the suite asks for, at the strictest bars that any row passes.

    The rows that others are compared with keep all of themselves: they are no answer.
    """
    others = [row for row in rows if row.label not in {kept.of for kept in row.keeps}]
    if not others:
        return None, "There is no row beside those that rows are compared with."
    for level in reversed(range(max(len(kept.bars) for kept in others[0].keeps))):
        passed = [row for row in others if _verdicts(row, level) == {"PASS"}]
        if passed:
            return _passes(passed, level, anchor)
    return _nothing_passes(others, anchor)


def _verdicts(row: Row, level: int) -> set[str]:
    """On the bars of one level, the lowest first; a metric with fewer bars is held to its strictest."""
    verdicts = [_bar(kept, level).verdict for kept in row.keeps]
    return {"INCONCLUSIVE" if isinstance(verdict, Absent) else verdict for verdict in verdicts}


def _bar(kept: Kept, level: int) -> Bar:
    return kept.bars[min(level, len(kept.bars) - 1)]


def _bars(row: Row, level: int) -> str:
    """`f1 ≥ 99 % and f1_critical ≥ 99 %`."""
    return _and([f"{kept.metric} ≥ {share(_bar(kept, level).at_least)}" for kept in row.keeps])


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _passes(passed: Sequence[Row], level: int, anchor: Row) -> tuple[str, str]:
    best = _cheapest(passed)
    verb = "passes" if len(passed) == 1 else "pass"
    rank = "the only row" if len(passed) == 1 else f"the cheapest of the {len(passed)} rows"
    return best.label, f"{best.label} keeps {_all_kept(best, anchor)}: {rank} that {verb} {_bars(best, level)}."


def _nothing_passes(rows: Sequence[Row], anchor: Row) -> tuple[str, str]:
    """With the row whose worst kept share is the nearest to its bar, and those that may pass."""
    best = max(rows, key=_margin)
    open_ = [row.label for row in rows if _verdicts(row, 0) <= {"PASS", "INCONCLUSIVE"}]
    told = [*open_[:NAMED], *([f"{len(open_) - NAMED} more"] if len(open_) > NAMED else [])]
    rest = f"inconclusive: {_and(told)}" if told else "this one comes closest"
    return best.label, f"{best.label} keeps {_all_kept(best, anchor)}; no row passes {_bars(best, 0)}, {rest}."


def _margin(row: Row) -> float:
    """The least distance of a kept share from its lowest bar."""
    found = [(kept.interval, _bar(kept, 0).at_least) for kept in row.keeps]
    return min(i.value - bar if isinstance(i, Interval) else -float("inf") for i, bar in found)


def _cheapest(rows: Sequence[Row]) -> Row:
    """Of those whose requests are as fast as the fastest's, the smallest, then who keeps most."""
    first = max(rows, key=lambda row: _speedup(row.speed.request))
    tied = [row for row in rows if row is first or _overlap(row.speed.request, first.speed.request)]
    fast = tied if _speedup(first.speed.request) > NO_RATIO else rows
    return max(fast, key=lambda row: (_smaller(row), min(_share(kept) for kept in row.keeps)))


def _share(kept: Kept) -> float:
    return kept.interval.value if isinstance(kept.interval, Interval) else 0.0


def _all_kept(row: Row, anchor: Row) -> str:
    """`97 % of teacher's f1 and 99 % of teacher's f1_critical at 5.7× the speed of a request and 1/5.6 of the size`."""
    shares = _and([_part(kept) for kept in row.keeps])
    if row.anchor:
        return f"{shares} (it is the anchor)"
    of = "" if row.kept.of == anchor.label else anchor.label
    return f"{shares} {_gained([_speed(row.speed.request, 'the speed of a request'), _size(row)], of)}"


# ---------------------------------------------------------------------------------------------------- without an answer


def _rehearsed(rows: Sequence[Row]) -> str:
    cells, done = sum(row.seeds for row in rows), sum(row.seeds_ok for row in rows)
    how = "on bundled samples with miniature models; your own data was not read"
    return f"Rehearsal: {done} of {cells} cells went through {how}."


def _nothing(rows: Sequence[Row], anchor: Row | None) -> str:
    if anchor is None:
        return f"The anchor is not among the {len(rows)} rows: nothing can be said about what they keep of it."
    if len(rows) == 1 and _has_result(anchor):
        return f"{anchor.label} is the only row: there is nothing to compare it with."
    cells, done = sum(row.seeds for row in rows), sum(row.seeds_ok for row in rows)
    return f"Nothing to compare: {done} of {cells} cells went through."
