"""The clock. It times calls from arrays to arrays and from text to answer, and knows nothing of what answers.

`forward` is arrays to arrays; `request` is encode + collate + forward + read + answer. Times are milliseconds per
example, whatever number of windows it has; those of the workload `fixed` are per batch.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from harness.errors import StageError

if TYPE_CHECKING:
    from harness.specs import Arrays, Encoded, Example

NS_PER_MS = 1e6
DECIMALS = 3  # of the outputs that are hashed


class Answerer(Protocol):
    """A loaded artifact with its encoder and its task's decoding. `forward` returns when the device has finished."""

    def encode(self, examples: list[Example]) -> list[Encoded]:
        """Text to windows of natural length, those of an example together, in order."""

    def collate(self, windows: list[Encoded], length: int | None = None) -> Arrays:
        """One batch, padded to its longest, or to `length`."""

    def forward(self, arrays: Arrays) -> Arrays:
        """What the model makes of a batch."""

    def read(self, windows: list[Encoded], outputs: Arrays) -> list[Any]:
        """What it said about each window."""

    def answer(self, examples: list[Example], windows: list[Encoded], said: list[Any]) -> list[Any]:
        """One answer per example."""


@dataclass
class Pass:
    """One pass over a draw, in nanoseconds: per request for `single`, per batch for `batch`."""

    around: int = 0  # `batch` encodes and answers the whole draw in one call each
    forward: list[int] = field(default_factory=list)
    request: list[int] = field(default_factory=list)


Keep = Callable[["Arrays"], None]


def single_pass(answerer: Answerer, examples: Sequence[Example], keep: Keep | None) -> Pass:
    """Answer each example by itself, each window at its natural length."""
    taken = Pass()
    for example in examples:
        start = time.perf_counter_ns()
        windows = answerer.encode([example])
        forward = 0
        said = []
        for window in windows:
            once, outputs = _forward(answerer, [window], keep)
            forward += once
            said += answerer.read([window], outputs)
        answerer.answer([example], windows, said)
        taken.request.append(time.perf_counter_ns() - start)
        taken.forward.append(forward)
    return taken


def batch_pass(answerer: Answerer, examples: Sequence[Example], batch_size: int, keep: Keep | None) -> Pass:
    """Encode all, sort windows by length, run them in batches that are padded to their longest, answer all."""
    start = time.perf_counter_ns()
    windows = answerer.encode(list(examples))
    order = sorted(range(len(windows)), key=lambda i: windows[i].length)
    taken = Pass(around=time.perf_counter_ns() - start)
    said: list[Any] = [None] * len(windows)
    for first in range(0, len(order), batch_size):
        mates = order[first : first + batch_size]
        begin = time.perf_counter_ns()
        forward, outputs = _forward(answerer, [windows[i] for i in mates], keep)
        for i, output in zip(mates, answerer.read([windows[i] for i in mates], outputs), strict=True):
            said[i] = output
        taken.request.append(time.perf_counter_ns() - begin)
        taken.forward.append(forward)
    begin = time.perf_counter_ns()
    answerer.answer(list(examples), windows, said)
    taken.around += time.perf_counter_ns() - begin
    return taken


def _forward(answerer: Answerer, windows: list[Encoded], keep: Keep | None) -> tuple[int, Arrays]:
    """(ns, outputs) of one batch."""
    arrays = answerer.collate(windows)
    begin = time.perf_counter_ns()
    outputs = answerer.forward(arrays)
    taken = time.perf_counter_ns() - begin
    if keep is not None:
        keep(outputs)
    return taken, outputs


