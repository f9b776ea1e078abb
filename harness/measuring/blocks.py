"""A measurement group: the anchor, its twin and rows, measured in randomised blocks in warm processes.

A block is one draw of inputs that everybody answers, in an order of its own; one runs while all others are stopped. So
whatever drifts (frequency, temperature, neighbours on the host) meets all alike, and ratios are taken within blocks.
The twin is the anchor's artifact once more: what the two differ by is noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import StageError
from harness.measuring.energy import ROUNDS, CounterError, Meter, find_meter
from harness.measuring.machine import detect, observe
from harness.measuring.process import TIMEOUT_S, Subject, SubjectError, SubjectProcess

if TYPE_CHECKING:
    from harness.suite.types import EnergyConfig, SpeedConfig

ANCHOR, TWIN = "anchor", "twin"
MS_PER_S = 1000
MEMORY = "VmHWM of a fresh process: the most that was resident at once, interpreter, libraries and examples included"
Progress = Callable[[int, int, str], None]  # steps done, steps in all, what comes next


@dataclass
class _Row:
    """A subject under measurement: its process while it has one, its results so far, why it failed."""

    name: str
    subject: Subject
    process: SubjectProcess | None = None
    cold: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    turns: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    energy: list[dict[str, Any]] | dict[str, str] | None = None
    reason: str | None = None

    def ask(self, do: str, **arguments: Any) -> dict[str, Any] | None:
        """The reply; None when it has failed, now or before. StageError when the anchor fails."""
        if self.process is None:
            return None
        try:
            return self.process.ask(do, **arguments)
        except SubjectError as error:
            self.fail(str(error))
            return None

    def work(self, **arguments: Any) -> dict[str, Any] | None:
        """The reply while energy is counted. Who fails here has been timed: only its energy is not measured."""
        if self.process is None:
            return None
        try:
            return self.process.ask("work", **arguments)
        except SubjectError as error:
            self.process.close()
            self.process, self.energy = None, {"not measured": str(error)}
            return None

    def fail(self, reason: str) -> None:
        """Note the reason and end the process; the others go on, unless it was the anchor: all ratios need it."""
        if self.process is not None:
            self.process.close()
        self.process, self.reason = None, reason
        if self.name == ANCHOR:
            msg = f"the anchor '{self.subject.label}' could not be measured, so no ratio can be formed: {reason}"
            raise StageError(msg)


@dataclass(frozen=True)
class _Plan:
    """What is to be measured, resolved."""

    config: SpeedConfig
    meter: Meter | None  # None: energy was not asked for
    energy_s: float
    threads: int
    examples: Path
    count: int  # of examples
    seed: int
    timeout_s: float

    @property
    def drawn(self) -> list[str]:
        """The workloads that are measured in blocks, each a draw of its own."""
        return [workload for workload in self.config.workloads if workload != "fixed"]

    @property
    def repeats(self) -> int:
        """Of the workload `fixed`."""
        return self.config.fixed.repeats if "fixed" in self.config.workloads else 0

    @property
    def steps(self) -> int:
        """What each row does, for whoever watches."""
        energy = ROUNDS if self.meter and self.meter.counters else 0
        return 1 + self.config.blocks * len(self.drawn) + self.repeats + energy


def measure_group(
    anchor: Subject,
    rows: Sequence[Subject],
    config: SpeedConfig,
    examples: Path,
    seed: int = 0,
    progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
    energy: EnergyConfig | None = None,
) -> dict[str, Any]:
    """Measure the anchor, its twin and the rows over `examples` (JSON lines).

    Returns JSON: `threads`; `blocks`, each with its `draw` (indices of examples) and the `orders` of rows by workload;
    `observed` `before` and `after`; and `anchor`, `twin`, `rows` (by label), each {status: "failed", label, reason} or
    {status: "ok", label, cold_start, memory, workloads}. A workload holds, one per block, `forward_ms` and `request_ms`
    (means per example) and `passes`; `outputs`, the hash of its first pass; for `single` also `requests`, the times of
    each request of each block's first pass. Times are ms, memory MiB.

    `fixed` is no part of the blocks: `repeats` holds its orders, and its workload, one per repeat, `batch_ms` (the mean
    of the runs) and `runs_ms`, and once `shape`, [rows, tokens], and `outputs`.

    When energy is asked for, `energy` is {"not measured": reason}, or {method, counters, idle} with the windows
    {joules, seconds} of doing nothing, one per round; then each result has `energy`: its windows, one per round, with
    the number of `examples`, or {"not measured": reason} when it failed only then.

    A subject that fails before is a failed row. StageError when it is the anchor, or there are no examples.
    """
    names = [ANCHOR, TWIN, *(row.label for row in rows)]
    if len(set(names)) != len(names):
        msg = f"labels of rows must differ from each other and from '{ANCHOR}' and '{TWIN}': {names[2:]}"
        raise ValueError(msg)
    plan = _plan(config, energy, examples, seed, timeout_s)
    measured = [_Row(name, subject) for name, subject in zip(names, [anchor, anchor, *rows], strict=True)]
    steps = _Steps(progress, len(measured) * plan.steps)
    before = observe()
    with ExitStack() as stack:
        stack.callback(_close_all, measured)
        for row in measured:
            steps.next(f"start {row.subject.label}")
            _open(row, plan)
        done: dict[str, Any] = {"blocks": [_run_block(measured, plan, n, steps) for n in range(config.blocks)]}
        if plan.repeats:
            done["repeats"] = [_repeat(measured, plan, n, steps) for n in range(plan.repeats)]
        _finish(measured)
        if plan.meter:
            done["energy"] = _count_energy(measured, plan, plan.meter, steps)
    results = {row.name: _result(row) for row in measured}
    return {
        "threads": plan.threads,
        **done,
        "observed": {"before": asdict(before), "after": asdict(observe())},
        "anchor": results.pop(ANCHOR),
        "twin": results.pop(TWIN),
        "rows": results,
    }


class _Steps:
    """Counts what is done, for whoever watches."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def next(self, what: str) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total, what)
        self._done += 1


