"""`--budget`: what is read, in which order cells have their turns, what fits, what is stopped, and what is said."""

from __future__ import annotations

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import suite_helpers as helpers
from safetensors.numpy import save_file

from harness.budget import Schedule, first_seeds, further_seeds, in_turn, read_budget, unsettled, waves
from harness.cli.budgeted import Keeper
from harness.errors import SuiteError
from harness.estimate import Cost, History, rough
from harness.executors import Event
from harness.keys import Ref, Stage
from harness.manifest import sealed
from harness.plan import CellPlan, Plan
from harness.reports.model import Absent
from harness.runner import Runner
from harness.store import Store
from harness.suite import Cell


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [("6h", 21600, "6 h"), ("90m", 5400, "90 min"), ("45s", 45, "45 s"), ("1h30m", 5400, "1 h 30 min"),
     ("0.5h", 1800, "0.5 h"), ("1h0m5s", 3605, "1 h 0 min 5 s")],
)  # fmt: skip
def test_durations_are_read(text, seconds, shown):
    found = read_budget(text)
    assert (found.seconds, str(found)) == (seconds, shown)


@pytest.mark.parametrize("text", ["", "6", "6 h", "h", "30m1h", "1h2h", "-1h", "1e3s", "0s", "99999h", "6h!", "٣h"])
def test_what_is_no_duration_is_refused_with_what_is_allowed(text):
    with pytest.raises(SuiteError) as caught:
        read_budget(text)
    assert "--budget: expected a time such as 6h, 90m, 45s or 1h30m, up to 10,000h, got" in str(caught.value)
    assert f"'{text}'" in str(caught.value)


# ----------------------------------------------------------------------------------------------------------- the order


def cell(model: str, seed: int = 1, compress: str = "none") -> Cell:
    return Cell(axes=(("model", model), ("compress", compress), ("seed", seed)))


def stage(label: str, *needs: Stage, kind: str = "build", exclusive: bool = False) -> Stage:
    inputs = {str(number): Ref(need.key) for number, need in enumerate(needs)}
    return Stage(
        kind=kind, component="t/x", version=1, params={"l": label}, inputs=inputs, label=label, exclusive=exclusive
    )


def planned(cells: dict[Cell, list[Stage]]) -> Plan:
    """A plan in which the cells have these stages, the last one their score."""
    stages = {one.key: one for own in cells.values() for one in own}
    plans = [CellPlan(cell=c, train=tuple(one.key for one in own[:-1]), score=own[-1].key) for c, own in cells.items()]
    return Plan(suite=None, cells=tuple(plans), stages=stages)


COSTS = {"teacher": 100, "teach a": 10, "teach b": 20, "quick": 5, "score": 1}


def cost(one: Stage) -> float | None:
    return next((seconds for name, seconds in COSTS.items() if one.label.startswith(name)), None)


def scheduled(plan: Plan, seconds: float, rank=lambda cell: 0, workers: int = 1, there=lambda key: False) -> Schedule:
    schedule = Schedule(plan=plan, there=there, cost=cost, seconds=seconds, workers=workers)
    schedule.take(plan.cells, rank)
    return schedule


def taught() -> Plan:
    """Two students of one teacher, a model that is quick, and one of which nothing is known."""
    teacher = stage("teacher")
    return planned(
        {
            cell("b"): [teacher, stage("teach b", teacher), stage("score b")],
            cell("a"): [teacher, stage("teach a", teacher), stage("score a")],
            cell("strange"): [stage("strange"), stage("score strange")],
            cell("quick"): [stage("quick"), stage("score quick")],
        }
    )


def order(schedule: Schedule) -> list[object]:
    return [turn.planned.cell["model"] for turn in schedule.turns]


def test_the_cheapest_comes_first_and_what_is_shared_is_paid_once():
    schedule = scheduled(taught(), 1000)
    assert order(schedule) == ["quick", "a", "b", "strange"]
    assert [(turn.seconds, turn.unknown) for turn in schedule.turns] == [(6, 0), (111, 0), (21, 0), (1, 1)]


