"""Loading plugins: one at a time, named when broken, never renamed silently."""

from __future__ import annotations

import ast
import re
import sys
import types
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import Field

import harness
from harness import CompressorSpec, DistillerSpec, hookimpl
from harness.errors import PluginError
from harness.plugins import HOOKS, KINDS, Provider, Registered, Registry, build_registry, load_registry
from harness.specs import Metric, Params, TaskSpec, load_object

ROOT = Path(__file__).parents[1]


def compressor(name: str = "squeeze") -> CompressorSpec:
    return CompressorSpec(name=name, summary="s", version=1, factory="m:f", consumes=("torch",), produces="torch")


def entry(name: str, **content) -> EntryPoint:
    module = types.ModuleType(f"fake_{name}")
    module.__dict__.update(content)
    sys.modules[module.__name__] = module
    return EntryPoint(name=name, value=module.__name__, group="harness")


@pytest.fixture(autouse=True)
def _forget_fakes():
    yield
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


def task(**metric) -> TaskSpec:
    return TaskSpec(name="t", summary="s", version=1, head="sequence", metrics=(Metric(**metric),), factory="m:f")


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ({"name": "macro F1"}, r"metric 'macro F1' of 't': letters, digits, '_', '-', '\.' and '\+' only"),
        ({"name": "../f1"}, r"metric '\.\./f1' of 't'"),
        ({"name": "f" * 65}, "at most 64 of them"),
        ({"name": 1}, "metric '1' of 't'"),
        ({"name": "f1", "unit": "words per\nminute"}, "unit of the metric 'f1' of 't'"),
        ({"name": "f1", "unit": "words " * 4}, "at most 20 characters"),
    ],
)
def test_a_metric_that_no_record_can_hold_is_refused_with_its_plugin(metric, why):
    @hookimpl
    def harness_tasks():
        yield task(**metric)

    found = load_registry([entry("bad", harness_tasks=harness_tasks)])
    assert found.names("task") == []
    assert re.search(why, *found.broken.values())


def test_metrics_have_names_in_any_script():
    for name in ("точность", "f1.macro", "ε+1"):
        assert load_registry([entry("good", harness_tasks=hookimpl(_tasks(task(name=name))))]).names("task") == ["t"]


def _tasks(spec):
    def harness_tasks():
        yield spec

    return harness_tasks


def hook_named(name, make):
    function = types.FunctionType(make.__code__, {"compressor": compressor}, name)
    return hookimpl(function)


def one():
    yield compressor()


def test_bundled_plugins_load_through_the_entry_points_and_none_is_broken():
    registry = load_registry()
    assert registry.broken == {}
    assert {"finetune", "kd", "mse", "hidden", "constrained", "guarantee", "dice"} == set(registry.names("distiller"))
    assert {"transformer", "lstm", "sru", "srupp"} <= set(registry.names("student"))
    assert registry.entry("compressor", "onnx-int8").full_name == "harness/onnx-int8"
    assert registry.get("compressor", "harness/onnx-int8") is registry.get("compressor", "onnx-int8")


def test_a_broken_import_is_named_and_the_rest_loads():
    points = [
        EntryPoint("gone", "no_such_module.plugin", "harness"),
        entry("good", harness_compressors=hook_named("harness_compressors", one)),
    ]
    registry = load_registry(points)
    assert registry.names("compressor") == ["squeeze"]
    assert registry.broken == {"no_such_module unknown (gone)": "ModuleNotFoundError: No module named 'no_such_module'"}
    with pytest.raises(
        PluginError, match=r"Plugin 'no_such_module unknown \(gone\)' failed to load: ModuleNotFoundError"
    ):
        registry.get("compressor", "int4")


def test_a_misspelt_hook_is_an_error_of_that_plugin():
    registry = load_registry([entry("typo", harness_compressor=hook_named("harness_compressor", one))])
    assert list(registry.broken.values()) == [
        "PluginError: implements unknown hook 'harness_compressor'. Did you mean 'harness_compressors'?"
    ]


def test_a_hook_that_raises_or_yields_another_thing_is_contained():
    def raises():
        raise RuntimeError("boom\x1b[31m\nsecond line")
        yield

    def odd():
        yield "not a spec"

    points = [
        entry("raises", harness_compressors=hook_named("harness_compressors", raises)),
        entry("odd", harness_compressors=hook_named("harness_compressors", odd)),
    ]
    broken = load_registry(points).broken
    assert "harness_compressors: RuntimeError: boom" in broken["fake_raises unknown (raises)"]
    assert "yielded str, expected CompressorSpec" in broken["fake_odd unknown (odd)"]


def test_two_providers_of_one_name_are_an_error_that_lists_both():
    pair = tuple(Registered(compressor(), Provider(name, "1")) for name in ("alpha", "beta"))
    registry = Registry({"compressor": pair})
    with pytest.raises(PluginError) as caught:
        registry.get("compressor", "squeeze")
    assert str(caught.value) == (
        "two plugins provide compressor 'squeeze': alpha 1 and beta 1. Write one of 'alpha/squeeze', 'beta/squeeze'"
    )
    assert registry.entry("compressor", "beta/squeeze").provider.distribution == "beta"


