"""`harness doctor`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from harness.cli.common import LIBRARIES, open_store
from harness.errors import refused
from harness.measuring.energy import find_meter
from harness.measuring.machine import Machine, detect, versions
from harness.plugins import Registry, load_registry
from harness.store_probe import NEEDED, PREFIX, what_is_wrong

LEAST_DISK_GIB = 5.0


@click.command(
    name="doctor",
    epilog="""\b
Examples:
  harness doctor
  harness doctor --json""",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(as_json: bool) -> int:
    """Check this machine, the plugins, the offline roots and the store; exit 1 when something will not work."""
    machine, registry, meter = detect(), load_registry(), find_meter()
    roots = {name: os.environ.get(name) for name in ("HARNESS_DATA_DIR", "HARNESS_MODELS_DIR", "HARNESS_STORE")}
    found = _checks(machine, registry, roots)
    if as_json:
        energy = {"counters": meter.names, "missing": list(meter.missing)}
        facts = {"machine": machine.as_json(), "energy": energy, "versions": versions(LIBRARIES), "roots": roots}
        click.echo(json.dumps({**facts, "checks": found}, ensure_ascii=False, indent=1))
    else:
        identity = machine.identity
        click.echo(f"machine   {identity.cpu}, {identity.logical_cores} logical cores, {identity.memory_gib} GiB")
        click.echo(f"          {identity.isa}; GPU: {', '.join(identity.gpus) or 'none'}")
        click.echo(f"energy    {', '.join(meter.names) or f'cannot be measured ({meter.reason})'}")
        click.echo("versions  " + ", ".join(f"{name} {v}" for name, v in versions(LIBRARIES).items()))
        for check in found:
            click.echo(f"{check['state']:9} {check['text']}")
    return 1 if any(check["state"] == "problem" for check in found) else 0


def _checks(machine: Machine, registry: Registry, roots: dict[str, str | None]) -> list[dict[str, Any]]:
    checks = [_disk(), *(_root(name, value) for name, value in roots.items() if name != "HARNESS_STORE")]
    checks += [
        {"state": "problem", "text": f"plugin '{n}' failed to load: {why}"} for n, why in registry.broken.items()
    ]
    checks.append({"state": "ok", "text": f"{sum(map(len, registry.components.values()))} components registered"})
    load = machine.observations.load_average
    if load and load[0] > machine.identity.logical_cores / 2:
        checks.append({"state": "warning", "text": f"load {load[0]}: something else is running; timings will be noisy"})
    if machine.observations.governor not in (None, "performance"):
        text = f"CPU governor '{machine.observations.governor}': timings drift; 'performance' is steadier"
        checks.append({"state": "warning", "text": text})
    if "vnni" not in machine.isa and "amx" not in machine.isa and machine.isa.startswith("x86"):
        text = f"{machine.isa}: no VNNI; int8 gains little and is quantized to 7 bits to stay correct"
        checks.append({"state": "warning", "text": text})
    return checks


def _disk() -> dict[str, Any]:
    root = open_store().root.absolute()
    place = next(parent for parent in (root, *root.parents) if os.path.lexists(parent))
    if not place.is_dir():
        return {"state": "problem", "text": f"store {root}: {place} is no folder; set HARNESS_STORE to another"}
    free = shutil.disk_usage(place).free / 2**30
    wrong = _unfit(place) or ("" if free >= LEAST_DISK_GIB else f"less than {LEAST_DISK_GIB:g} GiB may not last")
    state, why = ("problem", f"; {wrong}") if wrong else ("ok", ", renames are whole")
    return {"state": state, "text": f"store {root}: {free:.0f} GiB free{why}"}


def _unfit(place: Path) -> str | None:
    """What the store would be refused for there, as a run finds it; None: nothing."""
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place) as folder:
            kept = Path(folder) / "kept"
            kept.mkdir()
            wrong = what_is_wrong(Path(folder), kept)
    except OSError as error:
        return f"not writable: {refused(error) or error}"
    return wrong and f"{wrong}. Needed: {NEEDED}"


def _root(name: str, value: str | None) -> dict[str, Any]:
    if value is None:
        return {"state": "ok", "text": f"{name} is not set: data and checkpoints come from paths and the hub"}
    if not Path(value).is_dir():
        return {"state": "problem", "text": f"{name}={value} is not a folder"}
    inside = sorted(p.name for p in Path(value).iterdir() if p.is_dir())
    return {"state": "ok", "text": f"{name}={value} holds {', '.join(inside[:12]) or 'nothing'}"}