def test_a_rank_comes_before_any_price():
    assert order(scheduled(taught(), 1000, lambda cell: cell["model"] != "strange"))[0] == "strange"


def test_what_does_not_fit_is_left_and_what_is_cheaper_still_fits():
    schedule = scheduled(taught(), 30)
    assert order(schedule) == ["quick", "strange"]
    assert {turn.planned.cell["model"]: turn.seconds for turn in schedule.left} == {"a": 111, "b": 121}


def test_workers_share_the_work_but_not_a_chain_of_stages():
    assert order(scheduled(taught(), 113, workers=2)) == ["quick", "a", "strange"]
    assert "b" in order(scheduled(taught(), 140, workers=2))
    assert order(scheduled(taught(), 110, workers=100)) == ["quick", "strange"]  # 100 and then 10


def test_what_is_made_costs_nothing_and_has_its_turn_whatever_the_time():
    plan = taught()
    schedule = scheduled(plan, 0, there=lambda key: not plan.stages[key].label.startswith("teach b"))
    assert sorted(order(schedule)) == ["a", "quick", "strange"]


def test_a_measurement_counts_alone_and_its_rows_do_not():
    anchor, row = stage("quick anchor"), stage("quick row")
    measure = Stage(kind="measure", component="core", version=1, label="teach b", exclusive=True,
                    inputs={"anchor": Ref(anchor.key), "row.none": Ref(row.key)})  # fmt: skip
    cells = [CellPlan(cell=cell(name), build=one.key, measure=measure.key) for name, one in (("x", anchor), ("y", row))]
    plan = Plan(suite=None, cells=tuple(cells), stages={one.key: one for one in (anchor, row, measure)})
    assert [turn.seconds for turn in scheduled(plan, 100, workers=8).turns] == [25, 5]
    assert order(scheduled(plan, 26, workers=8)) == ["x", "y"]
    assert order(scheduled(plan, 25, workers=8)) == []


def test_ten_thousand_cells_are_put_in_order():
    teacher = stage("teacher")
    cells = {cell(f"m{n}"): [teacher, stage(f"teach a {n}", teacher), stage(f"score {n}")] for n in range(10_000)}
    schedule = scheduled(planned(cells), 1e9)
    assert [turn.seconds for turn in schedule.turns][:2] == [111, 11]
    assert len(schedule.turns) == 10_000


def test_waves_are_seeds_of_rows_and_skipped_cells_have_none():
    cells = [CellPlan(cell=cell(model, seed)) for model in "ab" for seed in (1, 2)]
    cells += [CellPlan(cell=cell("c", 1), skipped="no"), CellPlan(cell=cell("d", 2))]
    found = [[(one.cell["model"], one.cell["seed"]) for one in wave] for wave in waves(cells)]
    assert found == [[("a", 1), ("b", 1), ("d", 2)], [("a", 2), ("b", 2)]]
    assert waves([]) == []


def test_stages_stand_in_the_order_of_the_cells_with_their_inputs_before_them():
    plan = taught()
    wanted = [cell("quick"), cell("a"), cell("strange"), cell("b")]
    labels = [one.label for one in in_turn(plan, wanted).stages.values()]
    assert labels == ["quick", "score quick", "teacher", "teach a", "score a", "strange", "score strange", "teach b",
                      "score b"]  # fmt: skip


def ranks(rank, *cells: Cell) -> list[int]:
    return [rank(one) for one in cells]


def test_first_the_anchor_then_who_others_are_compared_with_then_who_is_spoken_of():
    suite = helpers.parse(helpers.GOOD)
    rows = [cell("teacher"), cell("teacher", 2), cell("student", 1, "int8"), cell("two-step")]
    anchor, again, published, other = ranks(first_seeds(suite), *(with_beta(one) for one in rows))
    assert anchor == again < published < other
    text = helpers.GOOD.replace('of = "teacher"', 'of = "two-step"')
    reference = first_seeds(helpers.parse(text))(with_beta(cell("two-step")))
    assert anchor < reference < published


