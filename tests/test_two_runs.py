"""Two runs that share a store: what the one removes or makes again is no fault of the other's plugins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SUITE, TOY

from harness.cli.common import open_suite
from harness.executors import Event
from harness.executors.inputs import difference, state_of
from harness.executors.local import LocalExecutor
from harness.executors.running import run_stage
from harness.keys import Stage
from harness.store import Store, files_under


def made_again(store: Store, key: str) -> None:
    """What another run does with an entry: the same files once more, renamed to their place."""
    copy = store.staging / "again"
    shutil.copytree(store.folder(key), copy)
    store.discard(key)
    copy.rename(store.folder(key))


@pytest.fixture
def stages(tmp_path: Path, monkeypatch) -> list[Stage]:
    monkeypatch.syspath_prepend(TOY)
    monkeypatch.setenv("PYTHONPATH", TOY)
    monkeypatch.setenv("TOY_RAN", os.devnull)
    (tmp_path / "toys.toml").write_text(SUITE)
    return [*open_suite(str(tmp_path / "toys.toml"), None, (), rehearse=False, weights="given").plan().stages.values()]


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    store = Store(tmp_path / "store")
    store.create()
    made = LocalExecutor(store, capacity=1, threads=1)
    yield made
    if made._workers:
        made.close()


def ended(executor: LocalExecutor, stage: Stage) -> Event:
    executor.submit(stage)
    while True:
        for event in executor.wait(5):
            if event.kind != "progress":
                return event


def test_inputs_that_another_run_made_again_are_no_damage(executor, stages):
    kinds = []
    for stage in stages:
        for key in stage.needs:
            made_again(executor.store, key)
        assert (ended(executor, stage).reason, stage.label) == ("", stage.label)
        kinds.append(stage.kind)
    assert {"prepare", "build", "predict", "score", "compress"} <= {*kinds}


def test_inputs_that_are_made_again_while_a_stage_reads_them_are_no_damage(executor, stages):
    for stage in stages:
        executor.submit(stage)
        for key in stage.needs:
            made_again(executor.store, key)
        event = next(event for _ in range(100) for event in executor.wait(5) if event.kind != "progress")
        assert "read-only" not in event.reason
        assert event.kind == "done" or ended(executor, stage).kind == "done"  # it read in the very moment


def test_inputs_that_are_another_than_they_should_be_still_are(executor, stages):
    """Whoever makes them so in between."""
    first = next(stage for stage in stages if stage.needs)
    for stage in stages[: stages.index(first)]:
        ended(executor, stage)
    executor.submit(first)
    victim = next(path for path in files_under(executor.store.folder(first.needs[0])) if path.suffix == ".json")
    victim.write_text(victim.read_text() + " ")
    event = next(event for _ in range(100) for event in executor.wait(5) if event.kind != "progress")
    assert "among its inputs, which are read-only" in event.reason
    assert event.damaged == (first.needs[0],)


def test_a_change_that_keeps_size_and_time_is_seen(executor, stages):
    first = next(stage for stage in stages if stage.needs)
    for stage in stages[: stages.index(first)]:
        ended(executor, stage)
    executor.submit(first)
    victim = next(path for path in files_under(executor.store.folder(first.needs[0])) if path.suffix == ".json")
    was = victim.stat()
    with victim.open("r+b") as file:
        file.write(b" ")
    os.utime(victim, ns=(was.st_atime_ns, was.st_mtime_ns))
    event = next(event for _ in range(100) for event in executor.wait(5) if event.kind != "progress")
    assert "among its inputs, which are read-only" in event.reason


def test_a_second_name_of_an_input_is_no_change(executor, stages, tmp_path):
    first = next(stage for stage in stages if stage.needs)
    for stage in stages[: stages.index(first)]:
        ended(executor, stage)
    executor.submit(first)
    for number, path in enumerate(files_under(executor.store.folder(first.needs[0]))):
        (tmp_path / f"link{number}").hardlink_to(path)
    event = next(event for _ in range(100) for event in executor.wait(5) if event.kind != "progress")
    assert event.reason == ""


def test_what_a_run_leaves_in_the_stores_staging_is_removed_and_nothing_of_anothers(executor, stages):
    """Neither keys nor process numbers tell whose it is: those of machines that share a store may be the same."""
    first, second = stages[0], stages[1]
    other = LocalExecutor(executor.store, capacity=1, threads=1)
    ended(executor, first)
    other.submit(second)
    try:
        [mine], [theirs] = executor._workers, other._workers
        foreign = executor.store.staging / f"{first.key[:12]}-{theirs.mark}-0a1b2c3d"
        left = executor.store.staging / f"{first.key[:12]}-{mine.mark}-0a1b2c3d"
        for folder in (foreign, left):
            folder.mkdir()
        executor.close()
        assert foreign.exists()
        assert not left.exists()
        assert not mine.place.exists()
        assert theirs.place.exists()
    finally:
        other.close()
    assert not theirs.place.exists()


def test_a_folder_that_goes_away_is_looked_at_without_harm(tmp_path, monkeypatch):
    folder = tmp_path / "entry"
    for name in ("a/1.txt", "a/2.txt", "b/3.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    before = state_of(folder)
    whole = Path.lstat

    def leaving(path: Path) -> os.stat_result:
        shutil.rmtree(folder, ignore_errors=True)
        return whole(path)

    monkeypatch.setattr(Path, "lstat", leaving)
    now = state_of(folder)
    assert now == {}
    assert difference(before, now) == "removed 'a/1.txt'"
    assert state_of(folder) == {}


def test_a_link_to_a_folder_is_a_stranger_in_an_entry(tmp_path):
    store = Store(tmp_path)
    store.create()
    one = Stage(kind="build", component="t/x", version=1, params={}, label="one")
    with store.stage(one.key) as out:
        (out / "out").mkdir()
        (out / "out" / "x.txt").write_text("x")
        store.publish(one, out, {}, 1.0, "now")
    assert store.verify(one.key) is None
    (store.folder(one.key) / "out" / "more").symlink_to(tmp_path)
    assert store.verify(one.key) == "out/more: is no file of this entry"


def test_who_fails_after_another_machine_has_made_the_result_is_done(executor, stages, monkeypatch):
    """Two may work on one stage where a claim was taken over, and the first to end removes what both resume from."""
    store, first = executor.store, stages[0]

    def late(work) -> dict[str, object]:
        with store.stage(first.key) as out:
            (out / "out").mkdir()
            (out / "out" / "x.txt").write_text("the other's")
            store.publish(first, out, {}, 1.0, "now")
        raise FileNotFoundError(2, "No such file or directory", str(work.scratch / "state"))

    said: list[Exception] = []
    monkeypatch.setattr("harness.executors.running.execute", late)
    assert run_stage(first, store, 1, surprised=said.append).kind == "done"
    assert store.verify(first.key) is None
    store.discard(first.key)

    def failing(work) -> dict[str, object]:
        raise FileNotFoundError(2, "No such file or directory", "state")

    monkeypatch.setattr("harness.executors.running.execute", failing)
    assert run_stage(first, store, 1, surprised=said.append).kind == "failed"
