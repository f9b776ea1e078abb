"""Templates → files: rendered in memory, then written into a folder that was not there before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from harness import __version__
from harness.errors import SuiteError
from harness.scaffold.names import PluginName

KINDS = ("compressor", "distiller", "student", "task")
_SUFFIX = ".txt"  # templates are no modules: neither imports nor linters are to find them
_PACKAGE = "__package__"
_HIDDEN = "dot-"


def render(kind: str, name: PluginName) -> dict[str, str]:
    """The files of a plugin of one of `KINDS`: path with '/' → text. The same words give the same bytes."""
    words = {"name": name.name, "package": name.package, "kind": kind, "harness": __version__}
    found = {**_templates("common"), **_templates(kind)}
    return {_target(path, name): Template(text).substitute(words) for path, text in sorted(found.items())}


def write(texts: Mapping[str, str], folder: Path) -> None:
    """Write the files into a new folder; its parents are made. SuiteError when it exists or cannot be written."""
    try:
        folder.mkdir(parents=True)
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8", newline="\n")
    except FileExistsError as error:
        msg = f"{error.filename} exists already, and nothing is written over it; give another folder with --out"
        raise SuiteError(msg) from error
    except OSError as error:
        msg = f"{error.filename}: the plugin cannot be written there ({error.strerror}); give another folder with --out"
        raise SuiteError(msg) from error


def _templates(folder: str) -> dict[str, str]:
    root = files("harness.scaffold") / "templates" / folder
    return {path: file.read_text(encoding="utf-8") for path, file in _walk(root)}


def _walk(folder: Traversable, before: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        path = f"{before}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        elif path.endswith(_SUFFIX):
            yield path, entry


def _target(path: str, name: PluginName) -> str:
    """`tests/test___package__.py.txt` → `tests/test_my_int4.py`, `dot-gitignore.txt` → `.gitignore`."""
    plain = path.removesuffix(_SUFFIX).replace(_PACKAGE, name.package)
    return f".{plain.removeprefix(_HIDDEN)}" if plain.startswith(_HIDDEN) else plain
