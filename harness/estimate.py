"""What a plan will take, from what the stages in the store took."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from harness.data import read_meta
from harness.keys import Ref, Stage
from harness.store import Entry, Store
from harness.training import STATE

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
    examples: int | None = None  # that a predict stage is about; None: not known

    def about(self, examples: int | None) -> Cost:
        """The same work about so many examples, as far as both numbers and the start are known."""
        if not (examples and self.examples and self.start is not None):
            return self
        ratio = examples / self.examples
        seconds = self.start + (self.seconds - self.start) * ratio
        return Cost(seconds, int(self.bytes * ratio), self.start, examples)


@dataclass
class History:
    """What stages took here, by the median of like ones.

    Like is the same label but for the seed, else but for the role of the data too, else the same kind and component.
    Answers are taken to cost as much per example; `examples`: how many prepared data hold, None: not known.
    """

    examples: Callable[[Ref], int | None] = field(default=lambda data: None)
    _taken: dict[str, list[Cost]] = field(default_factory=dict)
    _medians: dict[str, dict[int | None, Cost]] = field(default_factory=dict)  # until there is more to them

    def add(self, entry: Entry) -> None:
        """One more that was run."""
        if entry.is_shard:
            return
        cost = _cost(entry)
        for name in _alike(*(str(entry.manifest[name]) for name in ("kind", "component", "label"))):
            self._taken.setdefault(name, []).append(cost)
            self._medians.pop(name, None)

    def of(self, stage: Stage) -> Cost | None:
        """What a stage will take; None: no like was run here yet."""
        data = stage.inputs.get("data") if stage.kind == "predict" else None
        examples = self.examples(data) if data else None
        names = _alike(stage.kind, stage.component, stage.label)
        return next((self._median(name, examples) for name in names if name in self._taken), None)

    def _median(self, name: str, examples: int | None) -> Cost:
        known = self._medians.setdefault(name, {})
        if examples not in known:
            known[examples] = _median([cost.about(examples) for cost in self._taken[name]])
        return known[examples]


def history(store: Store) -> History:
    """Of the stages in a store."""
    counts: dict[Ref, int] = {}  # of data that are prepared, which stay as they are

    def examples(data: Ref) -> int | None:
        if data not in counts and (count := _examples(data, store)):
            counts[data] = count
        return counts.get(data)

    found = History(examples)
    for entry in itertools.islice(store.entries(), LOOK_AT):
        found.add(entry)
    return found


def _examples(data: Ref, store: Store) -> int | None:
    try:
        return read_meta(store.path(Ref(data.key, "meta"))).counts[data.output]
    except (OSError, ValueError, KeyError, TypeError):  # not prepared yet, or damaged, which a run will find
        return None


def estimate(stages: Iterable[Stage], store: Store) -> Estimate:
    """The sums of `costs`."""
    return summed(costs(stages, store).values())


def summed(costs: Iterable[Cost | None]) -> Estimate:
    """The sums of those that are known."""
    found = list(costs)
    known = [cost for cost in found if cost]
    seconds, size = sum(cost.seconds for cost in known), sum(cost.bytes for cost in known)
    return Estimate(seconds, size, len(known), len(found) - len(known))


def costs(stages: Iterable[Stage], store: Store) -> dict[str, Cost | None]:
    """By key, what stages will take; None: no like was run here yet."""
    known = history(store)
    return {stage.key: known.of(stage) for stage in stages}


def _median(costs: Sequence[Cost]) -> Cost:
    starts = [cost.start for cost in costs if cost.start is not None]
    return Cost(
        seconds=median(cost.seconds for cost in costs),
        bytes=int(median(cost.bytes for cost in costs)),
        start=median(starts) if starts else None,
    )


def _cost(entry: Entry) -> Cost:
    """Of a stage merged from shards, what it would have taken as a whole."""
    facts = entry.facts if entry.manifest["kind"] == "predict" else {}
    if shards := facts.get("shards"):
        start = shards["start_seconds"] / shards["count"]
        return Cost(entry.seconds - start * (shards["count"] - 1), entry.bytes, start, facts["examples"])
    return Cost(_seconds(entry), entry.bytes, facts.get("start_seconds"), facts.get("examples"))


def _seconds(entry: Entry) -> float:
    """Of a training all processes that worked on it: it may have been stopped and gone on."""
    epochs = entry.facts.get("epochs", ()) if entry.manifest["kind"] == "train" else ()
    return max(entry.seconds, sum(float(epoch["seconds"]) for epoch in epochs))


def remaining(stage: Stage, known: History, store: Store) -> float | None:
    """Seconds that a stage still takes; None: no like was run here yet, nor a part of it."""
    cost = known.of(stage)
    return _rest_of_training(stage, store) or (cost.seconds if cost else None)


def _rest_of_training(stage: Stage, store: Store) -> float | None:
    """Of one that was stopped, at its own pace; None where nothing of it is kept."""
    from safetensors import SafetensorError, safe_open

    state = Path(store.scratch, stage.key, STATE)
    if stage.kind != "train" or not state.exists():
        return None
    try:
        with safe_open(state, framework="np") as opened:
            notes = json.loads(opened.metadata()["notes"])
        seconds = notes["epoch_seconds"] + sum(epoch["seconds"] for epoch in notes["epochs"])
        return float(seconds / notes["step"] * (notes["total"] - notes["step"]))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, ZeroDivisionError):  # it starts over
        return None


def _alike(kind: str, component: str, label: str) -> list[str]:
    """What stages of the same cost have in common, the most telling first."""
    name = _name(label)
    model = name.rpartition(" on ")[0] if kind == "predict" else ""
    return [name, *([model] if model else []), f"{kind} {component}"]


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


def rough(seconds: float) -> str:
    """`45 s`, `25 min`, `2 h 5 min`, `6 h`: for what is only guessed."""
    if seconds < 89.5:
        return f"{max(seconds, 1):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{minutes} min"] if minutes or not hours else [])])


def needs(costs: Iterable[float | None]) -> str:
    """`about 25 min and 2 stages of unknown cost`: what stages amount to that take so many seconds, None unknown."""
    found = list(costs)
    known = [cost for cost in found if cost is not None]
    count = len(found) - len(known)
    unknown = [f"{count} {'stage' if count == 1 else 'stages'} of unknown cost"] if count else []
    return " and ".join([*([f"about {rough(sum(known))}"] if known else []), *unknown])
