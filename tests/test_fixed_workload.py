"""The workload `fixed`: one batch of one shape for everybody, as studies time it. No clock decides anything here."""

import csv
import io
import itertools
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import report_fakes as fakes
from suite_helpers import HEAD, MODELS, parse, problems
from test_measuring import Clock, Steps, subject, words
from test_plan_shapes import plan_of

from harness import StageError, SuiteError
from harness.measuring import timer
from harness.measuring.blocks import measure_group
from harness.reports import summarise
from harness.reports.markdown import render
from harness.reports.model import Absent
from harness.reports.table_csv import to_csv
from harness.specs import Encoded
from harness.stages.batching import collate
from harness.statistics import Interval
from harness.suite.types import FixedConfig, SpeedConfig

FIXED = FixedConfig(batch_size=8, length=16, warmups=2, runs=3, repeats=4)
ONLY = SpeedConfig(workloads=("fixed",), threads=1, blocks=2, fixed=FIXED)


@pytest.fixture
def examples(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(json.dumps({"id": f"e{i}", "text": "x" * (1 + i % 9)}) + "\n" for i in range(20)))
    return path


# ----------------------------------------------------------------------------------------------------------- measuring


def test_every_repeat_is_kept_run_by_run(examples):
    result = measure_group(subject("t"), [subject("a"), subject("b", scale=2.0)], ONLY, examples, seed=1)

    for row in (result["anchor"], result["twin"], *result["rows"].values()):
        found = row["workloads"]["fixed"]
        assert [len(runs) for runs in found["runs_ms"]] == [FIXED.runs] * FIXED.repeats
        assert found["batch_ms"] == [sum(runs) / len(runs) for runs in found["runs_ms"]]
        assert found["shape"] == [8, 16]
        assert "single" not in row["workloads"]
    orders = result["repeats"]
    assert {tuple(sorted(order)) for order in orders} == {("a", "anchor", "b", "twin")}
    assert len({tuple(order) for order in orders}) > 1
    hashes = [row["workloads"]["fixed"]["outputs"] for row in (result["anchor"], *result["rows"].values())]
    assert hashes[0] == hashes[1] != hashes[2]
    json.dumps(result, allow_nan=False)


def test_all_run_the_first_examples_padded_to_one_length(examples, tmp_path):
    measure_group(subject("t"), [subject("a", log=str(tmp_path / "a"))], ONLY, examples)
    answered, *batches = words(tmp_path / "a", "encode")
    assert answered == ["e0"]  # cold
    assert batches == [[f"e{i}" for i in range(8)]] * FIXED.repeats
    assert words(tmp_path / "a", "collate")[1:] == [["16", "8"]] * FIXED.repeats


def test_without_a_length_the_longest_decides(examples, tmp_path):
    config = replace(ONLY, fixed=replace(FIXED, length=None, batch_size=30))  # more than there are examples
    result = measure_group(subject("t"), [subject("a", log=str(tmp_path / "a"))], config, examples)
    assert result["rows"]["a"]["workloads"]["fixed"]["shape"] == [30, 9]
    assert words(tmp_path / "a", "encode")[1] == [f"e{i % 20}" for i in range(30)]


def test_it_is_timed_after_the_blocks_and_leaves_them_alone(examples):
    both = replace(ONLY, workloads=("single", "fixed"), inputs=3, turn_ms=0.0)
    result = measure_group(subject("t"), [], both, examples, seed=7)
    plain = measure_group(subject("t"), [], replace(both, workloads=("single",)), examples, seed=7)
    assert result["blocks"] == plain["blocks"]
    assert "repeats" not in plain
    assert list(plain["anchor"]["workloads"]) == ["single"]


def test_progress_counts_the_repeats(examples):
    seen = []
    config = replace(ONLY, workloads=("single", "fixed"), inputs=2, turn_ms=0.0)
    measure_group(subject("t"), [], config, examples, progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(seen[0][1]))
    assert seen[-1][2].startswith("repeat 4 of 4, fixed: ")


def test_a_row_that_does_not_fit_is_named_with_the_remedy(examples):
    narrow = replace(ONLY, fixed=replace(FIXED, length=5))
    with pytest.raises(StageError, match=r"a row of 8 tokens, and length = 5: nothing is cut; set length to 8 or more"):
        measure_group(subject("t"), [], narrow, examples)


@pytest.fixture
def steps(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timer, "time", clock)
    return Steps(clock)


