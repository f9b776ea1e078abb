"""Rows → questions: which columns hold what, where answers stand in their contexts, what was repaired."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from harness import TABLE_SUFFIXES, AssetError, Example, Role, Row, Table, choices, read_table, read_utf8

SUFFIXES = frozenset(TABLE_SUFFIXES) - {".txt"} | {".json"}
_CONTEXTS = ("context", "paragraph")
_QUESTIONS = ("question",)
_IDS = ("id", "question_id")
_LISTED = 5


@dataclass(frozen=True)
class Answer:
    """A gold answer as it was written, and where it begins without its edge spaces; None: not in the context."""

    text: str
    begin: int | None


@dataclass(frozen=True)
class Question:
    """One question before it is handed on."""

    id: str
    title: str
    context: str
    question: str
    answers: tuple[Answer, ...]
    place: str  # where it was read
    role: Role | None  # of its file

    @property
    def target(self) -> tuple[int, int] | None:
        """(begin, end) of the first answer that stands in the context; None where none does."""
        placed = ((answer.begin, answer.text.strip()) for answer in self.answers)
        return next(((begin, begin + len(text)) for begin, text in placed if begin is not None), None)

    def example(self, *, answers: bool = True) -> Example:
        """What the core stores."""
        gold = [{"text": answer.text, "begin": answer.begin} for answer in self.answers] if answers else []
        return {
            "id": self.id,
            "title": self.title,
            "context": self.context,
            "question": self.question,
            "answers": gold,
        }


@dataclass
class Notes:
    """What reading found out about the answers and texts."""

    counts: Counter[str] = field(default_factory=Counter)
    ids: dict[str, list[str]] = field(default_factory=dict)  # the first few by what happened

    def note(self, what: str, question_id: str) -> None:
        """Count it and remember whose it was."""
        self.counts[what] += 1
        if self.counts[what] <= _LISTED:
            self.ids.setdefault(what, []).append(question_id)


# ------------------------------------------------------------------------------------------------------------- files


def read_file(path: Path, delimiter: str | None) -> Table:
    """A SQuAD v1.1 JSON file, or a table of questions. AssetError where it is neither, or empty."""
    if path.suffix.lower() != ".json":
        return read_table(path, delimiter)
    try:
        document = json.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        msg = f"{path}: not JSON ({error})"
        raise AssetError(msg) from error
    rows = tuple(_squad_rows(path, document))
    if not rows:
        msg = f"{path}: the file holds no questions. Give a file with at least one"
        raise AssetError(msg)
    return Table(path, tuple(dict.fromkeys(name for row in rows for name in row.cells)), rows)


def _squad_rows(path: Path, document: object) -> Iterator[Row]:
    """`data[].paragraphs[].qas[]`, each question with its title and context; numbered from 1 through the file."""
    number = 0
    for article_place, article in _objects(path, document, "", "data"):
        for paragraph_place, paragraph in _objects(path, article, article_place, "paragraphs"):
            for place, question in _objects(path, paragraph, paragraph_place, "qas"):
                number += 1
                shared = {"title": article.get("title"), "context": paragraph.get("context")}
                yield Row(f"{path}: {place}", number, {**question, **shared})


def _objects(path: Path, parent: object, place: str, name: str) -> Iterator[tuple[str, dict[str, object]]]:
    """The objects in the list `name` of a JSON object, each with where it stands: 'data[0].paragraphs[3]'."""
    children = parent.get(name) if isinstance(parent, dict) else None
    place = f"{place}.{name}".lstrip(".")
    if not isinstance(children, list):
        msg = (
            f"{path}: {place}: no list is there. A .json file has SQuAD's layout: "
            '{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers"}]}]}]}; '
            "one object a line goes into a .jsonl file"
        )
        raise AssetError(msg)
    for index, child in enumerate(children):
        if not isinstance(child, dict):
            msg = f"{path}: {place}[{index}]: a JSON {type(child).__name__} where an object was expected"
            raise AssetError(msg)
        yield f"{place}[{index}]", child


# --------------------------------------------------------------------------------------------------------- questions


def read_questions(tables: Mapping[str, Table], roles: Mapping[str, Role | None], notes: Notes) -> list[Question]:
    """All questions of the tables. `roles`: of each file.

    Ids are those of the files, as text; where one occurs in two roles, all are led by their role. AssetError on a
    missing column, a cell of the wrong type, or an id that is used twice in a role.
    """
    questions = [
        question for name, table in tables.items() for question in _questions(name, table, roles[name], tables, notes)
    ]
    first: dict[tuple[Role | None, str], str] = {}
    for question in questions:
        before = first.setdefault((question.role, question.id), question.place)
        if before != question.place:
            msg = f"{question.place}: id '{question.id}' was used at {before} already. Make ids unique in a split"
            raise AssetError(msg)
    if len({name for _, name in first}) == len(first):
        return questions
    notes.counts["ids_led_by_their_role"] = len(questions)
    return [_renamed(question, f"{question.role}:{question.id}") for question in questions]


def _renamed(question: Question, name: str) -> Question:
    return Question(**{**question.__dict__, "id": name})


def _questions(
    name: str, table: Table, role: Role | None, tables: Mapping[str, Table], notes: Notes
) -> Iterator[Question]:
    context, question = (_column(table, known) for known in (_CONTEXTS, _QUESTIONS))
    ids = next((column for column in _IDS if column in table.columns), None)
    prefix = f"{PurePosixPath(name).with_suffix('')}:" if len(tables) > 1 else ""
    for row in table.rows:
        own = f"{prefix}{row.number}" if ids is None else _id(row, ids)
        found = Question(
            id=own,
            title=_text(row, "title", notes, own),
            context=_text(row, context, notes, own),
            question=_text(row, question, notes, own),
            answers=(),
            place=row.place,
            role=role,
        )
        for what, text in (("empty_contexts", found.context), ("empty_questions", found.question)):
            if not text.strip():
                notes.note(what, own)
        answers = [_placed(text, begin, found, notes) for text, begin in _answers(row, notes, own)]
        notes.counts["without_answers"] += not answers
        yield Question(**{**found.__dict__, "answers": tuple(answers)})


def _column(table: Table, known: Sequence[str]) -> str:
    """The one of the known names that the table has. AssetError that lists its columns."""
    found = next((name for name in known if name in table.columns), None)
    if found is None:
        hint = " If this is one column, set task.delimiter." if len(table.columns) == 1 else ""
        msg = (
            f"{table.rows[0].place}: there is no column '{known[0]}'. Columns: {choices(table.columns)}.{hint} "
            "Name them id, title, context, question and answers (or answer and answer_start)"
        )
        raise AssetError(msg)
    return found


def _text(row: Row, column: str, notes: Notes, question_id: str) -> str:
    """The text of a cell, exactly; nothing is ''. Lone surrogates, which cannot be encoded, become '�' one for one."""
    value = row.cells.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise AssetError(_wrong(row, column, value, "a string"))
    repaired = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if repaired != value:
        notes.note("repaired_surrogates", question_id)
    return repaired


def _id(row: Row, column: str) -> str:
    value = row.cells.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
        return str(value).strip()
    raise AssetError(_wrong(row, column, value, "a name or a whole number"))


def _wrong(row: Row, column: str, value: object, expected: str) -> str:
    found = "nothing" if value is None else repr(value)[:80]
    return f"{row.place}: '{column}' holds {found} where {expected} was expected. Fix or remove the row"


# ----------------------------------------------------------------------------------------------------------- answers


def _answers(row: Row, notes: Notes, question_id: str) -> Iterator[tuple[str, int | None]]:
    """(text, first character or None) of each answer that has a text; hidden ones ('' or null) are none."""
    for text, begin in _pairs(row):
        cells = {"answers.text": text, "answers.answer_start": begin}
        own = Row(row.place, row.number, cells)
        answer = _text(own, "answers.text", notes, question_id)
        if answer.strip():
            yield answer, _offset(own, "answers.answer_start")


def _pairs(row: Row) -> Iterable[tuple[object, object]]:
    """The raw answers: {text[], answer_start[]}, a list of {text, answer_start}, either as JSON, or two columns."""
    value = row.cells.get("answers")
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            msg = (
                f"{row.place}: 'answers' is not JSON ({error}). Write "
                '{"text": ["…"], "answer_start": [0]}, or use the columns answer and answer_start'
            )
            raise AssetError(msg) from error
    if value is None or value == "":
        return [(row.cells.get("answer"), row.cells.get("answer_start"))]
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [(item.get("text"), item.get("answer_start")) for item in value]
    if isinstance(value, dict):
        texts, begins = value.get("text", []), value.get("answer_start")
        begins = [None] * len(texts) if begins is None and isinstance(texts, list) else begins
        if isinstance(texts, list) and isinstance(begins, list) and len(texts) == len(begins):
            return zip(texts, begins, strict=True)
    expected = "lists text and answer_start of one length, or a list of objects with text and answer_start,"
    raise AssetError(_wrong(row, "answers", value, expected))


def _offset(row: Row, column: str) -> int | None:
    value: Any = row.cells.get(column)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or int(value) != float(value):
            raise AssetError(_wrong(row, column, value, "a whole number"))
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise AssetError(_wrong(row, column, value, "a whole number")) from None


def _placed(text: str, begin: int | None, question: Question, notes: Notes) -> Answer:
    """The answer where its text stands in the context: as given, else at the nearest occurrence."""
    bare = text.strip()
    notes.counts["answers"] += 1
    notes.counts["answers_with_edge_spaces"] += bare != text
    context = question.context
    if begin is not None and begin >= 0:
        edge = text.index(bare)
        said = (begin + edge, begin)  # of the whole text, or already of the bare one
        right = next((place for place in said if context.startswith(bare, place)), None)
        if right is not None:
            return Answer(text, right)
    nearest = _nearest(context, bare, begin or 0)
    what = "not_found" if nearest is None else "placed_by_text" if begin is None else "repaired_offsets"
    notes.note(what, question.id)
    return Answer(text, nearest)


def _nearest(context: str, text: str, begin: int) -> int | None:
    """The occurrence of the text that begins nearest to a place; of two equally near the earlier."""
    before = context.rfind(text, 0, max(0, begin) + len(text))
    after = context.find(text, max(0, begin))
    found = [place for place in (before, after) if place >= 0]
    return min(found, key=lambda place: (abs(place - begin), place), default=None)


def normalise(text: str) -> str:
    """A text as duplicates are judged: NFKC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
