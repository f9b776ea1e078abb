"""A long-lived worker process: JSON lines in, JSON lines out, one stage after another."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from harness.errors import HarnessError
from harness.keys import stage_from_json
from harness.lifeline import die_with_parent
from harness.plugins import Registry, load_registry
from harness.stages import execute, work_for
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
    store = Store(Path(job["store"]))
    started, cpu = time.monotonic(), time.process_time()
    try:
        with store.stage(stage.key) as out:
            work = work_for(stage, store, out, registry, int(job["threads"]), _reporter(wire, stage.key))
            facts = execute(work)
            seconds = time.monotonic() - started
            facts = {**facts, "cpu_seconds": round(time.process_time() - cpu, 3), "threads": work.threads}
            store.publish(stage, out, facts, seconds, datetime.now(UTC).isoformat(timespec="seconds"))
        shutil.rmtree(work.scratch, ignore_errors=True)  # only now: until here a kill resumes in the middle
    except HarnessError as error:
        return {"kind": "failed", "key": stage.key, "reason": str(error), "exit_code": error.exit_code}
    except Exception as error:
        traceback.print_exc()
        return {"kind": "failed", "key": stage.key, "reason": f"{type(error).__name__}: {error}"}
    return {"kind": "done", "key": stage.key, "seconds": seconds}


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