def test_only_forward_passes_after_the_warm_ups_are_timed(steps):
    forward = steps.forward
    cost = itertools.count(5, -1)  # each pass is quicker than the one before it

    def slower(arrays):
        steps.clock.now += next(cost) * 1_000_000
        return forward(arrays)

    steps.forward = slower
    turn = timer.run_fixed(steps, [{"text": "xx"}, {"text": "x"}], None, warmups=2, runs=3)
    assert turn == {"runs_ms": [3.1, 2.1, 1.1], "shape": [2, 2]}
    assert timer.gc.isenabled()


def test_padding_to_a_length_keeps_what_is_inside():
    windows = [Encoded({"input_ids": np.arange(1, n + 1), "attention_mask": np.ones(n, int)}, n) for n in (3, 5)]
    pad = {"input_ids": 9, "attention_mask": 0}
    natural, padded = collate(windows, pad), collate(windows, pad, 8)
    assert {name: array.shape for name, array in padded.items()} == dict.fromkeys(pad, (2, 8))
    for name, value in pad.items():
        assert (padded[name][:, :5] == natural[name]).all()
        assert (padded[name][:, 5:] == value).all()


# --------------------------------------------------------------------------------------------------------------- suite

SUITE = HEAD + MODELS


def test_a_suite_asks_for_it_with_its_params():
    text = SUITE + "[measure.speed]\nworkloads = ['single', 'fixed']\nfixed = { length = 128, repeats = 7 }\n"
    assert parse(text).measure.speed == SpeedConfig(
        workloads=("single", "fixed"), fixed=FixedConfig(batch_size=16, length=128, warmups=2, runs=5, repeats=7)
    )


@pytest.mark.parametrize(
    ("speed", "message"),
    [
        ("fixed = { runs = 3 }", "measure.speed.fixed: is about the workload 'fixed', which is not asked for"),
        ("workloads = ['fixed']\nfixed = { runs = 0 }", "measure.speed.fixed.runs: expected at least 1, got 0"),
        ("workloads = ['fixed']\nfixed = { run = 3 }", "measure.speed.fixed.run: unknown key. Did you mean 'runs'?"),
        ("workloads = ['fixd']", "measure.speed.workloads[0]: "),
    ],
)
def test_mistakes_are_named(speed, message):
    found = problems(f"{SUITE}[measure.speed]\n{speed}\n")
    assert len(found) == 1
    assert message in found[0]


PLAN = """
schema = 1
[suite]
name = "s"
[task]
use = "fake-sequence"
source = "train.jsonl"
[models.big]
use = "transformer"
[measure]
"""


def measure_stage(folder, measure):
    (folder / "train.jsonl").write_text("{}\n")
    (stage,) = [s for s in plan_of(PLAN + measure, folder).stages.values() if s.kind == "measure"]
    return stage


def test_keys_of_measurements_without_it_are_as_they_were(tmp_path):
    params = measure_stage(tmp_path, "").params
    assert sorted(params) == ["batch_size", "blocks", "inputs", "runtimes", "task", "threads", "turn_ms", "workloads"]
    assert "counters" not in measure_stage(tmp_path, "").facets
    assert measure_stage(tmp_path, "[measure.speed]\nwarmup = 'all'\n").params["warmup"] == "all"


def test_each_param_of_it_is_in_the_key(tmp_path):
    text = "speed = {{ workloads = ['fixed'], fixed = {{ {} = {} }} }}\n"
    defaults = asdict(FixedConfig())
    keys = {measure_stage(tmp_path, text.format(name, (value or 30) + 1)).key for name, value in defaults.items()}
    assert len(keys) == len(defaults)
    stage = measure_stage(tmp_path, text.format("length", 128))  # as long as models read
    assert stage.params["fixed"] == {**defaults, "length": 128}


def test_models_cannot_run_more_than_they_read(tmp_path):
    speed = "speed = { workloads = ['fixed'], fixed = { length = 129 } }\n"
    with pytest.raises(SuiteError, match=r"fixed\.length: 129 is more than models read, task\.max_length = 128"):
        measure_stage(tmp_path, speed)


# -------------------------------------------------------------------------------------------------------------- report


def with_fixed(length=128, repeats=5, **run):
    """The made-up record, every row of it timed at a tenth of its batch's forward time, 1 % apart."""
    made = fakes.records(**run)
    config = SpeedConfig(workloads=("single", "fixed"), fixed=FixedConfig(length=length, repeats=repeats))
    made.run["measure"] = {**made.run["measure"], "speed": asdict(config)}
    for document in made.measurements.values():
        for n, one in enumerate((document["anchor"], document["twin"], *document["rows"].values())):
            ms = np.mean(one["workloads"]["single"]["forward_ms"])
            noise = np.random.default_rng([len(document["key"]), n]).random((repeats, 5))
            runs = (ms * (1 + 0.01 * noise)).tolist()
            fixed = {"batch_ms": [float(np.mean(r)) for r in runs], "runs_ms": runs, "shape": [16, length]}
            one["workloads"]["fixed"] = {**fixed, "outputs": "ab"}
    return made


