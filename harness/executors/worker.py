"""A long-lived worker process: JSON lines in, JSON lines out, one stage after another.

Plugins run in this process. What they leave of it is not trusted: the parent ends it after every failure.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from harness.errors import refused
from harness.executors.processes import adopt_orphans, offer_to_the_kernel
from harness.executors.running import run_stage
from harness.executors.stops import SHOW
from harness.keys import stage_from_json
from harness.lifeline import die_with_parent
from harness.plugins import Registry, load_registry
from harness.store import Store

_PROGRESS_EVERY = 0.2  # seconds


def main() -> None:
    """Serve until the parent closes the pipe. What plugins print goes to the stage's log, never into the wire."""
    die_with_parent(int(sys.argv[1]))
    adopt_orphans()
    offer_to_the_kernel()
    with os.fdopen(os.dup(0), encoding="utf-8") as jobs, os.fdopen(os.dup(1), "w", encoding="utf-8") as wire:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nobody is there to answer
        os.dup2(2, 1)
        registry = load_registry()
        for line in jobs:
            job = json.loads(line)
            _send(wire, {"kind": "began", "token": job["token"]})  # the clock of its limit starts here
            _send(wire, {**_answer(job, registry, wire), "token": job["token"]})


def _answer(job: dict[str, Any], registry: Registry, wire: TextIO) -> dict[str, Any]:
    try:
        with _logging_to(Path(job["log"])), _placed(Path(job["place"])):
            return _run(job, registry, wire)
    except OSError as error:  # its log or its place: what a stage raises is its answer
        return {"kind": "failed", "reason": refused(error) or f"its log or working folder: {error}"}


def _send(wire: TextIO, message: dict[str, Any]) -> None:
    wire.write(json.dumps(message) + "\n")
    wire.flush()


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Both output streams, also of C code, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        faulthandler.enable(file.fileno())
        faulthandler.register(SHOW, file.fileno())
        try:
            yield
        finally:
            faulthandler.unregister(SHOW)
            faulthandler.disable()
            with contextlib.suppress(ValueError, OSError, AttributeError):  # a plugin may have closed or replaced them
                sys.stdout.flush()
                sys.stderr.flush()
            os.dup2(kept, 1)
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def _placed(folder: Path) -> Iterator[None]:
    """An empty working folder, removed with whatever was left in it; the environment is put back."""
    before = dict(os.environ)
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.clear()
        os.environ.update(before)


def _run(job: dict[str, Any], registry: Registry, wire: TextIO) -> dict[str, Any]:
    threads = set(threading.enumerate())
    stage, store = stage_from_json(job["stage"]), Store(Path(job["store"]))
    event = run_stage(stage, store, int(job["threads"]), _reporter(wire, job["token"]), registry)
    busy = any(_works(thread) for thread in set(threading.enumerate()) - threads)
    told = {name: getattr(event, name) for name in ("kind", "seconds", "reason", "exit_code")}
    return {**told, "threads_left": busy}


def _works(thread: threading.Thread) -> bool:
    """Could it still write? The clock of tqdm, which many libraries start, could not."""
    return thread.is_alive() and type(thread).__module__ != "tqdm._monitor"


def _reporter(wire: TextIO, token: str) -> Callable[[int, int, str], None]:
    last = 0.0

    def report(done: int, total: int, note: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_EVERY or done == total:
            last = time.monotonic()
            event = {"kind": "progress", "done": int(done), "total": int(total), "note": str(note)[:200]}
            _send(wire, {**event, "token": token})

    return report


if __name__ == "__main__":
    main()
