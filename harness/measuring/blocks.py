"""A measurement group: the anchor, its twin and rows, measured in randomised blocks in warm processes.

A block is one draw of inputs that everybody answers, in an order of its own; one runs while all others are stopped. So
whatever drifts (frequency, temperature, neighbours on the host) meets all alike, and ratios are taken within blocks.
The twin is the anchor's artifact once more: what the two differ by is noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import StageError
from harness.measuring.machine import detect, observe
from harness.measuring.process import TIMEOUT_S, Subject, SubjectError, SubjectProcess

if TYPE_CHECKING:
    from harness.suite.types import SpeedConfig

ANCHOR, TWIN = "anchor", "twin"
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
    threads: int
    examples: Path
    count: int  # of examples
    seed: int
    timeout_s: float


def measure_group(
    anchor: Subject,
    rows: Sequence[Subject],
    config: SpeedConfig,
    examples: Path,
    seed: int = 0,
    progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """Measure the anchor, its twin and the rows over `examples` (JSON lines).

    Returns JSON: `threads`; `blocks`, each with its `draw` (indices of examples) and the `orders` of rows by workload;
    `observed` `before` and `after`; and `anchor`, `twin`, `rows` (by label), each {status: "failed", label, reason} or
    {status: "ok", label, cold_start, memory, workloads}. A workload holds, one per block, `forward_ms` and `request_ms`
    (means per example) and `passes`; `outputs`, the hash of its first pass; for `single` also `requests`, the times of
    each request of each block's first pass. Times are ms, memory MiB.

    A subject that fails is a failed row. StageError when the anchor fails, or there are no examples.
    """
    names = [ANCHOR, TWIN, *(row.label for row in rows)]
    if len(set(names)) != len(names):
        msg = f"labels of rows must differ from each other and from '{ANCHOR}' and '{TWIN}': {names[2:]}"
        raise ValueError(msg)
    plan = _plan(config, examples, seed, timeout_s)
    measured = [_Row(name, subject) for name, subject in zip(names, [anchor, anchor, *rows], strict=True)]
    steps = _Steps(progress, len(measured) * (1 + config.blocks * len(config.workloads)))
    before = observe()
    with ExitStack() as stack:
        stack.callback(_close_all, measured)
        for row in measured:
            steps.next(f"start {row.subject.label}")
            _open(row, plan)
        blocks = [_run_block(measured, plan, block, steps) for block in range(config.blocks)]
        _finish(measured)
    results = {row.name: _result(row) for row in measured}
    return {
        "threads": plan.threads,
        "blocks": blocks,
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


def _plan(config: SpeedConfig, examples: Path, seed: int, timeout_s: float) -> _Plan:
    with examples.open(encoding="utf-8") as lines:
        count = sum(1 for line in lines if line.strip("\n"))
    if not count:
        msg = f"{examples}: no example to measure with"
        raise StageError(msg)
    threads = config.threads or detect().identity.usable_cores
    return _Plan(config=config, threads=threads, examples=examples, count=count, seed=seed, timeout_s=timeout_s)


def _open(row: _Row, plan: _Plan) -> None:
    """Start a row's process, take its cold start, warm it up on a draw of each workload, leave it stopped."""
    try:
        row.process = SubjectProcess(row.subject, plan.threads, plan.examples, plan.timeout_s)
    except SubjectError as error:
        row.fail(str(error))
        return
    row.memory = {"how": MEMORY, "loaded_mib": row.process.opened["loaded_mib"]}
    row.cold = {"ready_ms": row.process.ready_ms, "load_ms": row.process.opened["load_ms"], **(row.ask("first") or {})}
    draw, _ = _draw(plan, block=0)
    for workload in plan.config.workloads:
        row.ask("turn", **_turn(plan, workload, draw))


def _run_block(measured: Sequence[_Row], plan: _Plan, block: int, steps: _Steps) -> dict[str, Any]:
    """Every row answers the block's draw once per workload, in random order."""
    draw, rng = _draw(plan, block)
    orders: dict[str, list[str]] = {}
    for workload in plan.config.workloads:
        order = [measured[i] for i in rng.permutation(len(measured))]
        orders[workload] = [row.name for row in order]
        for row in order:
            steps.next(f"block {block + 1} of {plan.config.blocks}, {workload}: {row.subject.label}")
            reply = row.ask("turn", **_turn(plan, workload, draw), hashed=block == 0)
            if reply is not None:
                row.turns.setdefault(workload, []).append(reply)
    return {"draw": draw, "orders": orders}


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
        "workloads": {workload: _columns(turns) for workload, turns in row.turns.items()},
    }


def _columns(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One dict per block → one list per quantity."""
    columns: dict[str, Any] = {name: [turn[name] for turn in turns] for name in ("forward_ms", "request_ms", "passes")}
    columns["outputs"] = turns[0]["outputs"]
    if "requests" in turns[0]:
        times = [turn["requests"] for turn in turns]
        columns["requests"] = {name: [ms for block in times for ms in block[name]] for name in times[0]}
    return columns
