"""A report before it is written: frozen values, from which markdown, CSV, JSON and the closing sentence are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harness.specs import Metric
from harness.statistics import Interval, Verdict

Json = Any
AxisValue = str | int | float | bool | None


@dataclass(frozen=True)
class Absent:
    """A figure that does not exist, and why."""

    reason: str


Ranged = Interval | Absent
Figure = float | Absent


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric of one row, in the metric's own unit (a share for '%')."""

    interval: Ranged
    by_seed: Mapping[str, float]  # seed → value
    difference: Ranged  # row − anchor, paired
    retention: Ranged  # share of the anchor's value that is kept, paired


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One share of the reference's metric that a row should keep."""

    at_least: float
    verdict: Verdict | Absent


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a row keeps of the retention reference's metric. Without a [measure.retention]: of the anchor's primary."""

    of: str  # label of the reference row
    metric: str
    interval: Ranged
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True)
class TypeScore:
    """One type of entities, as the task's details have it; means over the row's seeds."""

    precision: float
    recall: float
    f1: float
    support: int
    critical: bool


@dataclass(frozen=True, kw_only=True)
class Item:
    """A critical span of the test data: texts of third parties."""

    type: str
    text: str
    context: str
    example: str  # id


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Critical spans that the reference found and the row did not (lost), and the other way round (won)."""

    of: str  # label of the reference row
    items: int  # critical spans in the test data
    found: float  # by the row; counts are means over the seeds that both rows have
    lost: float
    won: float
    first_lost: tuple[Item, ...]  # a few, of the first seed
    first_won: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times the anchor's speed, and how far that can be told."""

    interval: Ranged
    noise: bool = False  # no more than two measurements of the anchor differ by
    resolved: bool = True  # narrow enough, in a quiet enough measurement, to be compared with other rows'


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Times of the row's artifact in its measurement. Ratios are to the anchor, within blocks; above 1 is faster."""

    measurement: str | Absent  # name of the measurement, shared by rows of one model
    forward: Ratio  # single: arrays to arrays
    request: Ratio  # single: text to answer
    throughput: Ratio  # batch: text to answer
    forward_ms: Ranged  # mean over blocks of the mean per example
    request_ms: Ranged  # the same of requests
    level_ms: Ranged  # mean request at the anchor's pace in the calmest measurement: comparable across measurements
    requests: int  # that were timed one by one
    p50_ms: Ranged  # of requests
    p90_ms: Ranged
    examples_per_s: Ranged  # batch, text to answer: median over blocks
    fixed: Ratio  # fixed: arrays to arrays
    batch_seconds: Ranged  # fixed: mean over repeats
    batch_seconds_std: Figure  # between repeats
    joules_per_example: Ranged  # above idle, one by one: mean over windows
    load_ms: Figure  # imports and loading in a fresh process
    first_answer_ms: Figure
    peak_mib: Figure


@dataclass(frozen=True, kw_only=True)
class Size:
    """What the row ships."""

    model_mib: Figure
    folder_mib: Figure
    times_smaller: Figure  # anchor's model file / the row's
    parameters: Figure
    parameters_without_embeddings: Figure
    bytes: Mapping[str, int]  # by kind, as the last compressor that says so counted them


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one compressor did: its facts for the first seed, parity the worst over seeds."""

    use: str
    changed: bool
    isa_dependent: bool  # its answers differ between classes of CPUs
    loud: str  # what must not be overlooked, or nothing
    parity: Mapping[str, float]
    facts: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the row's weights were made; of a row that is an epoch of a longer training, the part up to it."""

    distil: tuple[str, ...]
    teachers: tuple[str, ...]
    recovered: int = 0  # of these steps, how many stand inside the chain
    seconds: Mapping[str, float]  # seed → own steps
    with_teachers_s: Figure  # first seed, all training that it rests on
    epochs: Mapping[str, Json]  # seed → one list of epochs per step: {"epoch", "steps", "loss", "dev", "seconds"}


