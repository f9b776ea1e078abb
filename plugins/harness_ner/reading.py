"""Files → sentences: which files are read, what their columns and fields hold, what was repaired."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, cast

from harness import (
    AssetError,
    Example,
    Role,
    Row,
    Source,
    Table,
    choices,
    choose_files,
    did_you_mean,
    read_table,
    read_utf8,
)
from harness_ner.brat import read_mentions, read_text
from harness_ner.columns import COLUMN_SUFFIXES, begins_document, read_columns
from harness_ner.tags import Tag, is_tag, parse, scheme_of, to_bio2
from harness_ner.words import CUTS, Mention, Span, joined, tag_words, visible

_TABLES = frozenset({".jsonl", ".parquet"})
_SUFFIXES = COLUMN_SUFFIXES | _TABLES
_WORDS = ("tokens", "words")
_TAGS = ("ner_tags", "tags", "labels", "ner")
_ENTITIES = ("entities", "spans", "label", "labels")
_LISTED = 5


@dataclass(frozen=True)
class Sentence:
    """One example before it is handed on: a text, its words by their characters, and a BIO2 tag for each."""

    text: str
    words: tuple[Span, ...]
    tags: tuple[str, ...] | None  # None: unlabelled
    place: str  # where it was read
    id: str = ""  # its own, where the source gives it one
    role: Role | None = None  # of its file
    document: int = 0  # of its file

    @property
    def key(self) -> str:
        """Equal words are duplicates, however they are spaced."""
        return " ".join(self.text[begin:end] for begin, end in self.words)

    def example(self) -> Example:
        """What the core stores."""
        made: Example = {"id": self.id, "text": self.text, "words": [list(span) for span in self.words]}
        return made if self.tags is None else made | {"tags": list(self.tags)}


@dataclass(frozen=True)
class Raw:
    """Words with tags of whatever scheme."""

    words: tuple[str, ...]
    tags: tuple[Tag, ...] | None
    place: str
    id: str = ""
    document: int = 0

    def seen(self) -> Raw:
        """The same without words of which nothing shows."""
        if all(map(visible, self.words)):
            return self
        kept = [index for index, word in enumerate(self.words) if visible(word)]
        tags = None if self.tags is None else tuple(self.tags[index] for index in kept)
        return replace(self, words=tuple(self.words[index] for index in kept), tags=tags)


@dataclass
class Notes:
    """What reading found out and what it repaired, in places relative to the source: facts name no folders of users."""

    root: Path
    counts: Counter[str] = field(default_factory=Counter)
    mentions: Counter[str] = field(default_factory=Counter)  # by characters: what became of them
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    illegal: list[str] = field(default_factory=list)  # places of the first few sentences with illegal tags

    def read(self, name: str, role: Role | None, examples: int) -> None:
        """So many examples stand in a file."""
        entry = self.files.setdefault(name, {})
        entry["role"] = role or "split"
        entry["examples"] = entry.get("examples", 0) + examples

    def repaired(self, name: str, scheme: str, changed: int, illegal: int, place: str) -> None:
        """A sentence of a file was put into BIO2."""
        entry = self.files.setdefault(name, {"scheme": scheme, "changed_tags": 0, "illegal_transitions": 0})
        entry["changed_tags"] += changed
        entry["illegal_transitions"] += illegal
        if illegal and len(self.illegal) < _LISTED:
            self.illegal.append(place.removeprefix(f"{self.root}/"))


# ------------------------------------------------------------------------------------------------------------- files


def choose(source: Source, patterns: Sequence[str] | None, transfer: bool) -> dict[str, Role | None]:
    """Which files are read, and the role of each. A brat document goes by its text's name: 'train/17.txt'.

    AssetError where brat files stand beside tables and `patterns` do not say which, or an .ann file has no text.
    """
    texts = [_text_of(name) for name in source.files if name.endswith(".ann")]
    tables = [name for name in source.files if PurePosixPath(name).suffix in _SUFFIXES - {".txt"}]
    wanted = [_text_of(pattern) for pattern in patterns or ()]
    if not texts or (wanted and not any(fnmatch.fnmatchcase(name, pattern) for name in texts for pattern in wanted)):
        return choose_files(source, patterns, _SUFFIXES, transfer)
    if tables and patterns is None:
        msg = f"{source.root}: brat files and {choices(tables)}: which are the data? Set task.files, such as ['*.ann']"
        raise AssetError(msg)
    for name in texts:
        if name not in source.files:
            msg = f"{source.root / name}: this text of a brat annotation is not there. Add it, or remove its .ann file"
            raise AssetError(msg)
    whole = None if transfer else ["*"]
    return choose_files(replace(source, files=tuple(texts)), wanted or whole, {".txt"}, transfer)


def _text_of(note: str) -> str:
    return f"{note.removesuffix('.ann')}.txt" if note.endswith(".ann") else note


def _note_of(text: str) -> str:
    return f"{text.removesuffix('.txt')}.ann"


# --------------------------------------------------------------------------------------------------------- sentences


def read_sentences(
    source: Source, chosen: Mapping[str, Role | None], params: Any, labelled: bool
) -> tuple[list[Sentence], Notes]:
    """The sentences of the files, with unique ids, and what reading them took.

    Ids are the source's own, led by their role where one occurs in two roles, else the role and a number from 0.
    """
    notes = Notes(source.root)
    found: list[Sentence] = []
    for name, role in chosen.items():
        brat = _note_of(name) in source.files
        read = (
            _from_brat(source.root, name, params, labelled, notes)
            if brat
            else _from_file(source, name, params, labelled, notes)
        )
        notes.read(f"{PurePosixPath(name).parent}/*.ann" if brat else name, role, len(read))
        found += [replace(sentence, role=role) for sentence in read]
    kept = [sentence for sentence in found if sentence.words]
    notes.counts["dropped_empty_sentences"] += len(found) - len(kept)
    return _named(kept), notes


def _from_file(source: Source, name: str, params: Any, labelled: bool, notes: Notes) -> list[Sentence]:
    path = source.root / name
    if path.suffix in _TABLES:
        return _from_table(name, read_table(path, None), params, labelled, notes)
    if path.suffix == ".txt" and not labelled and not _holds_columns(path, params):
        return [
            _from_text(str(row.cells["text"]), None, row.place, params, notes) for row in read_table(path, None).rows
        ]
    blocks = read_columns(path, params, labelled)
    raw = [
        Raw(
            tuple(line.word for line in block.lines),
            tuple(parse(line.tag, f"{path}:{line.number}") for line in block.lines) if labelled else None,
            f"{path}:{block.lines[0].number}",
            document=block.document,
        )
        for block in blocks
    ]
    sentences = _tagged(name, raw, notes)
    return _documents(sentences) if params.unit == "document" else sentences


def _holds_columns(path: Path, params: Any) -> bool:
    """Is this no plain text? It begins a document, or each line has as many columns, one of them of tags."""
    if begins_document(path):
        return True
    rows = [line.rstrip("\r") for line in read_utf8(path).split("\n") if line.strip() and not line.startswith("#")]
    divider = "\t" if rows and "\t" in rows[0] else None
    cells = [row.split(divider) for row in rows]
    tags, sizes = params.tag_column if isinstance(params.tag_column, int) else -1, {len(row) for row in cells}
    if len(sizes) != 1 or not (size := sizes.pop()) > 1 or not -size <= tags < size:
        return False
    return all(is_tag(row[tags].strip()) for row in cells)


def _from_brat(root: Path, name: str, params: Any, labelled: bool, notes: Notes) -> list[Sentence]:
    text = read_text(root / name)
    mentions = list(read_mentions(root / _note_of(name), text, notes.counts)) if labelled else None
    return [replace(_from_text(text, mentions, str(root / name), params, notes), id=name.removesuffix(".txt"))]


def _from_text(text: str, mentions: Sequence[Mention] | None, place: str, params: Any, notes: Notes) -> Sentence:
    """A text with its mentions by characters; None: unlabelled."""
    words = tuple(CUTS[params.cut](text))
    return Sentence(text, words, None if mentions is None else tag_words(words, mentions, notes.mentions), place)


def _tagged(name: str, raw: Sequence[Raw], notes: Notes) -> list[Sentence]:
    """Words with tags of the file's scheme → sentences in BIO2, without words that nobody sees."""
    seen = [sentence.seen() for sentence in raw]
    notes.counts["dropped_invisible_words"] += sum(
        len(old.words) - len(new.words) for old, new in zip(raw, seen, strict=True)
    )
    scheme = scheme_of(sentence.tags for sentence in seen if sentence.tags)
    made = []
    for sentence in seen:
        text, words = joined(sentence.words)
        tags = None
        if sentence.tags is not None:
            tags, illegal = to_bio2(sentence.tags, scheme)
            changed = sum(new != "-".join(filter(None, old)) for new, old in zip(tags, sentence.tags, strict=True))
            notes.repaired(name, scheme, changed, illegal, sentence.place)
        made.append(Sentence(text, words, tags, sentence.place, sentence.id, document=sentence.document))
    return made


