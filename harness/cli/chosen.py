"""Components named on the command line: `NAME`, `NAME=VALUE` or `NAME=PARAM=VALUE,PARAM=VALUE`.

Params of an executor can also be given one by one, as `--set executor.PARAM=VALUE`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.errors import PluginError
from harness.plugins import Registered, Registry
from harness.specs import Params
from harness.suite.problems import describe, dotted, validated, words

BUNDLED = "harness"  # the distribution: what is used unasked is named in full, so that nobody else's can take its place
_PAIR = re.compile(r"(?:^|,)([A-Za-z_]\w*)=")


@dataclass(frozen=True)
class Chosen:
    """A component as somebody asked for it."""

    option: str  # "--format"
    entry: Registered
    text: str  # of its params, nothing where there are none
    more: tuple[str, ...] = ()  # "PARAM=VALUE" each; PARAM may be a path: "resources.train.GPU"

    @property
    def title(self) -> str:
        """`latex (harness 0.1.0)`."""
        return f"{self.entry.spec.name} ({self.entry.provider})"

    def params(self) -> Params:
        """Checked by the component's own schema. PluginError naming the option, what was found, what is allowed."""
        schema, name = self.entry.spec.params, self.entry.spec.name
        known = words(schema)
        if (self.text or self.more) and not known:
            other = "; another one is chosen with --executor NAME" if self.more else ""
            msg = f"{self.option} {name}: '{name}' has no parameters, got '{self.text or self.more[0]}'{other}"
            raise PluginError(msg)
        raw = _read(self.text, known)
        for assignment in self.more:
            _assign(raw, assignment, self.option)
        try:
            return validated(schema, raw)
        except ValidationError as error:
            faults = describe(error, schema, raw)
            raise PluginError([f"{self.option} {name}: {dotted(f.loc)}: {f.message}" for f in faults]) from error


def choose(registry: Registry, kind: str, option: str, text: str, more: tuple[str, ...] = ()) -> Chosen:
    """What `text` names. PluginError with the choices where there is none of that name, or more than one."""
    name, _, params = text.partition("=")
    try:
        return Chosen(option, registry.entry(kind, name), params, more)
    except PluginError as error:
        msg = f"{option}: {error}"
        raise PluginError(msg) from error


def _read(text: str, known: list[str]) -> dict[str, Any]:
    """The params as a table; a value without a name is that of the first of the known ones."""
    if not text:
        return {}
    found = list(_PAIR.finditer(text))
    if not found or found[0].start() > 0:
        return {known[0]: _value(text)}
    ends = [*(pair.start() for pair in found[1:]), len(text)]
    return {pair[1]: _value(text[pair.end() : end]) for pair, end in zip(found, ends, strict=True)}


def apart(overrides: Sequence[str], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of what `--set` was given: what is the suite's, and what is about `name`, without that."""
    mine = tuple(text.strip().removeprefix(f"{name}.") for text in overrides if text.strip().startswith(f"{name}."))
    return tuple(text for text in overrides if not text.strip().startswith(f"{name}.")), mine


def _assign(raw: dict[str, Any], assignment: str, option: str) -> None:
    path, sign, value = assignment.partition("=")
    *tables, last = path.strip().split(".")
    if not sign or not all([*tables, last]):
        msg = f"{option}: expected PARAM=VALUE, got '{assignment}'"
        raise PluginError(msg)
    table = raw
    for name in tables:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            msg = f"{option}: '{assignment}': '{name}' has a value already, and is no table"
            raise PluginError(msg)
        table = inner
    table[last] = _value(value.strip())


def _value(text: str) -> Any:
    """TOML where it is TOML, else the text itself, so that paths need no quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text
