"""Energy: counters of a made-up machine, what is taken from them, and what is said where there are none."""

import csv
import io
import json
import os
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import report_fakes as fakes
from suite_helpers import HEAD, MODELS, parse, problems
from test_fixed_workload import measure_stage
from test_measuring import subject

from harness.cli.doctor_command import command as doctor
from harness.measuring import blocks
from harness.measuring.blocks import measure_group
from harness.measuring.energy import ROUNDS, CounterError, Meter, Rapl, find_meter
from harness.plugins import load_registry
from harness.rehearse import rehearsal
from harness.reports import summarise
from harness.reports.markdown import render
from harness.reports.model import Absent
from harness.reports.table_csv import to_csv
from harness.suite import load_suite
from harness.suite.types import EnergyConfig, SpeedConfig

RANGE = 2_000_000  # µJ
NOTHING = "no readable RAPL counter, no NVIDIA GPU"


def add_zone(root, folder, name, energy_uj=0, full=RANGE):
    zone = root / folder
    zone.mkdir(parents=True)
    for file, value in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", full)):
        (zone / file).write_text(f"{value}\n")
    return zone


@pytest.fixture
def powercap(tmp_path):
    """Two packages, a domain inside the first, and the whole platform once more."""
    root = tmp_path / "powercap"
    add_zone(root, "intel-rapl:0", "package-0", 100)
    add_zone(root, "intel-rapl:0:0", "core", 50)
    add_zone(root, "intel-rapl:1", "package-1", 7)
    add_zone(root, "intel-rapl:2", "psys", 9)
    return root


class NvmlError(Exception):
    """What pynvml raises."""


class FakeNvml:
    """The functions of pynvml that are used, over counters in mJ; None: a GPU without one."""

    NVMLError = NvmlError

    def __init__(self, *counters, fails=False):
        self.counters, self.fails = list(counters), fails

    def nvmlInit(self):  # noqa: N802
        if self.fails:
            raise NvmlError("Driver Not Loaded")

    def nvmlDeviceGetCount(self):  # noqa: N802
        return len(self.counters)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if self.counters[handle] is None:
            raise NvmlError("Not Supported")
        return self.counters[handle]


# ------------------------------------------------------------------------------------------------------------ counters


def test_packages_are_counted_and_nothing_twice(powercap):
    meter = find_meter(powercap, gpus=())
    assert meter.names == ["rapl package-0", "rapl package-1"]
    assert meter.method == "rapl"
    for zone, value in (("intel-rapl:0", 1_000_100), ("intel-rapl:1", 500_007), ("intel-rapl:2", 10**6)):
        (powercap / zone / "energy_uj").write_text(str(value))
    (powercap / "intel-rapl:0:0" / "energy_uj").write_text("900000")
    assert meter.joules() == pytest.approx(1.5)


@pytest.fixture
def server(tmp_path):
    """Two packages with the memory beside them, as a machine without `psys` has them."""
    root = tmp_path / "powercap"
    for n in (0, 1):
        add_zone(root, f"intel-rapl:{n}", f"package-{n}")
        add_zone(root, f"intel-rapl:{n}:0", "dram", 10 * n)
    add_zone(root, "intel-rapl:1:1", "core")
    add_zone(root, "intel-rapl:1:2", "uncore")
    return root


def test_memory_is_beside_its_package_and_counted(server):
    meter = find_meter(server, gpus=())
    assert meter.names == ["rapl package-0", "rapl package-0 dram", "rapl package-1", "rapl package-1 dram"]
    assert meter.method == "rapl"
    for zone, value in (("0", 1_000_000), ("0:0", 250_000), ("1", 500_000), ("1:0", 125_010), ("1:1", 10**6)):
        (server / f"intel-rapl:{zone}" / "energy_uj").write_text(str(value))
    assert meter.joules() == pytest.approx(1.875)


def test_memory_belongs_to_the_platform_where_that_is_counted(server):
    add_zone(server, "intel-rapl:2", "psys")
    assert find_meter(server, gpus=()).names == ["rapl package-0", "rapl package-1"]


def test_packages_without_a_memory_that_is_there_are_no_figure(server):
    (server / "intel-rapl:1:0" / "energy_uj").write_text("gone")
    meter = find_meter(server, gpus=())
    assert meter.counters == []
    assert f"{server / 'intel-rapl:1:0' / 'energy_uj'} holds 'gone'" in meter.reason


def test_memory_alone_is_no_machine(tmp_path):
    add_zone(tmp_path, "intel-rapl:0", "dram")
    assert find_meter(tmp_path, gpus=()).reason == NOTHING


