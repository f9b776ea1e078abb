"""What compression broke: answers that changed, and how sure they are, from the per-example figures of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from harness.records import Records
from harness.reports import answers, lineage
from harness.reports.answers import Answers
from harness.reports.model import Absent, Breakage, Broken, Figure, Flip, Ranged, Row, SliceChange
from harness.specs import Metric
from harness.statistics import Interval, bootstrap_metrics, mcnemar, paired_difference

Json = Mapping[str, Any]
T = TypeVar("T")
Pair = tuple[str, Answers, Answers]  # seed, the row's, the reference's
EXAMPLES = 5  # ids that are shown of what was broken, and of what was mended
BINS = 15  # of confidence, equally wide
CLASS = "class, F1"  # the slice that a class is
NO_CONFIDENCE = Absent("the record holds no probabilities of answers: they are kept of classes, since this version")


@dataclass(frozen=True)
class Context:
    """What all comparisons share."""

    cells: Mapping[str, Sequence[Json]]  # row's label → its cells
    said: Mapping[str, Mapping[str, Answers]]  # row's label → seed → answers
    ids: Mapping[str, Sequence[str]]  # digest of examples → their ids
    labels: Sequence[str]
    primary: str
    confidence: float


def breakage(
    records: Records,
    rows: Sequence[Row],
    cells: Mapping[str, Sequence[Json]],
    metrics: Sequence[Metric],
    score: answers.Score,
) -> Breakage:
    """Every compressed row against its source and against the anchor. `cells`: by the rows' labels."""
    run = records.run
    classes = answers.class_count(run, records.cells)
    judge = None if classes else answers.judge(metrics, score, records.cells)
    tested = [data for data in run["task"]["data"] if "test" in data["counts"]]
    context = Context(
        cells=cells,
        said={label: answers.by_seed(own, classes, judge) for label, own in cells.items()},
        ids={data["examples"]: data["ids"] for data in tested if "ids" in data and "examples" in data},
        labels=tested[0]["labels"] if tested else (),
        primary=metrics[0].name,
        confidence=run["measure"]["confidence"],
    )
    known = {label: lineage.made(own[0]) for label, own in cells.items()}
    anchor = next((row for row in rows if row.anchor), None)
    sources = [(row, lineage.source(row, rows, known)) for row in lineage.compressed(rows)]
    others = [(row, anchor) for row, source in sources if anchor is not source and anchor is not row]
    return Breakage(
        sources=tuple(found for row, of in sources if (found := _broken(row, of, context))),
        anchors=tuple(found for row, of in others if (found := _broken(row, of, context))),
        judged=judge.metric if judge else "",
    )


def _broken(row: Row, of: Row | None, context: Context) -> Broken | None:
    """None where the two were not scored on the same examples."""
    if of is None:
        return None
    pairs = _pairs(context.said[row.label], context.said[of.label])
    digests = {answer.examples for _, mine, theirs in pairs for answer in (mine, theirs)}
    if len(digests) != 1:
        return None
    lost = [theirs.right & ~mine.right for _, mine, theirs in pairs]
    won = [mine.right & ~theirs.right for _, mine, theirs in pairs]
    ids = context.ids.get(digests.pop(), ())
    error, change = _calibration(pairs, context.confidence)
    return Broken(
        row=row.label,
        of=of.label,
        examples=len(lost[0]),
        same=float(np.mean([(mine.said == theirs.said).all(axis=1).mean() for _, mine, theirs in pairs])),
        lost=float(np.mean([flags.sum() for flags in lost])),
        won=float(np.mean([flags.sum() for flags in won])),
        net=_net(won, lost, context.confidence),
        p={s: mcnemar(int(a.sum()), int(b.sum())) for (s, *_), a, b in zip(pairs, lost, won, strict=True)},
        error=error,
        error_change=change,
        first_lost=_flips(lost[0], pairs[0], ids, context.labels),
        first_won=_flips(won[0], pairs[0], ids, context.labels),
        slices=_slices(context.cells[row.label], context.cells[of.label], context.primary),
    )


def _pairs(mine: Mapping[str, T], theirs: Mapping[str, T]) -> list[tuple[str, T, T]]:
    """Seed by seed; a seed that the reference lacks is compared with the reference's first."""
    if not theirs:
        return []
    first = next(iter(theirs.values()))
    return [(seed, answer, theirs.get(seed, first)) for seed, answer in mine.items()]


