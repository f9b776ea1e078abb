"""Measuring: who runs when, what is recorded, what happens to those that fail. No clock decides anything here."""

import ast
import itertools
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fake_answerers
import numpy as np
import pytest

from harness import StageError
from harness.measuring import blocks, memory, size, timer
from harness.measuring.blocks import measure_group
from harness.measuring.process import Subject, SubjectError, SubjectProcess
from harness.suite.types import SpeedConfig

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

QUICK = SpeedConfig(workloads=("single", "batch"), threads=1, batch_size=4, inputs=6, blocks=3, turn_ms=0.0)


@pytest.fixture
def examples(tmp_path):
    path = tmp_path / "examples.jsonl"
    lines = [json.dumps({"id": f"e{i}", "text": "я" * (1 + i * 7 % 11)}, ensure_ascii=False) for i in range(40)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def subject(label, kind="Fake", **model):
    return Subject(label, model, f"fake_answerers:{kind}")


def words(log, first):
    """The logged lines that begin with a word, without it."""
    lines = [line.split() for line in Path(log).read_text().splitlines()]
    return [line[1:] for line in lines if line[0] == first]


# ------------------------------------------------------------------------------------------------- a group as a whole


@pytest.mark.parametrize(("warmup", "met"), [("first", False), ("all", True)])
def test_before_the_timing_the_first_draw_is_answered_or_all_of_them(tmp_path, examples, warmup, met):
    log = tmp_path / "log"
    config = replace(QUICK, workloads=("single",), warmup=warmup)
    result = measure_group(subject("t", log=str(log)), [], config, examples, seed=1)
    draws = [[f"e{i}" for i in block["draw"]] for block in result["blocks"]]
    asked = words(log, "encode")[
        : 1 + (len(draws) if met else 1) * (1 + config.inputs)
    ]  # the anchor's, before the twin's
    before = {one for line in asked for one in line}
    assert before >= set(draws[0])
    assert (before >= {one for draw in draws for one in draw}) is met
    assert len(result["anchor"]["workloads"]["single"]["forward_ms"]) == config.blocks


def test_a_group_has_the_anchor_its_twin_and_the_rows(examples):
    result = measure_group(subject("teacher"), [subject("a"), subject("b", scale=2.0)], QUICK, examples, seed=1)

    assert list(result["rows"]) == ["a", "b"]
    everyone = [result["anchor"], result["twin"], *result["rows"].values()]
    assert [row["status"] for row in everyone] == ["ok"] * 4
    assert result["twin"]["label"] == result["anchor"]["label"] == "teacher"
    for row in everyone:
        for workload in ("single", "batch"):
            columns = row["workloads"][workload]
            assert len(columns["forward_ms"]) == len(columns["request_ms"]) == len(columns["passes"]) == QUICK.blocks
            assert all(0 < f < r for f, r in zip(columns["forward_ms"], columns["request_ms"], strict=True))
        assert len(row["workloads"]["single"]["requests"]["request_ms"]) == QUICK.blocks * QUICK.inputs
        assert "requests" not in row["workloads"]["batch"]
        assert 0 < row["cold_start"]["load_ms"] < row["cold_start"]["ready_ms"]
        assert row["cold_start"]["first_answer_ms"] > 0
    json.dumps(result, allow_nan=False)


def test_outputs_are_hashed_so_that_what_was_timed_is_known(examples):
    result = measure_group(subject("t"), [subject("same"), subject("other", scale=1.01)], QUICK, examples)

    for workload in QUICK.workloads:
        anchor, twin = (result[who]["workloads"][workload]["outputs"] for who in ("anchor", "twin"))
        same, other = (result["rows"][who]["workloads"][workload]["outputs"] for who in ("same", "other"))
        assert anchor == twin == same
        assert other != anchor


def test_every_row_answers_the_same_draws_in_an_order_of_its_own(examples, tmp_path):
    rows = [subject(name, log=str(tmp_path / name)) for name in "abc"]
    config = replace(QUICK, blocks=8)
    result = measure_group(subject("t"), rows, config, examples, seed=3)

    asked = [words(tmp_path / name, "encode") for name in "abc"]
    assert asked[0] == asked[1] == asked[2]
    drawn = [[f"e{i}" for i in block["draw"]] for block in result["blocks"]]
    assert len({tuple(draw) for draw in drawn}) == config.blocks
    for number, draw in enumerate([drawn[0], *drawn]):  # the first time to warm up
        block = asked[0][1 + 9 * number :][:9]  # after the cold answer; each turn begins with an untimed one
        assert block == [draw[:1], *([one] for one in draw[:6]), draw[:1], draw]
    assert len(draw) == 8  # two whole batches of four
    orders = [tuple(block["orders"][w]) for block in result["blocks"] for w in QUICK.workloads]
    assert {tuple(sorted(order)) for order in orders} == {("a", "anchor", "b", "c", "twin")}
    assert len(set(orders)) > 8


def test_draws_and_orders_follow_the_seed(examples):
    first, again, other = (measure_group(subject("t"), [], QUICK, examples, seed=s)["blocks"] for s in (5, 5, 6))
    assert first == again != other


def test_few_examples_are_drawn_again(tmp_path):
    path = tmp_path / "two.jsonl"
    path.write_text('{"id": "a", "text": "x"}\n{"id": "b", "text": "yy"}', encoding="utf-8")
    result = measure_group(subject("t"), [], replace(QUICK, blocks=1), path)
    assert sorted(result["blocks"][0]["draw"]) == [0] * 4 + [1] * 4


def test_no_example_is_an_error(tmp_path):
    path = tmp_path / "none.jsonl"
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(StageError, match=r"none\.jsonl: no example"):
        measure_group(subject("t"), [], QUICK, path)


def test_labels_must_differ(examples):
    for labels in (["a", "a"], ["twin"]):
        with pytest.raises(ValueError, match="must differ"):
            measure_group(subject("t"), [subject(label) for label in labels], QUICK, examples)


def test_threads_reach_the_subject_and_its_libraries(examples, tmp_path):
    log = tmp_path / "log"
    result = measure_group(subject("t", log=str(log)), [], replace(QUICK, threads=3, blocks=1), examples)
    assert result["threads"] == 3
    assert [line[1:] for line in words(log, "open")] == [["3", "3"]] * 2  # anchor and twin


def test_progress_counts_up_to_its_total(examples):
    seen = []
    measure_group(subject("t"), [subject("a")], QUICK, examples, progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(seen[0][1]))
    assert seen[0][2] == "start t"


def test_what_a_library_prints_is_no_reply(examples):
    result = measure_group(subject("t"), [subject("chatty", "Chatty")], QUICK, examples)
    assert result["rows"]["chatty"]["status"] == "ok"


def test_observations_stand_before_and_after(examples):
    observed = measure_group(subject("t"), [], replace(QUICK, blocks=1), examples)["observed"]
    assert observed["before"].keys() == observed["after"].keys() >= {"steal_s", "load_average"}


# ------------------------------------------------------------------------------------------------------ quiet machine


def observe_busy_neighbour(examples, tmp_path):
    """What the anchor and its twin saw of a busy neighbour while they were measured: ticks and states."""
    other = tmp_path / "busy"
    log = tmp_path / "saw"
    config = replace(QUICK, workloads=("single",), inputs=2, blocks=3)
    anchor = subject("t", "Observer", log=str(log), other=str(other))
    result = measure_group(anchor, [subject("busy", "Busy", log=str(other))], config, examples)
    assert result["rows"]["busy"]["status"] == "ok"
    seen = [line for line in words(log, "saw") if line[0] != "-"]
    assert len(seen) >= 2 * 3 * 3  # two observers, three blocks, an untimed and two timed answers
    return seen


@linux
def test_a_busy_neighbour_is_stopped_while_others_are_measured(examples, tmp_path):
    for ticks, state, ticks_after, state_after in observe_busy_neighbour(examples, tmp_path):
        assert ticks == ticks_after
        assert state == state_after == "T"


@linux
def test_the_observer_would_see_a_neighbour_that_runs(examples, tmp_path, monkeypatch):
    monkeypatch.setattr(SubjectProcess, "_stop", lambda self: None)
    seen = observe_busy_neighbour(examples, tmp_path)
    assert any(ticks != ticks_after for ticks, _, ticks_after, _ in seen)


@linux
def test_who_measures_sleeps_meanwhile(examples):
    config = replace(QUICK, workloads=("single",), inputs=2, blocks=6)
    before = os.times()
    measure_group(subject("t", "Worker", cpu_s=0.05), [], config, examples)
    after = os.times()
    mine = after.user + after.system - before.user - before.system
    subjects = after.children_user + after.children_system - before.children_user - before.children_system
    assert subjects > 2 * 6 * 3 * 0.05
    assert mine < 0.15 * subjects  # who spins has as much as the subjects


# ------------------------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize(
    ("how", "at", "reason"),
    [
        ("raise", -1, "ValueError: no kernel\nfor this"),
        ("raise", 20, "ValueError: no kernel\nfor this"),
        ("die", 20, "the process was killed by SIGKILL"),
        ("exit", 0, "the process ended with exit code 7: last words"),
        ("hang", 20, "no answer within 2 s"),
    ],
)
def test_a_row_that_fails_fails_alone(examples, how, at, reason):
    rows = [subject("bad", "Faulty", how=how, at=at), subject("good")]
    result = measure_group(subject("t"), rows, QUICK, examples, timeout_s=2 if how == "hang" else 60)
    assert result["rows"]["bad"] == {"status": "failed", "label": "bad", "reason": reason}
    for row in (result["anchor"], result["twin"], result["rows"]["good"]):
        assert [len(columns["forward_ms"]) for columns in row["workloads"].values()] == [QUICK.blocks] * 2


