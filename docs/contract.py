"""Writes contract.md, the contract of every hook: `python docs/contract.py`.

harness/hookspecs.py, specs.py and executors/ are read as text, because comments stand beside fields and say what
they mean.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import harness

HERE = Path(__file__).parent
CORE = HERE.parent / "harness"
PAGE = HERE / "contract.md"
INTRO = """\
<!-- Written by `python docs/contract.py` from harness/hookspecs.py and harness/specs.py: change those. -->

# The contract of each hook

A hook is a function in the module that a package's entry point names. It yields specs; what a spec's `factory` names is
imported where the work is done. `harness plugin check NAME` holds a component to all of this. How to begin:
[first-plugin.md](first-plugin.md).
"""
DECLARED = """\
## What every spec declares

`params` is a class of `harness.Params`: unknown keys are errors, values are frozen, types are strict. Other kinds add
fields of their own.
"""
HANDED = """\
## What components return and are handed

In the order of the source; `Protocol`s are methods that an object needs, whatever its class.
"""
TYPES = """\
## Words that types are written with

| name | meaning |
|---|---|
"""
HELPERS = """\
## What else a plugin may use

All of it with `from harness import …`; nothing else of the package is public.

| name | what it is |
|---|---|
"""


@dataclass(frozen=True)
class Entry:
    """A field of a class: as it is written, and the comment that belongs to it."""

    text: str
    comment: str


@dataclass(frozen=True)
class Source:
    """A module as text and tree."""

    lines: Sequence[str]
    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> Source:
        """Of a file."""
        text = path.read_text(encoding="utf-8")
        return cls(text.splitlines(), ast.parse(text))

    def classes(self) -> dict[str, ast.ClassDef]:
        """By name, in order."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}


def page() -> str:
    """The text of contract.md."""
    hooks, specs = Source.read(CORE / "hookspecs.py"), Source.read(CORE / "specs.py")
    classes = specs.classes()
    own = {of: hook for hook in _hooks(hooks.tree) for of in [_yields(hook)]}
    parts = [INTRO, _table(TYPES, _types(specs)), DECLARED, *_class(specs, classes["Spec"], heading=False)]
    for name, hook in own.items():
        parts += [f"## `{hook.name}`\n", *_docstring(hook), *_class(specs, classes[name])]
    rest = [node for name, node in classes.items() if name not in {*own, "Spec", "Params"}]
    parts += [HANDED, *(part for node in rest for part in _class(specs, node))]
    executors = Source.read(CORE / "executors" / "__init__.py")
    parts += [part for node in executors.classes().values() for part in _class(executors, node)]
    parts.append(_table(HELPERS, _helpers({*classes, *executors.classes(), "hookimpl"})))
    return _spaced(parts)


def _types(source: Source) -> Iterator[Entry]:
    """Names of plain types and values that are public, with the comment behind or before each."""
    before: list[str] = []
    for line in source.lines:
        if line.startswith("#"):
            before.append(line)
            continue
        found = re.match(r"(\w+) = (.+?)(  # .*)?$", line)
        if found and found[1] in harness.__all__:
            yield Entry(f"{found[1]} = {found[2]}", " ".join(_remarks([*before, found[3] or ""])))
        before = []


def _helpers(described: Container[str]) -> Iterator[Entry]:
    """Public functions, classes and values that stand nowhere else on the page, the grouped ones together."""
    for name in (name for name in harness._MODULES if name not in described):  # noqa: SLF001 - their order
        thing = getattr(harness, name)
        written = f"{name}{_arguments(thing)}" if inspect.isfunction(thing) else name
        value = f'"{thing}"' if isinstance(thing, str) else ", ".join(thing) if isinstance(thing, tuple) else ""
        yield Entry(written, value or inspect.getdoc(thing) or "")


def _arguments(function: Callable[..., object]) -> str:
    """Names and plain defaults: types would say little without their imports."""
    plain = (bool, int, str, type(None))
    told = [
        one.replace(annotation=one.empty, default=one.default if isinstance(one.default, (*plain, type)) else ...)
        for one in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(told)).replace("=Ellipsis", "=…")


def _table(heading: str, entries: Iterable[Entry]) -> str:
    return heading + "".join(f"| `{_cell(one.text)}` | {_cell(one.comment)} |\n" for one in entries)


def _hooks(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(mark) == "hookspec" for mark in node.decorator_list):
            yield node


def _yields(hook: ast.FunctionDef) -> str:
    """`TaskSpec` of `-> Iterable[TaskSpec]`."""
    assert isinstance(hook.returns, ast.Subscript)  # noqa: S101 - every hook yields specs of one kind
    return ast.unparse(hook.returns.slice)


def _class(source: Source, node: ast.ClassDef, *, heading: bool = True) -> Iterator[str]:
    """Heading, docstring, a table of fields, methods."""
    bases = [ast.unparse(base) for base in node.bases]
    if heading:
        yield f"### `{node.name}`" + (f" ({', '.join(f'`{base}`' for base in bases)})" if bases else "") + "\n"
        yield from _docstring(node)
    fields = list(_fields(source, node))
    if fields:
        yield _table("| field | meaning |\n|---|---|\n", fields)
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            yield f"```python\n{_signature(method)}\n```\n"
            yield from _docstring(method)


def _fields(source: Source, node: ast.ClassDef) -> Iterator[Entry]:
    """Remarks on lines of their own go with the next field where they begin with a capital, else with the last one."""
    ends = [*(other.lineno for other in node.body[1:]), _after(source, node.end_lineno or 0)]
    before: list[str] = []
    for statement, end in zip(node.body, ends, strict=True):
        last = statement.end_lineno or statement.lineno
        behind = _remarks([source.lines[last - 1][statement.end_col_offset or 0 :]])
        between = _remarks(source.lines[last : end - 1])
        after, following = ([], between) if between and between[0][0].isupper() else (between, [])
        if isinstance(statement, ast.AnnAssign) and "ClassVar" not in ast.unparse(statement.annotation):
            yield Entry(_written(statement), " ".join([*before, *behind, *after]))
        before = following


def _written(statement: ast.AnnAssign) -> str:
    """`field(default=x)` as `x`, `field(default_factory=dict)` as `{}`."""
    text = ast.unparse(statement).replace("field(default_factory=dict)", "{}")
    return re.sub(r"field\(default=(.*)\)$", r"\1", text)


def _after(source: Source, line: int) -> int:
    """The number of the first line behind a class, and behind the remarks that end it."""
    rest = (at for at, text in enumerate(source.lines[line:], line + 1) if not text.startswith("    #"))
    return next(rest, len(source.lines) + 1)


def _remarks(lines: Sequence[str]) -> list[str]:
    return [line.strip().removeprefix("#").strip() for line in lines if line.strip().startswith("#")]


def _signature(method: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(method.returns)}" if method.returns else ""
    return f"def {method.name}({ast.unparse(method.args)}){returns}: ..."


def _docstring(node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    """As markdown: what follows `Example::` is code."""
    text, _, example = inspect.cleandoc(ast.get_docstring(node) or "").partition("Example::")
    if text:
        yield f"{text.strip()}\n"
    if example:
        yield f"```python\n{inspect.cleandoc(example)}\n```\n"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _spaced(parts: Sequence[str]) -> str:
    """Parts between blank lines, code as the project's formatter wants it."""
    text = "\n".join(part.rstrip("\n") + "\n" for part in parts)
    words = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(PAGE), "-"]
    return subprocess.run(words, input=text, capture_output=True, check=True, text=True, encoding="utf-8").stdout


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
