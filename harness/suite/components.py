"""Task, models, training steps and chains of a suite: names looked up among the plugins, params checked by theirs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar, cast

from harness.errors import PluginError, choices, did_you_mean
from harness.specs import CompressorSpec, DistillerSpec, Head, Params, Spec, StudentSpec, TaskSpec
from harness.suite.locate import Loc
from harness.suite.problems import Problems, not_among, typed, unknown_key, words
from harness.suite.schema import (
    ChainStepTable,
    DataTable,
    InitTable,
    ModelTable,
    RecoverTable,
    Registry,
    StepTable,
    TaskTable,
    check_name,
)
from harness.suite.types import Chain, ChainStep, DataConfig, ModelConfig, StepConfig, TaskConfig
from harness.training import TrainParams

S = TypeVar("S", bound=Spec)
RECOVER = "recover"  # the key of a chain's link that trains
TRAINED = "torch"  # the format that is trained
_STEP_WORDS = [*words(StepTable), *words(TrainParams)]


@dataclass(frozen=True)
class Reader:
    """What every part of the suite is read with."""

    registry: Registry
    problems: Problems
    document: Mapping[str, Any]  # the TOML after --set

    @property
    def models(self) -> list[str]:
        """The names under [models], right or wrong."""
        return self._names("models")

    @property
    def data(self) -> list[str]:
        """The names under [data]."""
        return self._names("data")

    def _names(self, section: str) -> list[str]:
        table = self.document.get(section)
        return list(table) if isinstance(table, dict) else []

    def step_loc(self, model: str, index: int) -> Loc:
        """Where a training step is written: as the one table, or in a list."""
        listed = isinstance(self.document["models"][model]["train"], list)
        return ("models", model, "train", index) if listed else ("models", model, "train")


def read_task(reader: Reader) -> tuple[TaskConfig | None, TaskSpec | None]:
    """`[task]`. The spec is there whenever the name is known, even if something else is wrong."""
    loc: Loc = ("task",)
    if "task" not in reader.document:
        reader.problems.at_key(loc, 'required table is missing: write [task] with use = "…"')
        return None, None
    own, rest = split(reader.document["task"], words(TaskTable))
    table = reader.problems.check(TaskTable, own, loc)
    spec = _find(reader, TaskSpec, _word(own, "use"), (*loc, "use"))
    params = _params(reader, spec, own, rest, loc, words(TaskTable))
    if table is None or params is None:
        return None, spec
    if spec and spec.head != "span" and "doc_stride" in table.model_fields_set:
        reader.problems.at_key((*loc, "doc_stride"), f"'{table.use}' reads each text in one window: remove doc_stride")
    lengths = {"max_length": table.max_length, "doc_stride": table.doc_stride}
    return TaskConfig(use=table.use, params=params, source=table.source, **lengths), spec


def read_data(reader: Reader) -> dict[str, DataConfig]:
    """`[data]`: transfer sets."""
    tables = {name: reader.problems.check(DataTable, raw, ("data", name)) for name, raw in _named(reader, "data")}
    return {name: DataConfig(table.source, tuple(table.allow_overlap)) for name, table in tables.items() if table}


def read_models(reader: Reader, task: TaskSpec | None) -> dict[str, ModelConfig]:
    """`[models]`: those without problems."""
    if not reader.document.get("models", True):
        reader.problems.at_key(("models",), "is empty; a suite needs at least one model")
    if "models" not in reader.document:
        reader.problems.at_key(("models",), 'required table is missing: write [models.NAME] with use = "…"')
    found = {name: _model(reader, name, raw, task) for name, raw in _named(reader, "models")}
    return {name: model for name, model in found.items() if model}


def read_chains(reader: Reader, task: TaskSpec | None) -> dict[str, Chain]:
    """`[chains]`: those without problems, and 'none', which is always the empty one."""
    chains: dict[str, Chain] = {"none": ()}
    for name, raw in _named(reader, "chains"):
        if name == "none":
            reader.problems.at_key(("chains", name), "'none' is always the empty chain; choose another name")
        elif (chain := _chain(reader, raw, ("chains", name), task)) is not None:
            chains[name] = chain
    return chains


def split(raw: Any, own: Iterable[str]) -> tuple[Any, dict[str, Any]]:
    """A table's own keys, and the rest. What is not a table goes through whole, to be refused by its schema."""
    known = set(own)
    if not isinstance(raw, dict):
        return raw, {}
    return {k: v for k, v in raw.items() if k in known}, {k: v for k, v in raw.items() if k not in known}