@pytest.mark.parametrize("at", [-1, 20])
def test_without_the_anchor_there_is_no_ratio(examples, at):
    with pytest.raises(StageError, match=r"the anchor 't' could not be measured.*no kernel"):
        measure_group(subject("t", "Faulty", how="raise", at=at), [subject("a")], QUICK, examples)


def test_an_opener_that_cannot_be_imported_is_a_failed_row(examples):
    result = measure_group(subject("t"), [Subject("lost", {}, "no_such_module:opener")], QUICK, examples)
    assert "no_such_module" in result["rows"]["lost"]["reason"]


@linux
@pytest.mark.parametrize("kind", ["Fake", "Faulty"])
def test_no_process_is_left_behind(examples, tmp_path, kind):
    log = tmp_path / "log"
    row = subject("row", kind, log=str(log), how="hang", at=20)
    measure_group(subject("t", log=str(log)), [row], QUICK, examples, timeout_s=2)
    pids = [int(pid) for pid, *_ in words(log, "open")]
    assert len(pids) == 3
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


ORPHANS = """
import sys
from pathlib import Path
from fake_answerers import Fake
from harness.measuring.blocks import measure_group
from harness.measuring.process import Subject
from harness.suite.types import SpeedConfig
log, examples = sys.argv[1:]
anchor = Subject("t", {"log": log}, "fake_answerers:Fake")
hanging = Subject("h", {"log": log, "how": "hang", "at": 1}, "fake_answerers:Faulty")
measure_group(anchor, [hanging], SpeedConfig(threads=1), Path(examples))
"""


