"""`--budget`: the cells of a plan in the order of what they can still change, and which of them fit into a time."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.errors import SuiteError
from harness.keys import Stage
from harness.plan import CellPlan, Plan
from harness.suite.types import AxisValue, Cell, Suite

if TYPE_CHECKING:
    from harness.reports import Report
    from harness.reports.model import Row as ReportRow

There = Callable[[str], bool]  # is a stage made?
Cost = Callable[[Stage], float | None]  # seconds that a stage will take; None: nothing like it was run here yet
Rank = Callable[[Cell], int]  # the lower, the sooner; among equals the cheapest first
Row = frozenset[tuple[str, AxisValue]]

_UNITS = {"h": (3600, "h"), "m": (60, "min"), "s": (1, "s")}
_LONGEST = 10_000 * 3600  # seconds
_ANCHOR, _COMPARED, _OPEN, _OTHER = range(4)


@dataclass(frozen=True)
class Budget:
    """How long a run may take."""

    seconds: float
    text: str  # `1 h 30 min`

    def __str__(self) -> str:
        return self.text


def read_budget(text: str) -> Budget:
    """`6h`, `90m`, `45s`, `1h30m`. SuiteError for anything else."""
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)([hms])", text, re.ASCII)
    units = [unit for _, unit in parts]
    seconds = sum(float(figure) * _UNITS[unit][0] for figure, unit in parts)
    whole = "".join(figure + unit for figure, unit in parts) == text
    if not whole or units != [unit for unit in _UNITS if unit in units] or not 0 < seconds <= _LONGEST:
        msg = f"--budget: expected a time such as 6h, 90m, 45s or 1h30m, up to {_LONGEST // 3600:,}h, got '{text[:40]}'"
        raise SuiteError(msg)
    return Budget(seconds, " ".join(f"{figure} {_UNITS[unit][1]}" for figure, unit in parts))


# ----------------------------------------------------------------------------------------------------------- the order


def waves(cells: Iterable[CellPlan]) -> list[list[CellPlan]]:
    """The first seed of every row, then the second of every row that has one, and so on. Skipped cells have no turn."""
    rows: dict[object, list[CellPlan]] = {}
    for planned in cells:
        if not planned.skipped:
            rows.setdefault(planned.cell.row, []).append(planned)
    most = max(map(len, rows.values()), default=0)
    return [[row[number] for row in rows.values() if number < len(row)] for number in range(most)]


def first_seeds(suite: Suite) -> Rank:
    """The anchor, which every ratio needs; the rows that others are compared with; those that somebody speaks of."""
    spoken = [table[side] for table in suite.claims for side in ("row", "than") if side in table]
    spoken += [table["row"] for table in suite.published]
    return _ranked(suite, lambda cell: any(_is(cell, wanted) for wanted in spoken))


def further_seeds(suite: Suite, unsettled: Container[Row]) -> Rank:
    """The same, but for the rows whose question is open: the others' is settled, and more seeds change little there."""
    return _ranked(suite, lambda cell: frozenset(cell.row) in unsettled)


def _ranked(suite: Suite, asked: Callable[[Cell], bool]) -> Rank:
    compared = [{"model": one.of} for one in suite.measure.retention]
    compared += [table["than"] for table in suite.claims if isinstance(table.get("than"), Mapping)]

    def rank(cell: Cell) -> int:
        if dict(cell.axes).items() >= suite.anchor.items():
            return _ANCHOR
        if any(_is(cell, wanted) for wanted in compared):
            return _COMPARED
        return _OPEN if asked(cell) else _OTHER

    return rank


def _is(cell: Cell, wanted: Any) -> bool:
    """Without a chain, the uncompressed row."""
    return isinstance(wanted, Mapping) and dict(cell.axes).items() >= {"compress": "none", **wanted}.items()


def unsettled(report: Report) -> frozenset[Row]:
    """The rows whose question is still open.

    That is a bar of retention that is INCONCLUSIVE or was not judged, or a claim that is undecided. Where nobody asks
    anything, it is whether the row differs from the anchor: its interval holds 0.
    """
    found = [*_claimed(report), *(row for row in report.rows if _is_open(row, report.primary.name))]
    return frozenset(frozenset(row.axes.items()) for row in found)


def _claimed(report: Report) -> list[ReportRow]:
    from harness.reports.model import Absent
    from harness.reports.study import find

    undecided = [
        document
        for document, claim in zip(report.run["claims"], report.claims, strict=True)
        if claim.verdict == "undecided"
    ]
    sides = [document[side] for document in undecided for side in ("row", "than")]
    found = [find(side, report.rows) for side in sides if isinstance(side, Mapping)]
    return [row for row in found if not isinstance(row, Absent)]


def _is_open(row: ReportRow, metric: str) -> bool:
    from harness.reports.model import Absent

    bars = [bar for kept in row.keeps for bar in kept.bars]
    if bars:
        return any(isinstance(bar.verdict, Absent) or bar.verdict == "INCONCLUSIVE" for bar in bars)
    difference = row.quality[metric].difference
    return not row.anchor and (isinstance(difference, Absent) or difference.low <= 0 <= difference.high)


