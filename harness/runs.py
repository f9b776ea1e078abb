"""Which runs of a suite go on in a store, and which were left by a process that died: files that beat, one per run."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.heartbeats import SILENT_S, Beat, Holder, Said, begin, read
from harness.store import Store

_TELL_S = 0.2  # between two words of how far it is
_LEFT = 10 * SILENT_S  # seconds without a beat, by the file server's clock: enough to say so, decides nothing


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that has not come to its end."""

    path: Path
    name: str  # the suite's, with the mode
    goes_on: bool  # False: whoever it was is dead, or silent for long
    holder: Holder | None
    since: str  # ISO 8601, by the holder's clock
    done: int  # of `stages`
    stages: int

    def __str__(self) -> str:
        return f"{self.holder or 'somebody'}, since {self.since}, {self.done} of {self.stages} stages"


@dataclass
class Announced:
    """This run, as others see it."""

    beat: Beat | None  # None: the disk refused, and nobody is told
    content: dict[str, Any]
    done: set[str] = field(default_factory=set)
    told: float = 0.0  # monotonic, seconds

    def finished(self, key: str) -> None:
        """A stage is done, or was there."""
        self.done.add(key)
        if self.beat and time.monotonic() - self.told > _TELL_S:
            self.told = time.monotonic()
            self.beat.tell({**self.content, "done": len(self.done)})


@contextlib.contextmanager
def announced(store: Store, name: str, stages: int) -> Iterator[Announced]:
    """Let others see this run for as long as it lasts; what is killed leaves its file behind."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"name": name, "since": since, "stages": stages, "done": 0}
    beat = None
    with contextlib.suppress(OSError):
        beat = begin(store.runs / f"{uuid.uuid4().hex}.json", content)
    try:
        yield Announced(beat, content)
    finally:
        if beat:
            beat.end()


def found(store: Store) -> list[Run]:
    """All that have not ended, the oldest first."""
    now = _server_time(store)
    runs = [(path, said) for path in store.runs.glob("[0-9a-f]*.json") if (said := read(path))]
    return sorted((_run(path, said, now) for path, said in runs), key=lambda one: one.since)


def forget(run: Run) -> None:
    """Remove what a dead one left: it has been said."""
    with contextlib.suppress(OSError):
        run.path.unlink()


def _run(path: Path, said: Said, now: float) -> Run:
    gone = said.holder is not None and said.holder.is_gone
    silent = now - said.mark[1] / 1e9 > _LEFT
    return Run(
        path=path,
        name=said.text("name"),
        goes_on=not (gone or silent),
        holder=said.holder,
        since=said.text("since") or "some time",
        done=said.count("done"),
        stages=said.count("stages"),
    )


def _server_time(store: Store) -> float:
    """What the file system takes for now, in seconds: times of change are by its clock."""
    probe = store.runs / f".{uuid.uuid4().hex}"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:
        return time.time()
    return now