def run_turn(
    answerer: Answerer, examples: Sequence[Example], batch_size: int | None, least_ms: float, hashed: bool = False
) -> dict[str, Any]:
    """Whole passes over the draw until `least_ms` have gone by; `batch_size` None: one by one.

    Returns JSON: `forward_ms`, `request_ms` (means per example over all passes), `passes`; for one-by-one answers
    `requests`, the same two for every request of the first pass; when `hashed`, `outputs`, the hash of the first
    pass's outputs. One untimed answer comes first: whoever waited finds its caches and thread pools cold.
    """
    digest = _Digest() if hashed else None
    gc.collect()
    gc.disable()
    try:
        single_pass(answerer, examples[:1], keep=None)
        passes = _passes(answerer, examples, batch_size, least_ms, digest)
    finally:
        gc.enable()
    turn: dict[str, Any] = {**_means(passes, len(examples)), "passes": len(passes)}
    if batch_size is None:
        turn["requests"] = {"forward_ms": _ms(passes[0].forward), "request_ms": _ms(passes[0].request)}
    return turn if digest is None else {**turn, "outputs": digest.hexdigest()}


def run_fixed(
    answerer: Answerer,
    examples: Sequence[Example],
    length: int | None,
    warmups: int,
    runs: int,
    hashed: bool = False,
) -> dict[str, Any]:
    """Forward passes of one batch: the first windows of the examples, as many as there are examples.

    Every row is padded to `length`, or to the longest. Returns JSON: `runs_ms`, one time per timed pass after `warmups`
    untimed ones; `shape`, [rows, tokens]; when hashed, `outputs`. StageError when a window does not fit.
    """
    windows = answerer.encode(list(examples))[: len(examples)]
    longest = max(window.length for window in windows)
    if length is not None and longest > length:
        msg = (
            f"measure.speed.fixed: the batch has a row of {longest} tokens, and length = {length}: nothing is cut; "
            f"set length to {longest} or more, or lower task.max_length"
        )
        raise StageError(msg)
    arrays = answerer.collate(windows, length)
    taken: list[int] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(warmups):
            answerer.forward(arrays)
        for _ in range(runs):
            begin = time.perf_counter_ns()
            outputs = answerer.forward(arrays)
            taken.append(time.perf_counter_ns() - begin)
    finally:
        gc.enable()
    turn: dict[str, Any] = {"runs_ms": _ms(taken), "shape": [len(windows), longest if length is None else length]}
    return {**turn, "outputs": _hash(outputs)} if hashed else turn


def run_work(answerer: Answerer, examples: Sequence[Example], least_ms: float) -> dict[str, Any]:
    """Whole passes over the draw, one by one, for at least `least_ms`; returns the number of `examples` answered."""
    end = time.perf_counter_ns() + least_ms * NS_PER_MS
    passes = 0
    while not passes or time.perf_counter_ns() < end:
        single_pass(answerer, examples, keep=None)
        passes += 1
    return {"examples": passes * len(examples)}


def _hash(outputs: Arrays) -> str:
    digest = _Digest()
    digest.update(outputs)
    return digest.hexdigest()


def _passes(
    answerer: Answerer, examples: Sequence[Example], batch_size: int | None, least_ms: float, digest: _Digest | None
) -> list[Pass]:
    end = time.perf_counter_ns() + least_ms * NS_PER_MS
    passes: list[Pass] = []
    while not passes or time.perf_counter_ns() < end:
        keep = digest.update if digest is not None and not passes else None
        if batch_size is None:
            passes.append(single_pass(answerer, examples, keep))
        else:
            passes.append(batch_pass(answerer, examples, batch_size, keep))
    return passes


class _Digest:
    """sha256 over outputs in the order in which they were given, rounded: what was timed is what was answered."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, outputs: Arrays) -> None:
        for name in sorted(outputs):
            rounded = np.round(np.asarray(outputs[name], dtype=np.float32), DECIMALS) + 0.0  # + 0: no negative zero
            self._hash.update(f"{name}{rounded.shape}".encode() + rounded.tobytes())

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _means(passes: Sequence[Pass], examples: int) -> dict[str, float]:
    count = len(passes) * examples
    forward = sum(sum(taken.forward) for taken in passes)
    request = sum(taken.around + sum(taken.request) for taken in passes)
    return {"forward_ms": forward / count / NS_PER_MS, "request_ms": request / count / NS_PER_MS}


def _ms(times: Sequence[int]) -> list[float]:
    return [round(ns / NS_PER_MS, 6) for ns in times]
