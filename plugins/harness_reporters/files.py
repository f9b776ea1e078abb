"""The files of every report."""

from __future__ import annotations

from harness import Params, Report, csv_files, json_files, markdown_files


class Markdown:
    """The page, and the figures that it shows."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def files(self, report: Report, name: str) -> dict[str, str]:
        """`<name>.md`, `<name>.<metric>.svg`."""
        return markdown_files(report, name)


class Csv:
    """A line per row, a plain column per figure."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def files(self, report: Report, name: str) -> dict[str, str]:
        """`<name>.csv`."""
        return csv_files(report, name)


class Json:
    """All of it, unrounded."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def files(self, report: Report, name: str) -> dict[str, str]:
        """`<name>.json`."""
        return json_files(report, name)
