"""A bounded selection of `python -m benchmarks.faults`: the trials themselves, and that they can fail."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from itertools import islice

import pytest

from benchmarks.faults import Kind, NotHere, Trial, corruption, crowd, disk, inputs, kills, places, table
from benchmarks.faults import __main__ as command
from benchmarks.faults.catalogue import KINDS
from benchmarks.faults.planting import Fault
from benchmarks.faults.project import calm, project, resumed, suite

SMALL = suite(speed=False, seconds=0.0)


def test_a_run_killed_around_the_rename_of_a_commit_goes_on_to_the_same_results():
    wanted, _ = calm(SMALL)
    with project(SMALL) as one:
        one.run()
        key = next(entry.key[:12] for entry in one.store.entries() if entry.manifest["kind"] == "build")
    for point in kills.POINTS:
        if point.name in ("in the middle of the manifest", "after the rename"):
            words = kills.stage_fault(point, key)
            assert kills.killed_at(SMALL, words, wanted) == "", point.name


def test_a_run_killed_in_the_middle_of_its_record_goes_on_to_the_same_results():
    wanted, _ = calm(SMALL)
    words = kills.report_fault(kills.KEPT[1], 1)  # the probe before it is empty
    assert kills.killed_at(SMALL, words, wanted) == ""


def test_trials_can_fail():
    wanted, _ = calm(SMALL)
    nowhere = kills.stage_fault(kills.POINTS[0], "no such key")
    assert "the run never came there; it ended with 0" in kills.killed_at(SMALL, nowhere, wanted)
    with project(SMALL) as one:
        assert resumed(one, {**wanted, "entry of another run": {}}) == "entry of another run is missing"
        entry = next(one.store.entries())
        manifest = entry.folder / "manifest.json"
        before = manifest.read_text()
        manifest.write_text(before.replace('"seconds"', '"secs"'))
        os.truncate(entry.folder / "key.json", 3)
        assert resumed(one, wanted).startswith(f"torn: {entry.key[:12]}: ")
        manifest.unlink()
        assert one.torn() == [f"{entry.key[:12]}: no manifest"]


def test_processes_that_are_left_are_told_and_ended():
    with project(SMALL) as one:
        words = [sys.executable, "-c", "import time; time.sleep(613)"]
        left = subprocess.Popen(words, env=one.environment())
        assert one.left() == ["python -c import time; time.sleep(613)"]
        assert left.wait(10) < 0
        assert one.left() == []


@pytest.mark.parametrize(
    ("error", "who", "operation", "path", "said"),
    [
        ("ENOSPC", "run", "open", r"^\.harness/claims/", "Free space or name another folder"),
        ("EACCES", "worker", "open", r"^\.harness/logs/", "Allow it to this user"),
        ("EMFILE", "worker", "write", r"^\.harness/staging/.*examples", "Allow more open files"),
    ],
)
def test_a_disk_that_refuses_is_told_with_what_to_do(error, who, operation, path, said):
    wanted, _ = calm(SMALL)
    with project(SMALL) as one:
        fault = Fault(
            root=str(one.folder), fired=str(one.folder / "fired"), do=error, operation=operation, path=path, who=who,
            lasting=disk.LASTING[error],
        )  # fmt: skip
        done = one.run(fault=fault)
        assert fault.hit
        assert done.code
        assert said in done.err
        why = os.strerror(getattr(errno, error))
        assert disk.told(one, done, why, wanted) == ""
        assert disk.told(one, done, "another reason", wanted).startswith("it does not say 'another reason'")
        assert resumed(one, wanted) == ""


def test_several_runs_at_once_make_and_publish_each_stage_once():
    trials = [*crowd.crowd(SMALL, 3)]
    assert [trial for trial in trials if trial.problem] == []
    assert len(trials) == 10 + 3


def test_each_way_to_damage_an_entry_is_found_and_healed():
    trials = [*corruption.corrupted(4)]
    assert {trial.what.partition(" ")[0] for trial in trials} == {"flipped", "truncated", "deleted", "added"}
    assert [trial for trial in trials if trial.problem] == []


def test_an_input_that_changes_while_it_is_read_is_refused():
    for trials in (inputs.data(1), inputs.entries(1)):
        assert [trial for trial in trials if trial.problem] == []


def test_odd_surroundings_change_nothing():
    wanted, _ = calm(SMALL)
    with project(SMALL, inside="Ёлки и\n'палки' -- {0} [b]", variables={"CLOCK": str(400 * places.DAY)}) as one:
        assert places.lived(one, wanted, preexec_fn=lambda: os.closerange(0, 3), umask=0o077) == ""


def test_a_suite_whose_path_is_no_text_is_refused():
    with project(SMALL, suite_at="\udcff.toml") as one:
        said = one.run()
        assert said.code == 2
        assert r"'\udcff.toml': the path is not UTF-8; rename the file or its folder" in said.err


# ------------------------------------------------------------------------------------------------------------ the table


def kind(name: str = "some.kind", trials=()) -> Kind:
    return Kind(name, "what was done", lambda count: islice(iter(trials), count), 3)


def test_the_committed_table_is_made_of_the_committed_results():
    text = table.PAGE.read_text(encoding="utf-8")
    assert table.page(text, KINDS, table.read()) == text
    assert {kind.name for kind in KINDS} >= table.read().keys()


def test_a_result_takes_its_line_and_leaves_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "RESULTS", tmp_path / "faults.json")
    monkeypatch.setattr(table, "PAGE", tmp_path / "faults.md")
    (tmp_path / "faults.md").write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    kinds = [kind("a"), kind("b"), kind("c")]
    table.write(kinds, table.summed("a", [Trial("one"), Trial("two", "torn | <b>")]))
    table.write(kinds, table.summed("b", [], "no mount"))
    text = (tmp_path / "faults.md").read_text()
    assert "| a | what was done | 1 of 2 |" in text
    assert "| b | what was done | not measured: no mount |" in text
    assert "| c | what was done | not measured | | | |" in text
    assert "- a, 1 ×: torn \\| &lt;b>\n" in text
    assert text.startswith("before\n")
    assert text.endswith(f"{table.END}\nafter\n")
    assert [line["name"] for line in json.loads((tmp_path / "faults.json").read_text())] == ["a", "b"]


def test_the_command_counts_and_its_code_says_whether_all_passed(monkeypatch, capsys):
    def absent(count):
        raise NotHere("no such device")
        yield

    kinds = (
        kind("good.one", [Trial("1"), Trial("2")]),
        kind("bad.one", [Trial("1", "boom")]),
        Kind("no.one", "nothing", absent, 1),
    )
    monkeypatch.setattr(command, "KINDS", kinds)
    for words, code in ((["good"], 0), (["bad.one"], 1), ([], 1), (["no"], 0)):
        monkeypatch.setattr("sys.argv", ["faults", *words])
        assert command.main() == code
    said = capsys.readouterr()
    assert "good.one" in said.out
    assert "2 of 2 passed" in said.out
    assert "not here: no such device" in said.out
    assert "bad.one: 1: boom" in said.err
    monkeypatch.setattr("sys.argv", ["faults", "strange"])
    with pytest.raises(SystemExit):
        command.main()
