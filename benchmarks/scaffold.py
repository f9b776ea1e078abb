"""From nothing to a checked compressor: scaffold, install, check, in a fresh environment that sees the harness."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

BAR = 60.0  # seconds for the three together
NAME = "my-int4"
STEPS = {
    "scaffold": ("harness", "plugin", "new", "compressor", NAME),
    "install": ("pip", "install", "--no-index", "--no-deps", "--no-build-isolation", f"./{NAME}"),
    "check": ("harness", "plugin", "check", NAME),
}


def environment(folder: Path) -> str:
    """Its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "beside.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return str(folder / "bin" / "python")


def run() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        python = environment(Path(folder) / "environment")
        taken = {}
        for name, words in STEPS.items():
            start = time.perf_counter()
            done = subprocess.run(
                [python, "-m", *words],
                cwd=folder,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            taken[name] = time.perf_counter() - start
            if done.returncode:
                yield f"{name} failed with exit code {done.returncode}: {done.stderr.strip().splitlines()[-1]}"
                return
        total = sum(taken.values())
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in taken.items())
        yield f"{total:.1f} s ({parts}); bar {BAR:.0f} s: {'kept' if total < BAR else 'missed'}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
