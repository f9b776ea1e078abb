"""No worker: stages run in the process of the run, where `breakpoint()` reaches the person who started it."""

from __future__ import annotations

import bdb
import contextlib
import os
import pdb
import sys
import time
import traceback
from pathlib import Path

from harness import Event, ExecutorRequest, Stage, run_stage, stage_environment

_PROGRESS_EVERY = 0.2  # seconds


class Inline:
    """One stage at a time, on the threads that a worker would have: it answers the same."""

    capacity = 1

    def __init__(self, request: ExecutorRequest) -> None:
        self.request = request
        self._next: Stage | None = None
        os.environ.update(stage_environment(request.threads))

    def submit(self, stage: Stage) -> None:
        """Keep it; `wait` runs it."""
        self._next = stage

    def wait(self, timeout: float) -> list[Event]:
        """Run the stage to its end, however long it takes. Leaving the debugger ends the run like Ctrl-C."""
        if self._next is None:
            time.sleep(timeout)  # another run has the stage that this one waits for
            return []
        stage, self._next = self._next, None
        request = self.request
        threads = request.threads * request.capacity if stage.exclusive else request.threads

        told = 0.0

        def progress(done: int, total: int, note: str) -> None:
            nonlocal told
            if time.monotonic() - told >= _PROGRESS_EVERY or done == total:
                told = time.monotonic()
                request.progress(Event(kind="progress", key=stage.key, done=done, total=total, note=note))

        # Stdout is the run's data, and its paths are seen from where it was started.
        with contextlib.redirect_stdout(sys.stderr), contextlib.chdir(Path.cwd()):
            return [run_stage(stage, request.store, threads, progress, surprised=self._surprised)]

    def _surprised(self, error: Exception) -> None:
        if isinstance(error, bdb.BdbQuit):
            raise KeyboardInterrupt from error
        traceback.print_exception(error)
        if self.request.params.post_mortem:
            pdb.post_mortem(error.__traceback__)

    def close(self) -> None:
        """Nothing runs between two calls."""
