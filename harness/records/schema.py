"""What a record is: a typed model per kind of line, from which checks, JSON Schema and the docs are made.

A field with a default may be absent, as it is in records from before it; null is allowed where it is written alone.
Unknown fields are let through and mean nothing: within a schema version harnesses may add fields, and never change or
take away one. Every bound is one that no honest run comes near, and beyond which reports could not be made.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from harness.records.confidence import check_confidence
from harness.records.document import SCHEMA, Json
from harness.records.samples import MOST, check_samples
from harness.suite.types import TIMES

DIALECT = GenerateJsonSchema.schema_dialect
# Control characters, line and paragraph separators, and what reverses the direction of text.
_UNPRINTABLE = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"

Text = Annotated[str, Field(max_length=1 << 20)]  # shown escaped; may hold anything
Name = Annotated[str, Field(min_length=1, max_length=2000, pattern=f"^[^{_UNPRINTABLE}]+$")]
# May become a part of a file's name. Ranges instead of \w, which JSON Schema knows for ASCII alone.
_LETTER = r"0-9A-Za-z_\u00a1-\u2027\u202f-\u2065\u206a-\uffff"
Word = Annotated[str, Field(max_length=64, pattern=f"^[{_LETTER}][{_LETTER}.+-]*$")]
Key = Annotated[str, Field(min_length=1, max_length=200, pattern=rf"^[^/\\{_UNPRINTABLE}]+$")]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$")]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Amount = Annotated[float, Field(ge=0, le=1e15)]
Positive = Annotated[float, Field(ge=1e-9, le=1e15)]
Count = Annotated[int, Field(ge=0, le=10**15)]
AtLeastOne = Annotated[int, Field(ge=1, le=10**15)]
Share = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=-(10**15), le=10**15)]
AxisValue = Union[Name, Whole, Number, bool, None]  # noqa: UP007 - read at run time
Axes = dict[Word, AxisValue]
Scalar = Union[Text, Whole, Number, bool, None]  # noqa: UP007 - read at run time
Facts = dict[str, Any]
W = TypeVar("W", "Predicted", "Trained")


def _maybe(description: str, **extra: Any) -> Any:
    """A field that may be absent, as it is in records from before it, and that is never null."""
    return Field(default=None, description=description, **extra)


class Part(BaseModel):
    """A JSON object of a record: strict types, finite numbers; unknown fields are let through."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, populate_by_name=False)


# ---------------------------------------------------------------------------------------------------------------- run


class Commit(Part):
    """The harness's own commit."""

    sha: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = Field(
        description="Commit that ran, hex; null outside a repository."
    )
    dirty: bool | None = Field(description="Whether tracked files had uncommitted changes; null outside a repository.")


class SuiteText(Part):
    """The suite as it was read."""

    name: Word = Field(description="Name of the suite; names its files.")
    title: Text = Field(description="One line about the suite.")
    text: Text = Field(description="The TOML as read.")
    set: list[Text] = Field(description="Overrides given with --set, as given.")


class MetricAbout(Part):
    """A figure that the task reports."""

    name: Word = Field(description="Name of the metric: its column.")
    higher_is_better: bool = Field(default=True, description="Which way is better.")
    unit: Annotated[str, Field(max_length=20, pattern=f"^[^{_UNPRINTABLE}]*$")] = Field(
        default="%", description="'%' where the value, in [0, 1], is shown times 100; else the unit as shown."
    )
    summary: Text = Field(default="", description="What it measures.")


class Item(Part):
    """A critical span of the test data."""

    example: Text = Field(description="Id of the example that holds it.")
    start: Count = Field(description="First character.")
    end: Count = Field(description="Last character + 1.")
    type: Text = Field(description="Its type.")
    text: Text = Field(default="", description="The span; absent where texts may not be passed on.")
    context: Text = Field(default="", description="The sentence around it; absent where texts may not be passed on.")


class Data(Part):
    """One prepared set of the run."""

    origin: Text = Field(description="Where it came from: source with its revision, or a path.")
    labels: list[Text] = Field(description="Classes, in the order of their ids; empty where there are none.")
    counts: dict[Name, Count] = Field(description="Examples by role: train, dev, test, transfer.")
    facts: Facts = Field(description="What reading found: duplicates, splits, sizes; the task's own.")
    examples: Key = _maybe(description="Digest of the test ids, which names them in cells.")
    contents: Key = _maybe(description="Digest of the test examples; early records have none.")
    ids: list[Text] = _maybe(description="Ids of the test examples, in the order of samples.")
    items: list[Item] = _maybe(description="Critical spans of the test data, where there are.")

    @model_validator(mode="after")
    def _named(self) -> Data:
        if self.items is not None and self.examples is None:
            msg = "has critical spans (items), and no digest of the examples that they are in (examples)"
            raise ValueError(msg)
        return self


