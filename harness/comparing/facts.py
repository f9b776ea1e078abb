"""What two runs recorded about themselves that is not the same, and which of it enters a row's work.

What one of them did not record is no difference, except in a suite, where a missing key means its default.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from harness.comparing.model import About, Fact
from harness.comparing.sides import Axes, Opened
from harness.errors import PluginError
from harness.keys import canonical
from harness.plugins import Registry
from harness.suite.types import SpeedConfig

Json = Any
ABOUT: tuple[About, ...] = ("suite", "data", "libraries", "code", "machine", "measuring")  # nearest to a result first
WORK = ("task", "data", "models", "chains", "matrix", "anchor")  # tables of a suite that results depend on
LONGEST = 300  # characters of a name
LEFT_OUT = ("ids", "items", "examples")  # of data: the digest of the ids is shown under a name of its own
_RUNNERS = ("prepare", "build", "train", "compress", "predict", "score", "measure")


def differing(before: Opened, after: Opened) -> tuple[Fact, ...]:
    """Facts that differ, those nearest to a result first."""
    found = [_recorded(side) for side in (before, after)]
    return tuple(
        Fact(about=about, name=name, before=found[0][about].get(name, ""), after=found[1][about].get(name, ""))
        for about in ABOUT
        for name in dict.fromkeys((*found[0][about], *found[1][about]))
        if found[0][about].get(name, "") != found[1][about].get(name, "")
        and (about == "suite" or all(name in side[about] for side in found))
    )


def first_difference(before: Mapping[str, Json], after: Mapping[str, Json]) -> str:
    """The first stage of a row, `train.1`, whose key is another one for a shared seed; "" where all work is the same.

    Keys hold everything that a result depends on, so what comes before that stage explains nothing.
    """
    first: tuple[int, str] | None = None
    for seed in sorted(set(before) & set(after)):
        stages = [_work(side[seed]) for side in (before, after)]
        for at, pair in enumerate(_side_by_side(*stages)):
            if pair[0] != pair[1]:
                found = (at, next(name for name, _ in pair if name))
                first = found if first is None else min(first, found)
                break
    return "" if first is None else first[1]


def touching(facts: Sequence[Fact], axes: Axes, cell: Json, since: str, registry: Registry) -> tuple[str, ...]:
    """Names of the facts that enter the work of a row's cell, nearest first. Without other work: none."""
    if not since:
        return ()
    libraries = _libraries(cell, registry)
    models = {str(dict(axes).get("model")), *(name for step in cell["teachers"] for name in step)}
    chain = str(dict(axes).get("compress"))
    trained = not since.startswith(("compress", "predict", "score"))  # what was trained is as it was
    return tuple(
        fact.name
        for fact in facts
        if _touches(fact, models if trained else (), chain, libraries, set(dict(axes)) if trained else ())
    )


def _touches(fact: Fact, models: Collection[str], chain: str, libraries: set[str], axes: Collection[str]) -> bool:
    table, _, rest = fact.name.partition(".")
    if fact.about == "suite":
        owner = rest.partition(".")[0]
        swept = table == "matrix" and rest.startswith("sets.") and rest[len("sets.") :] in axes
        return table in ("task", "data", "set") or (table == "models" and owner in models) or swept or (
            table == "chains" and owner.partition("[")[0] == chain
        )  # fmt: skip
    if fact.about == "data":
        return bool(models)
    return (fact.about == "libraries" and fact.name in libraries) or fact.name in ("harness", "commit", "machine.isa")


def _libraries(cell: Json, registry: Registry) -> set[str]:
    """Whose version can change a result of the cell's components, as far as they are installed here."""
    used = [("student", cell["student"])]
    used += [("compressor", step["use"]) for step in cell["compress"]]
    used += [("runtime", cell["predict"]["use"])] if cell.get("predict") else []
    found: set[str] = set()
    for kind, name in used:
        try:
            found.update(registry.get(kind, str(name)).libraries)
        except PluginError:
            continue  # a component of the other machine: its own version stands among the code's facts
    return found


def _recorded(side: Opened) -> dict[About, dict[str, str]]:
    run = side.run
    identity = run["machine"].get("identity", {})
    commit = run["commit"]
    code = {"commit": commit["sha"], "uncommitted changes": commit["dirty"], "plugins": run["plugins"]}
    versions = dict(run["versions"])
    code["harness"] = versions.pop("harness", None)
    threads = sorted({document["threads"] for document in side.records.measurements.values()})
    speed = run["measure"]["speed"]
    measuring = {
        "threads": threads,
        "speed": speed and {"warmup": SpeedConfig.warmup, **speed},  # records of earlier versions do not say
        "anchor": run["anchor"],
    }
    return {
        "suite": _suite(run),
        "data": {name: text for n, data in enumerate(run["task"]["data"]) for name, text in _data(n, data)},
        "libraries": dict(_leaves(versions, "")),
        "code": dict(_leaves({name: value for name, value in code.items() if value is not None}, "")),
        "machine": dict(_leaves(identity, "machine")),
        "measuring": dict(_leaves(measuring, "")),
    }


def _suite(run: Json) -> dict[str, str]:
    """What decides results, key by key; of a text that is no TOML, the run's digest of it."""
    try:
        return _tables(run, tomllib.loads(run["suite"]["text"]))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {"digest": str(run["digest"])}


def _tables(run: Json, document: Json) -> dict[str, str]:
    task = {name: run["task"].get(name) for name in ("max_length", "source", "params")}  # with what --set changed
    overrides = dict.fromkeys(sorted(run["suite"]["set"]), True)
    tables = {name: document[name] for name in WORK if name in document}
    tables["task"] = {**{k: v for k, v in tables.get("task", {}).items() if k not in task}, **task}
    return dict(_leaves({**tables, **({"set": overrides} if overrides else {})}, ""))


def _data(number: int, data: Json) -> Iterator[tuple[str, str]]:
    """Of one source; the first has no number."""
    prefix = "test data" if number == 0 else f"data {number + 1}"
    if data.get("examples"):
        yield f"{prefix}: which test examples", str(data["examples"])[:12]
    yield from _leaves({name: value for name, value in data.items() if name not in LEFT_OUT}, prefix)


def _leaves(value: Json, path: str) -> Iterator[tuple[str, str]]:
    """`models.lstm.train.epochs` → `8`, as JSON; short lists whole. A path of a stranger's record may have no end."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _leaves(entry, (f"{path}.{name}" if path else str(name))[:LONGEST])
    elif isinstance(value, list) and any(isinstance(entry, dict | list) for entry in value):
        for number, entry in enumerate(value):
            yield from _leaves(entry, f"{path}[{number}]")
    elif value is not None:
        yield path, value if isinstance(value, str) else canonical(value)


def _work(cell: Json) -> list[tuple[str, str]]:
    """(name, key) of the cell's own stages in the order of data, without the measurement."""
    numbered = [(name, str(key)) for name, key in cell["stages"].items() if not name.startswith("measure")]
    return sorted(numbered, key=lambda pair: int(re.sub(r"\D", "", pair[0]) or 0))


def _side_by_side(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> Iterator[Any]:
    """Pairs in order; where one has more stages, beside nothing."""
    for at in range(max(len(one), len(other))):
        yield (one[at] if at < len(one) else ("", "")), (other[at] if at < len(other) else ("", ""))