def misfit(use: str, consumes: Collection[str], arrives: str, advice: str) -> str:
    """The message for a link of a chain that is handed a format which it does not consume."""
    return f"'{use}' consumes {choices(consumes)} but '{arrives}' arrives; {advice}"


def fit(registry: Registry, consumes: Collection[str], arrives: str, otherwise: str) -> str:
    """What to put before a compressor so that `arrives` becomes something it consumes, or else to do."""
    bridges = []
    for name in registry.names("compressor"):
        with suppress(PluginError):  # a name that two plugins provide is no advice
            spec = registry.get("compressor", name)
            if isinstance(spec, CompressorSpec) and arrives in spec.consumes and spec.produces in consumes:
                bridges.append(f"'{name}'")
    if bridges:
        return f"put {' or '.join(bridges)} before it"
    return f"no known compressor turns '{arrives}' into {choices(consumes)}: {otherwise}"


def _named(reader: Reader, section: str) -> list[tuple[str, Any]]:
    """What a table of named things has, each name checked."""
    raw = reader.document.get(section, {})
    if not isinstance(raw, dict):
        reader.problems.at_value((section,), f"expected a table, got {typed(raw)}")
        return []
    for name in raw:
        reader.problems.attempt(check_name, name, (section, name))
    return list(raw.items())


def _word(own: Any, key: str) -> Any:
    return own.get(key) if isinstance(own, dict) else None


def _find(reader: Reader, kind: type[S], name: Any, loc: Loc) -> S | None:
    """The spec of that name; None when the name is missing, no string, or unknown."""
    if not isinstance(name, str):
        return None
    try:
        return cast("S", reader.registry.get(kind.kind, name))
    except PluginError as error:
        reader.problems.at_value(loc, str(error))
        return None


def _params(
    reader: Reader, spec: Spec | None, own: Any, rest: Mapping[str, Any], loc: Loc, also: Sequence[str]
) -> Params | None:
    """The component's own params, from the rest of its table at `loc`. `also[0]` is the key that names it."""
    if spec is None:
        slips = [key for key in rest if also[0] not in own and did_you_mean(key, also[:1])]
        for key in slips:
            reader.problems.at_key((*loc, key), unknown_key(key, also[:1]))
        return None
    taken = [word for word in words(spec.params) if word in also and (spec.kind, word) != ("task", "source")]
    for word in taken:
        message = f"{spec.kind} '{spec.name}' declares the parameter '{word}', which belongs to the harness"
        reader.problems.at_value((*loc, also[0]), f"{message}: its plugin must rename it")
    params = reader.problems.check(spec.params, dict(rest), loc, also)
    return None if taken else params


def _model(reader: Reader, name: str, raw: Any, task: TaskSpec | None) -> ModelConfig | None:
    loc: Loc = ("models", name)
    own, rest = split(raw, words(ModelTable))
    table = reader.problems.check(ModelTable, own, loc)
    spec = _find(reader, StudentSpec, _word(own, "use"), (*loc, "use"))
    params = _params(reader, spec, own, rest, loc, words(ModelTable))
    steps = _steps(reader, own, loc, task)
    if spec is None or table is None:
        return None
    if task and task.head not in spec.heads:
        needed = f"has no '{task.head}' head, which task '{task.name}' needs"
        reader.problems.at_value((*loc, "use"), f"'{table.use}' {needed}. Its heads: {choices(spec.heads)}")
    if "train" in own and not spec.trainable:
        reader.problems.at_key((*loc, "train"), f"'{table.use}' cannot be trained, it is used as it is: remove 'train'")
    init = _init(reader, table.init, spec, (*loc, "init"))
    if params is None or steps is None:
        return None
    return ModelConfig(name=name, use=table.use, params=params, init=init, train=steps)