# ------------------------------------------------------------------------------------------------------- what fits


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A cell and the stages that it needs, none of which is there or has an earlier turn."""

    planned: CellPlan
    keys: tuple[str, ...]  # inputs first
    costs: tuple[float | None, ...]  # of these

    @property
    def seconds(self) -> float:
        """Of work, where it can be told."""
        return sum(cost for cost in self.costs if cost is not None)

    @property
    def unknown(self) -> int:
        """Stages of which nothing can be told."""
        return self.costs.count(None)


@dataclass
class Schedule:
    """Turns for cells within a time. What nothing can be told of is taken to cost nothing."""

    plan: Plan
    there: There
    cost: Cost
    seconds: float
    workers: int  # stages at once; those that are exclusive run alone
    turns: list[Turn] = field(default_factory=list)
    left: list[Turn] = field(default_factory=list)  # that do not fit, each as if it were the next
    _costs: dict[str, float | None] = field(default_factory=dict)
    _ends: dict[str, float] = field(default_factory=dict)  # stage of a turn → when it can be done, at the earliest
    _last: float = 0.0  # of those ends
    _work: float = 0.0
    _alone: float = 0.0

    def take(self, cells: Sequence[CellPlan], rank: Rank) -> None:
        """Give turns to those of the cells that fit: by rank, then what is known to be cheap."""
        waiting = {number: dict.fromkeys(self._missing(planned)) for number, planned in enumerate(cells)}
        readers: dict[str, list[int]] = {}
        for number, keys in waiting.items():
            for key in keys:
                readers.setdefault(key, []).append(number)
        ranks = [rank(planned.cell) for planned in cells]
        heap = [(ranks[number], *self._price(waiting[number]), number) for number in waiting]
        heapq.heapify(heap)
        while heap:
            _, unknown, seconds, number = heapq.heappop(heap)
            if number not in waiting or (unknown, seconds) != self._price(waiting[number]):
                continue  # had its turn, or was placed anew since
            keys = waiting.pop(number)
            turn = self._turn(cells[number], keys)
            if not self._fits(turn):
                self.left.append(turn)
                continue
            self.turns.append(turn)
            for other in {other for key in keys for other in readers[key] if other in waiting}:
                waiting[other] = {key: None for key in waiting[other] if key not in keys}
                heapq.heappush(heap, (ranks[other], *self._price(waiting[other]), other))

    def leave(self, cells: Iterable[CellPlan]) -> None:
        """These have no turn."""
        self.left += [self._turn(planned, self._missing(planned)) for planned in cells]

    @property
    def takes(self) -> float:
        """Seconds that all turns take, at the least."""
        return max(self._work / self.workers, self._last) + self._alone

    def _turn(self, planned: CellPlan, keys: Iterable[str]) -> Turn:
        found = tuple(keys)
        return Turn(planned=planned, keys=found, costs=tuple(map(self._cost, found)))

    def _missing(self, planned: CellPlan) -> list[str]:
        keys = missing(self.plan, planned, self.there)
        return [key for key in keys if key not in self._ends]

    def _price(self, keys: Iterable[str]) -> tuple[int, float]:
        costs = [self._cost(key) for key in keys]
        known = [cost for cost in costs if cost is not None]
        return len(costs) - len(known), sum(known)

    def _cost(self, key: str) -> float | None:
        if key not in self._costs:
            self._costs[key] = self.cost(self.plan.stages[key])
        return self._costs[key]

    def _fits(self, turn: Turn) -> bool:
        """With the turns before it, whose end is the workers' or that of the longest chain, and then what runs alone.

        A turn that fits is taken note of.
        """
        ends, work, alone = dict[str, float](), self._work, self._alone
        for stage in (self.plan.stages[key] for key in turn.keys):
            cost = self._cost(stage.key) or 0.0
            if stage.exclusive:
                alone += cost
                ends[stage.key] = 0.0
                continue
            work += cost
            before = (ends.get(key, self._ends.get(key, 0.0)) for key in stage.needs)
            ends[stage.key] = cost + max(before, default=0.0)
        last = max(self._last, *ends.values()) if ends else self._last
        if turn.keys and not max(work / self.workers, last) + alone < self.seconds:
            return False
        self._ends |= ends
        self._last, self._work, self._alone = last, work, alone
        return True


def missing(plan: Plan, planned: CellPlan, there: There) -> list[str]:
    """The stages that a cell waits for, inputs first. Of those that are measured with it, the anchor alone."""
    measured = plan.stages[planned.measure] if planned.measure else None
    anchor = [measured.inputs["anchor"].key] if measured else []
    ensemble = [planned.ensemble] if planned.ensemble else []
    keys = [*plan.ancestors((*anchor, *planned.work, *ensemble)), *([measured.key] if measured else [])]
    return [key for key in keys if not there(key)]


def in_turn(plan: Plan, cells: Sequence[Cell]) -> Plan:
    """The plan with its stages in the order of these cells, its own: inputs first, and what is exclusive last."""
    planned = {one.cell: one for one in plan.cells}
    keys = [key for cell in cells if cell in planned for key in missing(plan, planned[cell], lambda key: False)]
    wanted = [key for key in keys if not plan.stages[key].exclusive]  # which would bring all rows of its group
    order = dict.fromkeys([*plan.ancestors(tuple(wanted)), *plan.stages])
    return replace(plan, stages={key: plan.stages[key] for key in order})
