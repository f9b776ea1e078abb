"""What a plugin may be called: one name is the component, the distribution, the folder and, with '_', the module."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from harness.errors import SuiteError, choices

LONGEST = 40  # characters
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
# What a module of that name would hide or be hidden by in its own folder, and the chain that is always the empty one.
_RESERVED = frozenset({"build", "conftest", "dist", "none", "setup", "tests"})


@dataclass(frozen=True)
class PluginName:
    """A name that passed. `package` is what Python imports."""

    name: str

    @property
    def package(self) -> str:
        """`my_int4` of `my-int4`."""
        return self.name.replace("-", "_")


def check_name(name: str, kind: str, taken: Collection[str] = ()) -> PluginName:
    """The name, if a new plugin may have it. SuiteError with what was found, what is allowed and what to do.

    `taken`: names that installed plugins gave components of this kind.
    """
    problem = _misspelt(name) or _clashing(name, kind, taken)
    if problem:
        raise SuiteError(problem)
    return PluginName(name)


def _misspelt(name: str) -> str | None:
    if len(name) > LONGEST:
        return f"the name {name[:LONGEST]!r}… has {len(name)} characters, at most {LONGEST} are allowed: shorten it"
    if not _NAME.fullmatch(name):
        hint = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").lstrip("-0123456789")
        better = f" Try '{hint}'." if _NAME.fullmatch(hint) else ""
        return (
            f"the name {name!r} cannot be that of a package: lower-case latin letters and digits, a letter first, "
            f"single '-' or '_' between them, for instance 'my-int4'.{better}"
        )
    return None


def _clashing(name: str, kind: str, taken: Collection[str]) -> str | None:
    package = PluginName(name).package
    if keyword.iskeyword(package) or package in _RESERVED:
        return f"the name '{name}' is reserved: choose another one, for instance 'my-{name}'"
    if package in sys.stdlib_module_names:
        return f"the name '{name}' is that of a module of Python itself: choose another one, for instance 'my-{name}'"
    if name in taken:
        return (
            f"a {kind} '{name}' is installed already (known: {choices(taken)}): two of one name exclude each other. "
            "Choose another name, or uninstall the other"
        )
    found = _module(package) or _distribution(name)
    return found and f"{found}: the new package would stand in its way. Choose another name, or uninstall the other"


def _module(package: str) -> str | None:
    """An importable module of that name; a mere folder in the working directory is none."""
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else f"a module '{package}' is installed already ({spec.origin})"


def _distribution(name: str) -> str | None:
    try:
        return f"a distribution '{name}' is installed already (version {version(name)})"
    except PackageNotFoundError:
        return None