def _net(won: Sequence[np.ndarray], lost: Sequence[np.ndarray], confidence: float) -> Interval:
    """Share of right answers, row − reference: examples are drawn anew, and seeds with their references."""
    changes = [(up.astype(np.float64) - down)[:, None] for up, down in zip(won, lost, strict=True)]
    return bootstrap_metrics(_mean, changes, confidence=confidence)["mean"].interval


def _mean(samples: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    return {"mean": (weights @ samples[:, 0]) / weights.sum(axis=1)}


def _flips(flags: np.ndarray, pair: Pair, ids: Sequence[str], labels: Sequence[str]) -> tuple[Flip, ...]:
    _, mine, theirs = pair
    places = [int(place) for place in np.flatnonzero(flags)[:EXAMPLES] if place < len(ids)]
    if mine.gold is None or theirs.gold is None:
        return tuple(Flip(example=ids[place]) for place in places)
    return tuple(
        Flip(
            example=ids[place],
            gold=labels[mine.gold[place]],
            before=labels[int(theirs.said[place, 0])],
            after=labels[int(mine.said[place, 0])],
        )
        for place in places
    )


# --------------------------------------------------------------------------------------------------------- calibration


def calibration_error(samples: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Expected calibration error: samples [n, 2] of (confidence, right), weights [r, n] → {"error": [r]}.

    The mean of |share of right answers − mean confidence| over `BINS` equally wide bins of confidence, by how many
    examples each holds.
    """
    bins = np.minimum((samples[:, 0] * BINS).astype(np.int64), BINS - 1)
    surplus = np.eye(BINS)[bins] * (samples[:, 1] - samples[:, 0])[:, None]  # [n, BINS]
    return {"error": np.abs(weights @ surplus).sum(axis=1) / weights.sum(axis=1)}


def _calibration(pairs: Sequence[Pair], confidence: float) -> tuple[Figure, Ranged]:
    """The row's error, and how much it is above the reference's."""
    mine = [samples for _, answer, _ in pairs if (samples := _sureness(answer)) is not None]
    theirs = [samples for _, _, answer in pairs if (samples := _sureness(answer)) is not None]
    if len(mine) < len(pairs):
        return NO_CONFIDENCE, NO_CONFIDENCE
    row = bootstrap_metrics(calibration_error, mine, confidence=confidence)["error"]
    if len(theirs) < len(pairs):
        return row.value, NO_CONFIDENCE
    base = bootstrap_metrics(calibration_error, theirs, confidence=confidence)["error"]
    return row.value, paired_difference(row, base)


def _sureness(answer: Answers) -> np.ndarray | None:
    if answer.confidence is None or len(answer.confidence) != len(answer.right):
        return None
    return np.stack([answer.confidence, answer.right.astype(np.float64)], axis=1)


# -------------------------------------------------------------------------------------------------------------- slices


def _slices(cells: Sequence[Json], reference: Sequence[Json], metric: str) -> tuple[SliceChange, ...]:
    """By what the task's details tell apart: its slices, its classes."""
    mine, theirs = (
        {str(cell["axes"]["seed"]): _parts(cell["quality"]["details"], metric) for cell in side if cell["quality"]}
        for side in (cells, reference)
    )
    pairs = [(one, other) for _, one, other in _pairs(mine, theirs)]
    if not pairs:
        return ()
    first, _ = pairs[0]
    names = [name for name in first if all(name in side for pair in pairs for side in pair)]
    return tuple(
        SliceChange(
            by=by,
            value=value,
            examples=first[by, value][1],
            change=float(np.mean([one[by, value][0] - other[by, value][0] for one, other in pairs])),
        )
        for by, value in names
    )


def _parts(details: Json, metric: str) -> dict[tuple[str, str], tuple[float, int | None]]:
    """(slice, value) → (the metric there, how many examples)."""
    found: dict[tuple[str, str], tuple[float, int | None]] = {}
    for by, values in (details.get("slices") or {}).items():
        for value, figures in values.items():
            if figures.get(metric) is not None:
                examples = figures.get("examples")
                found[by, value] = (figures[metric], None if examples is None else int(examples))
    for label, scores in (details.get("per_class") or {}).items():
        if isinstance(scores, Mapping) and scores.get("f1") is not None:
            found[CLASS, label] = (scores["f1"], scores.get("support"))
    return found
