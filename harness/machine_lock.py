"""Runs that share a store share its machines: stages of work run together, a measurement alone."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from harness.heartbeats import machine_name
from harness.store import Store


@dataclass
class MachineLock:
    """This machine, as far as the runs of one store go. Where the file system has no locks, it is always free."""

    file: IO[str]
    mode: int = fcntl.LOCK_UN

    @property
    def is_free(self) -> bool:
        """Does this process not hold it?"""
        return self.mode == fcntl.LOCK_UN

    def hold(self, *, exclusive: bool) -> bool:
        """Take the machine in the wanted mode, if it is free for it now."""
        wanted = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        if self.mode == wanted:
            return True
        try:
            fcntl.flock(self.file, wanted | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks here: a measurement may be disturbed, which its noise floor shows
            pass
        self.mode = wanted
        return True

    def release(self) -> None:
        """Let others have it."""
        if self.mode != fcntl.LOCK_UN:
            with contextlib.suppress(OSError):
                fcntl.flock(self.file, fcntl.LOCK_UN)
            self.mode = fcntl.LOCK_UN


@contextlib.contextmanager
def machine_lock(store: Store) -> Iterator[MachineLock]:
    """The machine's own file in the store: those of other machines are none of its business."""
    with (store.locks / f"machine-{machine_name()}.lock").open("w") as file:
        yield MachineLock(file)
