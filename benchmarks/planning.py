"""`harness plan` of a suite with 10,000 cells."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SUITE = """
schema = 1
[suite]
name = "wide"
title = "10,000 cells"
anchor = { model = "teacher", compress = "none" }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/quickstart"
[models.teacher]
use = "transformer"
train = { distil = "finetune" }
[models.student]
use = "lstm"
train = { distil = "kd", teacher = "teacher" }
[chains]
int8 = ["torch-int8"]
onnx = ["onnx"]
onnx-int8 = ["onnx", "onnx-int8"]
[matrix]
model = ["student", "teacher"]
compress = ["none", "int8", "onnx", "onnx-int8"]
temperature = TEMPERATURES
alpha = [0.1, 0.2, 0.3, 0.4, 0.5]
seed = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
[matrix.sets]
temperature = "train.temperature"
alpha = "train.alpha"
"""


def run() -> Iterator[str]:
    temperatures = [round(1 + n / 10, 1) for n in range(50)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wide.toml"
        path.write_text(SUITE.replace("TEMPERATURES", str(temperatures)))
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "harness", "plan", str(path)], check=True, capture_output=True, text=True, cwd=folder
        )
        taken = time.perf_counter() - start
    said = [line for line in done.stdout.splitlines() if line.startswith(("axes", "stages"))]
    yield f"{taken:.2f} s: {'; '.join(said)}"
