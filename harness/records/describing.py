"""The schema of records as tables for people, made from the JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator

from harness.records.document import Json
from harness.records.schema import KINDS, json_schema

_NAMES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
_SCALARS = ["text", "whole number", "number", "true or false"]


def fields(kind: str | None = None) -> str:
    """Markdown: tables of the fields of a line (None: of all kinds) and of the objects in it, without their bounds."""
    schema = json_schema(kind)
    kinds = [model.__name__ for model in KINDS.values()]
    first = {name: part for name, part in schema["$defs"].items() if name in kinds} if kind is None else {}
    lines = {name: first[name] for name in kinds if name in first} or {schema["title"]: schema}
    parts = {**lines, **dict(sorted(schema["$defs"].items()))}
    return "\n\n".join("\n".join(_table(name, part)) for name, part in parts.items() if "properties" in part)


def _table(name: str, part: Json) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield part["description"]
    yield ""
    yield "| field | type | needed | meaning |"
    yield "|---|---|---|---|"
    needed = part.get("required", ())
    for field, about in part["properties"].items():
        yield f"| `{field}` | {_type(about)} | {'yes' if field in needed else ''} | {about['description']} |"


def _type(about: Json) -> str:
    """`whole number`, `list of Epoch`, `text → number or null`, `"ok" or "failed"`."""
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in about:
        kinds = list(dict.fromkeys(map(_type, about["anyOf"])))
        return " or ".join(["a value", *kinds[kinds.index("true or false") + 1 :]] if kinds[:4] == _SCALARS else kinds)
    if "const" in about or "enum" in about:
        return " or ".join(f"`{value}`" for value in about.get("enum", [about.get("const")]))
    if about["type"] == "array":
        inside = about.get("items") or {"anyOf": about["prefixItems"]}
        return f"list of {_in_brackets(inside)}"
    if about["type"] == "object":
        return _mapping(about)
    return _NAMES[about["type"]]


def _mapping(about: Json) -> str:
    values = [about.get("additionalProperties"), *about.get("patternProperties", {}).values()]
    known = next((value for value in values if isinstance(value, dict)), None)
    return f"text → {_in_brackets(known)}" if known else "object"


def _in_brackets(about: Json) -> str:
    return f"({_type(about)})" if "anyOf" in about else _type(about)
