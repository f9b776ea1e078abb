"""Which pictures a report has and what stands in them: values alone, no plotting library is imported to know.

Quality against time; for tasks that call some types critical, the metrics by row and time against parameters; the
metrics against every numeric axis of the matrix, training sizes among them. Where the suite asks for them: the losses
of trainings, quality on dev over epochs, time of trainings. `harness.reports.plots` draws them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

from harness.reports import format as fmt
from harness.reports.courses import Time, dev_course, times, trained_rows, training_label
from harness.reports.escape import markdown
from harness.reports.front import FRONT, SPEED
from harness.reports.model import Absent, Course, Front, FrontRow, Ranged, Report, Row, Theirs
from harness.reports.pictures import Along, ByRow, Descent, Dots, Frontier, Line, Losses, Picture, Point, Scatter
from harness.reports.study import MS_PER_MINUTE, millions
from harness.reports.tables import Lines, scaled
from harness.reports.waterfall_picture import waterfall_picture
from harness.specs import Metric
from harness.statistics import Interval

COLOURS = 7  # that most eyes tell apart: so many models get one each
MANY = 16  # rows; beyond it only uncompressed ones are compared one by one
FEWEST = 3  # values of an axis that make a curve; of a training size two do
SIZE = "task.limit"  # what a learning curve's axis sets
WEIGHT = 0.8  # of the past in a smoothed loss
POINTS = 2500  # of all losses of a picture, so that it stays small
WARNED = ", lower is better"
CRITICAL = "f1_critical"  # a task that has it names what must not be lost
REQUEST = "request (text to answer, one at a time), ms, logarithmic"
BATCH = "forward pass of one fixed batch, ms at the anchor's pace, logarithmic"
NO_BATCH = Absent("no anchor")
_UNSAFE = re.compile(r"[^\w-]")


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
    drawn = [*_against_time(report), *_by_row(report), *_parameters(report), *_along_axes(report)]
    asked = {"loss": _losses, "epochs": _over_epochs, "time": _times, FRONT: _fronts}
    if report.asked.falls:
        drawn += waterfall_picture(report)
    return drawn + [picture for name in asked if name in report.figures for picture in asked[name](report)]


def file_name(name: str) -> str:
    """A name as a part of a file's."""
    return _UNSAFE.sub("_", name)


def _titled(metric: Metric) -> str:
    """`accuracy, %`; `loss, nats, lower is better`."""
    return metric.name + (f", {metric.unit}" if metric.unit else "") + ("" if metric.higher_is_better else WARNED)


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
        higher_is_better=metric.higher_is_better,
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
    if "request_ms" in figures:
        return figures["request_ms"]
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
            higher_is_better=False,
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
    rows, sizes = _plain(report.rows), [axis for axis, target in report.sets.items() if target == SIZE]
    metrics = _critical(report) or [report.primary]
    shown = [metric for metric in report.metrics if metric.name in report.columns] or metrics
    found = [_learning(rows, a, shown) if a in sizes else _along(rows, a, metrics) for a in report.axes]
    return [picture for picture in found if picture]


def _learning(rows: Sequence[Row], axis: str, metrics: Sequence[Metric]) -> Along | None:
    """What more training data buys: colours say the model, whatever else differs is another stroke."""
    panels = tuple(panel for m in metrics if (panel := (_titled(m), _curves(rows, axis, m), ()))[1])
    title = f"learning curves, {' and '.join(metric.name for metric in metrics)} on test"
    return (
        Along(
            name=f"by-{file_name(axis)}",
            title=title,
            alt=f"{title} against the number of training examples, with intervals, uncompressed rows.",
            axis=f"training examples ({axis}), logarithmic",
            panels=panels,
            logarithmic=True,
            by_model=True,
        )
        if panels
        else None
    )


def _curves(rows: Sequence[Row], axis: str, metric: Metric) -> tuple[Line, ...]:
    """The lines of at least two points: who was trained on one size has no curve."""
    return tuple(line for line in _lines(rows, axis, metric) if len(line.xs) > 1)


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
    groups: dict[tuple[str, str], dict[float, Interval]] = {}
    for row in rows:
        x, y = _number(row, axis), _value(row, metric)
        if x is not None and y is not None:
            groups.setdefault((training_label(row, ("compress", axis)), str(row.axes.get("model"))), {})[x] = y
    return tuple(
        Line(label, tuple(sorted(ys)), tuple(ys[x] for x in sorted(ys)), model) for (label, model), ys in groups.items()
    )


def _levels(rows: Sequence[Row], metric: Metric) -> tuple[tuple[str, Interval], ...]:
    return tuple((row.label, value) for row in rows if (value := _value(row, metric)))


# ----------------------------------------------------------------------------------------------------------- trainings


