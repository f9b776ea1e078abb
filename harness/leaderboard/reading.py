"""One record → its rows with figures and intervals. Raw samples of a row are dropped as soon as it is scored."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import HarnessError, PluginError
from harness.keys import canonical, digest
from harness.leaderboard.files import File, sha256
from harness.leaderboard.found import Record, Row, Terms
from harness.leaderboard.model import Refused
from harness.leaderboard.scoring import ROUNDING, Scorer
from harness.plugins import Registry
from harness.records import scan
from harness.records.samples import samples_shape
from harness.reports import speed
from harness.reports.model import Absent, AxisValue, Figure
from harness.reports.rows import label, row_axes, status
from harness.specs import CompressorSpec, StudentSpec, TaskSpec

Json = dict[str, Any]
Axes = tuple[tuple[str, AxisValue], ...]
NOT_REAL = {
    "rehearsal": "a rehearsal: miniature models on bundled samples, whose quality means nothing; run the suite itself",
    "random": "random weights: answers mean nothing, and rows without quality are not ranked; run the suite itself",
}


@dataclass(frozen=True)
class Said:
    """What a record said of a cell."""

    file: str
    metrics: Mapping[str, float]
    row: frozenset[str]  # the cells of the row that it is of


@dataclass(frozen=True)
class Disagreement:
    """Two records that say different things of the same cell."""

    files: tuple[str, str]
    row: str
    metric: str
    values: tuple[float, float]

    @property
    def size(self) -> float:
        """In the metric's own unit."""
        return abs(self.values[0] - self.values[1])


@dataclass(frozen=True)
class Reader:
    """Reads records one after the other; what an earlier one has scored is not scored again."""

    registry: Registry
    scorer: Scorer
    known: dict[tuple[Terms, str, str], Said] = field(default_factory=dict)  # terms, class of CPUs, cell → the first
    disagreements: list[Disagreement] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)  # digest of a record → its file

    def read(self, file: File) -> Record | Refused:
        """A record, or why it stands on no table."""
        earlier = len(self.disagreements)
        try:
            return self._read(file)
        except PluginError as error:
            reason = f"{error}. Install the plugin that provides it"
        except HarnessError as error:
            reason = str(error)
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        self._forget(file.shown, earlier)
        return Refused(file=file.shown, row="", reason=reason.replace(f"{file.path}:", "line ", 1))

    def _forget(self, file: str, earlier: int) -> None:
        """What a record said before it turned out to be broken."""
        for key in [key for key, said in self.known.items() if said.file == file]:
            del self.known[key]
        del self.disagreements[earlier:]

    def _read(self, file: File) -> Record | Refused:
        name = sha256(file.path)
        if name in self.seen:
            return Refused(file=file.shown, row="", reason=f"the same record as {self.seen[name]}")
        lines = scan(file.path)
        run = next(lines).document
        if run["mode"] in NOT_REAL:
            return Refused(file=file.shown, row="", reason=NOT_REAL[run["mode"]])
        about = _About(run, self.registry)
        measurements: dict[str, Json] = {}
        cells = _measurements_kept((line.document for line in lines), measurements)
        found: dict[Axes, Row | str] = {}
        for axes, group in _whole_rows(cells, lambda: (line.document for line in scan(file.path))):
            found[axes] = self._row(axes, group, about, file.shown)
        self.seen[name] = file.shown
        return Record(
            file=file.shown,
            digest=name,
            suite=str(run["suite"]["name"]),
            recipe=digest([run["digest"], run["anchor"]]),
            commit=str(run["commit"]["sha"] or ""),
            started=run["started"],
            command=run["command"],
            versions={name: version for name, version in run["versions"].items() if version},
            machine=run["machine"]["identity"],
            anchor=run["anchor"],
            rows=tuple(row for row in found.values() if isinstance(row, Row)),
            measurements=measurements,
            refused=tuple(
                Refused(file=file.shown, row=label(axes), reason=why)
                for axes, why in found.items()
                if isinstance(why, str)
            ),
        )

    def _row(self, axes: Axes, cells: Sequence[Json], about: _About, file: str) -> Row | str:
        """A row of the record, or why it is refused."""
        scored = [cell for cell in cells if cell["quality"]]
        if not scored:
            return _no_score(cells)
        try:
            terms = {about.terms(cell) for cell in scored}
            if len(terms) != 1:
                return "its seeds were scored on different examples; run the suite again"
            row = _made(axes, cells, scored, terms.pop(), about)
            known = self._knows(row)
            quality = None if known else self.scorer.row(scored, row, about.task(scored[0]["axes"]))
        except Exception as error:  # a task's code on a stranger's params and samples
            return f"it cannot be scored ({type(error).__name__}: {error}); run the suite again"
        if isinstance(quality, str):
            return quality
        self._remember(row, scored, file)
        return replace(row, quality=quality)

    def _knows(self, row: Row) -> bool:
        earlier = self.known.get((row.terms, row.isa, min(row.cells)))
        return earlier is not None and row.cells <= earlier.row

    def _remember(self, row: Row, cells: Sequence[Json], file: str) -> None:
        """What is said of each cell; of what earlier records say otherwise, the worst."""
        worst: Disagreement | None = None
        for cell in cells:
            key = row.terms, row.isa, _cell_key(cell)
            said = Said(file, cell["quality"]["metrics"], row.cells)
            earlier = self.known.get(key)
            if earlier is None or earlier.row < row.cells:
                self.known[key] = said
            if earlier is not None and earlier.file != file:
                found = _disagreements(earlier, said, row.label)
                worst = max([*found, *([worst] if worst else [])], key=lambda one: one.size, default=None)
        if worst is not None:
            self.disagreements.append(worst)