def with_beta(one: Cell) -> Cell:
    return Cell(axes=(*one.axes[:2], ("beta", None), one.axes[2]))


def test_further_seeds_go_to_rows_whose_question_is_open():
    suite = helpers.parse(helpers.GOOD)
    published, open_ = with_beta(cell("student", 2, "int8")), with_beta(cell("two-step", 2))
    rank = further_seeds(suite, {frozenset(open_.row)})
    assert rank(with_beta(cell("teacher", 2))) < rank(open_) < rank(published)


def row(model: str, *verdicts: str, low: float = 0.1, anchor: bool = False):
    bars = [SimpleNamespace(verdict=verdict) for verdict in verdicts]
    difference = SimpleNamespace(low=low, high=0.2)
    return SimpleNamespace(
        axes={"model": model, "compress": "none"}, anchor=anchor, keeps=[SimpleNamespace(bars=bars)],
        quality={"f1": SimpleNamespace(difference=difference)},
    )  # fmt: skip


def test_open_are_inconclusive_bars_undecided_claims_and_differences_that_may_be_none():
    rows = [row("big", anchor=True, low=-1), row("passed", "PASS", low=-1), row("open", "PASS", "INCONCLUSIVE"),
            row("unasked"), row("maybe", low=-0.1), row("claimed", "FAIL"), row("unjudged", Absent("no anchor"))]  # fmt: skip
    claims = [{"row": {"model": "claimed"}, "than": "their CNN"}, {"row": {"model": "passed"}, "than": "their CNN"}]
    verdicts = [SimpleNamespace(verdict="undecided"), SimpleNamespace(verdict="supported")]
    primary = SimpleNamespace(name="f1")
    found = unsettled(SimpleNamespace(rows=rows, run={"claims": claims}, claims=verdicts, primary=primary))
    assert {dict(one)["model"] for one in found} == {"open", "maybe", "claimed", "unjudged"}


# ------------------------------------------------------------------------------------------------------------ the gate


class Known(History):
    """`COSTS` as history."""

    def of(self, stage: Stage) -> Cost | None:
        seconds = cost(stage)
        return None if seconds is None else Cost(seconds, 0)