class TaskAbout(Part):
    """Data, metrics and lengths."""

    name: Name = Field(description="Name of the task's plugin component.")
    params: Facts = Field(default_factory=dict, description="Its params that differ from their defaults.")
    head: Name = Field(description="What models output: sequence, token, nested-token or span.")
    summary: Text = Field(description="One line about the task.")
    max_length: AtLeastOne = Field(description="Longest window that models read, tokens.")
    doc_stride: Count = _maybe(description="Tokens that neighbouring windows share; early records have none.")
    scoring_version: AtLeastOne = _maybe(description="Of the task's scores; early records have none.")
    source: Text | None = Field(default=None, description="Source of the data that the suite names; null: the task's.")
    default_source: Text | None = Field(default=None, description="The task's own source of data; null: none.")
    metrics: list[MetricAbout] = Field(min_length=1, description="What is scored; the first is the primary metric.")
    data: list[Data] = Field(description="The prepared sets.")


class Fixed(Part):
    """How the workload `fixed` is timed."""

    batch_size: AtLeastOne = Field(description="Rows of the one batch.")
    length: AtLeastOne | None = Field(description="Tokens that rows are padded to; null: the longest of the batch.")
    warmups: Count = Field(description="Untimed passes before each repeat.")
    runs: AtLeastOne = Field(description="Timed passes of a repeat.")
    repeats: AtLeastOne = Field(description="Repeats, each with its own order of rows.")


class Speed(Part):
    """How speed was measured."""

    workloads: list[Name] = Field(description="What was timed: single, batch, fixed.")
    threads: AtLeastOne | None = Field(description="Threads of each process; null: all physical cores.")
    batch_size: AtLeastOne = Field(description="Examples of a batch of the workload batch.")
    inputs: AtLeastOne = Field(description="Examples that a block draws.")
    blocks: AtLeastOne = Field(description="Blocks, each a draw of its own that every row answers.")
    turn_ms: Amount = Field(description="Least time of a row's turn in a block, ms.")
    warmup: Literal["first", "all"] = Field(
        default="first", description="Whose draws are answered before the timing: the first block's, or all blocks'."
    )
    fixed: Fixed = _maybe(description="The workload fixed; absent in records from before it.")

    @model_validator(mode="after")
    def _described(self) -> Speed:
        if "fixed" in self.workloads and self.fixed is None:
            msg = "times the workload 'fixed', and does not say how (fixed)"
            raise ValueError(msg)
        return self


class Energy(Part):
    """How energy was counted."""

    seconds: Amount = Field(description="Least time idle, and of each row, s.")


class Retention(Part):
    """What a row should keep of another's metric."""

    of: Name = Field(description="Model whose uncompressed row is the reference.")
    metric: Word = Field(description="The metric.")
    at_least: list[Amount] = Field(min_length=1, description="Bars, as shares of the reference's value (0.95: 95 %).")