def test_a_counter_that_starts_again_goes_on(tmp_path):
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 10)
    counter = Rapl(zone)
    seen = []
    for value in (RANGE - 5, 15, 15, RANGE - 1, 3):
        (zone / "energy_uj").write_text(str(value))
        seen.append(round(counter.joules() * 1e6))
    assert seen == [5, 25, 25, RANGE + 9, RANGE + 13]


def test_what_root_alone_may_read_is_not_measured(powercap, monkeypatch):
    """One unreadable package is enough: half of a machine's energy is no figure."""
    read = Path.read_text

    def guarded(path, *args, **kwargs):
        if path == powercap / "intel-rapl:1" / "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", guarded)
    meter = find_meter(powercap, gpus=())
    assert meter.counters == []
    where = powercap / "intel-rapl:1" / "energy_uj"
    assert meter.reason == f"no readable RAPL counter: {where} may be read by root only, no NVIDIA GPU"


@pytest.mark.parametrize(("text", "said"), [("", "''"), ("12.5", "'12.5'"), ("-3", "'-3'"), ("x" * 99, "'xxxx")])
def test_a_counter_that_is_no_number_is_not_measured(powercap, text, said):
    (powercap / "intel-rapl:0" / "energy_uj").write_text(text)
    reason = find_meter(powercap, gpus=()).reason
    assert f"energy_uj holds {said}" in reason
    assert "expected a whole number of microjoules" in reason


def test_a_machine_without_counters_says_so(tmp_path):
    assert find_meter(tmp_path / "none", gpus=()).reason == NOTHING
    add_zone(tmp_path, "intel-rapl:0", "psys")
    meter = find_meter(tmp_path, gpus=())
    assert (meter.reason, meter.counters, meter.method) == (NOTHING, [], "")


def test_gpus_are_counted_from_when_the_meter_was_opened(tmp_path):
    nvml = FakeNvml(5_000, 70_000)
    meter = find_meter(tmp_path, ["T4", "A10"], nvml)
    assert (meter.names, meter.method) == (["nvml GPU 0", "nvml GPU 1"], "nvml")
    nvml.counters = [6_500, 70_250]
    assert meter.joules() == pytest.approx(1.75)


def test_both_methods_add_up(powercap):
    nvml = FakeNvml(0)
    meter = find_meter(powercap, ["T4"], nvml)
    assert meter.method == "rapl+nvml"
    (powercap / "intel-rapl:0" / "energy_uj").write_text("1000100")
    nvml.counters = [2_000]
    assert meter.joules() == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [
        (FakeNvml(5, None), "GPU 1 gives no energy counter: Not Supported"),
        (FakeNvml(5, fails=True), "NVML does not answer: Driver Not Loaded"),
        (FakeNvml(), "no NVIDIA GPU"),
    ],
)
def test_a_gpu_without_a_counter_is_not_measured(tmp_path, nvml, reason):
    meter = find_meter(tmp_path, ["T4"], nvml)
    assert meter.counters == []
    assert meter.missing == ("no readable RAPL counter", reason)


def test_a_gpu_without_its_library_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pip install 'harness[energy]'" in find_meter(tmp_path, ["T4"]).reason
    assert find_meter(tmp_path, gpus=()).reason == NOTHING  # where it would be of no use, nobody is asked to install it


def test_the_library_is_used_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(1))
    assert find_meter(tmp_path, ["T4"]).names == ["nvml GPU 0"]


# ------------------------------------------------------------------------------------------------------------ the pass

QUICK = SpeedConfig(workloads=("single",), threads=1, inputs=3, blocks=2, turn_ms=0.0)
SHORT = EnergyConfig(seconds=0.02)


@pytest.fixture
def examples(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(json.dumps({"id": f"e{i}", "text": "x" * (1 + i)}) + "\n" for i in range(5)))
    return path


def measure_consumers(examples, zone, monkeypatch, meter, config=SHORT, **kwargs):
    monkeypatch.setattr(blocks, "find_meter", lambda: meter)
    anchor, row = (subject(name, "Consumer", zone=str(zone), uj=uj) for name, uj in (("t", 1000), ("a", 250)))
    return measure_group(anchor, [row], QUICK, examples, energy=config, **kwargs)