def _init(reader: Reader, table: InitTable | None, spec: StudentSpec, loc: Loc) -> dict[str, Any]:
    if table is None:
        return {}
    init = {key: value for key, value in table.model_dump().items() if value is not None}
    models = {key: value for key, value in init.items() if key != "keep"}
    for key, model in models.items():
        if key not in spec.init:
            known = f"It takes: {choices(spec.init)}" if spec.init else "It takes nothing"
            reader.problems.at_key((*loc, key), f"'{spec.name}' takes no '{key}' from other models. {known}")
        elif model not in reader.models:
            reader.problems.at_value((*loc, key), not_among(model, "a model of this suite", reader.models))
    if not models:
        reader.problems.at_value(loc, "write { embeddings = MODEL } or { layers_of = MODEL, keep = [0, 2, 4] }")
    elif (table.layers_of is None) != (table.keep is None):
        reader.problems.at_value(loc, "'layers_of' and 'keep' go together: { layers_of = MODEL, keep = [0, 2, 4] }")
    return {key: list(value) if isinstance(value, tuple) else value for key, value in init.items()}


def _steps(reader: Reader, own: Any, loc: Loc, task: TaskSpec | None) -> tuple[StepConfig, ...] | None:
    """The training steps; none for a model without `train`; None when something is wrong with them."""
    if not isinstance(own, dict) or "train" not in own:
        return ()
    raw, loc = own["train"], (*loc, "train")
    if isinstance(raw, dict):
        step = _step(reader, raw, loc, task, "train")
        return (step,) if step else None
    if not isinstance(raw, list) or not raw:
        empty = "an empty list: leave 'train' out to use the model as it is" if raw == [] else typed(raw)
        reader.problems.at_value(loc, f"expected a table or a list of tables, got {empty}")
        return None
    single = "train" if len(raw) == 1 else None
    steps = [_step(reader, item, (*loc, index), task, single) for index, item in enumerate(raw)]
    names = [item.get("step") for item in raw if isinstance(item, dict)]
    for index, name in enumerate(names):
        if isinstance(name, str) and name in names[:index]:
            reader.problems.at_value((*loc, index, "step"), f"'{name}' names an earlier step too")
    return tuple(step for step in steps if step) if all(steps) else None


def _step(reader: Reader, raw: Any, loc: Loc, task: TaskSpec | None, name: str | None) -> StepConfig | None:
    own, rest = split(raw, words(StepTable))
    loop, rest = split(rest, words(TrainParams))
    table = reader.problems.check(StepTable, own, loc)
    options = reader.problems.check(TrainParams, loop, loc)
    spec = _find(reader, DistillerSpec, _word(own, "distil"), (*loc, "distil"))
    params = _params(reader, spec, own, rest, loc, _STEP_WORDS)
    if table is None:
        return None
    name = table.step or name
    if name is None:
        reader.problems.at_value(loc, 'one of several steps needs a name: step = "…"')
    if spec:
        _check_teachers(reader, table, spec, (*loc, "teacher"), listed=isinstance(own.get("teacher"), list))
        _check_step(reader, table, spec, loc, task.head if task else None)
    if options and options.ensemble != "mean" and len(table.teacher) < 2:
        few = f"weighs several teachers, and there is {'one' if table.teacher else 'none'}"
        reader.problems.at_key((*loc, "ensemble"), f'{few}: remove it, or name more: teacher = ["…", "…"]')
    if name is None or options is None or params is None:
        return None
    return StepConfig(name=name, distil=table.distil, teacher=table.teacher, on=table.on, params=params, loop=options)