def test_an_unknown_name_suggests():
    with pytest.raises(PluginError) as caught:
        build_registry([compressor()]).get("compressor", "squeze")
    assert str(caught.value) == "'squeze' is not a known compressor. Did you mean 'squeeze'? Known: 'squeeze'"


@pytest.mark.parametrize("name", ["Bad", "", "a b", "../x", "a\nb", "a\x1b[2J", "x" * 65, "-x", 7, None])
def test_names_are_plain(name):
    def bad():
        yield compressor(NAME)  # noqa: F821

    function = types.FunctionType(bad.__code__, {"compressor": compressor, "NAME": name}, "harness_compressors")
    registry = load_registry([entry("names", harness_compressors=hookimpl(function))])
    assert registry.names("compressor") == []
    assert "is not allowed" in next(iter(registry.broken.values()))


GOOD = hook_named("harness_compressors", one)


def hook(name, *yielded, then=None):
    """A hook of that name that yields these, and then raises, perhaps."""

    def generate():
        yield from yielded
        if then is not None:
            raise then

    generate.__name__ = name
    return hookimpl(generate)


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError


def spec(**changes):
    return replace(compressor("other"), **changes)


def takes_an_argument():
    @hookimpl
    def harness_tasks(registry):
        yield

    return harness_tasks


def not_marked():
    def harness_tasks():
        yield

    return harness_tasks


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"harness_tasks": takes_an_argument()}, r"'harness_tasks' takes 'registry': .*write `def harness_tasks\(\):`"),
        ({"harness_tasks": not_marked()}, r"'harness_tasks' is not marked as a hook: write @harness.hookimpl above it"),
        ({"harness_observer": hook("harness_observer")}, "unknown hook 'harness_observer'. Did you mean 'harness_observers'?"),
        ({"harness_tasks": hookimpl(lambda: None)}, "harness_tasks: TypeError: 'NoneType' object is not iterable"),
        ({"harness_tasks": hook("harness_tasks", compressor())}, "harness_tasks: .*yielded CompressorSpec, expected TaskSpec"),
        ({"harness_tasks": hook("harness_tasks", then=ValueError("boom"))}, "harness_tasks: ValueError: boom"),
        ({"harness_tasks": hook("harness_tasks", then=SystemExit(3))}, "harness_tasks: SystemExit: 3"),
        ({"harness_tasks": hook("harness_tasks", then=Unspeakable())}, "harness_tasks: Unspeakable$"),
        ({"harness_compressors": hook("harness_compressors", spec(), then=ValueError("boom"))}, "ValueError: boom"),
        ({"harness_compressors": hook("harness_compressors", spec(), spec())}, "two of its compressors are called 'other'"),
        ({"harness_compressors": hook("harness_compressors", spec(summary="\x1b[2Jgone"))}, r"summary of 'other' is '\\x1b"),
        ({"harness_compressors": hook("harness_compressors", spec(summary="a\nb"))}, "one printable line of at most 200"),
        ({"harness_compressors": hook("harness_compressors", spec(summary="x" * 201))}, "one printable line of at most 200"),
        ({"harness_compressors": hook("harness_compressors", spec(summary=None))}, "summary of 'other' is 'None'"),
        ({"harness_compressors": hook("harness_compressors", spec(reference="\u202ehttps"))}, "reference of 'other' is"),
        ({"harness_compressors": hook("harness_compressors", spec(params=dict))}, "expected a class derived from harness.Params"),
        ({"harness_compressors": hook("harness_compressors", spec(name="a" * 10**6))}, "name 'aaaa.* is not allowed"),
        ({"harness_compressors": hook("harness_compressors", spec(consumes="torch"))},
         r"consumes of 'other' is 'torch', expected tuple\[str, ...\]: a comma makes it one$"),
        ({"harness_compressors": hook("harness_compressors", spec(libraries=(1,)))}, r"libraries of 'other' is \(1,\), expected"),
        ({"harness_compressors": hook("harness_compressors", spec(version="1"))}, "version of 'other' is '1', expected int"),
        ({"harness_compressors": hook("harness_compressors", spec(supports=None))}, r"supports of 'other' is None, expected Call"),
        ({"harness_compressors": hook("harness_compressors", spec(factory="other.Other"))},
         "factory of 'other' is 'other.Other', expected 'package.module:attribute'"),
        ({"harness_distillers": hook("harness_distillers", DistillerSpec(
            name="other", summary="", version=1, factory="a:B", heads=("tokens",), needs_teacher=True))},
         r"heads of 'other' is \('tokens',\), .*; Head is one of 'nested-token', 'sequence', 'span', 'token'"),
    ],
)  # fmt: skip
def test_what_one_plugin_gets_wrong_is_named_and_the_rest_works(content, why):
    registry = load_registry([entry("good", harness_compressors=GOOD), entry("bad", **content)])
    ((who, reason),) = registry.broken.items()
    assert who == "fake_bad unknown (bad)"
    assert re.search(why, reason), reason
    assert reason.isprintable()
    assert len(reason) < 400
    assert registry.names("compressor") == ["squeeze"]


