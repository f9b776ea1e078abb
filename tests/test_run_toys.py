"""Whole runs of the toy suite, as a person starts them: shared stages, failures, kills, damage, two at once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.assets import Places, find_data
from harness.errors import StageError
from harness.keys import Stage
from harness.plugins import Registry
from harness.stages import check_unchanged, work_for
from harness.store import Store

SLOW = "blocks = 3\ninputs = 4\nturn_ms = 1.0\nbatch_size = 4\nthreads = 1\n"
TROUBLE = """
[chains]
round = ["toy-round"]
trouble = [{{ use = "toy-trouble", how = "{how}", fuse = "{fuse}" }}]
[matrix]
model = ["plain"]
compress = ["none", "round", "trouble"]
"""


def with_trouble(text: str, how: str, fuse: str = "") -> str:
    start, end = text.index("[chains]"), text.index("[measure]")
    return text[:start] + TROUBLE.format(how=how, fuse=fuse) + text[end:]


@pytest.fixture
def suite(project) -> str:
    return (project.folder / "toys.toml").read_text()


EXPORT = ("export", "model=plain,compress=away", "--suite", "toys.toml")


def quality(project, name: str = "toys"):
    """Everything in the report that is not about time."""
    fields = ("cell", "status", "quality", "artifact", "stages", "reason")
    return [{field: cell[field] for field in fields} for cell in records(project, "cell", name)]


def records(project, kind: str, name: str = "toys"):
    lines = (project.folder / f"reports/{name}.records.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def test_a_run_shares_stages_and_a_second_one_runs_none(project):
    first = project.harness("run", "toys.toml")
    # 1 prepare, 2 models × 2 seeds built, each rounded, 8 predictions and scores
    assert "stages: 25 done, in" in first.err
    assert sorted(project.ran) == sorted(["prepare"] + ["build"] * 4 + ["compress"] * 4)
    assert "report: reports/toys.md" in first.err
    assert first.out == ""
    second = project.harness("run", "toys.toml")
    assert "stages: 0 done, 25 from the store" in second.err
    assert len(project.ran) == 9


def test_the_matrix_can_be_amended(project, suite):
    project.harness("run", "toys.toml")
    project.write(suite.replace("seed = [1, 2]", "seed = [1, 2, 3]"))
    again = project.harness("run", "toys.toml")
    assert "stages: 12 done, 25 from the store" in again.err


def test_two_models_of_one_store_never_share_answers(project):
    project.harness("run", "toys.toml", "--set", "models.biased.bias=9.0")
    answers = {cell["cell"]: cell["quality"]["samples"] for cell in quality(project)}
    assert answers["model=plain,compress=none,seed=1"] != answers["model=biased,compress=none,seed=1"]


def test_a_failing_stage_is_a_row_and_can_be_retried(project, suite):
    fuse = project.folder / "fuse"
    fuse.touch()
    project.write(with_trouble(suite, "raise", str(fuse)))
    done = project.harness("run", "toys.toml", code=1)
    assert "1 failed" in done.err
    assert "failed  model=plain,compress=trouble,seed=42: compress plain seed 42 with toy-trouble: boom" in done.err
    assert "\x1b" not in done.err
    retry = re.search(r"retry: harness (run .*)", done.err)[1]
    report = (project.folder / "reports/toys.md").read_text()
    assert "\x1b" not in report
    assert "<script>" not in report
    assert {c["cell"]: c["status"] for c in quality(project)}["model=plain,compress=round,seed=42"] == "ok"
    fuse.unlink()
    project.harness(*retry.split())


def test_a_killed_worker_fails_its_stage_alone(project, suite):
    project.write(with_trouble(suite, "kill"))
    done = project.harness("run", "toys.toml", code=1)
    assert "killed by SIGKILL" in done.err
    assert {c["cell"]: c["status"] for c in quality(project)} == {
        "model=plain,compress=none,seed=42": "ok",
        "model=plain,compress=round,seed=42": "ok",
        "model=plain,compress=trouble,seed=42": "failed",
    }


def test_what_a_plugin_prints_reaches_its_log_alone(project, suite):
    project.write(with_trouble(suite, "print"))
    done = project.harness("run", "toys.toml", "--json")
    assert json.loads(done.out)
    logs = [path.read_text() for path in (project.folder / ".harness/logs").glob("compress-*")]
    assert any('{"kind": "done"}' in text for text in logs)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def children(pid: int) -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.add(int(path.name))
        except (OSError, IndexError):
            continue
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_runs_killed_again_and_again_end_like_an_undisturbed_one(project, tmp_path_factory):
    objects = project.folder / ".harness/objects"
    kept: dict[str, int] = {}
    for stages in (1, 9, 20):
        run = project.start("run", "toys.toml")
        wait_for(lambda wanted=stages: len(list(objects.glob("??/*/manifest.json"))) >= wanted)
        workers = children(run.pid)
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        wait_for(lambda gone=workers: not any(alive(pid) for pid in gone), 5)
        finished = {path.parent.name: path.stat().st_mtime_ns for path in objects.glob("??/*/manifest.json")}
        assert kept.items() <= finished.items()  # what was finished was not made again
        kept = finished
    done = project.harness("run", "toys.toml")
    assert f"{25 - len(kept)} done" in done.err
    calm = type(project)(tmp_path_factory.mktemp("calm"))
    calm.write((project.folder / "toys.toml").read_text())
    calm.harness("run", "toys.toml")
    assert quality(project) == quality(calm)
    assert masked(project) == masked(calm)


def masked(project) -> str:
    """The report without times and dates."""
    text = (project.folder / "reports/toys.md").read_text()
    return re.sub(
        r"\d+(\.\d+)? ?(s|min|ms|MHz)\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?[^ |]*|load[^|\n]*|steal[^|\n]*|\d+\.\d+ s",
        "·",
        text,
    )


def test_interrupting_is_130_and_loses_nothing(project, suite):
    project.write(with_trouble(suite, "hang"))
    run = project.start("run", "toys.toml")
    wait_for(
        lambda: "compress" in project.ran and len(list(project.folder.glob(".harness/objects/??/*/manifest.json"))) >= 5
    )
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "the same command goes on from there" in err
    project.write(suite)  # the same models without the chain that hangs
    again = project.harness("run", "toys.toml", "--only", "model=plain", "--set", "matrix.seed=[42]")
    assert int(re.search(r"(\d+) from the store", again.err)[1]) >= 3


def test_two_runs_at_once_publish_each_stage_once(project):
    first, second = project.start("run", "toys.toml"), project.start("run", "toys.toml", "--reports", "reports2")
    texts = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert first.returncode == second.returncode == 0, texts
    assert sorted(project.ran) == sorted(["prepare"] + ["build"] * 4 + ["compress"] * 4)
    done = [int(re.search(r"stages: (\d+) done", text)[1]) for text in texts]
    assert sum(done) == 25


def test_a_flipped_byte_is_found_and_made_again(project):
    project.harness("run", "toys.toml")
    before = quality(project)
    path = next(project.folder.glob(".harness/objects/??/*/out/samples.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "content differs from its hash" in project.harness("cache", "verify", code=1).out
    assert "1 done, 24 from the store" in project.harness("run", "toys.toml").err
    assert quality(project) == before
    assert "0 damaged" in project.harness("cache", "verify").err


def test_measuring_and_every_column_of_speed(project, suite):
    project.write(suite.replace("speed = false", f"[measure.speed]\n{SLOW}").replace("[measure]\n", ""))
    project.harness("run", "toys.toml")
    measured = records(project, "measurement")
    assert len(measured) == 2  # one per model; rounded and plain stand in one
    assert {name for line in measured for name in line["rows"]} == {"row.none", "row.round"}
    assert all(len(row["workloads"]["single"]["forward_ms"]) == 3 for line in measured for row in line["rows"].values())
    again = project.harness("run", "toys.toml")
    assert "stages: 0 done" in again.err


def test_a_failed_row_leaves_its_group_measured(project, suite):
    text = with_trouble(suite, "raise")
    project.write(text.replace("speed = false", f"[measure.speed]\n{SLOW}").replace("[measure]\n", ""))
    done = project.harness("run", "toys.toml", code=1)
    assert "1 failed" in done.err
    found = {cell["cell"]: cell for cell in records(project, "cell")}
    assert found["model=plain,compress=round,seed=42"]["unmeasured"] == ""
    assert found["model=plain,compress=trouble,seed=42"]["status"] == "failed"
    (measured,) = records(project, "measurement")
    assert set(measured["rows"]) == {"row.round"}


def test_only_selects_cells_and_still_measures_the_anchor(project, suite):
    project.write(suite.replace("speed = false", f"[measure.speed]\n{SLOW}").replace("[measure]\n", ""))
    project.harness("run", "toys.toml", "--only", "model=biased,compress=round,seed=1")
    assert [cell["cell"] for cell in quality(project)] == ["model=biased,compress=round,seed=1"]
    assert (
        "× " in (project.folder / "reports/toys.md").read_text()
        or "×" in (project.folder / "reports/toys.md").read_text()
    )


def test_predict_explain_list_cache_and_report(project):
    project.harness("run", "toys.toml")
    said = project.harness("predict", "toys.toml", "--only", "model=plain,seed=1", "--text", "aaab", "--json")
    assert json.loads(said.out)["label"] == "a"
    explained = project.harness("explain", "toys.toml", "--only", "model=plain,compress=round,seed=1").out
    assert explained.count("in the store") == 5
    changed = project.harness(
        "explain", "toys.toml", "--only", "model=biased,compress=none,seed=1", "--set", "models.biased.bias=2.0"
    ).out
    assert "will run: params.bias: 0.25 → 2.0" in changed
    assert "toy" in project.harness("list", "students").out
    assert "params.bias" not in project.harness("list", "students", "toy").out
    assert len(project.harness("cache", "ls").out.splitlines()) == 25
    assert "nothing to remove" in project.harness("cache", "gc").err
    before = (project.folder / "reports/toys.md").read_bytes()
    project.harness("report", "reports/toys.records.jsonl")
    assert (project.folder / "reports/toys.md").read_bytes() == before


def test_the_retry_of_one_cell_keeps_the_others_in_the_report(project):
    project.harness("run", "toys.toml")
    before = quality(project)
    project.harness("run", "toys.toml", "--only", "model=plain,compress=round,seed=1")
    assert quality(project) == before
    # a cell whose work changed since is not carried over
    project.harness("run", "toys.toml", "--only", "model=plain", "--set", "models.biased.bias=3.0")
    assert {cell["cell"].partition(",")[0] for cell in quality(project)} == {"model=plain"}


def test_what_is_skipped_is_said_once_and_costs_the_others_nothing(project, suite):
    project.write(
        suite.replace("[matrix]", 'away = ["toy-elsewhere"]\n[matrix]').replace('"round"]\n', '"round", "away"]\n')
    )
    ran = project.harness("run", "toys.toml")
    assert "skipped  4 cells: needs a toy machine" in ran.err
    before, data = quality(project), records(project, "run")[0]["task"]["data"]
    again = project.harness("run", "toys.toml", "--only", "compress=away")
    assert "skipped  4 cells: needs a toy machine" in again.err
    assert quality(project) == before
    assert records(project, "run")[0]["task"]["data"] == data
    for words in (("predict", "toys.toml", "--only", "compress=away", "--text", "a"), EXPORT):
        assert "skipped: needs a toy machine" in project.harness(*words, code=5).err
    timed = ("--set", "measure.speed.blocks=2", "--set", "suite.anchor.compress=away")
    refused = project.harness("plan", "toys.toml", "--set", "measure.speed={}", *timed, code=2).err
    assert "suite.anchor (model = plain, compress = away) cannot be measured: it is skipped: needs a toy" in refused


def test_bad_data_ends_the_run_with_2_before_anything_else_and_writes_no_report(project, suite):
    changed = 'use = "sentiment"\nsource = "rows.csv"\n[models.plain]'
    project.write(suite.replace('use = "toy"\n[models.plain]', changed))
    (project.folder / "rows.csv").write_text("comment;mark\nхорошо;1\n", encoding="utf-8")
    done = project.harness("run", "toys.toml", code=2)
    assert "rows.csv" in done.err
    assert "Traceback" not in done.err
    assert project.ran == []
    assert not list((project.folder / "reports").iterdir())


def test_reports_that_cannot_be_written_are_noticed_before_the_work(project):
    (project.folder / "file").write_text("")
    done = project.harness("run", "toys.toml", "--reports", "file/inside", code=2)
    assert "--reports file/inside: " in done.err
    assert project.ran == []


def test_code_in_the_working_folder_is_not_run(project):
    for name in ("numpy", "pluggy", "safetensors", "tokenizers"):
        (project.folder / f"{name}.py").write_text("raise SystemExit('hostile')")
    script = Path(sys.executable).with_name("harness")
    speed = ", ".join(SLOW.split("\n")[:-1])
    words = [str(script), "run", "toys.toml", "--set", f"measure.speed={{{speed}}}"]
    done = subprocess.run(
        words, cwd=project.folder, env=project.environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert len(records(project, "measurement")) == 2


def test_data_that_changes_while_it_is_read_is_refused(project):
    path = project.folder / "a.csv"
    path.write_text("one")
    asset = {"origin": "a.csv", "root": str(project.folder), "files": ["a.csv"]}
    found = find_data("a.csv", Places(project.folder))
    stage = Stage(kind="prepare", component="t/x", version=1, data={"source": found.fingerprint})
    work = work_for(stage, Store(project.folder), project.folder, Registry(), 1)
    check_unchanged(work, "source", asset)
    path.write_text("two!")
    with pytest.raises(StageError, match=r"a\.csv: its files changed between the plan and the end of this stage"):
        check_unchanged(work, "source", asset)


def test_a_failed_seed_leaves_the_others_measured(project, suite):
    text = with_trouble(suite, "raise").replace("seed = [1, 2]", "seed = [1, 2]")
    text = text.replace(
        'compress = ["none", "round", "trouble"]', 'compress = ["none", "round", "trouble"]\nseed = [1, 2]'
    )
    project.write(text.replace("speed = false", f"[measure.speed]\n{SLOW}").replace("[measure]\n", ""))
    done = project.harness("run", "toys.toml", code=1)
    assert done.err.count("failed   compress") == 2  # once per seed, not again for the measurement
    (measured,) = records(project, "measurement")
    assert set(measured["rows"]) == {"row.round"}


def test_an_unknown_value_is_2_and_nothing_selected_is_5(project, suite):
    said = project.harness("run", "toys.toml", "--only", "model=plain,seed=3", code=2)
    assert "seed" in said.err
    project.write(suite.replace("[measure]", "[[matrix.exclude]]\nmodel = 'biased'\ncompress = 'round'\n[measure]"))
    project.harness("run", "toys.toml", "--only", "model=biased,compress=round", code=5)


def test_rehearsal_and_random_write_their_own_reports(project):
    project.harness("run", "toys.toml", "--rehearse")
    project.harness(
        "run",
        "toys.toml",
        "--weights",
        "random",
        "--set",
        "measure.speed={blocks=3, inputs=4, turn_ms=1.0, batch_size=4}",
    )
    names = {path.name for path in (project.folder / "reports").iterdir()}
    assert {"toys.rehearsal.md", "toys.random.md"} <= names
    assert "toys.md" not in names
