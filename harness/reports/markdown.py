"""The report as markdown: the answer first, then the table, then everything that it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from harness.reports import format as fmt
from harness.reports.columns import Column, explanations, outsider_cells, outsiders, study_columns
from harness.reports.compact import compact_tables
from harness.reports.costs import size_section, speed_section
from harness.reports.critical import exchange_section, type_section
from harness.reports.escape import markdown
from harness.reports.figures import figure_links
from harness.reports.identity import data_section, identity_section
from harness.reports.making import compressor_section, training_section
from harness.reports.model import Absent, Kept, Report, Row
from harness.reports.problems import problem_line, problems_section
from harness.reports.results import class_section, quality_section, slice_section
from harness.reports.selecting import select_section
from harness.reports.study_sections import claims_section, published_section
from harness.reports.tables import (
    Content,
    Lines,
    Shown,
    figure,
    header,
    measured,
    metric_column,
    points,
    ratio_cell,
    table,
)

BANNERS = {
    "rehearsal": "**Rehearsal: sampled data, miniature models. No figure here means anything.**",
    "random": "**Random weights: sizes and speeds are real, quality is not looked at.**",
}
_SECTIONS = (
    claims_section,
    select_section,
    quality_section,
    type_section,
    exchange_section,
    speed_section,
    size_section,
    compressor_section,
    training_section,
    data_section,
    class_section,
    slice_section,
    published_section,
    problems_section,
    identity_section,
)


def render(report: Report, name: str | None = None) -> str:
    """The whole page; its figures are files `<name>.<metric>.svg` beside it. The same report gives the same bytes."""
    lines = [f"# {markdown(report.run['suite']['title'] or report.run['suite']['name'])}", "", *_banner(report)]
    lines += [markdown(report.sentence), "", *compact_tables(report), *main_table(report), *problem_line(report)]
    lines += figure_links(report, name or report.name)
    for section in _SECTIONS:
        lines += section(report)
    return "\n".join(lines).rstrip() + "\n"


def _banner(report: Report) -> Lines:
    return [BANNERS[report.mode], ""] if report.mode in BANNERS else []


def main_table(report: Report) -> Lines:
    """One line per row: what it keeps, what it weighs, how fast it is; the study's own columns first."""
    axes, study, own = _axes(report), study_columns(report), _own(report)
    columns = [*axes, *study, *own]
    lines = [list(line) for line in zip(*(cells for _, cells in columns), strict=True)]
    lines += [outsider_cells(row, report, len(axes), len(own)) for row in outsiders(report)]
    align = ("l" * len(axes)).ljust(len(columns), "r")
    return [*table([name for name, _ in columns], lines, align), _legend(report), ""]


def _own(report: Report) -> list[Column]:
    """What every report has, without what the study's columns show already."""
    rows, metric = report.rows, report.primary
    columns: list[Column] = []
    if metric.name not in report.columns:
        columns.append((header(metric.name, metric.unit, metric.higher_is_better), _scores(report)))
    columns += [(Shown(f"Δ to anchor, {points(report)}"), _differences(report)), *_kept(report)]
    if "size" not in report.columns:
        columns.append((Shown("model file, MiB ↓"), [figure(row.size.model_mib, fmt.mib) for row in rows]))
    columns.append((Shown("× smaller ↑"), [figure(row.size.times_smaller, fmt.times) for row in rows]))
    if report.run["measure"]["speed"] is not None:
        columns += [
            (Shown("× faster, request ↑"), [ratio_cell(row.speed.request, row.anchor) for row in rows]),
            (Shown("request p50, ms ↓"), [measured(row.speed.p50_ms) for row in rows]),
            (Shown("× faster, forward ↑"), [ratio_cell(row.speed.forward, row.anchor) for row in rows]),
        ]
    if any(row.status != "ok" for row in rows):
        columns.append((Shown("status"), [row.status for row in rows]))
    return columns


def _axes(report: Report) -> list[Column]:
    names = {"compress": "chain"}
    return [
        (names.get(axis, axis), [_axis(row, axis, first=number == 0) for row in report.rows])
        for number, axis in enumerate(report.axes)
    ]


def _axis(row: Row, axis: str, *, first: bool) -> Content:
    value = row.axes.get(axis)
    if value is None:
        return Absent("the model has no such parameter")
    return Shown(f"**{markdown(value)}** (anchor)") if first and row.anchor else str(value)


def _scores(report: Report) -> list[Content]:
    metric = report.primary
    return metric_column([row.quality[metric.name].interval for row in report.rows], metric.unit)


def _differences(report: Report) -> list[Content]:
    metric = report.primary
    cells = metric_column([row.quality[metric.name].difference for row in report.rows], metric.unit, signed=True)
    return [Shown("0") if row.anchor and isinstance(c, Shown) else c for row, c in zip(report.rows, cells, strict=True)]


def _kept(report: Report) -> list[Column]:
    """For each metric that should be kept: what is kept of the reference, then a column per bar."""
    asked = len(report.rows[0].keeps) if report.rows else 0
    return [column for n in range(asked) for column in _kept_of([row.keeps[n] for row in report.rows], asked > 1)]


def _kept_of(kept: Sequence[Kept], several: bool) -> list[Column]:
    """One per row; where several metrics should be kept, bars say of which they are."""
    first = kept[0]
    title = Shown(f"keeps of {markdown(first.of)}'s {markdown(first.metric)}, % ↑")
    columns: list[Column] = [(title, metric_column([entry.interval for entry in kept], "%"))]
    for number, bar in enumerate(first.bars):
        verdicts = [entry.bars[number].verdict for entry in kept]
        heading = Shown(f"{markdown(first.metric) + ' ' if several else ''}≥ {fmt.share(bar.at_least)}")
        columns.append((heading, [v if isinstance(v, Absent) else Shown(v) for v in verdicts]))
    return columns


def _legend(report: Report) -> str:
    """How to read the table."""
    level = fmt.share(report.run["measure"]["confidence"])
    several = any(row.also_kept for row in report.rows)
    parts = [f"Brackets: {level} intervals.", "Δ and kept share: paired, on the same examples."]
    if any(kept.bars for row in report.rows for kept in row.keeps):
        parts.append("PASS: the whole interval reaches the bar; FAIL: none of it does; INCONCLUSIVE: a part.")
    if report.measurements:
        parts.append(
            "× faster, measured beside the anchor at batch 1: request is text to answer, forward the model alone"
            f"{'' if several else ', of which the sentence above speaks'}; ≈ 1: no more than noise."
        )
    less = {metric.name for metric in report.metrics if not metric.higher_is_better}
    turned = sorted(less & {kept.metric for row in report.rows for kept in row.keeps})
    parts += [f"Kept of {markdown(name)}: the reference's over the row's, because less is better." for name in turned]
    parts += explanations(report)
    parts.append("MiB: 2^20 bytes.")
    return " ".join(part for part in parts if part)
