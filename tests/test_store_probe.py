"""A store is refused where a file system behaves like object storage mounted as folders; planted, call by call."""

from __future__ import annotations

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store import Store

RENAME = Path.rename
OPEN = os.open


def copying(path: Path, target: Path) -> Path:
    """What mounts of buckets do: every object is copied, then removed."""
    shutil.copytree(path, target)
    shutil.rmtree(path)
    return target


def merging(path: Path, target: Path) -> Path:
    """Objects have no folders that could be in the way."""
    if not target.exists():
        return RENAME(path, target)
    shutil.copytree(path, target, dirs_exist_ok=True)
    shutil.rmtree(path)
    return target


def replacing(path: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return RENAME(path, target)


def half_merging(path: Path, target: Path) -> Path:
    """It notices too late."""
    if target.exists():
        shutil.copytree(path, target, dirs_exist_ok=True)
    return RENAME(path, target)


def emptying(path: Path, target: Path) -> Path:
    """The folder is there at once, its objects come later."""
    found = RENAME(path, target)
    for file in target.iterdir():
        file.unlink()
    return found


def refusing(number: int):
    def rename(path: Path, target: Path) -> Path:
        raise OSError(number, os.strerror(number), str(path))

    return rename


def creating(path, flags, *more, **named):
    return OPEN(path, flags & ~os.O_EXCL, *more, **named)


@pytest.mark.parametrize(
    ("rename", "found"),
    [
        (copying, "a renamed folder is a copy"),
        (merging, "a folder can be renamed onto another that holds files"),
        (replacing, "a folder can be renamed onto another that holds files"),
        (half_merging, "a rename that was refused left parts behind"),
        (emptying, "a renamed folder lost what was in it"),
        (refusing(errno.ENOSYS), "a folder cannot be renamed (Function not implemented)"),
        (refusing(errno.EXDEV), "a folder cannot be renamed (Invalid cross-device link)"),
    ],
)
def test_a_store_without_atomic_rename_is_refused(tmp_path, monkeypatch, rename, found):
    monkeypatch.setattr(Path, "rename", rename)
    store = Store(tmp_path / "bucket")
    with pytest.raises(StoreError) as refused:
        store.create()
    said = str(refused.value)
    assert said.startswith(f"the store {store.root}: {found}")
    assert "Needed: a file system that renames a folder in one step" in said
    assert said.endswith("Set HARNESS_STORE to a folder on such a one")
    assert [*store.objects.iterdir(), *store.staging.iterdir()] == []


def test_a_store_whose_files_can_be_created_twice_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "open", creating)
    with pytest.raises(StoreError, match="a file that exists can be created again"):
        Store(tmp_path / "bucket").create()


def test_what_is_the_disks_trouble_is_no_fault_of_the_file_system(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "rename", refusing(errno.ENOSPC))
    with pytest.raises(StoreError, match=r"creating in the store .*: No space left on device .*Free space"):
        Store(tmp_path / "full").create()


def test_many_runs_open_one_store_at_once_and_nothing_is_left(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        stores = [Store(tmp_path / "store") for _ in range(16)]
        assert [*pool.map(Store.create, stores)] == [None] * 16
    assert [*stores[0].objects.iterdir(), *stores[0].staging.iterdir()] == []


def test_a_store_is_tried_once(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    store.create()
    monkeypatch.setattr(Path, "rename", refusing(errno.ENOSYS))
    store.create()
    with pytest.raises(StoreError):
        Store(store.root).create()


def test_a_run_says_so_before_it_works(project):
    (project.folder / "sitecustomize.py").write_text(
        "import pathlib, shutil\n"
        "def rename(path, target):\n    shutil.copytree(path, target); shutil.rmtree(path)\n"
        "pathlib.Path.rename = rename\n"
    )
    project.variables["PYTHONPATH"] = f"{project.folder}{os.pathsep}{project.environment['PYTHONPATH']}"
    said = project.harness("run", "toys.toml", code=3).err
    assert "the store .harness: a renamed folder is a copy" in said
    assert "Traceback" not in said
    assert project.ran == []
