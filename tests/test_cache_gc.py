"""`harness cache gc`: what any record refers to stays, whoever cleans up; everything else goes, with what was left."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import keeping
from harness.claims import Claims
from harness.cli import cli
from harness.cli.cache_gc import _age
from harness.collecting import STOPPED, YOUNG, kept, remove, sweep, unneeded
from harness.errors import StoreError
from harness.keeping import Need, Note, folder_of, notes
from harness.keys import Stage
from harness.store import Store

OLD = 2 * YOUNG


def stage(number: int) -> Stage:
    return Stage(kind="build", component="t/x", version=1, params={"n": number}, label=f"build {number}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.create()
    return made


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "reports"
    folder.mkdir(parents=True)
    return folder


def put(store: Store, *numbers: int, age: float = OLD) -> list[str]:
    keys = []
    for one in map(stage, numbers):
        with store.stage(one.key) as out:
            (out / "out").mkdir()
            (out / "out" / "x.txt").write_text("x" * 1000)
            store.publish(one, out, {}, 1.0, "now")
        aged(store.folder(one.key), age)
        keys.append(one.key)
    return keys


def aged(path: Path, age: float = OLD) -> Path:
    state = path.stat()
    os.utime(path, (state.st_atime - age, state.st_mtime - age))
    return path


def recorded(store: Store, record: Path, *keys: str) -> Path:
    """A record, and the note of it."""
    record.write_text("")
    Need(store, record).settle(keys)
    return record


def collected(store: Store, older: float = YOUNG, **named) -> set[str]:
    """What a clean-up removes."""
    keep = kept(store, **named)
    return {one.key for one in remove(store, unneeded(store, keep, older), keep, lambda: kept(store, **named))}


# ------------------------------------------------------------------------------------------------------------ for whom


def test_nobodys_clean_up_takes_what_anothers_record_needs(store, tmp_path, reports):
    mine, theirs, nobodys = put(store, 1, 2, 3)
    recorded(store, reports / "mine.records.jsonl", mine)
    (tmp_path / "theirs").mkdir()
    recorded(store, tmp_path / "theirs" / "a.records.jsonl", theirs)
    assert collected(store) == {nobodys}
    assert {entry.key for entry in store.entries()} == {mine, theirs}


def test_a_record_that_is_deleted_frees_its_entries_with_its_folder_or_without(store, reports):
    one, two, three = put(store, 1, 2, 3)
    (reports / "deep").mkdir()
    first = recorded(store, reports / "a.records.jsonl", one, two)
    recorded(store, reports / "deep" / "b.records.jsonl", two, three)
    first.unlink()
    assert collected(store) == {one}
    (reports / "deep" / "b.records.jsonl").unlink()
    (reports / "deep").rmdir()
    reports.rmdir()
    assert collected(store) == {two, three}
    assert sweep(store, kept(store), dry=False).counts == {"notes of records that are gone": 2}
    assert notes(store) == []


def test_a_record_that_is_written_again_needs_what_it_refers_to_now(store, reports):
    one, two = put(store, 1, 2)
    recorded(store, reports / "a.records.jsonl", one)
    recorded(store, reports / "a.records.jsonl", two)
    assert collected(store) == {one}


def moved(note: Note, **changes) -> str:
    """Where its record is, if the note said something else."""
    return replace(note, **changes).where


def test_a_record_out_of_sight_is_not_taken_for_a_deleted_one(store, reports, tmp_path, monkeypatch):
    (key,) = put(store, 1)
    record = recorded(store, reports / "a.records.jsonl", key)
    (note,) = notes(store)
    assert note.where == "there"
    record.unlink()
    assert note.where == "gone"
    assert moved(note, host="another abc") == "unseen"
    # another disk is mounted there, or the disk is not, and what stands there is the empty mount point
    assert moved(note, folders={**note.folders, str(reports): (1, 2)}) == "unseen"
    elsewhere = tmp_path / "work" / "elsewhere"
    reports.rename(elsewhere)
    reports.mkdir()
    assert note.where == "unseen"
    reports.rmdir()
    assert note.where == "gone"  # its folder is: the one above it is the same
    # the folders above were on another disk: none of them is in the note
    assert moved(note, folders={str(reports): note.folders[str(reports)]}) == "unseen"
    assert moved(note, folders={}) == "unseen"
    lstat = Path.lstat

    def locked(path: Path) -> os.stat_result:
        if path.name == "work":
            raise PermissionError(13, "Permission denied")
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", locked)
    assert note.where == "unseen"


def test_mount_points_say_nothing(reports, monkeypatch):
    """The root of every ext4 has the inode 2, so another disk would pass for the one that is not there."""
    record = reports / "a.records.jsonl"
    assert {*keeping._folders(record)} == {path for path in record.parents if path != Path("/")}
    monkeypatch.setattr(Path, "is_mount", lambda path: path == reports.parent)
    assert [*keeping._folders(record)] == [reports]


@pytest.mark.parametrize("seen", [True, False])
def test_what_is_kept_for_an_unseen_record_is_said_and_can_be_forgotten(store, reports, seen, monkeypatch):
    keys = put(store, 1, 2)
    record = recorded(store, reports / "a.records.jsonl", keys[0])
    recorded(store, reports / "b.records.jsonl", keys[1])
    record.unlink()
    if not seen:
        monkeypatch.setattr(keeping, "host", lambda: "another abc")
    monkeypatch.setenv("HARNESS_STORE", str(store.root))
    monkeypatch.chdir(reports.parent.parent)
    done = CliRunner().invoke(cli, ["cache", "gc"])
    assert (keys[0][:12] in done.stdout) == seen
    assert (f"harness cache gc --forget {record}" in done.stderr) != seen
    done = CliRunner().invoke(cli, ["cache", "gc", "--forget", str(record)])
    assert (keys[0][:12] in done.stdout) != seen
    assert {entry.key for entry in store.entries()} == {keys[1]}


def test_what_nobody_noted_cannot_be_forgotten(store, reports, monkeypatch):
    recorded(store, reports / "reviews.records.jsonl", *put(store, 1))
    monkeypatch.setenv("HARNESS_STORE", str(store.root))
    done = CliRunner().invoke(cli, ["cache", "gc", "--forget", str(reports / "review.records.jsonl")])
    assert "no such record is noted in" in str(done.exception)
    assert f"Did you mean '{reports / 'reviews.records.jsonl'}'?" in str(done.exception)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"schema": 2}', b'{"schema": true}',
        b'{"schema": 1, "record": "/a", "host": "b", "folders": {}, "keys": ["x"]}',
        b'{"schema": 1, "record": "/a", "host": "b", "folders": {"/": [1]}, "keys": []}',
        b'{"schema": 1, "record": "a", "host": "b", "folders": {}, "keys": []}',
        b'{"schema": 1, "record": "/a\\u0000", "host": "b", "folders": {}, "keys": []}',
        b'{"schema": 1, "record": "/a", "host": 7, "folders": {}, "keys": []}',
        b'{"schema": 1, "record": "/a", "host": "b", "folders": {}, "keys": "abc"}',
    ],
)  # fmt: skip
def test_a_note_that_cannot_be_read_stops_the_clean_up(store, content):
    """What it keeps, nobody could know."""
    put(store, 1)
    folder_of(store).mkdir(exist_ok=True)
    (folder_of(store) / "0123.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"0123\.json: .* nobody can tell what it keeps\. Upgrade harness"):
        collected(store)
    assert len([*store.entries()]) == 1


def test_a_record_under_any_name_is_noted(store, reports):
    (key,) = put(store, 1)
    for name in ("отзывы и пробелы.records.jsonl", "x" * 200 + ".records.jsonl"):
        recorded(store, reports / name, key)
    odd = reports / os.fsdecode(b"\xff")  # no UTF-8
    odd.mkdir()
    recorded(store, odd / "a.records.jsonl", key)
    Need(store, odd / "b.records.jsonl").add([key])
    assert sorted(note.where for note in notes(store)) == ["gone", "there", "there", "there"]


# ---------------------------------------------------------------------------------------------------------------- runs


def test_what_a_run_needs_is_kept_before_it_has_a_record_and_after_it_was_stopped(store, reports):
    needed, nobodys, recorded_ = put(store, 1, 2, 3)
    run = Need(store, reports / "a.records.jsonl")
    run.add([needed])
    assert collected(store) == {nobodys, recorded_}
    assert not run.record.exists()
    (note,) = notes(store)
    aged(note.file, STOPPED - 60)
    assert collected(store) == set()
    aged(note.file, 120)
    assert collected(store) == {needed}


def test_a_run_that_ends_needs_what_its_record_refers_to(store, reports):
    kept_, dropped = put(store, 1, 2)
    run = Need(store, reports / "a.records.jsonl")
    run.add([kept_])
    run.add([dropped])
    assert [note.keys for note in notes(store)] == [{kept_, dropped}]
    run.record.write_text("")
    run.settle([kept_])
    assert [(note.is_run, note.keys) for note in notes(store)] == [(False, {kept_})]


def test_a_run_ends_though_somebody_elses_note_cannot_be_read(store, reports):
    (key,) = put(store, 1)
    run = Need(store, reports / "a.records.jsonl")
    run.add([key])
    (folder_of(store) / "newer.json").write_text('{"schema": 2}')
    run.record.write_text("")
    run.settle([key])
    (folder_of(store) / "newer.json").unlink()
    assert [note.is_run for note in notes(store)] == [False]


def test_what_a_run_needs_more_is_kept_or_the_run_is_told(store, reports, monkeypatch):
    one, two = put(store, 1, 2)
    run = Need(store, reports / "a.records.jsonl")
    run.add([one])
    notes(store)[0].file.unlink()  # a clean-up by somebody who knew better
    run.add([two])
    assert [note.keys for note in notes(store)] == [{one, two}]

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="would not be kept"):
        run.add(["0" * 64])


def test_two_runs_of_one_record_at_once_need_what_each_needs(store, reports):
    one, two = put(store, 1, 2)
    first, second = (Need(store, reports / "a.records.jsonl") for _ in range(2))
    first.add([one])
    second.add([two])
    first.record.write_text("")
    first.settle([])
    assert collected(store) == {one}


NEEDING = """
import sys
from pathlib import Path
from harness.keeping import Need
from harness.store import Store
Need(Store(Path(sys.argv[1])), Path(sys.argv[2])).add(["0" * 64])
"""


def test_the_notes_of_stopped_runs_go_when_one_of_the_same_record_ends(store, reports):
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", NEEDING, store.root, reports / f"{name}.records.jsonl"], check=True)
    assert len(notes(store)) == 2
    recorded(store, reports / "a.records.jsonl")
    assert {note.record.name: note.is_run for note in notes(store)} == {
        "a.records.jsonl": False,
        "b.records.jsonl": True,
    }


def test_who_works_on_a_stage_keeps_it(store, reports):
    one, two = put(store, 1, 2)
    recorded(store, reports / "a.records.jsonl", two)
    claim = Claims(store.claims).take(stage(1))
    assert collected(store) == set()
    claim.end()
    assert collected(store) == {one}


def test_what_a_run_begins_to_need_while_others_are_removed_is_spared(store, reports):
    keys = sorted(put(store, *range(6)))
    keep = kept(store)
    gone = []
    for one in remove(store, unneeded(store, keep, YOUNG), keep, lambda: kept(store)):
        gone.append(one.key)
        if len(gone) == 2:
            Need(store, reports / "a.records.jsonl").add(keys[3:5])
    assert gone == [*keys[:3], keys[5]]
    assert {entry.key for entry in store.entries()} == {*keys[3:5]}


# ---------------------------------------------------------------------------------------------------------------- ages


def test_the_age_that_counts_is_by_the_stores_clock(store, reports, monkeypatch):
    """This machine's may be wrong by years."""
    monkeypatch.setattr("time.time", lambda: 4e9)
    young, old = put(store, 1, age=YOUNG - 60), put(store, 2, age=YOUNG + 60)
    recorded(store, reports / "a.records.jsonl")
    assert collected(store) == {*old}
    assert {entry.key for entry in store.entries()} == {*young}