def _losses(report: Report) -> list[Picture]:
    """As records have them, means over stretches of steps, and smoothed."""
    shown = [course for course in report.courses if len(course.loss) > 1]
    if not shown:
        return []
    most = max(FEWEST, POINTS // len(shown))
    panels: dict[str, list[Losses]] = {}
    for course in shown:
        panels.setdefault(course.distil, []).append(_descent(course, most))
    longest = max(-(-len(course.loss) // most) * course.stretch for course in shown)
    raw = "single steps" if longest == 1 else f"means of up to {longest} steps"
    title = "training loss over steps"
    note = f"thin: {raw}; bold: smoothed, {WEIGHT:g} of the past a point, bias-corrected"
    alt = f"{title}, first seed; {note}. Losses of different distillers are on scales of their own."
    shown_panels = tuple((name, tuple(losses)) for name, losses in panels.items())
    return [Descent(name="training-loss", title=title, alt=alt, note=note, panels=shown_panels)]


def _descent(course: Course, most: int) -> Losses:
    """At most so many points, each the mean of equally many steps but for the last."""
    each = -(-len(course.loss) // most)
    parts = [course.loss[start : start + each] for start in range(0, len(course.loss), each)]
    raw = tuple(sum(part) / len(part) for part in parts)
    steps = tuple(float(min(n * each, len(course.loss)) * course.stretch) for n in range(1, len(raw) + 1))
    return Losses(label=course.label, model=course.model, steps=steps, raw=raw, smooth=smoothed(raw))


def smoothed(values: Sequence[float], weight: float = WEIGHT) -> tuple[float, ...]:
    """Exponential moving average s_t = w · s_(t−1) + (1 − w) · x_t from s_0 = 0, over 1 − w^t against its bias."""
    found, state = [], 0.0
    for number, value in enumerate(values, start=1):
        state = weight * state + (1 - weight) * value
        found.append(state / (1 - weight**number))
    return tuple(found)


def _over_epochs(report: Report) -> list[Picture]:
    """The primary metric on dev; several epochs of one training are one line."""
    metric, hidden = report.primary, ("compress", "epoch")
    factor = 100 if metric.unit == "%" else 1
    lines = []
    for row in trained_rows(report, hidden):
        course = dev_course(row)
        xs = tuple(at for at, _ in course)
        ys = tuple(Interval(factor * y.value, factor * y.low, factor * y.high) for _, y in course)
        lines += [Line(training_label(row, hidden), xs, ys, str(row.axes.get("model")))] if course else []
    if not any(len(line.xs) > 1 for line in lines):
        return []
    title = f"{metric.name} on dev over epochs"
    alt = f"{title}, mean over seeds, shaded from the least to the most."
    panels = ((f"dev {_titled(metric)}", tuple(lines), ()),)
    return [Along(name="epochs", title=title, alt=alt, axis="epoch", panels=panels, by_model=True)]


def _fronts(report: Report) -> list[Picture]:
    """Against speed, then against size."""
    return [_front(report, front) for front in report.fronts]


def _front(report: Report, front: Front) -> Frontier:
    metric, short, rows = report.primary, _short_labels(report), {row.label: row for row in report.rows}
    found = [(one, rows[one.label], y) for one in front.rows if (y := _value(rows[one.label], metric))]
    fast = front.against == SPEED
    title = f"the front of {metric.name} and {front.against}"
    on = ", ".join(f"{one.label} {fmt.chance(one.probability)}" for one in front.rows if one.on)
    return Frontier(
        name=f"front-{front.against}",
        title=title,
        alt=f"{title}, one point per row. On it, with the share of resamples in which they are: {on}.",
        across=f"{'× the speed of ' + _anchor(report) + ', request' if fast else 'model file, MiB'}, logarithmic",
        up=_titled(metric),
        points=tuple(_on_front(one, row, y, short) for one, row, y in found),
        key=_key(report),
        higher_is_better=metric.higher_is_better,
        likely=tuple(one.probability for one, _, _ in found),
        on=tuple(one.on for one, _, _ in found),
        less_is_better=not fast,
    )


def _on_front(one: FrontRow, row: Row, y: Interval, short: Callable[[str, str], str]) -> Point:
    model = str(row.axes.get("model"))
    return Point(one.cost, y, f"{short(row.label, model)}: {fmt.chance(one.probability)}", model)


def _anchor(report: Report) -> str:
    return report.anchor.label if report.anchor else "the anchor"


def _times(report: Report) -> list[Picture]:
    """Beside each the ratio to the cheapest model."""
    base, found = times(report)
    if len(found) < 2:
        return []
    title = "training time"
    alt = f"{title}, own steps, mean over seeds, lines from the least to the most; ×: times the least of {base}."
    across = f"seconds, logarithmic; ×: times the least of {base}"
    return [Dots(name="time", title=title, alt=alt, across=across, rows=tuple(map(_dot, found)))]


def _dot(time: Time) -> tuple[str, str, Interval, str]:
    epochs = "" if "epoch" in time.row.axes else f" · {time.epochs} epoch{'' if time.epochs == 1 else 's'}"
    words = [fmt.seconds(time.seconds.value)]
    words += [] if isinstance(time.ratio, Absent) else [f"× {fmt.times(time.ratio)}"]
    return f"{time.label}{epochs}", str(time.row.axes.get("model")), time.seconds, " · ".join(words)