def report(**changes):
    return summarise(with_fixed(**changes), fakes.REGISTRY)


def test_rows_have_seconds_per_batch_and_a_ratio_to_the_anchor():
    found = report()
    anchor, row = found.anchor, fakes.row(found, "lstm-kd · int8")
    subject_ = with_fixed().measurements["measure-lstm"]["rows"]["row.int8"]["workloads"]["fixed"]
    repeats = np.array(subject_["batch_ms"]) / 1000
    assert row.speed.batch_seconds.value == pytest.approx(repeats.mean())
    assert row.speed.batch_seconds_std == pytest.approx(repeats.std(ddof=1))
    assert row.speed.fixed.interval.value == pytest.approx(8.0 / (2.0 * 0.7), rel=0.05)
    assert anchor.speed.fixed.interval == Interval(1.0, 1.0, 1.0)
    assert found.measurements[0].floors["fixed"] < 0.02


def test_one_repeat_has_no_spread():
    row = fakes.row(report(repeats=1), "lstm")
    assert isinstance(row.speed.batch_seconds, Interval)
    assert row.speed.batch_seconds_std == Absent("one repeat has no spread")


def test_the_report_has_a_section_that_names_every_setting():
    text = render(report())
    section = text.partition("## Latency as the study measures it\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    header = [cell.strip() for cell in lines[0].split("|")[1:5]]
    assert header == ["row", "parameters", "seconds per batch ↓", "× faster ↑"]
    anchor = [cell.strip() for cell in lines[2].split("|")[1:5]]
    assert anchor[0] == "**teacher** (anchor)"
    assert anchor[1] == "11,796,480"
    assert anchor[2].startswith("0.008")
    assert " ± 0.0000" in anchor[2]
    assert anchor[3] == "1"
    for words_ in ("first 16 rows", "padded to 128 tokens", "Warm-ups: 2", "5 timed passes", "Repeats: 5", "2 threads"):
        assert words_ in section
    assert "padded to the longest of the batch" in render(report(length=None))
    assert "Latency as the study" not in render(fakes.report())


def test_csv_has_the_study_s_columns():
    for found, filled in ((report(), True), (fakes.report(), False)):
        for line in csv.DictReader(io.StringIO(to_csv(found))):
            assert bool(line["batch_seconds"]) is bool(line["batch_seconds_std"]) is filled
            assert bool(line["times_faster_batch_low"]) is filled
    first = next(csv.DictReader(io.StringIO(to_csv(report()))))
    assert float(first["batch_seconds"]) == pytest.approx(0.0081, rel=0.02)


def test_published_seconds_compare_as_ratios_only():
    published = [
        {"row": {"model": "teacher"}, "batch_seconds": 0.8, "source": "A"},
        {"row": {"model": "lstm"}, "batch_seconds": 0.2, "source": "A"},
    ]
    found = {(p.row, p.name): p for p in report(published=published).published}
    seconds = found["lstm", "batch_seconds"]
    assert seconds.verdict == "not comparable: other hardware"
    assert seconds.ours.value == pytest.approx(0.002, rel=0.05)
    ratio = found["lstm", "× faster per batch than teacher"]
    assert ratio.published == pytest.approx(4.0)
    assert ratio.verdict == "reproduced"
    assert ("lstm", "× faster than teacher") not in found
    slower = [published[0], {**published[1], "batch_seconds": 0.1}]
    again = {(p.row, p.name): p.verdict for p in report(published=slower).published}
    assert again["lstm", "× faster per batch than teacher"] == "ours is below (worse)"


def test_a_study_s_column_shows_it():
    text = render(report(report={"columns": ["batch_seconds", "parameters"]}))
    header = next(line for line in text.splitlines() if line.startswith("|"))
    assert "seconds per batch ↓" in header


def test_a_run_times_it_end_to_end(project):
    speed = "speed = { workloads = ['fixed'], threads = 1, fixed = { batch_size = 4, repeats = 3 } }\nenergy = true\n"
    project.write((project.folder / "toys.toml").read_text().replace("speed = false\n", speed))
    project.harness("run", "toys.toml", "--only", "seed=1")
    lines = map(json.loads, (project.folder / "reports/toys.records.jsonl").read_text().splitlines())
    measured = [line for line in lines if line["kind"] == "measurement"]
    assert all(len(m["anchor"]["workloads"]["fixed"]["runs_ms"]) == 3 for m in measured)
    text = (project.folder / "reports/toys.md").read_text()
    assert "## Latency as the study measures it" in text
    assert "first 4 rows of the test data, padded to the longest of the batch" in text
