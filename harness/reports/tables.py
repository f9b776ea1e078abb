"""Markdown tables: every cell is escaped or made by the report itself, every dash has its footnote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tabulate import tabulate

from harness.reports import format as fmt
from harness.reports.escape import markdown
from harness.reports.model import Absent, Figure, Ranged, Ratio, Report, Row
from harness.statistics import Interval

Lines = list[str]
ANCHOR = "anchor"
UNRESOLVED = " ?"  # after a ratio that its measurement does not resolve


class Shown(str):
    """Text that the report made itself: it goes into a cell as it is. Everything else is escaped."""

    __slots__ = ()


@dataclass(frozen=True)
class Marked:
    """A name that stands out, and why: the anchor's, or one that was published and not run."""

    text: str
    note: str  # "anchor", "published"


Content = str | Marked | Absent


@dataclass
class Notes:
    """The reasons of one table's dashes, numbered in the order of their first use."""

    _numbers: dict[str, int] = field(default_factory=dict)

    def cell(self, content: Content) -> str:
        """What goes into the table."""
        if isinstance(content, Absent):
            number = self._numbers.setdefault(content.reason, len(self._numbers) + 1)
            return fmt.DASH + fmt.superscript(number)
        if isinstance(content, Marked):
            stars = "**" if content.note == ANCHOR else "*"
            return f"{stars}{markdown(content.text)}{stars} ({content.note})"
        return str(content) if isinstance(content, Shown) else markdown(content)

    def lines(self) -> Lines:
        """One line, or nothing."""
        notes = [f"{fmt.superscript(number)} {markdown(reason)}" for reason, number in self._numbers.items()]
        return ["", " · ".join(notes)] if notes else []


def table(headers: Sequence[str], rows: Iterable[Sequence[Content]], align: str) -> Lines:
    """A pipe table with its footnotes. `align` has `l` (text) or `r` (figures) per column. Nothing without rows."""
    notes = Notes()
    cells = [[notes.cell(content) for content in row] for row in rows]
    if not cells:
        return []
    names = [str(header) if isinstance(header, Shown) else markdown(header) for header in headers]
    sides = [{"l": "left", "r": "right"}[letter] for letter in align]
    text = tabulate(cells, headers=names, tablefmt="pipe", disable_numparse=True, colalign=sides)
    return [*text.splitlines(), *notes.lines(), ""]


def section(title: str, *blocks: Lines) -> Lines:
    """A heading over what it is about; nothing where there is nothing."""
    body = [line for block in blocks for line in block]
    return [f"## {title}", "", *body] if any(body) else []


def bullets(items: Iterable[str]) -> Lines:
    """A list, followed by an empty line."""
    lines = [f"- {item}" for item in items]
    return [*lines, ""] if lines else []


# ------------------------------------------------------------------------------------------------------------ columns


def name(row: Row) -> Content:
    """The row's label, the anchor's marked."""
    return Marked(row.label, ANCHOR) if row.anchor else row.label


def metric_column(values: Sequence[Ranged], unit: str, signed: bool = False) -> list[Content]:
    """Intervals of one column with the decimals that they support together; shares times 100 where the unit is '%'."""
    return column([scaled(value, 100 if unit == "%" else 1) for value in values], unit, signed)


def column(values: Sequence[Ranged], unit: str, signed: bool = False) -> list[Content]:
    """The same for values in the unit that is shown. Percent have one or two decimals."""
    places = fmt.decimals(fmt.half_width(value) for value in values if isinstance(value, Interval))
    if unit == "%":
        places = min(max(places, 1), 2)
    return [value if isinstance(value, Absent) else Shown(_certain(value, places, signed)) for value in values]


def scaled(value: Ranged, factor: float) -> Ranged:
    """In another unit."""
    if isinstance(value, Absent):
        return value
    return Interval(value.value * factor, value.low * factor, value.high * factor)


def _certain(interval: Interval, places: int, signed: bool) -> str:
    """Without bounds where there is no uncertainty: a row against itself."""
    if interval.low == interval.high == interval.value:
        return fmt.fixed(interval.value, 0) if interval.value in (0, 100) else fmt.fixed(interval.value, places, signed)
    return fmt.ranged(interval, places, signed)


def ratio_cell(ratio: Ratio, anchor: bool = False) -> Content:
    """`7.9 [7.6, 8.1]`; `≈ 1` inside the noise; `1` for the anchor; a mark where it is too wide to say even that."""
    if isinstance(ratio.interval, Absent):
        return ratio.interval
    if anchor:
        return Shown("1")
    if not ratio.resolved:
        return Shown(fmt.measured(ratio.interval) + UNRESOLVED)
    return Shown("≈ 1" if ratio.noise else fmt.measured(ratio.interval))


def figure(value: Figure, show: Callable[[float], str] = fmt.significant) -> Content:
    """A number, or why there is none."""
    return value if isinstance(value, Absent) else Shown(show(value))


def measured(value: Ranged) -> Content:
    """`3.1 [3.0, 3.3]`."""
    return value if isinstance(value, Absent) else Shown(fmt.measured(value))


def integer(value: Figure) -> Content:
    """`11,868,162`."""
    return value if isinstance(value, Absent) else Shown(fmt.count(round(value)))


def header(metric: str, unit: str, higher_is_better: bool) -> str:
    """`accuracy, % ↑`."""
    arrow = "↑" if higher_is_better else "↓"
    return f"{metric}{', ' + unit if unit else ''} {arrow}"


def points(report: Report) -> str:
    """The unit of differences."""
    return "points" if report.primary.unit == "%" else report.primary.unit
