"""Tables → reviews: which columns hold what, which class a raw label means."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import AssetError, Role, Row, Table, choices, did_you_mean

_TEXT_COLUMNS = ("text", "review")
_LABEL_COLUMNS = ("label_text", "sentiment", "label")
_SHOWN = 5


@dataclass(frozen=True)
class Review:
    """One example before it is handed on. `label` is the class's name, None where the text is unlabelled."""

    id: str
    text: str
    label: str | None
    key: str  # the normalised text: equal keys are duplicates
    role: Role | None  # what its file's name says


@dataclass(frozen=True)
class Columns:
    """The names of the columns of one table; `label` or `id` is None where there is none."""

    text: str
    label: str | None
    id: str | None


# ----------------------------------------------------------------------------------------------------------- columns


def find_columns(table: Table, params: Any, labelled: bool) -> Columns:
    """The columns that the params name, else those of the one known layout that the table has. AssetError otherwise."""
    ids = params.id or ("id" if "id" in table.columns else None)
    if ids is not None:
        _require(table, "id", ids)
    text = _column(table, "text", params.text, _TEXT_COLUMNS)
    return Columns(text, _column(table, "label", params.label, _LABEL_COLUMNS) if labelled else None, ids)


def _column(table: Table, what: str, named: str | None, known: Sequence[str]) -> str:
    if named is not None:
        return _require(table, what, named)
    found = [name for name in known if name in table.columns]
    if "label_text" in found and "label" in found:
        found.remove("label")  # the hub's layout: `label` is the number of `label_text`
    if len(found) == 1:
        return found[0]
    problem = f"{' and '.join(map(repr, found))} could each be" if found else f"none of {choices(known)} is there for"
    msg = f"{table.path}:1: {problem} the {what} column. Columns: {_shown(table)}. Set task.{what}"
    raise AssetError(msg)


def _require(table: Table, what: str, name: str) -> str:
    if name not in table.columns:
        hint = did_you_mean(name, table.columns)
        msg = f"{table.path}:1: task.{what}: there is no column '{name}'.{hint} Columns: {_shown(table)}"
        raise AssetError(msg)
    return name


def _shown(table: Table) -> str:
    """The columns' names; one that holds delimiters gets the remedy said."""
    names = ", ".join(f"'{name[:80]}'" for name in table.columns[:20])
    return f"{names} (if this is one column, set task.delimiter)" if len(table.columns) == 1 else names


# ----------------------------------------------------------------------------------------------------------- reviews


def normalise(text: str) -> str:
    """The text as duplicates are judged: NFKC, case folded, ё as е, no zero-width or control signs, single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")
    kept = (sign for sign in folded if sign.isspace() or unicodedata.category(sign) not in ("Cc", "Cf"))
    return " ".join("".join(kept).split())


def read_reviews(
    tables: Mapping[str, Table], roles: Mapping[str, Role | None], params: Any, labelled: bool
) -> tuple[list[Review], Counter[str]]:
    """All reviews of the tables, and how many rows were dropped or repaired, by reason.

    Ids are the id column's values, else line numbers; with several files each is led by its file's name without
    suffix. AssetError on a cell of the wrong type, a label outside the map, a doubled id.
    """
    counts: Counter[str] = Counter()
    reviews: list[Review] = []
    classes = _Classes(params)
    for name, table in tables.items():
        prefix = f"{Path(name).with_suffix('').as_posix()}:" if len(tables) > 1 else ""
        columns = find_columns(table, params, labelled)
        ids = _ids(table, columns.id, prefix)
        for row, review_id in zip(table.rows, ids, strict=True):
            text = _text(row, columns.text, counts)
            label = classes.of(row, columns.label) if columns.label else None
            review = Review(review_id, text, label, normalise(text), roles[name])
            reason = "empty_text" if not review.key else "dropped_class" if label == "" else "kept"
            counts[reason] += 1
            if reason == "kept":
                reviews.append(review)
    if labelled:
        classes.check()
    return reviews, counts


def _ids(table: Table, column: str | None, prefix: str) -> list[str]:
    """Unique ids of the table's rows."""
    if column is None:
        return [f"{prefix}{row.number}" for row in table.rows]
    first: dict[str, str] = {}
    for row in table.rows:
        value = _scalar(row, column)
        if value in first:
            msg = f"{row.place}: id '{value}' was used at {first[value]} already. Make ids unique, or rename the column"
            raise AssetError(msg)
        first[value] = row.place
    return [f"{prefix}{value}" for value in first]


def _text(row: Row, column: str, counts: Counter[str]) -> str:
    """The text of a row; null is an empty text. Lone surrogates, which cannot be encoded, become '�'."""
    value = row.cells.get(column, _MISSING)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise AssetError(_wrong_cell(row, column, "a string"))
    repaired = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    counts["repaired_surrogates"] += repaired != value
    return repaired


def _scalar(row: Row, column: str) -> str:
    """A label or id as text: 1 and 1.0 are '1', true is 'true'."""
    value = row.cells.get(column, _MISSING)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int) and str(value).strip():
        return str(value).strip()
    raise AssetError(_wrong_cell(row, column, "a name or a whole number"))


_MISSING = object()


def _wrong_cell(row: Row, column: str, expected: str) -> str:
    value = row.cells.get(column, _MISSING)
    found = "nothing" if value is _MISSING else repr(value)[:80]
    return f"{row.place}: column '{column}' holds {found} where {expected} was expected. Fix or remove the row"


class _Classes:
    """Raw label → class, and every raw label that means nothing, so that one message names them all."""

    def __init__(self, params: Any) -> None:
        self.labels: dict[str, str] | None = params.labels
        self.aliases: dict[str, str] = params.aliases
        self.seen: set[str] = set()
        self.unknown: dict[str, list[str]] = {}  # raw label → places

    def of(self, row: Row, column: str) -> str:
        """The class, '' where it is dropped (or unknown: `check` will raise)."""
        raw = _scalar(row, column)
        name = raw if self.labels is None or raw in self.labels else self.aliases.get(raw, raw)
        if self.labels is not None and name not in self.labels:
            self.unknown.setdefault(raw, []).append(row.place)
            return ""
        self.seen.add(name)
        return name if self.labels is None else self.labels[name]

    def check(self) -> None:
        """AssetError with a line for each unknown raw label, or for a class that no row has."""
        if self.unknown:
            raise AssetError([self._unknown_line(raw, places) for raw, places in list(self.unknown.items())[:_SHOWN]])
        labels = self.labels or {}
        present = {labels[raw] for raw in self.seen if raw in labels}
        absent = set(labels.values()) - present - {""}
        if absent:
            known = choices(raw for raw, name in labels.items() if name in absent)
            msg = f"task.labels: no example of {choices(absent)}, no row says {known}. Found: {choices(self.seen)}"
            raise AssetError(msg)

    def _unknown_line(self, raw: str, places: Sequence[str]) -> str:
        more = f" (and {len(places) - 1} more rows)" if len(places) > 1 else ""
        allowed = choices([*(self.labels or {}), *self.aliases])
        hint = did_you_mean(raw, self.labels or {})
        return (
            f"{places[0]}: label '{raw[:80]}'{more} is not in task.labels.{hint} Known: {allowed}. "
            f"Map it to a class there, or to '' to drop its rows"
        )


def class_names(reviews: Iterable[Review]) -> tuple[str, ...]:
    """The classes, sorted by name: ids never follow the order of a file or its numbers."""
    return tuple(sorted({review.label for review in reviews if review.label is not None}))