class Measure(Part):
    """What was measured, and how sure intervals are."""

    speed: Speed | None = Field(description="How speed was measured; null: it was not.")
    energy: Energy | None = Field(default=None, description="How energy was counted; null: it was not.")
    retention: list[Retention] | Retention | None = Field(
        description="What rows should keep, each with its bars; early records hold one or null instead of a list."
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(description="Of intervals, as a share (0.95).")


class Select(Part):
    """What was chosen on dev."""

    axis: Word = Field(description="The axis whose best value is chosen.")
    metric: Word = Field(description="The metric on dev that decides.")


class Matrix(Part):
    """The compact table that the suite asks for."""

    rows: list[Word] = Field(min_length=1, description="Axes that lead its rows.")
    columns: list[Word] = Field(min_length=1, description="Axes that lead its columns.")
    metrics: list[Word] = Field(default_factory=list, description="A table per metric; none: the primary one.")


class ReportAbout(Part):
    """What the suite's [report] asks for."""

    columns: list[Name] = Field(description="First columns of the main table.")
    figures: list[Name] = Field(default_factory=list, description="Figures that no report has unasked.")
    sections: list[Name] = Field(default_factory=list, description="Sections that no report has unasked.")
    matrix: Matrix | None = Field(default=None, description="The compact table, or null.")


class PublishedRow(Part):
    """A published row to compare with; any other number is a metric in its unit (percent where the unit is '%')."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Scalar]

    row: Axes | Name = Field(description="Axes of our row that it stands for, or the name of a row that is not ours.")
    source: Text = Field(default="", description="Where it was published.")
    size_mib: Positive = _maybe(description="Model file, MiB.")
    minutes: Positive = _maybe(description="Time over all test examples, minutes.")
    requests_per_minute: Positive = _maybe(description="Requests per minute.")
    request_ms: Positive = _maybe(description="Time of a request, ms.")
    batch_seconds: Positive = _maybe(description="Time of a batch, s.")
    parameters_millions: Positive = _maybe(description="Parameters, millions.")
    examples: Positive = _maybe(description="Test examples.")


class ClaimText(Part):
    """A conclusion of a study, to be judged by this run."""

    text: Text = Field(description="The claim in words.")
    source: Text = Field(description="Where it was made.")
    row: Axes | Name = _maybe(description="The row that it is about; null: it cannot be judged.")
    than: Axes | Name = _maybe(description="The row that it is compared with.")
    quantity: Name = _maybe(description=f"A metric, or one of {', '.join(TIMES)}, training, size, parameters.")
    ratio_at_least: Number = _maybe(description="Bar: quotient at least this.")
    ratio_at_most: Number = _maybe(description="Bar: quotient at most this.")
    difference_at_least: Number = _maybe(
        description="Bar: difference at least this (points where the metric's unit is '%')."
    )
    difference_at_most: Number = _maybe(description="Bar: difference at most this.")
    difference_above: Number = _maybe(description="Bar: difference above this.")
    difference_below: Number = _maybe(description="Bar: difference below this.")
    within: Amount = _maybe(description="Bar: difference at most this either way.")


class MachineIdentity(Part):
    """What decides whether two measurements may stand in one column."""

    cpu: Text = Field(description="Model name of the CPU.")
    isa: Name = Field(description="Best class of instructions that int8 kernels dispatch on.")
    flags: list[Text] = Field(description="Instruction sets that matter here, as the kernel names them.")
    physical_cores: Count = Field(description="Physical cores that the process may run on.")
    logical_cores: Count = Field(description="Logical cores that the process may run on.")
    cpu_quota: Amount | None = Field(description="CPUs' worth of time that the container grants; null: no limit.")
    memory_gib: Amount = Field(description="Memory, GiB.")
    memory_limit_gib: Amount | None = Field(description="The container's limit, GiB; null: none.")
    system: Text = Field(description="Kernel and its version.")
    gpus: list[Text] = Field(description="Names of GPUs.")


class Observed(Part):
    """How a machine was doing; null: the system does not tell."""

    load_average: Annotated[list[Amount], Field(min_length=3, max_length=3)] | None = Field(
        description="Load over 1, 5 and 15 minutes."
    )
    governor: Text | None = Field(description="Frequency governor.")
    frequency_mhz: Amount | None = Field(description="Clock, mean over CPUs, MHz.")
    steal_s: Amount | None = Field(description="Time that the hypervisor gave to others since boot, s.")


class MachineAbout(Part):
    """Where the run was."""

    identity: MachineIdentity = Field(description="What decides comparability.")
    observations: Observed = Field(description="How it was doing when the run began.")


class Line(Part):
    """What every line has."""

    schema_: Literal[1] = Field(alias="schema", description="Version of the schema.")


class Run(Line):
    """The first line: what was run, on what, when and where."""

    kind: Literal["run"] = Field(description="Kind of line.")
    mode: Literal["real", "rehearsal", "random"] = Field(
        description="'rehearsal': miniature models on samples; 'random': untrained weights. Neither says anything of "
        "quality."
    )
    started: Moment = Field(description="When the run began, ISO 8601 with its offset.")
    finished: Moment = Field(description="When the record was made, ISO 8601 with its offset.")
    seconds: Amount = Field(description="Wall time of the run, s.")
    command: Text = Field(description="How to run it again.")
    commit: Commit = Field(description="Commit of the harness.")
    suite: SuiteText = Field(description="The suite.")
    digest: Key = Field(description="Digest of what the suite means.")
    task: TaskAbout = Field(description="The task.")
    anchor: Axes = Field(description="Axes of the row that every ratio refers to.")
    measure: Measure = Field(description="What was measured.")
    select: Select | None = Field(default=None, description="What was chosen on dev; null: nothing.")
    sets: dict[Word, Name] = Field(default_factory=dict, description="Axis → what its values set.")
    report: ReportAbout = _maybe(description="What the suite wants to see; absent: nothing more.")
    published: list[PublishedRow] = Field(description="Published rows to compare with.")
    claims: list[ClaimText] = Field(description="Conclusions to judge.")
    machine: MachineAbout = Field(description="The machine.")
    versions: dict[Name, Text | None] = Field(description="Library → version.")
    plugins: list[Text] = Field(description="Distributions that provided components, with versions.")
    broken_plugins: dict[Name, Text] = Field(description="Plugins that could not be loaded, with the reason.")

    @model_validator(mode="after")
    def _selects(self) -> Run:
        names = {metric.name for metric in self.task.metrics}
        if self.select and self.select.metric not in names:
            msg = f"chooses by '{self.select.metric}' (select), which is no metric of the task"
            raise ValueError(msg)
        return self


# --------------------------------------------------------------------------------------------------------- measurement


class Block(Part):
    """One draw that every row answers."""

    draw: list[Count] = Field(description="Indices of the examples that were drawn.")
    orders: dict[Name, list[Name]] = Field(description="Workload → rows in the order in which they answered.")


class Requests(Part):
    """Every request of the first pass of each block."""

    forward_ms: list[Positive] = Field(description="Arrays to arrays, ms.")
    request_ms: list[Positive] = Field(description="Text to answer, ms.")


class Drawn(Part):
    """Times of a workload that is measured in blocks, one per block."""

    forward_ms: list[Positive] = Field(description="Mean time per example, arrays to arrays, ms.")
    request_ms: list[Positive] = Field(description="Mean time per example, text to answer, ms.")
    passes: list[AtLeastOne] = Field(description="Passes over the draw that the means are of.")
    outputs: Text = Field(description="Digest of the first pass's outputs, hex.")
    requests: Requests = _maybe(description="Single requests; workload single alone.")

    @model_validator(mode="after")
    def _equal(self) -> Drawn:
        if len({len(self.forward_ms), len(self.request_ms)}) != 1 or not self.forward_ms:
            counts = f"{len(self.forward_ms)} forward and {len(self.request_ms)} request times"
            msg = f"{counts}; expected one of each per block"
            raise ValueError(msg)
        return self


class OneBatch(Part):
    """Times of the workload `fixed`, one per repeat."""

    batch_ms: list[Positive] = Field(min_length=1, description="Mean over the repeat's runs, ms per batch.")
    runs_ms: list[list[Positive]] = Field(description="Every run, ms per batch.")
    shape: list[AtLeastOne] = Field(description="[rows, tokens] of the batch.")
    outputs: Text = Field(description="Digest of the outputs, hex.")


class Workloads(Part):
    """Times by workload."""

    single: Drawn = _maybe(description="One example at a time.")
    batch: Drawn = _maybe(description="Batches of examples.")
    fixed: OneBatch = _maybe(description="One batch of one shape, as studies time it.")


class ColdStart(Part):
    """From nothing to the first answer."""

    ready_ms: Amount | Text = _maybe(description="Process start to ready, ms; a text says why not.")
    load_ms: Amount | Text = _maybe(description="Import and load, ms; a text says why not.")
    first_answer_ms: Amount | Text = _maybe(description="First answer, cold, ms; a text says why not.")


class Memory(Part):
    """Memory of a fresh process."""

    how: Text = Field(default="", description="What was read.")
    loaded_mib: Amount | Text = _maybe(description="Peak after loading, MiB; a text says why not.")
    peak_mib: Amount | Text = _maybe(description="Peak after all that is timed, MiB; a text says why not.")


class Uncounted(Part):
    """Why no energy was counted."""

    why: Text = Field(alias="not measured", description="The reason.")


class Idle(Part):
    """A window in which nothing was done."""

    joules: Amount = Field(description="Energy counted, J.")
    seconds: Positive = Field(description="Length of the window, s.")


class Window(Idle):
    """A window in which a row answered."""

    examples: AtLeastOne = Field(description="Examples answered.")


class Counted(Part):
    """What was counted, and how."""

    method: Text = Field(description="rapl, nvml or both.")
    counters: list[Text] = Field(description="Counters that were summed.")
    idle: list[Idle] = Field(min_length=1, description="A window of doing nothing per round.")


class Subject(Part):
    """What was measured of one row; or, failed, why not."""

    status: Literal["ok", "failed"] = Field(description="Whether it was measured.")
    label: Text = Field(description="Name of the row.")
    reason: Text = _maybe(description="Why it failed; failed ones alone.")
    cold_start: ColdStart = _maybe(description="Its start, up to its first answer.")
    memory: Memory = _maybe(description="Memory of its process.")
    workloads: Workloads = _maybe(description="Its times, by workload.")
    energy: list[Window] | Uncounted = _maybe(
        description="A window per round, or why none; absent where energy was not asked for."
    )

    @model_validator(mode="after")
    def _complete(self) -> Subject:
        needed = ("reason",) if self.status == "failed" else ("cold_start", "memory", "workloads")
        if missing := [name for name in needed if getattr(self, name) is None]:
            msg = f"is {self.status}, and has no {' and no '.join(missing)}"
            raise ValueError(msg)
        return self


class Moments(Part):
    """Before and after."""

    before: Observed = Field(description="Before the first process started.")
    after: Observed = Field(description="After the last was done.")


class Measurement(Line):
    """A group of rows measured together, beside the anchor and its twin, with every raw sample."""

    kind: Literal["measurement"] = Field(description="Kind of line.")
    key: Key = Field(description="Key of the measure stage; cells refer to it.")
    threads: AtLeastOne = Field(description="Threads of each process.")
    blocks: list[Block] = Field(description="What was drawn, and who answered when.")
    repeats: list[list[Name]] = Field(default_factory=list, description="Orders of rows in the workload fixed.")
    energy: Counted | Uncounted = _maybe(
        description="What was counted, or why nothing; absent where it was not asked for."
    )
    observed: Moments = Field(description="How the machine was doing.")
    anchor: Subject = Field(description="The anchor.")
    twin: Subject = Field(description="The anchor once more: what the two differ by is noise.")
    rows: dict[Name, Subject] = Field(description="The other rows, by subject.")

    @model_validator(mode="after")
    def _paired(self) -> Measurement:
        if self.anchor.status != "ok":
            msg = "its anchor failed (anchor.status), so that no ratio can be formed"
            raise ValueError(msg)
        for name, subject in {"anchor": self.anchor, "twin": self.twin, **self.rows}.items():
            if subject.status == "ok":
                self._pair(name, subject)
        return self

    def _pair(self, name: str, subject: Subject) -> None:
        """Ratios are formed within blocks and rounds: all have equally many."""
        mine, anchor = _times(subject), _times(self.anchor)
        for workload in mine.keys() & anchor.keys():
            if mine[workload] != anchor[workload]:
                msg = f"{name} has {mine[workload]} times of the workload '{workload}', the anchor {anchor[workload]}"
                raise ValueError(msg)
        if isinstance(self.energy, Counted):
            self._count(name, subject, len(self.energy.idle))

    def _count(self, name: str, subject: Subject, rounds: int) -> None:
        windows = subject.energy
        if windows is None or (isinstance(windows, list) and len(windows) != rounds):
            msg = f"{name} has not one window of energy for each of the {rounds} idle ones"
            raise ValueError(msg)


def _times(subject: Subject) -> dict[str, int]:
    """Workload → blocks or repeats."""
    found = subject.workloads or Workloads()
    blocks = {name: len(drawn.forward_ms) for name in ("single", "batch") if (drawn := getattr(found, name))}
    return blocks | ({"fixed": len(found.fixed.batch_ms)} if found.fixed else {})


# ---------------------------------------------------------------------------------------------------------------- cell


class Packed(Part):
    """Samples as bytes: the array in C order, little-endian, deflated, in base64."""

    shape: list[AtLeastOne] = Field(min_length=2, max_length=2, description="[examples, figures].")
    type: Literal["i", "f"] = Field(description="'i': int64, 'f': float64.")
    zlib: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")] = Field(description="The bytes.")


class ClassScore(Part):
    """How one class did; other numbers and words are the task's own."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Scalar]

    precision: Number | None = Field(default=None, description="Share of what was said that is right.")
    recall: Number | None = Field(default=None, description="Share of what there is that was found.")
    f1: Number | None = Field(default=None, description="Harmonic mean of the two.")
    support: Count | None = Field(default=None, description="How many there are.")
    critical: Text | None = Field(default=None, description="'yes' or 'no', where the task names critical types.")

    @model_validator(mode="after")
    def _scored(self) -> ClassScore:
        if self.critical is not None and None in (self.precision, self.recall, self.f1, self.support):
            msg = "says whether it is critical, and lacks precision, recall, f1 or support"
            raise ValueError(msg)
        return self


class Details(Part):
    """The task's own facts about its answers; these names mean the same for all tasks."""

    classes: list[Text] = _maybe(description="Classes, in the order of the confusion matrix.")
    per_class: dict[Text, ClassScore] = _maybe(description="Class → its scores, as shares.")
    confusion: list[list[Count]] = _maybe(description="[true class][said class]: examples.")
    slices: dict[Text, dict[Text, dict[Text, Number | None]]] = _maybe(
        description="Slice → value → {examples, and metrics as shares}."
    )

    @model_validator(mode="after")
    def _square(self) -> Details:
        sides = {len(self.confusion), *map(len, self.confusion)} if self.confusion else set()
        if self.confusion and self.classes is not None and sides != {len(self.classes)}:
            msg = f"its confusion matrix is not {len(self.classes)} × {len(self.classes)}, as many as classes"
            raise ValueError(msg)
        return self


class Quality(Part):
    """How a cell's artifact answered the test data."""

    metrics: dict[Word, Number] = Field(description="Metric → value; in [0, 1] where its unit is '%'.")
    details: Details = Field(description="Per class, confusion, slices; the task's own.")
    examples: Key = Field(description="Digest of the ids that were scored, as in the run's task.data.")
    samples: Annotated[Any, PlainValidator(check_samples, json_schema_input_type=list[list[Number]] | Packed)] = Field(
        description=f"Figures per example that every metric is made from, as rows or packed; at most {MOST:,}."
    )
    found: Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")] = _maybe(
        description="Which critical spans were found, a bit each, packed, hex."
    )
    confidence: Annotated[Any, PlainValidator(check_confidence, json_schema_input_type=Packed)] = _maybe(
        description="Of classes: how probable the answer was to its model, one per example, in 1/10,000, packed."
    )


