"""Quality against time as SVG, a point per row: ours with their intervals, published ones beside them.

Drawn by hand, so that reports need no plotting library and the same report gives the same bytes.
"""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from harness.reports.escape import markdown, plain
from harness.reports.format import significant
from harness.reports.model import Absent, Report, Row, Theirs
from harness.reports.study import MS_PER_MINUTE
from harness.reports.tables import Lines, scaled
from harness.specs import Metric
from harness.statistics import Interval

WIDTH, HEIGHT = 900, 500
LEFT, TOP, RIGHT, BOTTOM = 70.0, 44.0, 690.0, 440.0  # of the plot; the legend stands to its right
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f5539")  # told apart by most eyes
GREY = "#666666"
LETTER, LINE = 6.9, 13.0  # of 11 px text
MARK = 5.0
_UNSAFE = re.compile(r"[^\w-]")

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """One row: milliseconds and metric, as shown. A published one has no bounds."""

    x: Interval
    y: Interval
    label: str
    model: str
    ours: bool


@dataclass(frozen=True)
class Frame:
    """From data to pixels: x on a log axis."""

    left: float
    right: float
    low: float
    high: float

    def x(self, ms: float) -> float:
        """Pixels from the left."""
        share = (math.log(ms) - math.log(self.left)) / (math.log(self.right) - math.log(self.left))
        return LEFT + share * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return BOTTOM - (value - self.low) / (self.high - self.low) * (BOTTOM - TOP)


def draw(report: Report) -> dict[str, str]:
    """The figures of a report: file-safe name of the metric → SVG. None where speed or quality is missing."""
    return {file_name(metric): _svg(points, metric, report) for metric, points in _drawn(report)}


def figure_links(report: Report, name: str) -> Lines:
    """The figures as images in markdown, beside a report that is called `name`."""
    lines: Lines = []
    for metric, points in _drawn(report):
        also = " Hollow: published." if any(not point.ours for point in points) else ""
        alt = f"{metric.name} against the time of a request, one point per row.{also}"
        lines += [f"![{markdown(alt)}]({quote(f'{name}.{file_name(metric)}.svg', safe='')})", ""]
    return lines


def file_name(metric: Metric) -> str:
    """Its name as a part of a file's."""
    return _UNSAFE.sub("_", metric.name)


def _drawn(report: Report) -> list[tuple[Metric, list[Point]]]:
    """The metrics of the study's columns, else the primary one; a picture of one row would show nothing."""
    if report.mode != "real":
        return []
    chosen = [metric for metric in report.metrics if metric.name in report.columns] or [report.primary]
    found = [(metric, _points(report, metric)) for metric in chosen]
    return [(metric, points) for metric, points in found if sum(point.ours for point in points) > 1]


def _points(report: Report, metric: Metric) -> list[Point]:
    short = _short_labels(report)
    ours = [point for row in report.rows if (point := _our_point(row, metric, short))]
    return ours + [point for row in report.theirs if (point := _their_point(row, metric, short))]


def _our_point(row: Row, metric: Metric, short: Callable[[str, str], str]) -> Point | None:
    x, y = row.speed.level_ms, scaled(row.quality[metric.name].interval, 100 if metric.unit == "%" else 1)
    if isinstance(x, Absent) or isinstance(y, Absent):
        return None
    model = str(row.axes.get("model"))
    return Point(x, y, short(row.label, model), model, ours=True)


def _their_point(row: Theirs, metric: Metric, short: Callable[[str, str], str]) -> Point | None:
    ms, value = _published_ms(row), row.figures.get(metric.name)
    if ms is None or value is None:
        return None
    model = str(row.axes.get("model")) if row.axes is not None else ""
    label = short(row.label, model) if row.axes is not None else row.label
    return Point(Interval(ms, ms, ms), Interval(value, value, value), label, model, ours=False)


def _published_ms(row: Theirs) -> float | None:
    """Of one request."""
    figures = row.figures
    if "requests_per_minute" in figures:
        return MS_PER_MINUTE / figures["requests_per_minute"]
    if "minutes" in figures and "examples" in figures:
        return figures["minutes"] * MS_PER_MINUTE / figures["examples"]
    return None