@pytest.fixture
def keeper(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.create()
    made = Keeper(read_budget("6h"), 0.0, store, Known())
    monkeypatch.setattr("harness.cli.budgeted.time", SimpleNamespace(monotonic=lambda: -made.now_left))
    made.now_left = 50.0
    return made


def test_no_stage_starts_that_would_not_be_done_in_time(keeper):
    assert keeper(stage("quick"), False) is None
    assert keeper(stage("strange"), False) is None
    said = keeper(stage("teacher", kind="train"), False)
    assert said == "50 s of the budget of 6 h are left; teacher needs about 2 min: the same command goes on there"
    keeper.reserved = 48
    assert keeper(stage("quick"), False)
    assert keeper(stage("quick", exclusive=True), False) is None  # for which the time is kept


def test_a_long_training_may_start_where_nothing_else_would(keeper):
    keeper.keeps_training = True
    assert keeper(stage("teacher", kind="train"), False) is None
    assert keeper(stage("teacher", kind="predict"), False)


def test_nothing_starts_or_goes_on_when_the_time_is_up(keeper):
    assert keeper(stage("teacher"), True) is None
    keeper.now_left = -1.0
    assert keeper(stage("strange"), False) == "the budget of 6 h is spent: the same command goes on there"
    said = keeper(stage("teacher", kind="train"), True)
    assert said == (
        "stopped when the budget of 6 h was spent; what was trained is kept: the same command goes on there"
    )
    assert "what was trained" not in keeper(stage("teacher"), True)


def measurement(label: str, anchor: Stage) -> Stage:
    return Stage(
        kind="measure", component="core", version=1, label=label, exclusive=True, inputs={"anchor": Ref(anchor.key)}
    )


def test_time_is_kept_for_measurements_and_what_runs_then_is_stopped(keeper):
    anchor = stage("anchor")
    keeper.reserve([measurement("quick", anchor), measurement("teach b", anchor)])
    assert keeper.reserved == 25  # 5 and 20, which is half of what is left
    keeper.now_left = 24.0
    assert keeper(stage("strange"), True) is None  # another executor would still have it
    keeper.stops = True
    assert keeper(stage("strange"), True) is None  # without the anchor nothing can be measured
    with keeper.store.stage(anchor.key) as out:
        keeper.store.publish(anchor, out, {}, 1.0, "now")
    assert keeper(stage("strange"), True).startswith("stopped so that 24 s are left to measure what is done: ")
    assert keeper(stage("strange"), False)
    assert keeper(stage("strange", exclusive=True), True) is None
    keeper.reserve([measurement("strange", anchor)])
    assert keeper.reserved == 12  # of unknown cost: a tenth of six hours, but half of what is left at most
    keeper.keeps_training = True
    keeper.reserve([measurement("quick", anchor)])
    assert keeper.reserved == 0


def test_what_is_done_is_measured_though_something_else_hangs(keeper):
    """The clock is the executor's number of looks."""
    done, hangs = stage("done"), stage("hangs")
    measure = measurement("quick measure", done)
    running: list[Stage] = []

    class Executor:
        capacity = 2

        def submit(self, one):
            running.append(one)

        def stop(self, key):
            running[:] = [one for one in running if one.key != key]

        def wait(self, timeout):
            keeper.now_left -= 5
            ended = next((one for one in running if one is not hangs), None)
            if ended is None:
                return []
            running.remove(ended)
            assert not ended.exclusive or not running
            with keeper.store.stage(ended.key) as out:
                keeper.store.publish(ended, out, {}, 1.0, "now")
            return [Event(kind="done", key=ended.key)]

    keeper.stops = True
    keeper.reserve([measure])
    plan = Plan(suite=None, cells=(), stages={one.key: one for one in (hangs, done, measure)})
    outcomes = Runner(plan, keeper.store, Executor(), gate=keeper).run()
    assert [outcomes[one.key].status for one in (done, hangs, measure)] == ["ok", "not run", "ok"]
    assert outcomes[hangs.key].reason.startswith("stopped so that 5 s are left to measure what is done")


def test_a_training_that_was_stopped_costs_what_is_left_of_it_at_its_own_pace(keeper):
    teacher = stage("teacher", kind="train")
    assert keeper.cost(teacher) == 100
    folder = keeper.store.scratch / teacher.key
    folder.mkdir(parents=True)
    notes = {"step": 300, "total": 400, "epochs": [{"seconds": 60.0}], "epoch_seconds": 15.0}
    save_file({"w:x": np.zeros(2)}, folder / "state.safetensors", metadata={"notes": json.dumps(notes)})
    assert keeper.cost(teacher) == 25
    assert keeper(teacher, False) is None
    (folder / "state.safetensors").write_bytes(b"no tensors")
    assert keeper.cost(teacher) == 100


def test_guesses_are_said_without_seconds():
    assert [rough(s) for s in (0.2, 45, 1500, 7500, 21600)] == ["1 s", "45 s", "25 min", "2 h 5 min", "6 h"]


# ----------------------------------------------------------------------------------------------------------- whole runs


def long_rounding(project) -> None:
    """From now on the store says that rounding took hours."""
    for path in project.folder.glob(".harness/objects/??/*/manifest.json"):
        manifest = json.loads(path.read_text())
        if manifest["kind"] == "compress":
            path.write_text(json.dumps(sealed({**manifest, "seconds": 10_000.0})))


def cells(project) -> dict[str, dict]:
    lines = (project.folder / "reports/toys.records.jsonl").read_text().splitlines()
    return {line["cell"]: line for line in map(json.loads, lines) if line["kind"] == "cell"}


def test_what_does_not_fit_is_listed_and_the_rest_is_run(project):
    project.harness("run", "toys.toml", "--set", "matrix.seed=[1]")
    long_rounding(project)
    planned = project.harness("plan", "toys.toml", "--budget", "1h", "--workers", "2").out
    assert "budget: 1 h, 2 stages at once; cells: 4 in the store, 2 fit, 2 do not" in planned
    assert "  model=plain,compress=round,seed=2: about 2 h 47 min\n" in planned.partition("do not fit:")[2]
    data = json.loads(project.harness("plan", "toys.toml", "--budget", "1h", "--json").out)["budget"]
    assert {one["cell"] for one in data["fits"] if one["stages"]} == {
        "model=plain,compress=none,seed=2", "model=biased,compress=none,seed=2",
    }  # fmt: skip
    assert [round(one["seconds"]) for one in data["does_not_fit"]] == [10_000, 10_000]
    done = project.harness("run", "toys.toml", "--budget", "1h", code=4)
    long = "model=plain,compress=round,seed=2"
    reason = re.search(rf"not run  {long}: (.*)", done.err)[1]
    takes = "compress plain seed 2 with toy-round takes about 2 h 47 min at a stretch"
    assert reason == f"{takes}, more than the budget of 1 h: raise it"
    assert "6 cells done, 2 left; the rest: about 5 h 33 min of work" in done.err
    found = cells(project)
    assert {name for name, one in found.items() if one["status"] != "ok"} == {long, long.replace("plain", "biased")}
    assert found[long]["status"] == "not run"
    assert found[long]["reason"] == reason
    assert reason.partition(":")[0] in (project.folder / "reports/toys.md").read_text()
    assert len(project.ran) == len(["prepare"] + 2 * ["build"] + 2 * ["compress"] + 2 * ["build"])
    whole = project.harness("run", "toys.toml")
    assert "stages: 6 done, 19 from the store" in whole.err
    for path in project.folder.glob(".harness/objects/??/*/manifest.json"):
        label = json.loads(path.read_text())["label"]
        if "seed 2" in label and not label.startswith("build"):
            shutil.rmtree(path.parent)
    short = project.harness("run", "toys.toml", "--budget", "0.1s", code=4)  # what is there of a cell is no failure
    assert "4 cells done, 4 left" in short.err


SLOW = "speed = { blocks = 3, inputs = 4, turn_ms = 1.0, batch_size = 4, threads = 1 }"


def test_first_seeds_are_measured_before_the_second_ones_are_made(project):
    project.write((project.folder / "toys.toml").read_text().replace("speed = false", SLOW))
    planned = project.harness("plan", "toys.toml", "--budget", "1h").out
    assert "  model=plain,compress=none,seed=1: 5 stages of unknown cost" in planned
    assert "stages of unknown cost, whose like was never run here, are tried while there is time" in planned
    done = project.harness("run", "toys.toml", "--budget", "1h")
    measured = done.err.index("done     measure plain")
    assert done.err.index("score biased round seed 1") < measured < done.err.index("build plain seed 2")
    assert "seed 2 of each row: " in done.err
    assert "8 cells done, none left" in done.err
    again = project.harness("run", "toys.toml")  # the keys are those of a run without a budget
    assert "stages: 0 done, 27 from the store" in again.err


def test_the_end_of_the_budget_stops_what_runs_and_keeps_what_is_done(project):
    text = (project.folder / "toys.toml").read_text()
    project.harness("run", "toys.toml", "--only", "model=plain,compress=none,seed=1")
    hanging = 'hang = [{ use = "toy-trouble", how = "hang" }]\n[matrix]\nmodel = ["plain"]\nseed = [1]'
    text = text.replace("[matrix]", hanging).replace('"round"]\n', '"hang"]\n').replace("seed = [1, 2]\n", "")
    project.write(text)
    done = project.harness("run", "toys.toml", "--budget", "4s", code=4)
    assert "not run  model=plain,compress=hang,seed=1: the budget of 4 s is spent" in done.err
    assert "1 cell done, 1 left" in done.err
    assert cells(project)["model=plain,compress=none,seed=1"]["status"] == "ok"
