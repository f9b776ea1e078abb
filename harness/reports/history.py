"""What was done to a row's weights: compressors with their proofs, training with its cost, what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import PluginError
from harness.plugins import Registry
from harness.reports.model import Absent, Course, Figure, Problem, Step, Training
from harness.specs import CompressorSpec

Json = dict[str, Any]
WORST: Mapping[str, Any] = {"same_answer": min}  # of parity, over seeds; the greatest of all others
MASKED = "masked, not removed: its zeros are stored and multiplied like any other number"
_ELSEWHERE = ("use", "changed", "parity", "sizes", "bytes", "warnings")  # what a step's other facts are not
_OF_THE_WORKER = ("seconds", "cpu_seconds", "threads")
NOT_TRAINED = Absent("not trained here")
UNCOUNTED = Absent("not measured: the record is of an earlier version")


def steps(cells: Sequence[Json], label: str, registry: Registry) -> tuple[Step, ...]:
    """The compressors of a row, in the order of its chain."""
    by_seed = [cell["compress"] for cell in cells if cell["compress"]]
    if not by_seed:
        return ()
    longest = max(by_seed, key=len)  # a failed seed got less far
    return tuple(_step([c[n] for c in by_seed if len(c) > n], label, registry) for n in range(len(longest)))


def _step(facts: Sequence[Json], label: str, registry: Registry) -> Step:
    use = str(facts[0]["use"])
    changed = all(entry.get("changed", True) for entry in facts)
    loud = [str(text) for entry in facts for text in entry.get("warnings", ())]
    loud += [MASKED] if any(entry.get("masked") for entry in facts) else []
    spec = _spec(use, registry)
    if not changed and (spec is None or spec.expects_change):
        loud.insert(0, "changed nothing")
    return Step(
        use=use,
        changed=changed,
        isa_dependent=spec is not None and spec.isa_dependent,
        loud="; ".join(f"{use} on {label}: {text}" for text in dict.fromkeys(loud)),
        parity=_worst([entry["parity"] for entry in facts if entry.get("parity")]),
        facts={
            name: _counted(value) if name == "calibration" else value
            for name, value in facts[0].items()
            if name not in (*_ELSEWHERE, *_OF_THE_WORKER)
        },
    )


def _counted(calibration: Any) -> Any:
    """How many examples were read, where the record has their ids: pages of them tell a reader nothing."""
    if not (isinstance(calibration, dict) and isinstance(calibration.get("ids"), list)):
        return calibration
    rest = {name: value for name, value in calibration.items() if name != "ids"}
    return {**rest, "examples": len(calibration["ids"])}


def _spec(use: str, registry: Registry) -> CompressorSpec | None:
    """None for a compressor that is not installed where the report is made."""
    try:
        return registry.compressor(use)
    except PluginError:
        return None


def _worst(parities: Sequence[Json]) -> dict[str, float]:
    names = [name for name in (parities[0] if parities else ()) if all(name in parity for parity in parities)]
    return {name: WORST.get(name, max)(parity[name] for parity in parities) for name in names}


@dataclass(frozen=True)
class Trainings:
    """Every training stage that the record knows."""

    seconds: Mapping[str, float]  # by stage key
    stages: Mapping[str, Sequence[frozenset[str]]]  # model → the stage keys of each of its cells
    teachers: Mapping[str, frozenset[str]]  # model → the models it learns from


def all_trainings(cells: Sequence[Json]) -> Trainings:
    """The index that costs with teachers are summed from."""
    stages: dict[str, list[frozenset[str]]] = {}
    seconds: dict[str, float] = {}
    for cell in cells:
        own = dict(_train_seconds(cell))
        seconds |= own
        stages.setdefault(cell["axes"]["model"], []).append(frozenset(own))
    return Trainings(seconds, stages, {cell["axes"]["model"]: _names(cell["teachers"]) for cell in cells})


def training(cells: Sequence[Json], known: Trainings, by_epoch: bool = True) -> Training:
    """Seconds by seed, and what the first seed's weights cost together with its teachers'.

    `by_epoch`: does an axis `epoch` say which epoch of the last step a cell is?
    """
    first, *others = [_up_to_its_epoch(cell) if by_epoch else cell for cell in cells]
    trained = [cell for cell in (first, *others) if cell["train"]]
    return Training(
        distil=tuple(first["distil"]),
        teachers=tuple(dict.fromkeys(name for step in first["teachers"] for name in step)),
        recovered=int(first.get("recovered", 0)),  # records of earlier versions have none
        seconds={str(cell["axes"]["seed"]): sum(step["seconds"] for step in cell["train"]) for cell in trained},
        with_teachers_s=_with_teachers(first, known),
        epochs={str(cell["axes"]["seed"]): [step.get("epochs") or [] for step in cell["train"]] for cell in trained},
    )


def _up_to_its_epoch(cell: Json) -> Json:
    """The cell without the epochs that came after it: several cells may stand for one training."""
    epoch = cell["axes"].get("epoch")
    if not isinstance(epoch, int) or len(cell["train"]) < len(cell["distil"]) or not cell["train"]:
        return cell
    own = len(cell["train"]) - int(cell.get("recovered", 0))
    *before, last = cell["train"][:own]
    later = [one for one in last.get("epochs") or [] if one["epoch"] > epoch]
    kept = [one for one in last.get("epochs") or [] if one["epoch"] <= epoch]
    seconds = last["seconds"] - sum(one["seconds"] for one in later)
    cut = {**last, "epochs": kept, "seconds": seconds if later else last["seconds"]}
    return {**cell, "train": [*before, cut, *cell["train"][own:]]}


def courses(rows: Iterable[tuple[str, Sequence[Json]]]) -> tuple[Course, ...]:
    """The losses of (label, cells) by step, of the first seed that has them; a shared training once."""
    found: dict[str, Course] = {}
    for label, cells in rows:
        cell = next((cell for cell in cells if any(step.get("curve") for step in cell["train"])), None)
        if cell is None:
            continue
        for key, step in zip(_train_keys(cell), cell["train"], strict=False):
            if step.get("curve") and key not in found:
                stretch, loss = step["curve"]["steps_per_point"], tuple(step["curve"]["loss"])
                model, distil = str(cell["axes"]["model"]), str(step["use"])
                found[key] = Course(model=model, label=label, distil=distil, stretch=stretch, loss=loss)
    return tuple(found.values())


def tokens(cells: Sequence[Json]) -> Figure:
    """Mean length of a training example as encoded, over all steps of one seed."""
    trained = next((cell["train"] for cell in cells if cell["train"]), None)
    if trained is None:
        return NOT_TRAINED
    if not all("tokens" in step for step in trained):
        return UNCOUNTED
    return float(sum(step["tokens"] for step in trained) / sum(step["examples"] for step in trained))


def tested_tokens(cells: Sequence[Json]) -> Figure:
    """Mean length of a test example as encoded."""
    said = next((cell["predict"] for cell in cells if cell.get("predict")), None)
    if said is None:
        return Absent("no answers in this run")
    return float(said["tokens"] / said["examples"]) if "tokens" in said else UNCOUNTED


def _with_teachers(cell: Json, known: Trainings) -> Figure:
    """Each training stage of the cell and of all its teachers once.

    A model may have several trainings in a record (other seeds, other axes): those of the cell's ancestors count.
    """
    if not cell["train"]:
        return NOT_TRAINED
    ancestors = frozenset(cell["ancestors"])
    own = dict(_train_seconds(cell))
    needed = frozenset(own)
    for name in _all_teachers(cell, known):
        used = [stages for stages in known.stages.get(name, ()) if stages <= ancestors]
        if not used:
            return Absent(f"the training of {name} is in no cell of this run")
        needed |= used[0]
    return float(sum({**known.seconds, **own}[key] for key in sorted(needed)))


def _all_teachers(cell: Json, known: Trainings) -> list[str]:
    """The models that a cell learns from, and those that they learn from."""
    found: set[str] = set()
    waiting = set(_names(cell["teachers"]))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting |= known.teachers.get(name, frozenset())
    return sorted(found)


def _names(teachers: Iterable[Iterable[str]]) -> frozenset[str]:
    return frozenset(name for step in teachers for name in step)


def _train_seconds(cell: Json) -> list[tuple[str, float]]:
    """(stage key, seconds) of the cell's own finished training steps."""
    return [(key, float(step["seconds"])) for key, step in zip(_train_keys(cell), cell["train"], strict=False)]


def _train_keys(cell: Json) -> list[str]:
    """Stage keys of the cell's own training steps, in order."""
    numbered = [
        (int(stage.removeprefix("train.")), key) for stage, key in cell["stages"].items() if stage.startswith("train.")
    ]
    return [key for _, key in sorted(numbered)]


def problems(cells: Sequence[Json]) -> tuple[Problem, ...]:
    """Every cell that is not ok."""
    return tuple(
        Problem(
            cell=cell["cell"],
            status=cell["status"],
            reason=cell["reason"],
            retry=cell["retry"] if cell["status"] != "skipped" else "",
        )
        for cell in cells
        if cell["status"] != "ok"
    )
