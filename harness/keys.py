"""A stage is plain data, and its key is what its result depends on: sha256 of canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.specs import Params, Spec

Json = Any
# Stage kind → version of the core's own part of it; absent: 1. Bumped when results change.
CORE: Mapping[str, int] = {}


def canonical(value: Json) -> str:
    """One text per value: sorted keys, no spaces, no NaN. Raises ValueError for what JSON cannot say."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def digest(value: Json) -> str:
    """sha256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@dataclass(frozen=True, order=True)
class Ref:
    """One named output of a stage."""

    key: str
    output: str = "out"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One cached step, executable by any worker that has the same plugins.

    The fields of `identity` make the key; `options` is what the worker needs besides and cannot change the result
    (paths of assets, params in full, batch sizes of inference).
    """

    kind: str
    component: str  # the plugin component's full name, or "core"
    version: int
    params: Mapping[str, Json] = field(default_factory=dict)  # those that differ from their defaults
    seed: int | None = None
    inputs: Mapping[str, Ref] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)  # asset name → fingerprint
    libraries: Mapping[str, str] = field(default_factory=dict)
    facets: Mapping[str, Json] = field(default_factory=dict)  # of the machine, where the result depends on it
    options: Mapping[str, Json] = field(default_factory=dict)
    label: str = ""
    exclusive: bool = False  # runs alone on the machine
    after: tuple[str, ...] = ()  # keys of stages that must have gone well first; no part of the result
    key: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", digest(self.identity))

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of all stages that come before this one."""
        return (*(ref.key for ref in self.inputs.values()), *self.after)

    @property
    def identity(self) -> dict[str, Json]:
        """What the result depends on; stands beside the result as `key.json`."""
        core = {"core": CORE[self.kind]} if self.kind in CORE else {}
        return {
            **core,
            "kind": self.kind,
            "component": self.component,
            "version": self.version,
            "params": dict(self.params),
            "seed": self.seed,
            "inputs": {name: [ref.key, ref.output] for name, ref in self.inputs.items()},
            "data": dict(self.data),
            "libraries": dict(self.libraries),
            "facets": dict(self.facets),
        }

    def as_json(self) -> dict[str, Json]:
        """All of it, for a worker."""
        rest = {"options": dict(self.options), "label": self.label, "exclusive": self.exclusive, "after": self.after}
        return {**self.identity, **rest, "key": self.key}


def stage_from_json(data: Mapping[str, Json]) -> Stage:
    """The inverse of `Stage.as_json`."""
    fields = {name: value for name, value in data.items() if name != "key"}
    fields["after"] = tuple(data["after"])
    fields["inputs"] = {name: Ref(*pair) for name, pair in data["inputs"].items()}
    return Stage(**fields)


def identity_params(spec: Spec, params: Params, leave_out: frozenset[str] = frozenset()) -> dict[str, Json]:
    """The params that belong in a key: set, different from their default, able to change a result."""
    skip = spec.execution_only | leave_out
    return {name: value for name, value in changed(params).items() if name not in skip}


def changed(params: Params) -> dict[str, Json]:
    """Params that differ from their defaults, as JSON."""
    return params.model_dump(mode="json", exclude_defaults=True)


def written(params: Params) -> dict[str, Json]:
    """Params as somebody wrote them, for a worker: sent in full, those that exclude each other would clash."""
    return params.model_dump(mode="json", exclude_unset=True)


def differences(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[str]:
    """Why two identities differ, one line per field: `params.epochs: 2 → 3`."""
    lines = []
    for name in sorted(set(old) | set(new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            lines += [f"{name}.{line}" for line in differences(before, after)]
        else:
            lines.append(f"{name}: {_short(before)} → {_short(after)}")
    return lines


def _short(value: Json) -> str:
    text = canonical(value)
    return text if len(text) <= 60 else text[:57] + "…"
