"""Sources → files with roles, files → rows with the line each stands on. Every fault is an AssetError that names it."""

from __future__ import annotations

import csv
import fnmatch
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import AssetError, choices, did_you_mean
from harness.specs import Role, Source

_ROLE_NAMES: dict[str, Role] = {
    "train": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "test": "test",
}
_ROLE_PATTERN = re.compile(rf"({'|'.join(sorted(_ROLE_NAMES, key=len, reverse=True))})(?![^\W\d_])")
LONGEST = 16 << 20  # bytes of a line, characters of a cell: five times "War and Peace"
_BATCH = 32  # rows of a Parquet file that are unpacked at once: one text can stand for thousands
_GROWTH, _ROOM = 200, 256 << 20  # times its size, at least so many bytes, that a Parquet file may unpack to


# ------------------------------------------------------------------------------------------------------------- files


def role_of(name: str) -> Role | None:
    """The role a file's name begins with (else its folder's): 'train-00000.parquet', 'valid.jsonl', 'test/0.csv'."""
    for part in reversed(PurePosixPath(name).parts):
        found = _ROLE_PATTERN.match(part.lower())
        if found:
            return _ROLE_NAMES[found[1]]
    return None


def choose_files(
    source: Source, patterns: Sequence[str] | None, suffixes: Iterable[str], transfer: bool
) -> dict[str, Role | None]:
    """Which files of the source are read, and the role of each (None: to be split).

    `patterns` (names or globs) choose first, else every file that ends in one of `suffixes`. Where there is a train
    file, the files with roles are taken; else the one file without a role is the data, or those that `patterns` name.
    For a transfer set: what `patterns` name, else train files and those without a role; none has a role then.
    AssetError where a pattern matches nothing, nothing can be read or trained on, or several files could be the data.
    """
    files = _readable(source, suffixes) if patterns is None else _matching(source, patterns)
    roles = {name: role_of(name) for name in files}
    if transfer:
        return {name: None for name, role in roles.items() if patterns is not None or role in (None, "train")}
    if "train" in roles.values():
        return {name: role for name, role in roles.items() if role is not None}
    tables = [name for name, role in roles.items() if role is None]
    if not tables:
        msg = f"{source.root}: no file to train on among {choices(files)}. Add a file whose name begins with 'train'"
        raise AssetError(msg)
    if len(tables) > 1 and patterns is None:
        msg = (
            f"{source.root}: {choices(tables)}: which one is the data? Set task.files = ['{tables[0]}'] "
            "(several are joined), or let names begin with 'train', 'dev' and 'test'"
        )
        raise AssetError(msg)
    return dict.fromkeys(tables)


def _readable(source: Source, suffixes: Iterable[str]) -> list[str]:
    wanted = set(suffixes)
    found = sorted(name for name in source.files if PurePosixPath(name).suffix.lower() in wanted)
    if not found:
        msg = f"{source.root}: no readable file among {choices(source.files)}. Readable: {', '.join(sorted(wanted))}"
        raise AssetError(msg)
    return found


def _matching(source: Source, patterns: Sequence[str]) -> list[str]:
    """The source's files that match any name or glob. AssetError where one matches nothing."""
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in source.files):
            msg = (
                f"task.files: '{pattern}' matches no file of {source.origin}."
                f"{did_you_mean(pattern, source.files)} Files: {choices(source.files)}"
            )
            raise AssetError(msg)
    return sorted(name for name in source.files if any(_matches(name, pattern) for pattern in patterns))


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


# -------------------------------------------------------------------------------------------------------------- rows


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
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        msg = f"{path}: files ending in '{path.suffix}' cannot be read. Readable: {', '.join(_READERS)}. Convert it"
        raise AssetError(msg)
    rows = tuple(reader(path, delimiter))
    if not rows:
        msg = f"{path}:1: the file holds no examples (empty, or a header alone). Give a file with at least one row"
        raise AssetError(msg)
    return Table(path, tuple(dict.fromkeys(name for row in rows for name in row.cells)), rows)


