"""May a machine elsewhere run a stage? What it says of itself, beside what the stages of a plan need.

A key names versions, instruction sets and machines: a result that another kind of machine makes under it would be a
lie, so those are never let pass. Versions that no key names may be allowed to differ.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import platform
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.assets import bundled_here
from harness.heartbeats import read, take_over
from harness.keys import Stage, canonical
from harness.store import Store, write_atomic

MachineDescription = Mapping[str, Any]  # JSON: it travels
_SHOWN = 3  # differing versions in a message


@contextlib.contextmanager
def store_sign(store: Store) -> Iterator[str]:
    """A token, in a file of the store for as long as this lasts: who sees it sees the same store."""
    token = uuid.uuid4().hex
    beat = take_over(_sign(store, token), {"sign": token})  # it beats: a clean-up leaves it to workers that come late
    try:
        yield token
    finally:
        beat.end()


def _sign(store: Store, token: str) -> Path:
    return store.claims / f".{token}.sign"


def machine_question(store: Store, token: str, stages: Sequence[Stage]) -> dict[str, Any]:
    """What to ask a machine, as JSON, for `describe_machine`; `token`: of `store_sign`."""
    return {
        "store": str(store.root.absolute()),
        "token": token,
        "libraries": sorted({name for stage in stages for name in stage.libraries}),
        "paths": sorted({path for stage in stages for path in _paths(stage)}),
    }


def describe_machine(question: Mapping[str, Any]) -> dict[str, Any]:
    """This machine, for a run elsewhere."""
    from harness.measuring.machine import detect, versions

    machine, store = detect(), Store(Path(question["store"]))
    return {
        "host": platform.node(),
        "isa": machine.isa,
        "identity": machine.identity_key(),
        "cores": machine.identity.usable_cores,
        "cpus": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
        "versions": own_versions(),
        "libraries": versions(question["libraries"]),
        "sees": _sees(store, question["token"]),
        "missing": [path for path in question["paths"] if not Path(path).exists()],
    }


def _sees(store: Store, token: str) -> bool:
    """Can it read what the run has written there, and write there itself?"""
    said, mine = read(_sign(store, token)), _sign(store, uuid.uuid4().hex)
    try:
        write_atomic(mine, "")
        mine.unlink()
    except OSError:
        return False
    return said is not None and said.content.get("sign") == token


def own_versions() -> dict[str, str]:
    """Of what runs a stage besides the libraries that keys name: Python, the harness with its code, all plugins."""
    from harness.plugins import load_registry

    registry = load_registry()
    providers = {str(entry.provider) for entries in registry.components.values() for entry in entries}
    found = dict(provider.rpartition(" ")[::2] for provider in providers)
    return {
        **found,
        "python": ".".join(map(str, sys.version_info[:2])),
        "harness": f"{found.get('harness', '?')} ({_code_digest()})",
    }


@functools.cache
def _code_digest() -> str:
    """Of the harness's sources: an installation that follows a checkout has one version for many states."""
    spec = importlib.util.find_spec("harness")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return f"code {found.hexdigest()[:8]}"


def _paths(stage: Stage) -> Iterator[str]:
    """Files outside the store that a stage reads; those of installed packages each machine has at its own place."""
    assets = [*stage.options.get("assets", {}).values()]
    assets += [stage.options["asset"]] if isinstance(stage.options.get("asset"), Mapping) else []
    for asset in assets:
        if isinstance(asset, Mapping) and "path" in asset and bundled_here(asset) == asset:
            yield str(asset["path"])


def machine_faults(
    who: str, found: MachineDescription, question: Mapping[str, Any], *, any_version: bool = False
) -> list[str]:
    """Why a machine may run no stage at all: place, what was found, what to do; empty where it may."""
    if not found["sees"]:
        return [
            f"{who} does not share the store: there is no '{question['store']}' that it may write to, or it is another "
            "folder. Mount it there under the same path, or set HARNESS_STORE to a folder that all machines share"
        ]
    lines = []
    if found["missing"]:
        first, more = found["missing"][0], len(found["missing"]) - 1
        lines.append(
            f"{who} does not see '{first}'{f' and {more} more' if more else ''}, which stages read: mount it there, or "
            "give the data and the checkpoints a place that all machines share (HARNESS_DATA_DIR, HARNESS_MODELS_DIR)"
        )
    if not any_version and (differ := _differences(own_versions(), found["versions"])):
        lines.append(
            f"{who} has other versions: {'; '.join(differ)}. Install the same there, or allow it with "
            "--set executor.allow_versions=true"
        )
    return lines


def _differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    names = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    lines = [f"{name} {theirs.get(name, 'absent')}, here {ours.get(name, 'absent')}" for name in names]
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"and {len(lines) - _SHOWN} more"]


def stage_misfit(stage: Stage, found: MachineDescription) -> str | None:
    """Why a machine may not run this stage; None where it may."""
    other = {name: found["libraries"].get(name) for name, version in stage.libraries.items()
             if found["libraries"].get(name) != version}  # fmt: skip
    if other:
        name, version = next(iter(other.items()))
        return f"{name} {version} instead of {stage.libraries[name]}"
    if "isa" in stage.facets and stage.facets["isa"] != found["isa"]:
        return f"instructions {found['isa']} instead of {stage.facets['isa']}"
    if "machine" in stage.facets and canonical(stage.facets["machine"]) != canonical(found["identity"]):
        return f"another kind of machine ({found['identity']['cpu']}, {found['identity']['logical_cores']} cores)"
    return None


def stages_without_machine(stages: Sequence[Stage], machines: Mapping[str, MachineDescription]) -> list[str]:
    """Stages that none of the machines may run, by reason; empty where each has a place."""
    lines: dict[str, list[str]] = {}
    for stage in stages:
        reasons = {who: stage_misfit(stage, found) for who, found in machines.items()}
        if None not in reasons.values():
            first = next(iter(reasons))
            lines.setdefault(f"{first} has {reasons[first]}", []).append(stage.label)
    return [_homeless(reason, labels, len(machines)) for reason, labels in lines.items()]


def _homeless(reason: str, labels: list[str], machines: int) -> str:
    more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
    others = f", and none of the {machines - 1} others fits" if machines > 1 else ""
    return (
        f"no worker may run '{labels[0]}'{more}: {reason}{others}. What their keys name has to be so where they run: "
        "start the run on a machine like the workers', or workers like this one"
    )