@dataclass(frozen=True, kw_only=True)
class Course:
    """How one training step's loss went, first seed."""

    model: str
    label: str  # of the row, without compressors and epoch
    distil: str
    stretch: int  # steps that a point is the mean of
    loss: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One place of a compact table."""

    interval: Ranged  # as in `Score`
    best: bool  # of its column, or not told from the best by a paired comparison


@dataclass(frozen=True, kw_only=True)
class Compact:
    """A compact table of one metric: values of axes by line and by column, and what stands there."""

    metric: str
    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    rows: tuple[tuple[AxisValue, ...], ...]
    columns: tuple[tuple[AxisValue, ...], ...]
    places: tuple[tuple[Place, ...], ...]  # one tuple per line


@dataclass(frozen=True, kw_only=True)
class Row:
    """A cell without its replicate axis."""

    axes: Mapping[str, AxisValue]
    label: str
    anchor: bool
    status: str  # "ok", "failed", "1 of 2 seeds failed"
    seeds_ok: int
    seeds: int
    quality: Mapping[str, Score]  # by metric, in the task's order
    kept: Kept
    also_kept: tuple[Kept, ...] = ()  # of the suite's further [[measure.retention]]
    speed: Speed
    size: Size
    steps: tuple[Step, ...]
    training: Training
    tokens: Figure  # of a training example as the model's encoder cuts it, mean over all; and of a test example
    test_tokens: Figure
    details: Json  # of the first scored seed: per class, confusion
    types: Mapping[str, TypeScore] = field(default_factory=dict)
    exchange: Exchange | Absent = Absent("the task names no critical types")

    @property
    def keeps(self) -> tuple[Kept, ...]:
        """All that the suite asks to be kept."""
        return (self.kept, *self.also_kept)

    dev: Mapping[str, float]  # metric → mean over seeds, where the suite chooses on dev
    cut: int  # test examples of which a part was too long to be read


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measured group. Floors: by how much the ratio of the anchor to itself may be off, 0.02 = 2 %."""

    name: str
    rows: tuple[str, ...]  # labels of the rows that take their times from it
    floors: Mapping[str, Figure]  # forward, request, throughput, fixed
    threads: int
    counters: tuple[str, ...]  # of energy: "rapl package-0"
    idle_watts: Figure  # what they read while nothing ran
    load_before: float | None
    load_after: float | None
    failures: Mapping[str, str]  # row → reason


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A cell that did not get through."""

    cell: str
    status: str
    reason: str
    retry: str  # a command; nothing where trying again cannot help


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published figure beside ours, both as shown: percent where the metric is."""

    row: str
    name: str
    unit: str
    published: float
    ours: Ranged
    verdict: str  # "reproduced", "ours is above", "ours is below", "not comparable: …"
    source: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """A published row as a whole. `axes` None: a model outside the matrix, by its `label`."""

    label: str
    axes: Mapping[str, AxisValue] | None
    figures: Mapping[str, float]  # as published: percent, MiB, minutes, millions
    training: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A conclusion of a study and what this run says about it."""

    text: str
    source: str
    compared: str  # "a · int8 with a"; nothing without a checkable form
    quantity: str  # "× faster, request", "em, points"
    condition: str  # "at least 2"
    found: Ranged
    verdict: str  # "supported", "contradicted", "undecided", "not judged: …"


@dataclass(frozen=True, kw_only=True)
class FrontRow:
    """One row beside a front."""

    label: str
    cost: Interval  # × the anchor's speed, or MiB
    on: bool  # by the figures themselves
    probability: float  # share of resamples in which it is


@dataclass(frozen=True, kw_only=True)
class Front:
    """Who is not beaten in the primary metric and in speed, or size. Rows that lack a figure are not there."""

    against: str  # "speed", "size"
    rows: tuple[FrontRow, ...]


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A test example that one row answers rightly and another wrongly, first seed."""

    example: str  # id
    gold: str = ""  # classes; nothing where records hold scores of answers alone
    before: str = ""  # the reference's answer
    after: str = ""


@dataclass(frozen=True, kw_only=True)
class SliceChange:
    """The primary metric (of a class its F1) on a part of the test data, row − reference, mean over shared seeds."""

    by: str
    value: str
    examples: int | None
    change: float