def _documents(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The sentences of a file joined to its documents, a line each."""
    made = []
    for _, group in groupby(sentences, key=lambda sentence: sentence.document):
        parts = list(group)
        text, lines = joined([part.text for part in parts], "\n")
        words = tuple(
            (begin + first, end + first)
            for part, (first, _) in zip(parts, lines, strict=True)
            for begin, end in part.words
        )
        tags = None if parts[0].tags is None else tuple(tag for part in parts for tag in part.tags or ())
        made.append(Sentence(text, words, tags, parts[0].place))
    return made


def _named(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The same with unique ids. AssetError for an id that is used twice in a role."""
    first: dict[tuple[Role | None, str], str] = {}
    numbers: Counter[Role | None] = Counter()
    named = []
    for sentence in sentences:
        own = sentence.id or f"{sentence.role or 'text'}-{numbers[sentence.role]}"
        numbers[sentence.role] += 1
        before = first.setdefault((sentence.role, own), sentence.place)
        if before != sentence.place:
            msg = f"{sentence.place}: id '{own[:80]}' was used at {before} already. Make ids unique in a split"
            raise AssetError(msg)
        named.append(replace(sentence, id=own))
    if len({name for _, name in first}) == len(first):
        return named
    return [replace(sentence, id=f"{sentence.role}-{sentence.id}") for sentence in named]


# ------------------------------------------------------------------------------------------------------------ tables


def _from_table(name: str, table: Table, params: Any, labelled: bool, notes: Notes) -> list[Sentence]:
    """Rows of words with tags, or of texts with entities by characters. AssetError where it is neither."""
    words = _column(table, "word_column", params.word_column, _WORDS)
    ids = "id" if "id" in table.columns else None
    if words is not None:
        tags = _required(table, params, _TAGS) if labelled else None
        names = _tag_names(table, tags, params)
        raw = [
            Raw(
                _words(row, words, notes),
                None if tags is None else _row_tags(row, tags, words, names),
                row.place,
                _id(row, ids),
            )
            for row in table.rows
        ]
        return _tagged(name, raw, notes)
    if "text" not in table.columns:
        known = f"a list of words ({choices(_WORDS)}) or a 'text'"
        msg = f"{table.rows[0].place}: no column holds {known}. Columns: {choices(table.columns)}. Set task.word_column"
        raise AssetError(msg)
    entities = _required(table, params, _ENTITIES) if labelled else None
    made = []
    for row in table.rows:
        text = _text(row, "text", row.cells.get("text"), notes)
        mentions = None if entities is None else list(_mentions(row, entities, text, params.ends))
        made.append(replace(_from_text(text, mentions, row.place, params, notes), id=_id(row, ids)))
    return made


def _column(table: Table, param: str, named: int | str, known: Sequence[str]) -> str | None:
    """The column that the params name, else the first known one that the table has, if any."""
    if isinstance(named, int):
        return next((name for name in known if name in table.columns), None)
    if named not in table.columns:
        hint = did_you_mean(named, table.columns)
        msg = f"{table.path}: task.{param}: there is no column '{named}'.{hint} Columns: {choices(table.columns)}"
        raise AssetError(msg)
    return named


def _required(table: Table, params: Any, known: Sequence[str]) -> str:
    found = _column(table, "tag_column", params.tag_column, known)
    if found is None:
        msg = (
            f"{table.rows[0].place}: none of {choices(known)} is there. Columns: {choices(table.columns)}. "
            "Set task.tag_column"
        )
        raise AssetError(msg)
    return found


def _tag_names(table: Table, column: str | None, params: Any) -> Sequence[str]:
    """What tags that are numbers mean: what a Parquet file of `datasets` says itself, else `task.tags`."""
    own = _described_names(table.path, column) if table.path.suffix == ".parquet" and column is not None else ()
    return own or tuple(params.tags or ())


def _described_names(path: Path, column: str) -> Sequence[str]:
    """The names of a column's classes in the metadata of `datasets`; none where it holds none, or is none."""
    from pyarrow.parquet import read_schema  # only for those who have such a file

    try:
        found = json.loads((read_schema(path).metadata or {}).get(b"huggingface", b"{}"))
    except (ValueError, RecursionError):
        return ()
    for key in ("info", "features", column):
        found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, list):  # a list is described by what it holds
        found = found[0] if found else None
    elif isinstance(found, dict):
        found = found.get("feature", found)
    names = found.get("names") if isinstance(found, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _row_tags(row: Row, column: str, words: str, names: Sequence[str]) -> tuple[Tag, ...]:
    """A tag for each word of a row. AssetError with the word's position where one is none."""
    value, size = row.cells.get(column), len(cast("Sequence[object]", row.cells[words]))
    if not isinstance(value, list) or len(value) != size:
        found = f"{len(value)} values" if isinstance(value, list) else repr(value)[:80]
        msg = f"{row.place}: '{column}' holds {found} where {size} tags were expected, one for each of '{words}'"
        raise AssetError(msg)
    return tuple(_row_tag(tag, f"{row.place}: '{column}'[{n}]", names) for n, tag in enumerate(value))


def _row_tag(tag: object, place: str, names: Sequence[str]) -> Tag:
    if isinstance(tag, str):
        return parse(tag, place)
    if isinstance(tag, int) and not isinstance(tag, bool) and 0 <= tag < len(names):
        return parse(names[tag], place)
    allowed = f"a number below {len(names)} or a name" if names else "a name, since nothing says what numbers mean,"
    msg = (
        f"{place} is {tag!r} where {allowed} was expected. Name the tags in their order: task.tags = ['O', 'B-PER', …]"
    )
    raise AssetError(msg)


def _words(row: Row, column: str, notes: Notes) -> tuple[str, ...]:
    value = row.cells.get(column)
    if not isinstance(value, list):
        raise AssetError(_wrong(row.place, column, value, "a list of words"))
    return tuple(_text(row, column, word, notes) for word in value)


def _text(row: Row, column: str, value: object, notes: Notes) -> str:
    """A string; lone surrogates, which nothing can encode, become '�' one for one."""
    if not isinstance(value, str):
        raise AssetError(_wrong(row.place, column, value, "a string"))
    whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    notes.counts["repaired_surrogates"] += whole != value
    return whole


def _id(row: Row, column: str | None) -> str:
    value = row.cells.get(column) if column else ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value).strip()
    raise AssetError(_wrong(row.place, "id", value, "a name or a whole number"))