class Ensemble(Part):
    """What the teachers of a step answer together: the mean of their probabilities."""

    teachers: list[Name] = Field(description="Their models.")
    ensemble: Word = _maybe(description="How they were weighed, as in its training; absent: alike.")
    weights: list[Share] = _maybe(description="Mean weight of each over the units of all examples; absent: alike.")
    examples: Key = Field(description="Digest of the ids that were scored, as in the run's task.data.")
    samples: Annotated[Any, PlainValidator(check_samples, json_schema_input_type=list[list[Number]] | Packed)] = Field(
        description="Figures per example, as of a cell's quality."
    )


class Sizes(Part):
    """Sizes of an artifact."""

    model_mib: Positive | Text = _maybe(description="Model file, MiB; a text says why not.")
    folder_mib: Positive | Text = _maybe(description="Whole folder, MiB; a text says why not.")


class Artifact(Part):
    """What a cell ships."""

    sizes: Sizes | None = Field(description="On disk.")
    parameters: Count | None = Field(description="Parameters; null: not counted.")
    parameters_without_embeddings: Count | None = Field(description="Parameters outside embeddings; null: not counted.")
    vocab_size: Count | None = Field(default=None, description="Entries of the vocabulary; null: it has none.")


class Worked(Part):
    """What every stage says."""

    use: Name = Field(description="Component that did it.")
    seconds: Amount = Field(description="Wall time, s.")
    cpu_seconds: Amount = _maybe(description="CPU time of the worker, s.")
    threads: Count = _maybe(description="Threads of the worker.")


