"""Reports are made from records alone, with the task's own metrics; nothing here runs or times anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from harness.errors import PluginError, SuiteError, worded
from harness.plain import plain as plain_text
from harness.records import SUFFIX
from harness.reports.compact import compact_tables
from harness.reports.figures import draw
from harness.reports.maintable import MainTable, main_table
from harness.reports.markdown import render
from harness.reports.model import Absent, Report
from harness.reports.rows import axis_values, summarise
from harness.reports.table_csv import to_csv
from harness.reports.table_json import json_report
from harness.reports.tables import Marked
from harness.specs import Reporter
from harness.store import write_atomic

LONGEST = 230  # bytes of a file's name: it is written under a longer one first, and file systems end at 255
__all__ = [
    "Absent",
    "MainTable",
    "Marked",
    "Report",
    "axis_values",
    "compact_tables",
    "csv_files",
    "json_files",
    "json_report",
    "main_table",
    "markdown_files",
    "plain_text",
    "render",
    "summarise",
    "summary_sentence",
    "to_csv",
    "write_reports",
]


def markdown_files(report: Report, name: str) -> dict[str, str]:
    """`<name>.md` and the figures that it shows, `<name>.<metric>.svg`."""
    figures = {f"{name}.{metric}.svg": picture for metric, picture in draw(report).items()}
    return {f"{name}.md": render(report, name), **figures}


def csv_files(report: Report, name: str) -> dict[str, str]:
    """`<name>.csv`."""
    return {f"{name}.csv": to_csv(report)}


def json_files(report: Report, name: str) -> dict[str, str]:
    """`<name>.json`."""
    text = json.dumps(json_report(report), ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    return {f"{name}.json": text + "\n"}


def write_reports(report: Report, folder: Path, name: str, reporters: Mapping[str, Reporter]) -> list[Path]:
    """Write what the reporters (by name, for messages) make of a report, each file in one step; returns the paths.

    The caller's `name` holds the mode (`rureviews.random`): a rehearsal never replaces a real report. PluginError,
    after the others' files are written, for each reporter that raises or names a file that is not its own.
    """
    written: dict[str, str] = {}
    problems: list[str] = []
    for who, reporter in reporters.items():
        try:
            files = _checked(reporter.files(report, name), name, written)
        except Exception as error:
            problems.append(f"reporter '{who}': {worded(error)}")
            continue
        for file, content in files.items():
            written[file] = who
            _write(folder / file, content)
    if problems:
        raise PluginError(problems)
    return [folder / file for file in written]


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomic(path, content)
    except OSError as error:
        msg = f"{path}: {error.strerror or error}; reports stand beside their record, in a folder that can be written"
        raise SuiteError(msg) from error


def _checked(files: Mapping[str, str | bytes], name: str, written: Mapping[str, str]) -> dict[str, bytes]:
    """Contents as bytes. PluginError for a name or content that cannot be a report's file."""
    for file, content in files.items():
        own = file.startswith(f"{name}.") and "/" not in file and file.isprintable() and file != f"{name}{SUFFIX}"
        if len(file.encode()) > LONGEST:
            msg = f"file {file[:80]!r}…: a name of {len(file.encode())} bytes, at most {LONGEST} are allowed"
            raise PluginError(msg)
        if not own:
            msg = f"file {file[:200]!r}: expected a name that begins with '{name}.', without a folder, not the record's"
            raise PluginError(msg)
        if file in written:
            msg = f"file '{file}' was written by reporter '{written[file]}' already"
            raise PluginError(msg)
        if not isinstance(content, str | bytes):
            msg = f"file '{file}' is a {type(content).__name__}, expected text or bytes"
            raise PluginError(msg)
    return {file: content.encode() if isinstance(content, str) else content for file, content in files.items()}


def summary_sentence(report: Report) -> str:
    """The report's first sentence as one printable line for a terminal."""
    return plain_text(report.sentence)
