"""Who works on which stage. It saves work and tells people; no result depends on it (`harness.store`)."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import StoreError, refused
from harness.heartbeats import LINE, Beat, Holder, Said, Watch, begin, read, take_over
from harness.keys import Stage


@dataclass(frozen=True, kw_only=True)
class AtWork:
    """Somebody's claim."""

    holder: Holder | None
    label: str  # of the stage
    since: str  # ISO 8601, by the holder's clock
    done: int = 0  # of `total`
    total: int = 0
    note: str = ""
    where: str = ""  # what an executor calls the place

    def __str__(self) -> str:
        return f"{self.holder or 'somebody'}, since {self.since or 'some time'}"


@dataclass
class Claim:
    """A stage that this process works on, until `end`."""

    beat: Beat
    content: dict[str, Any]

    @property
    def is_lost(self) -> bool:
        """Has somebody taken it, or asked that the work be stopped?"""
        return self.beat.is_lost

    def tell(self, done: int, total: int, note: str) -> None:
        """How far the work is."""
        self.content = {**self.content, "done": done, "total": total, "note": note[:LINE]}
        self.beat.tell(self.content)

    def end(self) -> None:
        """The stage is free."""
        self.beat.end()


@dataclass
class Claims:
    """The claims of a store, in files of its folder `claims`, one per stage that somebody works on."""

    folder: Path
    _watch: Watch = field(default_factory=Watch)

    def take(self, stage: Stage) -> Claim | None:
        """Claim a stage; None where somebody works on it who lives. StoreError when the disk refuses."""
        content, path = _content(stage), self._path(stage.key)
        for _ in range(3):  # again where a dead one's was cleared away, by whomever
            try:
                beat = begin(path, content)
            except OSError as error:
                msg = f"claiming {stage.label} in the store {self.folder.parent}: {refused(error) or error}"
                raise StoreError(msg) from error
            if beat:
                return Claim(beat, content)
            said = read(path)
            if said and self._watch.alive(path, said):
                return None
            if said:
                self._clear(path, said)
        return None

    def take_over(self, stage: Stage, where: str = "") -> Claim:
        """Claim a stage that somebody claimed to have it done here; `where` names the place for them."""
        content = {**_content(stage), "where": where}
        return Claim(take_over(self._path(stage.key), content), content)

    def look(self, key: str) -> AtWork | None:
        """Who works on a stage; None: nobody, or one who is dead or has said nothing for long."""
        path = self._path(key)
        said = read(path)
        if said is None or not self._watch.alive(path, said):
            return None
        return _at_work(said)

    def all(self) -> list[AtWork]:
        """Everybody at work, by what their stages are called; of processes elsewhere, those that may have died too."""
        found = [self.look(path.stem) for path in self.folder.glob("[0-9a-f]*.json")]
        return sorted((one for one in found if one), key=lambda one: one.label)

    def stop(self, key: str) -> None:
        """Have whoever works on it stop: the claim is taken from them."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def _clear(self, path: Path, dead: Said) -> None:
        """Remove a dead one's claim. Whoever renames it has it; a claim that was made meanwhile is put back."""
        away = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        with contextlib.suppress(OSError):
            path.rename(away)
            now = read(away)
            if now and now.mark != dead.mark:
                away.rename(path)
            else:
                away.unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _content(stage: Stage) -> dict[str, Any]:
    return {"label": stage.label, "since": datetime.now(UTC).isoformat(timespec="seconds")}


def _at_work(said: Said) -> AtWork:
    return AtWork(
        holder=said.holder,
        label=said.text("label"),
        since=said.text("since"),
        done=said.count("done"),
        total=said.count("total"),
        note=said.text("note"),
        where=said.text("where"),
    )
