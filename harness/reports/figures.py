"""Which pictures a report has and what stands in them: values alone, no plotting library is imported to know.

Quality against time; for tasks that call some types critical, the metrics by row and time against parameters; the
metrics against every numeric axis of the matrix. `harness.reports.plots` draws them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from harness.reports.escape import markdown
from harness.reports.model import Absent, Ranged, Report, Row, Theirs
from harness.reports.study import MS_PER_MINUTE, millions
from harness.reports.tables import Lines, scaled
from harness.specs import Metric
from harness.statistics import Interval

COLOURS = 7  # that most eyes tell apart: so many models get one each
MANY = 16  # rows; beyond it only uncompressed ones are compared one by one
FEWEST = 3  # values of an axis that make a curve
CRITICAL = "f1_critical"  # a task that has it names what must not be lost
REQUEST = "request (text to answer, one at a time), ms, logarithmic"
BATCH = "forward pass of one fixed batch, ms at the anchor's pace, logarithmic"
NO_BATCH = Absent("no anchor")
_UNSAFE = re.compile(r"[^\w-]")


@dataclass(frozen=True)
class Point:
    """One row, in the units that are shown. A published one has no bounds."""

    x: Interval
    y: Interval
    label: str
    model: str
    ours: bool = True
    telling: bool = True  # labelled even where there is no room for all labels


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What all pictures have: a part of the file's name, a title, and its text in words."""

    name: str
    title: str
    alt: str


@dataclass(frozen=True, kw_only=True)
class Scatter(Picture):
    """A point per row; x on a logarithmic axis."""

    across: str
    up: str
    points: tuple[Point, ...]
    logarithmic: bool = False  # y, too
    key: str = ""  # what labels say where colours say the model


@dataclass(frozen=True, kw_only=True)
class ByRow(Picture):
    """Metrics of each row beside each other. One entry per row in every series; what is missing is None."""

    rows: tuple[str, ...]
    series: tuple[tuple[str, tuple[Interval | None, ...]], ...]  # (metric with its unit, ours)
    published: tuple[tuple[float | None, ...], ...]  # of each series
    anchor: int | None  # position of the anchor's row


@dataclass(frozen=True)
class Line:
    """What one metric does along an axis, for rows that differ in nothing else."""

    label: str
    xs: tuple[float, ...]
    ys: tuple[Interval, ...]


@dataclass(frozen=True, kw_only=True)
class Along(Picture):
    """Metrics against an axis of the matrix: a panel per metric, the same lines in each."""

    axis: str
    panels: tuple[tuple[str, tuple[Line, ...], tuple[tuple[str, Interval], ...]], ...]  # metric, lines, rows without it


def draw(report: Report) -> dict[str, str]:
    """The figures of a report: part of the file's name → SVG. Imports the plotting library where there are any."""
    found = pictures(report)
    if not found:
        return {}
    from harness.reports import plots

    return {picture.name: plots.svg(picture, str(report.run["suite"]["name"])) for picture in found}


def figure_links(report: Report, name: str) -> Lines:
    """The figures as images in markdown, beside a report that is called `name`."""
    found = [f"![{markdown(p.alt)}]({quote(f'{name}.{p.name}.svg', safe='')})" for p in pictures(report)]
    return [line for link in found for line in (link, "")]


def pictures(report: Report) -> list[Picture]:
    """What there is to show: nothing without real weights, and no picture of a single row."""
    if report.mode != "real":
        return []
    return [*_against_time(report), *_by_row(report), *_parameters(report), *_along_axes(report)]


def file_name(name: str) -> str:
    """A name as a part of a file's."""
    return _UNSAFE.sub("_", name)


def _titled(metric: Metric) -> str:
    return metric.name + (f", {metric.unit}" if metric.unit else "")


def _value(row: Row, metric: Metric) -> Interval | None:
    """As shown: percent where the metric is."""
    found = scaled(row.quality[metric.name].interval, 100 if metric.unit == "%" else 1)
    return None if isinstance(found, Absent) else found


def _critical(report: Report) -> list[Metric]:
    """The primary metric and the one of critical types, where the task has it."""
    found = [metric for metric in report.metrics if metric.name == CRITICAL]
    return [report.primary, *found] if found and found != [report.primary] else found


def _plain(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.axes.get("compress") in (None, "none")]