def test_only_entries_of_some_age(store, reports):
    put(store, 1, age=29 * 86400)
    old = put(store, 2, age=31 * 86400)
    recorded(store, reports / "a.records.jsonl")
    assert collected(store, _age("30d")) == {*old}


@pytest.mark.parametrize("text", ["0h", "", "30", "h", "-1d", "1.5d", "30 d", "1e9d", "5m", "9999999d", "٣d"])
def test_ages_that_are_none_are_refused(store, text, monkeypatch):
    monkeypatch.setenv("HARNESS_STORE", str(store.root))
    done = CliRunner().invoke(cli, ["cache", "gc", "--older-than", text])
    assert done.exit_code == 2
    assert "expected hours, days or weeks" in done.stderr


def test_damaged_entries_that_nobody_needs_go_too(store, reports):
    torn, needed = put(store, 1, 2)
    recorded(store, reports / "a.records.jsonl", needed)
    for key in (torn, needed):
        (store.folder(key) / "manifest.json").write_text("{")
        aged(store.folder(key))
    assert collected(store) == {torn}
    assert store.folder(needed).exists()


# ------------------------------------------------------------------------------------------------------- what was left


def touch(path: Path, age: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return aged(path, age)


def folder(path: Path, age: float = OLD) -> Path:
    touch(path / "deep" / "file")
    return aged(path, age)


def test_what_is_left_goes_and_what_is_in_use_stays(store, reports):
    made, needed, worked, nobodys = [stage(number).key for number in range(4)]
    put(store, 0)
    recorded(store, reports / "a.records.jsonl", made, needed)
    claim = Claims(store.claims).take(stage(2))
    go = [
        folder(store.staging / f"{made[:12]}-mark-0123"), folder(store.staging / "worker-0123-1"),
        folder(store.staging / "discarded-0123"), folder(store.staging / ".probe-1"), folder(store.objects / ".probe-1"),
        folder(store.scratch / nobodys), folder(store.scratch / made), touch(store.logs / f"train-{nobodys[:16]}.log"),
        touch(store.locks / f"{made}.lock"), touch(store.locks / "machine-0123.lock", STOPPED + 60),
        touch(store.claims / f"{nobodys}.json"), touch(store.claims / f".{nobodys}.json.01"),
        touch(folder_of(store) / ".0123.tmp"),
    ]  # fmt: skip
    held = touch(store.locks / f"{needed}.lock")
    stay = [
        folder(store.staging / f"{worked[:12]}-mark-0123"), folder(store.staging / "worker-0123-2", 60),
        folder(store.scratch / needed), folder(store.scratch / worked), folder(store.scratch / ("f" * 64), 60),
        touch(store.logs / f"train-{made[:16]}.log"), touch(store.logs / f"train-{needed[:16]}.log"),
        touch(store.logs / f"train-{worked[:16]}.log"), touch(store.logs / f"train-{'f' * 16}.log", 60),
        touch(store.logs / "workers.log"), touch(store.logs / "notes of mine.txt"),
        touch(store.locks / "machine-4567.lock"), store.claims / f"{worked}.json", held,
    ]  # fmt: skip
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert sum(sweep(store, kept(store), dry=True).counts.values()) == len(go)
        assert all(path.exists() for path in go)
        sweep(store, kept(store), dry=False)
    assert [path for path in go if path.exists()] == []
    assert [path for path in stay if not path.exists()] == []
    claim.end()


def test_a_link_is_removed_and_not_followed(store, tmp_path, reports):
    recorded(store, reports / "a.records.jsonl", *put(store, 1))
    precious = folder(tmp_path / "precious")
    link = store.staging / "worker-0123-1"
    link.symlink_to(precious)
    os.utime(link, (0, 0), follow_symlinks=False)
    sweep(store, kept(store), dry=False)
    assert not link.is_symlink()
    assert (precious / "deep" / "file").exists()


def test_the_log_of_workers_is_cut(store, reports):
    recorded(store, reports / "a.records.jsonl", *put(store, 1))
    log = store.logs / "workers.log"
    log.write_bytes(b"first" + bytes(5 << 20) + b"last")
    freed = sweep(store, kept(store), dry=False)
    assert 2.9 < freed.mib < 3.1
    assert log.read_bytes().startswith(b"first")
    assert log.read_bytes().endswith(b"last")


# ------------------------------------------------------------------------------------------------------- as people run it


def test_gc_removes_what_is_old_and_no_record_refers_to(project):
    project.harness("run", "toys.toml", "--only", "model=plain")
    project.harness(
        "run", "toys.toml", "--only", "model=biased", "--set", "models.biased.bias=5.0", "--reports", "other"
    )
    (project.folder / "other/toys.records.jsonl").unlink()
    (project.folder / "reports/toys.records.jsonl").rename(project.folder / "moved.records.jsonl")
    done = project.harness("cache", "gc", code=3)
    assert "no record in reports refers to anything, and none is noted in .harness: every entry would go" in done.err
    looked = ("cache", "gc", "--reports", ".", "--dry-run")
    assert "would free 0 MiB: 2 notes of records that are gone" in project.harness(*looked).err  # entries are young
    for folder_ in project.folder.glob(".harness/objects/??/*"):
        os.utime(folder_, (0, 0))
    done = project.harness(*looked)
    assert len(done.out.splitlines()) == 12
    assert all(line.startswith("would remove  ") for line in done.out.splitlines())
    assert "would free 0 MiB: 12 entries, 2 notes" in done.err
    done = project.harness("cache", "gc", "--reports", ".")
    assert "freed 0 MiB: 12 entries, 2 notes of records that are gone" in done.err
    assert entries_listed(project) == 13
    assert "0 damaged" in project.harness("cache", "verify").err


def entries_listed(project) -> int:
    return len(project.harness("cache", "ls").out.splitlines())


def test_a_run_notes_what_its_record_refers_to_and_a_stopped_one_what_it_needs(project):
    project.harness("run", "toys.toml")
    store = Store(project.folder / ".harness")
    (note,) = notes(store)
    assert note.record == project.folder / "reports/toys.records.jsonl"
    assert note.keys == {entry.key for entry in store.entries()}
    assert not note.is_run
    # all cells but some are selected: the record keeps the others, and so does the note
    project.harness("run", "toys.toml", "--only", "model=plain,seed=1")
    assert [again.keys for again in notes(store)] == [note.keys]
    listed = json.loads(project.harness("cache", "ls", "--json").out)
    assert {entry["records"] for entry in listed} == {1}