@dataclass(frozen=True, kw_only=True)
class Broken:
    """What a row answers differently from a reference. Counts and shares are means over the row's seeds."""

    row: str  # label
    of: str
    examples: int
    same: float  # share of examples with the same answer; where records hold none, with the same figures
    lost: float  # right before, wrong now
    won: float
    net: Interval  # share of right answers, row − reference
    p: Mapping[str, float]  # seed → McNemar's exact p
    error: Figure  # expected calibration error of the row
    error_change: Ranged  # row − reference
    first_lost: tuple[Flip, ...]
    first_won: tuple[Flip, ...]
    slices: tuple[SliceChange, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Breakage:
    """All that compression changed."""

    sources: tuple[Broken, ...] = ()  # compressed rows against the same model as it was before
    anchors: tuple[Broken, ...] = ()  # against the anchor
    judged: str = ""  # the metric that tells right answers; nothing where answers are classes


@dataclass(frozen=True, kw_only=True)
class Level:
    """Where a row stands: before or after a step."""

    label: str
    quality: Ranged  # primary metric
    ms: Ranged  # of a request
    mib: Figure  # model file


@dataclass(frozen=True, kw_only=True)
class FallStep:
    """One step of a waterfall."""

    use: tuple[str, ...]  # what was done; more than one where rows in between are not in the suite
    before: Level
    after: Level
    quality: Ranged  # primary metric, after − before, paired
    faster: Ranged  # times, request


@dataclass(frozen=True, kw_only=True)
class Fall:
    """How a row came from its teacher, or from its uncompressed model, step by step."""

    row: str  # label
    steps: tuple[FallStep, ...]
    whole: FallStep  # from the first to the last


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A row that learned from several teachers beside one of them alone."""

    row: str
    teacher: str  # label of the teacher's row
    difference: Ranged  # primary metric, row − teacher, paired
    ensemble: str = ""  # how its teachers were weighed, 'confidence'; empty: alike


@dataclass(frozen=True, kw_only=True)
class Together:
    """What the teachers of a row answer together: the mean of their probabilities, of each teacher's first seed."""

    row: str
    teachers: tuple[str, ...]
    score: Ranged  # primary metric
    difference: Ranged  # primary metric, row − ensemble, paired
    ensemble: str = ""  # how they were weighed, as in the row's training; empty: alike
    weights: tuple[float, ...] = ()  # mean weight of each over the units of all examples


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What [report] sections asks for."""

    breakage: Breakage = Breakage()
    falls: tuple[Fall, ...] = ()
    taught: tuple[Taught, ...] = ()
    together: tuple[Together, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that a report says. `run` is the run's own document."""

    run: Mapping[str, Json]
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]  # the anchor first, then the suite's order
    best: str | None  # label of the row that the closing sentence is about
    sentence: str
    measurements: tuple[Measurement, ...]
    problems: tuple[Problem, ...]
    published: tuple[Published, ...]
    theirs: tuple[Theirs, ...]  # the rows that those are of
    claims: tuple[Claim, ...]
    columns: tuple[str, ...]  # the first of the main table, by the names that [report] has for them
    figures: tuple[str, ...] = ()  # that the suite asks for
    sets: Mapping[str, str] = field(default_factory=dict)  # axis → what it sets, such as task.limit
    compact: tuple[Compact, ...] = ()
    courses: tuple[Course, ...] = ()
    asked: Asked = Asked()
    fronts: tuple[Front, ...] = ()  # where `figures` ask for them
    examples: Figure  # of the test role
    resolution: Figure  # smallest difference of the primary metric to the anchor that would be found in 4 of 5 runs
    axes: tuple[str, ...] = field(default=("model", "compress"))

    @property
    def mode(self) -> str:
        """`real`, `rehearsal` or `random`."""
        return str(self.run["mode"])

    @property
    def name(self) -> str:
        """What its files are called: a rehearsal never replaces a real report."""
        name = str(self.run["suite"]["name"])
        return name if self.mode == "real" else f"{name}.{self.mode}"

    def axes_without(self, axis: str) -> tuple[str, ...]:
        """The other axes."""
        return tuple(name for name in self.axes if name != axis)

    @property
    def anchor(self) -> Row | None:
        """The anchor's row."""
        return next((row for row in self.rows if row.anchor), None)

    @property
    def primary(self) -> Metric:
        """The task's first metric."""
        return self.metrics[0]


def as_json(value: Any) -> Json:
    """Dataclasses, mappings and sequences → plain JSON; an absent figure is `{"absent": reason}`."""
    if hasattr(value, "__dataclass_fields__"):
        return {entry.name: as_json(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): as_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    return value
