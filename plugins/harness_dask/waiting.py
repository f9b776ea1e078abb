"""Dask waits for ever for one who is there and does not answer; the harness does not."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


def started(call: Callable[[], Any]) -> queue.SimpleQueue[Any]:
    """Where the result of a call will be, or the exception that it raised."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(call())
        except Exception as error:
            answers.put(error)

    threading.Thread(target=run, daemon=True).start()
    return answers


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """What a call returns, or the exception that it raises; a TimeoutError where it takes longer."""
    try:
        return started(call).get(timeout=seconds)
    except queue.Empty:
        return TimeoutError(f"no answer in {seconds:g} s")