class Shards(Part):
    """What answered as several stages at once, whose results were merged."""

    count: AtLeastOne = Field(description="How many.")
    seconds: Amount = Field(description="Their wall times, summed, s.")
    start_seconds: Amount = Field(description="Of these, until the first answer of each, s.")
    cpu_seconds: Amount = Field(description="Their CPU times, summed, s.")


class Predicted(Worked):
    """Answering the test data. Of what was sharded, `seconds` holds those of the shards, too."""

    examples: AtLeastOne = _maybe(description="Examples answered.")
    batch: AtLeastOne = _maybe(description="Windows per batch at most.")
    cut: Count = Field(default=0, description="Examples of which a part was too long for any window.")
    tokens: Count = _maybe(description="Tokens of all windows, padding not counted.")
    windows: Count = _maybe(description="Windows that the examples became.")
    start_seconds: Amount = _maybe(description="Wall time until the first answer: loading and encoding, s.")
    shards: Shards = _maybe(description="The stages that answered, where it was more than one.")

    @model_validator(mode="after")
    def _of_examples(self) -> Predicted:
        return _counted(self)


class Epoch(Part):
    """One epoch of a training step."""

    epoch: AtLeastOne = Field(description="Number, from 1.")
    steps: AtLeastOne = Field(description="Optimizer steps.")
    loss: Number | None = Field(default=None, description="Mean training loss, the distiller's own.")
    dev: Number | None = Field(default=None, description="Primary metric on dev after it; null: no dev set.")
    seconds: Amount = Field(description="Wall time, s.")
    within: list[tuple[AtLeastOne, Number]] = _maybe(
        description="[step, primary metric on dev] inside the epoch, where the suite asks for it."
    )


