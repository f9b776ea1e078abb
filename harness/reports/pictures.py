"""What can be drawn: pictures as values. `harness.reports.plots` draws them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.statistics import Interval


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
    higher_is_better: bool = True  # y


@dataclass(frozen=True, kw_only=True)
class Frontier(Scatter):
    """Points with the line of those that no other beats. One entry per point in `likely` and `on`."""

    likely: tuple[float, ...]  # how likely it is on the front
    on: tuple[bool, ...]  # is it, by the figures themselves?
    less_is_better: bool  # x


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
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class Along(Picture):
    """Metrics against an axis of the matrix: a panel per metric, the same lines in each."""

    axis: str
    panels: tuple[tuple[str, tuple[Line, ...], tuple[tuple[str, Interval], ...]], ...]  # metric, lines, rows without it
    logarithmic: bool = False  # x; in any case where it spans decades
    by_model: bool = False  # do colours say the model, and strokes the rest?


@dataclass(frozen=True)
class Losses:
    """One training: a point is the mean of some steps."""

    label: str
    model: str
    steps: tuple[float, ...]
    raw: tuple[float, ...]
    smooth: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Descent(Picture):
    """Loss over steps: a panel per distiller, because their losses have scales of their own."""

    note: str  # what is thin and what is bold
    panels: tuple[tuple[str, tuple[Losses, ...]], ...]


@dataclass(frozen=True)
class Drop:
    """From one value to another, and where the second may lie."""

    before: float
    after: Interval
    better: bool  # or equal


@dataclass(frozen=True, kw_only=True)
class Falls(Picture):
    """Waterfalls: a line per step, grouped by the row that they lead to; a panel per quantity."""

    groups: tuple[tuple[str, int], ...]  # name, how many lines
    steps: tuple[str, ...]
    panels: tuple[tuple[str, bool, tuple[Drop | None, ...]], ...]  # title, logarithmic?, a drop per step


@dataclass(frozen=True, kw_only=True)
class Dots(Picture):
    """A value per row on a logarithmic axis, with a few words beside each."""

    across: str
    rows: tuple[tuple[str, str, Interval, str], ...]  # label, model, value, words
