"""What a run can be compared with: the rows of its record, the rows that were published, and when neither holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.reports.model import Absent, AxisValue, Figure, Ranged, Row, Theirs
from harness.statistics import Interval

Json = Mapping[str, Any]
MS_PER_MINUTE = 60_000
FEWER = 0.9  # of the published number of examples: below it the test data are others
OURS = ("max_length", "doc_stride")  # of [task]: what models read, not what they are asked; any other key changes that


def theirs(documents: Sequence[Json], rows: Sequence[Row]) -> tuple[Theirs, ...]:
    """The published rows, in the suite's order."""
    return tuple(_their_row(document, rows) for document in documents)


def _their_row(document: Json, rows: Sequence[Row]) -> Theirs:
    axes = document["row"] if isinstance(document["row"], Mapping) else None
    ours = find(axes, rows) if axes is not None else None
    return Theirs(
        label=ours.label if isinstance(ours, Row) else named(document["row"]),
        axes=axes,
        figures={name: float(value) for name, value in document.items() if _is_figure(value)},
        training=str(document.get("training", "")),
        source=str(document.get("source", "")),
    )


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def find(wanted: Mapping[str, AxisValue], rows: Sequence[Row]) -> Row | Absent:
    """The one row with these axes; without a chain, the uncompressed one."""
    axes = {"compress": "none", **wanted}
    found = [row for row in rows if all(row.axes.get(axis) == value for axis, value in axes.items())]
    if len(found) == 1:
        return found[0]
    return Absent(f"{named(wanted)} is {len(found)} rows of this run" if found else "no row of this run")


def named(wanted: Any) -> str:
    """`ruBert-base · int8`: as a row is labelled; an outsider by its name."""
    if not isinstance(wanted, Mapping):
        return str(wanted)
    chain = [] if wanted.get("compress") in (None, "none") else [str(wanted["compress"])]
    rest = [f"{axis}={value}" for axis, value in sorted(wanted.items()) if axis not in ("model", "compress")]
    return " · ".join([str(wanted.get("model", "any model")), *chain, *rest])


def foreign(run: Json, examples: Figure) -> str:
    """Why quality can neither be compared with what was published nor judged; nothing where it can.

    A suite's published rows speak of the data set that its task stands for.
    """
    if run["mode"] != "real":
        return {"random": "random weights"}.get(run["mode"], "a rehearsal")
    source, default = run["task"].get("source"), run["task"].get("default_source")
    if default is None:
        other = any(change.partition("=")[0].strip() == "task.source" for change in run["suite"]["set"])
    else:
        other = source is not None and source.partition("@")[0] != default.partition("@")[0]
    if other:
        return "other data"
    if changed := _changed(run["suite"]["set"]):
        return f"other data or types ({', '.join(f'{key} was set' for key in changed)})"
    counts = [row["examples"] for row in run["published"] if _is_figure(row.get("examples"))]
    if counts and isinstance(examples, int) and examples < FEWER * min(counts):
        return f"other data ({examples:,} test examples, published for {min(counts):,})"
    return ""


def _changed(overrides: Sequence[str]) -> list[str]:
    """Keys of [task], or all of it, that `--set key=value` changed. Of its source more is known than that."""
    paths = [[part.strip(" \t\"'") for part in text.partition("=")[0].split(".")] for text in overrides]
    return [".".join(path) for path in paths if path[0] == "task" and path[1:2] not in [[n] for n in (*OURS, "source")]]


def tested(run: Json) -> Figure:
    """How many examples rows are scored on."""
    counts = [data["counts"]["test"] for data in run["task"]["data"] if "test" in data["counts"]]
    return counts[0] if counts else Absent("no test data in this run")


def minutes(row: Row, examples: Figure) -> Ranged:
    """Text to answer, one by one, over all test examples: extrapolated from the measured requests."""
    mean = row.speed.level_ms
    if isinstance(mean, Absent):
        return mean
    if isinstance(examples, Absent):
        return examples
    factor = examples / MS_PER_MINUTE
    return Interval(mean.value * factor, mean.low * factor, mean.high * factor)


def per_minute(row: Row) -> Ranged:
    """Requests, text to answer, one by one."""
    mean = row.speed.level_ms
    if isinstance(mean, Absent):
        return mean
    return Interval(MS_PER_MINUTE / mean.value, MS_PER_MINUTE / mean.high, MS_PER_MINUTE / mean.low)


def millions(row: Row) -> Figure:
    """Parameters, less what compressors removed."""
    count = row.size.parameters
    return count if isinstance(count, Absent) else count / 1e6
