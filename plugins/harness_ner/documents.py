"""Files → documents with mentions by characters: brat folders, and tables whose labels may stand in a file beside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from harness import AssetError, Role, Row, Source, choices, did_you_mean, read_table, role_of
from harness_ner.brat import SPANS, read_mentions, read_text
from harness_ner.words import Mention

_TABLES = frozenset({".jsonl", ".parquet"})
_TEXTS = ("text", "sentences")
_INCLUSIVE = "ners"  # RuNNE's own field: the end is the last character
_ENTITIES = (_INCLUSIVE, "entities", "spans", "label", "labels")
_BRAT = re.compile(rf"(?:T\S*\t)?(\S+) ({SPANS})(?:\t.*)?", re.DOTALL)
_HUB = re.compile(r"(\d{1,15}) (\d{1,15}) (\S+)")


@dataclass(frozen=True)
class Document:
    """A text and its mentions, each once; `mentions` is None where nobody looked for any.

    `text` is None for a row of answers alone, whose text stands elsewhere.
    """

    id: str
    text: str | None
    mentions: tuple[Mention, ...] | None
    place: str  # where it was read
    role: Role | None  # of its file


@dataclass
class Notes:
    """What reading found out and what it repaired."""

    counts: Counter[str] = field(default_factory=Counter)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------------------- files


def choose(source: Source, patterns: Sequence[str] | None, transfer: bool) -> dict[str, Role | None]:
    """Which files are read, and the role of each. A brat document goes by its text's name: 'train/17.txt'.

    Where there is a train file, the files with roles are read; for a transfer set without one, all of them are, and
    none has a role. AssetError where it is not clear which files are the data, or one of brat's has no text.
    """
    files = _documents(source, patterns)
    roles = {name: _role(name) for name in files}
    if "train" in roles.values():
        _check_test(source, roles)
        return {name: role for name, role in roles.items() if role is not None}
    texts = all(name.endswith(".txt") for name in files)
    if transfer or texts or patterns or len(files) == 1:
        return dict.fromkeys(files)
    msg = (
        f"{source.root}: {choices(files)}: which one is the data? Set task.files = ['{files[0]}'] "
        "(several are joined), or let names begin with 'train', 'dev' and 'test'"
    )
    raise AssetError(msg)


def _documents(source: Source, patterns: Sequence[str] | None) -> list[str]:
    """Tables, or texts: of brat where there is any .ann file, else those of a source without tables."""
    notes = [name for name in source.files if name.endswith(".ann")]
    texts = [name for name in source.files if name.endswith(".txt")]
    tables = [name for name in source.files if PurePosixPath(name).suffix in _TABLES]
    if patterns is not None:
        files = sorted({*_matching(source, patterns, [*tables, *notes, *texts])})
    elif notes and tables:
        msg = f"{source.root}: brat files and {choices(tables)}: which are the data? Set task.files, such as ['*.ann']"
        raise AssetError(msg)
    else:
        files = tables or texts
    for name in notes:
        if _text_of(name) not in source.files:
            text = source.root / _text_of(name)
            msg = f"{text}: this text of a brat annotation is not there. Add it, or remove its .ann file"
            raise AssetError(msg)
    if not files:
        msg = f"{source.root}: no .jsonl, .parquet or .ann among {choices(source.files)}. Give one of them"
        raise AssetError(msg)
    return files


def _matching(source: Source, patterns: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        found = [_text_of(name) for name in names if name == pattern or fnmatchcase(name, pattern)]
        if not found:
            msg = (
                f"task.files: '{pattern}' matches no file of {source.origin}."
                f"{did_you_mean(pattern, names)} Files: {choices(names)}"
            )
            raise AssetError(msg)
        yield from found


def _text_of(note: str) -> str:
    return f"{note.removesuffix('.ann')}.txt" if note.endswith(".ann") else note


def _role(name: str) -> Role | None:
    """Of a text its folder's role, whatever it is called itself; of a table, its own first."""
    path = PurePosixPath(name)
    return (role_of(str(path.parent)) if path.suffix == ".txt" else None) or role_of(name)


