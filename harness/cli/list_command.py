"""`harness list`."""

from __future__ import annotations

import json
from typing import Any

import click

from harness.cli.common import talk
from harness.cli.task_card import card
from harness.errors import PluginError, SuiteError, choices, did_you_mean, in_a_line, printable
from harness.keys import Json
from harness.plugins import KINDS, Registered, Registry, load_registry
from harness.specs import TaskSpec


@click.command(
    name="list",
    epilog="""\b
Examples:
  harness list
  harness list compressors
  harness list compressors onnx-int8
  harness list reporters latex
  harness list tasks sentiment --source mine.csv""",
)
@click.argument("kind", required=False)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.option("--source", help="Of a task: the data to describe instead of its own or its bundled sample.")
def command(kind: str | None, name: str | None, as_json: bool, source: str | None) -> int:
    """List tasks, students, distillers, compressors, runtimes, executors, reporters and observers, or describe one.

    A description has the params; a task's has its data, too.
    """
    registry = load_registry()
    kinds = [_kind(kind)] if kind else list(KINDS)
    for who, why in registry.broken.items():
        talk(f"warning: plugin '{who}' failed to load: {why}")
    if name:
        entry = registry.entry(kinds[0], name)
        click.echo(json.dumps(_describe(entry), ensure_ascii=False, indent=1) if as_json else _card(entry))
        if isinstance(entry.spec, TaskSpec) and not as_json:
            click.echo("\n".join(card(entry.spec, source)))
    elif as_json:
        found = {k: [_describe(entry) for entry in registry.components[k]] for k in kinds}
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        _table(registry, kinds)
    return 0


def _kind(word: str) -> str:
    singular = word.removesuffix("s")
    if singular not in KINDS:
        plural = [f"{kind}s" for kind in KINDS]
        msg = f"'{word}' is not a kind of component.{did_you_mean(word, plural)} Known: {choices(plural)}"
        raise SuiteError(msg)
    return singular


def _table(registry: Registry, kinds: list[str]) -> None:
    for kind in kinds:
        click.echo(f"{kind}s")
        for entry in registry.components[kind]:
            click.echo(f"  {entry.spec.name:14} {entry.spec.summary}  [{entry.provider}]")


def _describe(entry: Registered) -> dict[str, Json]:
    spec = entry.spec
    return {
        "name": spec.name,
        "full_name": entry.full_name,
        "kind": spec.kind,
        "summary": spec.summary,
        "version": spec.version,
        "provider": str(entry.provider),
        "reference": spec.reference,
        "params": _params(entry),
    }


def _params(entry: Registered) -> dict[str, Json]:
    try:
        found: dict[str, Json] = entry.spec.params.model_json_schema().get("properties", {})
    except Exception as error:
        about = f"{entry.spec.kind} '{entry.spec.name}' ({entry.provider})"
        msg = f"{about} cannot describe its params: {in_a_line(error)}"
        raise PluginError(msg) from error
    return found


def _card(entry: Registered) -> str:
    facts = _describe(entry)
    lines = [f"{facts['kind']} {facts['name']} (version {facts['version']}, {facts['provider']})", facts["summary"]]
    lines += [f"reference: {facts['reference']}"] if facts["reference"] else []
    lines += ["params:"] if facts["params"] else ["no params"]
    lines += [f"  {name:22} {_type(schema)}" for name, schema in facts["params"].items()]
    return "\n".join(map(printable, lines))


def _type(schema: dict[str, Any]) -> str:
    options = schema.get("anyOf") or [schema]
    names = [str(o.get("enum") or o.get("type", "value")) for o in options]
    default = f", default {json.dumps(schema['default'], ensure_ascii=False)}" if "default" in schema else ", required"
    said = f"; {schema['description']}" if "description" in schema else ""
    return f"{' or '.join(names)}{default}{said}"
