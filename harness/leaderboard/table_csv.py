"""A board as CSV: a line per entry and class, every figure in a plain column whose name holds its unit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence

from harness.leaderboard.model import Board, Class, Entry, Spread
from harness.reports.escape import csv_text
from harness.reports.model import Absent, Figure, Ranged
from harness.specs import Metric

Field = tuple[str, str]  # column, text
NO_METRIC = Absent("")


def to_csv(board: Board) -> str:
    """Absent figures are empty, with the reason in the column `…_why_not`. Numbers have six significant digits."""
    metrics = {(metric.name, metric.unit): metric for class_ in board.classes for metric in class_.metrics}
    files = {one.id: one.file for one in board.evidence}
    names = {one.id: one.name for one in board.machines}
    lines = [
        list(_fields(entry, class_, list(metrics.values()), files, names))
        for class_ in board.classes
        for entry in class_.entries
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if lines:
        writer.writerow([csv_text(column) for column, _ in lines[0]])
        writer.writerows([text for _, text in line] for line in lines)
    return out.getvalue()


def _fields(
    entry: Entry, class_: Class, metrics: Sequence[Metric], files: dict[str, str], machines: dict[str, str]
) -> Iterator[Field]:
    texts = {
        "class": class_.title,
        "task": class_.task,
        "row": entry.label,
        "suite": entry.suite,
        "model": entry.model,
        "student": entry.student,
        "trained_with": " → ".join(entry.distil),
        "compressed_with": " → ".join(entry.compressors),
        "axes": json.dumps(dict(entry.axes), ensure_ascii=False),
    }
    yield from ((column, csv_text(text)) for column, text in texts.items())
    yield "anchor", str(entry.anchor).lower()
    yield "ranked_by", csv_text(class_.metrics[0].name)
    yield "place", "" if entry.place is None else str(entry.place)
    yield "shares_place", str(entry.tied).lower()
    yield "seeds", str(entry.seeds)
    for metric in metrics:
        yield from _score(entry, metric, class_)
    yield from _spread("times_faster_request", entry.request)
    yield from _spread("times_faster_forward", entry.forward)
    why = next((one.request.reason for one in entry.timed if isinstance(one.request, Absent)), "")
    yield "times_faster_why_not", csv_text(why)
    yield from _figure("times_smaller", entry.times_smaller)
    yield from _figure("model_mib", entry.model_mib)
    yield from _figure("parameters", entry.parameters, whole=True)
    yield "front_speed", str(entry.front_speed).lower()
    yield "front_size", str(entry.front_size).lower()
    yield "machines", csv_text("; ".join(machines[one.machine] for one in entry.timed))
    yield "records", csv_text("; ".join(files[one] for one in entry.evidence))
    yield "notes", csv_text("; ".join(entry.notes))


def _score(entry: Entry, metric: Metric, class_: Class) -> Iterator[Field]:
    """Empty in classes that have not this metric, or have it in another unit."""
    factor, unit = (100.0, "_percent") if metric.unit == "%" else (1.0, f"_{metric.unit}" if metric.unit else "")
    own = any((one.name, one.unit) == (metric.name, metric.unit) for one in class_.metrics)
    value: Ranged = entry.scores.get(metric.name, NO_METRIC) if own else NO_METRIC
    for suffix, part in (("", "value"), ("_low", "low"), ("_high", "high")):
        yield (
            f"{metric.name}{unit}{suffix}",
            "" if isinstance(value, Absent) else _number(getattr(value, part) * factor),
        )


def _spread(column: str, found: Spread | None) -> Iterator[Field]:
    for suffix, part in (("", "value"), ("_least", "low"), ("_most", "high")):
        yield column + suffix, "" if found is None else _number(getattr(found, part))
    yield f"{column}_machines", "0" if found is None else str(found.machines)


def _figure(column: str, value: Figure, whole: bool = False) -> Iterator[Field]:
    yield column, "" if isinstance(value, Absent) else str(round(value)) if whole else _number(value)
    yield f"{column}_why_not", csv_text(value.reason) if isinstance(value, Absent) else ""


def _number(value: float) -> str:
    return f"{value:.6g}"
