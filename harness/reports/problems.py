"""What did not get through, why, and how to try again."""

from __future__ import annotations

from collections import Counter

from harness.reports.escape import code, markdown
from harness.reports.model import Problem, Report
from harness.reports.tables import Lines, bullets, section

TITLE = "Failed, skipped, not run"


def problem_line(report: Report) -> Lines:
    """`⚠ 2 cells failed, 1 skipped: see …`, right below the table."""
    counts = Counter(problem.status for problem in report.problems)
    unmeasured = sum(len(measurement.failures) for measurement in report.measurements)
    parts = [f"{counts[status]} {markdown(status)}" for status in sorted(counts)]
    if unmeasured:
        parts.append(f"{unmeasured} not measured")
    return [f"⚠ Of {_cells(report)} cells {', '.join(parts)}: see “{TITLE}” below.", ""] if parts else []


def problems_section(report: Report) -> Lines:
    """Failed cells one by one with the command that retries them, the others by reason."""
    failed = [problem for problem in report.problems if problem.status == "failed"]
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in report.problems:
        if problem.status != "failed":
            groups.setdefault((problem.status, problem.reason), []).append(problem)
    return section(
        TITLE,
        bullets(_failed(problem) for problem in failed),
        bullets(_others(status, reason, problems) for (status, reason), problems in groups.items()),
        bullets(_unmeasured(report)),
        bullets(f"**plugin not loaded** {markdown(who)}: {markdown(why)}" for who, why in _broken(report)),
    )


def _cells(report: Report) -> int:
    return sum(row.seeds for row in report.rows)


def _failed(problem: Problem) -> str:
    return f"**failed** {markdown(problem.cell)}: {markdown(problem.reason)}. Try again: {code(problem.retry)}"


def _others(status: str, reason: str, problems: list[Problem]) -> str:
    cells = "; ".join(markdown(problem.cell) for problem in problems[:20])
    more = f" and {len(problems) - 20} more" if len(problems) > 20 else ""
    return f"**{markdown(status)}** {cells}{more}: {markdown(reason)}"


def _unmeasured(report: Report) -> list[str]:
    return [
        f"**not measured** {_subject(subject)} in measurement {measurement.name}: {markdown(reason)}"
        for measurement in report.measurements
        for subject, reason in sorted(measurement.failures.items())
    ]


def _subject(name: str) -> str:
    return "the anchor's twin" if name == "twin" else f"chain {markdown(name.removeprefix('row.'))}"


def _broken(report: Report) -> list[tuple[str, str]]:
    return sorted(report.run["broken_plugins"].items())
