"""What a plan will take, from what the stages in the store took."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
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


def estimate(stages: Iterable[Stage], store: Store) -> Estimate:
    """The sums, by the median of like stages: same label but for the seed, else same kind and component."""
    history = _history(itertools.islice(store.entries(), LOOK_AT))
    seconds, size, known, unknown = 0.0, 0, 0, 0
    for stage in stages:
        found = history.get(_name(stage.label)) or history.get(f"{stage.kind} {stage.component}")
        if found is None:
            unknown += 1
            continue
        known += 1
        seconds += median(entry.seconds for entry in found)
        size += int(median(entry.bytes for entry in found))
    return Estimate(seconds, size, known, unknown)


def _history(entries: Iterable[Entry]) -> Mapping[str, list[Entry]]:
    history: dict[str, list[Entry]] = {}
    for entry in entries:
        history.setdefault(_name(str(entry.manifest["label"])), []).append(entry)
        history.setdefault(f"{entry.manifest['kind']} {entry.manifest['component']}", []).append(entry)
    return history


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
