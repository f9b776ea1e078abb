"""Records → a board. Pure but for reading the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import SuiteError, choices, did_you_mean
from harness.keys import canonical, digest
from harness.leaderboard.facts import apart, facts, titles
from harness.leaderboard.files import find
from harness.leaderboard.found import Record, Row
from harness.leaderboard.fronts import Cost, front
from harness.leaderboard.merging import Group, Together, classes, merge
from harness.leaderboard.model import Board, Class, Entry, Evidence, Machine, Refused, Timed
from harness.leaderboard.ranking import Contestant, places
from harness.leaderboard.reading import Disagreement, Reader
from harness.leaderboard.scoring import Scorer
from harness.leaderboard.timing import Stopwatch, smaller, spread
from harness.plugins import Registry
from harness.reports.format import significant
from harness.reports.model import Absent, Figure
from harness.specs import Metric
from harness.statistics import CONFIDENCE, Interval

Json = dict[str, Any]
Progress = Callable[[int, int], None]
NAMED = 12  # characters of an id
SAME_SIZE = 0.005  # two files that differ by less than twice this share are as large as each other


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a board should be of."""

    title: str
    made: str  # ISO 8601, UTC
    tasks: tuple[str, ...] = ()  # none: all
    confidence: float = CONFIDENCE


def make_board(
    paths: Iterable[Path], base: Path, registry: Registry, asked: Asked, progress: Progress = lambda done, of: None
) -> Board:
    """The board of all records in files and folders, named relative to `base`, the folder that it is written to."""
    files, refused = find(paths, base)
    reader = Reader(registry, Scorer(asked.confidence))
    records: list[Record] = []
    for number, file in enumerate(files):
        progress(number, len(files))
        found = reader.read(file)
        if isinstance(found, Record):
            records.append(found)
        else:
            refused.append(found)
    return assemble(records, refused, reader.disagreements, asked)


def assemble(
    records: Sequence[Record], refused: Sequence[Refused], disagreements: Sequence[Disagreement], asked: Asked
) -> Board:
    """A board from records that have been read."""
    index = _Index.of(records)
    stopwatch = Stopwatch(asked.confidence)
    made = [_class(together, index, stopwatch, asked.confidence) for together in classes(merge(records))]
    wanted = _asked(made, asked.tasks)
    named = [one for task in sorted({one.task for one in wanted}) for one in _named(wanted, task)]
    rows_refused = [one for record in records for one in record.refused]
    return Board(
        title=asked.title,
        made=asked.made,
        classes=tuple(named),
        machines=index.machines,
        evidence=index.evidence,
        refused=(*refused, *rows_refused),
        warnings=tuple(_warnings(disagreements)),
    )


def _asked(classes_: Sequence[Class], tasks: Sequence[str]) -> list[Class]:
    known = {one.task for one in classes_}
    for task in tasks:
        if classes_ and task not in known:
            msg = f"--task {task}: no row is of it.{did_you_mean(task, known)} Tasks of these records: {choices(known)}"
            raise SuiteError(msg)
    return [one for one in classes_ if not tasks or one.task in tasks]


# --------------------------------------------------------------------------------------------- evidence and machines


@dataclass(frozen=True)
class _Index:
    """Ids of records and of machines, by the digest of a record."""

    evidence: tuple[Evidence, ...]
    machines: tuple[Machine, ...]
    of_record: Mapping[str, Evidence]

    @classmethod
    def of(cls, records: Sequence[Record]) -> _Index:
        machines: dict[str, Machine] = {}
        evidence = []
        for number, record in enumerate(records, start=1):
            machine = machines.setdefault(canonical(record.machine), _machine(f"m{len(machines) + 1}", record.machine))
            evidence.append(_evidence(f"r{number}", record, machine.id))
        return cls(tuple(evidence), tuple(machines.values()), {one.digest: one for one in evidence})


def _evidence(id_: str, record: Record, machine: str) -> Evidence:
    return Evidence(
        id=id_,
        file=record.file,
        digest=record.digest,
        suite=record.suite,
        commit=record.commit,
        started=record.started,
        command=record.command,
        versions=record.versions,
        machine=machine,
    )