def test_each_window_holds_what_its_row_took_whole_passes_each(examples, tmp_path, monkeypatch):
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 5000)  # it starts again on the way
    meter = find_meter(tmp_path, gpus=())
    result = measure_consumers(examples, zone, monkeypatch, meter)

    counted = result["energy"]
    assert (counted["method"], counted["counters"]) == ("rapl", ["rapl package-0"])
    assert len(counted["idle"]) == ROUNDS
    for window in counted["idle"]:  # all subjects stand still
        assert window["joules"] == 0
        assert window["seconds"] >= SHORT.seconds / ROUNDS
    for row, uj in ((result["anchor"], 1000), (result["twin"], 1000), (result["rows"]["a"], 250)):
        assert len(row["energy"]) == ROUNDS
        for window in row["energy"]:
            assert window["examples"] % QUICK.inputs == 0
            assert window["joules"] == pytest.approx(window["examples"] * uj * 1e-6)
            assert window["seconds"] >= SHORT.seconds / ROUNDS
        assert len(row["workloads"]["single"]["forward_ms"]) == QUICK.blocks
    json.dumps(result, allow_nan=False)


class Watched(Meter):
    """A meter without counters of its own that writes down what it was asked to watch."""

    def __init__(self, zone, seen):
        super().__init__([Rapl(zone)])
        object.__setattr__(self, "seen", seen)

    def window(self, work):
        self.seen.append("idle" if work.func is blocks.time.sleep else work.func.__self__.name)
        return super().window(work)


def test_every_round_has_an_idle_window_of_its_own(examples, tmp_path, monkeypatch):
    zone, seen = add_zone(tmp_path, "intel-rapl:0", "package-0"), []
    measure_consumers(examples, zone, monkeypatch, Watched(zone, seen))
    rounds = [seen[at : at + 4] for at in range(0, len(seen), 4)]
    assert len(rounds) == ROUNDS
    assert {(first, *sorted(rest)) for first, *rest in rounds} == {("idle", "a", "anchor", "twin")}
    assert len({tuple(one) for one in rounds}) > 1


@pytest.mark.parametrize("who", ["anchor", "twin", "a"])
def test_who_fails_while_energy_is_counted_keeps_its_times(examples, tmp_path, monkeypatch, who):
    zone, work = add_zone(tmp_path, "intel-rapl:0", "package-0"), blocks._Row.work

    def kill(row, **arguments):
        if row.name == who and row.process and len(killed) < 1:
            killed.append(row.name)
            os.kill(row.process.pid, signal.SIGKILL)
        return work(row, **arguments)

    killed = []
    monkeypatch.setattr(blocks._Row, "work", kill)
    result = measure_consumers(examples, zone, monkeypatch, find_meter(tmp_path, gpus=()))
    everyone = {"anchor": result["anchor"], "twin": result["twin"], **result["rows"]}
    assert killed == [who]
    assert everyone[who]["energy"] == {"not measured": "the process was killed by SIGKILL"}
    for name, one in everyone.items():
        assert one["status"] == "ok"
        assert len(one["workloads"]["single"]["forward_ms"]) == QUICK.blocks
        assert name == who or len(one["energy"]) == len(result["energy"]["idle"]) == ROUNDS
    json.dumps(result, allow_nan=False)


def test_progress_counts_the_windows(examples, tmp_path, monkeypatch):
    zone, seen = add_zone(tmp_path, "intel-rapl:0", "package-0"), []
    meter = find_meter(tmp_path, gpus=())
    measure_consumers(examples, zone, monkeypatch, meter, progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(seen[0][1]))
    assert seen[-1][2].startswith(f"window {ROUNDS} of {ROUNDS}, energy: ")


def test_without_counters_the_timing_is_what_remains(examples, tmp_path, monkeypatch):
    zone = add_zone(tmp_path / "unseen", "intel-rapl:0", "package-0")
    result = measure_consumers(examples, zone, monkeypatch, find_meter(tmp_path, gpus=()))
    assert result["energy"] == {"not measured": NOTHING}
    assert "energy" not in result["anchor"]
    assert len(result["anchor"]["workloads"]["single"]["forward_ms"]) == QUICK.blocks


class Failing:
    """Can be read a few times only."""

    name = "rapl package-0"

    def __init__(self, times):
        self.times = times

    def joules(self):
        self.times -= 1
        if self.times < 0:
            msg = "energy_uj cannot be read: it is gone"
            raise CounterError(msg)
        return 0.0


def test_a_counter_that_fails_on_the_way_is_a_reason(examples, tmp_path, monkeypatch):
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0")
    result = measure_consumers(examples, zone, monkeypatch, Meter([Failing(2 * ROUNDS + 5)]))
    assert result["energy"] == {"not measured": "energy_uj cannot be read: it is gone"}
    for one in (result["anchor"], result["twin"], result["rows"]["a"]):
        assert one["status"] == "ok"
        assert "energy" not in one  # half of the windows are no figure


