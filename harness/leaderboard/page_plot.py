"""Quality against speed and against size, as SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.leaderboard.model import Class, Entry
from harness.leaderboard.page_figures import (
    Context,
    bounds,
    entry_place,
    percent,
    ratio,
    real,
    score,
    score_texts,
    times,
)
from harness.leaderboard.page_html import Html, escaped, join, tag
from harness.leaderboard.page_table import colour
from harness.reports.escape import plain
from harness.reports.format import fixed, significant
from harness.reports.model import Absent
from harness.statistics import Interval

WIDTH, HEIGHT = 560, 360
LEFT, RIGHT, TOP, BOTTOM = 54, 546, 14, 314  # of the area in which points are
SMALL = 40  # so many points have whiskers and a name each on a small board; else the front and the anchor have
LETTER = 6.3  # pixels, about, of a label's letter
LABELS = 8
_STEPS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9))
_BEYOND = 1e12

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """An entry, in the units of the axes."""

    entry: Entry
    row: int  # of its table: the script finds it by this
    x: Interval
    y: Interval
    front: bool
    named: bool  # with whiskers, a name and a link of its own

    @property
    def telling(self) -> bool:
        """Is it worth a label?"""
        return self.front or self.entry.anchor


@dataclass(frozen=True)
class Scales:
    """From the units of the axes to pixels."""

    x_low: float  # logarithms
    x_high: float
    y_low: float
    y_high: float
    upside_down: bool  # a metric of which less is better: better is up in every plot

    def x(self, value: float) -> float:
        """Logarithmic, from the left."""
        share = (math.log10(value) - self.x_low) / (self.x_high - self.x_low)
        return LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, share))

    def y(self, value: float) -> float:
        """Linear; what is better is up."""
        share = min(1.0, max(0.0, (value - self.y_low) / (self.y_high - self.y_low)))
        return TOP + (BOTTOM - TOP) * (share if self.upside_down else 1 - share)


def plots(class_: Class, context: Context) -> Html:
    """Both figures, each where at least two entries have what it shows."""
    figures = [
        _figure(class_, context, "speed", lambda e: ratio(e, "request"), lambda e: e.front_speed),
        _figure(class_, context, "size", _smaller, lambda e: e.front_size),
    ]
    shown = [figure for figure in figures if figure]
    return tag("div", *shown, _legend(class_, context), class_="plots") if shown else Html("")


def _smaller(entry: Entry) -> Interval | Absent:
    found = real(entry.times_smaller)
    return found if isinstance(found, Absent) else Interval(found, found, found)


def _figure(
    class_: Class,
    context: Context,
    against: str,
    gain: Callable[[Entry], Interval | Absent],
    front: Callable[[Entry], bool],
) -> Html | None:
    points = list(_points(class_, gain, front, context.roomy and len(class_.entries) <= SMALL))
    if len({(point.x.value, point.y.value) for point in points}) < 2:
        return None
    axis = "× faster than the anchor, request" if against == "speed" else "× smaller than the anchor, model file"
    metric = class_.metrics[0]
    scales = _scales(points, upside_down=not metric.higher_is_better)
    said = _saying(class_, axis.split(" than", maxsplit=1)[0])
    best = plain(", ".join(plain(point.entry.label, 60) for point in points if point.front)) or "nobody"
    summary = f"{plain(class_.title)}: {metric.name} against {against}, {len(points)} entries. On the front: {best}"
    svg = tag(
        "svg",
        _axes(scales, axis, percent(metric)),
        _front_line(points, scales),
        _dots(points, scales, context),
        *(_named(point, scales, said(point), context) for point in points if point.named),
        _labels(points, scales),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="group",
        aria_label=summary,
    )
    title = tag("figcaption", f"{metric.name} against {against}")
    return tag("figure", title, svg)


def _points(
    class_: Class, gain: Callable[[Entry], Interval | Absent], front: Callable[[Entry], bool], named: bool
) -> Iterator[Point]:
    rows = [*(e for e in class_.entries if e.anchor), *(e for e in class_.entries if not e.anchor)]
    for row, entry in enumerate(rows):
        x, y = gain(entry), score(entry, class_.metrics[0])
        if isinstance(x, Absent) or isinstance(y, Absent):
            continue
        if x.low > 0 and max(x.high, *map(abs, (y.value, y.low, y.high))) < _BEYOND:
            yield Point(entry, row, x, y, front(entry), named or front(entry) or entry.anchor)


def _legend(class_: Class, context: Context) -> Html:
    present = {entry.student for entry in class_.entries}
    families = [tag("span", name, class_=f"k{n}") for n, name in enumerate(context.families) if name in present]
    others = [tag("span", "other families", class_="kx")] if present - set(context.families) else []
    marks = "Ringed and joined: the front. Square: the anchor. Better is up and to the right."
    return tag("p", *families, *others, " ", marks, class_="legend")


# ----------------------------------------------------------------------------------------------------------------- axes


def _scales(points: Sequence[Point], *, upside_down: bool) -> Scales:
    """With room around the values. Whiskers of unnamed points count as well: filters may show them."""
    logs = [math.log10(end) for point in points for end in (point.x.low, point.x.high, point.x.value)]
    ends = [end for point in points for end in (point.y.value, *((point.y.low, point.y.high) if point.named else ()))]
    wide = max(max(logs) - min(logs), 0.05)
    tall = max(max(ends) - min(ends), 1e-6 * max(map(abs, ends)), 1e-6)
    return Scales(
        x_low=min(logs) - 0.06 * wide,
        x_high=max(logs) + 0.06 * wide,
        y_low=min(ends) - 0.06 * tall,
        y_high=max(ends) + 0.06 * tall,
        upside_down=upside_down,
    )


def _axes(scales: Scales, across: str, up: str) -> Html:
    xs, ys = _log_ticks(scales.x_low, scales.x_high), _linear_ticks(scales.y_low, scales.y_high)
    upright = "".join(f"M{_px(scales.x(x))} {TOP}V{BOTTOM}" for x in xs)
    level = "".join(f"M{LEFT} {_px(scales.y(y))}H{RIGHT}" for y in ys)
    texts = [tag("text", _tick(x), x=_px(scales.x(x)), y=BOTTOM + 17, class_="x") for x in xs]
    texts += [tag("text", fixed(y, _places(ys)), x=LEFT - 7, y=_px(scales.y(y) + 4), class_="y") for y in ys]
    return join(
        (
            tag("path", d=Html(upright + level), class_="grid"),
            *texts,
            tag("text", across, x=(LEFT + RIGHT) / 2, y=HEIGHT - 8, class_="x name"),
            tag("text", plain(up, 40), transform=f"translate(13 {(TOP + BOTTOM) / 2})rotate(-90)", class_="x name"),
        )
    )


def _log_ticks(low: float, high: float) -> list[float]:
    """At least three where that is possible, and no more than are legible."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    if len(decades) > 9:
        return [10.0**exponent for exponent in decades[:: -(-len(decades) // 8)] if low <= exponent <= high]
    found: list[float] = []
    for steps in _STEPS:
        found = [step * 10.0**exponent for exponent in decades for step in steps]
        found = [tick for tick in found if low <= math.log10(tick) <= high]
        if len(found) >= 3:
            return found
    return found if len(found) >= 2 else [tick for tick in _linear_ticks(10**low, 10**high) if tick > 0]


def _linear_ticks(low: float, high: float) -> list[float]:
    """Four to seven round values."""
    rough = (high - low) / 7
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def _places(ticks: Sequence[float]) -> int:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return min(6, max(0, -math.floor(math.log10(step) + 1e-9)))


def _tick(value: float) -> str:
    if 1e-4 <= value < 1e6:
        text = significant(value, 3)
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.0e}"


# --------------------------------------------------------------------------------------------------------------- points


def _px(value: float) -> str:
    return f"{value:.0f}"


def _front_line(points: Sequence[Point], scales: Scales) -> Html:
    """Along the best quality at each gain and beyond: whoever is below and to the left of it is beaten."""
    ends = sorted(((scales.x(p.x.value), scales.y(p.y.value)) for p in points if p.front), reverse=True)
    if not ends:
        return Html("")
    path, best = f"M{_px(ends[0][0])} {BOTTOM}", math.inf
    for x, y in ends:
        if y < best:
            path, best = f"{path}H{_px(x)}V{_px(y)}", y
    return tag("path", d=Html(f"{path}H{LEFT}"), class_="front")


def _dots(points: Sequence[Point], scales: Scales, context: Context) -> Html:
    """One path per family of what has no name; the script knows their rows by `data-n`."""
    families: dict[str, list[Point]] = {}
    for point in points:
        if not point.named:
            families.setdefault(colour(point.entry, context), []).append(point)
    return join(
        tag(
            "path",
            d=Html("".join(f"M{_px(scales.x(p.x.value))} {_px(scales.y(p.y.value))}h0" for p in found)),
            data_n=Html(" ".join(str(p.row) for p in found)),
            class_=f"dots {name}",
        )
        for name, found in sorted(families.items())
    )


def _named(point: Point, scales: Scales, said: str, context: Context) -> Html:
    x, y = _px(scales.x(point.x.value)), _px(scales.y(point.y.value))
    low, high = sorted((scales.y(point.y.low), scales.y(point.y.high)))
    whiskers = f"M{x} {_px(low)}V{_px(high)}"
    if point.x.high > point.x.low:
        whiskers += f"M{_px(scales.x(point.x.low))} {y}H{_px(scales.x(point.x.high))}"
    anchor = point.entry.anchor
    mark = tag("rect", x=int(x) - 5, y=int(y) - 5, width=10, height=10) if anchor else tag("circle", cx=x, cy=y, r=5)
    return tag(
        "a",
        tag("path", d=Html(whiskers)),
        mark,
        tag("title", said),
        href=f"#{entry_place(point.entry)}",
        data_n=point.row,
        class_=f"{colour(point.entry, context)}{' f' if point.front else ''}",
    )


def _saying(class_: Class, gain: str) -> Callable[[Point], str]:
    metric = class_.metrics[0]
    text = score_texts(class_, metric)

    def said(point: Point) -> str:
        quality = f"{metric.name} {text(point.y.value)} ({bounds(point.y, text)})"
        spread = f" ({bounds(point.x, times)})" if point.x.high > point.x.low else ""
        return f"{plain(point.entry.label, 80)}: {quality}, {times(point.x.value)}{spread} {gain}"

    return said


# --------------------------------------------------------------------------------------------------------------- labels


def _labels(points: Sequence[Point], scales: Scales) -> Html:
    """Names beside what is on the front, as far as they find room."""
    taken: list[Box] = []
    for point in points:
        x, y = scales.x(point.x.value), scales.y(point.y.value)
        taken.append((x - 4, y - 4, x + 4, y + 4) if point.named else (x - 2, y - 2, x + 2, y + 2))
    found: list[Html] = []
    for point in sorted((p for p in points if p.telling), key=lambda p: (not p.entry.anchor, -p.y.value)):
        placed = _placed(point, scales, taken)
        if placed and len(found) < LABELS:
            box, text = placed
            taken.append(box)
            found.append(tag("text", text, x=_px(box[0]), y=_px(box[3] - 3), class_="label"))
    return join(found)


def _placed(point: Point, scales: Scales, taken: Iterable[Box]) -> tuple[Box, Html] | None:
    label = plain(point.entry.label, 26)
    wide, x, y = LETTER * len(label), scales.x(point.x.value), scales.y(point.y.value)
    after, before, middle = x + 8, x - 8 - wide, x - wide / 2
    corners = ((after, y - 16), (after, y + 3), (before, y - 16), (before, y + 3), (middle, y - 24), (middle, y + 9))
    for left, top in corners:
        box = (left, top, left + wide, top + 14)
        inside = left > LEFT and box[2] < RIGHT + 8 and top > 0 and box[3] < BOTTOM
        if inside and not any(_meet(box, other) for other in taken):
            return box, escaped(label)
    return None


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
