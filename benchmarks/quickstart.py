"""The quickstart from an empty store, and again: the first has a budget, the second runs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("from nothing", "again"):
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "harness", "run", str(ROOT / "suites/quickstart.toml")],
                cwd=folder, env={**os.environ, "HARNESS_STORE": f"{folder}/store"}, capture_output=True, text=True, check=True,
            )  # fmt: skip
            said = next(line for line in done.stderr.splitlines() if line.startswith("stages:"))
            yield f"{name}: {time.perf_counter() - start:.1f} s; {said}"
