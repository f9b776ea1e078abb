"""Which trainings a plan needs, and what comes before each: predictions of its teachers, and a judgement of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.keys import Ref, Stage, identity_params, written
from harness.plan import task_json
from harness.specs import DistillerSpec
from harness.suite.types import ModelConfig, StepConfig, TaskConfig

if TYPE_CHECKING:
    from harness.planner import Planner


def train_stage(
    planner: Planner,
    task: TaskConfig,
    model: ModelConfig,
    step: StepConfig,
    start: Ref,
    seed: int,
    epochs: tuple[int, ...],
) -> Stage:
    """One training step: what its teachers say comes first, and that they have something to say."""
    step = _reduced(planner, step)
    spec = planner.context.registry.distiller(step.distil)
    prepared = planner.prepare(task)
    data = Ref(planner.prepare(task, step.on).key, "transfer") if step.on else Ref(prepared.key, "train")
    inputs = {"start": start, "data": data, "dev": Ref(prepared.key, "dev"), "meta": Ref(prepared.key, "meta")}
    taught = [planner.teacher(task, name).ref for name in step.teacher]
    states = tuple(sorted({theirs for _, theirs in spec.states(step.params)}))
    for number, (name, ref) in enumerate(zip(step.teacher, taught, strict=True)):
        inputs[f"teacher.{number}"] = Ref(planner.predict(task, ref, (), data, name, states).key)
    loop = step.loop.model_dump(mode="json", exclude_defaults=True)
    return planner.add(
        Stage(
            kind="train",
            component=planner.component("distiller", step.distil),
            version=spec.version,
            params={
                **identity_params(spec, step.params),
                **({"loop": loop} if loop else {}),
                **({"task": critical} if (critical := _critical(planner, task, spec, step)) else {}),
                **({"masked": True} if _masked(planner, start) else {}),
                **({"outputs": [*(f"epoch-{n}" for n in sorted(epochs)), step.loop.select]} if epochs else {}),
            },
            seed=seed,
            inputs=inputs,
            libraries={**planner.libraries(spec), "torch": planner.context.library_version("torch")},
            options={
                "distiller": step.distil,
                "params": written(step.params),
                "loop": step.loop.model_dump(mode="json"),
                "task": task_json(task),
            },
            label=f"train {model.name}{'' if step.name == 'train' else '.' + step.name} seed {seed}",
            after=tuple(_floor(planner, task, name, ref).key for name, ref in zip(step.teacher, taught, strict=True))
            if planner.context.floors
            else (),
        )
    )


def _masked(planner: Planner, start: Ref) -> bool:
    """Did a compressor on the way to this artifact leave zeros that are to stay?"""
    stage = planner.stages[start.key]
    while stage.kind != "build":
        if stage.kind == "compress":
            spec = planner.context.registry.compressor(stage.options["compressor"])
            if spec.masks(spec.params(**stage.options["params"])):
                return True
        stage = planner.stages[stage.inputs["source" if stage.kind == "compress" else "start"].key]
    return False


def _reduced(planner: Planner, step: StepConfig) -> StepConfig:
    """The same step by the distiller that it amounts to: a sweep's zero is trained once."""
    reduced = planner.context.registry.distiller(step.distil).reduces_to(step.params)
    if reduced is None:
        return step
    name, params = reduced
    return replace(step, distil=name, params=planner.context.registry.distiller(name).params(**params))


def _critical(planner: Planner, task: TaskConfig, distiller: DistillerSpec, step: StepConfig) -> dict[str, Any]:
    """Which epoch is best may depend on what scores read, too."""
    return planner.scoring(task) if distiller.reads_critical or step.loop.select == "best" else {}


def _floor(planner: Planner, task: TaskConfig, name: str, teacher: Ref) -> Stage:
    """A teacher that learned nothing teaches nobody: judged on dev, before any student is trained."""
    dev = Ref(planner.prepare(task).key, "dev")
    score = planner.score(task, planner.predict(task, teacher, (), dev, name), dev)
    return planner.add(
        Stage(
            kind="floor",
            component=planner.component("task", task.use),
            version=planner.context.registry.task(task.use).version,
            inputs={"score": Ref(score.key), "data": dev, "meta": Ref(dev.key, "meta")},
            options={"task": task_json(task), "teacher": name},
            label=f"judge {name} as a teacher",
        )
    )
