"""Executors run stages somewhere; the runner owns the DAG and asks them one ready stage at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.keys import Stage

if TYPE_CHECKING:
    from harness.specs import ExecutorRequest


@dataclass(frozen=True, kw_only=True)
class Event:
    """What an executor reports of a stage: `progress`, `done` or `failed`."""

    kind: str
    key: str  # of the stage
    done: int = 0  # progress: so many of `total`
    total: int = 0
    note: str = ""
    seconds: float = 0.0  # that the work took
    reason: str = ""  # of a failure
    log: str = ""  # path of what the stage printed
    exit_code: int = 1  # of a failure: 2 when the input is bad, not the work
    damaged: tuple[str, ...] = ()  # of a failure: keys of inputs that were changed, and are to be made again


class Executor(Protocol):
    """Somewhere to run stages. A stage that fails, or whose worker dies, is an event; nothing here raises for it.

    One whose stages run on other machines has an attribute `remote` that is true: whoever runs them there sees to it
    that a measurement is alone on its machine (`do_job` does). One that cannot run everything has a method
    `check(stages)`, called before anything runs: it raises PluginError for stages that would wait for ever. One that
    can end a stage, with all that it started, has a method `stop(key)`; nothing more is reported of the stage then.
    """

    @property
    def capacity(self) -> int:
        """How many stages it takes at once now; at least 1, read before each `submit`, may change between two."""

    def submit(self, stage: Stage) -> None:
        """Start a stage whose inputs are in the store; called only while fewer than `capacity` run."""

    def wait(self, timeout: float) -> list[Event]:
        """What happened; blocks for at most `timeout` seconds when nothing did."""

    def close(self) -> None:
        """Stop everything that still runs, at once."""


def local_executor(request: ExecutorRequest) -> Executor:
    """Worker processes on this machine."""
    from harness.executors.local import LocalExecutor

    return LocalExecutor(request.store, request.capacity, request.threads, request.limits)