def test_the_line_of_a_plugin_that_raises_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fake_line.py").write_text(
        "from harness import CompressorSpec, hookimpl\n"
        "@hookimpl\n"
        "def harness_compressors():\n"
        "    yield CompressorSpec(consume=('torch',))\n"
    )
    (tmp_path / "fake_import.py").write_text("import os\nimport fake_nowhere\n")
    points = [EntryPoint(name, name, "harness") for name in ("fake_line", "fake_import")]
    broken = load_registry(points).broken
    assert broken["fake_line unknown (fake_line)"].endswith("argument 'consume' (fake_line, line 4)")
    assert broken["fake_import unknown (fake_import)"].endswith("No module named 'fake_nowhere' (fake_import, line 2)")


def test_one_broken_hook_leaves_a_plugins_others_and_two_are_both_named():
    both = {"harness_tasks": hook("harness_tasks", 1), "harness_students": hook("harness_students", 2)}
    registry = load_registry([entry("half", harness_compressors=GOOD, **both)])
    (reason,) = registry.broken.values()
    assert "harness_tasks: PluginError: yielded int" in reason
    assert "; harness_students: PluginError: yielded int" in reason
    assert registry.names("compressor") == ["squeeze"]


def test_a_distribution_that_has_a_name_twice_keeps_the_first():
    class Dist:
        name, version = "twice", "1"

    points = [entry(name, harness_compressors=hook_named("harness_compressors", one)) for name in ("a", "b")]
    points = [point._for(Dist()) for point in points]
    registry = load_registry(points)
    assert registry.entry("compressor", "squeeze").full_name == "twice/squeeze"
    assert list(registry.broken) == ["twice 1 (b)"]
    assert "two of its compressors are called 'squeeze'" in registry.broken["twice 1 (b)"]


def test_what_a_plugin_prints_while_it_loads_is_no_data(capsys):
    def talkative():
        sys.stdout.write("hello")
        yield compressor()

    load_registry([entry("talk", harness_compressors=hookimpl(talkative))])
    said = capsys.readouterr()
    assert said.out == ""
    assert "hello" in said.err


def test_hostile_params_are_described_harmlessly_or_named(monkeypatch):
    class Loud(Params):
        speed: int = Field(1, description="\x1b[2J\u202eevil")

    class Unwilling(Params):
        speed: int = 1

        @classmethod
        def model_json_schema(cls, *args, **options):
            raise RuntimeError("no\x1b[2J")

    made = build_registry(
        [compressor("plain"), replace(compressor("loud"), params=Loud), replace(compressor("mute"), params=Unwilling)]
    )
    monkeypatch.setattr("harness.cli.list_command.load_registry", lambda: made)
    from harness.cli.list_command import command

    shown = CliRunner().invoke(command, ["compressors", "loud"])
    assert "\\x1b[2J\\u202eevil" in shown.stdout
    assert "\x1b" not in shown.stdout
    refused = CliRunner().invoke(command, ["compressors", "mute"])
    assert isinstance(refused.exception, PluginError)
    assert str(refused.exception) == "compressor 'mute' (test 0) cannot describe its params: RuntimeError: no\\x1b[2J"


def test_an_import_string_that_leads_nowhere_names_itself():
    with pytest.raises(PluginError, match="'no.where:X' cannot be imported"):
        load_object("no.where:X")
    with pytest.raises(PluginError, match=r"no attribute 'Parms'\. Did you mean 'Params'\?"):
        load_object("harness.specs:Parms")


@pytest.mark.parametrize("kind", KINDS)
def test_every_bundled_component_is_described_and_its_factory_exists(kind):
    for registered in load_registry().components[kind]:
        spec = registered.spec
        assert spec.summary
        assert not spec.summary.endswith(".")
        assert spec.version >= 1
        assert issubclass(spec.params, Params)
        assert spec.execution_only <= set(spec.params.model_fields)
        load_object(spec.factory)


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [
                f"{node.module}.{alias.name}" if node.module == "harness" else node.module for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def test_plugins_use_public_names_only_and_the_core_knows_no_plugin():
    public = {f"harness.{name}" for name in harness.__all__}
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        own = path.relative_to(ROOT / "plugins").parts[0]
        for name in _imports(path):
            top = name.partition(".")[0]
            assert name in public if top == "harness" else not top.startswith("harness_") or top == own, (path, name)
    for path in sorted((ROOT / "harness").rglob("*.py")):
        assert not [name for name in _imports(path) if name.startswith("harness_")], path


def test_the_bundled_plugins_stand_in_the_same_entry_point_group_as_any():
    values = {point.value for point in entry_points(group="harness")}
    assert {f"{folder.name}.plugin" for folder in (ROOT / "plugins").iterdir() if folder.is_dir()} <= values


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_every_hook_has_a_contract_with_an_example(hook):
    from harness import hookspecs

    text = getattr(hookspecs, hook).__doc__
    assert "Example::" in text
    assert f"def {hook}():" in text
