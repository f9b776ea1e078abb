"""What plugins declare (specs), what their factories return (protocols), what they are handed (requests).

A spec is a frozen value that costs nothing to make: the heavy code behind it is named by an import string and
loaded when a stage runs. Everything that decides a result is in the spec or in its `params`; `version` is bumped
when the same params start to give another result.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from harness.errors import PluginError, did_you_mean
from harness.limits import Limits

if TYPE_CHECKING:
    import numpy as np
    import torch

    from harness.executors import Event, Executor
    from harness.reports.model import Report
    from harness.store import Store

# The kind of output: a class of a text; of each word; of each word, once for every type (so that spans of different
# types may nest; labels come in fives, O B I L U of each type); the place of an answer in a context.
Head = Literal["sequence", "token", "nested-token", "span"]
Role = Literal["train", "dev", "test", "transfer"]  # parts of a data set; `transfer`: unlabelled, for distillation
Example = dict[str, Any]  # {"id": str, ...}: one JSON object, the fields are the task's own
Arrays = dict[str, "np.ndarray"]  # named arrays, first axis = batch
Facts = dict[str, Any]  # JSON: what a stage observed about its own work
GREATEST = 1e300  # of numbers in facts and records, either way: they stay finite
# The field of an example for what `prepare` did ahead of time for `input`, which works without it, too: as it does for
# texts that somebody types in, and for requests that are timed.
AHEAD = "prepared"


class Params(BaseModel):
    """Base of every params schema: unknown keys are errors, values are frozen, types are strict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every component declares."""

    kind: ClassVar[str] = "component"

    name: str  # lower case, digits, '-', '_'
    summary: str  # one line, shown by `harness list`
    version: int  # bumped when results change
    factory: str  # "package.module:attribute", called without arguments; a task's, reporter's and observer's with its
    # params, an executor's with its `ExecutorRequest`
    params: type[Params] = Params  # what a suite may set: names, types, defaults, descriptions
    execution_only: frozenset[str] = frozenset()  # params that cannot change a result; left out of keys
    libraries: tuple[str, ...] = ()  # distributions whose version can change a result; part of the key
    reference: str = ""  # paper or manual

    def load(self) -> Any:
        """Import and call the factory. PluginError when the import string leads nowhere."""
        return load_object(self.factory)()


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure a task reports. `name` is the column; `unit` is '%' where the value in [0, 1] is shown times 100."""

    name: str
    higher_is_better: bool = True
    unit: str = "%"
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskSpec(Spec):
    """Data, head, decoding and metrics. The params may have `source` (str), which the core resolves to files."""

    kind: ClassVar[str] = "task"

    head: Head  # the kind of output that its models need
    metrics: tuple[Metric, ...]  # the first is the primary one
    default_source: str | None = None  # 'hub:owner/name', 'bundled:package/folder', or None: the suite must say
    offline_folder: str | None = None  # the folder of this set under HARNESS_DATA_DIR
    sample_source: str | None = None  # 'bundled:package/folder' that --rehearse uses instead
    roles: tuple[Role, ...] = ("train", "dev", "test")  # that it is prepared for
    classes: Callable[[Any], int | None] = field(default=lambda params: None)  # number of classes, where params tell
    scoring: frozenset[str] = frozenset()  # params that scores, answers and losses read, and the data does not
    scoring_version: int = 1  # raised alone where scores change, and data and answers do not
    names_critical: bool = False  # the factory makes a `CriticalTask`
    libraries_for: Callable[[Any], tuple[str, ...]] = field(default=lambda params: ())  # more of them, by its params
    reports_progress: bool = False  # the factory makes a `SlowTask`
    private_text: bool = False  # its texts may not be passed on: records and reports name places, and quote nothing

    def load(self, params: Params | None = None) -> Task:
        """Import the factory and make the task with its params, the defaults where none are given."""
        made: Task = load_object(self.factory)(self.params() if params is None else params)
        return made


