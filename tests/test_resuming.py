"""What a person who comes back is told, and two who amend one matrix at once."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from conftest import SUITE

from harness import runs
from harness.store import Store

SLOW = SUITE.replace('use = "toy"\n[models.plain]', 'use = "toy"\nrounds = 250_000_000\n[models.plain]')


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.create()
    return made


def wait_for(condition, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_run_that_was_killed_is_recognised_once_and_what_it_made_is_kept(project):
    project.harness("run", "toys.toml", "--only", "model=plain,seed=1")
    project.write(SLOW.replace("250_000_000", "900_000_000"))
    folder = project.folder / ".harness/runs"
    run = project.start("run", "toys.toml")
    wait_for(lambda: [path for path in folder.glob("*.json") if path.stat().st_size])
    run.kill()
    run.communicate()
    project.write(SUITE)
    done = project.harness("run", "toys.toml")
    assert f"a run of it was left (process {run.pid} on " in done.err
    assert "of 25 stages): nothing that it finished is lost, this one goes on from there" in done.err
    assert "kept: 7 stages, " in done.err
    assert "; left: 18 stages; about " in done.err
    again = project.harness("run", "toys.toml")
    assert "was left" not in again.err
    assert "kept:" not in again.err
    assert list(folder.glob("*.json")) == []


def test_two_people_who_amend_one_matrix_share_its_stages(project):
    """One runs two seeds, the other a third as well: what both need is made once, by whoever comes first."""
    project.write(SLOW, "one.toml")
    project.write(SLOW.replace("[1, 2]", "[1, 2, 3]"), "two.toml")
    first = project.start("run", "one.toml", "--reports", "one")
    wait_for(lambda: project.ran)
    seen = json.loads(project.harness("cache", "who", "--json").out)
    assert [run["holder"]["pid"] for run in seen["runs"]] == [first.pid]
    assert [stage["label"] for stage in seen["stages"]] == ["prepare toy"]
    second = project.harness("run", "two.toml", "--reports", "two")
    _, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert "another run of it goes on (process " in second.err
    assert f"waits    prepare toy: another run makes it (process {first.pid} on " in second.err
    ran = project.ran
    assert ran.count("prepare") == 1
    published = list((project.folder / ".harness/objects").glob("??/*"))
    assert len(published) == 37 == len({path.name for path in published})
    assert list((project.folder / ".harness/claims").iterdir()) == []
    assert "0 runs, 0 stages at work" in project.harness("cache", "who").err


def test_how_far_a_run_is_can_be_seen(store):
    with runs.announced(store, "toys", 3) as run:
        run.finished("a")
        run.finished("a")
        (seen,) = runs.found(store)
        assert (seen.name, seen.goes_on, seen.done, seen.stages) == ("toys", True, 1, 3)
        assert str(seen).startswith(f"process {os.getpid()} on ")
    assert runs.found(store) == []


def test_a_run_elsewhere_that_has_been_silent_for_long_was_left(store):
    path = store.runs / "0a.json"
    holder = {"host": "node7", "system": "another boot", "pid": 17, "born": 4}
    path.write_text(json.dumps({"name": "toys", "since": "then", "stages": 9, "done": 4, "holder": holder}))
    assert runs.found(store)[0].goes_on
    old = time.time() - 1000
    os.utime(path, (old, old))
    (seen,) = runs.found(store)
    assert (seen.goes_on, str(seen)) == (False, "process 17 on node7, since then, 4 of 9 stages")


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"name": 3, "stages": "x", "holder": []}', '{"name": "\\u001b[31m"}']
)
def test_what_nobody_can_have_written_hurts_nobody(store, text):
    (store.runs / "0a.json").write_text(text)
    (seen,) = runs.found(store)
    assert (seen.name, seen.stages, seen.holder) == ("", 0, None)


def test_a_store_that_takes_no_announcement_stops_no_run(store):
    store.runs.rmdir()
    with runs.announced(store, "toys", 3) as run:
        run.finished("a")


@pytest.mark.parametrize("command", ["ls", "who", "verify"])
def test_a_store_that_is_not_there_is_no_sound_one(project, command):
    done = project.harness("cache", command, code=5)
    assert "there is no store at .harness: run a suite here first, or set HARNESS_STORE" in done.err
