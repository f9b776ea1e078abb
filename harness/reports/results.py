"""Sections about quality: every metric, classes and confusions, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.reports import format as fmt
from harness.reports.escape import markdown
from harness.reports.model import Absent, Report, Row
from harness.reports.tables import Content, Lines, Shown, header, metric_column, name, section, table
from harness.specs import Metric
from harness.statistics import RESAMPLES

PERCENT = "%"
WIDE = 4  # metrics in a table
UNSLICED = Absent("not reported by the task")


def quality_section(report: Report) -> Lines:
    """All metrics with intervals, differences to the anchor and values by seed; what could have been found at all.

    Many metrics are several tables: one that is wider than a page is read by nobody.
    """
    if report.mode == "random":
        return []
    tables = -(-len(report.metrics) // WIDE)
    each = -(-len(report.metrics) // tables)
    lines: Lines = []
    for first in range(0, len(report.metrics), each):
        lines += _metric_table(report, report.metrics[first : first + each])
    return section("Quality", lines, [_method(report), ""], _resolution(report), _isa(report))


def _metric_table(report: Report, metrics: Sequence[Metric]) -> Lines:
    columns: list[tuple[str, Sequence[Content]]] = [
        ("row", [name(row) for row in report.rows]),
        (
            Shown("seeds"),
            [Shown(f"{len(row.quality[report.primary.name].by_seed)}/{row.seeds}") for row in report.rows],
        ),
    ]
    for metric in metrics:
        columns += _metric_columns(metric, report.rows)
    return table(
        [title for title, _ in columns],
        zip(*(cells for _, cells in columns), strict=True),
        "l" + "r" * (len(columns) - 1),
    )


def _metric_columns(metric: Metric, rows: Sequence[Row]) -> list[tuple[str, Sequence[Content]]]:
    scores = [row.quality[metric.name] for row in rows]
    unit = "points" if metric.unit == PERCENT else markdown(metric.unit)
    columns: list[tuple[str, Sequence[Content]]] = [
        (
            header(metric.name, metric.unit, metric.higher_is_better),
            metric_column([s.interval for s in scores], metric.unit),
        ),
        (Shown(f"Δ, {unit}"), metric_column([s.difference for s in scores], metric.unit, signed=True)),
    ]
    if any(len(score.by_seed) > 1 for score in scores):
        columns.append((Shown(f"{markdown(metric.name)} by seed"), [_by_seed(row, metric) for row in rows]))
    return columns


def _by_seed(row: Row, metric: Metric) -> Content:
    """`80.2 · 79.8`; a row that lacks one says which seeds it has."""
    values = row.quality[metric.name].by_seed
    if not values:
        return Absent("no score: see the problems below")
    percent = metric.unit == PERCENT
    shown = {seed: f"{v * 100:.1f}" if percent else fmt.significant(v, 4) for seed, v in values.items()}
    whole = len(values) == row.seeds
    return Shown(" · ".join(text if whole else f"seed {markdown(seed)}: {text}" for seed, text in shown.items()))


def _method(report: Report) -> str:
    level = fmt.share(report.run["measure"]["confidence"])
    counts = [data["counts"]["test"] for data in report.run["task"]["data"] if "test" in data["counts"]]
    examples = f"{fmt.count(counts[0])} test examples. " if counts else ""
    return (
        f"{examples}Intervals: {level}, bootstrap of {fmt.count(RESAMPLES)} resamples over examples, and over seeds "
        "where there are several. Δ: row − anchor on the same resamples. A row's value is the mean over its seeds."
    )


def _resolution(report: Report) -> Lines:
    if isinstance(report.resolution, Absent):
        return []
    metric = report.primary
    factor, unit = (100, "points") if metric.unit == PERCENT else (1, markdown(metric.unit))
    size = f"{fmt.significant(report.resolution * factor, 2)} {unit}".rstrip()
    return [
        f"Resolving power: a true difference of {size} in {markdown(metric.name)} between a typical row and the anchor "
        "would be told from zero in 4 of 5 such runs; smaller ones mostly would not.",
        "",
    ]


def _isa(report: Report) -> Lines:
    """Dynamic int8 saturates on some CPUs and not on others."""
    uses = sorted({step.use for row in report.rows for step in row.steps if step.isa_dependent})
    if not uses:
        return []
    isa = markdown(report.run["machine"].get("identity", {}).get("isa", "an unknown class"))
    names = ", ".join(map(markdown, uses))
    return [f"Answers after {names} depend on the CPU's class of instructions; these are of {isa}.", ""]


# ------------------------------------------------------------------------------------------------------------ classes


def class_section(report: Report) -> Lines:
    """Scores per class and confusion matrices of the anchor and of the row that the summary is about."""
    chosen = [row for row in report.rows if row.anchor or row.label == report.best]
    blocks = [_per_class(chosen), *(_confusion(row) for row in chosen)]
    return section("By class", *blocks)


def _per_class(rows: Sequence[Row]) -> Lines:
    found = [(row, row.details.get("per_class")) for row in rows]
    tables = [(row, scores) for row, scores in found if isinstance(scores, Mapping) and scores]
    columns = sorted({title for _, scores in tables for entry in scores.values() for title in entry})
    lines = [
        [name(row), label, *(_class_figure(scores.get(label, {}).get(title)) for title in columns)]
        for row, scores in tables
        for label in _classes(row, scores)
    ]
    return table(["row", "class", *columns], lines, "ll" + "r" * len(columns))


def _classes(row: Row, scores: Mapping[str, Any]) -> list[str]:
    """The task's order of classes where it tells one."""
    return [label for label in row.details.get("classes", sorted(scores)) if label in scores]