@dataclass(frozen=True, kw_only=True)
class StudentSpec(Spec):
    """A model family that can be built for heads. A teacher is a student that was trained first."""

    kind: ClassVar[str] = "student"

    heads: tuple[Head, ...]  # that it can be built for
    encoder: str  # "package.module:attribute": called with the artifact folder, returns an Encoder; imports no torch
    assets: tuple[str, ...] = ()  # params that name a checkpoint folder or hub id, or a file
    init: tuple[str, ...] = ()  # what build can take from other models: of 'embeddings', 'tokenizer', 'layers_of'
    format: str = "torch"  # format of what build writes
    trainable: bool = True  # False: it is used as it is, and `train` is an error
    batch_dependent: bool = False  # as of a compressor: what is built may already be quantized
    isa_dependent: bool = False  # as of a compressor
    reads_text: Callable[[Params], bool] = field(default=lambda _: False)  # does build read the training texts?
    architectures: frozenset[str] = frozenset()  # checkpoints that `--weights random` can build without their files
    miniature: Mapping[str, Any] = field(default_factory=dict)  # params that --rehearse overrides (None removes one)


@dataclass(frozen=True, kw_only=True)
class DistillerSpec(Spec):
    """How a student is trained: a loss and what it needs from the teacher."""

    kind: ClassVar[str] = "distiller"

    heads: tuple[Head, ...]  # whose outputs the loss can compare
    needs_teacher: bool  # is a suite to name one?
    needs_labels: bool = True  # False: can learn from unlabelled transfer text
    reads_critical: bool = False  # does the loss depend on which classes the task calls critical?
    reduces_to: Callable[[Any], tuple[str, Mapping[str, Any]] | None] = field(default=lambda params: None)
    # (distiller, its params) that these params amount to, bit for bit: one training serves both
    miniature: Mapping[str, Any] = field(default_factory=dict)  # params that --rehearse overrides (None removes one)
    rate: Callable[[Any], float] = field(default=lambda params: 1.0)  # factor on the suite's learning rate
    stateful: bool = False  # the factory makes a `StatefulDistiller`
    weighs_teachers: bool = False  # does the loss read `Batch.weights`?
    states: Callable[[Any], tuple[tuple[int, int], ...]] = field(default=lambda params: ())
    # (layer of the student, layer of its one teacher) whose states the loss compares; 0: embeddings, -1: the last
    supports: Callable[[Any, Head, int | None], str | None] = field(default=lambda params, head, classes: None)
    # why these params make no sense there; the number of classes is None until the data have told it


@dataclass(frozen=True, kw_only=True)
class CompressorSpec(Spec):
    """Artifact in, smaller or faster artifact out."""

    kind: ClassVar[str] = "compressor"

    consumes: tuple[str, ...]  # formats
    produces: str  # format
    calibrates: bool = False  # reads encoded examples of the train role
    reads_text: Callable[[Params], bool] = field(default=lambda _: False)  # does it read the training texts?
    assets: tuple[str, ...] = ()  # params that name a file
    batch_dependent: bool = False  # an answer depends on its batch mates (dynamic int8): scored at batch 1
    isa_dependent: bool = False  # answers differ between CPUs: predictions are keyed by ISA
    masks: Callable[[Any], bool] = field(default=lambda params: False)
    # does it set weights to zero and leave them where they are? Training after it leaves them zero, too
    expects_change: bool = True  # the core says loudly when `Facts["changed"]` is False
    tolerance: float = 1e-2  # how far it may move an answer, as a share of the source's spread; see `plugin check`
    supports: Callable[[str, Head], str | None] = field(default=lambda student, head: None)
    # why a cell cannot have it: the cell is skipped, and this is the reason
    fits: Callable[[Any, Any, Sequence[Any]], str | None] = field(default=lambda params, student, before: None)
    # the same, by its params, the student's, and those of the compressors before it in the chain: what only a
    # checkpoint tells is a StageError later
    miniature: Mapping[str, Any] = field(default_factory=dict)  # params that --rehearse overrides (None removes one)


@dataclass(frozen=True, kw_only=True)
class RuntimeSpec(Spec):
    """Loads an artifact of one of its formats and answers batches."""

    kind: ClassVar[str] = "runtime"

    formats: tuple[str, ...]  # one format has one runtime
    gives_states: bool = False  # do its sessions take `states`?


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(Spec):
    """Somewhere to run stages. Stages answer the same wherever they run: an executor is part of no key."""

    kind: ClassVar[str] = "executor"

    interactive: bool = False  # stages may talk to the person at this terminal: nothing is drawn over what they say
    keeps_limits: bool = False  # stops stages that are over the suite's [limits]; of others a run says that none does

    def make(self, request: ExecutorRequest) -> Executor:
        """Import the factory and start the executor."""
        made: Executor = load_object(self.factory)(request)
        return made


