"""One data set answered by two workers in two shards, merged, against one worker that answers all of it.

Every stage has one thread; loading, encoding, storing and merging are part of it on both sides, imports are not. Random
weights, because what is computed does not depend on them; the shards' result is compared with the other, byte for byte.
Where other work takes the cores, their times say little; so what the stages took of a CPU is compared, too: all of it
at once with the longest shard and the merge. TEXTS sets how many (6,000 reviews of the quickstart, over and over).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.assets import Places
from harness.data import read_examples, write_examples
from harness.executors.local import LocalExecutor
from harness.executors.running import run_stage
from harness.keys import Ref, Stage
from harness.plan import Context, Plan
from harness.planner import make_plan
from harness.plugins import load_registry
from harness.sharding import with_shards
from harness.store import Entry, Store
from harness.suite import parse_suite

SHARDS, ROUNDS, WARM = 2, 3, 64
WANTED = 0.85  # of SHARDS times as fast
SUITE = """
schema = 1
[suite]
name = "sharding"
anchor = { model = "teacher", compress = "none" }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/quickstart"
[models.teacher]
use = "transformer"
hidden_size = 312
layers = 3
heads = 12
train = { distil = "finetune" }
[matrix]
seed = [1]
[measure]
speed = false
"""


def run() -> Iterator[str]:
    count = int(os.environ.get("TEXTS", "6000"))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.create()
        warm, stage = _stages(store, (WARM, count))
        taken: dict[int, list[_Taken]] = {1: [], SHARDS: []}
        for _ in range(ROUNDS):
            for shards, found in taken.items():
                found.append(_timed(store, stage, shards, warm))
    same = (
        "the same bytes" if len({str(one.files) for found in taken.values() for one in found}) == 1 else "OTHER BYTES"
    )
    wall, cpu = (
        [min(getattr(one, name) for one in found) for found in taken.values()] for name in ("seconds", "cpu_seconds")
    )
    yield (
        f"{count} texts: {wall[0]:.1f} s at once, {wall[1]:.1f} s in {SHARDS} shards (least of {ROUNDS}, in turn): "
        f"{wall[0] / wall[1]:.2f}× as fast, efficiency {wall[0] / wall[1] / SHARDS:.2f} (wanted: at least {WANTED}); "
        f"{cpu[0]:.1f} and {cpu[1]:.1f} s of a CPU: {cpu[0] / cpu[1] / SHARDS:.2f}; {same}"
    )


@dataclass(frozen=True)
class _Taken:
    seconds: float
    cpu_seconds: float  # of the longest shard and the merge, one after the other
    files: Mapping[str, Any]


def _stages(store: Store, counts: Sequence[int]) -> list[Stage]:
    """Predict stages of one built model about so many texts, whose inputs are in the store."""
    registry = load_registry()
    context = Context(
        registry=registry, places=Places(store.root), machine={"isa": "", "identity": {}}, library_version=lambda name: "1"
    )  # fmt: skip
    plan = make_plan(parse_suite(SUITE, registry), context)
    prepared, built, predict = (
        next(stage for stage in plan.stages.values() if stage.kind == kind) for kind in ("prepare", "build", "predict")
    )
    for stage in (prepared, built):
        if (done := run_stage(stage, store, 1, registry=registry)).kind == "failed":
            raise SystemExit(done.reason)
    examples = read_examples(store.path(Ref(prepared.key, "train")))
    made = []
    for count in counts:
        data = replace(prepared, params={"roles": ["test"], "count": count})
        with store.stage(data.key) as out:
            texts = [{**examples[n % len(examples)], "id": str(n)} for n in range(count)]
            write_examples(out / "test", texts)
            store.publish(data, out, {}, 0.0, "now")
        made.append(replace(predict, inputs={"artifact": Ref(built.key), "data": Ref(data.key, "test")}))
    return made


def _timed(store: Store, stage: Stage, shards: int, warm: Stage) -> _Taken:
    """On as many workers, which have imported what they need."""
    executor = LocalExecutor(store, capacity=shards, threads=1)
    try:
        _answered(store, executor, warm, shards)
        began = time.perf_counter()
        *parts, whole = _answered(store, executor, stage, shards)
        seconds = time.perf_counter() - began
    finally:
        executor.close()
    longest = max((part.facts["cpu_seconds"] for part in parts), default=0.0)
    return _Taken(seconds, whole.facts["cpu_seconds"] + longest, whole.manifest["files"])


def _answered(store: Store, executor: LocalExecutor, stage: Stage, shards: int) -> list[Entry]:
    """The entries, that of the whole last."""
    plan = with_shards(Plan(suite=None, cells=(), stages={stage.key: stage}), {stage.key: shards})  # type: ignore[arg-type]
    for key in plan.stages:
        store.discard(key)
    *parts, whole = plan.stages.values()
    for together in (parts, [whole]):
        for one in together:
            executor.submit(one)
        left = len(together)
        while left:
            ended = [event for event in executor.wait(5) if event.kind != "progress"]
            if failed := [event.reason for event in ended if event.kind == "failed"]:
                raise SystemExit(failed[0])
            left -= len(ended)
    return [entry for key in plan.stages if (entry := store.entry(key))]
