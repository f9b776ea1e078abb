"""From a record to a report: cells become rows, raw samples become figures with intervals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.plugins import Registry
from harness.records import Records
from harness.reports import asked, critical, history, quality, speed, study
from harness.reports.claims import Evidence, judge
from harness.reports.compact import compact, recorded_grid
from harness.reports.front import FRONT, fronts
from harness.reports.model import (
    Absent,
    Asked,
    AxisValue,
    Course,
    Exchange,
    Kept,
    Measurement,
    Ranged,
    Report,
    Row,
    Score,
    Speed,
)
from harness.reports.published import published
from harness.reports.resampled import KIND, Resampled, Timing, latency, speedup
from harness.reports.summary import summarise_rows
from harness.specs import Metric
from harness.suite.types import COLUMNS, Grid

Json = dict[str, Any]
Axes = tuple[tuple[str, AxisValue], ...]
REPLICATE = "seed"
FIRST = ("model", "compress")  # axes that come first; the others by name, whatever order the record's JSON has


def summarise(records: Records, registry: Registry, grid: Grid | None = None) -> Report:
    """Aggregate a record. PluginError when the task that it is about is not installed.

    `grid`: a compact table instead of the one that the suite asks for.
    """
    return _report(_context(records, registry), grid)


def resample(records: Records, registry: Registry) -> tuple[Report, tuple[Resampled, ...]]:
    """The same with the draws behind the figures of its rows, in their order. PluginError as `summarise`."""
    context = _context(records, registry)
    report = _report(context, None)
    return report, context.resampled(report.rows)


def _context(records: Records, registry: Registry) -> _Context:
    metrics = tuple(_metric(about) for about in records.run["task"]["metrics"])
    groups = _group(records.cells)
    return _Context(records, registry, metrics, groups, _scored(groups, records, registry))


def _report(context: _Context, grid: Grid | None) -> Report:
    run, metrics, groups = context.records.run, context.metrics, context.groups
    rows = [context.row(axes) for axes in sorted(groups, key=lambda axes: axes != context.anchor)]
    best, sentence = summarise_rows(rows, metrics[0], run["mode"])
    anchor = context.scores(context.anchor)
    others = [context.scores(axes) for axes in groups if axes != context.anchor]
    examples = study.tested(run)
    grid = grid or recorded_grid(run)
    foreign = study.foreign(run, examples)
    theirs = study.theirs(run["published"], rows)
    evidence = Evidence(
        rows=rows,
        theirs=theirs,
        metrics={metric.name: metric for metric in metrics},
        scored=lambda row: context.scores(tuple(row.axes.items())),
        faster=context.faster,
        foreign=foreign,
    )
    return Report(
        run=run,
        metrics=metrics,
        rows=tuple(rows),
        best=best,
        sentence=sentence,
        measurements=context.measurements(),
        problems=history.problems(context.records.cells),
        published=published(run["published"], theirs, rows, metrics, examples, foreign, context.faster),
        theirs=theirs,
        claims=judge(run["claims"], evidence),
        columns=_columns(run, metrics),
        figures=tuple(run.get("report", {}).get("figures", ())),
        sets=run.get("sets", {}),
        compact=compact(grid, rows, metrics, lambda row: context.scores(tuple(row.axes.items()))) if grid else (),
        courses=_courses(groups),
        asked=context.asked(rows),
        fronts=fronts(context.resampled(rows), metrics[0], context.confidence) if _asks(run, FRONT) else (),
        examples=examples,
        resolution=quality.resolution(others, anchor, metrics[0].name, run["measure"]["confidence"]),
        axes=tuple(name for name, _ in next(iter(groups), ())) or FIRST,
    )


def _metric(about: Json) -> Metric:
    """A record of a later version may say more of a metric."""
    return Metric(**{name: about[name] for name in ("name", "higher_is_better", "unit", "summary") if name in about})


def _columns(run: Json, metrics: Sequence[Metric]) -> tuple[str, ...]:
    """What the suite asks for and this version knows; records of earlier versions ask for nothing."""
    known = {*COLUMNS, *(metric.name for metric in metrics)}
    return tuple(name for name in run.get("report", {}).get("columns", ()) if name in known)


def row_axes(axes: Mapping[str, AxisValue]) -> Axes:
    """A cell's axes without the seed, in the report's order."""
    names = sorted(axes, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return tuple((name, axes[name]) for name in names if name != REPLICATE)


def _asks(run: Json, figure: str) -> bool:
    """Does the suite want a figure that no report has unasked?"""
    return figure in run.get("report", {}).get("figures", ())


def _courses(groups: Mapping[Axes, Sequence[Json]]) -> tuple[Course, ...]:
    """Rows that differ in chain or epoch alone share a training."""
    return history.courses(
        (label(tuple((axis, value) for axis, value in axes if axis not in ("compress", "epoch"))), cells)
        for axes, cells in groups.items()
    )


def axis_values(records: Records) -> dict[str, list[AxisValue]]:
    """The axes of a record's rows with their values, in the order of its cells."""
    values: dict[str, dict[AxisValue, None]] = {}
    for cell in records.cells:
        for axis, value in row_axes(cell["axes"]):
            values.setdefault(axis, {}).update({value: None} if value is not None else {})
    return {axis: list(found) for axis, found in values.items()}