class Curve(Part):
    """The training loss, thinned."""

    steps_per_point: AtLeastOne = Field(description="Steps that a point is the mean of.")
    loss: list[Number] = Field(description="Mean losses.")


class Trained(Worked):
    """One training step."""

    epochs: list[Epoch] = _maybe(description="Its epochs.")
    curve: Curve | None = Field(default=None, description="Its loss; null: not kept.")
    steps: Count = _maybe(description="Optimizer steps.")
    best_epoch: Count = _maybe(description="The epoch whose weights were kept.")
    examples: AtLeastOne = _maybe(description="Examples of an epoch.")
    tokens: Count = _maybe(description="Tokens of an epoch's examples as encoded.")
    ensemble: Word = _maybe(description="How several teachers were weighed, 'confidence'; absent: alike.")
    weights: list[Share] = _maybe(description="Mean weight of each teacher over the steps; absent: alike.")
    masked: bool = _maybe(description="Whether zeros of a mask before it are still zero; absent: no mask before it.")
    zeros: Count = _maybe(description="Weights of matrices and tables that are zero after it, where there was a mask.")

    @model_validator(mode="after")
    def _of_examples(self) -> Trained:
        return _counted(self)


class Parity(Part):
    """Outputs against the compressor's source, on a batch of training examples; other numbers are compared too."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number]

    examples: AtLeastOne = Field(description="Examples compared.")
    max_difference: Number | None = Field(default=None, description="Greatest difference of logits.")
    mean_difference: Number | None = Field(default=None, description="Mean difference of logits.")
    spread: Number | None = Field(default=None, description="Standard deviation of the source's logits.")
    same_answer: Number | None = Field(default=None, description="Share of examples with the same answer.")
    batch_shift: Number | None = Field(default=None, description="Difference between batch 1 and a padded batch.")


class Compressed(Worked):
    """One compressor's work; other fields are its own proofs."""

    changed: bool = Field(default=True, description="Whether it changed anything.")
    bytes: dict[Name, Count] = _maybe(description="Kind of weights → bytes.")
    parity: Parity | None = Field(default=None, description="Distance from its source; null: not compared.")
    sizes: Sizes | None = Field(default=None, description="What it produced, on disk.")
    warnings: list[Text] = Field(default_factory=list, description="What a reader must know.")
    nodes_before: Count = _maybe(description="Nodes of the graph before.")
    nodes_after: Count = _maybe(description="Nodes of the graph after.")
    int8_matmuls: Count = _maybe(description="Matrix products in int8.")


