"""Files → rows, each with the line it stands on. Every fault in a file is an AssetError that names the line."""

from __future__ import annotations

import csv
import glob
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import AssetError

_FIELD_LIMIT = 2**31 - 1  # the most that csv takes on every platform


@dataclass(frozen=True)
class Row:
    """One row: where it stands ('path:line'), its number (the line, or the row of a Parquet file), its cells."""

    place: str
    number: int
    cells: dict[str, object]


@dataclass(frozen=True)
class Table:
    """One file: its columns in order of first appearance and its rows, at least one."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, delimiter: str | None) -> Table:
    """Read a file by its suffix. AssetError when it is not what the suffix says, or holds no row."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        msg = f"{path}: files ending in '{path.suffix}' cannot be read. Readable: {', '.join(READERS)}. Convert it"
        raise AssetError(msg)
    rows = tuple(reader(path, delimiter))
    if not rows:
        msg = f"{path}:1: the file holds no examples (empty, or a header alone). Give a file with at least one row"
        raise AssetError(msg)
    return Table(path, tuple(dict.fromkeys(name for row in rows for name in row.cells)), rows)


def decode(path: Path) -> str:
    """The file's text, without a byte order mark. AssetError with byte and line where it is not UTF-8."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        msg = (
            f"{path}:{line}: byte {error.start} (0x{data[error.start]:02x}) is not UTF-8. "
            f"Convert the file, for instance: iconv -f cp1251 -t utf-8"
        )
        raise AssetError(msg) from error


@contextmanager
def _wide_fields() -> Iterator[None]:
    """Let csv read cells of any size, and put its process-wide limit back afterwards."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_csv(path: Path, delimiter: str | None) -> Iterator[Row]:
    """Rows of a table with a header line; a quoted cell may span lines and a row is placed where it starts."""
    text = decode(path)
    with _wide_fields():
        lines = _placed_lines(path, text, delimiter or _delimiter(path, text))
        header = next(lines, (1, []))[1]
        _check_header(path, header)
        for number, cells in lines:
            if len(cells) != len(header):
                raise AssetError(_ragged(path, number, cells, header))
            yield Row(f"{path}:{number}", number, dict(zip(header, cells, strict=True)))


def _placed_lines(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(first line, cells) of every line that is not blank. AssetError where quoting is broken."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        msg = f"{path}:{start}: broken quoting ({error}). Inside a quoted cell, write a quote twice; close the cell"
        raise AssetError(msg) from error


def _delimiter(path: Path, text: str) -> str:
    """Tab for .tsv; else what the header line holds: comma before semicolon before tab."""
    header = text.split("\n", 1)[0]
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((sign for sign in (",", ";", "\t") if sign in header), ",")


def _check_header(path: Path, header: list[str]) -> None:
    """A cell of a row is found by its column's name, so names must differ."""
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        msg = f"{path}:1: the header names {twice} more than once. Give each column a name of its own"
        raise AssetError(msg)


def _ragged(path: Path, number: int, cells: list[str], header: list[str]) -> str:
    return (
        f"{path}:{number}: {len(cells)} cells where the header has {len(header)} ({', '.join(header)}). "
        "Quote cells that hold a delimiter or a line break, or set task.delimiter"
    )


def _read_jsonl(path: Path, _: str | None) -> Iterator[Row]:
    """One object a line. Split at LF alone: U+2028 and U+0085 end no line and are legal inside JSON strings."""
    for number, line in enumerate(decode(path).split("\n"), start=1):
        if line.strip():
            yield Row(f"{path}:{number}", number, _json_object(f"{path}:{number}", line))


def _json_object(place: str, line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        msg = f"{place}: not JSON ({error}). A .jsonl file has one JSON object on each line"
        raise AssetError(msg) from error
    if not isinstance(value, dict):
        msg = f'{place}: a JSON {type(value).__name__} where an object was expected: {{"text": …, "label": …}}'
        raise AssetError(msg)
    return value


def _read_text(path: Path, _: str | None) -> Iterator[Row]:
    """One text a line, in the column 'text'; blank lines are skipped."""
    for number, line in enumerate(decode(path).split("\n"), start=1):
        if line.strip():
            yield Row(f"{path}:{number}", number, {"text": line.removesuffix("\r")})


def _read_parquet(path: Path, _: str | None) -> Iterator[Row]:
    """Rows of a Parquet file, streamed: nothing is written to a cache."""
    import datasets  # half a second and pyarrow: only for those who have such a file

    try:
        stream = datasets.load_dataset("parquet", data_files=glob.escape(str(path)), split="train", streaming=True)
        for number, cells in enumerate(stream, start=1):
            yield Row(f"{path}: row {number}", number, dict(cells))
    except (OSError, ValueError) as error:
        msg = f"{path}: not a readable Parquet file ({error}). Download it again, or convert it to .jsonl"
        raise AssetError(msg) from error


READERS: dict[str, Callable[[Path, str | None], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": _read_text,
}