def _plan(config: SpeedConfig, energy: EnergyConfig | None, examples: Path, seed: int, timeout_s: float) -> _Plan:
    with examples.open(encoding="utf-8") as lines:
        count = sum(1 for line in lines if line.strip("\n"))
    if not count:
        msg = f"{examples}: no example to measure with"
        raise StageError(msg)
    threads = config.threads or detect().identity.usable_cores
    return _Plan(
        config=config,
        meter=find_meter() if energy else None,
        energy_s=energy.seconds if energy else 0.0,
        threads=threads,
        examples=examples,
        count=count,
        seed=seed,
        timeout_s=timeout_s,
    )


def _open(row: _Row, plan: _Plan) -> None:
    """Start a row's process, take its cold start, warm it up on draws of each workload, leave it stopped.

    With `warmup = "all"` on those of all blocks: some runtimes compile anew for every length that they meet.
    """
    try:
        row.process = SubjectProcess(row.subject, plan.threads, plan.examples, plan.timeout_s)
    except SubjectError as error:
        row.fail(str(error))
        return
    row.memory = {"how": MEMORY, "loaded_mib": row.process.opened["loaded_mib"]}
    row.cold = {"ready_ms": row.process.ready_ms, "load_ms": row.process.opened["load_ms"], **(row.ask("first") or {})}
    for block in range(plan.config.blocks if plan.config.warmup == "all" else 1):
        draw, _ = _draw(plan, block)
        for workload in plan.drawn:
            row.ask("turn", **{**_turn(plan, workload, draw), **({"least_ms": 0.0} if block else {})})


def _run_block(measured: Sequence[_Row], plan: _Plan, block: int, steps: _Steps) -> dict[str, Any]:
    """Every row answers the block's draw once per workload, in random order."""
    draw, rng = _draw(plan, block)
    orders: dict[str, list[str]] = {}
    for workload in plan.drawn:
        order = [measured[i] for i in rng.permutation(len(measured))]
        orders[workload] = [row.name for row in order]
        for row in order:
            steps.next(f"block {block + 1} of {plan.config.blocks}, {workload}: {row.subject.label}")
            reply = row.ask("turn", **_turn(plan, workload, draw), hashed=block == 0)
            if reply is not None:
                row.turns.setdefault(workload, []).append(reply)
    return {"draw": draw, "orders": orders}


