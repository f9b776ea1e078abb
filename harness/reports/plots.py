"""Pictures as SVG by matplotlib: the same picture gives the same bytes, text stays text, names of others stay names."""

from __future__ import annotations

import io
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from harness.reports.escape import plain
from harness.reports.format import significant
from harness.reports.pictures import (
    Along,
    ByRow,
    Descent,
    Dots,
    Drop,
    Falls,
    Frontier,
    Line,
    Losses,
    Picture,
    Point,
    Scatter,
)

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f5539")  # told apart by most eyes
MARKS = ("o", "D", "s", "^", "v", "P", "X")
GREY, FAINT = "#666666", "#e8e8e8"
INK = "#222222"
MARKED = 16  # values of an axis, and points of a line; where there are more, neither has marks of its own
TOLD = 0.05  # likely to be on a front: what is less so has no label there
LABELLED = 30  # points; where there are more, only those are labelled that say something
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
    "text.parse_math": False,  # a $ in somebody's name is a $
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with the library, so widths are the same everywhere
    "font.size": 10,
    "axes.edgecolor": "#bbbbbb",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "grid.color": FAINT,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "legend.frameon": False,
    "figure.dpi": 72,  # a pixel is a point, as in the SVG
}

Box = tuple[float, float, float, float]  # left, bottom, right, top


def svg(picture: Picture, suite: str) -> str:
    """A picture of the suite of that name. Whoever looks at it chooses the glyphs, so none is missing here."""
    draw: Mapping[type[Picture], Callable[[Any, str], Figure]] = {
        Scatter: _scatter,
        Frontier: _frontier,
        ByRow: _by_row,
        Along: _along,
        Descent: _descent,
        Dots: _dots,
        Falls: _falls,
    }
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        mpl.rcdefaults()  # whatever the user's own settings are
        mpl.rcParams.update(STYLE)
        headline = _text(f"{suite}: {picture.title}", 90)
        figure = draw[type(picture)](picture, headline)
        out = io.StringIO()
        figure.canvas.print_svg(out, metadata={"Title": headline, "Date": None, "Creator": None})  # type: ignore[attr-defined]
    return out.getvalue()


def _figure(width: float, height: float, headline: str) -> Figure:
    """Inches. The headline begins at the left, away from legends."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(headline, x=0.01, ha="left", fontsize=12, fontweight="bold")
    FigureCanvasSVG(figure)
    return figure


def _text(text: str, longest: int = 40) -> str:
    """One line; what is too long loses its middle, because labels differ at their ends."""
    line = plain(text, longest=10**6)
    half = longest // 2
    return line if len(line) <= longest else f"{line[:half]}…{line[half + 1 - longest :]}"


# --------------------------------------------------------------------------------------------------------------- points


def _scatter(picture: Scatter, headline: str) -> Figure:
    figure, axes, colours = _plane(picture, headline)
    for number, point in enumerate(picture.points):
        _mark(axes, point, colours.get(point.model, GREY), f"point-{number}")
    _point_legend(figure, picture, colours)
    _labels(figure, axes, _told(picture.points, picture.higher_is_better), picture.points, colours)
    return figure


def _frontier(picture: Frontier, headline: str) -> Figure:
    """The line goes round what is beaten; the less likely a point is on it, the paler."""
    figure, axes, colours = _plane(picture, headline)
    turns = _outline(axes, picture)
    for number, (point, likely) in enumerate(zip(picture.points, picture.likely, strict=True)):
        _mark(axes, point, colours.get(point.model, GREY), f"point-{number}", 0.25 + 0.75 * likely)
    line = Line2D([], [], color=GREY, ls="--", lw=1.2, label="the front; %: how likely on it")
    _point_legend(figure, picture, colours, line)
    told = [p for p, likely, on in zip(picture.points, picture.likely, picture.on, strict=True) if on or likely >= TOLD]
    _labels(figure, axes, told, picture.points, colours, turns)
    return figure


def _outline(axes: Axes, picture: Frontier) -> list[tuple[float, float]]:
    """Steps from corner to corner, and on to the sides of the plane that are worse; where they turn."""
    corners = sorted({(p.x.value, p.y.value) for p, on in zip(picture.points, picture.on, strict=True) if on})
    xs, (left, right), (low, high) = [x for x, _ in corners], axes.get_xlim(), axes.get_ylim()
    worst = low if picture.higher_is_better else high
    if picture.less_is_better:
        turns = [(xs[0], worst)]
        turns += [
            turn for (x, y), after in zip(corners, [*xs[1:], right], strict=True) for turn in ((x, y), (after, y))
        ]
    else:
        turns = [turn for before, (x, y) in zip([left, *xs], corners, strict=False) for turn in ((before, y), (x, y))]
        turns.append((xs[-1], worst))
    axes.plot(*zip(*turns, strict=True), color=GREY, lw=1.2, ls="--", zorder=1, gid="front")
    return turns


def _plane(picture: Scatter, headline: str) -> tuple[Figure, Axes, dict[str, str]]:
    """An empty figure with room for all points, and the models' colours."""
    figure = _figure(12, 6.6, headline)
    axes = figure.add_subplot()
    models = list(dict.fromkeys(point.model for point in picture.points if point.model))
    colours = dict(zip(models, itertools.cycle(PALETTE), strict=False))
    axes.set_xlabel(picture.across)
    axes.set_ylabel(_text(picture.up, 90))
    _log(
        axes.xaxis,
        axes.set_xscale,
        axes.set_xlim,
        [p.x.low for p in picture.points],
        [p.x.high for p in picture.points],
    )
    lows, highs = [p.y.low for p in picture.points], [p.y.high for p in picture.points]
    if picture.logarithmic:
        _log(axes.yaxis, axes.set_yscale, axes.set_ylim, lows, highs)
    else:
        room = 0.1 * (max(highs) - min(lows)) or 0.05 * abs(max(highs)) or 1.0
        axes.set_ylim(min(lows) - room, max(highs) + room)
    return figure, axes, colours


