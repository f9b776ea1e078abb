"""The runner against an executor that only pretends."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.claims import Claims
from harness.executors import Event
from harness.frontier import Frontier
from harness.heartbeats import machine_name
from harness.keys import Ref, Stage
from harness.plan import Plan
from harness.runner import Runner
from harness.store import Store


@dataclass
class Pretender:
    """Publishes what it is given, in order, unless told to fail; notes what ran together."""

    store: Store
    capacity: int = 2
    failing: frozenset[str] = frozenset()
    running: list[Stage] = field(default_factory=list)
    together: list[set[str]] = field(default_factory=list)

    def submit(self, stage):
        self.running.append(stage)
        self.together.append({stage.label for stage in self.running})

    def wait(self, timeout):
        if len(self.running) < self.capacity and self.running[0].label == "slow":
            stage = self.running.pop()  # the slow one lets others go first
        else:
            stage = self.running.pop(0)
        if stage.label in self.failing:
            return [Event(kind="failed", key=stage.key, reason="boom")]
        with self.store.stage(stage.key) as out:
            self.store.publish(stage, out, {}, 1.0, "now")
        return [Event(kind="done", key=stage.key, seconds=1.0)]

    def close(self):
        self.running.clear()


def stage(label: str, *needs: Stage, exclusive: bool = False) -> Stage:
    inputs = {str(n): Ref(need.key) for n, need in enumerate(needs)}
    return Stage(
        kind="build", component="t/x", version=1, params={"l": label}, inputs=inputs, label=label, exclusive=exclusive
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.create()
    return made


def run(store, stages, **options):
    executor = Pretender(store, **options.pop("executor", {}))
    plan = Plan(suite=None, cells=(), stages={s.key: s for s in stages})
    outcomes = Runner(plan, store, executor, **options).run()
    return {plan.stages[key].label: outcome for key, outcome in outcomes.items()}, executor


def diamond():
    top = stage("top")
    left, right = stage("left", top), stage("right", top)
    return [top, left, right, stage("bottom", left, right)]


def test_inputs_run_first_and_a_second_run_runs_nothing(store):
    outcomes, executor = run(store, diamond())
    assert {name: o.status for name, o in outcomes.items()} == dict.fromkeys(("top", "left", "right", "bottom"), "ok")
    assert executor.together == [{"top"}, {"left"}, {"left", "right"}, {"bottom"}]
    outcomes, executor = run(store, diamond())
    assert {o.status for o in outcomes.values()} == {"cached"}
    assert executor.together == []


def test_a_failure_takes_its_dependents_and_nothing_else(store):
    outcomes, _ = run(store, [*diamond(), stage("other")], executor={"failing": frozenset({"left"})})
    assert {name: o.status for name, o in outcomes.items()} == {
        "top": "ok", "left": "failed", "right": "ok", "bottom": "not run", "other": "ok",
    }  # fmt: skip
    assert outcomes["bottom"].reason == "because of: left"
    outcomes, executor = run(store, [*diamond(), stage("other")])
    assert outcomes["bottom"].status == "ok"
    assert executor.together == [{"left"}, {"bottom"}]


def test_the_first_cause_is_named_through_a_chain(store):
    a = stage("a")
    b = stage("b", a)
    outcomes, _ = run(store, [a, b, stage("c", b)], executor={"failing": frozenset({"a"})})
    assert outcomes["c"].reason == "because of: a"


def test_fail_fast_stops_what_has_not_started(store):
    outcomes, _ = run(
        store,
        [stage("a"), stage("b"), stage("c")],
        executor={"failing": frozenset({"a"}), "capacity": 1},
        fail_fast=True,
    )
    assert outcomes["c"].status == "not run"
    assert outcomes["c"].reason == "--fail-fast after: a"


def test_what_the_gate_refuses_takes_its_dependents_and_nothing_else(store):
    asked = []

    def gate(stage, running):
        asked.append((stage.label, running))
        return "too long" if stage.label == "left" else None

    outcomes, executor = run(store, [*diamond(), stage("other")], gate=gate)
    assert {name: o.status for name, o in outcomes.items()} == {
        "top": "ok", "left": "not run", "right": "ok", "bottom": "not run", "other": "ok",
    }  # fmt: skip
    assert (outcomes["left"].reason, outcomes["bottom"].reason) == ("too long", "because of: too long")
    assert ("bottom", False) not in asked
    assert not any("left" in labels for labels in executor.together)


def test_what_the_gate_stops_ends_the_run_and_what_others_made_meanwhile_is_taken(store):
    made, slow = stage("made meanwhile"), stage("slow")
    late = False

    def gate(stage, running):
        return ("stopped" if running else "too late") if late else None

    class Never(Pretender):
        def wait(self, timeout):
            nonlocal late
            late = True
            with self.store.stage(made.key) as out:
                self.store.publish(made, out, {}, 1.0, "now")
            return []

    plan = Plan(suite=None, cells=(), stages={s.key: s for s in (slow, stage("after", slow), stage("next"), made)})
    runner = Runner(plan, store, Never(store, capacity=1), gate=gate)
    outcomes = {plan.stages[key].label: (o.status, o.reason) for key, o in runner.run().items()}
    assert outcomes == {
        "slow": ("not run", "stopped"), "after": ("not run", "because of: stopped"), "next": ("not run", "too late"),
        "made meanwhile": ("cached", ""),
    }  # fmt: skip
    claim = Claims(store.claims).take(slow)
    assert claim  # it is free
    claim.end()
    runner.handle(Event(kind="done", key=slow.key))  # which comes too late
    assert runner.outcomes[slow.key].status == "not run"


def test_a_gate_that_closes_ends_the_waiting_for_what_another_run_is_at(store):
    asked = []

    def gate(stage, running):
        asked.append(stage.label)
        return "too late" if len(asked) > 2 else None

    theirs = stage("theirs")
    executor = type("Idle", (Pretender,), {"wait": lambda self, timeout: []})(store)
    claim = Claims(store.claims).take(theirs)
    outcomes = Runner(Plan(suite=None, cells=(), stages={theirs.key: theirs}), store, executor, gate=gate).run()
    claim.end()
    assert outcomes[theirs.key].reason == "too late"


def test_every_stage_ends_once_whatever_happens(store):
    for options in (
        {},
        {"executor": {"failing": frozenset({"top"})}},
        {"executor": {"failing": frozenset({"left"}), "capacity": 1}, "fail_fast": True},
        {"executor": {"failing": frozenset({"top"})}, "fail_fast": True},
    ):
        ended = []
        stages = [*diamond(), stage("other"), stage("timing", diamond()[-1], exclusive=True)]
        for one in stages:
            store.discard(one.key)
        run(store, stages, observe=lambda what, stage, _, to=ended: to.append(stage.label) if what == "finished" else 0,
            **options)  # fmt: skip
        assert sorted(ended) == ["bottom", "left", "other", "right", "timing", "top"]


def test_stages_are_looked_at_when_something_changes_for_them_and_not_at_every_step(store, monkeypatch):
    """The steps of a plan are many: of 10,000 cells each would look at 30,000 stages."""
    looks = []
    whole = Frontier._can_start
    monkeypatch.setattr(Frontier, "_can_start", lambda self, stage: looks.append(stage.label) or whole(self, stage))
    data = stage("data")
    cells = [(built := stage(f"build {n}", data), stage(f"score {n}", built)) for n in range(40)]
    stages = [data, *(one for cell in cells for one in cell)]
    outcomes, _ = run(store, stages)
    assert {outcome.status for outcome in outcomes.values()} == {"ok"}
    assert len(looks) <= 4 * len(stages)


def test_an_exclusive_stage_runs_alone_and_last(store):
    timing = stage("timing", exclusive=True)
    outcomes, executor = run(store, [timing, stage("a"), stage("b"), stage("timing 2", exclusive=True)])
    assert {o.status for o in outcomes.values()} == {"ok"}
    assert executor.together == [{"a"}, {"a", "b"}, {"timing"}, {"timing 2"}]


def test_a_damaged_entry_is_run_again(store):
    stages = diamond()
    run(store, stages)
    (store.folder(stages[1].key) / "key.json").write_text("{}")
    outcomes, executor = run(store, stages)
    assert executor.together == [{"left"}]
    assert outcomes["left"].status == "ok"


def test_what_another_run_works_on_is_waited_for_not_done_twice(store):
    only = stage("only")

    class Elsewhere(Pretender):
        waits = 0

        def wait(self, timeout):
            self.waits += 1
            if self.waits == 2:  # the other run publishes
                with self.store.stage(only.key) as out:
                    self.store.publish(only, out, {}, 1.0, "now")
                claim.end()
            return []

    claim = Claims(store.claims).take(only)
    executor = Elsewhere(store)
    outcomes = Runner(Plan(suite=None, cells=(), stages={only.key: only}), store, executor).run()
    assert outcomes[only.key].status == "cached"
    assert executor.together == []


def test_a_measurement_of_another_run_keeps_work_waiting(store):
    work = stage("work")

    class Busy(Pretender):
        waits = 0

        def wait(self, timeout):
            if self.running:
                return super().wait(timeout)
            self.waits += 1
            if self.waits == 3:
                held.close()
            return []

    import fcntl

    held = (store.locks / f"machine-{machine_name()}.lock").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    executor = Busy(store)
    outcomes = Runner(Plan(suite=None, cells=(), stages={work.key: work}), store, executor).run()
    assert executor.waits == 3
    assert outcomes[work.key].status == "ok"


def test_an_input_that_another_run_removed_meanwhile_is_made_again_and_nobodys_fault(store):
    """Its gc took it, or it found it damaged; the stage that read it cannot tell that from a plugin's doing."""
    below, above = (first := stage("below")), stage("above", first)

    class Interrupted(Pretender):
        removed = 0

        def wait(self, timeout):
            if self.running[0].label == "above" and self.removed < self.times:
                self.removed += 1
                self.store.discard(below.key)
                self.running.clear()
                return [Event(kind="failed", key=above.key, reason="removed 'out/x'", damaged=(below.key,))]
            return super().wait(timeout)

    for times, status in ((1, "ok"), (2, "failed")):
        executor = Interrupted(store)
        executor.times = times
        stages = {one.key: one for one in (below, above)}
        outcomes = Runner(Plan(suite=None, cells=(), stages=stages), store, executor).run()
        assert {stages[key].label: outcome.status for key, outcome in outcomes.items()} == {
            "below": "ok",
            "above": status,
        }
        assert [{"below"}, {"above"}] * 2 == executor.together[:4]
        for key in stages:
            store.discard(key)
