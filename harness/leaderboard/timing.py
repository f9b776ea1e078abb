"""How fast and how small a row is beside the anchor of the same machine and record."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.leaderboard.found import Record, Row
from harness.leaderboard.model import Spread, Timed
from harness.reports import speed
from harness.reports.model import Absent, Figure, Ranged, Ratio
from harness.statistics import Interval, is_noise

NOT_RESOLVED = Absent("not resolved: the measurement was too noisy")


@dataclass(frozen=True)
class Reference:
    """The anchor of a class as one record has it."""

    row: Row
    own: bool  # it is the record's own anchor; otherwise ratios go by way of that


@dataclass(frozen=True)
class Stopwatch:
    """Ratios of rows to the anchor of a class; noise floors are worked out once per measurement."""

    confidence: float
    floors: dict[tuple[int, str, str], Figure] = field(default_factory=dict)

    def timed(self, record: Record, row: Row, reference: Reference | Absent, machine: str, evidence: str) -> Timed:
        """One row on one machine; `machine` and `evidence` are ids."""
        forward, request = (self._ratio(record, row, reference, kind) for kind in ("forward", "request"))
        return Timed(
            machine=machine,
            evidence=evidence,
            forward=_resolved(forward),
            request=_resolved(request),
            request_ms=self._mean(record, row),
            noise=request.noise,
        )

    def loudness(self, record: Record, row: Row) -> float:
        """The noise floor of requests in the row's measurement: of several, the calmest counts."""
        if row.measurement not in record.measurements:
            return float("inf")
        floor = self._floor(record, row.measurement, "request")
        return floor if isinstance(floor, float) else float("inf")

    def _ratio(self, record: Record, row: Row, reference: Reference | Absent, kind: str) -> Ratio:
        why = _unmeasured(record, row)
        if why is not None:
            return Ratio(interval=why)
        if isinstance(reference, Absent):
            return Ratio(interval=reference)
        if row.cells & reference.row.cells:
            return Ratio(interval=Interval(1.0, 1.0, 1.0))
        if reference.own:
            floor = self._floor(record, row.measurement, kind)
            return speed.ratio(record.measurements[row.measurement], row.subject, kind, floor, self.confidence)
        return self._chained(record, row, reference.row, kind)

    def _chained(self, record: Record, row: Row, anchor: Row, kind: str) -> Ratio:
        """By way of the record's own anchor, which is in every measurement."""
        if why := _unmeasured(record, anchor):
            return Ratio(interval=Absent(f"the anchor of this table was {why.reason}"))
        floors = [self._floor(record, one.measurement, kind) for one in (row, anchor)]
        least = max((floor for floor in floors if isinstance(floor, float)), default=0.0)
        mine, base = ((record.measurements[one.measurement], one.subject) for one in (row, anchor))
        found = speed.faster(mine, base, kind, least, self.confidence)
        if isinstance(found, Absent):
            return Ratio(interval=found)
        resolved = least <= speed.LOUDEST and found.high <= speed.WIDEST * found.low
        return Ratio(interval=found, noise=is_noise(found, least), resolved=resolved)

    def _floor(self, record: Record, key: str, kind: str) -> Figure:
        place = id(record), key, kind
        if place not in self.floors:
            self.floors[place] = speed.floor(record.measurements[key], kind, self.confidence)
        return self.floors[place]

    def _mean(self, record: Record, row: Row) -> Ranged:
        why = _unmeasured(record, row)
        return why or speed.mean(record.measurements[row.measurement], row.subject, "request", self.confidence)


def spread(values: Iterable[Ranged]) -> Spread | None:
    """Over machines; None where none has a value."""
    found = [value.value for value in values if isinstance(value, Interval)]
    if not found:
        return None
    return Spread(value=statistics.median(found), low=min(found), high=max(found), machines=len(found))


def smaller(pairs: Sequence[tuple[Record, Row]], references: Mapping[str, Reference | Absent]) -> Figure:
    """The anchor's model file / the row's, from the first record that has both; `references` by the record's digest."""
    why: Figure = Absent("no record")
    for record, row in pairs:
        reference = references[record.digest]
        size = reference if isinstance(reference, Absent) else reference.row.model_mib
        if isinstance(row.model_mib, Absent) or isinstance(size, Absent):
            why = row.model_mib if isinstance(row.model_mib, Absent) else size
        else:
            return size / row.model_mib
    return why


def _resolved(ratio: Ratio) -> Ranged:
    return ratio.interval if ratio.resolved else NOT_RESOLVED


def _unmeasured(record: Record, row: Row) -> Absent | None:
    if row.measurement not in record.measurements:
        return Absent(f"not measured: {row.unmeasured or 'its record does not hold the measurement'}")
    found = speed.subject(record.measurements[row.measurement], row.subject)
    return None if found["status"] == "ok" else Absent(f"not measured: {found['reason']}")