def _repeat(measured: Sequence[_Row], plan: _Plan, repeat: int, steps: _Steps) -> list[str]:
    """Every row runs the one batch, in random order: the first rows of the first examples. Returns the order."""
    fixed = plan.config.fixed
    first = np.resize(np.arange(plan.count), fixed.batch_size).tolist()
    batch = {"draw": first, "length": fixed.length, "warmups": fixed.warmups, "runs": fixed.runs}
    order = [measured[i] for i in np.random.default_rng([plan.seed, repeat, 1]).permutation(len(measured))]
    for row in order:
        steps.next(f"repeat {repeat + 1} of {plan.repeats}, fixed: {row.subject.label}")
        reply = row.ask("fixed", **batch, hashed=repeat == 0)
        if reply is not None:
            row.turns.setdefault("fixed", []).append(reply)
    return [row.name for row in order]


def _count_energy(measured: Sequence[_Row], plan: _Plan, meter: Meter, steps: _Steps) -> dict[str, Any]:
    """In each round an idle window, then one in which each row answers one draw, one by one; rows in random order."""
    if not meter.counters:
        return {"not measured": meter.reason}
    idle: list[dict[str, Any]] = []
    worked: dict[str, list[dict[str, Any]]] = {row.name: [] for row in measured}
    seconds = plan.energy_s / ROUNDS
    request = {"draw": _draw(plan, block=0)[0][: plan.config.inputs], "least_ms": seconds * MS_PER_S}
    rng = np.random.default_rng([plan.seed, 0, 2])
    try:
        for window in range(ROUNDS):
            idle.append(asdict(meter.window(partial(time.sleep, seconds))[1]))
            for row in [measured[i] for i in rng.permutation(len(measured))]:
                steps.next(f"window {window + 1} of {ROUNDS}, energy: {row.subject.label}")
                reply, counted = meter.window(partial(row.work, **request))
                if reply is not None:
                    worked[row.name].append({**asdict(counted), **reply})
    except CounterError as error:
        for row in measured:
            row.energy = None
        return {"not measured": str(error)}
    for row in measured:
        row.energy = row.energy or worked[row.name]
    return {"method": meter.method, "counters": meter.names, "idle": idle}


def _draw(plan: _Plan, block: int) -> tuple[list[int], np.random.Generator]:
    """The block's inputs, and the generator for its orders. All different while there are enough examples."""
    rng = np.random.default_rng([plan.seed, block])
    size = plan.config.inputs
    if "batch" in plan.config.workloads:  # whole batches only
        size = -(-size // plan.config.batch_size) * plan.config.batch_size
    return np.resize(rng.permutation(plan.count), size).tolist(), rng


def _turn(plan: _Plan, workload: str, draw: list[int]) -> dict[str, Any]:
    batch_size = {"single": None, "batch": plan.config.batch_size}[workload]
    inputs = draw[: plan.config.inputs] if workload == "single" else draw
    return {"draw": inputs, "batch_size": batch_size, "least_ms": plan.config.turn_ms}


def _finish(measured: Sequence[_Row]) -> None:
    for row in measured:
        row.memory |= row.ask("finish") or {}


def _close_all(measured: Sequence[_Row]) -> None:
    for row in measured:
        if row.process is not None:
            row.process.close()


def _result(row: _Row) -> dict[str, Any]:
    if row.reason is not None:
        return {"status": "failed", "label": row.subject.label, "reason": row.reason}
    return {
        "status": "ok",
        "label": row.subject.label,
        "cold_start": row.cold,
        "memory": row.memory,
        "workloads": {name: (_fixed if name == "fixed" else _columns)(turns) for name, turns in row.turns.items()},
        **({"energy": row.energy} if row.energy is not None else {}),
    }


def _fixed(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One dict per repeat → one list per quantity."""
    runs = [turn["runs_ms"] for turn in turns]
    once = {name: turns[0][name] for name in ("shape", "outputs")}
    return {"batch_ms": [sum(repeat) / len(repeat) for repeat in runs], "runs_ms": runs, **once}


def _columns(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One dict per block → one list per quantity."""
    columns: dict[str, Any] = {name: [turn[name] for turn in turns] for name in ("forward_ms", "request_ms", "passes")}
    columns["outputs"] = turns[0]["outputs"]
    if "requests" in turns[0]:
        times = [turn["requests"] for turn in turns]
        columns["requests"] = {name: [ms for block in times for ms in block[name]] for name in times[0]}
    return columns
