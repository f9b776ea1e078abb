"""Sections about the study that the suite repeats: its claims, and its figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping

from harness.reports import format as fmt
from harness.reports.escape import markdown
from harness.reports.model import Absent, Claim, Published, Report
from harness.reports.tables import Content, Lines, Shown, bullets, column, section, table
from harness.statistics import Interval

COUNTED = ("size_mib", "parameters_millions", "examples")
_NAMES = {
    "size_mib": "model file, MiB",
    "minutes": "minutes over the test examples",
    "requests_per_minute": "requests per minute",
    "request_ms": "ms per request",
    "batch_seconds": "seconds per batch",
    "parameters_millions": "parameters, millions",
    "examples": "test examples",
}


def claims_section(report: Report) -> Lines:
    """Each conclusion with what this run found about it."""
    rows = [_claim(claim) for claim in report.claims]
    lines = table(["claim", "rows compared", "figure", "claimed", "found", "verdict", "source"], rows, "lllrrll")
    note = (
        "Supported: the whole interval keeps to what is claimed; contradicted: none of it does; undecided: a part. "
        "Paired where both rows are ours; ratios of times are widened by their measurements' noise."
    )
    return section("Claims of the study", lines, [note, ""]) if lines else []


def _claim(claim: Claim) -> list[Content]:
    return [
        claim.text,
        claim.compared,
        claim.quantity,
        claim.condition,
        _found(claim.found, claim.quantity),
        Shown(f"**{markdown(claim.verdict)}**"),
        claim.source,
    ]


def _found(found: Interval | Absent, quantity: str) -> Content:
    """The verdict says why nothing was found, so the dash needs no footnote."""
    if isinstance(found, Absent):
        return Shown(fmt.DASH)
    if found.low == found.high:
        return Shown(f"{found.value:,.4g}".replace("-", fmt.MINUS))
    if quantity.startswith("×"):
        return Shown(fmt.measured(found))
    return column([found], "%" if quantity.endswith("points") else "", signed=quantity.startswith("Δ"))[0]


def published_section(report: Report) -> Lines:
    """Each published figure beside ours."""
    sources = {source: str(n) for n, source in enumerate(dict.fromkeys(p.source for p in report.published), start=1)}
    rows = [_published(entry, sources) for entry in report.published]
    lines = table(["row", "figure", "published", "ours", "verdict", "source"], rows, "llrrll")
    if not lines:
        return []
    how = (
        "Reproduced: the published figure lies in our interval; a size or a count of parameters, within 2 %. Times "
        "hold for one machine; how many times faster or smaller than the anchor's row holds across machines."
    )
    origins = bullets(f"Source {number}: {markdown(source)}" for source, number in sources.items())
    return section("Published numbers", lines, [how, ""], origins, bullets(_notes(report)))


def _published(entry: Published, sources: Mapping[str, str]) -> list[Content]:
    """The verdict says why a figure of ours is missing, so its dash needs no footnote."""
    ours = Shown(fmt.DASH) if isinstance(entry.ours, Absent) else _ours(entry.ours, entry)
    figure = f"{entry.name}, {entry.unit}" if entry.unit else _NAMES.get(entry.name, entry.name)
    digits = 3 if entry.name.startswith("×") else 6
    number = Shown(sources[entry.source])
    return [entry.row, figure, Shown(f"{entry.published:,.{digits}g}"), ours, entry.verdict, number]


def _ours(value: Interval, entry: Published) -> Content:
    """Percent as everywhere; what is counted, without the tolerance that it is judged with."""
    if entry.name in COUNTED or entry.name.startswith("× smaller"):
        return Shown(f"{value.value:,.5g}")
    return column([value], entry.unit)[0] if entry.unit else Shown(fmt.measured(value))


def _notes(report: Report) -> list[str]:
    """What was said of published rows, once for all rows of which it is said."""
    rows: dict[str, list[str]] = {}
    for entry in report.published:
        known = rows.setdefault(entry.note, []) if entry.note else [entry.row]
        if entry.row not in known:
            known.append(entry.row)
    return [f"{markdown(', '.join(labels))}: {markdown(note)}" for note, labels in rows.items()]
