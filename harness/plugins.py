"""Finding plugins, one entry point at a time, and looking their specs up by name."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, get_args

import pluggy

from harness import hookspecs
from harness.errors import PluginError, choices, did_you_mean, in_a_line, raised_at
from harness.specs import (
    CompressorSpec,
    DistillerSpec,
    ExecutorSpec,
    Head,
    Metric,
    ObserverSpec,
    Params,
    ReporterSpec,
    Role,
    RuntimeSpec,
    Spec,
    StudentSpec,
    Task,
    TaskSpec,
)

GROUP = "harness"
HOOKS: Mapping[str, type[Spec]] = {
    "harness_tasks": TaskSpec,
    "harness_students": StudentSpec,
    "harness_distillers": DistillerSpec,
    "harness_compressors": CompressorSpec,
    "harness_runtimes": RuntimeSpec,
    "harness_executors": ExecutorSpec,
    "harness_reporters": ReporterSpec,
    "harness_observers": ObserverSpec,
}
KINDS = tuple(spec.kind for spec in HOOKS.values())
S = TypeVar("S", bound=Spec)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_IMPORT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_IMPORTED = ("factory", "encoder")
_METRIC = re.compile(r"\w[\w.+-]{0,63}")
UNIT = 20  # characters
LINE = 200  # characters of a summary or a reference
# How a field is annotated → what it may be. Annotations of other kinds are not looked at.
_TYPES: Mapping[str, Any] = {
    "str": str, "int": int, "float": (float, int), "bool": bool, "tuple": tuple, "frozenset": frozenset,
    "Mapping": Mapping, "Callable": Callable, "Metric": Metric,
}  # fmt: skip
_WORDS: Mapping[str, tuple[str, ...]] = {"Head": get_args(Head), "Role": get_args(Role)}


@dataclass(frozen=True)
class Provider:
    """Who registered something: the distribution and its version."""

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Registered:
    """A spec with its provider."""

    spec: Spec
    provider: Provider

    @property
    def full_name(self) -> str:
        """`distribution/name`: unique whatever else is installed."""
        return f"{self.provider.distribution}/{self.spec.name}"


@dataclass(frozen=True)
class Registry:
    """Everything that the plugins registered, and what could not be loaded."""

    components: Mapping[str, tuple[Registered, ...]] = field(default_factory=dict)  # kind → sorted by name
    broken: Mapping[str, str] = field(default_factory=dict)  # provider → reason

    def names(self, kind: str) -> list[str]:
        """The short names of a kind, sorted."""
        return sorted({entry.spec.name for entry in self.components.get(kind, ())})

    def entry(self, kind: str, name: str) -> Registered:
        """The one component of that name or full name. PluginError with the choices otherwise."""
        known = self.components.get(kind, ())
        found = [entry for entry in known if name in (entry.spec.name, entry.full_name)]
        if len(found) == 1:
            return found[0]
        if found:
            providers = " and ".join(str(entry.provider) for entry in found)
            full = choices(entry.full_name for entry in found)
            msg = f"two plugins provide {kind} '{name}': {providers}. Write one of {full}"
            raise PluginError(msg)
        names = [entry.spec.name for entry in known]
        broken = "".join(f" Plugin '{who}' failed to load: {why}." for who, why in self.broken.items())
        msg = f"'{name}' is not a known {kind}.{did_you_mean(name, names)} Known: {choices(names)}.{broken}"
        raise PluginError(msg.removesuffix("."))

    def get(self, kind: str, name: str) -> Spec:
        """The spec of that name or full name."""
        return self.entry(kind, name).spec

    def task(self, name: str) -> TaskSpec:
        """The task of that name."""
        return _as(TaskSpec, self.get("task", name))

    def open_task(self, described: Mapping[str, Any]) -> Task:
        """The task that a stage or a record describes: {"use": name, "params": as written}."""
        spec = self.task(described["use"])
        return spec.load(spec.params(**described["params"]))

    def student(self, name: str) -> StudentSpec:
        """The student of that name."""
        return _as(StudentSpec, self.get("student", name))

    def distiller(self, name: str) -> DistillerSpec:
        """The distiller of that name."""
        return _as(DistillerSpec, self.get("distiller", name))

    def compressor(self, name: str) -> CompressorSpec:
        """The compressor of that name."""
        return _as(CompressorSpec, self.get("compressor", name))

    def executor(self, name: str) -> ExecutorSpec:
        """The executor of that name."""
        return _as(ExecutorSpec, self.get("executor", name))

    def reporter(self, name: str) -> ReporterSpec:
        """The reporter of that name."""
        return _as(ReporterSpec, self.get("reporter", name))

    def observer(self, name: str) -> ObserverSpec:
        """The observer of that name."""
        return _as(ObserverSpec, self.get("observer", name))

    def runtime_for(self, format_: str) -> RuntimeSpec:
        """The one runtime that loads the format. PluginError when there is none, or more than one."""
        runtimes = [e for e in self.components.get("runtime", ()) if format_ in _as(RuntimeSpec, e.spec).formats]
        if len(runtimes) == 1:
            return _as(RuntimeSpec, runtimes[0].spec)
        if runtimes:
            found = choices(e.full_name for e in runtimes)
            msg = f"{found} all load the format '{format_}'; exactly one runtime per format can be installed"
            raise PluginError(msg)
        known = {one for e in self.components.get("runtime", ()) for one in _as(RuntimeSpec, e.spec).formats}
        msg = (
            f"no installed runtime loads the format '{format_}'.{did_you_mean(format_, known)} Known: {choices(known)}"
        )
        raise PluginError(msg)


def _as(kind: type[S], spec: Spec) -> S:
    assert isinstance(spec, kind)  # noqa: S101 - the registry files every spec under its own kind
    return spec


def load_registry(points: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every entry point of the group by itself; a broken one is kept as a reason, never as a crash."""
    manager = pluggy.PluginManager("harness")
    manager.add_hookspecs(hookspecs)
    providers: dict[str, Provider] = {}
    broken: dict[str, str] = {}
    with contextlib.redirect_stdout(sys.stderr):  # stdout is data, whatever a plugin has to say
        for point in sorted(entry_points(group=GROUP) if points is None else points, key=lambda p: (p.value, p.name)):
            provider = _provider(point)
            key = f"{provider.distribution}:{point.name}"
            try:
                module = point.load()
                _refuse_slips(manager, module)
                manager.register(module, name=key)
                providers[key] = provider
            except (Exception, SystemExit) as error:
                broken[f"{provider} ({point.name})"] = _told(error, point.value)
        return _collect(manager, providers, broken)


