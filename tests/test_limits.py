"""`[limits]`: what is read of it, and that no key knows of it."""

from __future__ import annotations

import json
import mmap
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import suite_helpers as helpers
from conftest import TOY

from harness.executors.local import LocalExecutor
from harness.executors.processes import held_mib
from harness.executors.stops import over_limit
from harness.keys import Stage
from harness.limits import Limits
from harness.store import Store

SUITE = helpers.HEAD + helpers.MODELS


def limits(text: str = "", *overrides: str):
    return helpers.parse(SUITE + text, *overrides).limits


def test_a_kind_of_stage_has_its_own_figure_else_that_of_all():
    found = limits("[limits]\nminutes = 60\nmemory_mib = 8000\ntrain = { minutes = 600 }\n")
    assert (found.of("train", "minutes").value, found.of("train", "minutes").key) == (600, "limits.train.minutes")
    assert (found.of("train", "memory_mib").value, found.of("train", "memory_mib").key) == (8000, "limits.memory_mib")
    assert found.of("compress", "minutes").key == "limits.minutes"


def test_nothing_is_limited_unless_it_is_said():
    assert limits().of("train", "minutes") is None
    assert limits("[limits]\ntrain = { minutes = 1 }\n").of("build", "minutes") is None


def test_the_command_line_raises_a_limit():
    assert limits("[limits]\nminutes = 1\n", "limits.train.minutes=600").of("train", "minutes").value == 600


def test_wrong_limits_are_named_with_what_is_allowed():
    (line,) = helpers.problems(SUITE + "[limits]\nminutes = 0\n")
    assert "limits.minutes: expected a value greater than 0, got 0" in line
    (line,) = helpers.problems(SUITE + "[limits]\ntrian = { minutes = 5 }\n")
    assert "limits.trian: unknown key. Did you mean 'train'?" in line


def test_no_key_knows_of_limits(project):
    project.harness("run", "toys.toml", "--only", "model=plain,seed=1")
    limited = ("--set", "limits.minutes=60", "--set", "limits.train.memory_mib=8000")
    again = project.harness("run", "toys.toml", "--only", "model=plain,seed=1", *limited)
    assert "stages: 0 done, 7 from the store" in again.err


def stage(kind: str = "prepare", **params) -> Stage:
    return Stage(kind=kind, component="toy-harness/toy", version=1, params=params, label="a stage")


def test_a_limit_says_its_key_and_what_to_do():
    limits = Limits({"minutes": 60, "train.minutes": 0.5, "memory_mib": 1})
    assert over_limit(stage("train"), limits, 29, None) is None
    said = over_limit(stage("train"), limits, 31, None)
    assert said.startswith(
        "stopped after 0.5 min (limits.train.minutes = 0.5); raise it, as with --set limits.train.min"
    )
    assert "what was trained is kept" in said
    assert over_limit(stage("build"), limits, 3599, None) is None
    assert "what was trained" not in over_limit(stage("build"), limits, 3601, None)
    own = os.getpid()
    assert over_limit(stage("build"), limits, 0, own).startswith("stopped at ")
    assert over_limit(stage("build"), Limits({"memory_mib": 10**6}), 0, own) is None


def test_memory_is_what_processes_hold_not_what_they_have_mapped(tmp_path):
    before = held_mib(os.getpid())
    big = tmp_path / "big"
    big.write_bytes(bytes(64 << 20))
    with big.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: 1 << 12]) == 0  # every page is resident now
        assert held_mib(os.getpid()) - before < 32
    kept = bytearray(b"x") * (64 << 20)
    assert held_mib(os.getpid()) - before > 48
    del kept


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("PYTHONPATH", TOY)
    made = Store(tmp_path / "store")
    made.create()
    return made


def last(executor: LocalExecutor, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for event in executor.wait(0.2):
            if event.kind != "progress":
                return event
    raise AssertionError("nothing came of it")


def test_what_was_trained_is_kept_and_the_staged_result_is_not(store):
    """Where a stage is stopped, its scratch is what the next attempt resumes from."""
    task = {"use": "toy", "params": {"examples": 10**9}}  # would take hours
    asset = {"origin": "made", "root": TOY, "files": []}
    hopeless = replace(stage(roles=["train"]), options={"task": task, "asset": asset})
    (store.scratch / hopeless.key).mkdir()
    (store.scratch / hopeless.key / "state").write_text(json.dumps({"epoch": 3}))
    executor = LocalExecutor(store, capacity=1, threads=1, limits=Limits({"prepare.minutes": 0.02}))
    try:
        executor.submit(hopeless)
        event = last(executor)
    finally:
        executor.close()
    assert event.kind == "failed"
    assert event.reason.startswith("stopped after 0.02 min (limits.prepare.minutes = 0.02)")
    log = Path(event.log).read_text()
    assert "most recent call first" in log, "the reason sends people to the log to see what took so long"
    assert "toy" in log
    assert (store.scratch / hopeless.key / "state").exists()
    assert list(store.staging.iterdir()) == []
    assert store.entry(hopeless.key) is None
