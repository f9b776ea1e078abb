"""How long a person waits for `--help` and `list`; the floor is an interpreter that imports click."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

TIMES = 9


def seconds(*words: str) -> float:
    """Median wall time of a command."""
    taken = []
    for _ in range(TIMES):
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def run() -> Iterator[str]:
    floor = seconds("-c", "import click")
    for words in (("--help",), ("list",), ("run", "--help")):
        found = seconds("-m", "harness", *words)
        yield f"harness {' '.join(words):12} {found:.3f} s, {found / floor:.1f}× a bare interpreter with click ({floor:.3f} s)"