def build_registry(specs: Sequence[Spec], distribution: str = "test", version: str = "0") -> Registry:
    """A registry of the given specs alone, for tests and tools."""
    provider = Provider(distribution, version)
    return Registry(_by_kind([Registered(spec, provider) for spec in specs]))


def _provider(point: EntryPoint) -> Provider:
    dist = point.dist
    return Provider(dist.name, dist.version) if dist else Provider(point.value.partition(".")[0], "unknown")


def _told(error: BaseException, module: str) -> str:
    """The error in a line, and the last line of the plugin's own package that it went through."""
    at = raised_at(error, {module.partition(":")[0].partition(".")[0]})
    return f"{in_a_line(error)} ({at})" if at else in_a_line(error)


def _refuse_slips(manager: pluggy.PluginManager, module: Any) -> None:
    """PluginError for hooks that cannot be called: of another name, not marked as hooks, or with arguments."""
    for name in dir(module):
        marked = manager.parse_hookimpl_opts(module, name) is not None
        if marked and name not in HOOKS:
            msg = f"implements unknown hook '{name}'.{did_you_mean(name, HOOKS)}"
            raise PluginError(msg)
        if name in HOOKS and not marked:
            msg = f"'{name}' is not marked as a hook: write @harness.hookimpl above it"
            raise PluginError(msg)
        if marked and (wanted := list(inspect.signature(getattr(module, name)).parameters)):
            msg = f"'{name}' takes {choices(wanted)}: hooks are called without arguments, write `def {name}():`"
            raise PluginError(msg)


def _collect(manager: pluggy.PluginManager, providers: Mapping[str, Provider], broken: dict[str, str]) -> Registry:
    found: list[Registered] = []
    for hook, kind in HOOKS.items():
        for impl in getattr(manager.hook, hook).get_hookimpls():
            provider = providers[impl.plugin_name]
            try:
                found += _yielded(impl.function(), kind, provider, found)
            except (Exception, SystemExit) as error:
                who = f"{provider} ({impl.plugin_name.partition(':')[2]})"
                why = f"{hook}: {_told(error, getattr(impl.plugin, '__name__', ''))}"
                broken[who] = f"{broken[who]}; {why}" if who in broken else why
    return Registry(_by_kind(found), broken)