def _check_test(source: Source, roles: Mapping[str, Role | None]) -> None:
    """AssetError for two folders of texts to test on: one score cannot be of both."""
    folders = {
        str(PurePosixPath(name).parent) for name, role in roles.items() if role == "test" and name.endswith(".txt")
    }
    if len(folders) > 1:
        msg = (
            f"{source.root}: {choices(folders)} could all be the test set. Name the files to read, such as "
            f"task.files = ['train*/*', '{min(folders)}/*']"
        )
        raise AssetError(msg)


# --------------------------------------------------------------------------------------------------------- documents


def read_documents(source: Source, chosen: Mapping[str, Role | None], params: Any) -> tuple[list[Document], Notes]:
    """The documents of the files, labels joined to their texts, with unique ids, and what reading them took.

    Ids are the source's own, led by their role where one occurs in two roles; else the row's number.
    """
    notes = Notes()
    found: list[Document] = []
    answers: dict[tuple[Role | None, str], Document] = {}
    for name, role in chosen.items():
        read = list(
            _from_brat(source, name, role, notes)
            if name.endswith(".txt")
            else _from_table(source, name, role, params, notes)
        )
        texts = [document for document in read if document.text is not None]
        _note(notes, name, role, len(texts))
        found += texts
        for answer in (document for document in read if document.text is None):
            _unique(answers, answer)
    joined = _joined(found, answers)
    _check_answers(answers, joined)
    return [_judged(document, params) for document in _named(joined)], notes


def _note(notes: Notes, name: str, role: Role | None, documents: int) -> None:
    path = PurePosixPath(name)
    entry = notes.files.setdefault(f"{path.parent}/*" if path.suffix == ".txt" else name, {"documents": 0})
    entry |= {"role": role or "split", "documents": entry["documents"] + documents}


def _from_brat(source: Source, name: str, role: Role | None, notes: Notes) -> Iterator[Document]:
    text, note = read_text(source.root / name), f"{name.removesuffix('.txt')}.ann"
    mentions = None
    if note in source.files:
        mentions = _once(read_mentions(source.root / note, text, notes.counts), notes)
    yield Document(name.removesuffix(".txt"), text, mentions, str(source.root / name), role)


def _from_table(source: Source, name: str, role: Role | None, params: Any, notes: Notes) -> Iterator[Document]:
    """Rows with a text, with mentions, or with both."""
    table = read_table(source.root / name, None)
    texts = next((column for column in _TEXTS if column in table.columns), None)
    entities = next((column for column in _ENTITIES if column in table.columns), None)
    if texts is None and (entities is None or "id" not in table.columns):
        msg = (
            f"{table.rows[0].place}: a 'text' ({choices(_TEXTS)}), or an 'id' with {choices(_ENTITIES)} was expected. "
            f"Columns: {choices(table.columns)}. Rename them"
        )
        raise AssetError(msg)
    for number, row in enumerate(table.rows):
        text = None if texts is None else _text(row, texts, notes)
        given = row.cells.get(entities) if entities else None
        mentions = None if given is None else _once(_mentions(row, str(entities), given, params.ends, notes), notes)
        own = _id(row) if "id" in table.columns else f"{PurePosixPath(name).stem}-{number}"
        yield Document(own, text, mentions, row.place, role)


def _joined(found: Sequence[Document], answers: Mapping[tuple[Role | None, str], Document]) -> list[Document]:
    """Texts with their answers. AssetError for a text that is labelled twice, or an id that is used twice in a role."""
    texts: dict[tuple[Role | None, str], Document] = {}
    for document in found:
        _unique(texts, document)
        answer = answers.get((document.role, document.id))
        if answer is not None and document.mentions is not None:
            msg = (
                f"{answer.place}: answers for '{document.id[:80]}', which has labels at {document.place} already. "
                "Remove one of the two, or name the files to read: task.files"
            )
            raise AssetError(msg)
        labelled = document if answer is None else replace(document, mentions=answer.mentions)
        texts[document.role, document.id] = labelled
        _check_offsets(labelled, answer or document)
    return list(texts.values())


def _unique(known: dict[tuple[Role | None, str], Document], document: Document) -> None:
    before = known.setdefault((document.role, document.id), document)
    if before is not document:
        msg = (
            f"{document.place}: id '{document.id[:80]}' was used at {before.place} already. Make ids unique in a split"
        )
        raise AssetError(msg)


