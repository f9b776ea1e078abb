"""Everything wrong with a suite, each with its place and in words: the collector and how pydantic's findings read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import PluginError, SuiteError, choices, did_you_mean, printable
from harness.suite.locate import Loc, Located

M = TypeVar("M", bound=BaseModel)
_Rank = tuple[int, int, int]  # problems of the file by position, then those of --set

_BARE = re.compile(r"[\w-]+")
_WANTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "a value greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "a value less than"),
    "less_than_equal": ("le", "at most"),
}
_SIZES = {
    "too_short": ("at least", "min_length", "item"),
    "too_long": ("at most", "max_length", "item"),
    "string_too_short": ("at least", "min_length", "character"),
    "string_too_long": ("at most", "max_length", "character"),
}


@dataclass
class Problems:
    """Collects problems of one suite. `label` is the path as given; `overrides` maps what --set wrote to its text."""

    label: str
    located: Located
    overrides: dict[Loc, str] = field(default_factory=dict)
    found: dict[str, _Rank] = field(default_factory=dict)

    def at_key(self, loc: Loc, message: str) -> None:
        """Note a problem with the key at `loc`, or with the nearest table around it where the key is not written."""
        self._add(loc, message, at_value=False)

    def at_value(self, loc: Loc, message: str) -> None:
        """Note a problem with the value at `loc`."""
        self._add(loc, message, at_value=True)

    def of_override(self, text: str, message: str) -> None:
        """Note a problem with a --set that could not be applied."""
        self._note((1, 0, 0), f"--set {text}: {message}")

    def stop(self) -> None:
        """Raise what was found, if anything was."""
        if self.found:
            raise self.error()

    def error(self) -> SuiteError:
        """All problems in the order of the file."""
        return SuiteError(sorted(self.found, key=self.found.__getitem__))

    def check(self, table: type[M], raw: Any, loc: Loc, also: Iterable[str] = ()) -> M | None:
        """`raw` as a `table`, or None after noting what is wrong. `also`: more words that this place knows."""
        try:
            return validated(table, raw)
        except ValidationError as error:
            self.add(describe(error, table, raw, also), loc)
        except PluginError as error:
            self.at_value(loc, str(error))
        return None

    def attempt(self, check: Callable[[str], Any], name: str, loc: Loc) -> None:
        """Note what `check` has against the key at `loc`."""
        try:
            check(name)
        except ValueError as error:
            self.at_key(loc, str(error))

    def add(self, faults: Iterable[Fault], base: Loc = ()) -> None:
        """Note faults whose places are relative to `base`."""
        for fault in faults:
            (self.at_key if fault.of_key else self.at_value)((*base, *fault.loc), fault.message)

    def _add(self, loc: Loc, message: str, *, at_value: bool) -> None:
        rank, place = self._place(loc, at_value)
        self._note(rank, f"{place}: {dotted(loc)}: {message}" if loc else f"{place}: {message}")

    def _note(self, rank: _Rank, line: str) -> None:
        self.found.setdefault(printable(line), rank)

    def _place(self, loc: Loc, at_value: bool) -> tuple[_Rank, str]:
        around = [loc[:size] for size in range(len(loc), 0, -1)]
        for part in around:
            if part in self.overrides:
                return (1, 0, 0), f"--set {self.overrides[part]}"
        exact = self.located.values.get(loc) if at_value else None
        line, column = exact or next((self.located.keys[p] for p in around if p in self.located.keys), (1, 1))
        return (0, line, column), f"{self.label}:{line}:{column}"


@dataclass(frozen=True)
class Fault:
    """One finding inside a table."""

    loc: Loc
    message: str
    of_key: bool = False


def validated(table: type[M], raw: Any) -> M:
    """Strict JSON mode: what TOML and JSON can say and nothing more, so that a list may fill a tuple or a set.

    Raises pydantic's ValidationError, and PluginError when a validator of the table raises anything unforeseen.
    """
    try:
        return table.model_validate_json(json.dumps(raw))
    except ValidationError:
        raise
    except Exception as error:
        msg = f"the plugin cannot check this: {type(error).__name__}: {error}"
        raise PluginError(msg) from error


def words(table: type[BaseModel]) -> list[str]:
    """The keys that a table knows, as they are written."""
    return [info.alias or name for name, info in table.model_fields.items()]


def describe(error: ValidationError, table: type[BaseModel], raw: Any, also: Iterable[str] = ()) -> list[Fault]:
    """What pydantic found, in our words; the alternatives of a union become one fault."""
    faults: list[Fault] = []
    wanted: dict[Loc, list[str]] = {}
    for found in error.errors(include_url=False):
        kind, loc = found["type"], _written(found["loc"], raw, missing=found["type"] == "missing")
        if kind == "extra_forbidden":
            known = [*_words_at(table, loc[:-1]), *(also if len(loc) == 1 else ())]
            faults.append(Fault(loc, unknown_key(str(loc[-1]), known), of_key=True))
        elif kind == "missing":
            faults.append(Fault(loc, "required key is missing", of_key=True))
        elif kind == "too_short" and len(found["input"]) >= found["ctx"]["min_length"]:
            continue  # pydantic counts only the good items, and has named each bad one
        elif kind in _WANTED:
            wanted.setdefault(loc, []).append(_WANTED[kind])
        else:
            faults.append(Fault(loc, _sentence(kind, found)))
    deeper = {fault.loc[: len(loc)] for fault in faults for loc in wanted}  # an alternative had the right type
    deeper |= {inner[: len(loc)] for inner in wanted for loc in wanted if len(inner) > len(loc)}
    alone = {loc: expected for loc, expected in wanted.items() if loc not in deeper}
    return faults + [Fault(loc, _type_error(expected, _at(raw, loc))) for loc, expected in alone.items()]


def unknown_key(name: str, known: Iterable[str]) -> str:
    """`unknown key. Did you mean 'x'?`, or all that is known."""
    known = list(known)
    return f"unknown key.{did_you_mean(name, known) or f' Known: {choices(known)}'}"


def not_among(name: Any, what: str, known: Iterable[str]) -> str:
    """`'x' is not a model of this suite. Did you mean 'y'? Known: 'y', 'z'`."""
    known = list(known)
    return f"{shown(name)} is not {what}.{did_you_mean(str(name), known)} Known: {choices(known)}"


def dotted(loc: Loc) -> str:
    """`models.tiny.train[1].epochs`."""
    parts = [f"[{p}]" if isinstance(p, int) else f".{p}" if _BARE.fullmatch(p) else f".{json.dumps(p)}" for p in loc]
    return "".join(parts).removeprefix(".")


def shown(value: Any) -> str:
    """A value as the suite writes it, shortened; tables and lists by their type."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:76]}…{text[-1]}"


