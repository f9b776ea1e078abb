"""The clock. It times calls from arrays to arrays and from text to answer, and knows nothing of what answers.

`forward` is arrays to arrays; `request` is encode + collate + forward + decode. Times are milliseconds per example.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from harness.specs import Arrays, Encoded, Example

NS_PER_MS = 1e6
DECIMALS = 3  # of the outputs that are hashed


class Answerer(Protocol):
    """A loaded artifact with its encoder and its task's decoding. `forward` returns when the device has finished."""

    def encode(self, examples: list[Example]) -> list[Encoded]:
        """Text to arrays of natural length, in order."""

    def collate(self, encoded: list[Encoded]) -> Arrays:
        """One batch, padded to its longest."""

    def forward(self, arrays: Arrays) -> Arrays:
        """What the model makes of a batch."""

    def decode(self, examples: list[Example], encoded: list[Encoded], outputs: Arrays) -> list[Any]:
        """One answer per example."""


@dataclass
class Pass:
    """One pass over a draw, in nanoseconds: per request for `single`, per batch for `batch`."""

    encoding: int = 0  # `batch` encodes the whole draw in one call
    forward: list[int] = field(default_factory=list)
    request: list[int] = field(default_factory=list)


Keep = Callable[["Arrays"], None]


def single_pass(answerer: Answerer, examples: Sequence[Example], keep: Keep | None) -> Pass:
    """Answer each example by itself, at its natural length."""
    taken = Pass()
    for example in examples:
        start = time.perf_counter_ns()
        encoded = answerer.encode([example])
        encoding = time.perf_counter_ns() - start
        forward, rest = _answer(answerer, [example], encoded, keep)
        taken.forward.append(forward)
        taken.request.append(encoding + rest)
    return taken


def batch_pass(answerer: Answerer, examples: Sequence[Example], batch_size: int, keep: Keep | None) -> Pass:
    """Encode all, sort by length, answer in batches that are padded to their longest."""
    start = time.perf_counter_ns()
    encoded = answerer.encode(list(examples))
    order = sorted(range(len(examples)), key=lambda i: encoded[i].length)
    taken = Pass(encoding=time.perf_counter_ns() - start)
    for begin in range(0, len(order), batch_size):
        batch = order[begin : begin + batch_size]
        forward, rest = _answer(answerer, [examples[i] for i in batch], [encoded[i] for i in batch], keep)
        taken.forward.append(forward)
        taken.request.append(rest)
    return taken


def _answer(answerer: Answerer, examples: list[Example], encoded: list[Encoded], keep: Keep | None) -> tuple[int, int]:
    """(forward, collate + forward + decode) of one batch, ns."""
    start = time.perf_counter_ns()
    arrays = answerer.collate(encoded)
    begin = time.perf_counter_ns()
    outputs = answerer.forward(arrays)
    end = time.perf_counter_ns()
    answerer.decode(examples, encoded, outputs)
    stop = time.perf_counter_ns()
    if keep is not None:
        keep(outputs)
    return end - begin, stop - start


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
        _answer(answerer, [examples[0]], answerer.encode([examples[0]]), keep=None)
        passes = _passes(answerer, examples, batch_size, least_ms, digest)
    finally:
        gc.enable()
    turn: dict[str, Any] = {**_means(passes, len(examples)), "passes": len(passes)}
    if batch_size is None:
        turn["requests"] = {"forward_ms": _ms(passes[0].forward), "request_ms": _ms(passes[0].request)}
    return turn if digest is None else {**turn, "outputs": digest.hexdigest()}


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
    request = sum(taken.encoding + sum(taken.request) for taken in passes)
    return {"forward_ms": forward / count / NS_PER_MS, "request_ms": request / count / NS_PER_MS}


def _ms(times: Sequence[int]) -> list[float]:
    return [round(ns / NS_PER_MS, 6) for ns in times]