@linux
def test_subjects_die_with_a_killed_parent(examples, tmp_path):
    log = tmp_path / "log"
    os.mkfifo(log)
    told = os.open(log, os.O_RDWR)  # also a writer: no end of file between two lines
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", ORPHANS, log, examples], env=environment) as parent:
        try:
            text = ""
            while "hanging" not in text:
                assert select.select([told], [], [], 60)[0], f"only this was heard: {text}"
                text += os.read(told, 4096).decode()
            pids = [int(line.split()[1]) for line in text.splitlines() if line.startswith("open")]
            assert [fake_answerers.cpu_ticks(pid)[1] for pid in pids[:2]] == ["T", "T"]
            handles = [os.pidfd_open(pid) for pid in pids]
        finally:
            parent.kill()
            os.close(told)
    assert len(pids) == 3
    for handle in handles:
        assert select.select([handle], [], [], 20)[0], "a subject outlived its parent"
        os.close(handle)


@linux
def test_a_stopped_subject_keeps_its_place(examples):
    with SubjectProcess(subject("a"), 1, examples) as process:
        assert fake_answerers.cpu_ticks(process.pid)[1] == "T"
        assert process.ask("first").keys() == {"first_answer_ms"}
        assert fake_answerers.cpu_ticks(process.pid)[1] == "T"
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(SubjectError, match="SIGKILL"):
            process.ask("first")
    process.close()  # a second time: harmless


# --------------------------------------------------------------------------------------------------------------- timer


class Clock:
    """A clock that moves when an answerer works."""

    now = 0

    def perf_counter_ns(self):
        return self.now


class Steps:
    """Encode takes 1 µs an example, collate 10, forward 100 a batch, reading nothing, answering 1000 a call."""

    def __init__(self, clock):
        self.clock = clock
        self.batches = []

    def encode(self, examples):
        self.clock.now += 1_000 * len(examples)
        return [type("E", (), {"length": len(e["text"])}) for e in examples]

    def collate(self, encoded, length=None):
        self.clock.now += 10_000
        self.batches.append([one.length for one in encoded])
        return {"n": np.array([len(encoded)])}

    def forward(self, arrays):
        self.clock.now += 100_000
        return {"logits": np.zeros((int(arrays["n"][0]), 2))}

    def read(self, windows, outputs):
        return list(outputs["logits"])

    def answer(self, examples, windows, said):
        self.clock.now += 1_000_000
        assert len(said) == len(windows)
        return [0] * len(examples)


