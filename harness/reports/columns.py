"""The first columns of the main table in a study's own order and units, and its rows that are not ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.reports import format as fmt
from harness.reports.courses import judged_within, last, over_seeds, peak
from harness.reports.escape import markdown
from harness.reports.history import NOT_TRAINED
from harness.reports.model import Absent, Figure, Report, Row, Theirs
from harness.reports.study import millions, minutes, per_minute
from harness.reports.tables import Content, Marked, Shown, figure, header, integer, measured, metric_column
from harness.specs import Metric

Column = tuple[str, Sequence[Content]]
NO_ANCHOR = Absent("no anchor")
NOT_JUDGED = Absent("no dev set")
UNSAID = Absent("not published")
NOT_RUN = Absent("published, not run here")
_HEADERS = {
    "size": "model file, MiB ↓",
    "folder": "whole folder, MiB ↓",
    "minutes": "minutes over the test examples ↓",
    "examples": "test examples",
    "per_minute": "requests per minute ↑",
    "request_ms": "ms per request ↓",
    "batch_seconds": "seconds per batch ↓",
    "training": "training, own steps",
    "parameters": "parameters, millions",
    "training_ratio": "training, × anchor's ↓",
    "tokens": "tokens per training example ↓",
    "test_tokens": "tokens per test example ↓",
}
_PUBLISHED = {  # column → figure of [[published]]
    "size": "size_mib",
    "minutes": "minutes",
    "examples": "examples",
    "per_minute": "requests_per_minute",
    "request_ms": "request_ms",
    "batch_seconds": "batch_seconds",
    "parameters": "parameters_millions",
}
EXTRAPOLATED = ("minutes", "per_minute")


def study_columns(report: Report) -> list[Column]:
    """The columns that the suite's [report] asks for."""
    return [_column(name, report) for name in report.columns]


def _column(name: str, report: Report) -> Column:
    metric = next((metric for metric in report.metrics if metric.name == name), None)
    if metric is not None:
        cells = metric_column([row.quality[name].interval for row in report.rows], metric.unit)
        return header(metric.name, metric.unit, metric.higher_is_better), cells
    if name in ("final", "peak"):
        return _on_dev(name, report)
    show: dict[str, Callable[[Row], Content]] = {
        "size": lambda row: figure(row.size.model_mib, fmt.mib),
        "folder": lambda row: figure(row.size.folder_mib, fmt.mib),
        "minutes": lambda row: measured(minutes(row, report.examples)),
        "examples": lambda _: integer(report.examples),
        "per_minute": lambda row: measured(per_minute(row)),
        "request_ms": lambda row: measured(row.speed.level_ms),
        "batch_seconds": lambda row: measured(row.speed.batch_seconds),
        "training": lambda row: figure(_training(row), fmt.seconds),
        "parameters": lambda row: figure(millions(row)),
        "training_ratio": lambda row: figure(_ratio(_training(row), report.anchor), fmt.times),
        "tokens": lambda row: _beside(row.tokens, report.anchor.tokens if report.anchor else NO_ANCHOR),
        "test_tokens": lambda row: _beside(row.test_tokens, report.anchor.test_tokens if report.anchor else NO_ANCHOR),
    }
    return Shown(_HEADERS[name]), [show[name](row) for row in report.rows]


def _on_dev(name: str, report: Report) -> Column:
    """The primary metric after the last epoch, or the best that was seen; dev has no samples to resample."""
    metric = report.primary
    over = "steps" if any(map(judged_within, report.rows)) else "epochs"
    when = "last epoch" if name == "final" else f"peak over {over}"
    title = header(f"dev {metric.name}, {when}", metric.unit, metric.higher_is_better)
    return title, [_over_seeds(row, last(row) if name == "final" else peak(row, metric), metric) for row in report.rows]


def _over_seeds(row: Row, values: Sequence[float], metric: Metric) -> Content:
    if not values:
        return NOT_JUDGED if row.training.seconds else NOT_TRAINED
    if metric.unit == "%":
        return over_seeds([100 * value for value in values], lambda value: fmt.fixed(value, 1))
    return over_seeds(values, fmt.significant)


def _beside(value: Figure, anchor: Figure) -> Content:
    """`23.4 (× 0.71)`: the number, and how many times the anchor's it is."""
    if isinstance(value, Absent) or isinstance(anchor, Absent) or not anchor:
        return figure(value)
    return Shown(f"{fmt.significant(value)} (× {fmt.times(value / anchor)})")


def _training(row: Row) -> Figure:
    """Seconds of a row's own steps, the mean over its seeds."""
    seconds = list(row.training.seconds.values())
    return sum(seconds) / len(seconds) if seconds else NOT_TRAINED


def _ratio(seconds: Figure, anchor: Row | None) -> Figure:
    theirs = _training(anchor) if anchor else NO_ANCHOR
    if isinstance(seconds, Absent) or isinstance(theirs, Absent):
        return seconds if isinstance(seconds, Absent) else theirs
    return seconds / theirs if theirs else NO_ANCHOR


def outsiders(report: Report) -> list[Theirs]:
    """The published models that the suite does not run, where its columns have room for them."""
    return [row for row in report.theirs if row.axes is None] if report.columns else []


def outsider_cells(row: Theirs, report: Report, before: int, after: int) -> list[Content]:
    """A line of the main table with what was published; `before` and `after`: columns around the study's."""
    name = Marked(row.label, "published")
    cells = [_published(row, column) for column in report.columns]
    return [name, *[Shown("")] * (before - 1), *cells, *[NOT_RUN] * after]


def _published(row: Theirs, column: str) -> Content:
    if column == "training":
        return row.training or UNSAID
    value = row.figures.get(_PUBLISHED.get(column, column))
    return UNSAID if value is None else Shown(f"{value:,.10g}")


def explanations(report: Report) -> list[str]:
    """What the study's columns need to be read."""
    columns, parts = set(report.columns), []
    if columns & {"final", "peak"}:
        parts.append(_when_judged(report.rows))
    if columns & {"tokens", "test_tokens"}:
        parts.append("Tokens: as the model's encoder cuts a text, special ones included; ×: times the anchor's.")
    return [*parts, extrapolation(report)]


def _when_judged(rows: Sequence[Row]) -> str:
    """A peak over more looks is higher by chance alone, so a reader must see who was judged how often."""
    trained = {str(row.axes["model"]): judged_within(row) for row in rows if row.training.seconds}
    within = [markdown(model) for model, inside in trained.items() if inside]
    of = "" if len(within) == len(trained) else f" of {', '.join(within)}"
    when = f"after each epoch, and inside the epochs{of} too" if within else "after each epoch"
    return f"dev: judged {when}; mean over seeds, in parentheses the least and the most."


def extrapolation(report: Report) -> str:
    """What the minutes of the table are made from; nothing without such a column."""
    if not set(EXTRAPOLATED) & set(report.columns) or isinstance(report.examples, Absent):
        return ""
    requests = sorted({row.speed.requests for row in report.rows if row.speed.requests})
    if not requests:
        return ""
    timed, whole = " or ".join(map(fmt.count, requests)), fmt.count(round(report.examples))
    return (
        f"Minutes and requests per minute: text to answer, one by one, extrapolated to {whole} test examples from "
        f"{timed} measured requests, at the anchor's pace in the calmest measurement."
    )
