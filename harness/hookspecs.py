"""The contract between the harness and its plugins.

A plugin is a module named in the entry-point group `harness`; its functions marked with `@harness.hookimpl` yield
frozen specs. The harness calls each hook once, after every entry point was loaded one at a time, sorts the results
by name, and refuses two providers of one name (the full name `distribution/name` still works). Yield specs only:
importing torch in the module that holds the hooks slows every `--help` of every user; name heavy code in `factory`.

What runs when: suite → `harness_tasks`, `harness_students`, `harness_distillers`, `harness_compressors`,
`harness_runtimes` (all at once, to check the suite's words) → plan (specs and params only) → stages, in workers:
`spec.factory` is imported and called there, and only there.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from harness.specs import CompressorSpec, DistillerSpec, RuntimeSpec, StudentSpec, TaskSpec

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")


@hookspec
def harness_tasks() -> Iterable[TaskSpec]:
    """Register tasks: data + head + decoding + metrics.

    The factory is called with the params and returns an object with the methods of `harness.Task`. `prepare` is called
    once per data set and params, in a worker; `samples`, `metrics` and `details` are called wherever a score is needed,
    without torch.

    Example::

        @hookimpl
        def harness_tasks():
            yield TaskSpec(
                name="my-topics", summary="News topics, 4 classes", version=1, head="sequence",
                metrics=(Metric(name="accuracy"),), factory="my_topics.task:Topics", params=TopicsParams,
            )
    """
    return ()


@hookspec
def harness_students() -> Iterable[StudentSpec]:
    """Register model families.

    `build` writes an artifact (config, safetensors, encoder files) for any head that the spec lists; `load` returns
    it as a transformers model. The encoder is imported alone in measured processes: keep torch out of its module.

    Example::

        @hookimpl
        def harness_students():
            yield StudentSpec(
                name="my-cnn", summary="Convolutions over WordPiece", version=1, heads=("sequence",),
                factory="my_cnn.model:Cnn", encoder="my_cnn.encoder:load", params=CnnParams,
            )
    """
    return ()


@hookspec
def harness_distillers() -> Iterable[DistillerSpec]:
    """Register losses that train a student from labels, stored teacher outputs, or both.

    Example::

        @hookimpl
        def harness_distillers():
            yield DistillerSpec(
                name="my-kd", summary="Jensen-Shannon instead of KL", version=1, heads=("sequence",),
                needs_teacher=True, factory="my_kd.loss:JensenShannon", params=MyParams,
            )
    """
    return ()


@hookspec
def harness_compressors() -> Iterable[CompressorSpec]:
    """Register steps that turn an artifact into a smaller or faster one.

    The plan joins steps into chains by `consumes` and `produces`; `compress` writes files and returns facts that
    prove its work. The core measures the output's distance from its source on a batch of training text.

    Example::

        @hookimpl
        def harness_compressors():
            yield CompressorSpec(
                name="my-int4", summary="4-bit blocks", version=1, consumes=("onnx",), produces="onnx",
                factory="my_int4.compress:Int4", params=Int4Params, isa_dependent=True,
            )
    """
    return ()


@hookspec
def harness_runtimes() -> Iterable[RuntimeSpec]:
    """Register what loads artifacts of a format and answers batches.

    Example::

        @hookimpl
        def harness_runtimes():
            yield RuntimeSpec(
                name="my-runtime", summary="…", version=1, formats=("my-format",), factory="my_runtime:Runtime",
            )
    """
    return ()
