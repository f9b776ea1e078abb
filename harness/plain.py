"""Text of third parties made harmless: one printable line of a sensible length."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 400  # characters of any one text in a report or a reason
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_JOINERS = "\u200c\u200d"  # Indic scripts and emoji need them


def plain(text: object, longest: int = LONGEST) -> str:
    """One printable line: no control, ANSI or bidirectional characters, no lone surrogates, at most `longest` long."""
    begin = str(text)[: 64 * longest]  # a text of a gigabyte costs no more than what is shown of it
    visible = begin if begin.isprintable() else "".join(map(_visible, _ANSI.sub("", begin)))
    line = " ".join(visible.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def plain_lines(text: str, most: int = 20, longest: int = 1000) -> str:
    """The same, line by line, for what is written in several on purpose: at most so many of them."""
    return "\n".join(plain(line, longest) for line in text.splitlines()[:most])


def _visible(character: str) -> str:
    """White space → a space, what cannot be seen or stored → nothing."""
    if character.isspace():
        return " "
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in _JOINERS
    return "" if hidden or _is_no_character(ord(character)) else character


def _is_no_character(code: int) -> bool:
    """Code points that are no characters and never will be: XML does not allow them."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
