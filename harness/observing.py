"""Telling observers what happens in a run: each listens in a thread of its own, so that none can fail or hold it up.

An observer that falls behind has room for `ROOM` notices. When that is full, the run waits, `PATIENCE` seconds over its
whole length for one observer, the last words included; then the observer is dropped. One that raises is dropped, too.
Either is said once. What cannot be stopped is a thread that hangs: it is left behind, and ends with the process.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from harness.errors import worded
from harness.executors import Event
from harness.keys import Stage
from harness.runner import Outcome
from harness.specs import Facts, Notice, Observer

PATIENCE = 5.0  # seconds
ROOM = 1000


class Listener:
    """One observer. `make` is called in its thread; `complain` is told, once, why it was dropped."""

    def __init__(self, make: Callable[[], Observer], complain: Callable[[str], None]) -> None:
        self._make, self._complain = make, complain
        self._waiting: queue.Queue[Notice | None] = queue.Queue(ROOM)
        self._patience = PATIENCE
        self._dropped = False
        self._once = threading.Lock()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def tell(self, notice: Notice | None) -> None:
        """Pass it on; None is the end."""
        if self._dropped:
            return
        began = time.monotonic()
        try:
            self._waiting.put(notice, timeout=max(0.0, self._patience))
        except queue.Full:
            self._drop(f"it is slow: {ROOM:,} notices wait, and the run has waited {PATIENCE:g} s")
        finally:
            self._patience -= time.monotonic() - began

    def close(self) -> None:
        """Let it finish, if it does so in what is left of its time."""
        self.tell(None)
        self._thread.join(max(0.0, self._patience))
        if self._thread.is_alive():
            self._drop(f"it is slow: the run has ended and waited {PATIENCE:g} s; its last notices may be lost")

    def _listen(self) -> None:
        try:
            observer = self._make()
            while (notice := self._waiting.get()) is not None:
                observer.notice(notice)
        except BaseException as error:  # SystemExit, too, would end in silence here
            self._drop(worded(error))

    def _drop(self, why: str) -> None:
        with self._once:
            if self._dropped:
                return
            self._dropped = True
        with contextlib.suppress(queue.Empty):
            while True:  # whoever waits for room goes on
                self._waiting.get_nowait()
        self._waiting.put(None)
        self._complain(why)


class Audience:
    """All observers of a run; a context manager around it. Without any it does nothing."""

    def __init__(self, listeners: Sequence[Listener], label: str, facts: Facts) -> None:
        self.listeners, self.label, self.facts = tuple(listeners), label, facts
        self.status = "ok"  # of the run, where it comes to its end
        self._finished: set[str] = set()
        self._clock = time.monotonic()

    def __enter__(self) -> Audience:
        self._tell(what="run-started", label=self.label, facts=self.facts)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        status = self.status if kind is None else "interrupted" if interrupted else "error"
        seconds = round(time.monotonic() - self._clock, 3)
        self._tell(what="run-finished", label=self.label, status=status, seconds=seconds, facts=self.facts)
        for listener in self.listeners:
            listener.close()

    def stage(self, what: str, stage: Stage, event: Event | Outcome) -> None:
        """What a runner says of a stage. A run looks at its stages several times: each is finished once."""
        if what == "elsewhere":
            return
        about: dict[str, Any] = {"label": stage.label, "key": stage.key, "kind": stage.kind}
        if isinstance(event, Outcome):
            if event.status == "cached" and stage.key in self._finished:
                return
            self._finished.add(stage.key)
            about |= {"status": event.status, "seconds": event.seconds, "reason": event.reason}
        elif what == "progress":
            about |= {"done": event.done, "total": event.total, "note": event.note}
        self._tell(what=f"stage-{what}", **about)

    def _tell(self, **fields: Any) -> None:
        if self.listeners:
            notice = Notice(time=datetime.now(UTC).isoformat(timespec="milliseconds"), **fields)
            for listener in self.listeners:
                listener.tell(notice)