def typed(value: Any) -> str:
    """The same with its type: `'3' (string)`."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return f"{shown(value)} ({names[type(value)]})" if type(value) in names else shown(value)


def _type_error(wanted: list[str], value: Any) -> str:
    expected = f"expected {' or '.join(dict.fromkeys(wanted))}, got {typed(value)}"
    listed = wanted == ["a list"] and not isinstance(value, dict | list)
    return f"{expected}. Write {json.dumps([value], ensure_ascii=False)}" if listed else expected


def _sentence(kind: str, found: Mapping[str, Any]) -> str:
    value, context = found["input"], found.get("ctx", {})
    if kind in _BOUNDS:
        limit, phrase = _BOUNDS[kind]
        bound = context[limit]
        whole = isinstance(bound, float) and bound.is_integer()
        return f"expected {phrase} {int(bound) if whole else bound}, got {shown(value)}"
    if kind == "literal_error":
        close = did_you_mean(value, re.findall(r"'([^']*)'", context["expected"])) if isinstance(value, str) else ""
        return f"expected {context['expected']}, got {shown(value)}.{close}".removesuffix(".")
    if kind in _SIZES:
        bound, limit, unit = _SIZES[kind]
        plural = "" if context[limit] == 1 else "s"
        return f"expected {bound} {context[limit]} {unit}{plural}, got {len(value)}"
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    message = re.sub(r"^Input should (be|have) (?:a valid )?", "expected ", str(found["msg"]))
    return f"{message[:1].lower()}{message[1:]}, got {shown(value)}"


def _written(loc: Loc, raw: Any, *, missing: bool) -> Loc:
    """`loc` without the labels that pydantic adds for unions and keys."""
    real: Loc = ()
    for index, part in enumerate(loc):
        if (isinstance(raw, dict) and part in raw) or (isinstance(raw, list) and isinstance(part, int)):
            raw, real = _at(raw, (part,)), (*real, part)
        elif missing and index == len(loc) - 1:
            real = (*real, part)
    return real


def _at(raw: Any, loc: Loc) -> Any:
    for part in loc:
        raw = raw[part]
    return raw


def _words_at(table: type[BaseModel], loc: Loc) -> list[str]:
    for part in loc:
        fields = {info.alias or name: info.annotation for name, info in table.model_fields.items()}
        table = _table_in(fields.get(str(part))) or table
    return words(table)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for table in map(_table_in, get_args(annotation)) if table), None)