class Cell(Line):
    """One point of the matrix, with its per-example samples, its training and what was done to its weights."""

    kind: Literal["cell"] = Field(description="Kind of line.")
    cell: Name = Field(description="Its axes as --only takes them.")
    axes: Axes = Field(description="Axis → value; null: the cell's model lacks the axis.")
    student: Name = Field(description="Model family.")
    distil: list[Name] = Field(description="Distiller of each training step, those inside the chain last.")
    teachers: list[list[Name]] = Field(description="Models that each training step learns from.")
    recovered: Count = Field(default=0, description="How many training steps stand inside the chain (`recover`).")
    status: Literal["ok", "failed", "skipped", "not run"] = Field(description="How it ended.")
    reason: Text = Field(description="Why it is not ok; empty when it is.")
    failed_stage: Text = Field(description="Key of the stage that failed; empty when none did.")
    retry: Text = Field(description="Command that runs this cell alone.")
    quality: Quality | None = Field(description="How it answered the test data; null: it was not scored.")
    dev: dict[Word, Number] | None = Field(default=None, description="Metric → value on dev; null: not judged.")
    ensemble: Ensemble | None = Field(
        default=None, description="Its teachers together; null: not several, or not kept."
    )
    no_ensemble: Text = _maybe(description="Why its teachers have no score together; absent: they have, or are one.")
    artifact: Artifact | None = Field(description="What it ships; null: it was not built.")
    predict: Predicted | None = Field(default=None, description="Answering the test data; null: it did not.")
    train: list[Trained] = Field(description="Training steps that were done, in order.")
    compress: list[Compressed] = Field(description="Compressors that were done, in order.")
    measure: Key | None = Field(description="Key of its measurement; null: not measured.")
    subject: Name | None = Field(description="Its name in the measurement.")
    unmeasured: Text = Field(description="Why it has no speed; empty when it has.")
    stages: dict[Annotated[str, Field(pattern=r"^[a-z-]{1,40}\.\d{1,6}$")], Key] = Field(
        description="Kind and number → key of each of its stages."
    )
    work: list[Key] = Field(default_factory=list, description="Keys of the stages that its result takes.")
    ancestors: list[Key] = Field(description="Keys of all stages that it depends on, inputs first.")

    @model_validator(mode="after")
    def _whole(self) -> Cell:
        if missing := [axis for axis in ("model", "seed") if self.axes.get(axis) is None]:
            msg = f"its axes have no {' and no '.join(missing)}"
            raise ValueError(msg)
        if (self.measure is None) != (self.subject is None) and self.measure is not None:
            msg = "names a measurement (measure), and not which of its subjects it is (subject)"
            raise ValueError(msg)
        return self


