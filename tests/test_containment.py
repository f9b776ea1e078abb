"""Plugins that misbehave while a stage runs: each fails its own cell, is named, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import SUITE, Project

from harness.errors import StageError
from harness.executors import Event
from harness.keys import Ref, Stage
from harness.plain import plain_lines
from harness.plan import Plan
from harness.records import read_records
from harness.runner import Runner
from harness.stages.checks import check_recorded, check_samples, checked_facts
from harness.store import Store

# chain → what its reason says; None: it does no harm, and its cell is fine
CASES = {
    "raising": r"ValueError: two lines red <script>!+… \(toy_harness\.hostile, line \d+, of toy-harness 1\.0",
    "unspeakable": r"Unspeakable \(toy_harness\.hostile, line \d+, of toy-harness 1\.0; its log has the traceback\)",
    "exiting": r"it called sys\.exit\(\) \(toy_harness\.hostile, line \d+, of toy-harness 1\.0.*raise instead",
    "leaving": r"'toy-harness/toy-hostile' ended its process with code 0 instead of returning",
    "segfaulting": r"'toy-harness/toy-hostile', was killed by SIGSEGV; its last words: Fatal Python error: Segm",
    "hanging": r"stopped after 0\.1 min \(limits\.compress\.minutes = 0\.1\); raise it, as with --set limits\.compress",
    "hoarding": r"stopped at \d+ MiB of memory \(limits\.memory_mib = 400\); raise it.*'toy-harness/toy-hostile'",
    "hoarding_in_a_child": r"stopped at \d+ MiB of memory \(limits\.memory_mib = 400\)",
    "filling": r"stopped at [1-9]\d\d+ MiB on disk \(limits\.compress\.disk_mib = 99\); raise it.*toy-hostile' what it writes",
    "filling_elsewhere": r"stopped at [1-9]\d\d+ MiB on disk \(limits\.compress\.disk_mib = 99\)",
    "printing": None,
    "flooding": r"'toy-harness/toy-hostile' printed more than 64 MiB and was stopped",
    "child": r"'toy-harness/toy-hostile' left processes running: sleep 613; end them",
    "daemon": r"'toy-harness/toy-hostile' left processes running: sleep 613; end them",
    "fork": None,
    "thread": None,
    "writing_thread": r"the result of 'toy-harness/toy-hostile' changed after it was stored \(out/late\.txt: .*a thread",
    "input_changed": r"'toy-harness/toy-hostile' changed 'out/toy\.json' among its inputs, which are read-only",
    "input_changed_and_gone": r"'toy-harness/toy-hostile' changed 'out/toy\.json' among its inputs",
    "input_added": r"'toy-harness/toy-hostile' added 'out/cache\.bin' among its inputs, which are read-only",
    "elsewhere": None,
    "not_a_number": r"returned facts that are not JSON: facts\.parity\.worst\[1\] is nan, expected a finite number",
    "objects": r"returned facts that are not JSON: facts\.model is harness\.specs\.CompressRequest, expected",
    "huge": r"'toy-harness/toy-hostile' returned 5,\d+,\d+ characters of facts, at most 4,194,304 are kept",
    "wordy": r"returned facts that records cannot hold: facts\.bytes\.int8: expected an integer, got 'many'",
    "masking": r"'toy-hostile' has masked weights without having said so \(`masks`\)",
    "nothing": r"'toy-harness/toy-hostile' returned nothing, expected facts: a dict",
    "no_files": r"'toy-harness/toy-hostile' wrote nothing into `out`",
    "link": r"'toy-harness/toy-hostile' wrote 'out/weights', which is a link",
    "link_over": r"'toy-harness/toy-hostile' wrote 'out/artifact\.json', which is a link",
    "pipe": r"'toy-harness/toy-hostile' wrote 'out/pipe', which is no regular file",
    "outside": r"'toy-harness/toy-hostile' wrote 'outside\.txt' beside its outputs, 'out'",
    "closing": r"'toy-harness/toy-hostile' closed the channel by which its process answers",
    "forging": r"'toy-harness/toy-hostile' wrote into the harness's own channel",
    "asking": r"EOFError",
}
LIMITS = "[limits]\nmemory_mib = 400\ncompress = { minutes = 0.1, disk_mib = 99 }\n"


def hostile(cases) -> str:
    chains = "".join(f'{case} = [{{ use = "toy-hostile", how = "{case}" }}]\n' for case in cases)
    names = json.dumps(["none", *cases, "round"])
    start, end = SUITE.index("[chains]"), SUITE.index("[measure]")
    matrix = f'[matrix]\nmodel = ["plain"]\ncompress = {names}\n'
    return f'{SUITE[:start]}[chains]\nround = ["toy-round"]\n{chains}{matrix}{LIMITS}{SUITE[end:]}'


class Run:
    """One run of all of them."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.write(hostile(CASES))
        self.before = set(Path(tempfile.gettempdir()).glob("left-by-a-toy-*"))
        self.done = project.harness("run", "toys.toml", code=1)
        self.cells = cells_of(project)


