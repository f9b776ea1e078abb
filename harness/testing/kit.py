"""Which checks a component has to pass."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import SuiteError, choices
from harness.plugins import Registry, load_registry
from harness.testing.model import Check, Finding, guarded

# Kind → the module whose `CHECKS` (name, summary, function of a bench and a folder) are about it, and its bench.
MODULES: Mapping[str, str] = {
    "compressor": "harness.testing.compressors",
    "student": "harness.testing.students",
    "distiller": "harness.testing.distillers",
    "task": "harness.testing.tasks",
    "runtime": "harness.testing.runtimes",
    "executor": "harness.testing.executors",
    "reporter": "harness.testing.reporters",
    "observer": "harness.testing.observers",
}


def checks(
    kind: str, name: str, registry: Registry | None = None, params: Mapping[str, Any] | None = None
) -> list[Check]:
    """The checks of one component, in the order in which they are best read.

    `registry`: default: what is installed. `params`: other than the defaults. They share what is expensive to make, so
    run them one after the other. PluginError for a name that nobody provides, SuiteError for a kind without checks.
    """
    if kind not in MODULES:
        msg = f"'{kind}' is not a kind of component that can be checked. Known: {choices(MODULES)}"
        raise SuiteError(msg)
    registry = _installed() if registry is None else registry
    entry = registry.entry(kind, name)
    module = importlib.import_module(MODULES[kind])
    bench = module.Bench(entry, registry, dict(params or {}))
    packages = {
        one.spec.factory.partition(":")[0].partition(".")[0] for kind in registry.components.values() for one in kind
    }
    own = packages - {"harness"}
    return [Check(look.name, look.summary, guarded(_bound(look.run, bench), own)) for look in module.CHECKS]


@functools.cache
def _installed() -> Registry:
    """One for the whole session, so that toys are shared."""
    return load_registry()


def _bound(look: Callable[[Any, Path], Finding], bench: Any) -> Callable[[Path], Finding]:
    return lambda folder: look(bench, folder)
