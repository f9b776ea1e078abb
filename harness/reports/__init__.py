"""Reports are made from records alone, with the task's own metrics; nothing here runs or times anything."""

from __future__ import annotations

import json
from pathlib import Path

from harness.reports.compact import compact_tables
from harness.reports.escape import plain
from harness.reports.figures import draw
from harness.reports.markdown import render
from harness.reports.model import Report
from harness.reports.rows import axis_values, summarise
from harness.reports.table_csv import to_csv
from harness.reports.table_json import json_report
from harness.store import write_atomic

__all__ = [
    "Report",
    "axis_values",
    "compact_tables",
    "json_report",
    "render",
    "summarise",
    "summary_sentence",
    "to_csv",
    "write_reports",
]


def write_reports(report: Report, folder: Path, name: str) -> Path:
    """Write `<name>.md`, `.csv`, `.json` and a figure per metric, each in one step; returns the path of the first.

    The caller's `name` holds the mode (`rureviews.random`): a rehearsal never replaces a real report.
    """
    texts = {
        "csv": to_csv(report),
        "json": json.dumps(json_report(report), ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n",
        "md": render(report, name),
        **{f"{metric}.svg": picture for metric, picture in draw(report).items()},
    }
    for suffix, text in texts.items():
        write_atomic(folder / f"{name}.{suffix}", text)
    return folder / f"{name}.md"


def summary_sentence(report: Report) -> str:
    """The report's first sentence as one printable line for a terminal."""
    return plain(report.sentence)
