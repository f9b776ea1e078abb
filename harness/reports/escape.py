"""Text of third parties (names, reasons, file contents) made harmless for markdown, CSV and terminals."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 400  # characters of any one text in a report
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_JOINERS = "\u200c\u200d"  # Indic scripts and emoji need them
# Brackets are harmless until what follows makes them a link, a reference, its definition or a footnote; underscores
# inside words always are. Signs and numbers mean something at the beginning of a block.
_MARKUP = re.compile(r"[\\`*|~$]|\](?=[(\[:])|\[(?=\^)|(?<![^\W_])_|_(?![^\W_])|^(?:[#+=-]|\d+(?=[.)](?:\s|$)))")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(text: object, longest: int = LONGEST) -> str:
    """One printable line: no control, ANSI or bidirectional characters, no lone surrogates, at most `longest` long."""
    line = " ".join("".join(map(_visible, _ANSI.sub("", str(text)))).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


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


def _visible(character: str) -> str:
    """White space → a space, what cannot be seen or stored → nothing."""
    if character.isspace():
        return " "
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in _JOINERS
    return "" if hidden or _is_no_character(ord(character)) else character


def _is_no_character(code: int) -> bool:
    """Code points that are no characters and never will be: XML does not allow them."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def _backslashed(found: re.Match[str]) -> str:
    mark = found[0]
    return f"{mark}\\" if mark.isdigit() else f"\\{mark}"
