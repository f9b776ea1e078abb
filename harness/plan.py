"""A plan: cells and the unique stages behind them. Data only; `planner` makes it, `runner` runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.assets import Missing, Places
from harness.keys import Ref, Stage, digest, written
from harness.plugins import Registry
from harness.suite.types import Cell, Suite, TaskConfig

Weights = Literal["given", "random"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a plan depends on besides the suite. `machine` has `isa` (str) and `identity` (JSON)."""

    registry: Registry
    places: Places
    machine: Mapping[str, Any]
    library_version: Callable[[str], str]
    weights: Weights = "given"
    floors: bool = True  # does a teacher have to be better than chance? not in a rehearsal


@dataclass(frozen=True, kw_only=True)
class CellPlan:
    """Which stages make a cell. `subject` is the cell's name inside its measure stage."""

    cell: Cell
    skipped: str | None = None
    build: str | None = None
    train: tuple[str, ...] = ()
    compress: tuple[str, ...] = ()
    artifact: Ref | None = None
    predict: str | None = None
    score: str | None = None
    dev: str | None = None  # its score on dev, where the suite selects by it
    ensemble: str | None = None  # the score of its teachers as one, where the report asks; the cell does not need it
    measure: str | None = None
    subject: str | None = None

    @property
    def work(self) -> tuple[str, ...]:
        """Its own stages without the measurement, which it shares with others."""
        named = (self.build, *self.train, *self.compress, self.predict, self.score, self.dev)
        return tuple(key for key in named if key)

    @property
    def keys(self) -> tuple[str, ...]:
        """Its own stages by kind, as data flows: a training inside a chain comes before the chain's compressors."""
        return (*self.work, self.measure) if self.measure else self.work


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cells and their unique stages; a stage comes after its inputs."""

    suite: Suite
    cells: tuple[CellPlan, ...]
    stages: Mapping[str, Stage]
    missing: tuple[Missing, ...] = ()

    def inputs_only(self) -> Plan:
        """Reading of data and building of models that need no training: where bad input shows, before it costs."""
        early = {"prepare", "build"}
        keys = [k for k in self.stages if all(self.stages[a].kind in early for a in self.ancestors((k,)))]
        return replace(self, stages={key: self.stages[key] for key in keys})

    def merged(self, other: Plan) -> Plan:
        """This plan with those cells taken from another one that plans some of them anew."""
        anew = {plan.cell: plan for plan in other.cells}
        cells = tuple(anew.get(plan.cell, plan) for plan in self.cells)
        return replace(self, cells=cells, stages={**self.stages, **other.stages})

    def ancestors(self, keys: tuple[str, ...]) -> list[str]:
        """The given stages and all that they need, inputs first."""
        seen: dict[str, None] = {}

        def visit(key: str) -> None:
            if key not in seen:
                for needed in self.stages[key].needs:
                    visit(needed)
                seen[key] = None

        for key in keys:
            visit(key)
        return list(seen)


def task_json(task: TaskConfig) -> dict[str, Any]:
    """The task as workers open it (`Registry.open_task`)."""
    return {"use": task.use, "params": written(task.params)}


def suite_digest(suite: Suite) -> str:
    """Identity of a suite's text and overrides, for records."""
    return digest([suite.text, list(suite.overrides)])
