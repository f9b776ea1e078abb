"""The store: complete or absent, first writer wins, damage is noticed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.keys import Ref, Stage
from harness.store import MANIFEST, Store, write_atomic

STAGE = Stage(kind="build", component="t/x", version=1, label="build x")
WHEN = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.create()
    return made


def put(store: Store, text: str = "weights", stage: Stage = STAGE) -> bool:
    with store.stage(stage.key) as out:
        (out / "out").mkdir()
        (out / "out" / "model.txt").write_text(text)
        return store.publish(stage, out, {"n": 1}, 1.5, WHEN)


def test_published_entry_is_found_sound_and_left_alone(store):
    assert store.entry(STAGE.key) is None
    assert put(store)
    entry = store.entry(STAGE.key)
    assert entry.facts == {"n": 1}
    assert entry.seconds == 1.5
    assert store.verify(STAGE.key) is None
    assert (store.path(Ref(STAGE.key)) / "model.txt").read_text() == "weights"
    assert list(store.staging.iterdir()) == []


def test_first_writer_wins(store):
    assert put(store, "first")
    assert not put(store, "second")
    assert (store.path(Ref(STAGE.key)) / "model.txt").read_text() == "first"


def test_a_damaged_entry_gives_way(store):
    put(store, "first")
    (store.path(Ref(STAGE.key)) / "model.txt").write_text("broken!")
    assert put(store, "second")
    assert store.verify(STAGE.key) is None


def test_an_entry_without_manifest_does_not_exist(store):
    put(store)
    (store.folder(STAGE.key) / MANIFEST).unlink()
    assert store.entry(STAGE.key) is None
    assert store.sound([STAGE.key]) == set()
    assert not store.folder(STAGE.key).exists()


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "manifest"])
def test_every_damage_is_detected_and_counts_as_absent(store, damage):
    put(store, "x" * 1000)
    path = store.path(Ref(STAGE.key)) / "model.txt"
    if damage == "flip":
        content = bytearray(path.read_bytes())
        content[500] ^= 1
        path.write_bytes(content)
    elif damage == "truncate":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "delete":
        path.unlink()
    else:
        (store.folder(STAGE.key) / MANIFEST).write_text("{")
    assert store.verify(STAGE.key) is not None
    assert store.sound([STAGE.key]) == set()
    assert store.entry(STAGE.key) is None


def test_a_full_disk_is_a_clear_error_and_publishes_nothing(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "model.txt")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StoreError, match=r"publishing build x in the store .*: No space left on device .*HARNESS_STORE"
    ):
        put(store)
    assert store.entry(STAGE.key) is None
    assert list(store.objects.glob("*/*")) == []


def _writer(root: str, key_count: int) -> None:
    store = Store(Path(root))
    for n in range(key_count):
        put(store, str(os.getpid()), Stage(kind="build", component="t/x", version=n, label=f"b{n}"))


def test_killed_writers_leave_no_torn_entry(store):
    context = multiprocessing.get_context("spawn")
    for round_ in range(4):
        writers = [context.Process(target=_writer, args=(str(store.root), 60)) for _ in range(2)]
        for writer in writers:
            writer.start()
        time.sleep(0.35 + 0.1 * round_)
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        folders = [path.name for path in store.objects.glob("??/*")]
        assert [store.verify(key) for key in folders] == [None] * len(folders)
    _writer(str(store.root), 60)
    assert len(list(store.entries())) == 60


def test_write_atomic_replaces_in_one_step(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    write_atomic(path, "one")
    write_atomic(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