def _class_figure(value: Any) -> Content:
    """Whole numbers are counts, others shares."""
    if value is None:
        return UNSLICED
    if isinstance(value, int):
        return Shown(fmt.count(value))
    return Shown(f"{fmt.fixed(value * 100, 1)} %") if isinstance(value, float) else str(value)


def _confusion(row: Row) -> Lines:
    matrix, labels = row.details.get("confusion"), row.details.get("classes")
    if not matrix or not labels:
        return []
    lines = [[label, *(Shown(fmt.count(n)) for n in counts)] for label, counts in zip(labels, matrix, strict=True)]
    title = f"{markdown(row.label)}, first seed: rows are the true class, columns the predicted one."
    return [title, "", *table(["true ↓", *labels], lines, "l" + "r" * len(labels))]


# -------------------------------------------------------------------------------------------------------------- slices


def slice_section(report: Report) -> Lines:
    """The task's slices of the test data, for the anchor and for the row that the summary is about."""
    chosen = [row for row in report.rows if row.anchor or row.label == report.best]
    found = {row.label: row.details.get("slices", {}) for row in chosen}
    values = {(by, value): None for slices in found.values() for by in slices for value in slices[by]}
    lines = [
        [by, value, *_sliced(row, found[row.label].get(by, {}).get(value, {}), report.metrics)]
        for by, value in values
        for row in chosen
    ]
    metrics = [header(metric.name, metric.unit, metric.higher_is_better) for metric in report.metrics]
    titles = ["slice", "value", "row", Shown("examples"), *metrics]
    note = ["First seed. A slice of few examples says little.", ""] if lines else []
    return section("By slice", table(titles, lines, "lll" + "r" * (1 + len(metrics))), note)


def _sliced(row: Row, figures: Mapping[str, Any], metrics: Sequence[Metric]) -> list[Content]:
    count = figures.get("examples")
    cells: list[Content] = [name(row), UNSLICED if count is None else Shown(fmt.count(int(count)))]
    for metric in metrics:
        value = figures.get(metric.name)
        percent = metric.unit == PERCENT
        cells.append(
            UNSLICED if value is None else Shown(fmt.fixed(value * 100, 1) if percent else fmt.significant(value))
        )
    return cells
