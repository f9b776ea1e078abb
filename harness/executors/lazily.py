"""An executor that is made when the first stage needs it: a run that finds everything in the store starts none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.executors import Event, Executor
from harness.executors.guarded import Guarded
from harness.keys import Stage


@dataclass
class Lazily:
    """`make` is called at most once."""

    make: Callable[[], Executor]
    _made: Executor | None = None

    @property
    def executor(self) -> Executor:
        """Made now, where it was not yet."""
        if self._made is None:
            self._made = self.make()
        return self._made

    @property
    def remote(self) -> bool:
        """As the executor's; False where it has none."""
        return getattr(self.executor, "remote", False) is True

    @property
    def capacity(self) -> int:
        """As the executor's."""
        return self.executor.capacity

    def check(self, stages: Sequence[Stage]) -> None:
        """As the executor's; nothing where it has none, or where there are no stages."""
        if stages and hasattr(self.executor, "check"):
            self.executor.check(stages)

    def submit(self, stage: Stage) -> None:
        """As the executor's."""
        self.executor.submit(stage)

    def wait(self, timeout: float) -> list[Event]:
        """As the executor's."""
        return self.executor.wait(timeout)

    @property
    def stops(self) -> bool:
        """Can it end a stage?"""
        made = self.executor
        return made.stops if isinstance(made, Guarded) else hasattr(made, "stop")

    def stop(self, key: str) -> None:
        """As the executor's; nothing where it has none."""
        if self.stops:
            self.executor.stop(key)  # type: ignore[attr-defined]

    def close(self) -> None:
        """As the executor's, where there is one."""
        if self._made is not None:
            self._made.close()