def _counted(work: W) -> W:
    """Tokens are shown per example."""
    if work.tokens is not None and work.examples is None:
        msg = "counts tokens, and not the examples that they are of (examples)"
        raise ValueError(msg)
    return work


KINDS: dict[str, type[Line]] = {"run": Run, "measurement": Measurement, "cell": Cell}


class Shipped(Part):
    """What `build` and compressors may count of an artifact."""

    parameters: Count | None = _maybe(description="Parameters.")
    parameters_without_embeddings: Count | None = _maybe(description="Parameters outside embeddings.")
    vocab_size: Count | None = _maybe(description="Entries of the vocabulary.")


class Scored(Part):
    """What a task says of answers."""

    metrics: dict[Word, Number] = Field(description="Metric → value.")
    details: Details = Field(description="Per class, confusion, slices; the task's own.")


# Kind of stage → what its facts become in a record: whoever returns them can be told, before they are stored.
FACTS: dict[str, tuple[type[Part], ...]] = {
    "build": (Shipped,),
    "compress": (Compressed, Shipped),
    "train": (Trained,),
    "predict": (Predicted,),
    "score": (Scored,),
}


class _Plain(GenerateJsonSchema):
    """Without what says nothing: titles that repeat the field's name, defaults that stand for absence."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Json:
        """Null stands for an absent field, which few fields may be written as."""
        found = super().default_schema(schema)
        return {name: value for name, value in found.items() if name != "default" or value is not None}


def json_schema(kind: str | None = None) -> Json:
    """JSON Schema (draft 2020-12) of one kind of line; None: of a line of any kind."""
    about = {"$schema": DIALECT, "$id": f"urn:harness:record:{SCHEMA}" + (f":{kind}" if kind else "")}
    if kind is not None:
        return {**about, **KINDS[kind].model_json_schema(by_alias=True, schema_generator=_Plain)}
    models: list[tuple[type[BaseModel], Literal["validation"]]] = [(model, "validation") for model in KINDS.values()]
    places, whole = models_json_schema(models, by_alias=True, schema_generator=_Plain)
    return {**about, "title": "Line", "oneOf": list(places.values()), **whole}
