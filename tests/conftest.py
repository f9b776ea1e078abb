"""Fixtures: the toy plugin on the path, and a suite of it to run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# Who starts the tests in the background may have them ignore SIGINT, which their children would inherit.
RUN = (
    "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "runpy.run_module('harness', run_name='__main__', alter_sys=True)"
)
TOY = str(Path(__file__).parent / "toy_plugin")

SUITE = """
schema = 1
[suite]
name = "toys"
title = "Toys"
anchor = { model = "plain", compress = "none" }
[task]
use = "toy"
[models.plain]
use = "toy"
[models.biased]
use = "toy"
bias = 0.25
[chains]
round = ["toy-round"]
[matrix]
compress = ["none", "round"]
seed = [1, 2]
[measure]
speed = false
"""


@dataclass(frozen=True)
class Outcome:
    """What a command printed and returned."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Project:
    """A working folder with a suite, in which commands run as a person's would."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)  # HARNESS_… and the like

    def write(self, text: str, name: str = "toys.toml") -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, (TOY, os.environ.get("PYTHONPATH"))))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
        return {
            **kept,
            "PYTHONPATH": path,
            "TOY_RAN": str(self.folder / "ran.txt"),
            "HF_HUB_OFFLINE": "1",
            **self.variables,
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command in the background, which an interrupt reaches even where the tests themselves ignore it."""
        return subprocess.Popen(
            [sys.executable, "-c", RUN, *words],
            cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def harness(self, *words: str, code: int = 0) -> Outcome:
        """A command, run to its end; its exit code is checked."""
        process = self.start(*words)
        out, err = process.communicate(timeout=600)
        assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        return Outcome(process.returncode, out, err)

    @property
    def ran(self) -> list[str]:
        """What the toy plugin ran so far."""
        path = self.folder / "ran.txt"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write(SUITE)
    return made