def test_it_is_not_measured_unasked(examples, monkeypatch):
    def unwanted():
        raise AssertionError

    monkeypatch.setattr(blocks, "find_meter", unwanted)
    result = measure_group(subject("t"), [], QUICK, examples)
    assert "energy" not in result
    assert "energy" not in result["anchor"]


# --------------------------------------------------------------------------------------------------------------- suite

SUITE = HEAD + MODELS


def test_a_suite_asks_for_it():
    assert parse(SUITE).measure.energy is None
    assert parse(SUITE + "[measure]\nenergy = false").measure.energy is None
    assert parse(SUITE + "[measure]\nenergy = true").measure.energy == EnergyConfig(seconds=5.0)
    assert parse(SUITE + "[measure]\nenergy = { seconds = 12 }").measure.energy == EnergyConfig(seconds=12.0)


def test_a_rehearsal_is_over_soon():
    registry = load_registry()
    whole = load_suite(Path(__file__).parents[1] / "suites/quickstart.toml", registry, ("measure.energy=true",))
    assert whole.measure.energy == EnergyConfig()
    assert rehearsal(whole, registry).measure.energy == EnergyConfig(seconds=0.5)
    assert rehearsal(replace(whole, measure=replace(whole.measure, energy=None)), registry).measure.energy is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("energy = 5", "measure.energy: expected a table, true or false, got 5 (integer)"),
        ("energy = { second = 5 }", "measure.energy.second: unknown key. Did you mean 'seconds'?"),
        ("energy = { seconds = 0 }", "measure.energy.seconds: expected"),
        ("energy = true\nspeed = false", "measure.energy: is measured after the speed: remove speed = false"),
    ],
)
def test_mistakes_are_named(table, message):
    found = problems(f"{SUITE}[measure]\n{table}\n")
    assert len(found) == 1
    assert message in found[0]