def cells_of(project: Project) -> dict[str, Any]:
    lines = (project.folder / "reports/toys.records.jsonl").read_text().splitlines()
    cells = [line for line in map(json.loads, lines) if line["kind"] == "cell"]
    return {cell["axes"]["compress"]: cell for cell in cells}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run(Project(tmp_path_factory.mktemp("hostile")))


@pytest.mark.parametrize("case", CASES)
def test_it_fails_its_own_cell_with_a_reason_that_names_it(run, case):
    cell = run.cells[case]
    if CASES[case] is None:
        assert (cell["status"], cell["reason"]) == ("ok", "")
        return
    assert cell["status"] == "failed"
    label, _, reason = cell["reason"].partition(": ")
    assert label == "compress plain seed 42 with toy-hostile"
    assert re.search(CASES[case], reason), reason


def test_the_record_can_be_read(run):
    assert len(read_records(run.project.folder / "reports/toys.records.jsonl").cells) == len(CASES) + 2


def test_the_others_are_as_ever(run):
    assert run.cells["none"]["status"] == run.cells["round"]["status"] == "ok"
    assert {name for name, cell in run.cells.items() if cell["status"] == "ok"} == {
        "none", "round", *(name for name, reason in CASES.items() if reason is None)
    }  # fmt: skip
    alone = Project(run.project.folder.with_name("calm"))
    alone.folder.mkdir()
    alone.write(hostile([]))
    alone.harness("run", "toys.toml")
    assert cells_of(alone)["round"]["quality"] == run.cells["round"]["quality"]


def test_reasons_are_one_plain_line_wherever_they_are_shown(run):
    report = (run.project.folder / "reports/toys.md").read_text()
    for text in (run.done.err, report, *(cell["reason"] for cell in run.cells.values())):
        assert all(sign.isprintable() or sign == "\n" for sign in text)
    for cell in run.cells.values():
        assert "\n" not in cell["reason"]
        assert len(cell["reason"]) < 500
    assert "<script>" not in report
    assert max(map(len, run.done.err.splitlines())) < 600


def test_no_process_outlives_the_run(run):
    ran = run.project.environment["TOY_RAN"]
    left = [words(process) for process in psutil.process_iter() if environment(process).get("TOY_RAN") == ran]
    assert left == []
    assert not [process for process in psutil.process_iter() if words(process) == ["sleep", "613"]]  # without a mark


def test_no_file_is_left_behind(run):
    folder, store = run.project.folder, Store(run.project.folder / ".harness")
    assert {path.name for path in folder.iterdir()} == {".harness", "reports", "ran.txt", "toys.toml"}
    assert [*store.staging.iterdir(), *store.scratch.iterdir()] == []
    assert set(Path(tempfile.gettempdir()).glob("left-by-a-toy-*")) == run.before
    assert folder.joinpath("ran.txt").read_text().split() == run.project.ran  # nothing wrote through a link


def test_nothing_is_torn_in_the_store(run):
    store = Store(run.project.folder / ".harness")
    keys = [path.name for path in store.objects.glob("??/*")]
    assert {key: store.verify(key) for key in keys} == dict.fromkeys(keys)
    assert not list(store.objects.rglob("cache.bin"))
    assert "0 damaged" in run.project.harness("cache", "verify").err


def test_logs_keep_the_beginning_and_the_end_of_what_was_printed(run):
    logs = list((run.project.folder / ".harness/logs").iterdir())
    assert max(path.stat().st_size for path in logs) < 3 << 20
    assert sum(b"bytes left out" in path.read_bytes() for path in logs) == 2  # printing, flooding


def test_a_second_run_fails_the_same_cells_again_and_repeats_nothing_else(run):
    again = run.project.harness("run", "toys.toml", "--only", "compress=none|round|printing|raising", code=1)
    assert re.search(r"stages: 0 done, 1 failed, 2 not run, 10 from the store", again.err), again.err