def _yielded(
    specs: Iterable[Any], kind: type[Spec], provider: Provider, earlier: Sequence[Registered]
) -> list[Registered]:
    """All that a hook yields, or nothing of it. PluginError where one distribution has a name twice."""
    names = {entry.full_name for entry in earlier if entry.spec.kind == kind.kind}
    found: list[Registered] = []
    for spec in specs:
        entry = Registered(_checked(spec, kind), provider)
        if entry.full_name in names:
            msg = f"two of its {kind.kind}s are called '{spec.name}'; give one of them another name"
            raise PluginError(msg)
        names.add(entry.full_name)
        found.append(entry)
    return found


def _checked(spec: Any, kind: type[Spec]) -> Spec:
    if not isinstance(spec, kind):
        msg = f"yielded {type(spec).__name__}, expected {kind.__name__}"
        raise PluginError(msg)
    if not (isinstance(spec.name, str) and _NAME.fullmatch(spec.name)):
        msg = (
            f"name {str(spec.name)[:80]!r} is not allowed: lower-case letters, digits, '-' and '_' only, "
            "a letter or digit first, at most 64 of them"
        )
        raise PluginError(msg)
    for field_, text in (("summary", spec.summary), ("reference", spec.reference)):
        if not (isinstance(text, str) and text.isprintable() and len(text) <= LINE):
            msg = f"{field_} of '{spec.name}' is {str(text)[:80]!r}: one printable line of at most {LINE} characters"
            raise PluginError(msg)
    if not (isinstance(spec.params, type) and issubclass(spec.params, Params)):
        msg = f"params of '{spec.name}' are {spec.params!r}, expected a class derived from harness.Params"
        raise PluginError(msg)
    _check_fields(spec)
    for metric in spec.metrics if isinstance(spec, TaskSpec) else ():
        _check_metric(spec.name, metric)
    return spec


def _check_metric(task: str, metric: Any) -> None:
    """PluginError for what no record can hold: metrics are columns, and name figures' files."""
    name, unit = getattr(metric, "name", metric), getattr(metric, "unit", "")
    if not (isinstance(name, str) and _METRIC.fullmatch(name)):
        msg = f"metric {str(name)[:80]!r} of '{task}': letters, digits, '_', '-', '.' and '+' only, at most 64 of them"
        raise PluginError(msg)
    if not (isinstance(unit, str) and unit.isprintable() and len(unit) <= UNIT):
        msg = f"unit of the metric '{name}' of '{task}' is {str(unit)[:80]!r}: printable, at most {UNIT} characters"
        raise PluginError(msg)


def _check_fields(spec: Spec) -> None:
    """PluginError for a field of another type, and for an import string that is none."""
    for one in fields(spec):
        value, wanted = getattr(spec, one.name), str(one.type)
        if not _fits(value, wanted):
            words = "".join(f"; {word} is one of {choices(known)}" for word, known in _WORDS.items() if word in wanted)
            comma = ": a comma makes it one" if isinstance(value, str) and wanted.startswith("tuple") else ""
            msg = f"{one.name} of '{spec.name}' is {repr(value)[:80]}, expected {wanted}{comma}{words}"
            raise PluginError(msg)
        if one.name in _IMPORTED and not _IMPORT.fullmatch(value):
            msg = f"{one.name} of '{spec.name}' is {value[:80]!r}, expected 'package.module:attribute'"
            raise PluginError(msg)


def _fits(value: Any, annotation: str) -> bool:
    """Is it what a field's annotation says? `consumes="torch"`, for one, would be five formats of one letter."""
    if annotation.endswith(" | None"):
        return value is None or _fits(value, annotation.removesuffix(" | None"))
    outer, _, inner = annotation.partition("[")
    if outer in _WORDS:
        return value in _WORDS[outer]
    if not isinstance(value, _TYPES.get(outer, object)):
        return False
    member = inner.removesuffix("]").removesuffix(", ...")
    return outer not in ("tuple", "frozenset") or all(_fits(one, member) for one in value)


def _by_kind(found: Sequence[Registered]) -> dict[str, tuple[Registered, ...]]:
    return {
        kind: tuple(sorted((e for e in found if e.spec.kind == kind), key=lambda e: (e.spec.name, e.full_name)))
        for kind in KINDS
    }