def test_a_counter_that_becomes_readable_is_a_reason_to_measure_again(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.plan_measure.find_meter", lambda: find_meter(tmp_path, gpus=()))
    without = measure_stage(tmp_path, "energy = true")
    assert without.params["energy"] == {"seconds": 5.0}
    add_zone(tmp_path, "intel-rapl:0", "package-0")
    assert measure_stage(tmp_path, "energy = true").key != without.key
    assert measure_stage(tmp_path, "").key == measure_stage(tmp_path, "energy = false").key


# -------------------------------------------------------------------------------------------------------------- report


def with_energy(found, asked=True):
    """The made-up record with one reading for all measurements: {"not measured": …}, or watts of each subject."""
    made = fakes.records()
    made.run["measure"] = {**made.run["measure"], "energy": asdict(EnergyConfig()) if asked else None}
    for document in made.measurements.values():
        if not isinstance(found, float):
            document["energy"] = found
            continue
        idle = [{"joules": 5.0 + 0.1 * n, "seconds": 0.5} for n in range(ROUNDS)]
        document["energy"] = {"method": "rapl", "counters": ["rapl package-0"], "idle": idle}
        for one in (document["anchor"], document["twin"], *document["rows"].values()):
            ms = one["workloads"]["single"]["request_ms"][0]  # an example takes `found` watts for so long
            one["energy"] = [
                {"joules": 2 * window["joules"] + found * ms * 100 / 1000, "seconds": 1.0, "examples": 100}
                for window in idle
            ]
    return made


def test_joules_are_what_is_above_idle():
    made = with_energy(30.0)
    found = summarise(made, fakes.REGISTRY)
    row = fakes.row(found, "lstm · onnx")
    ms = made.measurements["measure-lstm"]["rows"]["row.onnx"]["workloads"]["single"]["request_ms"][0]
    assert row.speed.joules_per_example.value == pytest.approx(30 * ms / 1000)
    assert found.measurements[0].idle_watts == pytest.approx(10.9)
    text = render(found)
    assert "J per example ↓" in text
    assert "counted by rapl package-0 for the whole machine, less 10.9 W idle." in text
    line = next(csv.DictReader(io.StringIO(to_csv(found))))
    anchor_ms = made.measurements["measure-teacher"]["anchor"]["workloads"]["single"]["request_ms"][0]
    assert float(line["joules_per_example"]) == pytest.approx(30 * anchor_ms / 1000, rel=1e-5)


def test_each_window_is_compared_with_the_idle_one_of_its_round():
    """A machine that takes more and more while idle, and a row that takes 20 W above it, has one figure."""
    made = with_energy(20.0)
    for document in made.measurements.values():
        idle = document["energy"]["idle"] = [{"joules": 2.0 + n, "seconds": 0.5} for n in range(ROUNDS)]
        for one in (document["anchor"], document["twin"], *document["rows"].values()):
            one["energy"] = [{"joules": 4.0 + 2 * n + 20, "seconds": 1.0, "examples": 10} for n in range(len(idle))]
    found = fakes.row(summarise(made, fakes.REGISTRY), "lstm").speed.joules_per_example
    assert (found.low, found.value, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_a_row_that_failed_then_says_why_and_the_others_have_figures():
    made = with_energy(30.0)
    made.measurements["measure-lstm"]["rows"]["row.none"]["energy"] = {"not measured": "no answer within 600 s"}
    found = summarise(made, fakes.REGISTRY)
    assert fakes.row(found, "lstm").speed.joules_per_example == Absent("not measured (no answer within 600 s)")
    assert fakes.row(found, "lstm").speed.request_ms.value > 0
    assert fakes.row(found, "lstm · onnx").speed.joules_per_example.value > 0
    said = {line["model"]: line for line in csv.DictReader(io.StringIO(to_csv(found))) if line["compress"] == "none"}
    assert said["lstm"]["joules_per_example"] == said["lstm"]["joules_per_example_low"] == ""
    assert said["lstm"]["joules_per_example_why_not"] == "not measured (no answer within 600 s)"
    assert said["teacher"]["joules_per_example_why_not"] == ""


def test_windows_that_differ_make_an_interval():
    made = with_energy(30.0)
    row = made.measurements["measure-lstm"]["rows"]["row.none"]
    row["energy"] = [{**w, "joules": w["joules"] + (-1) ** n} for n, w in enumerate(row["energy"])]
    found = fakes.row(summarise(made, fakes.REGISTRY), "lstm").speed.joules_per_example
    ms = row["workloads"]["single"]["request_ms"][0]
    assert found.low < 30 * ms / 1000 - 0.002 < 30 * ms / 1000 + 0.002 < found.high


def test_what_is_no_more_than_idle_is_no_figure():
    found = fakes.row(summarise(with_energy(0.0), fakes.REGISTRY), "lstm")
    assert found.speed.joules_per_example == Absent("not measured (the counters showed no more than when idle)")


def test_a_gpu_alone_is_said_to_leave_the_cpu_out():
    made = with_energy(30.0)
    for document in made.measurements.values():
        document["energy"] |= {"method": "nvml", "counters": ["nvml GPU 0"]}
    assert "What the CPU takes is not in it." in render(summarise(made, fakes.REGISTRY))
    assert "What the CPU takes" not in render(summarise(with_energy(30.0), fakes.REGISTRY))


def test_what_was_not_measured_is_said_once_with_the_reason():
    text = render(summarise(with_energy({"not measured": NOTHING}), fakes.REGISTRY))
    assert text.count(f"not measured ({NOTHING})") == 1
    assert "J per example ↓" in text
    assert "W idle" not in text


def test_who_did_not_ask_reads_nothing_of_it():
    text = render(fakes.report())
    assert "J per example" not in text
    assert "RAPL" not in text
    for line in csv.DictReader(io.StringIO(to_csv(fakes.report()))):
        assert line["joules_per_example"] == ""
        assert line["joules_per_example_why_not"] == "energy was not asked for"


def test_a_run_on_this_machine_says_what_it_could_count(project):
    text = (project.folder / "toys.toml").read_text()
    speed = "speed = { workloads = ['single'], threads = 1, blocks = 2, inputs = 2, turn_ms = 1.0 }\n"
    project.write(text.replace("speed = false\n", speed + "energy = { seconds = 0.5 }\n"))
    project.harness("run", "toys.toml", "--only", "seed=1")
    report = (project.folder / "reports/toys.md").read_text()
    meter = find_meter()
    assert ("W idle" if meter.counters else f"not measured ({meter.reason})") in report


# -------------------------------------------------------------------------------------------------------------- doctor


@pytest.mark.parametrize("readable", [True, False])
def test_the_doctor_says_which_counters_can_be_read(powercap, monkeypatch, capsys, readable):
    root = powercap if readable else powercap / "none"
    monkeypatch.setattr("harness.cli.doctor_command.find_meter", lambda: find_meter(root, gpus=()))
    doctor.callback(as_json=False)
    said = "rapl package-0, rapl package-1" if readable else f"cannot be measured ({NOTHING})"
    assert f"energy    {said}\n" in capsys.readouterr().out
    doctor.callback(as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["energy"]["counters"] == (["rapl package-0", "rapl package-1"] if readable else [])
    assert "no NVIDIA GPU" in facts["energy"]["missing"]