@pytest.fixture
def steps(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timer, "time", clock)
    return Steps(clock)


DRAW = [{"text": "x" * n} for n in (5, 2, 9, 1)]


def test_forward_is_arrays_to_arrays_and_request_is_everything(steps):
    turn = timer.run_turn(steps, DRAW, None, least_ms=0)
    assert turn["passes"] == 1
    assert turn["forward_ms"] == pytest.approx(0.1)
    assert turn["request_ms"] == pytest.approx(1.111)
    assert turn["requests"] == {"forward_ms": [0.1] * 4, "request_ms": [1.111] * 4}
    assert "outputs" not in turn


def test_batches_are_sorted_by_length_and_times_are_per_example(steps):
    turn = timer.run_turn(steps, DRAW, 2, least_ms=0)
    assert steps.batches == [[5], [1, 2], [5, 9]]  # the first is the untimed answer
    assert turn["forward_ms"] == pytest.approx(2 * 0.1 / 4)
    assert turn["request_ms"] == pytest.approx((4 * 0.001 + 2 * 0.110 + 1) / 4)


def test_a_turn_repeats_whole_passes_until_its_time_is_up(steps):
    turn = timer.run_turn(steps, DRAW, None, least_ms=10.0)  # a pass takes 4.444
    assert turn["passes"] == 3
    assert len(steps.batches) == 1 + 3 * 4
    assert len(turn["requests"]["forward_ms"]) == 4  # of the first pass only
    assert turn["forward_ms"] == pytest.approx(0.1)


def test_the_hash_ignores_noise_below_its_decimals_only(steps):
    def hashed(value):
        steps.forward = lambda arrays: {"logits": np.full((1, 2), value, dtype=np.float32)}
        return timer.run_turn(steps, DRAW, None, least_ms=0, hashed=True)["outputs"]

    assert hashed(0.12301) == hashed(0.12302) != hashed(0.125)
    assert hashed(0.00001) == hashed(-0.00001)


def test_garbage_collection_is_back_on_after_a_failure(steps):
    steps.forward = lambda arrays: 1 / 0
    with pytest.raises(ZeroDivisionError):
        timer.run_turn(steps, DRAW, None, least_ms=0)
    assert timer.gc.isenabled()


# ------------------------------------------------------------------------------------------------------ memory and size


@linux
def test_peak_memory_is_the_subjects_own(examples):
    ballast = np.ones(200 * 2**17)  # 200 MiB in this process: a child's ru_maxrss would report them
    result = measure_group(subject("t"), [subject("m", "Memory")], replace(QUICK, blocks=1), examples)
    small, large = result["anchor"]["memory"], result["rows"]["m"]["memory"]
    assert small["loaded_mib"] <= small["peak_mib"] < 150 < ballast.nbytes / 2**20
    assert large["peak_mib"] - small["peak_mib"] == pytest.approx(64, abs=8)
    assert "VmHWM" in small["how"]


def test_memory_that_cannot_be_read_is_not_measured():
    assert memory.parse_status("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n", "VmHWM") == 2.0
    assert memory.parse_status("Name:\tzombie\n", "VmHWM") == "not measured (the kernel reports no VmHWM)"
    assert memory.peak_mib(2**22 + 1) == f"not measured (no /proc/{2**22 + 1}/status)"


def test_sizes_are_mib_of_model_files_and_of_everything(tmp_path):
    (tmp_path / "model.onnx").write_bytes(bytes(2**20))
    (tmp_path / "model.onnx.data").write_bytes(bytes(2**19))
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "tokenizer.json").write_bytes(bytes(2**18))
    assert size.artifact_sizes(tmp_path) == {"model_mib": 1.5, "folder_mib": 1.75}


def test_in_an_unknown_format_the_largest_file_is_the_model(tmp_path):
    (tmp_path / "weights.tflite").write_bytes(bytes(2**20))
    (tmp_path / "artifact.json").write_bytes(bytes(2**18))
    assert size.artifact_sizes(tmp_path) == {"model_mib": 1.0, "folder_mib": 1.25}


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(StageError, match="no file was written"):
        size.artifact_sizes(tmp_path)


# --------------------------------------------------------------------------------------------------------- independence


def test_measuring_imports_no_model_library():
    folder = Path(blocks.__file__).parent
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")]
    nodes = list(itertools.chain.from_iterable(ast.walk(tree) for tree in trees))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    assert not {name.split(".")[0] for name in names} & {"torch", "transformers", "onnx", "onnxruntime", "tokenizers"}


def test_a_cold_subject_loads_nothing_that_it_does_not_need():
    code = (
        "import sys, harness.measuring.subject; print([m for m in ('numpy', 'pydantic', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
