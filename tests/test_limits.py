"""`[limits]`: what is read of it, and that no key knows of it."""

from __future__ import annotations

import errno
import json
import mmap
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
import suite_helpers as helpers
from conftest import TOY

from harness.executors import written
from harness.executors.local import LocalExecutor
from harness.executors.processes import held_mib
from harness.executors.running import run_stage
from harness.executors.stops import over_limit, trim
from harness.executors.written import written_mib
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


def test_a_stage_says_how_much_it_has_on_disk():
    limits = Limits({"disk_mib": 1000, "train.disk_mib": 2000})
    said = over_limit(stage("build"), limits, 0, None, 1234.4)
    assert said.startswith("stopped at 1,234 MiB on disk (limits.disk_mib = 1000); raise it, as with --set limits.disk")
    assert over_limit(stage("train"), limits, 0, None, 1234.4) is None
    assert "what was trained is kept" in over_limit(stage("train"), limits, 0, None, 2001)


def test_what_is_written_is_what_it_takes_on_disk(tmp_path):
    """Holes take nothing, a second name nothing more, a link nothing of what it points to, wherever it lies."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one / "deep" / "er", two, tmp_path / "foreign"):
        folder.mkdir(parents=True)
    (one / "deep" / "er" / "model").write_bytes(os.urandom(3 << 20))
    (two / "temporary").write_bytes(os.urandom(2 << 20))
    (two / "again").hardlink_to(one / "deep" / "er" / "model")
    (tmp_path / "foreign" / "data").write_bytes(os.urandom(8 << 20))
    (one / "link").symlink_to(tmp_path / "foreign")
    (one / "file").symlink_to(tmp_path / "foreign" / "data")
    with (one / "holes").open("wb") as file:
        file.truncate(1 << 30)
    assert written_mib([one, two, tmp_path / "gone"]) == pytest.approx(5, abs=0.2)
    os.mkfifo(one / "pipe")
    assert written_mib([one, two]) == pytest.approx(5, abs=0.2)


def test_looking_is_rare_unless_the_disk_fills(tmp_path, monkeypatch):
    clock, free, looked = [100.0], [5000.0], []
    monkeypatch.setattr(written.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(written, "_free_mib", lambda disk: free[0])
    monkeypatch.setattr(written, "written_mib", lambda folders: looked.append(clock[0]) or 7.0)
    scales = written.Scales(limit_mib=1000)
    assert scales.weigh([], tmp_path) == 7.0
    for now, left in ((100.2, 5000), (101.9, 4751), (102.0, 4751), (102.2, 4400), (102.4, 4300), (104.3, 4000)):
        clock[0], free[0] = now, left
        scales.weigh([], tmp_path)
    assert looked == [100.0, 102.0, 102.2, 104.3]


def test_a_look_that_takes_long_is_not_repeated_soon(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(written.time, "monotonic", lambda: clock[0])

    def slow(folders):
        clock[0] += 1.0
        return 1.0

    monkeypatch.setattr(written, "written_mib", slow)
    scales = written.Scales(limit_mib=1e9)
    scales.weigh([], tmp_path)
    clock[0] = 19.0
    assert scales.weigh([], tmp_path) == 0.0
    clock[0] = 21.0
    assert scales.weigh([], tmp_path) == 1.0


def test_an_executor_that_stops_nothing_says_so(project):
    words = ("--only", "model=plain,seed=1", "--set", "limits.train.disk_mib=5")
    said = project.harness("run", "toys.toml", "--executor", "inline", *words, "--set", "limits.minutes=5").err
    assert re.search(
        r"warning: executor inline.* stops no stage: limits\.minutes, limits\.train\.disk_mib have no effect\. Use",
        said,
    )
    assert "have no effect" not in project.harness("run", "toys.toml", *words).err


def test_logs_are_cut_where_they_stand(tmp_path):
    """Whoever has one open to append goes on at its end."""
    log = tmp_path / "workers.log"
    with log.open("ab") as file:
        file.write(b"begin " + bytes(4 << 20) + b" end")
        file.flush()
        trim(log)
        file.write(b", and more")
    found = log.read_bytes()
    assert found.startswith(b"begin ")
    assert found.endswith(b" end, and more")
    assert "2,097,162 bytes left out" in found.decode()
    assert len(found) < 3 << 20
    trim(log)
    assert log.read_bytes() == found
    trim(tmp_path / "none")


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


def test_a_stage_can_be_stopped_and_others_go_on(store):
    task, asset = {"use": "toy", "params": {"examples": 10**9}}, {"origin": "made", "root": TOY, "files": []}
    hopeless = replace(stage(roles=["train"]), options={"task": task, "asset": asset})
    short = replace(stage(roles=["train"], n=1), options={**hopeless.options, "task": {"use": "toy", "params": {}}})
    executor = LocalExecutor(store, capacity=1, threads=1)
    try:
        executor.submit(hopeless)
        executor.wait(1.0)
        executor.stop(hopeless.key)
        assert list(store.staging.iterdir()) == []
        executor.submit(short)
        event = last(executor)
    finally:
        executor.close()
    assert event.key == short.key  # of the other nothing more is heard


def test_a_disk_that_is_too_full_for_a_traceback_is_still_the_reason(store):
    def full(error: Exception) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    event = run_stage(stage("prepare"), store, 1, surprised=full)  # without the options that it needs
    assert event.kind == "failed"
    assert event.reason.startswith("KeyError: ")
