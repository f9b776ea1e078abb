"""A worker's family: found without a look at every process of the machine."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from harness.executors import processes


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