def read_utf8(path: Path) -> str:
    """The file's text, without a byte order mark. AssetError with byte and line where it is not UTF-8."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AssetError(_not_utf8(f"{path}:{line}", error.start, data[error.start])) from error


def _not_utf8(place: str, at: int, byte: int) -> str:
    convert = "Convert the file, for instance: iconv -f cp1251 -t utf-8"
    return f"{place}: byte {at} (0x{byte:02x}) is not UTF-8. {convert}"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of each line that is not blank. Split at LF alone: U+2028 and U+0085 end no line.

    AssetError for one that is not UTF-8, or longer than LONGEST: no more than that is read at once.
    """
    begin = 0
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(LONGEST + 1), b""), start=1):
            if len(raw) > LONGEST:
                msg = f"{path}:{number}: the line is longer than {LONGEST >> 20} MiB. Split its text into several"
                raise AssetError(msg)
            try:
                line = raw.decode("utf-8").removesuffix("\n")
            except UnicodeDecodeError as error:
                raise AssetError(_not_utf8(f"{path}:{number}", begin + error.start, raw[error.start])) from error
            line = line.removeprefix("\ufeff") if number == 1 else line
            if line.strip():
                yield number, line
            begin += len(raw)


@contextmanager
def _wide_fields() -> Iterator[None]:
    """Let csv read cells of up to LONGEST characters, and put its process-wide limit back afterwards."""
    before = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_csv(path: Path, delimiter: str | None) -> Iterator[Row]:
    """Rows of a table with a header line; a quoted cell may span lines and a row is placed where it starts."""
    text = read_utf8(path)
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
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        msg = f"{path}:1: the header names {twice} more than once. Give each column a name of its own"
        raise AssetError(msg)


def _ragged(path: Path, number: int, cells: list[str], header: list[str]) -> str:
    return (
        f"{path}:{number}: {len(cells)} cells where the header has {len(header)} ({', '.join(header)}). "
        "Quote cells that hold a delimiter or a line break, or set task.delimiter"
    )


def _read_jsonl(path: Path, _: str | None) -> Iterator[Row]:
    """One object a line."""
    for number, line in _lines(path):
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
    for number, line in _lines(path):
        yield Row(f"{path}:{number}", number, {"text": line.removesuffix("\r")})


def _read_parquet(path: Path, _: str | None) -> Iterator[Row]:
    """Rows of a Parquet file as they stand in it.

    What its metadata say of columns is not followed: by them `datasets` opens files and addresses that cells name.
    """
    from pyarrow import ArrowException, parquet  # half a second: only for those who have such a file

    try:
        with parquet.ParquetFile(path) as file:
            _check_header(path, file.schema_arrow.names)
            yield from _parquet_rows(path, file.iter_batches(_BATCH))
    except (OSError, ArrowException, ValueError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}"
        msg = f"{path}: not a readable Parquet file ({what}). Download it again, or convert it to .jsonl"
        raise AssetError(msg) from error


def _parquet_rows(path: Path, batches: Iterable[Any]) -> Iterator[Row]:
    """AssetError as soon as more has been unpacked than a file of this size holds, or a text is too long."""
    number, left = 0, max(_ROOM, _GROWTH * path.stat().st_size)
    for batch in batches:
        columns = [column.dictionary_decode() if hasattr(column, "indices") else column for column in batch.columns]
        left -= sum(column.nbytes for column in columns)
        if left < 0:
            msg = f"{path}: row {number + 1}: the file unpacks to more than {_GROWTH} times its size. Give it as .jsonl"
            raise AssetError(msg)
        for cells in batch.to_pylist():
            number += 1
            if any(isinstance(cell, str) and len(cell) > LONGEST for cell in cells.values()):
                msg = f"{path}: row {number}: a text of more than {LONGEST:,} characters. Split it into several"
                raise AssetError(msg)
            yield Row(f"{path}: row {number}", number, cells)


_READERS: dict[str, Callable[[Path, str | None], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": _read_text,
}
TABLE_SUFFIXES = tuple(_READERS)  # of the files that read_table can read; .txt has no columns but `text`
