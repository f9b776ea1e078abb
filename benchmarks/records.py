"""10,000 cells validated one by one, and the peak of memory with short and with long raw samples."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.records import read_records

SOURCE = Path(__file__).parents[1] / "reports" / "quickstart.records.jsonl"
FILES, CELLS, TIMES = 10, 100, 10  # every file is read so many times: 10,000 cells in all
FIGURES = 3  # per example: gold, answer, loss
EXAMPLES = (300, 3000)

SCAN = """
import json, sys, time
from pathlib import Path
from harness.measuring.memory import peak_mib
from harness.records import scan
start, kept = time.perf_counter(), {}
for path in map(Path, sys.argv[1:]):
    for line in scan(path):
        if line.kind == "cell":
            kept.setdefault(line.document["axes"]["model"], []).append(line.document["quality"]["metrics"]["accuracy"])
seconds = {"s": time.perf_counter() - start, "cpu_s": time.process_time()}
print(json.dumps({**seconds, "mib": peak_mib(), "cells": sum(map(len, kept.values()))}))
"""


def run() -> Iterator[str]:
    for examples in EXAMPLES:
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(path) for path in _write(Path(folder), examples)] * TIMES
            size = sum(Path(path).stat().st_size for path in paths)
            done = subprocess.run([sys.executable, "-c", SCAN, *paths], check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        yield (
            f"{found['cells']:,} cells of {examples:,} examples ({size >> 20:,} MiB) in {len(paths)} files: "
            f"{found['s']:.1f} s ({found['cpu_s']:.1f} s of CPU), at most {found['mib']:.0f} MiB of memory"
        )


def _write(folder: Path, examples: int) -> Iterator[Path]:
    """Records like the quickstart's, with CELLS cells each, differing in their seeds and samples."""
    source = read_records(SOURCE)
    scored = [cell for cell in source.cells if cell["quality"]]
    head = [json.dumps(document) for document in (source.run, *source.measurements.values())]
    for number in range(FILES):
        rng = random.Random(number)
        cells = [_cell(scored[n % len(scored)], n, examples, rng) for n in range(CELLS)]
        path = folder / f"{number}.records.jsonl"
        path.write_text("".join(f"{line}\n" for line in (*head, *map(json.dumps, cells))), encoding="utf-8")
        yield path


def _cell(cell: dict[str, Any], number: int, examples: int, rng: random.Random) -> dict[str, Any]:
    seed = 1000 + number
    axes = {**cell["axes"], "seed": seed}
    samples = [[rng.randrange(3), rng.randrange(3), rng.random()][:FIGURES] for _ in range(examples)]
    quality = {**cell["quality"], "samples": samples}
    return {**cell, "cell": f"{cell['cell']},{seed}", "axes": axes, "quality": quality}
