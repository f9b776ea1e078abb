"""A leaderboard before it is written: frozen values, from which markdown, CSV, JSON and the page are made.

Every text in here comes from records of strangers: whoever writes a value down escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.reports.model import AxisValue, Figure, Ranged
from harness.specs import Metric


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A record that a board was made from: what stands behind a figure."""

    id: str  # "r1", "r2", …: unique on the board
    file: str  # name of the record as it was given, relative to where the board is written; shown and linked
    digest: str  # sha256 of its bytes, hex
    suite: str
    commit: str  # of the harness that wrote it, or of the suite's folder; "" where it says none
    started: str  # ISO 8601, UTC
    command: str
    versions: Mapping[str, str]  # distribution → version
    machine: str  # id of a Machine


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where something was measured; machines with equal identities are one."""

    id: str  # "m1", "m2", …
    name: str  # "Intel Xeon …, 2 cores, AVX-512 VNNI"
    isa: str  # class of instructions that int8 answers depend on
    facts: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """How an entry did on one machine, beside the anchor on that machine."""

    machine: str  # id of a Machine
    evidence: str  # id of an Evidence
    forward: Ranged  # times the anchor's speed, arrays to arrays; above 1 is faster
    request: Ranged  # the same, text to answer
    request_ms: Ranged
    noise: bool = False  # the request ratio is no more than two measurements of the anchor differ by


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A ratio over machines: the median of the machines' values, the least and the most."""

    value: float
    low: float
    high: float
    machines: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of a board: a model, how it was trained and compressed, in one comparability class."""

    id: str  # unique on the board, stable for equal inputs: a URL may name it
    label: str  # "ngram-kd · onnx-int8"
    anchor: bool
    suite: str
    model: str  # name in its suite
    student: str  # family: "lstm", "transformer"; "" where the record does not say
    distil: tuple[str, ...]  # how it was trained, step by step
    compressors: tuple[str, ...]  # the chain, step by step; empty: as it was trained
    axes: Mapping[str, AxisValue]  # all axes of the row but the replicate axis
    seeds: int
    scores: Mapping[str, Ranged]  # by metric, in the metric's own unit (a share for '%'), with interval
    place: int | None  # 1 = the first tie group; None where quality cannot be ranked
    tied: bool  # somebody else has the same place
    times_smaller: Figure  # anchor's model file / the entry's
    model_mib: Figure
    parameters: Figure  # a count
    forward: Spread | None  # None: measured on no machine beside its anchor
    request: Spread | None
    timed: tuple[Timed, ...]  # one per machine
    front_speed: bool  # no other entry is both better and faster (request), as far as the data can tell
    front_size: bool  # no other entry is both better and smaller
    evidence: tuple[str, ...]  # ids, first the one that its quality comes from
    notes: tuple[str, ...] = ()  # what a reader must know: "nothing was quantized", "1 of 3 seeds failed"


@dataclass(frozen=True, kw_only=True)
class Class:
    """Entries that may be ranked together. Nothing is ever compared across classes."""

    id: str  # unique on the board, stable: a URL may name it
    title: str  # "rureviews · accuracy"
    task: str
    metrics: tuple[Metric, ...]  # the first ranks
    facts: Mapping[str, str]  # what its entries have in common and other classes have not: "test data", "max_length", …
    apart: str  # a sentence: from which other class of the task it is kept apart, by which fact; "" where it is alone
    anchor: str | None  # id of the anchor's entry
    entries: tuple[Entry, ...]  # the anchor first, then by place, then by size
    confidence: float  # of the intervals: 0.95


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A record, or a row of one, that stands on no table, and why."""

    file: str
    row: str  # "" for the record as a whole
    reason: str  # with what to do


@dataclass(frozen=True, kw_only=True)
class Board:
    """Everything that a leaderboard says."""

    title: str
    made: str  # ISO 8601, UTC
    classes: tuple[Class, ...]  # by task, then by number of entries
    machines: tuple[Machine, ...]
    evidence: tuple[Evidence, ...]
    refused: tuple[Refused, ...] = ()
    warnings: tuple[str, ...] = field(default=())