def _machine(id_: str, identity: Json) -> Machine:
    gpus = [str(gpu) for gpu in identity.get("gpus", ())]
    cores = f"{identity['physical_cores']} cores"
    told = {
        "cores": f"{identity['physical_cores']} physical, {identity['logical_cores']} logical",
        "quota": f"{identity['cpu_quota']:g} CPUs" if identity.get("cpu_quota") else "",
        "memory": f"{identity['memory_gib']:g} GiB",
        "memory limit": f"{identity['memory_limit_gib']:g} GiB" if identity.get("memory_limit_gib") else "",
        "flags": " ".join(map(str, identity.get("flags", ()))),
        "system": str(identity.get("system", "")),
        "GPUs": ", ".join(gpus),
    }
    return Machine(
        id=id_,
        name=", ".join([str(identity["cpu"]), cores, str(identity["isa"]), *gpus]),
        isa=str(identity["isa"]),
        facts={name: text for name, text in told.items() if text},
    )


# -------------------------------------------------------------------------------------------------------------- classes


def _class(together: Together, index: _Index, stopwatch: Stopwatch, confidence: float) -> Class:
    """A class as if it were its task's only one."""
    groups = together.groups
    metrics = groups[0].row.metrics
    shared = facts(together.terms, together.isa)
    id_ = f"{together.terms.task}-{digest([together.terms.task, shared])[:8]}"
    labels = _labels(groups)
    entries = [
        _entry(group, together, index, stopwatch, f"{id_}-{digest(sorted(group.cells))[:NAMED]}", label)
        for group, label in zip(groups, labels, strict=True)
    ]
    ranked = _ranked(entries, groups, metrics[0], confidence)
    anchor = next((entry.id for entry in ranked if entry.anchor), None)
    return Class(
        id=id_,
        title=together.terms.task,
        task=together.terms.task,
        metrics=metrics,
        facts=shared,
        apart="",
        anchor=anchor,
        entries=tuple(ranked),
        confidence=confidence,
    )


def _named(classes_: Sequence[Class], task: str) -> list[Class]:
    """The classes of a task, the largest first, with titles that tell them apart and why they are."""
    own = sorted((one for one in classes_ if one.task == task), key=lambda one: (-len(one.entries), one.id))
    names = titles(task, own[0].metrics[0].name, [one.facts for one in own])
    by_title = {name: one.facts for name, one in zip(names, own, strict=True)}
    return [
        replace(one, title=name, apart=apart(one.facts, {n: f for n, f in by_title.items() if n != name}))
        for name, one in zip(names, own, strict=True)
    ]


def _ranked(entries: Sequence[Entry], groups: Sequence[Group], metric: Metric, confidence: float) -> list[Entry]:
    """With places and fronts, in the order of a table."""
    contestants = [
        Contestant(by_seed=group.quality.by_seed, over_examples=group.quality.over_examples) for group in groups
    ]
    found = places(contestants, confidence, metric.higher_is_better)
    fast = front(found, [_speed_cost(entry) for entry in entries])
    small = front(found, [_size_cost(entry) for entry in entries])
    placed = [
        replace(
            entry,
            place=place,
            tied=place is not None and found.count(place) > 1,
            front_speed=fast[at],
            front_size=small[at],
        )
        for at, (entry, place) in enumerate(zip(entries, found, strict=True))
    ]
    return sorted(placed, key=_order)


def _order(entry: Entry) -> tuple[bool, float, float, str]:
    """The anchor, then by place, then by size."""
    size = entry.model_mib if isinstance(entry.model_mib, float) else float("inf")
    return not entry.anchor, float("inf") if entry.place is None else entry.place, size, entry.label


def _speed_cost(entry: Entry) -> Cost | None:
    if entry.request is None:
        return None
    told = {one.machine: one.request for one in entry.timed if isinstance(one.request, Interval)}
    return Cost(value=entry.request.value, by_machine=told)


def _size_cost(entry: Entry) -> Cost | None:
    if not isinstance(entry.model_mib, float):
        return None
    small = 1 / entry.model_mib
    return Cost(value=small, by_machine={"": Interval(small, small * (1 - SAME_SIZE), small * (1 + SAME_SIZE))})


# -------------------------------------------------------------------------------------------------------------- entries