def label(axes: Axes) -> str:
    """`lstm-kd · int8 · beta=0.1`; a model without compressors is just its name."""
    named = dict(axes)
    chain = [] if named.get("compress") in (None, "none") else [str(named["compress"])]
    rest = [f"{name}={value}" for name, value in axes if name not in FIRST and value is not None]
    return " · ".join([str(named.get("model")), *chain, *rest])


def status(cells: Sequence[Json]) -> str:
    """`ok`, one word for all seeds, or `1 of 3 seeds failed`."""
    bad = [cell["status"] for cell in cells if cell["status"] != "ok"]
    if not bad:
        return "ok"
    counts = {word: bad.count(word) for word in dict.fromkeys(bad)}
    if counts == {bad[0]: len(cells)}:
        return str(bad[0])
    first, *others = (f"{count} of {len(cells)} seeds {word}" for word, count in counts.items())
    return ", ".join([first, *others])


def _retentions(recorded: Json | Sequence[Json] | None) -> Sequence[Json]:
    """As a run records them; earlier versions knew one or none."""
    if recorded is None:
        return ()
    return (recorded,) if isinstance(recorded, dict) else recorded


def _group(cells: Sequence[Json]) -> dict[Axes, list[Json]]:
    groups: dict[Axes, list[Json]] = {}
    for cell in cells:
        groups.setdefault(row_axes(cell["axes"]), []).append(cell)
    return groups


def _scored(
    groups: Mapping[Axes, Sequence[Json]], records: Records, registry: Registry
) -> dict[Axes, quality.Scored | Absent]:
    if records.run["mode"] == "random":
        return dict.fromkeys(groups, quality.RANDOM)
    scorer = quality.make_scorer(records, registry)
    return {axes: scorer.row(cells) for axes, cells in groups.items()}