def words(process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def environment(process) -> dict[str, str]:
    try:
        return process.environ() if process.pid != os.getpid() else {}
    except (psutil.Error, OSError):
        return {}


# ------------------------------------------------------------------------------------------------ who damaged an input


@dataclass
class Damaging:
    """An executor that runs up to three stages at once; `guilty` changes the input that it has in common with others."""

    store: Store
    guilty: str = "b"
    capacity: int = 3
    running: list[Stage] = field(default_factory=list)
    together: list[set[str]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    harmed: set[str] = field(default_factory=set)  # labels that had the input when it was changed

    def submit(self, stage: Stage) -> None:
        self.running.append(stage)
        self.together.append({stage.label for stage in self.running})
        if stage.label == self.guilty:
            self.harmed |= {stage.label for stage in self.running if stage.inputs}
            for ref in stage.inputs.values():
                (self.store.folder(ref.key) / "key.json").write_text("{}")

    def wait(self, timeout: float) -> list[Event]:
        stage = self.running.pop(0)
        if stage.label in self.harmed:
            self.harmed.discard(stage.label)
            changed = tuple(ref.key for ref in stage.inputs.values())
            return [Event(kind="failed", key=stage.key, reason=f"{stage.label} changed it", damaged=changed)]
        with self.store.stage(stage.key) as out:
            self.store.publish(stage, out, {}, 1.0, "now")
        self.made.append(stage.label)
        return [Event(kind="done", key=stage.key, seconds=1.0)]

    def close(self) -> None:
        self.running.clear()


def test_who_damages_a_shared_input_is_found_by_running_all_that_had_it_alone(tmp_path):
    store = Store(tmp_path)
    store.create()
    common = made("common")
    stages = [common, *(made(label, common) for label in "abc"), made("d")]
    executor = Damaging(store)
    plan = Plan(suite=None, cells=(), stages={stage.key: stage for stage in stages})
    outcomes = Runner(plan, store, executor).run()
    found = {plan.stages[key].label: outcome for key, outcome in outcomes.items()}
    assert {label: outcome.status for label, outcome in found.items()} == {
        "common": "ok", "a": "ok", "b": "failed", "c": "ok", "d": "ok",
    }  # fmt: skip
    assert found["b"].reason == "b changed it"
    assert executor.made.count("common") == 3  # once more for the suspects, once more after b has done it again
    assert {"b"} in executor.together
    assert store.verify(common.key) is None


def made(label: str, *needs: Stage) -> Stage:
    inputs = {str(number): Ref(need.key) for number, need in enumerate(needs)}
    return Stage(kind="build", component="t/x", version=1, params={"l": label}, inputs=inputs, label=label)


# ------------------------------------------------------------------------------------------------------- small parts


def test_facts_are_checked_with_their_place():
    assert checked_facts("x", {"a": [1, 2.5, None, True, "я"], "b": {"c": ()}, "layers": {0: 1, -1: 2}})
    for facts, words in (
        ({"a": {(1, 2): 2}}, "facts.a has the key (1, 2), expected text"),
        ({"a": {1: 2, "1": 2}}, "facts.a has text and numbers as keys, expected text"),
        ({"a": [0, float("inf")]}, r"facts.a[1] is inf, expected a finite number"),
        ({"a": {1, 2}}, "facts.a is set, expected a number, text, list or dict"),
        ({"a": "\ud800"}, "facts.a is text that is not Unicode"),
    ):
        with pytest.raises(StageError, match=re.escape(words)):
            checked_facts("x", facts)
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(StageError, match="nested more than 20 deep"):
        checked_facts("x", {"a": endless})


def test_facts_that_would_spoil_the_record_are_refused_where_they_arise():
    def stage(kind):
        return Stage(kind=kind, component="mine/x", version=1, params={}, label="x")

    fine = {"changed": True, "bytes": {"int8": 5}, "warnings": (), "parameters": 7, "mine": {"anything": [None]}}
    check_recorded(stage("compress"), fine)
    check_recorded(stage("prepare"), {"bytes": "many"})  # means nothing there
    for kind, facts, words in (
        ("compress", {"changed": 1}, "facts.changed: expected true or false, got 1"),
        ("compress", {"vocab_size": -1}, "facts.vocab_size: expected at least 0"),
        ("build", {"parameters": 2.5}, "facts.parameters: expected an integer"),
        ("score", {"metrics": {"macro F1": 0.5}, "details": {}}, "facts.metrics"),
        ("score", {"metrics": {}, "details": {"classes": ["a"], "confusion": [[1, 2]]}}, "not 1 × 1"),
    ):
        with pytest.raises(StageError, match=re.escape(words)) as raised:
            check_recorded(stage(kind), facts)
        assert "'mine/x' returned facts that records cannot hold" in str(raised.value)


def test_samples_that_would_spoil_the_record_are_refused_where_they_arise():
    check_samples("mine/x", np.ones((3, 1), dtype=bool), 3)
    check_samples("mine/x", np.full((3, 2), 1e15), 3)
    for samples, words in (
        ([[1.0]], "are list: expected"),
        (np.ones(3), r"float64 of shape \[3\]"),
        (np.ones((2, 1)), r"expected numbers of shape \[3 examples"),
        (np.ones((3, 0)), r"shape \[3, 0\]"),
        (np.full((3, 1), "a"), "are <U1 of shape"),
        (np.full((3, 1), np.nan), "not finite"),
        (np.full((3, 1), -1e16), "beyond 1e\\+15"),
    ):
        with pytest.raises(StageError, match=words):
            check_samples("mine/x", samples, 3)


def test_plain_lines_are_few_and_harmless():
    assert plain_lines("a\x1b[31mb\n\x07c") == "ab\nc"
    assert plain_lines("x\n" * 100).count("\n") == 19