def _entry(group: Group, together: Together, index: _Index, stopwatch: Stopwatch, id_: str, label: str) -> Entry:
    """Without place and fronts, which are of the whole class."""
    row, record = group.row, group.pairs[0][0]
    timed = _timed(group, together, index, stopwatch)
    return Entry(
        id=id_,
        label=label,
        anchor=group is together.anchor,
        suite=record.suite,
        model=str(row.axes.get("model")),
        student=row.student,
        distil=row.distil,
        compressors=row.compressors,
        axes=row.axes,
        seeds=row.seeds,
        scores=group.quality.scores,
        place=None,
        tied=False,
        times_smaller=smaller(group.pairs, together.references),
        model_mib=_first([row.model_mib for _, row in group.pairs]),
        parameters=_first([row.parameters for _, row in group.pairs]),
        forward=spread(one.forward for one in timed),
        request=spread(one.request for one in timed),
        timed=timed,
        front_speed=False,
        front_size=False,
        evidence=tuple(dict.fromkeys(index.of_record[record.digest].id for record, _ in group.pairs)),
        notes=_notes(group),
    )


def _timed(group: Group, together: Together, index: _Index, stopwatch: Stopwatch) -> tuple[Timed, ...]:
    """One per machine: of several records of a machine the calmest that has a ratio."""
    by_machine: dict[str, list[tuple[Record, Row]]] = {}
    for record, row in group.pairs:
        by_machine.setdefault(index.of_record[record.digest].machine, []).append((record, row))
    found = []
    for machine, pairs in by_machine.items():
        calm = sorted(pairs, key=lambda pair: stopwatch.loudness(*pair))
        tried = (
            stopwatch.timed(record, row, together.references[record.digest], machine, index.of_record[record.digest].id)
            for record, row in calm
        )
        first = next(tried)
        found.append(first if isinstance(first.request, Interval) else next((t for t in tried if _has_ratio(t)), first))
    return tuple(found)


def _has_ratio(timed: Timed) -> bool:
    return isinstance(timed.request, Interval)


def _first(values: Sequence[Figure]) -> Figure:
    return next((value for value in values if not isinstance(value, Absent)), values[0])


def _notes(group: Group) -> tuple[str, ...]:
    """Of the record that its quality comes from; then what others call the row."""
    row, record = group.row, group.pairs[0][0]
    names = {(other.label, found.suite) for found, other in group.pairs} - {(row.label, record.suite)}
    others = [f"also called {label} ({suite})" for label, suite in sorted(names)]
    return (*row.notes, *others)


def _labels(groups: Sequence[Group]) -> list[str]:
    """Labels that are told apart: by suite, then by versions, then by number."""
    found = [group.row.label for group in groups]
    ways: Sequence[Callable[[Group], str]] = (
        lambda group: group.pairs[0][0].suite,
        lambda group: _versions(group, groups),
        lambda group: f"#{groups.index(group) + 1}",
    )
    for way in ways:
        counts = {label: found.count(label) for label in found}
        if max(counts.values()) == 1:
            break
        alike = {label for label, count in counts.items() if count > 1}
        told = {label: {way(g) for g, own in zip(groups, found, strict=True) if own == label} for label in alike}
        found = [
            f"{label} · {way(group)}" if label in alike and len(told[label]) > 1 else label
            for group, label in zip(groups, found, strict=True)
        ]
    return found


def _versions(group: Group, groups: Sequence[Group]) -> str:
    """Those in which it differs from rows of the same name."""
    same = [other.pairs[0][0].versions for other in groups if other.row.label == group.row.label]
    own = group.pairs[0][0].versions
    differing = [name for name in own if len({versions.get(name) for versions in same}) > 1]
    return ", ".join(f"{name} {own[name]}" for name in differing[:2])


def _warnings(disagreements: Iterable[Disagreement]) -> list[str]:
    """One sentence for two records that say different things of the same rows."""
    by_files: dict[tuple[str, str], list[Disagreement]] = {}
    for one in disagreements:
        by_files.setdefault(one.files, []).append(one)
    return [_warning(files, found) for files, found in by_files.items()]


def _warning(files: tuple[str, str], found: Sequence[Disagreement]) -> str:
    worst = max(found, key=lambda one: one.size)
    ours, theirs = (significant(value, 4) for value in worst.values)
    rows = "a row" if len(found) == 1 else f"{len(found)} rows"
    return (
        f"{files[0]} and {files[1]} say different things of {rows} that should be the same; most of {worst.row}: "
        f"{worst.metric} {ours} and {theirs}. Quality is taken from the record that is named first among an entry's"
    )
