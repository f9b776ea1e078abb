"""The report as markdown: the answer first, then the table, then everything that it rests on."""

from __future__ import annotations

from harness.reports import format as fmt
from harness.reports.changes import broken_section, teachers_section, waterfall_section
from harness.reports.columns import explanations
from harness.reports.compact import compact_tables
from harness.reports.costs import size_section, speed_section
from harness.reports.critical import exchange_section, type_section
from harness.reports.escape import markdown
from harness.reports.figures import figure_links
from harness.reports.front import front_section
from harness.reports.identity import data_section, identity_section
from harness.reports.maintable import main_table
from harness.reports.making import compressor_section, training_section
from harness.reports.model import Report
from harness.reports.problems import problem_line, problems_section
from harness.reports.results import class_section, quality_section, slice_section
from harness.reports.selecting import select_section
from harness.reports.study_sections import claims_section, published_section
from harness.reports.tables import Lines, table

BANNERS = {
    "rehearsal": "**Rehearsal: sampled data, miniature models. No figure here means anything.**",
    "random": "**Random weights: sizes and speeds are real, quality is not looked at.**",
}
_SECTIONS = (
    claims_section,
    select_section,
    front_section,
    quality_section,
    broken_section,
    waterfall_section,
    teachers_section,
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
    lines += [markdown(report.sentence), "", *compact_tables(report), *_main_table(report), *problem_line(report)]
    lines += figure_links(report, name or report.name)
    for section in _SECTIONS:
        lines += section(report)
    return "\n".join(lines).rstrip() + "\n"


def _banner(report: Report) -> Lines:
    return [BANNERS[report.mode], ""] if report.mode in BANNERS else []


def _main_table(report: Report) -> Lines:
    found = main_table(report)
    return [*table(found.headers, found.rows, found.align), *_masked(report), _legend(report), ""]


def _masked(report: Report) -> Lines:
    """Rows whose weights are zeros and still there: nobody should take them for smaller ones."""
    rows = [markdown(row.label) for row in report.rows if any(step.facts.get("masked") for step in row.steps)]
    if not rows:
        return []
    said = "weights that pruning set to zero are still in the files and in every product"
    return [f"**⚠ Masked, not removed:** {', '.join(rows)}: {said}. Size and speed are those of such files.", ""]


def _unresolved(report: Report) -> str:
    """Of marks after ratios, where there are any."""
    ratios = [ratio for row in report.rows for ratio in (row.speed.request, row.speed.forward)]
    return "" if all(ratio.resolved for ratio in ratios) else "; ?: too noisy to be compared with other rows"


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
            f"{'' if several else ', of which the sentence above speaks'}; ≈ 1: no more than noise"
            f"{_unresolved(report)}."
        )
    less = {metric.name for metric in report.metrics if not metric.higher_is_better}
    turned = sorted(less & {kept.metric for row in report.rows for kept in row.keeps})
    parts += [f"Kept of {markdown(name)}: the reference's over the row's, because less is better." for name in turned]
    parts += explanations(report)
    parts.append("MiB: 2^20 bytes.")
    return " ".join(part for part in parts if part)