def _mark(axes: Axes, point: Point, colour: str, gid: str, strength: float = 1.0) -> None:
    x, y = point.x.value, point.y.value
    if not point.ours:
        axes.plot(x, y, "D", ms=7, mfc="white", mec=colour, mew=1.5, gid=gid)
        return
    faint = 0.5 * strength
    axes.plot([point.x.low, point.x.high], [y, y], color=colour, alpha=faint, lw=1.2)
    axes.plot([x, x], [point.y.low, point.y.high], color=colour, alpha=faint, lw=1.2, gid=f"{gid}-interval")
    alpha = None if strength == 1.0 else strength
    axes.plot(x, y, "o", ms=8, mfc=colour, mec="white", mew=0.8, alpha=alpha, gid=gid)


def _log(
    axis: Any, scale: Callable[..., Any], limits: Callable[..., Any], lows: Sequence[float], highs: Sequence[float]
) -> None:
    """A logarithmic axis with ticks at 1, 2, 5, 10, …; at tens alone where it is long."""
    low, high = min(lows), max(highs)
    margin = (high / low) ** 0.08 if high > low else 1.5
    low, high = low / margin, high * margin
    scale("log")
    limits(low, high)
    steps = (1, 2, 5) if high / low < 2000 else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    axis.set_major_locator(FixedLocator([step * 10.0**exponent for exponent in exponents for step in steps]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: significant(value, 1)))


def _point_legend(figure: Figure, picture: Scatter, colours: Mapping[str, str], *more: Line2D) -> None:
    marks = [Line2D([], [], ls="", marker="o", color=GREY, label="this run, with intervals"), *more]
    if any(not point.ours for point in picture.points):
        label = "published, their machine"
        marks.append(Line2D([], [], ls="", marker="D", mfc="white", mec=GREY, label=label))
    if picture.key:
        marks += [Line2D([], [], ls="", marker="s", color=c, label=_text(model, 28)) for model, c in colours.items()]
    title = picture.key or None
    figure.legend(handles=marks, loc="outside right center", title=title, title_fontsize=9, alignment="left")


# --------------------------------------------------------------------------------------------------------------- labels


def _told(points: Sequence[Point], higher_is_better: bool) -> list[Point]:
    """All; of very many those that nothing beats in both directions, and those that the report is about."""
    if len(points) <= LABELLED:
        return list(points)
    sign = 1 if higher_is_better else -1
    return [p for p in points if p.telling or (p.ours and not any(_beats(o, p, sign) for o in points if o.ours))]


def _beats(one: Point, other: Point, sign: int) -> bool:
    return one.x.value <= other.x.value and sign * one.y.value >= sign * other.y.value and one != other


