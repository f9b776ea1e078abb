"""CoNLL files: a word a line with its columns, blank lines between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import AssetError, read_utf8

COLUMN_SUFFIXES = frozenset({".txt", ".conll", ".bio", ".iob"})
_DOCUMENT = "-DOCSTART-"
_COMMENT = re.compile(r"#\s*(?:id\s.*|[\w.:-]+\s*=.*)")
_NEW_DOCUMENT = re.compile(r"#\s*(?:-?DOCSTART|newdoc)\b")


@dataclass(frozen=True)
class Line:
    """A word with its tag ('' where none is read) and where they stand."""

    number: int
    word: str
    tag: str


@dataclass(frozen=True)
class Block:
    """The lines between two blank lines, and the number of their document, from 0."""

    lines: tuple[Line, ...]
    document: int


def read_columns(path: Path, params: Any, labelled: bool) -> list[Block]:
    """The sentences of a file. Columns are divided by tabs where its first word has one, else by spaces.

    A -DOCSTART- line, or a comment that says as much, begins a document; other comments of CoNLL-U (`# key = value`)
    and of MultiCoNER (`# id …`) are skipped. AssetError where a line has other columns than the first.
    """
    reader = _Reader(path, params, labelled)
    blocks = [block for block in reader.blocks() if block.lines]
    if not blocks:
        msg = f"{path}:1: the file holds no words. Give a file with at least one sentence"
        raise AssetError(msg)
    return blocks


def begins_document(path: Path) -> bool:
    """Is the first line with anything in it a -DOCSTART-? Plain texts have none."""
    first = next((line for line in read_utf8(path).split("\n") if line.strip()), "")
    return first.split()[:1] == [_DOCUMENT]


class _Reader:
    """Reads one file; its first word says how many columns there are and what divides them."""

    def __init__(self, path: Path, params: Any, labelled: bool) -> None:
        self.path = path
        self.word_column: int | str = params.word_column
        self.tag_column: int | str | None = params.tag_column if labelled else None
        self.divider = ""
        self.first: tuple[int, int] = (0, 0)  # line, columns

    def blocks(self) -> Iterator[Block]:
        """Every stretch of words, empty ones too."""
        lines: list[Line] = []
        document = 0
        for number, raw in enumerate(read_utf8(self.path).split("\n"), start=1):
            line = raw.rstrip("\r")
            new_document = _DOCUMENT in line.split() or _NEW_DOCUMENT.match(line) is not None
            if new_document or not line.strip(" \t"):
                yield Block(tuple(lines), document)
                lines = []
                document += new_document
            elif not _COMMENT.fullmatch(line):
                lines.append(self._line(number, line))
        yield Block(tuple(lines), document)

    def _line(self, number: int, line: str) -> Line:
        self.divider = self.divider or ("\t" if "\t" in line else " ")
        cells = line.split("\t") if self.divider == "\t" else re.split("[ \t]+", line.strip(" \t"))
        self._check(number, cells)
        word = cells[self._column("word_column", self.word_column, cells)]
        tag = "" if self.tag_column is None else cells[self._column("tag_column", self.tag_column, cells)].strip()
        return Line(number, word, tag)

    def _check(self, number: int, cells: Sequence[str]) -> None:
        """As many cells as the file's first word has."""
        line, columns = self.first
        if not columns:
            self._check_columns(number, cells)
            self.first = number, len(cells)
        elif len(cells) != columns:
            divider = "tabs" if self.divider == "\t" else "spaces"
            msg = (
                f"{self.path}:{number}: {len(cells)} columns ({' | '.join(cells)[:80]}) where line {line} has "
                f"{columns}, divided by {divider}. Give every word as many columns, and divide sentences by blank lines"
            )
            raise AssetError(msg)

    def _check_columns(self, number: int, cells: Sequence[str]) -> None:
        """The words and the tags are in different columns."""
        if self.tag_column is None:
            return
        word = self._column("word_column", self.word_column, cells)
        if word == self._column("tag_column", self.tag_column, cells):
            msg = (
                f"{self.path}:{number}: words and tags are both read from column {word} of {len(cells)} "
                f"({' | '.join(cells)[:80]}). Set task.word_column and task.tag_column to two columns"
            )
            raise AssetError(msg)

    def _column(self, name: str, column: int | str, cells: Sequence[str]) -> int:
        """The position of a column, from 0. AssetError where the file has no such column."""
        if isinstance(column, int) and -len(cells) <= column < len(cells):
            return column % len(cells)
        msg = (
            f"{self.path}: task.{name} = {column!r}: its lines have {len(cells)} columns and no names. "
            f"Allowed: 0 to {len(cells) - 1}, or -1 to -{len(cells)} from the end"
        )
        raise AssetError(msg)
