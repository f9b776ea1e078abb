"""What is asked of every component, whatever its kind."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.plugins import GROUP, Registered, Registry, load_registry
from harness.specs import Params, Spec, load_object
from harness.suite.problems import validated
from harness.testing.model import Broken, Finding, NotApplicable, passed
from harness.testing.sandbox import sandbox
from harness.testing.toys import Made, Toys, required, toys_of

HEAVY = (
    "torch", "transformers", "datasets", "onnxruntime", "onnx", "accelerate", "optimum", "scipy", "sklearn", "pandas",
    "matplotlib",
)  # fmt: skip
_LONGEST_SUMMARY = 120
_AT_HOME = ("executor", "reporter", "observer")  # kinds whose params no worker is sent


@dataclass(frozen=True)
class Look:
    """A check as its module declares it."""

    name: str
    summary: str
    run: Callable[[Any, Path], Finding]


@dataclass
class Bench:
    """A component under test, with what its checks share."""

    entry: Registered
    registry: Registry
    given: Mapping[str, Any]
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> Any:
        """What it declares."""
        return self.entry.spec

    @property
    def toys(self) -> Toys:
        """Artifacts to work on."""
        return toys_of(self.registry)

    def params(self) -> Any:
        """Its params: what was given, the rest at its defaults. NotApplicable where one has no default."""
        missing = [name for name in required(self.spec) if name not in self.given]
        if missing:
            msg = f"params without a default: {', '.join(missing)}; give them with `params=` in a test file"
            raise NotApplicable(msg)
        return self.spec.params(**self.given)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Made the first time; later askers of what could not be made are told so."""
        if name not in self.kept:
            try:
                self.kept[name] = make()
            except Exception:
                self.kept[name] = None
                raise
        if self.kept[name] is None:
            msg = "nothing to look at: see the first check that failed"
            raise NotApplicable(msg)
        return self.kept[name]


def documented(bench: Bench, folder: Path) -> Finding:
    """Version, summary, params."""
    spec: Spec = bench.spec
    faults = []
    if not isinstance(spec.version, int) or isinstance(spec.version, bool) or spec.version < 1:
        faults.append(f"version = {spec.version!r}: a whole number from 1")
    if not spec.summary.strip() or "\n" in spec.summary or len(spec.summary) > _LONGEST_SUMMARY:
        faults.append(f"summary: one line of 1 to {_LONGEST_SUMMARY} characters")
    silent = [name for name, info in spec.params.model_fields.items() if not info.description]
    if silent:
        faults.append(f"params without a description: {', '.join(silent)}; write Field(…, description=…)")
    faults += [f"{where} names '{name}', which is no param" for where, name in _dangling(spec)]
    if faults:
        raise Broken("; ".join(faults))
    params = len(spec.params.model_fields)
    return passed(f"version {spec.version}, {params or 'no'} param{'' if params == 1 else 's'}")


def _dangling(spec: Spec) -> list[tuple[str, str]]:
    named = {where: getattr(spec, where, ()) for where in ("execution_only", "assets", "scoring", "miniature")}
    return [(where, name) for where, names in named.items() for name in names if name not in spec.params.model_fields]


def defaults(bench: Bench, folder: Path) -> Finding:
    """Defaults pass their own validation, and survive JSON, in which plans and records hold them."""
    spec: Spec = bench.spec
    if not issubclass(spec.params, Params):
        msg = f"params is {spec.params.__name__}, which is no `harness.Params`"
        raise Broken(msg)
    fields = spec.params.model_fields
    known = {n: info.get_default(call_default_factory=True) for n, info in fields.items() if not info.is_required()}
    made = spec.params.model_construct(**known)
    text = json.dumps(made.model_dump(mode="json"), allow_nan=False)
    if fault := _refusal(spec.params, json.loads(text), spec.kind not in _AT_HOME):
        msg = f"its defaults are refused by its own params: {fault}"
        raise Broken(msg)
    return passed(text if len(text) < 100 else f"{len(known)} defaults")


def _refusal(params: type[Params], values: dict[str, Any], strict: bool) -> str | None:
    """Why the values are refused, or change on their way; that others are missing is no reason.

    `strict`: as workers take them, where a list fills no tuple; else as the command line does.
    """
    try:
        made = params(**values) if strict else validated(params, values)
        again = made.model_dump(mode="json")
    except ValidationError as error:
        faults = [fault for fault in error.errors() if fault["type"] != "missing"]
        return f"{'.'.join(map(str, faults[0]['loc']))}: {faults[0]['msg']}" if faults else None
    return None if again == values else f"{values} becomes {again}"


def light(bench: Bench, folder: Path) -> Finding:
    """The module with the hook, imported in a fresh interpreter."""
    point = _entry_point(bench.entry)
    if point is None:
        msg = "no entry point registers it, so no command imports it"
        raise NotApplicable(msg)
    found = imported(point.value.partition(":")[0])
    if found:
        msg = f"'{point.value}' imports {', '.join(found)}: every `harness --help` would; name heavy code in `factory`"
        raise Broken(msg)
    return passed(point.value)


def loads(bench: Bench, folder: Path) -> Finding:
    """The import string of the factory leads somewhere."""
    return passed(type(load_object(bench.spec.factory)).__name__)


def left_nothing(made: Made, *others: Path) -> Finding:
    """What a job wrote elsewhere, left behind and asked the network. `others`: folders that another check looks at."""
    trace = made.outcome.trace
    allowed = (str(made.folder), *map(str, others), str(sandbox().root / "tmp"), "/dev/", "/proc/")
    elsewhere = [path for path in trace.written if not path.startswith(allowed)]
    faults = {
        "files left behind": trace.left,
        "processes left behind": trace.processes,
        "threads left behind": trace.threads,
        "written outside its folder": elsewhere,
        "asked the network": trace.network,
    }
    found = [f"{what}: {', '.join(map(str, names[:3]))}" for what, names in faults.items() if names]
    if found:
        raise Broken("; ".join(found))
    return passed("no file, process or thread; nothing written elsewhere; no network")


@functools.cache
def imported(module: str) -> tuple[str, ...]:
    """Which heavy libraries an import brings along. Broken where it fails."""
    code = (
        f"import sys, importlib; importlib.import_module({module!r}); print(*sorted(set(sys.modules) & {set(HEAVY)!r}))"
    )
    return tuple(fresh(code).split())


def fresh(code: str) -> str:
    """What a fresh interpreter with the same path prints. Broken where it fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        msg = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        raise Broken(msg)
    return done.stdout


def _entry_point(entry: Registered) -> EntryPoint | None:
    for point in entry_points(group=GROUP):
        if point.dist is None or point.dist.name != entry.provider.distribution:
            continue
        known = load_registry([point]).components.get(entry.spec.kind, ())
        if any(other.spec.name == entry.spec.name for other in known):
            return point
    return None


DOCUMENTED = Look(
    "documented", "Version, summary and every param say what they are: users see nothing else.", documented
)
DEFAULTS = Look(
    "defaults", "Params' defaults are valid and survive JSON: plans and records hold them as JSON.", defaults
)
LIGHT = Look("light-import", "The module with the hook imports nothing heavy: every command imports it.", light)
COMMON = (DOCUMENTED, DEFAULTS, LIGHT)