def _labels(
    figure: Figure,
    axes: Axes,
    told: Sequence[Point],
    points: Sequence[Point],
    colours: Mapping[str, str],
    turns: Sequence[tuple[float, float]] = (),
) -> None:
    """Each as near to its point as it goes without covering another or a mark; a line where it is not near.

    `turns`: of a line that they keep away from, too.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # places are final
    at = {id(p): axes.transData.transform((p.x.value, p.y.value)) for p in points}
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in at.values()]
    bars = [bar for p in points if p.ours for bar in _bars(axes, p)]
    bars += [_around(*ends) for ends in itertools.pairwise(axes.transData.transform(turns) if turns else ())]
    left, low, right, high = axes.get_window_extent().extents
    frame: Box = (left, low, right, high)
    for number, point in enumerate(told):
        (x, y), colour = at[id(point)], colours.get(point.model, GREY)
        style = "normal" if point.ours else "italic"
        text = figure.text(0, 0, _text(point.label), color=colour, style=style, fontsize=9, gid=f"label-{number}")
        size = text.get_window_extent()
        box = _free(x, y, (size.width, size.height), frame, taken, bars)
        taken.append(box)
        shares = figure.transFigure.inverted().transform((box[0], box[1]))
        text.set(x=shares[0], y=shares[1], verticalalignment="bottom")
        near = (min(max(x, box[0]), box[2]), (box[1] + box[3]) / 2)
        if math.hypot(near[0] - x, near[1] - y) > 22:
            ends = figure.transFigure.inverted().transform([(x, y), near])
            figure.add_artist(Line2D(ends[:, 0], ends[:, 1], color=colour, alpha=0.4, lw=0.8))


def _bars(axes: Axes, point: Point) -> tuple[Box, Box]:
    corners = [(point.x.low, point.y.value), (point.x.high, point.y.value)]
    corners += [(point.x.value, point.y.low), (point.x.value, point.y.high)]
    left, right, low, high = axes.transData.transform(corners)
    return (left[0], left[1] - 1, right[0], right[1] + 1), (low[0] - 1, low[1], high[0] + 1, high[1])


def _around(one: Sequence[float], other: Sequence[float]) -> Box:
    """What a line along one of the axes covers."""
    (left, right), (low, high) = sorted((one[0], other[0])), sorted((one[1], other[1]))
    return left - 1, low - 1, right + 1, high + 1


def _free(x: float, y: float, size: tuple[float, float], frame: Box, taken: Sequence[Box], bars: Sequence[Box]) -> Box:
    """The first free box; one that crosses a bar where none is free, and at worst the nearest."""
    boxes = [box for box in _candidates(x, y, *size) if _inside(box, frame)]
    free = [box for box in boxes if not any(_overlap(box, other) for other in taken)]
    clear = [box for box in free if not any(_overlap(box, bar) for bar in bars)]
    fallback = (x + 9, y - size[1] / 2, x + 9 + size[0], y + size[1] / 2)
    return next(iter([*clear[:1], *free[:1], *boxes[:1]]), fallback)


def _candidates(x: float, y: float, width: float, height: float) -> Iterator[Box]:
    """Right, left, above and below, then farther and farther out."""
    for gap in (9.0, 14.0, 22.0, 34.0, 50.0, 70.0, 95.0, 125.0, 160.0):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.8), (-0.8, 0.8), (0.8, -0.8), (-0.8, -0.8)):
            left = x + dx * gap - (width if dx < 0 else width / 2 if dx == 0 else 0)
            middle = y + dy * (gap + height / 4)
            yield left, middle - height / 2, left + width, middle + height / 2


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


# ------------------------------------------------------------------------------------------------------ rows and axes


def _by_row(picture: ByRow, headline: str) -> Figure:
    """A mark per metric instead of a bar: bars must begin at 0, and what matters are the last points."""
    count, kinds = len(picture.rows), len(picture.series)
    figure = _figure(10.5, 1.6 + 0.2 * count * kinds, headline)
    axes = figure.add_subplot()
    for number, ((name, values), theirs) in enumerate(zip(picture.series, picture.published, strict=True)):
        colour, mark = PALETTE[number], MARKS[number]
        shift = 0.3 * (number - (kinds - 1) / 2)
        for row, (value, published) in enumerate(zip(values, theirs, strict=True)):
            if value is not None:
                axes.plot([value.low, value.high], [row + shift] * 2, color=colour, alpha=0.5, lw=2)
                axes.plot(value.value, row + shift, mark, ms=6, color=colour, gid=f"value-{number}-{row}")
            if published is not None:
                axes.plot(published, row + shift, mark, ms=7, mfc="none", mec=colour, gid=f"published-{number}-{row}")
        anchor = values[picture.anchor] if picture.anchor is not None else None
        if anchor is not None:
            axes.axvline(anchor.value, color=colour, ls="--", lw=0.9, alpha=0.7)
        axes.plot([], [], mark, color=colour, label=_text(name))
    if any(value is not None for values in picture.published for value in values):
        axes.plot([], [], "o", mfc="none", mec=GREY, label="published")
    axes.set_yticks(range(count), [_text(row, 60) for row in picture.rows])
    axes.set_ylim(count - 0.4, -0.6)  # the first row on top
    axes.set_xlabel("dashed: the anchor" if picture.anchor is not None else "")
    figure.legend(loc="outside lower right", ncols=kinds + 1)
    return figure


def _along(picture: Along, headline: str) -> Figure:
    labels = {line.label for _, lines, _ in picture.panels for line in lines}
    height = max(5, 0.22 * len(labels)) if picture.by_model else 5
    figure = _figure(max(10.5, 2.6 + 4.4 * len(picture.panels)), height, headline)
    models = {line.label: line.model for _, lines, _ in picture.panels for line in lines}
    names = list(models)
    looks = _looks_by_model(models) if picture.by_model else dict(zip(names, _looks(), strict=False))
    handles: dict[str, Line2D] = {}
    xs = sorted({x for _, lines, _ in picture.panels for line in lines for x in line.xs})
    for number, (metric, lines, levels) in enumerate(picture.panels):
        axes = figure.add_subplot(1, len(picture.panels), number + 1)
        for line in lines:
            handles[line.label] = _curve(axes, line, looks[line.label], f"line-{number}-{names.index(line.label)}")
        for (label, value), style in zip(levels, itertools.cycle(("--", ":")), strict=False):
            handles[label] = axes.axhline(value.value, color=GREY, ls=style, lw=1.2)
        axes.set_title(_text(metric))
        axes.set_xlabel(_text(picture.axis))
        _numbers(axes, xs, picture.logarithmic)
    figure.legend(handles.values(), [_text(label) for label in handles], loc="outside right center")
    return figure


def _looks() -> Iterator[dict[str, str]]:
    """Colours first, then other strokes of the same."""
    for stroke in ("-", "--", "-.", ":"):
        yield from ({"color": c, "marker": mark, "ls": stroke} for c, mark in zip(PALETTE, MARKS, strict=True))


def _looks_by_model(models: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The lines of one model have one colour, those that are alike in the rest one stroke. Label → look."""
    if len(set(models.values())) > len(PALETTE):
        return dict(zip(models, itertools.cycle(_looks()), strict=False))
    colours = dict(zip(dict.fromkeys(models.values()), zip(PALETTE, MARKS, strict=True), strict=False))
    rests = dict.fromkeys(label.removeprefix(model) for label, model in models.items())
    strokes = dict(zip(rests, itertools.cycle(("-", "--", ":", "-.")), strict=False))
    return {
        label: {
            "color": colours[model][0],
            "marker": colours[model][1],
            "ls": strokes[label.removeprefix(model)],
        }
        for label, model in models.items()
    }


