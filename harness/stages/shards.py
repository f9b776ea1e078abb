"""A predict stage in shards: what each stores about its windows, and how they become what one stage would have said.

Shards answer the batches that one stage would form, so what they say together is the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import (
    Predictions,
    read_examples,
    read_json,
    read_predictions,
    read_states,
    write_json,
    write_predictions,
    write_states,
)
from harness.errors import StageError
from harness.heads import rules
from harness.specs import Encoded, Facts
from harness.stages import Work
from harness.store import Entry

_WINDOWS, _SAID = "windows.json", "said"
_COMMON = ("examples", "windows", "tokens", "cut", "batch")  # facts about all windows, whoever answers them


@dataclass(frozen=True)
class _Shard:
    numbers: Sequence[int]  # of its windows, among all
    examples: Sequence[int]  # that they were cut from
    predictions: Predictions  # about windows as if they were examples
    folder: Path


def write_shard(
    folder: Path, windows: Sequence[Encoded], said: Sequence[Any], states: Mapping[int, Sequence[Any]]
) -> None:
    """Store what a shard said, None: what others say; states as they are, for the rounding is the merge's."""
    own = [number for number, one in enumerate(said) if one is not None]
    examples = [number if (example := windows[number].example) is None else int(example) for number in own]
    write_json(folder / _WINDOWS, {"windows": own, "examples": examples})
    if own:  # there may be more shards than batches
        write_predictions(folder / _SAID, [str(number) for number in own], [said[number] for number in own])
    for layer, found in states.items() if own else ():
        whole = np.concatenate([np.atleast_2d(found[number]) for number in own])
        np.save(folder / _SAID / f"states.{layer}.npy", whole, allow_pickle=False)


def merge(work: Work) -> Facts:
    """Output `out`: predictions, as from one stage. StageError where shards do not make a whole."""
    facts = _common(work.shards)
    shards = [shard for entry in work.shards if (shard := _read(entry.folder / "out"))]
    head = rules(work.registry.task(work.options["task"]["use"]).head)
    examples, windows = read_examples(work.inputs["data"]), _windows(shards, int(facts["windows"]))

    def joined(values: Sequence[Predictions]) -> list[Any]:
        return head.join(windows, _in_order(shards, values, len(windows)), len(examples))

    out, layers = work.out / "out", work.stage.params.get("states", ())
    write_predictions(out, [example["id"] for example in examples], joined([one.predictions for one in shards]))
    states = {n: write_states(out, n, joined([_states(one, n) for one in shards])) for n in layers}
    return {**facts, **({"states": states} if states else {}), **_cost(work.shards)}


def _common(entries: Sequence[Entry]) -> dict[str, Any]:
    found = [{name: entry.facts[name] for name in _COMMON} for entry in entries]
    if any(one != found[0] for one in found):
        msg = "its shards did not read the same windows of the same data: the encoder gives others each time"
        raise StageError(msg)
    return found[0]


def _read(folder: Path) -> _Shard | None:
    """None: there was no batch for it."""
    index = read_json(folder / _WINDOWS)
    if not index["windows"]:
        return None
    predictions = read_predictions(folder / _SAID, [{"id": str(number)} for number in index["windows"]])
    return _Shard(index["windows"], index["examples"], predictions, folder / _SAID)


def _windows(shards: Sequence[_Shard], count: int) -> list[Encoded]:
    """All windows in their order, as far as joining asks. StageError unless each was answered once."""
    pairs = sorted(pair for shard in shards for pair in zip(shard.numbers, shard.examples, strict=True))
    if [number for number, _ in pairs] != list(range(count)):
        msg = f"its shards answered {len(pairs)} windows, not each of {count} once"
        raise StageError(msg)
    return [Encoded(arrays={}, length=0, example=example) for _, example in pairs]


def _in_order(shards: Sequence[_Shard], values: Sequence[Predictions], count: int) -> list[Any]:
    """What was said about each window."""
    found: list[Any] = [None] * count
    for shard, predictions in zip(shards, values, strict=True):
        for number, one in zip(shard.numbers, predictions.per_example(), strict=True):
            found[number] = one
    return found


def _states(shard: _Shard, layer: int) -> Predictions:
    return read_states(shard.predictions, shard.folder, layer)


def _cost(entries: Sequence[Entry]) -> Facts:
    """What the shards took, in seconds: without it, the stage would seem to cost nothing."""
    sums = {name: round(sum(entry.facts[name] for entry in entries), 3) for name in ("start_seconds", "cpu_seconds")}
    seconds = round(sum(entry.seconds for entry in entries), 3)
    return {"shards": {"count": len(entries), "seconds": seconds, **sums}}
