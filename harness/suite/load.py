"""From a TOML file to a checked suite, or to every problem with it."""

from __future__ import annotations

import codecs
import math
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, time
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import SuiteError, choices, did_you_mean, printable
from harness.suite.axes import Matrix, check_targets, read_matrix, try_bindings, with_cells
from harness.suite.components import Reader, read_chains, read_data, read_models, read_task
from harness.suite.locate import Loc, locate
from harness.suite.overrides import override
from harness.suite.problems import Problems, typed, unknown_key
from harness.suite.references import (
    check_cycles,
    check_formats,
    check_retention,
    find_anchor,
    read_limits,
    read_measure,
    read_select,
)
from harness.suite.schema import SCHEMA, Registry, SuiteTable
from harness.suite.study import read_study
from harness.suite.types import Suite

_SECTIONS = (
    "schema",
    "suite",
    "task",
    "data",
    "models",
    "chains",
    "matrix",
    "measure",
    "limits",
    "select",
    "report",
    "published",
    "study",
    "claims",
)
_LARGEST = 1 << 20  # bytes of a suite
_CHAIN = re.compile(r"(?<![\w\"'-])(?:[\w\"'-]+[ \t]*\.[ \t]*){100}")  # of keys: each is looked at with all before it
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load_suite(path: Path, registry: Registry, overrides: Sequence[str] = ()) -> Suite:
    """The suite in a file. SuiteError with every problem, one line each, places as the user gave the path."""
    return parse_suite(_read(path), registry, overrides, path)


def parse_suite(text: str, registry: Registry, overrides: Sequence[str] = (), path: Path | None = None) -> Suite:
    """The same for text in memory; `overrides` are `key=value` with dotted keys, applied in order."""
    label = str(path) if path else "suite"
    try:
        document = _toml(text, label)
        problems = Problems(label, locate(text))
        for change in overrides:
            override(document, change, problems)
        known = len(problems.found)
        _check_values(problems, document, ())
        if len(problems.found) > known:
            raise problems.error()
        _check_schema(problems, document)
        blank = partial(Suite, path=path, text=text, overrides=tuple(overrides))
        return _assemble(Reader(registry, problems, document), blank)
    except RecursionError:
        msg = f"{label}: nested too deeply for a suite"
        raise SuiteError(printable(msg)) from None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) <= _LARGEST:
            data = data.removeprefix(codecs.BOM_UTF8)
            return data.decode("utf-8")
        msg = f"{path}: larger than {_LARGEST >> 20} MiB, and no suite is: name the .toml file of one"
    except FileNotFoundError:
        near = [str(other) for other in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        known = f" Suites there: {choices(near[:20])}" if near else f" There is no suite in {path.parent}"
        msg = f"{path}: no such file.{did_you_mean(str(path), near) or known}"
    except IsADirectoryError:
        msg = f"{path}: is a folder; name a suite in it, a .toml file"
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        msg = f"{path}:{line}:{column}: byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read: {error}"
    raise SuiteError(printable(msg))


def _toml(text: str, label: str) -> dict[str, Any]:
    if _CHAIN.search(text):
        msg = f"{label}: a chain of 100 keys, and no suite nests so deeply"
        raise SuiteError(printable(msg))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT.search(message := str(error))
        end = text.count("\n") + 1, len(text) - text.rfind("\n")
        line, column = (int(found[1]), int(found[2])) if found and found[1] else end
        what = _AT.sub("", message)
        msg = f"{label}:{line}:{column}: not valid TOML: {what[:1].lower()}{what[1:]}"
    except ValueError as error:  # a number of thousands of digits
        msg = f"{label}: not valid TOML: {error}"
    raise SuiteError(printable(msg))


def _check_values(problems: Problems, value: Any, loc: Loc) -> None:
    """Note values that TOML has and a suite has not: dates, infinities, integers beyond 64 bits, broken text."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_values(problems, item, (*loc, key))
    elif isinstance(value, date | time):
        problems.at_value(loc, f'dates are written as strings: "{value}"')
    elif isinstance(value, float) and not math.isfinite(value):
        problems.at_value(loc, f"expected a finite number, got {value}")
    elif isinstance(value, int) and value.bit_length() > 63:
        problems.at_value(loc, "expected an integer of at most 64 bits")
    elif isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        problems.at_value(loc, "is not valid UTF-8")


def _check_schema(problems: Problems, document: dict[str, Any]) -> None:
    """Note unknown sections; stop at a suite of another schema, where every further finding would mislead."""
    found = document.get("schema")
    if "schema" not in document:
        problems.at_key(("schema",), f"required key is missing: write schema = {SCHEMA} as the first line")
    elif isinstance(found, bool) or not isinstance(found, int) or found < 1:
        problems.at_value(("schema",), f"expected {SCHEMA}, got {typed(found)}")
        problems.stop()
    elif found > SCHEMA:
        message = f"{found} is newer than what this version of the harness reads, {SCHEMA}: upgrade the harness"
        problems.at_value(("schema",), message)
        problems.stop()
    for key in document:
        if key not in _SECTIONS:
            problems.at_key((key,), unknown_key(key, _SECTIONS))


def _assemble(reader: Reader, blank: Callable[..., Suite]) -> Suite:
    """Every section by itself, then what needs all of them; raises with all problems found on the way."""
    head = _head(reader)
    task, spec = read_task(reader)
    data, models, chains = read_data(reader), read_models(reader, spec), read_chains(reader, spec)
    names = _chain_names(reader)
    matrix = read_matrix(reader, names)
    measure, limits = read_measure(reader, spec), read_limits(reader)
    select = read_select(reader, spec, matrix.axes if matrix else None)
    axes = {axis: values for axis, values in matrix.axes.items() if axis != "seed"} if matrix else None
    study = read_study(reader, spec, axes, names)
    check_cycles(reader.problems, models)
    whole = models and len(models) == len(reader.models) and len(chains) == len(names)
    if head is None or task is None or matrix is None or not whole:
        raise reader.problems.error()
    check_targets(reader, matrix, task, models)
    suite = blank(
        name=head.name,
        title=head.title or head.name,
        anchor=head.anchor,
        task=task,
        data=data,
        models=models,
        chains=chains,
        axes=matrix.axes,
        sets=matrix.sets,
        cells=(),
        measure=measure,
        limits=limits,
        select=select,
        columns=study.columns,
        figures=study.figures,
        sections=study.sections,
        grid=study.grid,
        published=study.published,
        claims=study.claims,
    )
    return _expanded(reader, suite, matrix)


def _expanded(reader: Reader, suite: Suite, matrix: Matrix) -> Suite:
    suite = with_cells(reader, suite, matrix)
    suite = replace(suite, anchor=find_anchor(reader, suite.cells, suite.anchor))
    check_formats(reader, suite)
    check_retention(reader, suite)
    try_bindings(reader, suite, matrix)
    reader.problems.stop()
    return suite


def _head(reader: Reader) -> SuiteTable | None:
    if "suite" not in reader.document:
        reader.problems.at_key(("suite",), 'required table is missing: write [suite] with name = "…"')
        return None
    return reader.problems.check(SuiteTable, reader.document["suite"], ("suite",))


def _chain_names(reader: Reader) -> list[str]:
    chains = reader.document.get("chains")
    return list(dict.fromkeys(["none", *(chains if isinstance(chains, dict) else ())]))
