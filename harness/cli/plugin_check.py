"""`harness plugin check`."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.common import talk
from harness.errors import PluginError, choices, did_you_mean, printable
from harness.plugins import Registry, load_registry

if TYPE_CHECKING:
    from harness.testing import Check, Finding

_NARROWEST = 24  # signs of a column that anybody reads


@click.command(
    name="check",
    epilog="""\b
Examples:
  harness plugin check my-int4
  harness plugin check onnxruntime --kind runtime
  harness plugin check my-int4 --json""",
)
@click.argument("name")
@click.option(
    "--kind",
    help="task, student, distiller, compressor, runtime, executor, reporter or observer; needed where components of "
    "several kinds share the name.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(name: str, kind: str | None, as_json: bool) -> int:
    """Check that an installed component keeps the contract of its kind: on toy models, offline.

    Exit codes: 0 nothing failed, 1 a check failed, 2 no such component.
    """
    from harness.testing import checks

    registry = load_registry()
    for who, why in registry.broken.items():
        talk(f"warning: plugin '{who}' failed to load: {why}")
    chosen = _kind(registry, name, kind)
    found = checks(chosen, name, registry)
    width = max(len(check.name) for check in found)
    results: list[tuple[Check, Finding, float]] = []
    for number, check in enumerate(found, start=1):
        _progress(f"[{number}/{len(found)}] {check.name} …")
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="harness-check-") as folder:
            finding = check.run(Path(folder))
        results.append((check, finding, time.monotonic() - start))
        _progress("")
        if not as_json:
            click.echo(_row(f"{check.name:{width}}  {finding.status:14}  ", printable(finding.note)))
    if as_json:
        click.echo(json.dumps(_as_json(registry, chosen, name, results), ensure_ascii=False, indent=1))
    failed = [check.name for check, finding, _ in results if finding.status == "failed"]
    unseen = sum(finding.status == "not applicable" for _, finding, _ in results)
    said = f", {unseen} not applicable: read why" if unseen else ""
    talk(f"{chosen} {name}: {len(results)} checks, {len(failed)} failed{_listed(failed)}{said}")
    return 1 if failed else 0


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _row(head: str, note: str) -> str:
    """One line for programs; for a terminal, a note as a column as wide as there is room."""
    room = shutil.get_terminal_size().columns - len(head)
    if not sys.stdout.isatty() or room < _NARROWEST:
        return f"{head}{note}".rstrip()
    return head + f"\n{' ' * len(head)}".join(textwrap.wrap(note, room))


def _kind(registry: Registry, name: str, kind: str | None) -> str:
    """The kind that was named, or the only one that has such a component. PluginError otherwise."""
    from harness.testing.kit import MODULES

    if kind is not None:
        return kind
    kinds = [
        one for one in MODULES if any(name in (e.spec.name, e.full_name) for e in registry.components.get(one, ()))
    ]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        msg = f"'{name}' is a {' and a '.join(kinds)}; say which with --kind"
        raise PluginError(msg)
    known = {one for kind in MODULES for one in registry.names(kind)}
    close = did_you_mean(name, known)
    broken = f" It may be one of {choices(registry.broken)}, which failed to load" if registry.broken else ""
    msg = f"no installed component is called '{name}'.{f'{close}{broken}' or ' `harness list` has all'}"
    raise PluginError(msg)


def _progress(text: str) -> None:
    """What is being looked at, in place, where somebody watches."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def _as_json(
    registry: Registry, kind: str, name: str, results: Sequence[tuple[Check, Finding, float]]
) -> dict[str, object]:
    entry = registry.entry(kind, name)
    return {
        "component": entry.full_name,
        "kind": kind,
        "version": entry.spec.version,
        "provider": str(entry.provider),
        "checks": [
            {"name": check.name, "summary": check.summary, **asdict(finding), "seconds": round(seconds, 2)}
            for check, finding, seconds in results
        ],
    }
