"""Where the gain of a compressed row came from: teacher, student, each compressor; what each step did."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.reports import lineage, quality
from harness.reports.lineage import Made
from harness.reports.model import Absent, Fall, FallStep, Level, Ranged, Row, Taught, Together
from harness.specs import Metric
from harness.statistics import paired_difference

Json = Mapping[str, Any]
Scores = Callable[[Row], quality.Scored | Absent]
Faster = Callable[[Row, Row], Ranged]
DISTILLED = "learning from it"


def falls(
    rows: Sequence[Row], cells: Mapping[str, Sequence[Json]], metric: Metric, scores: Scores, faster: Faster
) -> tuple[Fall, ...]:
    """One for each compressed row that is no step on the way to another."""
    known = {label: lineage.made(own[0]) for label, own in cells.items()}
    ways = {row.label: lineage.before(row, rows, known) for row in lineage.compressed(rows) if row.seeds_ok}
    passed = {step.label for way in ways.values() for step in way}
    made = []
    for row in rows:
        if row.label in ways and row.label not in passed:
            way = [*ways[row.label], row]
            root = _best_teacher(way[0], rows, cells, metric)
            made.append(_fall([*([root] if root else []), *way], known, metric, scores, faster))
    return tuple(fall for fall in made if fall.steps)


def _best_teacher(row: Row, rows: Sequence[Row], cells: Mapping[str, Sequence[Json]], metric: Metric) -> Row | None:
    """Of those of its last step with teachers; None where it had none, or they are no rows of the run."""
    taught = [names for names in cells[row.label][0]["teachers"] if names]
    found = [lineage.teacher(row, name, rows) for name in (taught[-1] if taught else ())]
    there = [other for other in found if other is not None and other.seeds_ok and other is not row]
    return max(there, key=lambda other: _value(other, metric), default=None)


def _value(row: Row, metric: Metric) -> float:
    found = row.quality[metric.name].interval
    if isinstance(found, Absent):
        return float("-inf")
    return found.value if metric.higher_is_better else -found.value


def _fall(way: Sequence[Row], known: Mapping[str, Made], metric: Metric, scores: Scores, faster: Faster) -> Fall:
    def step(before: Row, after: Row, use: tuple[str, ...]) -> FallStep:
        return FallStep(
            use=use,
            before=_level(before, metric),
            after=_level(after, metric),
            quality=quality.compared(scores(after), scores(before), metric.name, paired_difference),
            faster=faster(after, before),
        )

    steps = [step(a, b, _uses(a, b, known)) for a, b in itertools.pairwise(way)]
    return Fall(row=way[-1].label, steps=tuple(steps), whole=step(way[0], way[-1], ()))


def _uses(before: Row, after: Row, known: Mapping[str, Made]) -> tuple[str, ...]:
    """What was done between two rows; from another model, how the second learned."""
    mine = known[after.label]
    if before.axes.get("model") != after.axes.get("model"):
        return after.training.distil or (DISTILLED,)
    return mine.uses[len(known[before.label].keys) :]


def _level(row: Row, metric: Metric) -> Level:
    return Level(
        label=row.label,
        quality=row.quality[metric.name].interval,
        ms=row.speed.level_ms,
        mib=row.size.model_mib,
    )


def taught(
    rows: Sequence[Row], cells: Mapping[str, Sequence[Json]], metric: Metric, scores: Scores
) -> tuple[Taught, ...]:
    """Every row that learned from several teachers at once beside each of them.

    Compressed ones stand for themselves only where their model is no row uncompressed, or where they learned so on the
    way.
    """
    found = []
    for row in _own(rows, cells):
        cell = cells[row.label][0]
        several = _several(cell["teachers"])
        ensemble = next((str(step["ensemble"]) for step in reversed(cell["train"]) if step.get("ensemble")), "")
        for name in dict.fromkeys(name for names in several for name in names):
            teacher = lineage.teacher(row, name, rows)
            if teacher is not None:
                difference = quality.compared(scores(row), scores(teacher), metric.name, paired_difference)
                found.append(Taught(row=row.label, teacher=teacher.label, difference=difference, ensemble=ensemble))
    return tuple(found)


def together(
    rows: Sequence[Row], cells: Mapping[str, Sequence[Json]], metric: Metric, scores: Scores, scorer: quality.Scorer
) -> tuple[Together, ...]:
    """Every such row beside all its teachers at once, where the record says what these score, or why they do not."""
    found = []
    for row in _own(rows, cells):
        kept = [cell for cell in cells[row.label] if cell.get("ensemble")]
        missed = [cell for cell in cells[row.label] if cell.get("no_ensemble") and _several(cell["teachers"])]
        if kept:
            ensemble = kept[0]["ensemble"]
            scored = scorer.row([{"quality": ensemble, "axes": kept[0]["axes"]}])
            score = quality.scores(scored, scored, [metric])[metric.name].interval
            difference = quality.compared(scores(row), scored, metric.name, paired_difference)
            found.append(
                Together(
                    row=row.label,
                    teachers=tuple(ensemble["teachers"]),
                    score=score,
                    difference=difference,
                    ensemble=str(ensemble.get("ensemble") or ""),
                    weights=tuple(ensemble.get("weights") or ()),
                )
            )
        elif missed:
            why = Absent(str(missed[0]["no_ensemble"]))
            teachers = tuple(_several(missed[0]["teachers"])[-1])
            found.append(Together(row=row.label, teachers=teachers, score=why, difference=why))
    return tuple(found)


def _own(rows: Sequence[Row], cells: Mapping[str, Sequence[Json]]) -> list[Row]:
    """Uncompressed rows, and compressed ones whose model is no such row, or that had several teachers on the way."""
    plain = lineage.uncompressed(rows)
    return [row for row in rows if row in plain or not lineage.siblings(row, plain) or _recovered(cells[row.label][0])]


def _recovered(cell: Json) -> bool:
    """Has a training inside the chain several teachers?"""
    first = len(cell["teachers"]) - int(cell.get("recovered", 0))
    return bool(_several(cell["teachers"][max(0, first) :]))


def _several(teachers: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Those of the steps that have more than one."""
    return [names for names in teachers if len(names) > 1]
