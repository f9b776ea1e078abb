"""`--rehearse`: the same suite with bundled samples, miniature models and a handful of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.errors import SuiteError
from harness.plugins import Registry
from harness.specs import Params
from harness.suite.types import ChainStep, DataConfig, EnergyConfig, ModelConfig, SpeedConfig, StepConfig, Suite

BATCH = 32  # on samples of about a hundred examples: a handful of steps per epoch
SPEED = SpeedConfig(inputs=4, blocks=6, turn_ms=5.0, batch_size=8)  # enough for every column to be filled
ENERGY = EnergyConfig(seconds=0.5)


def rehearsal(suite: Suite, registry: Registry) -> Suite:
    """Every cell of the suite, small; an axis of sizes is left unbound. SuiteError when its task has no sample."""
    task = registry.task(suite.task.use)
    if task.sample_source is None:
        msg = f"--rehearse: task '{task.name}' has no bundled sample, so there is nothing to rehearse on"
        raise SuiteError(msg)
    speed = suite.measure.speed and replace(SPEED, workloads=suite.measure.speed.workloads)
    return replace(
        suite,
        sets={axis: target for axis, target in suite.sets.items() if not target.startswith("model.")},
        task=replace(suite.task, source=task.sample_source, params=task.params()),
        data=dict.fromkeys(suite.data, DataConfig(task.sample_source, ("dev", "test"))),
        models={name: _miniature(model, registry) for name, model in suite.models.items()},
        chains={name: tuple(_short_link(link, registry) for link in chain) for name, chain in suite.chains.items()},
        measure=replace(suite.measure, speed=speed, energy=suite.measure.energy and ENERGY),
    )


def _miniature(model: ModelConfig, registry: Registry) -> ModelConfig:
    small = replace(model, train=tuple(_short(step, registry) for step in model.train))
    if "layers_of" in model.init:  # its sizes are those of the other model, whose miniature may have a single layer
        return replace(small, init={**model.init, "keep": [0]})
    return replace(small, params=_merged(model.params, registry.student(model.use).miniature))


def _short_link(link: ChainStep | StepConfig, registry: Registry) -> ChainStep | StepConfig:
    if isinstance(link, StepConfig):
        return _short(link, registry)
    return replace(link, params=_merged(link.params, registry.compressor(link.use).miniature))


def _short(step: StepConfig, registry: Registry) -> StepConfig:
    params = _merged(step.params, registry.distiller(step.distil).miniature)
    return replace(step, params=params, loop=_merged(step.loop, {"batch_size": BATCH, "max_steps": None}))


def _merged(params: Any, overrides: Mapping[str, Any]) -> Any:
    kept: dict[str, Any] = params.model_dump(mode="python", exclude_unset=True) | dict(overrides)
    kind: type[Params] = type(params)
    return kind(**{name: value for name, value in kept.items() if value is not None})
