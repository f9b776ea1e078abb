"""Text of third parties (names, reasons, file contents) made harmless for markdown, CSV and terminals."""

from __future__ import annotations

import re

from harness.plain import plain

__all__ = ["code", "csv_text", "markdown", "plain"]
# Brackets are harmless until what follows makes them a link, a reference, its definition or a footnote; underscores
# inside words always are. Signs and numbers mean something at the beginning of a block.
_MARKUP = re.compile(r"[\\`*|~$]|\](?=[(\[:])|\[(?=\^)|(?<![^\W_])_|_(?![^\W_])|^(?:[#+=-]|\d+(?=[.)](?:\s|$)))")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def markdown(text: object) -> str:
    """The text as itself in a table cell, a list item, a heading or a paragraph: no markup, HTML or disguised link."""
    escaped = "".join(_ENTITIES.get(c, c) for c in plain(text))
    return _MARKUP.sub(_backslashed, escaped)


def code(text: object) -> str:
    """The text as a code span, for commands. Not for tables, where a pipe would still end the cell."""
    line = plain(text, longest=2000)
    runs = [len(run) for run in re.findall(r"`+", line)]
    fence = "`" * (max(runs, default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}" if line else ""


def csv_text(text: object) -> str:
    """The text as one that no spreadsheet takes for a formula: a leading apostrophe where it could be one."""
    line = plain(text)
    return f"'{line}" if line.startswith(_FORMULA) else line


def _backslashed(found: re.Match[str]) -> str:
    mark = found[0]
    return f"{mark}\\" if mark.isdigit() else f"\\{mark}"
