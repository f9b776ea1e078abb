"""The tables of a suite's TOML, and what the loader asks of the plugins."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator

from harness.specs import Params, Spec
from harness.suite.problems import typed
from harness.suite.types import EnergyConfig, FixedConfig, MeasureConfig, SpeedConfig

SCHEMA = 1
_NAME = re.compile(r"\w[\w.+-]*")
_LONGEST = 64  # characters of a name: it is a part of files' names
_STEP = re.compile(r"\w[\w-]*")
_FORBIDDEN = set(",=|*?[]")  # they mean something to --only


class Registry(Protocol):
    """Specs by kind ('task', 'student', 'distiller', 'compressor', 'runtime') and name."""

    def get(self, kind: str, name: str) -> Spec:
        """PluginError with a ready message when there is none of that name."""

    def names(self, kind: str) -> list[str]:
        """All names of a kind, sorted."""


def check_name(name: str) -> str:
    """A name of a suite, model, chain or axis. ValueError says what is allowed."""
    if not _NAME.fullmatch(name):
        msg = f"{typed(name)} cannot be a name: use letters, digits, '_', '-', '.' and '+', a letter or digit first"
        raise ValueError(msg)
    if len(name) > _LONGEST:
        msg = f"{typed(name[:_LONGEST])}… has {len(name)} characters, a name has at most {_LONGEST}"
        raise ValueError(msg)
    return name


def check_step(name: str) -> str:
    """A name of a training step: no dot, because targets are written `train.<step>.<parameter>`."""
    if not _STEP.fullmatch(name):
        msg = f"{typed(name)} cannot be a step: use letters, digits, '_' and '-', a letter or digit first"
        raise ValueError(msg)
    return name


def check_scalar(value: Any) -> str | int | float | bool:
    """A value of an axis. ValueError for lists, tables and text that --only could not select."""
    if not isinstance(value, str | int | float):
        msg = f"expected a single value (string, number, true or false), got {typed(value)}"
        raise ValueError(msg)
    if isinstance(value, str) and (not value.isprintable() or not value.strip() or _FORBIDDEN & set(value)):
        msg = f"{typed(value)} cannot be a value of an axis: empty text and , = | * ? [ ] are not allowed"
        raise ValueError(msg)
    return value


def check_scalars(value: Any) -> tuple[str | int | float | bool, ...]:
    """One value of an axis or a list of them. ValueError as above, and for an empty list."""
    if value == []:
        msg = "is an empty list; name at least one value"
        raise ValueError(msg)
    return tuple(check_scalar(one) for one in (value if isinstance(value, list) else [value]))


def _listed(what: str) -> BeforeValidator:
    """One name, or a list of names."""

    def names(value: Any) -> Any:
        if isinstance(value, str | list):
            return (value,) if isinstance(value, str) else tuple(value)
        msg = f"expected the name of {what} or a list of names, got {typed(value)}"
        raise ValueError(msg)

    return BeforeValidator(names)


Name = Annotated[str, AfterValidator(check_name)]
Text = Annotated[str, Field(min_length=1)]
Scalar = Annotated[str | int | float | bool, PlainValidator(check_scalar)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy takes
Scalars = dict[str, Scalar]
Alternatives = Annotated[tuple[str | int | float | bool, ...], PlainValidator(check_scalars)]
Values = Annotated[tuple[Scalar, ...], Field(min_length=1)]


class SuiteTable(Params):
    """`[suite]`."""

    name: Name
    title: str | None = None
    anchor: Scalars = Field(default_factory=dict)


class TaskTable(Params):
    """`[task]` without the task's own params."""

    use: str
    source: Text | None = None
    max_length: int = Field(default=128, ge=1)
    doc_stride: int = Field(default=128, ge=0)  # tokens that neighbouring windows share; span head


class DataTable(Params):
    """`[data.<name>]`: a transfer set."""

    source: Text | None = None  # None: the task's
    allow_overlap: list[Literal["dev", "test"]] = Field([])  # splits of the task whose texts may stand in it


class InitTable(Params):
    """`init` of a model: what it takes from other models' artifacts."""

    embeddings: str | None = None
    tokenizer: str | None = None
    layers_of: str | None = None
    keep: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1)


class ModelTable(Params):
    """`[models.<name>]` without the student's params; `train` is read step by step."""

    use: str
    init: InitTable | None = None
    train: Any = None


class StepTable(Params):
    """One training step without the loop's options and the distiller's params."""

    distil: str
    step: Annotated[str, AfterValidator(check_step)] | None = None
    teacher: Annotated[tuple[str, ...], _listed("a model")] = ()
    on: str | None = None


class ChainStepTable(Params):
    """One compressor of a chain without its params."""

    use: str


class RecoverTable(Params):
    """Training inside a chain; the step is read as a model's is."""

    recover: Any


