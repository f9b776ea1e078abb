"""Which predict stages are sharded, what a plan with shards is, and what a run of one leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import replace

import pytest
from test_run_toys import quality, records
from test_runner import run as pretend
from test_runner import store as store  # noqa: PLC0414 - a fixture

from harness.cli.shards import divided, note
from harness.data import META, write_json
from harness.estimate import Cost, costs, estimate
from harness.keys import Ref, Stage, stage_from_json
from harness.manifest import sealed
from harness.plan import Plan
from harness.runner import Outcome
from harness.sharding import SHORTEST, START, gathered, shards_of, wall, with_shards, worthwhile
from harness.store import Store


def stage(label: str, *needs: Stage, kind: str = "predict", exclusive: bool = False) -> Stage:
    inputs = {str(n): Ref(need.key) for n, need in enumerate(needs)}
    named = {"kind": kind, "component": "t/x", "version": 1, "label": label, "exclusive": exclusive}
    return Stage(params={"label": label}, inputs=inputs, options={"task": {}}, **named)


def plan_of(*stages: Stage) -> Plan:
    return Plan(suite=None, cells=(), stages={one.key: one for one in stages})


# ------------------------------------------------------------------------------------------------------ plans with shards


def test_what_is_merged_has_the_key_that_it_had_and_comes_after_its_shards():
    before, floor = stage("data", kind="prepare"), stage("floor", kind="floor")
    whole = replace(stage("predict x", before), after=(floor.key,))
    reader = stage("score x", whole, kind="score")
    plan = with_shards(plan_of(before, floor, whole, reader), {whole.key: 3})
    *_, first, second, third, merged, last = plan.stages.values()
    assert (merged.key, merged.identity, last) == (whole.key, whole.identity, reader)
    assert merged.options["shards"] == (first.key, second.key, third.key)
    assert merged.after == (floor.key, first.key, second.key, third.key)
    assert [one.params["shard"] for one in (first, second, third)] == [[0, 3], [1, 3], [2, 3]]
    assert second.label == "predict x (shard 2 of 3)"
    assert (second.inputs, second.after, second.options) == (whole.inputs, whole.after, whole.options)
    assert len({one.key for one in plan.stages.values()}) == 7
    sent = stage_from_json(json.loads(json.dumps(merged.as_json())))
    assert (sent.key, sent.needs, sent.options["shards"]) == (merged.key, merged.needs, [*merged.options["shards"]])


def test_one_shard_is_none():
    plan = plan_of(stage("predict x"))
    assert with_shards(plan, dict.fromkeys(plan.stages, 1)).stages == plan.stages
    assert with_shards(plan, {}).stages == plan.stages


def test_other_versions_make_other_shards():
    whole = stage("predict x")
    later = replace(whole, version=2)
    assert not {one.key for one in shards_of(whole, 2)} & {one.key for one in shards_of(later, 2)}
    assert not {one.key for one in shards_of(whole, 2)} & {one.key for one in shards_of(whole, 3)}


# ---------------------------------------------------------------------------------------------------------- does it pay

LONG = Cost(seconds=720.0, bytes=1, start=20.0)


def chosen(capacity: int, *about: tuple[Stage, Cost | None]) -> dict[str, int]:
    plan = plan_of(*(one for one, _ in about))
    found = worthwhile(plan, {one.key: cost for one, cost in about}, capacity)
    return {plan.stages[key].label: count for key, count in found.items()}


def test_a_long_one_alone_gets_every_worker():
    assert chosen(4, (stage("x"), LONG)) == {"x": 4}
    assert wall(LONG, 4) == 20 + 700 / 4
    assert chosen(64, (stage("x"), LONG)) == {"x": int(700 / SHORTEST)}
    assert chosen(64, (stage("x"), replace(LONG, start=100.0))) == {"x": 6}, "longer at work than at preparing"
    assert chosen(64, (stage("x"), replace(LONG, start=None))) == {"x": int((720 - START) / SHORTEST)}


@pytest.mark.parametrize(
    ("capacity", "cost"),
    [(1, LONG), (4, None), (4, replace(LONG, seconds=60.0)), (4, replace(LONG, start=500.0)), (4, Cost(5.0, 1, 9.0))],
    ids=["one worker", "nobody knows", "short", "all start", "less than its start"],
)
def test_what_would_gain_nothing_is_left_whole(capacity, cost):
    assert chosen(capacity, (stage("x"), cost)) == {}


def test_only_predict_stages_that_are_to_run_are_sharded():
    assert chosen(4, (stage("x", kind="train"), LONG)) == {}
    there = stage("x")
    assert worthwhile(plan_of(there, stage("y", there, kind="score")), {}, 4) == {}


@pytest.mark.parametrize(
    ("beside", "counts"), [(1, {"0": 2, "1": 2}), (3, {}), (4, {"4": 4}), (5, {"4": 2, "5": 2})], ids=str
)
def test_workers_that_have_work_of_their_own_are_not_taken(beside, counts):
    """Four workers: of equal stages, only those that would leave some idle are shared among them."""
    assert chosen(4, *((stage(str(n)), LONG) for n in range(beside + 1))) == counts


def test_others_work_fills_the_workers_known_or_not():
    data = stage("data", kind="prepare")
    busy = [(stage(f"train {n}", kind="train"), replace(LONG, seconds=5000.0)) for n in range(3)]
    assert chosen(4, (data, Cost(1.0, 1)), (stage("x", data), LONG), *busy) == {}
    assert chosen(4, (data, Cost(1.0, 1)), (stage("x", data), LONG), *((one, None) for one, _ in busy)) == {}
    short = [(one, replace(LONG, seconds=300.0)) for one, _ in busy]
    assert chosen(4, (data, Cost(1.0, 1)), (stage("x", data), LONG), *short[:2]) == {"x": 2}
    assert chosen(4, (data, Cost(1.0, 1)), (stage("x", data), LONG), *busy[:2]) == {}, "the plan would end no sooner"


def test_measurements_take_no_part():
    whole = stage("x")
    assert chosen(2, (whole, LONG), (stage("time", whole, kind="measure", exclusive=True), None)) == {"x": 2}


def test_a_wide_plan_is_looked_at_at_once():
    """Every decision from one pass over 10,000 stages."""
    data = stage("data", kind="prepare")
    models = [stage(f"train {n}", data, kind="train") for n in range(5000)]
    said = [stage(f"predict {n}", one) for n, one in enumerate(models)]
    about = [(one, replace(LONG, seconds=100.0 + n)) for n, one in enumerate((data, *models, *said))]
    assert chosen(4, *about, (stage("last", *said), LONG)) == {"last": 4}


# --------------------------------------------------------------------------------------------------------------- history


def entry(store: Store, made: Stage, seconds: float, **facts) -> None:
    with store.stage(made.key) as out:
        (out / "file").write_bytes(b"1234")
        store.publish(made, out, facts, seconds, "now")


def test_neither_a_merge_nor_a_shard_passes_for_a_whole(store):
    whole = stage("predict a none seed 1 on test")
    shards = {"count": 4, "seconds": 400.0, "start_seconds": 40.0, "cpu_seconds": 1.0}
    entry(store, whole, 0.5, shards=shards, examples=100)
    for number, one in enumerate(shards_of(whole, 4)):
        entry(store, one, 100.0, shard=[number, 4], start_seconds=10.0)
    assert store.entry(whole.key).seconds == 400.5
    other, another = stage("predict a none seed 2 on test"), stage("predict b")
    found = costs([other, another], store)
    assert [(cost.seconds, cost.start) for cost in found.values()] == [(400.5 - 3 * 10, 10.0)] * 2
    assert estimate([other], store).seconds == 370.5
    entry(store, stage("predict b seed 9"), 50.0)
    assert costs([stage("predict b seed 10")], store).popitem()[1].start is None


def test_more_examples_cost_more(store):
    data = stage("data", kind="prepare")
    entry(store, stage("predict a none seed 1 on dev"), 30.0, start_seconds=10.0, examples=100)
    entry(store, stage("predict b none seed 1 on dev"), 8.0, start_seconds=1.0, examples=10)
    asked = [
        replace(stage(f"predict {name} none seed 2 on train"), inputs={"data": Ref(data.key, "train")}) for name in "ab"
    ]
    assert [cost.seconds for cost in costs(asked, store).values()] == [30.0, 8.0], "not prepared: nobody knows how many"
    with store.stage(data.key) as out:
        write_json(out / "meta" / META, {"labels": [], "counts": {"dev": 100, "train": 1000}, "facts": {}})
        store.publish(data, out, {}, 1.0, "now")
    found = costs(asked, store)
    assert [(cost.seconds, cost.start) for cost in found.values()] == [(10 + 20 * 10, 10.0), (1 + 7 * 100, 1.0)]


def test_without_a_whole_in_the_store_shards_say_nothing(store):
    entry(store, shards_of(stage("predict a"), 2)[0], 100.0, shard=[0, 2], start_seconds=10.0)
    assert costs([stage("predict b")], store).popitem()[1] is None


def test_facts_of_others_that_are_called_shards_mean_nothing(store):
    made = stage("compress a", kind="compress")
    entry(store, made, 3.0, shards=["a", "b"], shard="c")
    assert store.entry(made.key).seconds == 3.0
    assert costs([stage("compress a", kind="compress")], store).popitem()[1].seconds == 3.0


# ------------------------------------------------------------------------------------------------------------------ runs


def test_a_shard_that_fails_is_its_stages_failure(store):
    whole, other = stage("predict a"), stage("predict b")
    plan = with_shards(plan_of(whole, other, stage("score a", whole, kind="score")), {whole.key: 3, other.key: 2})
    failing = {"failing": frozenset({"predict a (shard 2 of 3)"})}
    said, executor = pretend(store, plan.stages.values(), executor=failing)
    assert said["predict a"] == Outcome(status="not run", reason="because of: predict a (shard 2 of 3)")
    keys = {one.label: one.key for one in plan.stages.values()}
    found = gathered(plan, {keys[label]: outcome for label, outcome in said.items()})
    assert {plan.stages[key].label: outcome.status for key, outcome in found.items()} == {
        "predict a": "failed", "score a": "not run", "predict b": "ok",
    }  # fmt: skip
    assert found[whole.key].reason == "shard 2 of 3: boom"
    assert found[other.key].seconds == 3.0, "of the merge and two shards"
    said, executor = pretend(store, plan.stages.values())
    assert [{*labels} for labels in executor.together] == [{"predict a (shard 2 of 3)"}, {"predict a"}, {"score a"}]
    assert {outcome.status for outcome in said.values()} == {"cached", "ok"}


def four() -> int:
    return 4


def test_what_was_begun_in_shards_goes_on_with_these(store):
    whole = stage("predict a")
    plan = plan_of(whole)
    assert divided(plan, store, None, four) == []
    note(divided(plan, store, 3, four), store)
    assert [one.count for one in divided(plan, store, None, four)] == [3]
    assert [one.count for one in divided(plan, store, 5, four)] == [5]
    assert divided(plan, store, 1, four) == []
    for text in ("", "[3]", "-1", "1e9", "true", "99999"):
        (store.scratch / whole.key / "shards.json").write_text(text)
        assert divided(plan, store, None, four) == []
    entry(store, whole, 1.0)
    assert divided(plan, store, 3, four) == []


FEW = ("run", "toys.toml", "--set", "matrix.seed=[1]")  # 13 stages, 4 of them predictions
SHARDED = (*FEW, "--shards", "3")


def labels(project) -> list[str]:
    store = Store(project.folder / ".harness")
    return sorted(str(one.manifest["label"]) for one in store.entries() if one.manifest["kind"] == "predict")


def test_a_run_in_shards_leaves_what_a_run_without_leaves(project):
    said = project.harness(*SHARDED)
    assert "3 shards  predict plain none seed 1 on test\n" in said.err
    assert "stages: 13 done" in said.err
    assert len(labels(project)) == 4 * 4
    sharded, ancestors = quality(project), [cell["ancestors"] for cell in records(project, "cell")]
    store = Store(project.folder / ".harness")
    files = {one.key: one.manifest["files"] for one in store.entries()}
    assert not [*store.scratch.iterdir()], "no note outlives its stage"
    assert "0 done, 13 from the store" in project.harness(*FEW).err
    assert len(project.harness("cache", "verify", "--recompute", "1%").out.splitlines()) == 4
    assert "shard" not in project.harness("explain", *FEW[1:]).out
    (project.folder / ".harness").rename(project.folder / "sharded")
    project.harness(*FEW, "--shards", "off")
    assert quality(project) == sharded
    assert [cell["ancestors"] for cell in records(project, "cell")] == ancestors
    assert {one.key: one.manifest["files"] for one in store.entries()}.items() <= files.items()


def test_shards_are_garbage_once_they_are_merged(project):
    project.harness(*SHARDED)
    for made in project.folder.glob(".harness/objects/??/*"):
        os.utime(made, (0, 0))
    project.harness("cache", "gc")
    assert len(labels(project)) == 4
    assert not [label for label in labels(project) if "shard" in label]
    assert "0 done, 13 from the store" in project.harness(*SHARDED).err


def test_a_killed_run_goes_on_with_the_shards_that_it_has(project):
    words = ("run", "toys.toml", "--only", "model=plain,compress=none,seed=1", "--set", "task.examples=2000")
    killed = project.start(*words, "--shards", "12")
    while killed.poll() is None and not any("shard" in label for label in labels(project)):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    before = {path: path.stat().st_mtime_ns for path in project.folder.glob(".harness/objects/??/*/manifest.json")}
    merged = "predict plain none seed 1 on test" in labels(project)
    said = project.harness(*words)
    assert ("12 shards  predict plain none seed 1 on test" in said.err) != merged
    assert len(labels(project)) == 13
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (
        len(re.findall(r"done     predict .*\(shard", said.err))
        + len([path for path in before if "(shard" in path.read_text()])
        == 12
    )


def test_a_plan_says_what_shards_would_change(project):
    assert "4 shards  predict biased none seed 1 on test\n" in project.harness("plan", "toys.toml", "--shards", "4").out
    assert "shards" not in project.harness("plan", "toys.toml").out
    project.harness("run", "toys.toml")
    words = ("plan", "toys.toml", "--set", "matrix.seed=[1, 2, 7]", "--shards", "2")
    line = r"2 shards  predict plain none seed 7 on test: about \d\.\d s → \d\.\d s\n"
    assert re.search(line, project.harness(*words).out)
    asked = json.loads(project.harness(*words, "--json").out)
    assert [*asked["shards"].values()] == [2] * 4
    refused = project.harness("run", "toys.toml", "--shards", "none", code=2)
    assert "'none': expected auto, off, or how many, from 1 to 256" in refused.err


def test_earlier_runs_decide_unasked(project):
    """A store that says that answering took long: the last row's stage is shared among workers that are idle."""
    project.harness("run", "toys.toml", "--set", "matrix.seed=[1]")
    for path in project.folder.glob(".harness/objects/??/*/manifest.json"):
        manifest = json.loads(path.read_text())
        if manifest["kind"] == "predict":
            manifest |= {"seconds": 720.0, "facts": {**manifest["facts"], "start_seconds": 20.0}}
            path.write_text(json.dumps(sealed(manifest)))
    words = ("toys.toml", "--only", "model=plain,compress=none,seed=2", "--workers")
    line = "2 shards  predict plain none seed 2 on test: about 12 min 0 s → 6 min 10 s"
    assert line in project.harness("plan", *words, "2").out
    assert "shards" not in project.harness("plan", *words, "1").out
    assert line in project.harness("run", *words, "2").err
    assert "shards" not in project.harness("run", *words, "2").err
