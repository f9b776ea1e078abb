"""A long-lived worker process: JSON lines in, JSON lines out, one stage after another."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from harness.executors.running import run_stage
from harness.keys import stage_from_json
from harness.lifeline import die_with_parent
from harness.plugins import Registry, load_registry
from harness.store import Store

_PROGRESS_EVERY = 0.2  # seconds


def main() -> None:
    """Serve until the parent closes the pipe. What plugins print goes to the stage's log, never into the wire."""
    die_with_parent(int(sys.argv[1]))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as wire:
        os.dup2(2, 1)
        registry = load_registry()
        for line in sys.stdin:
            job = json.loads(line)
            with _logging_to(Path(job["log"])):
                answer = _run(job, registry, wire)
            _send(wire, answer)


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
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept, 1)
            os.dup2(kept, 2)
            os.close(kept)


def _run(job: dict[str, Any], registry: Registry, wire: TextIO) -> dict[str, Any]:
    stage = stage_from_json(job["stage"])
    report = _reporter(wire, stage.key)
    event = run_stage(stage, Store(Path(job["store"])), int(job["threads"]), report, registry)
    return {name: value for name, value in asdict(event).items() if name != "log"}  # which the runner's side knows


def _reporter(wire: TextIO, key: str) -> Callable[[int, int, str], None]:
    last = 0.0

    def report(done: int, total: int, note: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_EVERY or done == total:
            last = time.monotonic()
            _send(wire, {"kind": "progress", "key": key, "done": done, "total": total, "note": note})

    return report


if __name__ == "__main__":
    main()
