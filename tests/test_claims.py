"""Who works on what: claims are made, seen, lost, left by the dead and never believed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import heartbeats
from harness.claims import Claims
from harness.errors import StoreError
from harness.heartbeats import Holder, myself, read
from harness.keys import Stage
from harness.store import Store

STAGE = Stage(kind="build", component="t/x", version=1, label="build x")
HOLD = """
import sys, time
from pathlib import Path
from harness.claims import Claims
from harness.keys import Stage
claim = Claims(Path(sys.argv[1])).take(Stage(kind="build", component="t/x", version=1, label="build x"))
print("taken" if claim else "refused", flush=True)
time.sleep(613)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = Store(tmp_path / "store")
    store.create()
    return store.claims


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(heartbeats, "SILENT_S", 0.3)


def elsewhere(folder: Path, **changed) -> Path:
    """A claim as a process of another machine leaves it."""
    path = folder / f"{STAGE.key}.json"
    holder = {"host": "node7", "system": "another boot", "pid": 17, "born": 4, **changed}
    path.write_text(json.dumps({"label": "build x", "since": "2026-11-22T00:00:00+00:00", "holder": holder}))
    return path


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[subprocess.Popen]:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "taken\n"
        yield process
        process.kill()


def test_a_claim_is_exclusive_and_free_after_its_end(folder):
    first = Claims(folder).take(STAGE)
    assert Claims(folder).take(STAGE) is None
    assert not first.is_lost
    first.end()
    assert list(folder.iterdir()) == []
    assert Claims(folder).take(STAGE)


def test_who_works_is_said_with_how_far_it_is(folder):
    claim = Claims(folder).take(STAGE)
    claim.tell(3, 8, "epoch 1")
    seen = Claims(folder).look(STAGE.key)
    assert (seen.label, seen.done, seen.total, seen.note) == ("build x", 3, 8, "epoch 1")
    assert str(seen).startswith(f"process {os.getpid()} on ")
    assert not claim.is_lost
    claim.end()
    assert Claims(folder).look(STAGE.key) is None


def test_the_claim_of_a_killed_process_is_free_at_once(folder):
    claims = Claims(folder)
    with holding(folder):
        assert claims.take(STAGE) is None
    assert claims.take(STAGE)


def test_the_claim_of_a_frozen_process_is_free_after_its_silence_and_lost_to_it(folder, impatient):
    with holding(folder) as process:
        process.send_signal(signal.SIGSTOP)
        claims = Claims(folder)
        assert claims.take(STAGE) is None
        time.sleep(0.4)
        mine = claims.take(STAGE)
        assert mine
        process.send_signal(signal.SIGCONT)
        time.sleep(2 * heartbeats.BEAT_S)  # it beats again, and must not believe that the file is its own
        assert not mine.is_lost


def test_a_number_that_came_back_is_another_process(folder):
    path = elsewhere(folder)
    stale = {**vars(myself()), "born": myself().born - 1}
    path.write_text(json.dumps({"holder": stale}))
    assert Claims(folder).take(STAGE)


def test_one_elsewhere_lives_while_its_file_moves_and_whatever_the_clocks_say(folder, impatient):
    path, claims = elsewhere(folder), Claims(folder)
    assert claims.take(STAGE) is None
    for when in (4e9, 1.0, 2e9):  # years away, in either direction
        time.sleep(0.2)
        os.utime(path, (when, when))
        assert claims.take(STAGE) is None
    assert str(claims.look(STAGE.key)) == "process 17 on node7, since 2026-11-22T00:00:00+00:00"
    time.sleep(0.4)
    assert claims.look(STAGE.key) is None
    assert claims.take(STAGE)


def test_a_beat_moves_the_file(folder, monkeypatch):
    claim = Claims(folder).take(STAGE)
    before = read(claim.beat.path).mark
    os.utime(claim.beat.path, (1.0, 1.0))
    deadline = time.monotonic() + 20
    while read(claim.beat.path).mark[1] == 10**9:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert read(claim.beat.path).mark[0] == before[0]
    claim.end()


def test_whoever_has_a_stage_done_loses_the_claim_to_the_one_who_does_it(folder):
    asked = Claims(folder).take(STAGE)
    doing = Claims(folder).take_over(STAGE)
    assert (asked.is_lost, doing.is_lost) == (True, False)
    asked.end()
    assert not doing.is_lost
    Claims(folder).stop(STAGE.key)
    assert doing.is_lost
    doing.tell(1, 2, "on")
    doing.end()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '"x"', '{"holder": 3}', '{"holder": {}}', "[" * 100_000, "9" * 5000, "\x00",
        json.dumps({"holder": {"host": 1, "system": "s", "pid": "1", "born": 0}}),
        json.dumps({"label": ["x"], "note": {"a": 1}, "done": "3", "total": True, "holder": None}),
        json.dumps({"holder": {"host": "h", "system": myself().system, "pid": 2**70, "born": 0}}),
        json.dumps({"holder": {"host": "h", "system": myself().system, "pid": -1, "born": 0}}),
        json.dumps({"label": "\x1b[31mred\u202e", "since": 3}),
        "x" * (heartbeats.LARGEST + 1),
    ],
)  # fmt: skip
def test_what_nobody_can_have_written_is_somebody_who_falls_silent(folder, impatient, text):
    (folder / f"{STAGE.key}.json").write_text(text)
    claims = Claims(folder)
    seen = claims.look(STAGE.key)
    assert seen.holder is None
    assert str(seen).startswith("somebody, since ")
    assert "\x1b" not in seen.label
    assert claims.take(STAGE) is None
    time.sleep(0.4)
    assert claims.take(STAGE)


def test_a_claim_made_while_a_dead_ones_is_cleared_is_put_back(folder, monkeypatch):
    """Two runs see the same dead one; the slower must not clear what the faster has claimed since."""
    path, claims = elsewhere(folder), Claims(folder)
    dead = read(path)
    path.unlink()
    faster = Claims(folder).take(STAGE)
    claims._clear(path, dead)
    assert not faster.is_lost


def test_a_claim_stays_lost_though_its_inode_comes_back(folder):
    """A worker that was frozen wakes: each word of the one that has its stage now is a file with a recycled inode."""
    frozen = Claims(folder).take(STAGE)
    doing = Claims(folder).take_over(STAGE)
    for done in range(6):
        doing.tell(done, 6, "")
        assert (frozen.is_lost, doing.is_lost) == (True, False)


def test_a_disk_that_refuses_a_claim_is_named_and_nothing_is_left(folder, monkeypatch):
    claim = Claims(folder).take(STAGE)

    def full(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(Path, "write_bytes", lambda path, _: (path.touch(), full()))
    claim.tell(1, 2, "on")
    assert not claim.is_lost
    claim.end()
    monkeypatch.setattr(heartbeats, "_packed", full)
    with pytest.raises(StoreError, match=r"claiming build x in the store .*No space left.*Free space"):
        Claims(folder).take(STAGE)
    assert list(folder.iterdir()) == []


def test_a_pipe_in_the_place_of_a_claim_is_not_waited_for(folder, impatient):
    os.mkfifo(folder / f"{STAGE.key}.json")
    claims = Claims(folder)
    assert claims.take(STAGE) is None
    time.sleep(0.4)
    assert claims.take(STAGE)


def test_a_holder_reads_well():
    assert str(Holder(host="node7", system="s", pid=3, born=4)) == "process 3 on node7"
