"""The store: complete or absent, first writer wins, damage is noticed."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.keys import Ref, Stage
from harness.manifest import MANIFEST, sealed
from harness.store import Store, write_atomic

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


def test_every_byte_of_every_file_of_an_entry_is_watched(store):
    """The manifest too: facts in it are what reports say."""
    put(store)
    entry = store.folder(STAGE.key)
    count = 0
    for path in sorted(path for path in entry.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for place in range(len(whole)):
            for bit in (0, 5):
                path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
                assert store.verify(STAGE.key), (path.name, place, bit)
                count += 1
        for changed in (whole[:-1], whole + b"x", whole + b" ", b""):
            path.write_bytes(changed)
            assert store.verify(STAGE.key) or json.loads(changed) == json.loads(whole), (path.name, changed[-9:])
        path.unlink()
        assert store.verify(STAGE.key)
        path.write_bytes(whole)
    assert count > 1000
    assert store.verify(STAGE.key) is None


def test_entries_of_earlier_versions_have_no_seal_and_count(store):
    put(store)
    path = store.folder(STAGE.key) / MANIFEST
    manifest = json.loads(path.read_text())
    seal = manifest.pop("seal")
    path.write_text(json.dumps({**manifest, "schema": 1}))
    assert store.verify(STAGE.key) is None
    for wrong in (manifest, {**manifest, "schema": 1, "seal": seal}, {**manifest, "schema": 3, "seal": seal}):
        path.write_text(json.dumps(wrong))
        assert store.verify(STAGE.key) == "manifest.json: differs from what was written"


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../../../secret": [1, "x"]}}, {"files": {"/etc/passwd": [1, "x"]}}, {"files": {"a": [1]}},
        {"files": {"a\0b": [1, "x"]}}, {"seconds": 10**400},
        {"files": {"a": ["1", "x"]}}, {"files": [["a", 1, "x"]]}, {"facts": None}, {"label": 7}, {"seconds": "1"},
        {"key": "0" * 64},
    ],
)  # fmt: skip
def test_a_manifest_that_nobody_here_wrote_is_none(store, change):
    """Somebody else on a shared store may have; its seal is right."""
    put(store)
    path = store.folder(STAGE.key) / MANIFEST
    path.write_text(json.dumps(sealed({**json.loads(path.read_text()), **change})))
    assert store.entry(STAGE.key) is None
    assert [*store.entries()] == []


def test_a_pipe_in_place_of_a_file_is_damage_and_is_not_waited_for(store):
    put(store, "")
    path = store.path(Ref(STAGE.key)) / "model.txt"
    path.unlink()
    os.mkfifo(path)
    assert store.verify(STAGE.key) == "out/model.txt: is no regular file"


def test_what_another_machine_made_again_is_not_discarded(store, monkeypatch):
    """It looks damaged, and by the time it is taken away it is another."""
    put(store)
    path = store.path(Ref(STAGE.key)) / "model.txt"
    path.write_text("broken!")
    away = Store._away

    def late(self: Store, key: str) -> Path:
        path.write_text("weights")
        return away(self, key)

    monkeypatch.setattr(Store, "_away", late)
    store.discard_damaged(STAGE.key)
    assert store.verify(STAGE.key) is None
    assert list(store.staging.iterdir()) == []
    path.write_text("broken!")
    monkeypatch.setattr(Store, "_away", away)
    store.discard_damaged(STAGE.key)
    assert store.verify(STAGE.key) == "missing"


def test_two_who_replace_a_damaged_entry_at_once_both_go_on(store, monkeypatch):
    """The other one publishes between the removal and the renaming."""
    put(store)
    (store.path(Ref(STAGE.key)) / "model.txt").write_text("broken!")
    discard = Store.discard_damaged

    def slow(self: Store, key: str) -> None:
        monkeypatch.setattr(Store, "discard_damaged", discard)
        discard(self, key)
        put(self, "the other's")

    monkeypatch.setattr(Store, "discard_damaged", slow)
    assert not put(store, "this one's")
    assert (store.path(Ref(STAGE.key)) / "model.txt").read_text() == "the other's"


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


def test_processes_with_one_number_on_two_machines_write_one_file(tmp_path, monkeypatch):
    """Each its own temporary file, then one of them is the file."""
    path, moved = tmp_path / "file.txt", []
    replace = Path.replace

    def late(temporary: Path, target: Path) -> Path:
        moved.append(temporary)
        if len(moved) == 1:
            write_atomic(path, "the other machine's")
        return replace(temporary, target)

    monkeypatch.setattr(Path, "replace", late)
    write_atomic(path, "this machine's")
    assert len({*moved}) == 2
    assert path.read_text() == "this machine's"


def test_what_a_full_disk_has_of_a_file_is_removed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "file.txt", "x" * 1000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ESTALE])
@pytest.mark.parametrize("name", [MANIFEST, "model.txt"])
def test_what_cannot_be_read_now_is_left_as_it_is(store, monkeypatch, number, name):
    """It is another person's, or too many files are open: no reason to make it again, or to take it away."""
    put(store)
    whole = Path.open

    def refusing(path: Path, *words, **named):
        if path.name == name and store.objects in path.parents:
            raise OSError(number, os.strerror(number), str(path))
        return whole(path, *words, **named)

    with monkeypatch.context() as planted:
        planted.setattr(Path, "open", refusing)
        for look in (store.verify, lambda key: store.sound([key]), store.discard_damaged):
            with pytest.raises(StoreError, match=rf"entry {STAGE.key[:12]}: .*{name} cannot be read: .* left as it is"):
                look(STAGE.key)
        if name == MANIFEST:
            assert [*store.entries()] == []  # a list of others is no less of use
    assert store.verify(STAGE.key) is None


def test_what_the_disk_has_lost_is_damaged(store, monkeypatch):
    put(store)

    def lost(path: Path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("harness.store.file_hash", lost)
    assert "cannot be read: Input/output error" in store.verify(STAGE.key)
    assert store.sound([STAGE.key]) == set()
    assert not store.folder(STAGE.key).exists()


def test_an_entry_that_cannot_be_moved_is_an_error_that_names_it(store, monkeypatch):
    put(store)

    def refusing(path: Path, target: Path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(StoreError, match=rf"removing {STAGE.key[:12]} in the store .*: Permission denied"):
        store.discard(STAGE.key)