def _mentions(row: Row, column: str, text: str, ends: str) -> Iterator[Mention]:
    """[start, end, type] or {"start", "end", "type" or "label"} each."""
    value = row.cells.get(column)
    if not isinstance(value, list):
        raise AssetError(_wrong(row.place, column, value, "a list of entities ([] for none)"))
    for number, item in enumerate(value):
        place = f"{row.place}: '{column}'[{number}]"
        fields = (
            [item.get("start"), item.get("end"), item.get("type", item.get("label"))]
            if isinstance(item, dict)
            else item
        )
        match fields:
            case [int(begin), int(end), str(kind)] if kind:
                yield _mention(begin, end + (ends == "inclusive"), kind, text, place)
            case _:
                msg = (
                    f"{place} is {repr(item)[:80]} where [start, end, type] or "
                    '{"start", "end", "type"} was expected. Fix or remove it'
                )
                raise AssetError(msg)


def _mention(begin: int, end: int, kind: str, text: str, place: str) -> Mention:
    if 0 <= begin < end <= len(text):
        return Mention(begin, end, kind)
    msg = (
        f"{place} is of characters {begin} to {end} (the last excluded) of a text of {len(text)}. "
        "Fix the offsets, or set task.ends to 'inclusive' or 'exclusive' as they are meant"
    )
    raise AssetError(msg)


def _wrong(place: str, column: str, value: object, expected: str) -> str:
    found = "nothing" if value is None else repr(value)[:80]
    return f"{place}: '{column}' holds {found} where {expected} was expected. Fix or remove the row"
