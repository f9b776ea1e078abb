"""Positions of keys and values in TOML text."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.suite.locate import Loc, locate

TEXT = '''\
# a comment with [brackets] = "and quotes"
top = 1
a.b . "c d".e = { f = [1, { g = 'x' }], "h" = """two
lines ]} # no comment \\""" quoted"""" , i=2 }
[table]   # comment
  key = 2024-01-01 10:00:00
  list = [
    "a",  # ], "b"
    [ 1, 2 ], \'\'\'
raw " \'\' ]\'\'\',
  ]
[ x . "y.z" ]
last = true
[[many]]
n = 1
[many.sub]
m = 2
[[many]]
n = 3
[[many.deep]]
d = 4
[[many.deep]]
d = 5
'''


def lookup(text: str, position: tuple[int, int]) -> str:
    line, column = position
    return text.split("\n")[line - 1][column - 1 :]


def test_values_stand_where_they_are_written() -> None:
    tomllib.loads(TEXT)
    found = locate(TEXT).values
    starts: dict[Loc, str] = {
        ("top",): "1",
        ("a", "b", "c d", "e"): "{ f =",
        ("a", "b", "c d", "e", "f"): "[1, {",
        ("a", "b", "c d", "e", "f", 1, "g"): "'x' }]",
        ("a", "b", "c d", "e", "h"): '"""two',
        ("a", "b", "c d", "e", "i"): "2 }",
        ("table",): "[table]",
        ("table", "key"): "2024-01-01 10",
        ("table", "list", 0): '"a",',
        ("table", "list", 1, 1): "2 ], '",
        ("table", "list", 2): "'''",
        ("x", "y.z"): "[ x .",
        ("x", "y.z", "last"): "true",
        ("many", 0, "n"): "1",
        ("many", 0, "sub", "m"): "2",
        ("many", 1, "n"): "3",
        ("many", 1, "deep", 0, "d"): "4",
        ("many", 1, "deep", 1, "d"): "5",
    }
    for loc, start in starts.items():
        assert lookup(TEXT, found[loc]).startswith(start), loc


def test_keys_stand_where_they_are_written() -> None:
    found = locate(TEXT).keys
    starts: dict[Loc, str] = {
        ("top",): "top = 1",
        ("a",): "a.b .",
        ("a", "b", "c d"): '"c d".e',
        ("a", "b", "c d", "e", "f"): "f = [",
        ("a", "b", "c d", "e", "i"): "i=2",
        ("table", "list"): "list = [",
        ("x",): 'x . "y.z"',
        ("x", "y.z"): '"y.z" ]',
        ("many", 1): "many]]",
        ("many", 1, "deep", 1): "deep]]",
    }
    for loc, start in starts.items():
        assert lookup(TEXT, found[loc]).startswith(start), loc
    assert found["many", 0] != found["many", 1]


def test_windows_line_ends_do_not_move_anything() -> None:
    assert locate(TEXT.replace("\n", "\r\n")) == locate(TEXT)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x7f", min_codepoint=32), max_size=6)
VALUES = st.recursive(
    st.integers(-5, 5) | st.booleans() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=4)


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(k)} = {inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[ # ] }\n " + "".join(f"{inline(item)} ,\n" for item in value) + "]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def leaves(value: Any, loc: Loc = ()) -> list[tuple[Loc, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    here = [] if isinstance(value, dict | list) else [(loc, value)]
    return here + [leaf for key, item in items for leaf in leaves(item, (*loc, key))]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, TABLES | st.lists(TABLES, min_size=1, max_size=3), max_size=3))
def test_every_leaf_of_any_document_is_found(document: dict[str, Any]) -> None:
    lines: list[str] = []
    for name, tables in document.items():
        for table in tables if isinstance(tables, list) else [tables]:
            head = quoted(name)
            lines.append(f"[[{head}]]" if isinstance(tables, list) else f"[ {head} ]")
            lines += [f"  {quoted(key)} = {inline(value)}  # end" for key, value in table.items()]
    text = "\n".join(lines)
    assert tomllib.loads(text) == document
    found = locate(text)
    for loc, value in leaves(document):
        assert lookup(text, found.values[loc]).startswith(inline(value))
        if isinstance(loc[-1], str):
            assert lookup(text, found.keys[loc]).startswith(quoted(loc[-1]))