def _check_offsets(document: Document, labels: Document) -> None:
    size = len(document.text or "")
    for mention in document.mentions or ():
        if not 0 <= mention.begin < mention.end <= size:
            msg = (
                f"{labels.place}: {mention.type} of characters {mention.begin} to {mention.end} (the last excluded) of "
                f"a text of {size}; 0 ≤ start < end ≤ its length was expected. Fix the offsets, or set task.ends to "
                "'inclusive' or 'exclusive' as they are meant"
            )
            raise AssetError(msg)


def _check_answers(answers: Mapping[tuple[Role | None, str], Document], documents: Sequence[Document]) -> None:
    known = {(document.role, document.id) for document in documents}
    for key, answer in answers.items():
        if key not in known:
            msg = (
                f"{answer.place}: no {key[0] or 'file'} text has the id '{key[1][:80]}'. Add it, or remove its answers"
            )
            raise AssetError(msg)


def _named(documents: Sequence[Document]) -> list[Document]:
    if len({document.id for document in documents}) == len(documents):
        return list(documents)
    return [replace(document, id=f"{document.role}-{document.id}") for document in documents]


def _judged(document: Document, params: Any) -> Document:
    """Nobody looked for mentions where there is none, if the params say so."""
    bare = document.mentions == () and params.without_entities == "unlabelled"
    return replace(document, mentions=None) if bare else document


# -------------------------------------------------------------------------------------------------------------- rows


def _text(row: Row, column: str, notes: Notes) -> str:
    """A text; lone surrogates, which nothing can encode, become '�' one for one."""
    value = row.cells.get(column)
    if not isinstance(value, str):
        raise AssetError(_wrong(row, column, value, "a string"))
    whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    notes.counts["repaired_surrogates"] += whole != value
    return whole


def _id(row: Row) -> str:
    value = row.cells.get("id")
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
        return str(value).strip()
    raise AssetError(_wrong(row, "id", value, "a name or a whole number"))


def _mentions(row: Row, column: str, given: object, ends: str | None, notes: Notes) -> Iterator[Mention]:
    """[start, end, type], {"start", "end", "type" or "label"}, "start end type" or brat's "T1 type start end" each."""
    if not isinstance(given, list):
        raise AssetError(_wrong(row, column, given, "a list of entities ([] for none)"))
    inclusive = column == _INCLUSIVE if ends is None else ends == "inclusive"
    for number, item in enumerate(given):
        read = list(_fields(item))
        if not read:
            msg = (
                f"{row.place}: '{column}'[{number}] is {repr(item)[:80]} where [start, end, type], "
                '{"start", "end", "type"} or "start end type" was expected. Fix or remove it'
            )
            raise AssetError(msg)
        notes.counts["discontinuous"] += len(read) > 1
        yield from (Mention(begin, end + inclusive, kind) for begin, end, kind in read)


def _fields(item: object) -> Iterator[tuple[int, int, str]]:
    """(start, end, type) of each part of an entity; none where it is none."""
    fields = (
        [item.get("start"), item.get("end"), item.get("type", item.get("label"))] if isinstance(item, dict) else item
    )
    if isinstance(fields, str):
        if found := _HUB.fullmatch(fields):
            yield int(found[1]), int(found[2]), found[3]
        elif found := _BRAT.fullmatch(fields):
            for part in found[2].split(";"):
                begin, end = part.split(" ")
                yield int(begin), int(end), found[1]
        return
    match fields:
        case [int(begin), int(end), str(kind)] if kind.strip() and not {type(begin), type(end)} & {bool}:
            yield begin, end, kind
        case _:
            return


def _once(mentions: Iterator[Mention], notes: Notes) -> tuple[Mention, ...]:
    """Each mention once, in the order of the text."""
    listed = list(mentions)
    kept = sorted(set(listed), key=lambda mention: (mention.begin, -mention.end, mention.type))
    notes.counts["mentions"] += len(listed)
    notes.counts["duplicate_mentions"] += len(listed) - len(kept)
    return tuple(kept)


def _wrong(row: Row, column: str, value: object, expected: str) -> str:
    found = "nothing" if value is None else repr(value)[:80]
    return f"{row.place}: '{column}' holds {found} where {expected} was expected. Fix or remove the row"