# --------------------------------------------------------------------------------------------------------------- points


def _against_time(report: Report) -> list[Picture]:
    """The metrics of the study's columns, else the primary one."""
    chosen = [metric for metric in report.metrics if metric.name in report.columns] or [report.primary]
    return [picture for metric in chosen if (picture := _time(report, metric))]


def _time(report: Report, metric: Metric) -> Scatter | None:
    short = _short_labels(report)
    ours = [point for row in report.rows if (point := _our_point(row, metric, short, report))]
    if len(ours) < 2:
        return None
    points = ours + [point for row in report.theirs if (point := _their_point(row, metric, short))]
    title = f"{metric.name} against the time of a request"
    also = " Hollow: published." if any(not point.ours for point in points) else ""
    return Scatter(
        name=file_name(metric.name),
        title=title,
        alt=f"{title}, one point per row.{also}",
        across=REQUEST,
        up=_titled(metric),
        points=tuple(points),
        key=_key(report),
    )


def _our_point(row: Row, metric: Metric, short: Callable[[str, str], str], report: Report) -> Point | None:
    x, y = row.speed.level_ms, _value(row, metric)
    if isinstance(x, Absent) or y is None:
        return None
    model = str(row.axes.get("model"))
    return Point(x, y, short(row.label, model), model, telling=row.anchor or row.label == report.best)


def _their_point(row: Theirs, metric: Metric, short: Callable[[str, str], str]) -> Point | None:
    ms, value = _published_ms(row), row.figures.get(metric.name)
    if ms is None or value is None:
        return None
    model = str(row.axes.get("model")) if row.axes is not None else ""
    label = short(row.label, model) if row.axes is not None else row.label
    return Point(Interval(ms, ms, ms), Interval(value, value, value), label, model, ours=False, telling=False)


def _published_ms(row: Theirs) -> float | None:
    """Of one request."""
    figures = row.figures
    if "requests_per_minute" in figures:
        return MS_PER_MINUTE / figures["requests_per_minute"]
    if "minutes" in figures and "examples" in figures:
        return figures["minutes"] * MS_PER_MINUTE / figures["examples"]
    return None


def _parameters(report: Report) -> list[Picture]:
    """Time against size, where the study speaks of either; rows of one size and time are one point."""
    if not _critical(report) and "parameters" not in report.columns:
        return []
    batch = report.anchor.speed.batch_seconds if report.anchor else NO_BATCH
    places: dict[tuple[float, Interval], list[Row]] = {}
    for row in report.rows:
        size, ms = millions(row), row.speed.level_ms if isinstance(batch, Absent) else _batch_ms(row, batch)
        if not isinstance(size, Absent) and not isinstance(ms, Absent):
            places.setdefault((size, ms), []).append(row)
    if len(places) < 2:
        return []
    theirs = [] if isinstance(batch, Absent) else [p for row in report.theirs if (p := _their_place(row))]
    title = f"time of a {'request' if isinstance(batch, Absent) else 'batch'} against parameters"
    also = " Hollow: published." if theirs else ""
    return [
        Scatter(
            name="parameters",
            title=title,
            alt=f"{title}, one point per row; rows that share both are one.{also}",
            across="parameters, millions, logarithmic",
            up=REQUEST if isinstance(batch, Absent) else BATCH,
            points=(*(_place(size, ms, rows) for (size, ms), rows in places.items()), *theirs),
            logarithmic=True,
        )
    ]


def _batch_ms(row: Row, anchor: Interval) -> Ranged:
    """The study's latency at the anchor's pace, because rows may come from different measurements."""
    if row.anchor:
        return scaled(anchor, 1000)
    ratio = row.speed.fixed.interval
    if isinstance(ratio, Absent):
        return ratio
    ms = 1000 * anchor.value
    return Interval(ms / ratio.value, ms / ratio.high, ms / ratio.low)


def _their_place(row: Theirs) -> Point | None:
    size, seconds = row.figures.get("parameters_millions"), row.figures.get("batch_seconds")
    if size is None or seconds is None:
        return None
    model = str(row.axes.get("model")) if row.axes is not None else ""
    ms = Interval(1000 * seconds, 1000 * seconds, 1000 * seconds)
    return Point(Interval(size, size, size), ms, row.label, model, ours=False, telling=False)


