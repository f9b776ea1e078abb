"""`suites/cpu-inference.toml` with random weights: how many times faster than fp32 PyTorch each chain answers.

Questions of XQuAD (HARNESS_DATA_DIR/xquad/xquad.ru.json) at their own lengths, in one run of the harness, as in
`reports/cpu-inference.random.md`. HARNESS_MODELS_DIR may hold the checkpoints' vocabularies; chains whose runtime is not
installed are skipped by name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = "xquad/xquad.ru.json"
WANTED = {"int8": 7.5, "openvino-int8": 7.5, "narrow-onnx-int8": 12.0}  # × the speed of the anchor, forward


def run() -> Iterator[str]:
    root = os.environ.get("HARNESS_DATA_DIR")
    if not root or not (Path(root) / DATA).is_file():
        yield f"not measured: HARNESS_DATA_DIR holds no {DATA}"
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable, "-m", "harness", "run", str(ROOT / "suites/cpu-inference.toml"), "--weights", "random",
                "--set", 'task.use="qa"', "--set", f'task.source="{DATA}"',
            ],
            cwd=folder, env={**os.environ, "HARNESS_STORE": f"{folder}/store"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        report = json.loads((Path(folder) / "reports/cpu-inference.random.json").read_text(encoding="utf-8"))
    for row in report["rows"]:
        yield _line(row)


def _line(row: Mapping[str, Any]) -> str:
    found, wanted = row["speed"]["forward"]["interval"], WANTED.get(row["axes"]["compress"])
    if "value" not in found:
        return f"{row['label']}: {found['reason']}"
    bar = f" (bar {wanted:g})" if wanted and not row["anchor"] else ""
    return f"{row['label']}: {found['value']:.1f} [{found['low']:.1f}, {found['high']:.1f}] × as fast{bar}"
