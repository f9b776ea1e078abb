"""Records on the command line: a path, or the name of a report."""

from __future__ import annotations

from pathlib import Path

from harness.errors import SuiteError, choices, did_you_mean


def find_record(name: str) -> Path:
    """A record's path, or the name of a report in reports/. SuiteError with those that are there."""
    from harness.records import SUFFIX

    path = Path(name)
    if path.is_file():
        return path
    named = Path("reports") / f"{name}{SUFFIX}"
    if named.is_file():
        return named
    known = [found.name.removesuffix(SUFFIX) for found in Path("reports").glob(f"*{SUFFIX}")]
    msg = f"'{name}' is neither a record nor a report in reports/.{did_you_mean(name, known)} Known: {choices(known)}"
    raise SuiteError(msg)
