"""Any executor, held to its contract: what it does wrong ends the run in a sentence that names it."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import HarnessError, PluginError, worded
from harness.executors import Event, Executor
from harness.keys import Stage
from harness.store import Store

ENDS = ("done", "failed")


@contextlib.contextmanager
def _named(title: str) -> Iterator[None]:
    """PluginError for what an executor's code raises, with its line; what the harness raised in its words stays."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        *_, last = traceback.extract_tb(error.__traceback__)
        where = f"{Path(last.filename).name}, line {last.lineno}"
        msg = f"executor {title}: {worded(error)} ({where}). What is finished is kept, the same command goes on there"
        raise PluginError(msg) from error


@dataclass
class Guarded:
    """`title`: the executor's name and provider."""

    executor: Executor
    title: str
    store: Store
    _running: set[str] = field(default_factory=set)

    @property
    def remote(self) -> bool:
        """As the executor's; False where it has none."""
        return getattr(self.executor, "remote", False) is True

    def check(self, stages: Sequence[Stage]) -> None:
        """As the executor's; nothing where it has none."""
        with _named(self.title):
            if hasattr(self.executor, "check"):
                self.executor.check(stages)

    @property
    def capacity(self) -> int:
        """PluginError below 1: the run would wait for ever."""
        with _named(self.title):
            found = self.executor.capacity
        if not isinstance(found, int) or found < 1:
            msg = f"executor {self.title}: its capacity is {found!r}, expected a whole number, at least 1"
            raise PluginError(msg)
        return found

    def submit(self, stage: Stage) -> None:
        """As the executor's."""
        self._running.add(stage.key)
        with _named(self.title):
            self.executor.submit(stage)

    def wait(self, timeout: float) -> list[Event]:
        """As the executor's. PluginError for an event about nothing that it was given, or that has ended already."""
        with _named(self.title):
            events = list(self.executor.wait(timeout))
        return [self._checked(event) for event in events]

    def _checked(self, event: Event) -> Event:
        ends = isinstance(event, Event) and event.kind in ENDS
        if not (ends or (isinstance(event, Event) and event.kind == "progress")) or event.key not in self._running:
            msg = (
                f"executor {self.title}: it reports {str(event)[:200]!r}, expected an Event 'progress', 'done' or "
                "'failed' of a stage that it was given and that has not ended"
            )
            raise PluginError(msg)
        if ends:
            self._running.discard(event.key)
        if event.kind == "done" and self.store.entry(event.key) is None:
            reason = f"executor {self.title} says that it is done, and its result is not in the store {self.store.root}"
            return replace(event, kind="failed", reason=reason)
        return event

    @property
    def stops(self) -> bool:
        """Can the executor end one stage?"""
        return hasattr(self.executor, "stop")

    def stop(self, key: str) -> None:
        """As the executor's, where it has one."""
        self._running.discard(key)
        with _named(self.title):
            self.executor.stop(key)  # type: ignore[attr-defined]

    def close(self) -> None:
        """As the executor's."""
        with _named(self.title):
            self.executor.close()
