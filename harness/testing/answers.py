"""What every artifact that answers has to do, whoever made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.inference import Answerer
from harness.specs import Arrays, Encoded
from harness.testing.corpus import MAX_LENGTH, ToyTask
from harness.testing.model import Broken, Finding, declared, passed
from harness.testing.toys import figures, furthest

CLOSE = 1e-5  # of fp32 answers, relative to the largest where that is above 1
_SHAPES = ((1, 1), (1, 2), (3, 7), (5, 16), (2, 17), (7, 23), (2, MAX_LENGTH))  # [B, L]


def invariance(answerer: Answerer, dependent: bool) -> Finding:
    """Each example alone, all of them together, and together with padding up to the longest window."""
    task = ToyTask(answerer.artifact.head)
    windows = answerer.encode(task.examples(9))
    alone = figures(answerer, [one for window in windows for one in _said(answerer, [window])])
    together = figures(answerer, _said(answerer, windows))
    longest = max(window.length for window in windows)
    short = [window for window in windows if window.length < longest]
    padded = figures(answerer, _said(answerer, short, longest))
    lone = [figure for window, figure in zip(windows, alone, strict=True) if window.length < longest]
    shifts = {"batch mates": furthest(alone, together), "padding": furthest(lone, padded)}
    largest = max(1.0, *(float(np.abs(figure).max(initial=0)) for figure in alone))
    said = ", ".join(f"{what} {shift:.2g}" for what, shift in shifts.items())
    if dependent:
        return declared(f"answers shift by: {said}")
    if max(shifts.values()) > CLOSE * largest:
        msg = f"answers shift by: {said}; at most {CLOSE:g}, or the spec says `batch_dependent`"
        raise Broken(msg)
    return passed(f"answers shift by: {said}")


def _said(answerer: Answerer, windows: Sequence[Encoded], length: int | None = None) -> list[Any]:
    return answerer.read(windows, answerer.forward(answerer.collate(windows, length))) if windows else []


def lengths(answerer: Answerer) -> Finding:
    """Full batches of many shapes; every one has to be answered as row by row."""
    known = [window for window in answerer.encode(ToyTask(answerer.artifact.head).examples()) if window.length > 1]
    longest = max(known, key=lambda window: window.length)
    for batch, length in _SHAPES:
        arrays = _full(answerer, longest, batch, min(length, longest.length))
        shape = f"{batch}×{length}"
        try:
            outputs = answerer.forward(arrays)
        except Exception as error:
            msg = f"a {shape} batch cannot be answered: {error}"
            raise Broken(msg) from error
        _check_shape(answerer, outputs, batch, min(length, longest.length), shape)
    return passed(f"batch × length: {', '.join(f'{b}×{n}' for b, n in _SHAPES)}")


def _full(answerer: Answerer, window: Encoded, batch: int, length: int) -> Arrays:
    return {name: np.tile(window.arrays[name][:length], (batch, 1)).astype(np.int64) for name in answerer.encoder.pad}


def _check_shape(answerer: Answerer, outputs: Arrays, batch: int, length: int, shape: str) -> None:
    classes = len(answerer.artifact.labels)
    wanted = {"sequence": (batch, classes), "span": (batch, length)}
    expected = wanted.get(answerer.artifact.head, (batch, length, classes))
    for name in answerer.rules.outputs:
        found = outputs[name].shape if name in outputs else None
        if found != expected or not np.isfinite(outputs[name]).all():
            msg = f"a {shape} batch gives '{name}' {found}, where finite numbers {expected} were expected"
            raise Broken(msg)


def odd_inputs(answerer: Answerer) -> Finding:
    """One by one and all together."""
    examples = ToyTask(answerer.artifact.head).odd()
    said = answerer.predict(examples, 1)
    windows = answerer.encode(examples)
    too_long = [window.length for window in windows if window.length > answerer.artifact.max_length]
    if too_long and _has_mask(answerer):
        msg = f"a window of {max(too_long)} tokens, where the artifact allows {answerer.artifact.max_length}"
        raise Broken(msg)
    answerer.predict(examples, len(examples))
    return passed(f"{len(said)} texts: empty, endless, control signs, emoji, markup")


def _has_mask(answerer: Answerer) -> bool:
    return "attention_mask" in answerer.encoder.pad  # a bag of n-grams has more of them than its text has words
