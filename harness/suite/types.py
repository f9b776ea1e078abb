"""A suite after reading: frozen values, every name checked, every param resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.limits import Limits
from harness.specs import Params
from harness.training import TrainParams

AxisValue = str | int | float | bool | None  # None: the cell's model lacks the axis, shown as "—"

# What a study's tables hold, beside the task's metrics.
COLUMNS = (  # of [report]
    "size", "folder", "minutes", "examples", "per_minute", "request_ms", "batch_seconds", "training", "parameters",
    "training_ratio", "final", "peak", "tokens", "test_tokens",
)  # fmt: skip
DRAWN = ("loss", "epochs", "time", "front")  # figures of [report] that no report has unasked
SECTIONS = ("broken", "waterfall", "teachers")  # of [report] that no report has unasked
FIGURES = (  # of [[published]]
    "size_mib", "minutes", "requests_per_minute", "request_ms", "batch_seconds", "parameters_millions", "examples",
)  # fmt: skip
REMARKS = ("note", "split", "metric", "hardware", "training")  # of [[published]], in words
TIMES = ("request", "forward")  # of [[claims]]
TRAINING = "training"  # of [[claims]]: how long it took
QUANTITIES = (*TIMES, TRAINING, "size", "parameters")  # of [[claims]]
BARS = (
    "ratio_at_least",
    "ratio_at_most",
    "difference_at_least",
    "difference_at_most",
    "difference_above",
    "difference_below",
    "within",
)  # of [[claims]]


def axis_text(value: AxisValue) -> str:
    """How a value of an axis is written: `true`, `0.1`, `lstm`, `—`."""
    if value is None:
        return "—"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    """One `train` step: a distiller, its params, the loop's, and what it learns from."""

    name: str  # "train" for a single unnamed step
    distil: str  # distiller name as written
    teacher: tuple[str, ...] = ()  # model names
    on: str | None = None  # a [data.<name>] transfer set; None: the task's train role
    params: Params = field(default_factory=Params)  # the distiller's
    loop: TrainParams = field(default_factory=TrainParams)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A student with its params and training steps; no step: used as it is."""

    name: str
    use: str
    params: Params
    init: Mapping[str, Any] = field(default_factory=dict)  # {"embeddings": model}, {"layers_of": model, "keep": […]}
    train: tuple[StepConfig, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ChainStep:
    """One compressor of a chain."""

    use: str
    params: Params


Chain = tuple[ChainStep | StepConfig, ...]  # compressors, and between them what trains their artifact on (`recover`)


def compressors(chain: Chain) -> tuple[ChainStep, ...]:
    """The chain without its training."""
    return tuple(link for link in chain if isinstance(link, ChainStep))


def recoveries(chain: Chain) -> tuple[StepConfig, ...]:
    """The chain's training."""
    return tuple(link for link in chain if isinstance(link, StepConfig))


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The `[task]` table. `source` is as written (None: the task's default)."""

    use: str
    params: Params
    source: str | None = None
    max_length: int = 128
    doc_stride: int = 128


@dataclass(frozen=True, kw_only=True)
class FixedConfig:
    """The workload `fixed`: forward passes of one batch, the first rows of the test data, as studies time them."""

    batch_size: int = 16
    length: int | None = None  # tokens that every row is padded to; None: the longest of the batch
    warmups: int = 2  # untimed passes before each repeat
    runs: int = 5  # timed passes of a repeat; their mean is one latency
    repeats: int = 5


@dataclass(frozen=True, kw_only=True)
class SpeedConfig:
    """How speed is measured. `threads` None: all physical cores of the machine."""

    workloads: tuple[str, ...] = ("single", "batch")
    threads: int | None = None
    batch_size: int = 32
    inputs: int = 64  # size of one block's draw for `single`
    blocks: int = 20
    turn_ms: float = 50.0
    warmup: Literal["first", "all"] = "first"  # what is answered before the timing: the first block's draw, or all
    fixed: FixedConfig = field(default_factory=FixedConfig)


@dataclass(frozen=True, kw_only=True)
class EnergyConfig:
    """The pass that reads energy counters, after the timing."""

    seconds: float = 5.0  # at least so long idle, and so long for each row


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Which share of whose metric a row should keep, as a verdict."""

    of: str  # a model name (its uncompressed row)
    metric: str
    at_least: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """The `[measure]` table. `speed`, `energy` None: not measured."""

    speed: SpeedConfig | None = field(default_factory=SpeedConfig)
    energy: EnergyConfig | None = None
    retention: tuple[Retention, ...] = ()  # a row passes where it passes all of them
    confidence: float = 0.95


@dataclass(frozen=True, kw_only=True)
class Select:
    """Which value of an axis is best on dev, by a metric of the task, among rows that differ in nothing else."""

    axis: str
    metric: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of the matrix, in the suite's order of axes: model, compress, other axes, seed last."""

    axes: tuple[tuple[str, AxisValue], ...]

    def __getitem__(self, axis: str) -> AxisValue:
        return dict(self.axes)[axis]

    @property
    def row(self) -> tuple[tuple[str, AxisValue], ...]:
        """The cell without its replicate axis."""
        return tuple(pair for pair in self.axes if pair[0] != "seed")

    @property
    def id(self) -> str:
        """`model=lstm,compress=int8,seed=1`: what `--only` and `explain` take."""
        return ",".join(f"{name}={axis_text(value)}" for name, value in self.axes if value is not None)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """`[report] matrix`: a compact table. Axes that lead its rows, axes that lead its columns, a table per metric."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metrics: tuple[str, ...] = ()  # none: the primary one


@dataclass(frozen=True)
class DataConfig:
    """`[data.<name>]`: a transfer set."""

    source: str | None  # None: the task's
    allow_overlap: tuple[str, ...] = ()  # splits of the task whose texts may stand in it


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Everything a run needs to know, checked. A cell's task and model may differ by bound axes: see `bind`."""

    path: Path | None  # None: built in memory
    text: str  # the TOML as read
    overrides: tuple[str, ...]  # --set, as given
    name: str
    title: str
    anchor: Mapping[str, AxisValue]  # every axis of the anchor row
    task: TaskConfig
    data: Mapping[str, DataConfig]  # transfer sets by name
    models: Mapping[str, ModelConfig]
    chains: Mapping[str, Chain]  # includes "none": ()
    axes: Mapping[str, tuple[AxisValue, ...]]  # model, compress, seed and the suite's own
    sets: Mapping[str, str]  # axis → "train.beta", "train.tune.beta", "task.max_length", "model.hidden_size"
    cells: tuple[Cell, ...]  # expanded, excluded, included, in order
    measure: MeasureConfig
    limits: Limits = field(default_factory=Limits)
    select: Select | None = None
    columns: tuple[str, ...] = ()  # of [report]: the first of the main table
    figures: tuple[str, ...] = ()  # of [report]: some of `DRAWN`
    sections: tuple[str, ...] = ()  # of [report]: some of `SECTIONS`
    grid: Grid | None = None  # of [report]: its `matrix`
    published: tuple[Mapping[str, Any], ...] = ()
    claims: tuple[Mapping[str, Any], ...] = ()
    bindings: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)  # memory of `bind`
