"""Hooks of the toy plugin."""

from __future__ import annotations

from harness import (
    CompressorSpec,
    Metric,
    Params,
    RuntimeSpec,
    StudentSpec,
    TaskSpec,
    hookimpl,
)


class ToyTaskParams(Params):
    """Nothing but a size, and how much work there is: rounds of an empty loop."""

    examples: int = 24
    rounds: int = 0


class ToyStudentParams(Params):
    """How biased the toy is, and how slow."""

    bias: float = 0.0
    noise: float = 0.1


class SlowParams(Params):
    """For how many seconds, and how many processes do so meanwhile."""

    seconds: float = 0.2
    processes: int = 1


class TroubleParams(Params):
    """What goes wrong, once the file named by `fuse` exists (always, without one)."""

    how: str = "raise"
    fuse: str = ""


@hookimpl
def harness_tasks():
    yield TaskSpec(
        name="toy", summary="Letters a and b, 2 classes", version=1, head="sequence", params=ToyTaskParams,
        metrics=(Metric(name="accuracy"),), factory="toy_harness.toy:ToyTask", default_source="bundled:toy_harness/data",
        sample_source="bundled:toy_harness/data",
    )  # fmt: skip


@hookimpl
def harness_students():
    yield StudentSpec(
        name="toy", summary="Counts letters", version=1, heads=("sequence",), params=ToyStudentParams, format="toy",
        factory="toy_harness.toy:ToyStudent", encoder="toy_harness.toy:ToyEncoder", trainable=False,
    )  # fmt: skip


@hookimpl
def harness_compressors():
    yield CompressorSpec(
        name="toy-round", summary="Rounds weights", version=1, consumes=("toy",), produces="toy",
        factory="toy_harness.toy:Round",
    )  # fmt: skip
    yield CompressorSpec(
        name="toy-trouble", summary="Fails in a chosen way", version=1, consumes=("toy",), produces="toy",
        factory="toy_harness.toy:Trouble", params=TroubleParams,
    )  # fmt: skip
    yield CompressorSpec(
        name="toy-slow", summary="Sleeps, and so does a process that it starts", version=1, consumes=("toy",),
        produces="toy", factory="toy_harness.toy:Slow", params=SlowParams,
    )  # fmt: skip
    yield CompressorSpec(
        name="toy-elsewhere", summary="Needs what no machine has", version=1, consumes=("toy",), produces="toy",
        factory="toy_harness.toy:Round", supports=lambda student, head: "needs a toy machine",
    )  # fmt: skip
    yield CompressorSpec(
        name="toy-hostile", summary="Does what no plugin should", version=1, consumes=("toy",), produces="toy",
        factory="toy_harness.hostile:Hostile", params=TroubleParams,
    )  # fmt: skip


@hookimpl
def harness_runtimes():
    yield RuntimeSpec(name="toy", summary="numpy", version=1, formats=("toy",), factory="toy_harness.toy:ToyRuntime")
