"""A worker's family: found without a look at every process of the machine."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from conftest import SUITE

from harness.cli.stages import _ended_like_an_interrupt
from harness.executors import processes
from harness.store import Store


def refuse(*_, **__):
    raise AssertionError("every process of the machine was read")


@pytest.fixture
def family():
    """A child and a grandchild of this process."""
    before = processes.running()
    child = subprocess.Popen(["/bin/sh", "-c", "sleep 71 & wait"])
    try:
        until = time.monotonic() + 20
        while len(found := psutil.Process(child.pid).children(recursive=True)) < 1 and time.monotonic() < until:
            time.sleep(0.01)
        yield before, [child.pid, found[0].pid]
    finally:
        processes.end(child.pid, "no mark is like this")
        child.wait()


@pytest.mark.skipif(not processes._LISTS.exists(), reason="this kernel keeps no lists of children")
def test_descendants_come_from_the_kernels_lists(family, monkeypatch):
    before, expected = family
    monkeypatch.setattr(psutil.Process, "children", refuse)
    assert processes.running() - before == {*expected}


def test_descendants_are_found_where_there_are_no_lists(family, monkeypatch):
    before, expected = family
    monkeypatch.setattr(processes, "_LISTS", Path("/nowhere"))
    assert processes.running() - before == {*expected}


def test_what_is_left_running_is_named(family, monkeypatch):
    before, _ = family
    monkeypatch.setattr(processes, "_ENDING_S", 0.1)
    assert sorted(processes.left_running(before)) == ["/bin/sh -c sleep 71 & wait", "sleep 71"]
    assert processes.left_running(processes.running()) == []


def test_a_family_ends_as_a_whole(family):
    _, pids = family
    whole = [psutil.Process(pid) for pid in pids]
    processes.end(pids[0], "no mark is like this")
    _, alive = psutil.wait_procs(whole, timeout=5)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def sleepers(ran: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            found += [process] if process.environ().get("TOY_RAN") == ran and process.name() == "sleep" else []
        except (psutil.Error, OSError):
            continue
    return found


def waiting(project) -> subprocess.Popen:
    """A run whose plugin has started a process and waits for it."""
    chain = 'round = ["toy-round"]\nbad = [{ use = "toy-hostile", how = "waiting" }]'
    suite = SUITE.replace('round = ["toy-round"]', chain).replace('["none", "round"]', '["none", "bad"]')
    project.write(suite.replace("seed = [1, 2]", "seed = [1]"))
    run = project.start("run", "toys.toml", "--workers", "1")
    until = time.monotonic() + 60
    while not sleepers(project.environment["TOY_RAN"]) and time.monotonic() < until:
        time.sleep(0.05)
    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_run_that_is_told_to_end_takes_along_what_its_stages_started(project, number):
    if number != signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever started the tests has them ignore it, and so does what they start")
    run = waiting(project)
    run.send_signal(number)
    _, err = run.communicate(timeout=60)
    left = sleepers(project.environment["TOY_RAN"])
    for process in left:
        process.kill()
    assert (run.returncode, left) == (130, [])
    assert "the same command goes on from there" in err
    assert list(Store(project.folder / ".harness").staging.iterdir()) == []


def test_a_run_that_is_killed_leaves_nothing_that_its_stages_started(project):
    run = waiting(project)
    assert sleepers(project.environment["TOY_RAN"])
    run.kill()
    run.communicate()
    until = time.monotonic() + 30
    while (left := sleepers(project.environment["TOY_RAN"])) and time.monotonic() < until:
        time.sleep(0.05)
    for process in left:
        process.kill()
    assert left == []


def test_what_is_ignored_stays_ignored_and_what_was_set_is_put_back(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _ended_like_an_interrupt():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