@dataclass(frozen=True, kw_only=True)
class ReporterSpec(Spec):
    """Turns a report into files."""

    kind: ClassVar[str] = "reporter"

    def make(self, params: Params) -> Reporter:
        """Import the factory and make the reporter with its params."""
        made: Reporter = load_object(self.factory)(params)
        return made


@dataclass(frozen=True, kw_only=True)
class ObserverSpec(Spec):
    """Is told what happens in a run, and can neither change nor fail it."""

    kind: ClassVar[str] = "observer"

    def make(self, params: Params) -> Observer:
        """Import the factory and make the observer with its params."""
        made: Observer = load_object(self.factory)(params)
        return made


# ---------------------------------------------------------------------------------------------- what factories return


@dataclass(frozen=True)
class Source:
    """Where a task's data comes from, resolved: files by name relative to `root`."""

    origin: str  # as a person would say it: 'hub:…@commit', 'rureviews/ in HARNESS_DATA_DIR', a path
    root: Path
    files: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """What `Task.prepare` returns. `labels` is the order of class ids and travels with every model."""

    roles: Mapping[Role, Sequence[Example]]
    labels: tuple[str, ...]
    facts: Facts = field(default_factory=dict)  # counts, duplicates, repairs


class Task(Protocol):
    """Data in, score out. Imports numpy at most: `score` and the measured processes load nothing heavy."""

    def prepare(self, source: Source, roles: Sequence[Role]) -> Prepared:
        """Read the source. Every example has a unique string `id`. Raises AssetError with place, value, remedy."""

    def input(self, example: Example) -> Any:
        """What an encoder reads.

        Sequence: the text (str). Token, nested token: its words (list of str). Span: (question, context).
        """

    def target(self, example: Example, labels: tuple[str, ...]) -> Any:
        """What a loss reads; None when the example is unlabelled.

        Sequence: class id (int). Token: a class id per word, -100 for a word without one. Nested token: for each word a
        class 0 … 4 (O B I L U) per type. Span: (begin, end) of the answer in the context, characters, end exclusive.
        """

    def samples(self, examples: Sequence[Example], outputs: Sequence[Any], labels: tuple[str, ...]) -> np.ndarray:
        """Per-example sufficient statistics, float64 [n, k]; for classification (gold id, predicted id).

        Outputs, one per example: logits [C] for the sequence head, [words, C] for the token head, `SpanOutput` for the
        span head.
        """

    def metrics(self, samples: np.ndarray, weights: np.ndarray, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Every declared metric under each weighting. samples [n, k], weights [r, n] (counts) → {name: [r]}."""

    def details(self, samples: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """Per-class scores, confusion matrix, …: JSON for the record."""

    def chance(self, examples: Sequence[Example], labels: tuple[str, ...]) -> float | None:
        """The primary metric of an answerer that has learned nothing; None where no such figure exists.

        A teacher that does not get above it on dev teaches nobody.
        """

    def answer(self, example: Example, output: Any, labels: tuple[str, ...]) -> Facts:
        """One prediction as a person wants it.

        Classes: {"label": …, "scores": {label: probability}}. Words: {"text", "entities": [{"start", "end", "type",
        "text", "score", "critical"}]}. Spans: {"score", "start", "end", "answer"}.
        """


class SlowTask(Task, Protocol):
    """A task whose preparation says how far it is: `TaskSpec.reports_progress`."""

    def prepare(self, source: Source, roles: Sequence[Role], progress: Callable[[int, int], None] = ...) -> Prepared:
        """The same; `progress` is told (examples done, of how many)."""


class CriticalTask(Task, Protocol):
    """A task some of whose types are what a user cannot afford to lose: `TaskSpec.names_critical`."""

    def critical(self, labels: tuple[str, ...]) -> tuple[int, ...]:
        """For each class the number, from 0, of the critical type that it belongs to, else -1."""

    def items(self, examples: Sequence[Example]) -> list[Facts]:
        """What is critical in the examples, one by one: {"example", "start", "end", "type", "text", "context"}."""

    def found(self, examples: Sequence[Example], outputs: Sequence[Any], labels: tuple[str, ...]) -> np.ndarray:
        """Which of `items` a model found, bool [I]."""


@dataclass(frozen=True)
class Encoded:
    """One window, a row of a batch: equally long 1-D int64 arrays by name, and where its tokens stand in the text."""

    arrays: Mapping[str, np.ndarray]  # name → [length]
    length: int
    example: int | None = None  # position of the input it was cut from; None: one window per input, in order
    # What each token stands for, -1: nothing. Span: int32 [length, 2], first character and last + 1 in the context.
    # Token: int32 [length], the word that begins with it and is answered for in this window.
    places: np.ndarray | None = None
    cut: bool = False  # was a part of the text, of the question or of a word too long for any window?


@dataclass(frozen=True)
class SpanOutput:
    """What a model said about a question: every context token of its windows, the windows in order.

    A window begins with its null row (the model's first position: "no answer here"), whose place is (-1, -1).
    """

    places: np.ndarray  # int32 [T, 2]: first character and last + 1 of each token in the context
    logits: np.ndarray  # float32 [T, 2]: start, end


class Encoder(Protocol):
    """Text → arrays, from an artifact folder. Pure numpy + tokenizers."""

    pad: Mapping[str, int]  # array name → padding value

    def encode(self, inputs: Sequence[Any], head: Head) -> list[Encoded]:
        """Encode inputs in one call: one window each, or several in order. Never longer than the max_length."""


@dataclass(frozen=True)
class BuildRequest:
    """What `Student.build` is handed."""

    out: Path  # an empty folder
    head: Head
    labels: tuple[str, ...]
    params: Any
    seed: int
    max_length: int
    assets: Mapping[str, Path]  # param name → folder or file
    artifacts: Mapping[str, Path]  # init name → folder of another model's artifact
    texts: Callable[[], Iterator[str]]  # the training texts; raises unless reads_text
    as_it_is: bool = False  # will it answer untrained? Then a head that does not fit the task is an AssetError
    random_weights: bool = False  # the exact architecture with random weights (`--weights random`)
    doc_stride: int = 128  # tokens that neighbouring windows of a context share; span head
    keep: tuple[int, ...] | None = None  # with the init `layers_of`: which of its layers; None: evenly spread ones


class Student(Protocol):
    """Builds and loads one model family. Models are transformers `PreTrainedModel`s."""

    def build(self, request: BuildRequest) -> Facts:
        """Write config, weights (safetensors) and encoder files to `request.out`. Deterministic for a seed."""

    def load(self, folder: Path, head: Head) -> torch.nn.Module:
        """The model in eval mode; `model(**arrays)` returns an object with the head's outputs.

        Sequence: `logits` [B, C]. Token, nested token: `logits` [B, L, C]. Span: `start_logits`, `end_logits`, [B, L].
        """


@dataclass(frozen=True)
class Batch:
    """One training step as a distiller sees it.

    Sequence: U = examples, C = classes. Token: U = words, C = classes. Nested token: U = words × types, C = 5. Span:
    U = 2 × windows (their starts, then their ends), C = positions.
    """

    logits: torch.Tensor  # student, [U, C], float32
    targets: torch.Tensor  # [U], int64; -100 = unlabelled
    teachers: tuple[torch.Tensor, ...]  # each [U, C], float32
    exists: torch.Tensor | None = None  # bool [U, C]: classes that exist in a unit; None: all
    covered: torch.Tensor | None = None  # bool [U, C]: those of which every teacher knows; None: all
    layers: int = 1  # how many units in a row are about one word: the types of nested entities
    critical: torch.Tensor | None = None  # int64 [C]: the critical type of each class, -1: none; see `CriticalTask`
    states: tuple[tuple[torch.Tensor, torch.Tensor], ...] = ()  # [U, H] of student and of teacher, for each pair
    weights: torch.Tensor | None = None  # float32 [K, U]: of each of K teachers, adding up to 1 in a unit; None: alike


class Distiller(Protocol):
    """A loss. It never owns a loop."""

    def loss(self, batch: Batch, params: Any) -> tuple[torch.Tensor, dict[str, float | torch.Tensor]]:
        """Mean loss per unit (scalar) and its named parts for the curve."""


class StatefulDistiller(Distiller, Protocol):
    """A loss with something of its own to learn or to remember: `DistillerSpec.stateful`."""

    def begin(self, params: Any, critical: torch.Tensor | None, widths: Sequence[tuple[int, int]]) -> torch.nn.Module:
        """What it keeps, before the first step; called once. `critical` as in `Batch`; `widths` H of `Batch.states`.

        Its parameters are trained beside the student's, and all of its state outlives a kill; nothing of it is shipped.
        """


@dataclass(frozen=True)
class CompressRequest:
    """What `Compressor.compress` is handed."""

    source: Path  # an artifact folder of a consumed format
    out: Path  # an empty folder
    artifact: Mapping[str, Any]  # artifact.json of the source: format, student, head, labels, max_length
    params: Any
    seed: int
    arrays: Sequence[Arrays]  # a few encoded train batches, for tracing and parity
    calibration: Sequence[Arrays]  # train batches of one example, only where the spec calibrates
    student: Callable[[], torch.nn.Module]  # the source as a torch model, for formats that a Student can load
    texts: Callable[[], Iterator[str]] = field(default=lambda: iter(()))  # of training; raises unless reads_text
    assets: Mapping[str, Path] = field(default_factory=dict)  # param name → file


class Compressor(Protocol):
    """Artifact in, artifact out."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write the new artifact's files (the core copies encoder files and writes artifact.json).

        Facts: `changed` (bool), `bytes` {kind: int}, and whatever proves the work (`int8_matmuls`, `nodes_before`, …).
        """


class Session(Protocol):
    """A loaded artifact."""

    def forward(self, arrays: Arrays) -> Arrays:
        """[B, L] int64 arrays → {"logits": [B, C] or [B, L, C] float32}, or the outputs of another head by name."""


class StatesSession(Session, Protocol):
    """A session of a runtime that gives states."""

    def forward(self, arrays: Arrays, states: Sequence[int] = ()) -> Arrays:
        """The same, with `states.<layer>` [B, L, H] float32 for each layer; 0: embeddings, -1: the last."""


class Runtime(Protocol):
    """Loads artifacts of the declared formats."""

    def load(self, folder: Path, artifact: Mapping[str, Any], student: Student | None, threads: int) -> Session:
        """A session. `student` is the factory of the artifact's student where the format's name has 'torch' in it.

        Else it is None. A format with a student's weights in a way of its own has a name
        such as 'torch-int4': `harness.empty_model` makes the architecture, `harness.fill_model` puts tensors into it.
        """


@dataclass(frozen=True, kw_only=True)
class ExecutorRequest:
    """What an executor is made with."""

    store: Store  # inputs are there, results go there; `store.root` is its folder
    capacity: int  # stages at once that the person asked for, or the machine has room for
    threads: int  # of each stage; one that is exclusive gets threads × capacity
    params: Any
    progress: Callable[[Event], None]  # for those that work inside `wait`: tells progress at once, from that thread
    limits: Limits = field(default_factory=Limits)  # of the suite, for executors that can stop a stage
    say: Callable[[str], None] = field(default=lambda line: None)  # a line for the person who waits


class Reporter(Protocol):
    """Report in, files out. Writes nothing itself."""

    def files(self, report: Report, name: str) -> Mapping[str, str | bytes]:
        """File name → content. Names begin with `name`, which is the record's and holds the run's mode.

        The same report gives the same bytes. Names and texts in a report are third parties': escape them.
        """


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What an observer is told. Fields that say nothing about `what` are empty."""

    what: Literal["run-started", "stage-started", "stage-progress", "stage-finished", "run-finished"]
    time: str  # ISO 8601, UTC
    label: str = ""  # of the stage, for people; of a run: the suite's name and mode
    key: str = ""  # of the stage
    kind: str = ""  # of the stage: "train", "compress", …
    done: int = 0  # progress: so many of `total`
    total: int = 0
    note: str = ""
    status: str = ""  # of a stage: ok, cached, failed, not run; of a run: ok, failed, interrupted, error
    seconds: float = 0.0  # that the stage or the run took
    reason: str = ""  # why it failed or did not run
    facts: Facts = field(default_factory=dict)  # of a run: command, cells, stages, store


class Observer(Protocol):
    """Is told of a run in a thread of its own, one notice after another.

    What it raises drops it and nothing else. It may fall behind by a while, not for ever: `harness/observing.py`.
    """

    def notice(self, notice: Notice) -> None:
        """Take note. The last one is `run-finished`, also of a run that is interrupted."""


def load_object(path: str) -> Any:
    """`package.module:attribute` → the object. PluginError that names the string when it leads nowhere."""
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        close = did_you_mean(attribute, dir(sys.modules[module])) if module in sys.modules else ""
        msg = f"'{path}' cannot be imported: {error}{f'.{close}' if close else ''}"
        raise PluginError(msg) from error