class _Context:
    """What every row needs besides its own cells."""

    def __init__(
        self,
        records: Records,
        registry: Registry,
        metrics: tuple[Metric, ...],
        groups: Mapping[Axes, list[Json]],
        scored: Mapping[Axes, quality.Scored | Absent],
    ) -> None:
        self.records, self.registry, self.metrics, self.groups, self._scored = (
            records,
            registry,
            metrics,
            groups,
            scored,
        )
        self.anchor = self._find(records.run["anchor"])
        self.retentions = _retentions(records.run["measure"]["retention"])
        self.items = critical.items(records.run)
        self.confidence: float = records.run["measure"]["confidence"]
        self.names = self._names()
        self._floors = {key: speed.floors(records.measurements[key], self.confidence) for key in self.names}
        self._trainings = history.all_trainings(records.cells)
        self._speeds: dict[tuple[str, str], Speed] = {}
        self._pace = self._calmest()
        anchor_cells = groups[self.anchor] if self.anchor else []
        self.anchor_size = speed.size(anchor_cells, Absent("it is the anchor")).model_mib

    def _find(self, wanted: Mapping[str, AxisValue]) -> Axes | None:
        return next((axes for axes in self.groups if all(dict(axes).get(n) == v for n, v in wanted.items())), None)

    def _metric(self, name: str | None) -> Metric:
        return next((metric for metric in self.metrics if metric.name == name), self.metrics[0])

    def _names(self) -> dict[str, str]:
        """Measurement key → number, in the order of rows."""
        keys = [cell["measure"] for cells in self.groups.values() for cell in cells if cell["measure"]]
        known = [key for key in dict.fromkeys(keys) if key in self.records.measurements]
        return {key: str(number) for number, key in enumerate(known, start=1)}

    def scores(self, axes: Axes | None) -> quality.Scored | Absent:
        """A row's bootstraps; of a row that is not there, why."""
        return quality.NO_REFERENCE if axes is None else self._scored[axes]

    def row(self, axes: Axes) -> Row:
        """Everything about one row."""
        cells = self.groups[axes]
        kept, *also_kept = self._kept(axes)
        details = [cell["quality"]["details"] for cell in cells if cell["quality"]]
        return Row(
            axes=dict(axes),
            label=label(axes),
            anchor=axes == self.anchor,
            status=status(cells),
            seeds_ok=sum(cell["status"] == "ok" for cell in cells),
            seeds=len(cells),
            quality=self._quality(axes),
            kept=kept,
            also_kept=tuple(also_kept),
            speed=self._speed(cells),
            size=speed.size(cells, self.anchor_size),
            steps=history.steps(cells, label(axes), self.registry),
            training=history.training(cells, self._trainings, "epoch" not in self.records.run.get("sets", {})),
            tokens=history.tokens(cells),
            test_tokens=history.tested_tokens(cells),
            details=details[0] if details else {},
            types=critical.types(details),
            exchange=self._exchange(cells),
            dev=quality.dev_means(cells),
            cut=max((cell["predict"].get("cut", 0) for cell in cells if cell.get("predict")), default=0),
        )

    def _quality(self, axes: Axes) -> dict[str, Score]:
        return quality.scores(self.scores(axes), self.scores(self.anchor), self.metrics)

    def _speed(self, cells: Sequence[Json]) -> Speed:
        """Rows that share a measurement share its figures, so they are computed once."""
        place = self._place(cells)
        if place is None:
            asked = self.records.run["measure"]["speed"] is not None
            return speed.unmeasured(Absent(f"not measured: {cells[0]['unmeasured']}") if asked else speed.UNASKED)
        key, subject = place
        if (key, subject) not in self._speeds:
            document, floors = self.records.measurements[key], self._floors[key]
            name = self.names[key]
            self._speeds[key, subject] = speed.speed(document, subject, name, floors, self._pace, self.confidence)
        return self._speeds[key, subject]

    def _calmest(self) -> Ranged:
        """The anchor's mean request in the measurement whose noise floor is the lowest."""
        floors = {key: floor for key in self.names if isinstance(floor := self._floors[key]["request"], float)}
        if not floors:
            return Absent("nothing was measured")
        return speed.pace(self.records.measurements[min(floors, key=floors.__getitem__)], self.confidence)

    def faster(self, kind: str, row: Row, than: Row) -> Ranged:
        """How many times faster one row is than another."""
        places = [self._place(self.groups[tuple(side.axes.items())]) for side in (row, than)]
        if None in places:
            return Absent("not both rows were measured")
        (key, subject), (base, other) = (place for place in places if place is not None)
        floors = [floor for name in (key, base) if isinstance(floor := self._floors[name][kind], float)]
        documents = self.records.measurements
        mine, theirs = (documents[key], subject), (documents[base], other)
        return speed.faster(mine, theirs, kind, max(floors, default=0.0), self.confidence)

    def resampled(self, rows: Sequence[Row]) -> tuple[Resampled, ...]:
        """The draws behind the rows' figures."""
        found = self._timings()
        floors = {key: timing.floor for key, timing in found.items() if isinstance(timing.floor, float)}
        calmest = found[min(floors, key=floors.__getitem__)] if floors else None
        return tuple(self._resampled(row, found, calmest) for row in rows)

    def _timings(self) -> dict[str, Timing]:
        documents = self.records.measurements
        return {key: Timing(documents[key], number, self._floors[key][KIND]) for number, key in enumerate(self.names)}

    def _resampled(self, row: Row, timings: Mapping[str, Timing], calmest: Timing | None) -> Resampled:
        axes = tuple(row.axes.items())
        place = self._place(self.groups[axes])
        found = speedup(timings[place[0]], place[1], self.confidence) if place else speed.UNASKED
        if isinstance(row.speed.measurement, Absent):
            found = row.speed.measurement
        return Resampled(row=row, scored=self.scores(axes), speedup=found, latency_ms=latency(found, calmest))

    def asked(self, rows: Sequence[Row]) -> Asked:
        """The sections that the suite asks for."""
        return asked.asked(
            self.records,
            self.registry,
            rows,
            {row.label: self.groups[tuple(row.axes.items())] for row in rows},
            self.metrics,
            lambda row: self.scores(tuple(row.axes.items())),
            lambda row, than: self.faster("request", row, than),
        )

    def _place(self, cells: Sequence[Json]) -> tuple[str, str] | None:
        """Where a row's times stand: measurement and subject."""
        return next(((cell["measure"], cell["subject"]) for cell in cells if cell["measure"] in self.names), None)

    def _kept(self, axes: Axes) -> list[Kept]:
        """What the suite asks to be kept; without a [measure.retention] how much of the anchor's primary metric is."""
        if not self.retentions:
            return [self._share(axes, self.anchor, self.metrics[0], ())]
        return [
            self._share(axes, self._reference(asked), self._metric(asked["metric"]), tuple(sorted(asked["at_least"])))
            for asked in self.retentions
        ]

    def _share(self, axes: Axes, reference: Axes | None, metric: Metric, bars: Sequence[float]) -> Kept:
        of = label(reference) if reference else "the reference"
        return quality.kept(self.scores(axes), self.scores(reference), of, metric, bars)

    def _reference(self, asked: Json) -> Axes | None:
        """The model's uncompressed row; of several the one that shares most with the anchor, the first of equals."""
        wanted = {"model": asked["of"], "compress": "none"}.items()
        found = [axes for axes in self.groups if wanted <= dict(axes).items()]
        anchor = self.records.run["anchor"].items()
        return max(found, key=lambda axes: len(dict(axes).items() & anchor), default=None)

    def _exchange(self, cells: Sequence[Json]) -> Exchange | Absent:
        """Against what the first retention is about, else against the anchor."""
        reference = self._reference(self.retentions[0]) if self.retentions else self.anchor
        if reference is None:
            return quality.NO_REFERENCE
        return critical.exchange(cells, self.groups[reference], label(reference), self.items)

    def measurements(self) -> tuple[Measurement, ...]:
        """The measured groups with the rows that use them."""
        users: dict[str, list[str]] = {key: [] for key in self.names}
        for axes, cells in self.groups.items():
            key = next((cell["measure"] for cell in cells if cell["measure"] in self.names), None)
            if key is not None:
                users[key].append(label(axes))
        documents = self.records.measurements
        return tuple(
            speed.measurement(documents[key], name, users[key], self._floors[key]) for key, name in self.names.items()
        )