def _check_teachers(reader: Reader, table: StepTable, spec: DistillerSpec, loc: Loc, *, listed: bool) -> None:
    for index, teacher in enumerate(table.teacher):
        here = (*loc, index) if listed else loc
        if teacher not in reader.models:
            reader.problems.at_value(here, not_among(teacher, "a model of this suite", reader.models))
        elif teacher in table.teacher[:index]:
            reader.problems.at_value(here, f"'{teacher}' is named twice")
    if spec.needs_teacher and not table.teacher:
        reader.problems.at_key(loc, f"'{table.distil}' needs a teacher. Models of this suite: {choices(reader.models)}")
    if table.teacher and not spec.needs_teacher:
        reader.problems.at_key(loc, f"'{table.distil}' takes no teacher: remove it, or choose another distiller")


def _check_step(reader: Reader, table: StepTable, spec: DistillerSpec, loc: Loc, head: Head | None) -> None:
    problems = reader.problems
    if table.on is not None and table.on not in reader.data:
        problems.at_value((*loc, "on"), not_among(table.on, "a [data] set of this suite", reader.data))
    elif table.on is not None and spec.needs_labels:
        problems.at_value((*loc, "on"), f"'{table.distil}' needs labels, and [data.{table.on}] has none: remove 'on'")
    if head and head not in spec.heads:
        needed = f"cannot train the '{head}' head of this task"
        problems.at_value((*loc, "distil"), f"'{table.distil}' {needed}. Its heads: {choices(spec.heads)}")


@dataclass(frozen=True)
class _Link:
    """A link of a chain, with the formats that it joins."""

    name: str
    step: ChainStep | StepConfig
    consumes: Collection[str]
    produces: str


def _chain(reader: Reader, raw: Any, loc: Loc, task: TaskSpec | None) -> Chain | None:
    if not isinstance(raw, list) or not raw:
        empty = "an empty list: 'none' is the empty chain" if raw == [] else typed(raw)
        reader.problems.at_value(loc, f"expected a list of compressors, got {empty}")
        return None
    found = [_link(reader, item, (*loc, index), task) for index, item in enumerate(raw)]
    links = [link for link in found if link]
    if len(links) < len(raw):
        return None
    for index, (before, link) in enumerate(pairwise(links), 1):
        if before.produces not in link.consumes:
            advice = fit(
                reader.registry, link.consumes, before.produces, "put it earlier in the chain, or leave it out"
            )
            reader.problems.at_value((*loc, index), misfit(link.name, link.consumes, before.produces, advice))
    return tuple(link.step for link in links)


def _link(reader: Reader, raw: Any, loc: Loc, task: TaskSpec | None) -> _Link | None:
    if isinstance(raw, dict) and RECOVER in raw:
        return _recovery(reader, raw, loc, task)
    return _compressor(reader, raw, loc)


def _recovery(reader: Reader, raw: Mapping[str, Any], loc: Loc, task: TaskSpec | None) -> _Link | None:
    """Training that goes on from what the links before it made."""
    if reader.problems.check(RecoverTable, raw, loc) is None:
        return None
    step = _step(reader, raw[RECOVER], (*loc, RECOVER), task, RECOVER)
    return None if step is None else _Link(RECOVER, step, (TRAINED,), TRAINED)


def _compressor(reader: Reader, raw: Any, loc: Loc) -> _Link | None:
    own, rest = split({"use": raw} if isinstance(raw, str) else raw, words(ChainStepTable))
    table = reader.problems.check(ChainStepTable, own, loc)
    use, place = _word(own, "use"), loc if isinstance(raw, str) else (*loc, "use")
    if use == RECOVER:
        reader.problems.at_value(place, f"'{RECOVER}' is training: write {{ {RECOVER} = {{ distil = \"…\" }} }}")
        return None
    spec = _find(reader, CompressorSpec, use, place)
    params = _params(reader, spec, own, rest, loc, words(ChainStepTable))
    if table is None or spec is None or params is None:
        return None
    return _Link(table.use, ChainStep(use=table.use, params=params), spec.consumes, spec.produces)