class _About:
    """What a run says of all its rows. PluginError when its task is not installed."""

    def __init__(self, run: Json, registry: Registry) -> None:
        self.run, self.registry = run, registry
        self.spec: TaskSpec = registry.task(run["task"]["name"])
        self.metrics = self.spec.metrics
        self._tasks: dict[str, Any] = {}
        self._sets = {target.removeprefix("task."): axis for axis, target in run.get("sets", {}).items()}
        self._tested = {str(data.get("examples")): data for data in run["task"]["data"] if "test" in data["counts"]}

    def task(self, axes: Mapping[str, AxisValue]) -> Any:
        """The task with the params of a row."""
        params = self._params(axes)
        key = canonical(params)
        if key not in self._tasks:
            self._tasks[key] = self.registry.open_task({"use": self.spec.name, "params": params})
        return self._tasks[key]

    def terms(self, cell: Json) -> Terms:
        """Under which a cell was scored."""
        about, axes, quality = self.run["task"], cell["axes"], cell["quality"]
        data: Json = self._tested.get(quality["examples"]) or next(iter(self._tested.values()), {})
        params = self._params(axes)
        return Terms(
            task=about["name"],
            examples=quality["examples"],
            contents=str(data.get("contents", "")),
            count=samples_shape(quality["samples"])[0],
            labels=tuple(data.get("labels", ())),
            scoring=canonical({name: params[name] for name in sorted(self.spec.scoring & params.keys())}),
            version=str(about.get("scoring_version", "")),
            max_length=int(self._set("max_length", axes) or about["max_length"]),
            stride=self._stride(axes),
            batch=self._batch(cell),
        )

    def dependence(self, cell: Json) -> tuple[str, list[str]]:
        """The class of CPUs that a cell's answers hold for ("": all), and what is not known about it."""
        unknown = [f"'{use}' is not installed here" for use in _uses(cell) if self._spec("compressor", use) is None]
        unknown = [f"{why}, so its answers are taken to depend on the CPU" for why in dict.fromkeys(unknown)]
        specs = self._specs(cell)
        depends = unknown or any(spec.isa_dependent for spec in specs)
        return (str(self.run["machine"]["identity"]["isa"]) if depends else ""), unknown

    def expects_change(self, use: str) -> bool:
        """Should the compressor have changed something?"""
        spec = self._spec("compressor", use)
        return not isinstance(spec, CompressorSpec) or spec.expects_change

    def _params(self, axes: Mapping[str, AxisValue]) -> Json:
        params = self.run["task"].get("params", {})
        swept = {name: axes[axis] for name, axis in self._sets.items() if axes.get(axis) is not None}
        return {**params, **{name: value for name, value in swept.items() if name in self.spec.params.model_fields}}

    def _set(self, name: str, axes: Mapping[str, AxisValue]) -> AxisValue:
        return axes.get(self._sets.get(name, ""))

    def _stride(self, axes: Mapping[str, AxisValue]) -> int | None:
        if self.spec.head != "span":
            return None
        return int(self._set("doc_stride", axes) or self.run["task"].get("doc_stride") or 0)

    def _batch(self, cell: Json) -> int | None:
        size = (cell.get("predict") or {}).get("batch")
        depends = any(spec.batch_dependent for spec in self._specs(cell))
        return size if depends and size not in (None, 1) else None

    def _specs(self, cell: Json) -> list[CompressorSpec | StudentSpec]:
        found = [self._spec("student", str(cell.get("student"))), *(self._spec("compressor", u) for u in _uses(cell))]
        return [spec for spec in found if spec is not None]

    def _spec(self, kind: str, name: str) -> CompressorSpec | StudentSpec | None:
        try:
            return self.registry.compressor(name) if kind == "compressor" else self.registry.student(name)
        except PluginError:
            return None