def _curve(axes: Axes, line: Line, look: Mapping[str, Any], gid: str) -> Line2D:
    bounds = [y.low for y in line.ys], [y.high for y in line.ys]
    axes.fill_between(line.xs, *bounds, color=look["color"], alpha=0.12, lw=0, gid=f"{gid}-band")
    size = 5 if len(line.xs) <= MARKED else 0
    (drawn,) = axes.plot(line.xs, [y.value for y in line.ys], ms=size, lw=1.5, gid=gid, **look)
    return drawn


def _numbers(axes: Axes, xs: Sequence[float], logarithmic: bool = False) -> None:
    """Ticks at the axis' own values, where these are few; logarithmic where they span decades."""
    if len(xs) > MARKED and not logarithmic:
        return
    if xs[0] > 0 and (logarithmic or xs[-1] / xs[0] >= 50):
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(xs, [f"{x:,.0f}" if x >= 1000 and x.is_integer() else f"{x:g}" for x in xs])


# ----------------------------------------------------------------------------------------------------------- trainings


def _descent(picture: Descent, headline: str) -> Figure:
    """As it was thin and light, smoothed bold."""
    models = {losses.label: losses.model for _, lines in picture.panels for losses in lines}
    looks = _looks_by_model(models)
    columns = min(3, len(picture.panels))
    lines = -(-len(picture.panels) // columns)
    figure = _figure(max(10.5, 2.6 + 4.4 * columns), max(4.6 * lines, 1 + 0.22 * len(models)), headline)
    handles: dict[str, Line2D] = {}
    for number, (distil, courses) in enumerate(picture.panels):
        axes = figure.add_subplot(lines, columns, number + 1)
        for losses in courses:
            gid = f"line-{number}-{list(models).index(losses.label)}"
            handles[losses.label] = _loss(axes, losses, looks[losses.label], gid)
        axes.set_title(_text(distil))
        axes.set_xlabel("step")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    figure.supxlabel(_text(picture.note, 120), fontsize=9, color=GREY)
    figure.legend(handles.values(), [_text(label) for label in handles], loc="outside right center")
    return figure


def _loss(axes: Axes, losses: Losses, look: Mapping[str, str], gid: str) -> Line2D:
    colour = look["color"]
    axes.plot(losses.steps, losses.raw, color=colour, alpha=0.4, lw=0.8, gid=f"{gid}-raw")
    (drawn,) = axes.plot(losses.steps, losses.smooth, color=colour, ls=look["ls"], lw=2, gid=gid)
    return drawn


def _dots(picture: Dots, headline: str) -> Figure:
    figure = _figure(10.5, 1.6 + 0.3 * len(picture.rows), headline)
    axes = figure.add_subplot()
    models = list(dict.fromkeys(model for _, model, _, _ in picture.rows))
    colours = dict(zip(models, itertools.cycle(PALETTE), strict=False))
    values = [value for _, _, value, _ in picture.rows]
    axes.set_xlabel(_text(picture.across, 90))
    low, high = min(v.low for v in values), max(v.high for v in values)
    _log(axes.xaxis, axes.set_xscale, axes.set_xlim, [low], [high * 1.3 * (high / low) ** 0.2])  # room for words
    for number, (_, model, value, words) in enumerate(picture.rows):
        axes.plot([value.low, value.high], [number] * 2, color=colours[model], alpha=0.5, lw=2)
        axes.plot(value.value, number, "o", ms=7, color=colours[model], gid=f"value-{number}")
        at = (value.high, number)
        axes.annotate(_text(words, 60), at, (9, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(picture.rows)), [_text(label, 60) for label, *_ in picture.rows])
    axes.set_ylim(len(picture.rows) - 0.4, -0.6)
    return figure


# ----------------------------------------------------------------------------------------------------------- waterfalls


def _falls(picture: Falls, headline: str) -> Figure:
    """Bars from the value before a step to the one after; a thin line leads on to the next step of the same row."""
    places, names = _fall_lines(picture)
    figure = _figure(3.6 + 3.3 * len(picture.panels), 1.3 + 0.27 * (max(places) + 1), headline)
    first: Axes | None = None
    for number, (title, logarithmic, drops) in enumerate(picture.panels):
        axes = figure.add_subplot(1, len(picture.panels), number + 1, sharey=first)
        first = first or axes
        if logarithmic:
            ends = [end for drop in drops if drop for end in (drop.before, drop.after.low, drop.after.high)]
            _log(axes.xaxis, axes.set_xscale, axes.set_xlim, ends, ends)
        for step, (place, drop) in enumerate(zip(places, drops, strict=True)):
            if drop:
                _drop(axes, drop, place, f"step-{number}-{step}")
                if step + 1 < len(places) and places[step + 1] == place + 1:
                    axes.plot([drop.after.value] * 2, [place, place + 1], color=GREY, lw=0.8, zorder=1)
        axes.set_title(_text(title))
        axes.tick_params(axis="y", length=0, labelleft=number == 0)
        axes.grid(visible=False, axis="y")
    if first:
        first.set_yticks(range(len(names)), [_text(name, 44) for name, _ in names])
        for label, (_, heads) in zip(first.get_yticklabels(), names, strict=True):
            label.set_fontweight("bold" if heads else "normal")
        first.set_ylim(len(names) - 0.4, -0.6)
    handles = [Patch(color=PALETTE[worse], alpha=0.75, label=("better", "worse")[worse]) for worse in (0, 1)]
    figure.legend(
        handles=[*handles, Line2D([], [], color=INK, lw=1.2, label="interval")], loc="outside upper right", ncols=3
    )
    return figure


def _fall_lines(picture: Falls) -> tuple[list[int], list[tuple[str, bool]]]:
    """The line of each step, and what stands at each line: (name, is it a group's?)."""
    places: list[int] = []
    names: list[tuple[str, bool]] = []
    for group, count in picture.groups:
        names.append((group, True))
        for step in picture.steps[len(places) : len(places) + count]:
            places.append(len(names))
            names.append((step, False))
    return places, names


def _drop(axes: Axes, drop: Drop, place: int, gid: str) -> None:
    colour = PALETTE[0 if drop.better else 1]
    axes.barh(place, drop.after.value - drop.before, left=drop.before, height=0.6, color=colour, alpha=0.75, gid=gid)
    axes.plot([drop.before] * 2, [place - 0.3, place + 0.3], color=colour, lw=1.5)
    if drop.after.low < drop.after.high:
        axes.plot([drop.after.low, drop.after.high], [place] * 2, color=INK, lw=1.2, gid=f"{gid}-interval")