def _coloured(report: Report) -> bool:
    """Does the colour say the model? Where models have several rows, and there are colours for all of them."""
    models = [row.axes.get("model") for row in report.rows]
    return len(set(models)) <= len(PALETTE) and len(models) > len(set(models))


def _short_labels(report: Report) -> Callable[[str, str], str]:
    """Labels without the model where its colour says it."""
    if not _coloured(report):
        return lambda label, model: label
    return lambda label, model: label.removeprefix(model).removeprefix(" · ") or "none"


# ------------------------------------------------------------------------------------------------------------- picture


def _svg(points: Sequence[Point], metric: Metric, report: Report) -> str:
    frame = _frame(points)
    models = list(dict.fromkeys(point.model for point in points if point.model))
    colours = dict(zip(models, itertools.cycle(PALETTE), strict=False))
    title = f"{metric.name} against the time of a request"
    unit = f", {metric.unit}" if metric.unit else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="Helvetica, Arial, sans-serif" font-size="11" fill="#222222">',
        f"<title>{_text(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="14" font-weight="bold">{_text(_headline(report, title))}</text>',
        *_axes(frame),
        f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 18}" text-anchor="middle">'
        "request (text to answer, one at a time), ms, logarithmic</text>",
        f'<text x="18" y="{(TOP + BOTTOM) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 18 {(TOP + BOTTOM) / 2})">{_text(metric.name + unit)}</text>',
        *(part for point in points for part in _marks(point, frame, colours.get(point.model, GREY))),
        *_labels(points, frame, colours),
        *_legend(points, models, colours, chains=_coloured(report)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _headline(report: Report, title: str) -> str:
    return f"{report.run['suite']['name']}: {title}"


def _text(text: str) -> str:
    return html.escape(plain(text, longest=90))


def _frame(points: Sequence[Point]) -> Frame:
    left, right = min(p.x.low for p in points), max(p.x.high for p in points)
    low, high = min(p.y.low for p in points), max(p.y.high for p in points)
    margin = (right / left) ** 0.08 if right > left else 1.5
    room = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return Frame(left / margin, right * margin, low - room, high + room)


def _axes(frame: Frame) -> Iterable[str]:
    yield f'<rect x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{BOTTOM - TOP}" fill="none" stroke="#bbbbbb"/>'
    for ms in _log_ticks(frame.left, frame.right):
        x = frame.x(ms)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BOTTOM}" stroke="#eeeeee"/>'
        yield f'<text x="{x:.1f}" y="{BOTTOM + 16}" text-anchor="middle">{significant(ms, 1)}</text>'
    for value in _ticks(frame.low, frame.high):
        y = frame.y(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}" stroke="#eeeeee"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.10g}</text>'


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, …; tens alone where the axis is long."""
    steps = (1, 2, 5) if high / low < 2000 else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**exponent for exponent in exponents for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _ticks(low: float, high: float) -> list[float]:
    """Some five round values."""
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [round(n * step, 10) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _marks(point: Point, frame: Frame, colour: str) -> Iterable[str]:
    x, y = frame.x(point.x.value), frame.y(point.y.value)
    if not point.ours:
        corners = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}"
        yield f'<polygon points="{corners}" fill="#ffffff" stroke="{colour}" stroke-width="1.5"/>'
        return
    left, right = frame.x(point.x.low), frame.x(point.x.high)
    top, bottom = frame.y(point.y.high), frame.y(point.y.low)
    bars = f"M{left:.1f} {y:.1f}H{right:.1f}M{x:.1f} {top:.1f}V{bottom:.1f}"
    yield f'<path d="{bars}" stroke="{colour}" stroke-opacity="0.55" fill="none"/>'
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{MARK:g}" fill="{colour}"/>'


# -------------------------------------------------------------------------------------------------------------- labels


def _labels(points: Sequence[Point], frame: Frame, colours: dict[str, str]) -> Iterable[str]:
    """Each label as near to its point as it goes without covering another or a mark; a line where it is not near."""
    taken = [_around(frame.x(p.x.value), frame.y(p.y.value), MARK + 2) for p in points]
    bars = [box for p in points if p.ours for box in _bars(p, frame)]
    for point in points:
        x, y = frame.x(point.x.value), frame.y(point.y.value)
        text = plain(point.label, longest=40)
        box = _place(x, y, LETTER * len(text), taken, bars)
        taken.append(box)
        colour = colours.get(point.model, GREY)
        middle, centre = (box[1] + box[3]) / 2, min(max(x, box[0]), box[2])
        if math.hypot(centre - x, middle - y) > 2 * LINE:
            line = f"M{x:.1f} {y:.1f}L{centre:.1f} {middle:.1f}"
            yield f'<path d="{line}" stroke="{colour}" stroke-opacity="0.4"/>'
        style = "" if point.ours else ' font-style="italic"'
        yield f'<text x="{box[0]:.1f}" y="{box[3] - 3:.1f}" fill="{colour}"{style}>{html.escape(text)}</text>'


def _bars(point: Point, frame: Frame) -> tuple[Box, Box]:
    x, y = frame.x(point.x.value), frame.y(point.y.value)
    across = (frame.x(point.x.low), y - 1, frame.x(point.x.high), y + 1)
    return across, (x - 1, frame.y(point.y.high), x + 1, frame.y(point.y.low))


def _place(x: float, y: float, width: float, taken: Sequence[Box], bars: Sequence[Box]) -> Box:
    """The first free box; one that crosses a bar where none is free, and at worst the nearest."""
    boxes = [box for box in _candidates(x, y, width) if _inside(box)]
    free = [box for box in boxes if not any(_overlap(box, other) for other in taken)]
    clear = [box for box in free if not any(_overlap(box, bar) for bar in bars)]
    return next(iter([*clear[:1], *free[:1], *boxes[:1]]), (x + 9, y - LINE / 2, x + 9 + width, y + LINE / 2))


def _candidates(x: float, y: float, width: float) -> Iterable[Box]:
    """Right, left, above and below, then farther and farther out."""
    for gap in (9.0, 14.0, 22.0, 34.0, 50.0, 70.0, 95.0, 125.0):
        for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (0.8, -0.8), (-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)):
            left = x + dx * gap - (width if dx < 0 else width / 2 if dx == 0 else 0)
            middle = y + dy * (gap + LINE / 4)
            yield left, middle - LINE / 2, left + width, middle + LINE / 2


def _around(x: float, y: float, reach: float) -> Box:
    return x - reach, y - reach, x + reach, y + reach


def _inside(box: Box) -> bool:
    return box[0] >= LEFT and box[1] >= TOP and box[2] <= RIGHT and box[3] <= BOTTOM


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _legend(points: Sequence[Point], models: Sequence[str], colours: dict[str, str], *, chains: bool) -> Iterable[str]:
    left, y = RIGHT + 24, TOP + 8
    yield f'<circle cx="{left}" cy="{y}" r="{MARK:g}" fill="{GREY}"/>'
    yield f'<text x="{left + 14}" y="{y + 4}">this run, with intervals</text>'
    if any(not point.ours for point in points):
        y += 20
        corners = f"{left},{y - 6} {left + 6},{y} {left},{y + 6} {left - 6},{y}"
        yield f'<polygon points="{corners}" fill="#ffffff" stroke="{GREY}" stroke-width="1.5"/>'
        yield f'<text x="{left + 14}" y="{y + 4}" font-style="italic">published, their machine</text>'
    y += 10
    for model in models:
        y += 20
        yield f'<rect x="{left - 6}" y="{y - 6}" width="12" height="12" fill="{colours[model]}"/>'
        yield f'<text x="{left + 14}" y="{y + 4}">{html.escape(plain(model, longest=28))}</text>'
    if chains:
        yield f'<text x="{left - 6}" y="{y + 30}" fill="{GREY}">labels: chain of compressors</text>'
