"""The stages of a plan that wait, and those of them that can start: nobody looks at all of them at every step."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping

from harness.keys import Stage


class Frontier:
    """`usable`: is the result of a stage there? Stages that can start come in the order of the plan."""

    def __init__(self, stages: Mapping[str, Stage], usable: Callable[[str], bool]) -> None:
        self._stages, self._usable = stages, usable
        self._place = {key: place for place, key in enumerate(stages)}
        self._readers: dict[str, list[str]] = {}
        for stage in stages.values():
            for key in stage.needs:
                self._readers.setdefault(key, []).append(stage.key)
        # by whether they are exclusive
        self._waiting: dict[bool, set[str]] = {False: set(), True: set()}
        self._ready: dict[bool, list[tuple[int, str]]] = {False: [], True: []}  # heaps; some may wait no more

    def __iter__(self) -> Iterator[Stage]:
        """All that wait, in the order of the plan."""
        return (self._stages[key] for key in sorted(set().union(*self._waiting.values()), key=self._place.__getitem__))

    def waits(self, *, exclusive: bool) -> bool:
        """Does any such stage wait, whether or not it can start?"""
        return bool(self._waiting[exclusive])

    def add(self, key: str) -> None:
        """It waits: for the first time, or once more."""
        self._waiting[self._stages[key].exclusive].add(key)
        self._look_at(key)

    def remove(self, key: str) -> None:
        """It has started, or never will."""
        self._waiting[self._stages[key].exclusive].discard(key)

    def readers(self, key: str) -> list[str]:
        """Those that wait for a stage."""
        return [one for one in self._readers.get(key, ()) if one in self._waiting[self._stages[one].exclusive]]

    def made(self, key: str) -> None:
        """The result of a stage is there: what waits for it may be able to start."""
        for reader in self.readers(key):
            self._look_at(reader)

    def next(self, *, exclusive: bool) -> Stage | None:
        """The first that can start; it is not named again until it is added again."""
        ready = self._ready[exclusive]
        while ready:
            stage = self._stages[heapq.heappop(ready)[1]]
            if stage.key in self._waiting[exclusive] and self._can_start(stage):
                return stage
        return None

    def _look_at(self, key: str) -> None:
        if self._can_start(stage := self._stages[key]):
            heapq.heappush(self._ready[stage.exclusive], (self._place[key], key))

    def _can_start(self, stage: Stage) -> bool:
        return all(map(self._usable, stage.needs))