def _measurements_kept(documents: Iterator[Json], kept: dict[str, Json]) -> Iterator[Json]:
    """The cells; measurements, which come first, go to `kept` without what no ratio reads."""
    for document in documents:
        if document["kind"] == "measurement":
            kept[document["key"]] = _slim(document)
        else:
            yield document


def _slim(document: Json) -> Json:
    subjects = {name: _times(document[name]) for name in ("anchor", "twin")}
    return {**subjects, "rows": {name: _times(subject) for name, subject in document["rows"].items()}}


def _times(subject: Json) -> Json:
    single = (subject.get("workloads") or {}).get("single")
    times = {"single": {name: single[name] for name in ("forward_ms", "request_ms")}} if single else {}
    return {"status": subject["status"], "reason": subject.get("reason") or "", "workloads": times}


def _whole_rows(cells: Iterable[Json], again: Callable[[], Iterator[Json]]) -> Iterator[tuple[Axes, list[Json]]]:
    """Cells by row. A run writes the seeds of a row one after the other.

    Rows that somebody wrote otherwise come in parts, and as a whole at the end: the record is read once more for them,
    so that the samples of one row alone are held.
    """
    seen: set[Axes] = set()
    scattered: dict[Axes, list[Json]] = {}
    for axes, group in itertools.groupby(cells, lambda cell: row_axes(cell["axes"])):
        if axes in seen:
            scattered[axes] = []
        seen.add(axes)
        yield axes, list(group)
    for axes in scattered:
        yield axes, [one for one in again() if one["kind"] == "cell" and row_axes(one["axes"]) == axes]


def _no_score(cells: Sequence[Json]) -> str:
    """Why a row has no quality, with what to do."""
    reasons = [f"{cell['status']}: {cell['reason']}" for cell in cells if cell["status"] != "ok"]
    if not reasons:
        return "it was not scored, and rows without quality are not ranked; run the suite again"
    retry = next((cell["retry"] for cell in cells if cell["status"] in ("failed", "not run")), "")
    return reasons[0] + (f"; try again: {retry}" if retry else "")


def _cell_key(cell: Json) -> str:
    """What decides a cell's score: the key of its score stage, which depends on all that is before."""
    scores = [key for name, key in cell["stages"].items() if name.startswith("score.")]
    return str(scores[0]) if scores else digest(cell.get("work") or cell["ancestors"])


def _disagreements(earlier: Said, said: Said, row: str) -> list[Disagreement]:
    both = [(name, earlier.metrics[name], said.metrics[name]) for name in earlier.metrics if name in said.metrics]
    return [
        Disagreement((earlier.file, said.file), row, name, (one, other))
        for name, one, other in both
        if abs(one - other) > ROUNDING * max(1.0, abs(one))
    ]


def _made(axes: Axes, cells: Sequence[Json], scored: Sequence[Json], terms: Terms, about: _About) -> Row:
    """A row without its quality."""
    first = scored[0]
    isa, unknown = about.dependence(first)
    size = speed.size(scored, Absent("it is compared elsewhere"))
    measured = next((cell for cell in scored if cell["measure"]), None)
    return Row(
        axes=dict(axes),
        label=label(axes),
        student=str(first.get("student", "")),
        distil=tuple(map(str, first["distil"])),
        compressors=tuple(_uses(first)),
        seeds=len(scored),
        cells=frozenset(_cell_key(cell) for cell in scored),
        terms=terms,
        isa=isa,
        metrics=about.metrics,
        quality=None,
        model_mib=_finite(size.model_mib),
        parameters=_finite(size.parameters),
        measurement=str(measured["measure"]) if measured else "",
        subject=str(measured["subject"]) if measured else "",
        unmeasured=str(first["unmeasured"]),
        notes=(*_notes(cells, about), *unknown),
    )


def _finite(value: Figure) -> Figure:
    if isinstance(value, Absent):
        return value
    return float(value) if 0 < value < math.inf else Absent("the record holds no number above 0")


def _notes(cells: Sequence[Json], about: _About) -> Iterator[str]:
    """What a reader must know of the row."""
    said = status(cells)
    if said != "ok":
        yield said
    for step in (step for cell in cells for step in cell["compress"][:] if step.get("changed") is False):
        if about.expects_change(str(step["use"])):
            yield f"{step['use']} changed nothing"
            break
    if sum(1 for cell in cells if cell["quality"]) == 1:
        yield "one seed: how much training varies is not known"


def _uses(cell: Json) -> list[str]:
    return [str(step["use"]) for step in cell["compress"]]
