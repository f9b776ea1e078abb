"""Observers: told everything, in order, once; whatever they do, the run goes on."""

from __future__ import annotations

import json
import threading
import time

import pytest

from harness import observing
from harness.executors import Event
from harness.keys import Stage
from harness.observing import Audience, Listener
from harness.runner import Outcome

STAGE = Stage(kind="build", component="t/x", version=1, label="build x")


class Ear:
    """Remembers what it was told."""

    def __init__(self):
        self.heard = []

    def notice(self, notice):
        self.heard.append(notice)


def listen(make, said):
    return Listener(make, said.append)


def test_everything_is_told_in_order_and_a_stage_is_finished_once():
    ear, said = Ear(), []
    with Audience([listen(lambda: ear, said)], "toys", {"cells": 8}) as audience:
        audience.stage("started", STAGE, Event(kind="started", key=STAGE.key))
        audience.stage("progress", STAGE, Event(kind="progress", key=STAGE.key, done=1, total=3, note="half"))
        audience.stage("finished", STAGE, Outcome(status="ok", seconds=2.5))
        audience.stage("finished", STAGE, Outcome(status="cached"))  # the next plan finds it in the store
        audience.status = "failed"
    assert [notice.what for notice in ear.heard] == [
        "run-started", "stage-started", "stage-progress", "stage-finished", "run-finished",
    ]  # fmt: skip
    first, _, progress, finished, last = ear.heard
    assert (first.label, first.facts) == ("toys", {"cells": 8})
    assert (progress.done, progress.total, progress.note) == (1, 3, "half")
    assert (finished.label, finished.key, finished.status, finished.seconds) == ("build x", STAGE.key, "ok", 2.5)
    assert last.status == "failed"
    assert said == []


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "interrupted"), (ValueError, "error")])
def test_the_last_notice_comes_whatever_ends_the_run(error, status):
    ear = Ear()
    with pytest.raises(error), Audience([listen(lambda: ear, [])], "toys", {}):
        raise error
    assert [notice.status for notice in ear.heard] == ["", status]


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ValueError("boom\x1b[31m\nsecond"), "ValueError: boom\\x1b[31m"),
        (SystemExit(3), "SystemExit: 3"),
        (Unspeakable(), "Unspeakable"),
    ],
)
@pytest.mark.parametrize("where", ["factory", "notice"])
def test_a_fault_drops_the_observer_alone_and_is_said_once(error, why, where):
    class Faulty(Ear):
        def __init__(self):
            super().__init__()
            if where == "factory":
                raise error

        def notice(self, notice):
            raise error

    ear, said = Ear(), []
    with Audience([listen(Faulty, said), listen(lambda: ear, [])], "toys", {}) as audience:
        for _ in range(5):
            audience.stage("finished", STAGE, Outcome(status="ok"))
    assert said == [why]
    assert len(ear.heard) == 7


def test_what_hangs_costs_a_run_its_patience_once(monkeypatch):
    monkeypatch.setattr(observing, "PATIENCE", 0.3)
    monkeypatch.setattr(observing, "ROOM", 10)
    free = threading.Event()

    class Hanging(Ear):
        def notice(self, notice):
            free.wait()

    said = []
    began = time.monotonic()
    with Audience([listen(Hanging, said)], "toys", {}) as audience:
        for _ in range(1000):
            audience.stage("started", STAGE, Event(kind="started", key=STAGE.key))
    assert time.monotonic() - began < 5  # 1000 waits of the whole patience would take five minutes
    assert said == ["it is slow: 10 notices wait, and the run has waited 0.3 s"]
    free.set()


def test_what_is_slow_without_end_costs_no_more(monkeypatch):
    monkeypatch.setattr(observing, "PATIENCE", 0.3)
    monkeypatch.setattr(observing, "ROOM", 1)

    class Slow(Ear):
        def notice(self, notice):
            time.sleep(0.05)  # there is always room soon, so no single wait is long

    said = []
    with Audience([listen(Slow, said)], "toys", {}) as audience:
        for _ in range(60):
            audience.stage("started", STAGE, Event(kind="started", key=STAGE.key))
    assert said == ["it is slow: 1 notices wait, and the run has waited 0.3 s"]


def test_what_hangs_at_the_end_is_left_behind(monkeypatch):
    monkeypatch.setattr(observing, "PATIENCE", 0.2)
    free = threading.Event()
    said = []
    with Audience([listen(lambda: free.wait() and Ear(), said)], "toys", {}):
        pass
    assert said == ["it is slow: the run has ended and waited 0.2 s; its last notices may be lost"]
    free.set()


def test_a_burst_is_waited_for_by_those_who_keep_up(monkeypatch):
    monkeypatch.setattr(observing, "ROOM", 4)
    ear, said = Ear(), []
    with Audience([listen(lambda: ear, said)], "toys", {}) as audience:
        for _ in range(500):
            audience.stage("started", STAGE, Event(kind="started", key=STAGE.key))
    assert len(ear.heard) == 502
    assert said == []


def events(project, name="events.jsonl"):
    return [json.loads(line) for line in (project.folder / name).read_text(encoding="utf-8").splitlines()]


def test_events_of_a_run_follow_each_other_in_a_file(project):
    done = project.harness("run", "toys.toml", "--observe", "events=logs/events.jsonl", "--observe", "events=b.jsonl")
    assert "observer" not in done.err
    found = events(project, "logs/events.jsonl")
    assert [event["what"] for event in found] == [event["what"] for event in events(project, "b.jsonl")]
    assert found[0]["what"] == "run-started"
    assert found[0]["facts"]["cells"] == 8
    finished = [event for event in found if event["what"] == "stage-finished"]
    assert len({event["key"] for event in finished}) == len(finished) == 25
    assert {event["status"] for event in finished} == {"ok"}
    assert {"time", "label", "kind", "seconds"} <= set(finished[0])
    assert (found[-1]["what"], found[-1]["status"]) == ("run-finished", "ok")
    project.harness("run", "toys.toml", "--observe", "events=logs/events.jsonl")
    again = events(project, "logs/events.jsonl")[len(found) :]
    assert [e["status"] for e in again if e["what"] == "stage-finished"] == ["cached"] * 25


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("events", "--observe events: path: required key is missing"),
        ("events=pth=x.jsonl", "--observe events: pth: unknown key. Did you mean 'path'?"),
        ("events=/dev/null/x.jsonl", "FileExistsError: [Errno 17] File exists: '/dev/null'"),
    ],
)
def test_an_observer_that_cannot_be_made_fails_no_run(project, asked, why):
    done = project.harness("run", "toys.toml", "--observe", asked)
    (said,) = [line for line in done.err.splitlines() if "observer" in line]
    assert said.startswith("observer events (harness ")
    assert "was dropped, the run goes on: " in said
    assert why in said
    assert (project.folder / "reports/toys.md").exists()


def test_an_unknown_observer_is_2_with_the_choices_before_anything_runs(project):
    done = project.harness("run", "toys.toml", "--observe", "evnts=x", code=2)
    assert "--observe: 'evnts' is not a known observer. Did you mean 'events'? Known: " in done.err
    assert project.ran == []


def test_nobody_watches_unasked(project):
    before = set(project.folder.iterdir())
    project.harness("run", "toys.toml")
    made = {path.name for path in set(project.folder.iterdir()) - before}
    assert made == {".harness", "reports", "ran.txt"}
