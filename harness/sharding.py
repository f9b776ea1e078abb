"""Predict stages in shards: which of a plan's it pays to answer with several workers at once. Pure.

A stage that is merged from shards has the key that it would have without: whoever reads it knows nothing of them. The
shards are stages of their own, so a run that was killed has kept those that it finished.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.estimate import Cost, duration
from harness.frontier import Frontier
from harness.keys import Stage
from harness.plan import Plan
from harness.runner import Outcome

SHORTEST = 30.0  # seconds that a shard answers at least: what is over sooner is not worth a worker's while
START = 10.0  # seconds until a shard's first answer (imports, model, encoding), where no like stage has said its own


@dataclass(frozen=True)
class Division:
    """A predict stage that runs as `count` shards, and what that changes; `cost` None: not known."""

    stage: Stage
    count: int
    cost: Cost | None

    def __str__(self) -> str:
        gain = f": about {duration(self.cost.seconds)} → {duration(wall(self.cost, self.count))}" if self.cost else ""
        return f"{self.count} shards  {self.stage.label}{gain}"


def with_shards(plan: Plan, counts: Mapping[str, int]) -> Plan:
    """The plan with the predict stages of these keys merged from so many shards, each of which comes before it."""
    stages: dict[str, Stage] = {}
    for key, stage in plan.stages.items():
        shards = shards_of(stage, counts[key]) if counts.get(key, 1) > 1 else ()
        keys = tuple(shard.key for shard in shards)
        merged = replace(stage, options={**stage.options, "shards": keys}, after=(*stage.after, *keys))
        stages |= {shard.key: shard for shard in shards} | {key: merged if shards else stage}
    return replace(plan, stages=stages)


def shards_of(stage: Stage, count: int) -> tuple[Stage, ...]:
    """The shards that make a predict stage."""
    return tuple(
        replace(
            stage,
            params={**stage.params, "shard": [number, count]},
            label=f"{stage.label} (shard {number + 1} of {count})",
        )
        for number in range(count)
    )


def gathered(plan: Plan, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """The outcomes of a plan with shards as if there were none: a stage whose shard failed has failed."""
    found = dict(outcomes)
    for key, stage in plan.stages.items():
        shards = {shard: ended for shard in stage.options.get("shards", ()) if (ended := found.pop(shard, None))}
        failed = next((shard for shard, ended in shards.items() if ended.status == "failed"), None)
        if failed and found[key].status == "not run":
            part = plan.stages[failed].label.removeprefix(f"{stage.label} ").strip("()")
            found[key] = replace(shards[failed], reason=f"{part}: {shards[failed].reason}")
        elif shards and key in found:
            found[key] = replace(found[key], seconds=found[key].seconds + sum(one.seconds for one in shards.values()))
    return found


# ---------------------------------------------------------------------------------------------------------- does it pay


def worthwhile(plan: Plan, costs: Mapping[str, Cost | None], capacity: int) -> dict[str, int]:
    """Which predict stages to shard, by key, and into how many: where workers would have nothing else to do.

    `costs`: of the stages that are to run; None: not known, and not sharded. Nothing is unless the whole plan ends
    sooner.
    """
    long = any(_most(plan.stages[key], cost) > 1 for key, cost in costs.items())
    if capacity < 2 or not long:
        return {}
    whole, _ = _schedule(plan, costs, capacity, most=1)
    sharded, counts = _schedule(plan, costs, capacity, most=capacity)
    return counts if sharded < whole else {}


def wall(cost: Cost, count: int) -> float:
    """Seconds that a predict stage takes as so many shards at once."""
    start = _start(cost)
    return start + (cost.seconds - start) / count


def _start(cost: Cost) -> float:
    return min(cost.seconds, START if cost.start is None else cost.start)


def _most(stage: Stage, cost: Cost | None) -> int:
    """How many shards are worth their start: each answers for longer than it prepares itself."""
    if stage.kind != "predict" or cost is None:
        return 1
    return max(1, int((cost.seconds - _start(cost)) / max(SHORTEST, _start(cost))))


def _schedule(plan: Plan, costs: Mapping[str, Cost | None], capacity: int, most: int) -> tuple[float, dict[str, int]]:
    """Seconds until all is done but measurements, as the runner would do it, and what was sharded.

    A stage that can be sharded gets its share of the workers that are free when it starts. What is of unknown cost
    takes as long as the longest, so that nobody counts on the workers that it may need.
    """
    longest = max((cost.seconds for cost in costs.values() if cost), default=0.0)
    place = {key: number for number, key in enumerate(plan.stages)}
    done = plan.stages.keys() - costs.keys()
    front = Frontier(plan.stages, done.__contains__)
    for key in costs:
        front.add(key)
    ready: list[tuple[int, str]] = []  # heaps
    running: list[tuple[float, int, str, int]] = []
    clock, free, counts = 0.0, capacity, dict[str, int]()
    while True:
        while stage := front.next(exclusive=False):
            front.remove(stage.key)
            heapq.heappush(ready, (place[stage.key], stage.key))
        while free and ready:
            share = free // len(ready)
            _, key = heapq.heappop(ready)
            cost = costs[key]
            count = max(1, min(share, most, _most(plan.stages[key], cost)))
            counts |= {key: count} if count > 1 else {}
            free -= count
            seconds = longest if cost is None else wall(cost, count) if count > 1 else cost.seconds
            heapq.heappush(running, (clock + seconds, place[key], key, count))
        if not running:
            return clock, counts
        clock = running[0][0]
        while running and running[0][0] == clock:
            _, _, key, count = heapq.heappop(running)
            free += count
            done.add(key)
            front.made(key)
