"""What a plan will take, from what the stages in the store took."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from harness.keys import Stage
from harness.store import Entry, Store

LOOK_AT = 2000  # entries; more would slow the plan down and say little


@dataclass(frozen=True)
class Estimate:
    """Sums over the stages to run. `unknown` stages have no like in the store and are not in the sums."""

    seconds: float
    bytes: int
    known: int
    unknown: int

    def __str__(self) -> str:
        if not self.known:
            return "no estimate: nothing like these stages was run here yet"
        more = f", plus {self.unknown} stages of unknown cost" if self.unknown else ""
        return f"about {duration(self.seconds)} of work and {self.bytes / 2**20:.0f} MiB on disk{more}"


@dataclass(frozen=True)
class Cost:
    """What a stage takes, done by one worker at once."""

    seconds: float
    bytes: int
    start: float | None = None  # of the seconds, those before a predict stage's first answer; None: not known


def estimate(stages: Iterable[Stage], store: Store) -> Estimate:
    """The sums of `costs`."""
    found = costs(stages, store).values()
    known = [cost for cost in found if cost]
    seconds, size = sum(cost.seconds for cost in known), sum(cost.bytes for cost in known)
    return Estimate(seconds, size, len(known), len(found) - len(known))


def costs(stages: Iterable[Stage], store: Store) -> dict[str, Cost | None]:
    """By key, the median of like stages: same label but for the seed, else same kind and component; None: no like."""
    history = _history(itertools.islice(store.entries(), LOOK_AT))

    def cost(stage: Stage) -> Cost | None:
        like = history.get(_name(stage.label)) or history.get(f"{stage.kind} {stage.component}")
        return _median(like) if like else None

    return {stage.key: cost(stage) for stage in stages}


def _median(costs: Sequence[Cost]) -> Cost:
    starts = [cost.start for cost in costs if cost.start is not None]
    return Cost(
        seconds=median(cost.seconds for cost in costs),
        bytes=int(median(cost.bytes for cost in costs)),
        start=median(starts) if starts else None,
    )


def _history(entries: Iterable[Entry]) -> Mapping[str, list[Cost]]:
    history: dict[str, list[Cost]] = {}
    for entry in entries:
        if cost := _cost(entry):
            history.setdefault(_name(str(entry.manifest["label"])), []).append(cost)
            history.setdefault(f"{entry.manifest['kind']} {entry.manifest['component']}", []).append(cost)
    return history


def _cost(entry: Entry) -> Cost | None:
    """Of a stage merged from shards, what it would have taken as a whole; of a shard None, for it is not one."""
    facts = entry.facts if entry.manifest["kind"] == "predict" else {}
    if "shard" in facts:
        return None
    if shards := facts.get("shards"):
        start = shards["start_seconds"] / shards["count"]
        return Cost(entry.seconds - start * (shards["count"] - 1), entry.bytes, start)
    return Cost(entry.seconds, entry.bytes, facts.get("start_seconds"))


def _name(label: str) -> str:
    return re.sub(r"seed \d+", "seed", label)


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
