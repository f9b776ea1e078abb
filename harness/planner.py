"""From a suite to a DAG of stages: pure, no disk but fingerprints of assets, no heavy import, nothing executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.assets import Asset, Missing, find_data, find_model
from harness.errors import PluginError, SuiteError
from harness.keys import Ref, Stage, identity_params, written
from harness.plan import CellPlan, Context, Plan, task_json
from harness.plan_ensemble import with_ensemble
from harness.plan_measure import add_measurements
from harness.plan_train import train_stage
from harness.specs import CompressorSpec, Params, RuntimeSpec, Spec, StudentSpec
from harness.suite.bind import bind
from harness.suite.types import (
    Cell,
    Chain,
    ChainStep,
    ModelConfig,
    StepConfig,
    Suite,
    TaskConfig,
    compressors,
    recoveries,
)


@dataclass(frozen=True)
class _Made:
    """A model that stands: where, and through which stages."""

    ref: Ref
    build: str
    train: tuple[str, ...]


@dataclass
class Planner:
    """Builds stages, each once. `_memo` keeps what cells share, so that 10,000 cells stay cheap."""

    suite: Suite
    context: Context
    stages: dict[str, Stage] = field(default_factory=dict)
    missing: dict[str, Missing] = field(default_factory=dict)
    _memo: dict[Any, Any] = field(default_factory=dict)

    def add(self, stage: Stage) -> Stage:
        """Register a stage; the same key twice is one stage."""
        return self.stages.setdefault(stage.key, stage)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Memoise by a hashable key."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    def libraries(self, spec: Spec, more: tuple[str, ...] = ()) -> dict[str, str]:
        """The versions that the spec says matter."""
        return {name: self.context.library_version(name) for name in (*spec.libraries, *more)}

    def component(self, kind: str, name: str) -> str:
        """The full name that goes into keys."""
        return self.context.registry.entry(kind, name).full_name

    # ---------------------------------------------------------------------------------------------------------- prepare

    def prepare(self, task: TaskConfig, data: str | None = None) -> Stage:
        """The task's data, or a transfer set."""
        return self.once(("prepare", id(task), data), lambda: self._prepare(task, data))  # type: ignore[no-any-return]

    def _prepare(self, task: TaskConfig, data: str | None) -> Stage:
        spec = self.context.registry.task(task.use)
        more = self.suite.data[data] if data else None
        source = (more.source if more else None) or task.source or spec.default_source
        if source is None:
            msg = f"task '{task.use}' has no data of its own: give task.source (a file, a folder, or hub:owner/name)"
            raise SuiteError(msg)
        folder = spec.offline_folder if source == spec.default_source else None
        asset = self.found(find_data(source, self.context.places, folder))
        roles = ["transfer"] if data else list(spec.roles)
        apart = [role for role in ("dev", "test") if more and role in spec.roles and role not in more.allow_overlap]
        own = self.prepare(task).key if apart else ""
        return self.add(
            Stage(
                kind="prepare",
                component=self.component("task", task.use),
                version=spec.version,
                params={**identity_params(spec, task.params, spec.scoring), "roles": roles},
                inputs={role: Ref(own, role) for role in apart},
                data={"source": asset.fingerprint if isinstance(asset, Asset) else f"missing:{source}"},
                libraries=self.libraries(spec, spec.libraries_for(task.params)),
                options={"task": task_json(task), "asset": _asset_json(asset), "data": data},
                label=f"prepare {data or task.use}",
            )
        )

    def found(self, asset: Asset | Missing) -> Asset | Missing:
        """Note what is missing; the plan goes on and says so."""
        if isinstance(asset, Missing):
            self.missing.setdefault(asset.what, asset)
        return asset

    # ------------------------------------------------------------------------------------------------------------ build

    def build(self, task: TaskConfig, model: ModelConfig, seed: int, *, as_it_is: bool = False) -> Stage:
        """The stored start of a model: every distiller, β and epoch shares it."""
        spec = self.context.registry.student(model.use)
        prepared = self.prepare(task)
        named = {n: str(v) for n in spec.assets if (v := getattr(model.params, n)) is not None}
        known = {n: v for n, v in named.items() if self._is_known(spec, v)}
        assets = {n: self._model_asset(v) for n, v in named.items() if n not in known}
        inputs = {"meta": Ref(prepared.key, "meta"), **self._init_inputs(task, model)}
        if known or spec.reads_text(model.params):
            inputs["data"] = Ref(prepared.key, "train")
        keep = {} if "keep" not in model.init else {"init.keep": model.init["keep"]}
        random = {"random_weights": True} if self.context.weights == "random" else {}
        head = self.context.registry.task(task.use).head
        lengths = {"max_length": task.max_length, **({"doc_stride": task.doc_stride} if head == "span" else {})}
        return self.add(
            Stage(
                kind="build",
                component=self.component("student", model.use),
                version=spec.version,
                params={
                    **identity_params(spec, model.params, frozenset(spec.assets)),
                    **{name: length for name, length in lengths.items() if length != 128},
                    **keep,
                    **random,
                    **({"as_it_is": True} if as_it_is else {}),
                },
                seed=seed,
                inputs=inputs,
                data={
                    **{n: a.fingerprint if isinstance(a, Asset) else f"missing:{a.what}" for n, a in assets.items()},
                    **{n: f"architecture:{v}" for n, v in known.items()},
                },
                libraries=self.libraries(spec),
                options={
                    "student": model.use,
                    "head": head,
                    "task": task_json(task),
                    "params": written(model.params),
                    "assets": {n: _asset_json(a) for n, a in assets.items()},
                    "lengths": {**lengths},
                },
                label=f"build {model.name} seed {seed}",
            )
        )

    def _is_known(self, spec: StudentSpec, name: str) -> bool:
        """Can random weights do without this checkpoint's files, and are they not here?"""
        if self.context.weights != "random" or name not in spec.architectures:
            return False
        return isinstance(find_model(name, self.context.places), Missing)

    def _model_asset(self, name: str) -> Asset | Missing:
        return self.found(self.once(("asset", name), lambda: find_model(name, self.context.places)))

    def _init_inputs(self, task: TaskConfig, model: ModelConfig) -> dict[str, Ref]:
        """Parts of other models; training changes no tokenizer, so whose it is need only be built."""
        named = {name: str(other) for name, other in model.init.items() if name != "keep"}
        return {f"init.{name}": self._part(task, name, other) for name, other in named.items()}

    def _part(self, task: TaskConfig, name: str, donor: str) -> Ref:
        if name == "tokenizer":
            return Ref(self.build(task, self.suite.models[donor], self.first_seed).key)
        return self.teacher(task, donor, donor=True).ref

    # ------------------------------------------------------------------------------------------------------------ train

    def teacher(self, task: TaskConfig, name: str, *, donor: bool = False) -> _Made:
        """A model as others learn from it, or take parts of it: with the first seed, whatever the cell's."""
        return self.model(task, self.suite.models[name], self.first_seed, None, donor=donor)

    @property
    def first_seed(self) -> int:
        """The seed of teachers and of measured artifacts."""
        return int(self.suite.axes["seed"][0])  # type: ignore[arg-type]

    def model(
        self, task: TaskConfig, model: ModelConfig, seed: int, epoch: int | None, *, donor: bool = False
    ) -> _Made:
        """Build, then every training step. What is not trained, and lends no parts, has to answer as it is."""
        as_it_is = not (model.train or donor or self.context.weights == "random")
        key = ("model", id(task), id(model), seed, epoch, as_it_is)
        return self.once(key, lambda: self._model(task, model, seed, epoch, as_it_is))  # type: ignore[no-any-return]

    def _model(self, task: TaskConfig, model: ModelConfig, seed: int, epoch: int | None, as_it_is: bool) -> _Made:
        start = self.build(task, model, seed, as_it_is=as_it_is)
        ref, trained = Ref(start.key), []
        if self.context.weights == "random":
            return _Made(ref, start.key, ())
        for number, step in enumerate(model.train):
            last = number == len(model.train) - 1
            stage = train_stage(self, task, model, step, ref, seed, epochs=self._epochs(model) if last else ())
            ref = Ref(stage.key, self._output(step, stage, epoch if last else None))
            trained.append(stage.key)
        return _Made(ref, start.key, tuple(trained))

    def _epochs(self, model: ModelConfig) -> tuple[int, ...]:
        wanted = self.suite.axes.get("epoch", ())
        cells = any(c["model"] == model.name and c["epoch"] is not None for c in self.suite.cells) if wanted else False
        return tuple(int(value) for value in wanted if value is not None) if cells else ()

    @staticmethod
    def _output(step: StepConfig, stage: Stage, epoch: int | None) -> str:
        return f"epoch-{epoch}" if epoch and stage.params.get("outputs") else step.loop.select

    def scoring(self, task: TaskConfig) -> dict[str, Any]:
        """What the data does not depend on, and scores do: params, and the way of scoring."""
        spec = self.context.registry.task(task.use)
        found = {name: value for name, value in identity_params(spec, task.params).items() if name in spec.scoring}
        return found if spec.scoring_version == 1 else {**found, "scoring_version": spec.scoring_version}

    # --------------------------------------------------------------------------------------------- compress and predict

    def compress(self, task: TaskConfig, made: Ref, step: ChainStep, label: str) -> Stage:
        """One compressor; it may read the training role, never another."""
        spec = self.context.registry.compressor(step.use)
        named = {n: str(v) for n in spec.assets if (v := getattr(step.params, n)) is not None}
        assets = {n: self._model_asset(v) for n, v in named.items()}
        return self.add(
            Stage(
                kind="compress",
                component=self.component("compressor", step.use),
                version=spec.version,
                params=identity_params(spec, step.params, frozenset(spec.assets)),
                data={n: a.fingerprint if isinstance(a, Asset) else f"missing:{a.what}" for n, a in assets.items()},
                inputs={"source": made, "data": Ref(self.prepare(task).key, "train")},
                libraries=self.libraries(spec),
                facets={"isa": self.context.machine["isa"]} if spec.isa_dependent else {},
                options={
                    "compressor": step.use,
                    "params": written(step.params),
                    "assets": {n: _asset_json(a) for n, a in assets.items()},
                    "task": task_json(task),
                },
                label=f"compress {label} with {step.use}",
            )
        )

    def predict(
        self,
        task: TaskConfig,
        artifact: Ref,
        chain: Chain,
        data: Ref,
        label: str,
        states: tuple[int, ...] = (),
    ) -> Stage:
        """What an artifact says about data, one by one where answers depend on batch mates; `states`: layers."""
        made = [self.context.registry.compressor(step.use) for step in compressors(chain)]
        specs: list[StudentSpec | CompressorSpec] = [self._student_of(artifact), *made]
        runtime = self.runtime(artifact, chain)
        one_by_one = any(spec.batch_dependent for spec in specs)
        return self.add(
            Stage(
                kind="predict",
                component=self.component("runtime", runtime.name),
                version=runtime.version,
                params={**({"batch": 1} if one_by_one else {}), **({"states": list(states)} if states else {})},
                inputs={"artifact": artifact, "data": data},
                libraries=self.libraries(runtime),
                facets={"isa": self.context.machine["isa"]} if any(spec.isa_dependent for spec in specs) else {},
                options={"task": task_json(task)},
                label=f"predict {label} on {data.output}",
            )
        )

    def runtime(self, artifact: Ref, chain: Chain) -> RuntimeSpec:
        """What loads the artifact at the end of a chain; training leaves its format as it is."""
        student, made = self._student_of(artifact), compressors(chain)
        format_ = self.context.registry.compressor(made[-1].use).produces if made else student.format
        return self.context.registry.runtime_for(format_)

    def _student_of(self, artifact: Ref) -> StudentSpec:
        stage = self.stages[artifact.key]
        while stage.kind != "build":
            stage = self.stages[stage.inputs["source" if stage.kind == "compress" else "start"].key]
        return self.context.registry.student(str(stage.options["student"]))

    # ------------------------------------------------------------------------------------------------------------ cells

    def cell(self, cell: Cell) -> CellPlan:
        """All stages of a cell except its measurement, which is made for groups."""
        planned = self.artifact(cell)
        if planned.artifact is None or self.context.weights == "random":
            return planned
        task, model = bind(self.suite, cell)
        test = Ref(self.prepare(task).key, "test")
        label = f"{model.name} {cell['compress']} seed {cell['seed']}"
        predicted = self.predict(task, planned.artifact, self.suite.chains[str(cell["compress"])], test, label)
        return replace(
            planned,
            predict=predicted.key,
            score=self.score(task, predicted, test).key,
            dev=self._dev(task, planned.artifact, cell, label),
        )

    def _dev(self, task: TaskConfig, artifact: Ref, cell: Cell, label: str) -> str | None:
        """The score on dev of a row that the suite chooses among."""
        select = self.suite.select
        if select is None or cell[select.axis] is None:
            return None
        dev = Ref(self.prepare(task).key, "dev")
        chain = self.suite.chains[str(cell["compress"])]
        return self.score(task, self.predict(task, artifact, chain, dev, label), dev).key

    def artifact(self, cell: Cell) -> CellPlan:
        """The stages up to what the cell ships; neither predictions nor a score."""
        task, model = bind(self.suite, cell)
        chain = self.suite.chains[str(cell["compress"])]
        reason = self._unsupported(task, model, chain)
        if reason:
            return CellPlan(cell=cell, skipped=reason)
        seed, epoch = int(cell["seed"] or 0), dict(cell.axes).get("epoch")
        made = self.model(task, model, seed, int(epoch) if epoch is not None else None)
        ref, trained, compressed = made.ref, list(made.train), []
        for step in chain:
            if isinstance(step, ChainStep):
                stage = self.compress(task, ref, step, f"{model.name} seed {seed}")
                ref = Ref(stage.key)
                compressed.append(stage.key)
            elif self.context.weights == "given":
                stage = train_stage(self, task, model, step, ref, seed, epochs=())
                ref = Ref(stage.key, step.loop.select)
                trained.append(stage.key)
        return CellPlan(cell=cell, build=made.build, train=tuple(trained), compress=tuple(compressed), artifact=ref)

    def _unsupported(self, task: TaskConfig, model: ModelConfig, chain: Chain) -> str | None:
        steps = (*model.train, *recoveries(chain))
        if reason := next((reason for step in steps for reason in self._untrainable(task, step)), None):
            return reason
        head, student = self.context.registry.task(task.use).head, self.context.registry.student(model.use).name
        before: list[Params] = []
        for link in compressors(chain):
            compressor: CompressorSpec = self.context.registry.compressor(link.use)
            try:
                reason = compressor.supports(student, head) or compressor.fits(link.params, model.params, before)
            except Exception as error:  # a plugin's own
                msg = f"'{link.use}' cannot say whether it takes '{student}': {error!r}; its plugin is at fault"
                raise PluginError(msg) from error
            if reason:
                return reason
            before.append(link.params)
        return None

    def _untrainable(self, task: TaskConfig, step: StepConfig) -> Iterator[str]:
        """Why nobody can learn so: the distiller does not fit the task, or one of the teachers cannot be trained."""
        spec, distiller = self.context.registry.task(task.use), self.context.registry.distiller(step.distil)
        if spec.head not in distiller.heads:
            yield f"'{step.distil}' does not know the head '{spec.head}'"
        if distiller.states(step.params) and len(step.teacher) > 1:
            yield f"'{step.distil}' compares states with those of one teacher, not of {len(step.teacher)}"
        if step.loop.ensemble != "mean" and not distiller.weighs_teachers:
            yield f"'{step.distil}' cannot weigh its teachers: remove ensemble = \"{step.loop.ensemble}\""
        if distiller.reads_critical and not spec.names_critical:
            yield f"'{step.distil}' is about critical types, and the task '{task.use}' names none"
        if reason := distiller.supports(step.params, spec.head, spec.classes(task.params)):
            yield f"'{step.distil}' {reason}"
        for name in step.teacher:
            if reason := self._unsupported(task, self.suite.models[name], ()):
                yield f"its teacher '{name}': {reason}"

    def score(self, task: TaskConfig, predicted: Stage, data: Ref) -> Stage:
        """Predictions against gold."""
        spec = self.context.registry.task(task.use)
        return self.add(
            Stage(
                kind="score",
                component=self.component("task", task.use),
                version=spec.version,
                params=self.scoring(task),
                inputs={"predictions": Ref(predicted.key), "data": data, "meta": Ref(data.key, "meta")},
                options={"task": task_json(task)},
                label=predicted.label.replace("predict", "score", 1),
            )
        )


def make_plan(
    suite: Suite, context: Context, selected: Sequence[Cell] | None = None, failed: frozenset[str] = frozenset()
) -> Plan:
    """Plan a suite, or the selected cells of it (the anchor is measured all the same).

    Rows that need one of the `failed` stages are left out of measurements. SuiteError for what cannot be planned;
    missing assets are listed, not raised.
    """
    planner = Planner(suite, context)
    cells = tuple(planner.cell(cell) for cell in (suite.cells if selected is None else selected))
    if "teachers" in suite.sections:
        cells = tuple(with_ensemble(planner, plan) for plan in cells)
    if suite.measure.speed and any(plan.artifact for plan in cells):
        cells = add_measurements(planner, cells, suite.measure.speed, failed)
    return Plan(suite=suite, cells=cells, stages=planner.stages, missing=tuple(planner.missing.values()))


def _asset_json(asset: Asset | Missing) -> dict[str, Any]:
    if isinstance(asset, Missing):
        return {"missing": str(asset)}
    root, path = str(asset.root.absolute()), str(asset.path.absolute())  # workers have a working folder of their own
    return {"origin": asset.origin, "root": root, "files": list(asset.files), "path": path}
