"""Where each key and value of a TOML document stands. tomllib checks the text; this only walks what it accepted."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

Loc = tuple[str | int, ...]
Position = tuple[int, int]  # line and column, both from 1, columns in characters

_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_PART = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*')[ \t]*""")
_SCALAR = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'" r"|[^,\]}#\r\n]+", re.DOTALL
)


@dataclass(frozen=True)
class Located:
    """Positions by path; an array index is an int. A table header is the place of both key and value of its table."""

    keys: Mapping[Loc, Position]
    values: Mapping[Loc, Position]


def locate(text: str) -> Located:
    """Positions of every key and value of `text`, which tomllib must have accepted."""
    walker = _Walker(text)
    walker.document()
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return Located(_positions(walker.keys, starts), _positions(walker.values, starts))


def _positions(offsets: Mapping[Loc, int], starts: list[int]) -> dict[Loc, Position]:
    lines = {loc: bisect_right(starts, offset) for loc, offset in offsets.items()}
    return {loc: (line, offsets[loc] - starts[line - 1] + 1) for loc, line in lines.items()}


@dataclass
class _Walker:
    """One pass over the text. Every method takes the offset where it starts and returns the one behind what it read."""

    text: str
    keys: dict[Loc, int] = field(default_factory=dict)
    values: dict[Loc, int] = field(default_factory=dict)
    last: dict[Loc, int] = field(default_factory=dict)  # array of tables → index of its newest table

    def document(self) -> None:
        base: Loc = ()
        at = self._skip(_GAP, 0)
        while at < len(self.text):
            if self.text[at] == "[":
                base, at = self._header(at)
            else:
                at = self._pair(base, at)
            at = self._skip(_GAP, at)

    def _skip(self, pattern: re.Pattern[str], at: int) -> int:
        match = pattern.match(self.text, at)
        return match.end() if match else at

    def _key(self, at: int) -> tuple[list[tuple[str, int]], int]:
        """The parts of a dotted key with their offsets."""
        parts: list[tuple[str, int]] = []
        while match := _PART.match(self.text, at):
            token = match[1]
            name = tomllib.loads(f"key = {token}")["key"] if token[0] in "\"'" else token
            parts.append((name, match.start(1)))
            at = match.end()
            if self.text[at] != ".":
                break
            at += 1
        return parts, at

    def _header(self, start: int) -> tuple[Loc, int]:
        repeated = self.text.startswith("[[", start)
        parts, at = self._key(start + 1 + repeated)
        loc: Loc = ()
        for index, (name, offset) in enumerate(parts):
            loc = (*loc, name)
            self.keys.setdefault(loc, offset)
            final = index == len(parts) - 1
            if repeated and final:
                self.last[loc] = self.last.get(loc, -1) + 1
            if loc in self.last:
                loc = (*loc, self.last[loc])
        self.keys.setdefault(loc, parts[-1][1])
        self.values.setdefault(loc, start)
        return loc, at + 1 + repeated

    def _pair(self, base: Loc, at: int) -> int:
        parts, at = self._key(at)
        loc = base
        for name, offset in parts:
            loc = (*loc, name)
            self.keys.setdefault(loc, offset)
        return self._value(loc, self._skip(_BLANK, at + 1))

    def _value(self, loc: Loc, at: int) -> int:
        self.values[loc] = at
        return self._items(loc, at) if self.text[at] in "[{" else self._skip(_SCALAR, at)

    def _items(self, loc: Loc, at: int) -> int:
        """An array or an inline table."""
        table = self.text[at] == "{"
        at, index = self._skip(_GAP, at + 1), 0
        while self.text[at] not in "]}":
            at = self._skip(_GAP, self._pair(loc, at) if table else self._value((*loc, index), at))
            at, index = self._skip(_GAP, at + (self.text[at] == ",")), index + 1
        return at + 1
