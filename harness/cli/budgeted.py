"""A run with a budget: seed by seed, each time in the order of what cells can still change, until the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from harness.budget import Budget, Rank, Schedule, first_seeds, further_seeds, in_turn, missing, unsettled, waves
from harness.cli.common import Opened, talk
from harness.errors import HarnessError
from harness.estimate import History, duration, history, needs, remaining, rough, summed
from harness.executors.lazily import Lazily
from harness.keys import Stage
from harness.plan import CellPlan, Plan
from harness.records import Records
from harness.runner import Outcome
from harness.sharding import wall
from harness.store import Store
from harness.suite import Cell

UNKNOWN = 0.1  # of the budget are kept for measurements of which nobody knows how long they take
GOES_ON = "the same command goes on there"
Outcomes = Mapping[str, Outcome]


class Pass(Protocol):
    """Runs a plan and gives it back with what was planned anew, and with what became of its stages."""

    def __call__(self, plan: Plan, *, known: Outcomes, gate: Keeper) -> tuple[Plan, Outcomes]:
        """`known` outcomes stay as they are."""


@dataclass
class Keeper:
    """A gate: no stage starts that would not be done in time, and none goes on after it."""

    budget: Budget
    end: float  # monotonic, seconds
    store: Store
    history: History
    reserved: float = 0.0  # seconds that are kept for measurements
    anchors: frozenset[str] = frozenset()  # without which nothing can be measured
    stops: bool = False  # can a stage be stopped, and others still run?
    keeps_training: bool = False  # may a training start that will go on another time?

    @property
    def left(self) -> float:
        """Seconds; below 0 when the time is up."""
        return self.end - time.monotonic()

    @property
    def state(self) -> str:
        """How it stands with the budget, in words."""
        if self.left <= 0:
            return f"the budget of {self.budget} is spent"
        return f"{rough(self.left)} of the budget of {self.budget} are left"

    def cost(self, stage: Stage) -> float | None:
        """Seconds that a stage still takes, None: nothing like it was run here yet."""
        if stage.options.get("shards"):  # they have done the work
            return 0.0
        if "shard" in stage.params:
            whole = self.history.of(replace(stage, label=stage.label.partition(" (shard ")[0]))
            return wall(whole, stage.params["shard"][1]) if whole else None
        return remaining(stage, self.history, self.store)

    def __call__(self, stage: Stage, running: bool) -> str | None:
        """As `harness.runner.Gate`."""
        return self._over(stage) if running else self._refusal(stage)

    def _over(self, stage: Stage) -> str | None:
        kept = "; what was trained is kept" if stage.kind == "train" else ""
        if self.left <= 0:
            return f"stopped when the budget of {self.budget} was spent{kept}: {GOES_ON}"
        if self.stops and not stage.exclusive and self.left <= self.reserved and self._can_measure:
            return f"stopped so that {rough(self.left)} are left to measure what is done{kept}: {GOES_ON}"
        return None

    def _refusal(self, stage: Stage) -> str | None:
        cost, room = self.cost(stage), self.left - (0.0 if stage.exclusive else self.reserved)
        later = self.keeps_training and stage.kind == "train"
        if self.left > 0 and (later or (cost or 0.0) <= room):
            return None
        needs = "" if cost is None else f"; {stage.label} needs about {rough(cost)}"
        return f"{self.state}{needs}: {GOES_ON}"

    @property
    def _can_measure(self) -> bool:
        return all(self.store.entry(key) for key in self.anchors)

    def reserve(self, measurements: Sequence[Stage]) -> None:
        """Keep time for them, so that what is done can be measured; half of what is left at most."""
        self.anchors = frozenset(stage.inputs["anchor"].key for stage in measurements)
        costs = [self.cost(stage) for stage in measurements]
        unknown = UNKNOWN * self.budget.seconds if None in costs else 0.0
        wanted = unknown + sum(cost for cost in costs if cost is not None)
        self.reserved = 0.0 if self.keeps_training else min(wanted, max(0.0, self.left) / 2)

    def saw(self, stage: Stage, outcome: Outcome) -> None:
        """Learn what a stage took."""
        entry = self.store.entry(stage.key) if outcome.status == "ok" else None
        if entry:
            self.history.add(entry)


def keeper(budget: Budget, started: float, store: Store) -> Keeper:
    """`started`: monotonic, seconds."""
    return Keeper(budget, started + budget.seconds, store, history(store))


@dataclass(frozen=True)
class Bought:
    """What a budget bought."""

    records: Records  # with the reasons of cells that were not run
    left: Mapping[str, str]  # such cells, in the order of what they can still change → why
    short: Mapping[str, str]  # cells that are done but for a measurement, or their teachers' score → why
    sentence: str


@dataclass
class Within:
    """The run of a plan within a budget. `record`: what is known after some outcomes."""

    opened: Opened
    whole: Plan
    keeper: Keeper
    record: Callable[[Plan, Outcomes], Records]
    fail_fast: bool
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    _failed: frozenset[str] = frozenset()  # of the outcomes
    _taken: list[Cell] = field(default_factory=list)  # cells in the order of their turns
    _plan: Plan = field(init=False)  # the whole, with what was planned anew

    def __post_init__(self) -> None:
        self._plan = self.whole

    def run(self, run_plan: Pass, executor: Lazily) -> tuple[Plan, Outcomes]:
        """The first seed of every row with its measurement, then seed by seed.

        Time that nothing fits into goes to trainings, which keep what they did.
        """
        self._taken = [one.cell for one in self.whole.cells if not one.skipped and self._is_made(one)]
        for number, cells in enumerate(waves(self.whole.cells)):
            taken = {*self._taken}
            later = [one.cell for one in cells if one.cell not in taken]
            if number == 0 or (later and self._goes_on):
                self._wave(number, later, run_plan, executor)
        rest = [one.cell for one in self._undone()]
        if rest and self._goes_on:
            self.keeper.keeps_training = True
            self._run([*dict.fromkeys([*self._taken, *rest])], self._failed, run_plan)
        return self._plan, self._all()

    def _wave(self, number: int, cells: Sequence[Cell], run_plan: Pass, executor: Lazily) -> None:
        """Those cells of a wave that fit; further seeds of rows alone whose first one had its turn."""
        begun = {cell.row for cell in self._taken}
        wanted = dict.fromkeys(cell for cell in cells if number == 0 or cell.row in begun)
        lost = frozenset(key for key, outcome in self.outcomes.items() if not _done(outcome))
        plan = self._planned([*self._taken, *wanted], lost)
        rank = first_seeds(plan.suite) if number == 0 else self._rank(number)
        schedule = Schedule(
            plan=plan,
            there=self._is_there,
            cost=self.keeper.cost,
            seconds=self.keeper.left,
            workers=executor.capacity if wanted else 1,
        )
        schedule.take([one for one in plan.cells if one.cell in wanted], rank)
        if number == 0 or schedule.turns:
            self.keeper.stops = bool(schedule.turns) and executor.stops
            self._run([*self._taken, *(turn.planned.cell for turn in schedule.turns)], lost, run_plan)

    def _rank(self, number: int) -> Rank:
        """By what is known of the rows by now."""
        from harness.reports import summarise

        which = f"seed {number + 1} of each row"
        try:
            report = summarise(self.record(self._plan, self._all()), self.opened.registry)
        except HarnessError as error:
            talk(f"{which}: what is still open is not known, so the cheapest come first: {error}")
            return first_seeds(self.whole.suite)
        found = unsettled(report)
        talk(f"{which}: {len(found)} of {len(report.rows)} rows have an open question; {self.keeper.state}")
        return further_seeds(self.whole.suite, found)

    def _run(self, cells: Sequence[Cell], lost: frozenset[str], run_plan: Pass) -> None:
        plan = in_turn(self._planned(cells, lost), cells)
        self.keeper.reserve([one for key, one in plan.stages.items() if one.exclusive and not self._is_there(key)])
        known = {key: outcome for key, outcome in self.outcomes.items() if outcome.status != "not run"}
        ran, outcomes = run_plan(plan, known=known, gate=self.keeper)
        self.outcomes |= outcomes
        self._failed = frozenset(key for key, outcome in self.outcomes.items() if outcome.status == "failed")
        self._plan = self._plan.merged(ran)
        undone = {one.cell for one in self._undone()}  # they had their turn, and get what is left in the end
        self._taken = [cell for cell in cells if cell not in undone]

    def _planned(self, cells: Sequence[Cell], lost: frozenset[str]) -> Plan:
        """In the suite's order, on which it depends whose artifact stands for a group in its measurement."""
        wanted = frozenset(cells)
        return self.opened.plan([one.cell for one in self.whole.cells if one.cell in wanted], lost)

    def _is_there(self, key: str) -> bool:
        return _done(self.outcomes[key]) if key in self.outcomes else self.keeper.store.entry(key) is not None

    def _is_made(self, planned: CellPlan) -> bool:
        return all(map(self._is_there, planned.work))

    def _undone(self) -> list[CellPlan]:
        """What no failure stands in the way of."""
        cells = [one for one in self._in_turn() if not self._is_made(one)]
        return [one for one in cells if not self._failed.intersection(self._plan.ancestors(one.work))]

    def _in_turn(self) -> list[CellPlan]:
        return [one for cells in waves(self._plan.cells) for one in cells]

    @property
    def _goes_on(self) -> bool:
        return self.keeper.left > 0 and not (self.fail_fast and self._failed)

    def _all(self) -> Outcomes:
        """Of stages that never had a turn, too."""
        never = Outcome(status="not run", reason=f"{self.keeper.state}: {GOES_ON}")
        if self.fail_fast and self._failed:
            first = next(stage.label for key, stage in self._plan.stages.items() if key in self._failed)
            never = Outcome(status="not run", reason=f"--fail-fast after: {first}")
        there = Outcome(status="cached")
        known = self.outcomes
        return {
            key: known[key] if key in known else there if self._is_there(key) else never for key in self._plan.stages
        }

    # ------------------------------------------------------------------------------------------------- what it bought

    def bought(self, records: Records) -> Bought:
        """`records`: of the run's end."""
        kept = {str(cell["cell"]): cell for cell in records.cells}
        cells, outcomes = self._in_turn(), self._all()
        left = {
            one.cell.id: self._why(one)
            for one in cells
            if kept[one.cell.id]["status"] == "not run" and self._closed(str(kept[one.cell.id]["failed_stage"]))
        }
        wished = {one.cell: one.measure for one in self.whole.cells}  # also where the anchor was not run
        short = {
            one.cell.id: outcomes[key].reason.removeprefix("because of: ")
            for one in cells
            for key in (one.ensemble, one.measure or wished[one.cell])
            if kept[one.cell.id]["status"] == "ok" and key and self._closed(key)
        }
        told = [_told(cell, left, short) for cell in records.cells]
        done = sum(cell["status"] == "ok" for cell in records.cells)
        unfinished = [one for one in cells if one.cell.id in left or one.cell.id in short]
        sentence = self._sentence(done, len(short), len(left), unfinished)
        return Bought(Records(records.run, records.measurements, told), left, short, sentence)

    def _closed(self, key: str) -> bool:
        """Is it the budget because of which a stage was not run?"""
        stopped = self.fail_fast and self._failed
        return not (stopped or self._is_there(key) or self._failed.intersection(self._plan.ancestors((key,))))

    def _why(self, planned: CellPlan) -> str:
        stages = self._missing(planned)
        long = [s for s in stages if s.kind != "train" and (self.keeper.cost(s) or 0.0) > self.keeper.budget.seconds]
        if long:
            at_once = f"{long[0].label} takes about {rough(self.keeper.cost(long[0]) or 0.0)} at a stretch"
            return f"{at_once}, more than the budget of {self.keeper.budget}: raise it"
        return f"{self.keeper.state}; it needs {needs(map(self.keeper.cost, stages))}: {GOES_ON}"

    def _missing(self, planned: CellPlan) -> list[Stage]:
        return [self._plan.stages[key] for key in missing(self._plan, planned, self._is_there)]

    def _sentence(self, done: int, short: int, left: int, unfinished: Sequence[CellPlan]) -> str:
        used = duration(self.keeper.budget.seconds - self.keeper.left)
        but = f" ({short} of them not measured)" if short else ""
        cells = f"{done} {'cell' if done == 1 else 'cells'} done{but}, {left or 'none'} left"
        said = f"budget: {self.keeper.budget}, used {used}; {cells}"
        if not unfinished:
            return said
        stages = {stage.key: stage for one in unfinished for stage in self._missing(one)}
        return f"{said}; the rest: {summed(map(self.keeper.history.of, stages.values()))}; {GOES_ON}"


def _told(cell: Mapping[str, Any], left: Mapping[str, str], short: Mapping[str, str]) -> dict[str, Any]:
    """A cell of a record with the budget's reasons."""
    why = {"reason": left[cell["cell"]]} if cell["cell"] in left else {}
    unmeasured = {"unmeasured": short[cell["cell"]]} if cell["cell"] in short and cell["unmeasured"] else {}
    return {**cell, **why, **unmeasured}


def _done(outcome: Outcome) -> bool:
    return outcome.status in ("ok", "cached")
