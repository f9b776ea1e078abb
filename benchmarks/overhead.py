"""What a stage costs beyond its work, on a warm worker: a prepare of 24 made-up examples, stored and published."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness.assets import fingerprint
from harness.executors.local import LocalExecutor
from harness.keys import Stage
from harness.store import Store

STAGES = 200
TOY = Path(__file__).parents[1] / "tests" / "toy_plugin"


def stage(number: int) -> Stage:
    options = {"task": {"use": "toy", "params": {"examples": 1}}, "asset": {"origin": "made", "root": ".", "files": []}}
    params = {"roles": ["train"], "number": number}
    return Stage(
        kind="prepare", component="toy-harness/toy", version=1, params=params, options=options, label="no-op",
        data={"source": fingerprint(Path(), [])},
    )  # fmt: skip


def run() -> Iterator[str]:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(TOY), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.create()
        executor = LocalExecutor(store, capacity=1, threads=1)
        try:
            serve(executor, stage(-1))
            start = time.perf_counter()
            for number in range(STAGES):
                serve(executor, stage(number))
            taken = time.perf_counter() - start
        finally:
            executor.close()
    yield f"{1000 * taken / STAGES:.1f} ms per stage over {STAGES} stages ({sys.platform})"


def serve(executor: LocalExecutor, wanted: Stage) -> None:
    executor.submit(wanted)
    while True:
        for event in executor.wait(5):
            if event.kind == "failed":
                raise SystemExit(event.reason)
            if event.kind == "done":
                return
