"""The Pareto front of quality against speed and against size: which rows nobody beats, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.reports import format as fmt
from harness.reports.model import Absent, Front, FrontRow, Report, Row
from harness.reports.quality import OTHER_EXAMPLES
from harness.reports.resampled import NOT_RESOLVED, Drawn, Resampled, stacked
from harness.reports.tables import Content, Lines, Shown, header, metric_column, name, section, table
from harness.specs import Metric
from harness.statistics import RESAMPLES, Draws, Interval, unbeaten

FRONT = "front"  # of [report] figures
SPEED, SIZE = "speed", "size"
FEWEST = 2  # rows that make a front
UNLIKELY = 0.005  # a row that is less likely on either front is counted, not listed


def fronts(rows: Sequence[Resampled], metric: Metric, confidence: float) -> tuple[Front, ...]:
    """Quality against speed, then against size; one that fewer than two rows have figures for is left out."""
    found = [front(rows, metric, against, confidence) for against in (SPEED, SIZE)]
    return tuple(one for one in found if len(one.rows) >= FEWEST)


def front(rows: Sequence[Resampled], metric: Metric, against: str, confidence: float) -> Front:
    """Who is on it is judged anew in every resample, on the same drawn examples and blocks for all rows.

    Only rows count that were scored on the examples of the anchor, or where that has no score of the first row.
    """
    scored = [row for row in rows if not isinstance(row.scored, Absent)]
    beside = next((row for row in scored if row.row.anchor), next(iter(scored), None))
    drawn = [(row, row.quality(metric, beside), _GAINS[against](row)) for row in rows]
    known = [(row, q, gain) for row, q, gain in drawn if isinstance(q, Draws) and isinstance(gain, Draws)]
    if not known:
        return Front(against=against, rows=())
    sign = 1 if metric.higher_is_better else -1
    on = unbeaten(sign * stacked([q for _, q, _ in known]), stacked([gain for *_, gain in known]))  # [n, 1 + r]
    return Front(
        against=against,
        rows=tuple(
            FrontRow(
                label=row.row.label,
                cost=_shown_cost(gain.interval(confidence)),
                on=bool(on[at, 0]),
                probability=float(on[at, 1:].mean()),
            )
            for at, (row, _, gain) in enumerate(known)
        ),
    )


def smallness(row: Resampled) -> Drawn:
    """The size of its file as a gain: −MiB, the same in all resamples."""
    size = row.size_mib
    return size if isinstance(size, Absent) else Draws(-size, np.full(RESAMPLES, -size))


def _shown_cost(gain: Interval) -> Interval:
    """−MiB as MiB; ratios as they are."""
    return gain if gain.value >= 0 else Interval(-gain.value, -gain.high, -gain.low)


_GAINS: dict[str, Callable[[Resampled], Drawn]] = {SPEED: lambda row: row.speedup, SIZE: smallness}


# ---------------------------------------------------------------------------------------------------------- its section


def front_section(report: Report) -> Lines:
    """Rows with their probabilities, the best quality first; nothing where the suite did not ask for it."""
    found = {one.against: {row.label: row for row in one.rows} for one in report.fronts}
    likely = {label for rows in found.values() for label, row in rows.items() if row.on or row.probability >= UNLIKELY}
    metric = report.primary
    scores = [(row, row.quality[metric.name].interval) for row in report.rows if row.label in likely]
    known = [(row, score) for row, score in scores if isinstance(score, Interval)]
    known.sort(key=lambda one: one[1].value, reverse=metric.higher_is_better)
    titles = ["row", header(metric.name, metric.unit, metric.higher_is_better)]
    titles += [title for against in found for title in _TITLES[against]]
    quality = metric_column([score for _, score in known], metric.unit)
    rows = [
        [name(row), shown, *(cell for against in found for cell in _cells(row, found[against].get(row.label), against))]
        for (row, _), shown in zip(known, quality, strict=True)
    ]
    return section("The front", table(titles, rows, "lr" + "rr" * len(found)), _how(report, len(likely)))


_TITLES = {SPEED: ("× faster, request ↑", "on the front of speed"), SIZE: ("MiB ↓", "on the front of size")}


def _cells(row: Row, place: FrontRow | None, against: str) -> list[Content]:
    if place is None:
        reason = _no_place(row, against)
        return [reason, reason]
    cost = fmt.mib(place.cost.value) if against == SIZE else _ratio(place.cost)
    chance = fmt.chance(place.probability)
    return [Shown(cost), Shown(f"**{chance}**" if place.on else chance)]


def _no_place(row: Row, against: str) -> Absent:
    """Why a row with a score is on no side of a front."""
    ratio = row.speed.request
    cost = row.size.model_mib if against == SIZE else ratio.interval if ratio.resolved else NOT_RESOLVED
    return cost if isinstance(cost, Absent) else OTHER_EXAMPLES


def _ratio(faster: Interval) -> str:
    """The anchor's is 1 and nothing else."""
    return fmt.measured(faster) if faster.low < faster.high else "1"


def _how(report: Report, shown: int) -> Lines:
    if not report.fronts:
        return []
    everyone = {row.label for one in report.fronts for row in one.rows}
    rest = len(everyone) - shown
    more = f" {rest} more row{'s are' if rest > 1 else ' is'} on neither." if rest else ""
    note = (
        f"On a front is who no other row beats: none is as good in both and better in one. Bold: so by the figures "
        f"themselves; the percentage is the share of {RESAMPLES:,} resamples (examples, seeds and timed blocks drawn "
        f"anew, all rows together; between processes, the noise floor) in which it is.{more}"
    )
    return [note, ""]