def _place(size: float, ms: Interval, rows: Sequence[Row]) -> Point:
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    models = {str(row.axes.get("model")) for row in rows}
    return Point(Interval(size, size, size), ms, rows[0].label + more, models.pop() if len(models) == 1 else "")


def _coloured(report: Report) -> bool:
    """Does the colour say the model? Where models have several rows, and there are colours for all of them."""
    models = [row.axes.get("model") for row in report.rows]
    return len(set(models)) <= COLOURS and len(models) > len(set(models))


def _key(report: Report) -> str:
    if not _coloured(report):
        return ""
    return "labels: chain of compressors" if set(report.axes) <= {"model", "compress"} else "labels: chain, other axes"


def _short_labels(report: Report) -> Callable[[str, str], str]:
    """Labels without the model where its colour says it."""
    if not _coloured(report):
        return lambda label, model: label
    return lambda label, model: label.removeprefix(model).removeprefix(" · ") or "none"


# ------------------------------------------------------------------------------------------------------ rows and axes


def _by_row(report: Report) -> list[Picture]:
    """The primary metric beside that of the critical types."""
    metrics = _critical(report)
    rows = list(report.rows) if len(report.rows) <= MANY else _plain(report.rows)
    rows = [row for row in rows if any(_value(row, metric) for metric in metrics)]
    if len(rows) < 2:
        return []
    theirs = {row.label: row.figures for row in reversed(report.theirs) if row.axes is not None}
    published = tuple(tuple(theirs.get(row.label, {}).get(metric.name) for row in rows) for metric in metrics)
    title = f"{' and '.join(metric.name for metric in metrics)} by row"
    also = " Hollow: published." if any(value is not None for values in published for value in values) else ""
    return [
        ByRow(
            name="by-row",
            title=title,
            alt=f"{title}, with intervals; dashed: the anchor.{also}",
            rows=tuple(row.label for row in rows),
            series=tuple((_titled(metric), tuple(_value(row, metric) for row in rows)) for metric in metrics),
            published=published,
            anchor=next((n for n, row in enumerate(rows) if row.anchor), None),
        )
    ]


def _along_axes(report: Report) -> list[Picture]:
    """A picture per axis of numbers; uncompressed rows, because an axis of training is what such axes are."""
    rows = _plain(report.rows)
    metrics = _critical(report) or [report.primary]
    return [picture for axis in report.axes if (picture := _along(rows, axis, metrics))]


def _along(rows: Sequence[Row], axis: str, metrics: Sequence[Metric]) -> Along | None:
    found = [row for row in rows if _number(row, axis) is not None]
    if len({_number(row, axis) for row in found}) < FEWEST:
        return None
    others = [row for row in rows if row.axes.get(axis) is None and (row.anchor or row.label == row.kept.of)]
    panels = [(_titled(m), _lines(found, axis, m), _levels(others, m)) for m in metrics]
    shown = tuple(panel for panel in panels if panel[1])
    title = f"{' and '.join(metric.name for metric in metrics)} against {axis}"
    alt = f"{title}, uncompressed rows, with intervals; dashed: rows without it."
    return Along(name=f"by-{file_name(axis)}", title=title, alt=alt, axis=axis, panels=shown) if shown else None


def _number(row: Row, axis: str) -> float | None:
    value = row.axes.get(axis)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _lines(rows: Sequence[Row], axis: str, metric: Metric) -> tuple[Line, ...]:
    """One per combination of the other axes, along ascending values."""
    groups: dict[str, dict[float, Interval]] = {}
    for row in rows:
        x, y = _number(row, axis), _value(row, metric)
        if x is not None and y is not None:
            groups.setdefault(_others(row, axis), {})[x] = y
    return tuple(Line(label, tuple(sorted(ys)), tuple(ys[x] for x in sorted(ys))) for label, ys in groups.items())


def _others(row: Row, axis: str) -> str:
    """The row's label as it would be without the axis."""
    rest = [f"{n}={v}" for n, v in row.axes.items() if n not in ("model", "compress", axis) and v is not None]
    return " · ".join([str(row.axes.get("model")), *rest])


def _levels(rows: Sequence[Row], metric: Metric) -> tuple[tuple[str, Interval], ...]:
    return tuple((row.label, value) for row in rows if (value := _value(row, metric)))