class MatrixTable(Params):
    """`[matrix]`; every key beside these is an axis of the suite's own."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Values]

    model: tuple[str, ...] | None = Field(default=None, min_length=1)
    compress: tuple[str, ...] = Field(default=("none",), min_length=1)
    seed: tuple[Seed, ...] = Field(default=(42,), min_length=1)
    sets: dict[str, str] = Field(default_factory=dict)
    include: tuple[Scalars, ...] = ()
    exclude: tuple[dict[str, Alternatives], ...] = ()


class FixedTable(Params):
    """`measure.speed.fixed`."""

    batch_size: int = Field(default=FixedConfig.batch_size, ge=1)
    length: int | None = Field(default=FixedConfig.length, ge=1)
    warmups: int = Field(default=FixedConfig.warmups, ge=0)
    runs: int = Field(default=FixedConfig.runs, ge=1)
    repeats: int = Field(default=FixedConfig.repeats, ge=1)


class SpeedTable(Params):
    """`measure.speed`."""

    workloads: tuple[Literal["single", "batch", "fixed"], ...] = Field(default=("single", "batch"), min_length=1)
    threads: int | None = Field(default=SpeedConfig.threads, ge=1)
    batch_size: int = Field(default=SpeedConfig.batch_size, ge=1)
    inputs: int = Field(default=SpeedConfig.inputs, ge=1)
    blocks: int = Field(default=SpeedConfig.blocks, ge=1)
    turn_ms: float = Field(default=SpeedConfig.turn_ms, gt=0)
    warmup: Literal["first", "all"] = SpeedConfig.warmup
    fixed: FixedTable | None = None


class EnergyTable(Params):
    """`measure.energy`."""

    seconds: float = Field(default=EnergyConfig.seconds, gt=0)


class RetentionTable(Params):
    """`measure.retention`, or one of `[[measure.retention]]`; without a metric it is about the task's primary one."""

    of: str
    metric: str | None = None
    at_least: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(min_length=1)


class MeasureTable(Params):
    """`[measure]`; `speed` is a table, or false; `energy` a table, or true; `retention` one table or several."""

    speed: Any = True
    energy: Any = False
    retention: Any = ()
    confidence: float = Field(default=MeasureConfig.confidence, gt=0, lt=1)


class LimitTable(Params):
    """What one attempt at a stage may take: minutes by the clock, MiB of memory of all its processes, MiB on disk."""

    minutes: float | None = Field(default=None, gt=0)
    memory_mib: float | None = Field(default=None, gt=0)
    disk_mib: float | None = Field(default=None, gt=0)


class LimitsTable(LimitTable):
    """`[limits]`: for all stages, and for kinds of them."""

    prepare: LimitTable | None = None
    build: LimitTable | None = None
    train: LimitTable | None = None
    predict: LimitTable | None = None
    ensemble: LimitTable | None = None
    compress: LimitTable | None = None
    score: LimitTable | None = None
    floor: LimitTable | None = None
    measure: LimitTable | None = None


class SelectTable(Params):
    """`[select]`: the value of an axis that is chosen on dev, for every combination of the others."""

    axis: str
    metric: str | None = None


class GridTable(Params):
    """`report.matrix`; without a metric it is about the task's primary one."""

    rows: Annotated[tuple[str, ...], _listed("an axis")] = Field(min_length=1)
    columns: Annotated[tuple[str, ...], _listed("an axis")] = Field(min_length=1)
    metric: Annotated[tuple[str, ...], _listed("a metric")] = ()


class ReportTable(Params):
    """`[report]`.

    The first columns of the main table, metrics of the task or some of `COLUMNS`; figures, some of `DRAWN`; sections,
    some of `SECTIONS`; a grid.
    """

    columns: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    matrix: GridTable | None = None


class StudyTable(Params):
    """`[study]`: what all of `[[published]]` and `[[claims]]` have in common unless they say otherwise."""

    source: Text | None = None  # leads the `source` of each: "…, Table 1"
    split: Text | None = None
    metric: Text | None = None
    hardware: Text | None = None


class PublishedTable(Params):
    """One of `[[published]]` without its figures. `row`: axes of the matrix, or the name of an outsider."""

    row: Any
    source: Text
    note: Text | None = None
    split: Text | None = None
    metric: Text | None = None  # how theirs is defined
    hardware: Text | None = None
    training: Text | None = None  # time or budget, in words


class ClaimTable(Params):
    """One of `[[claims]]`; whatever else it has is kept as it is. Without a bar it is shown, not judged.

    Ratios: how many times faster, or smaller, `row` is than `than`; of a metric, row / than. Differences: row − than,
    in points where the metric is a percentage, in MiB and in millions of parameters.
    """

    text: Text
    source: Text
    row: Any = None
    than: Any = None
    quantity: str | None = None
    ratio_at_least: float | None = Field(default=None, gt=0)
    ratio_at_most: float | None = Field(default=None, gt=0)
    difference_at_least: float | None = None
    difference_at_most: float | None = None
    difference_above: float | None = None
    difference_below: float | None = None
    within: float | None = Field(default=None, ge=0)
