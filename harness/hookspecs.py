"""The contract between the harness and its plugins.

A plugin is a module named in the entry-point group `harness`; its functions marked with `@harness.hookimpl` yield
frozen specs. The harness calls each hook once, after every entry point was loaded one at a time, sorts the results
by name, and refuses two providers of one name (the full name `distribution/name` still works). Yield specs only:
importing torch in the module that holds the hooks slows every `--help` of every user; name heavy code in `factory`.

What runs when: suite → `harness_tasks`, `harness_students`, `harness_distillers`, `harness_compressors`,
`harness_runtimes` (all at once, to check the suite's words) → plan (specs and params only) → stages, in workers:
`spec.factory` is imported and called there, and only there. Executors, reporters and observers are chosen on the
command line (`--executor`, `--format`, `--observe`) and decide no result: they are part of no key.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from harness.specs import (
    CompressorSpec,
    DistillerSpec,
    ExecutorSpec,
    ObserverSpec,
    ReporterSpec,
    RuntimeSpec,
    StudentSpec,
    TaskSpec,
)

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


@hookspec
def harness_executors() -> Iterable[ExecutorSpec]:
    """Register somewhere to run stages: `harness run --executor NAME`.

    The factory is called with an `ExecutorRequest` and returns an object with the methods of `harness.Executor`. The
    runner owns the order: it submits a stage when its inputs are in the store, never more at once than `capacity`,
    which is read anew each time and may change. A stage is plain JSON (`Stage.as_json`, `stage_from_json`), so any
    process that has the same plugins and the store can run it with `harness.run_stage`; its key is how it is spoken of
    afterwards. A worker that dies is a `failed` event of its stage, never an exception: what is raised, or reported of
    stages that it was not given, ends the run.

    Example::

        class Queue:
            def __init__(self, request):
                self.request, self.capacity, self.running = request, request.capacity, []

            def submit(self, stage):
                job = my_queue.submit(run_stage, stage, self.request.store, self.request.threads)
                self.running.append(job)

            def wait(self, timeout):
                return my_queue.finished(self.running, timeout)

            def close(self):
                my_queue.cancel(self.running)

        @hookimpl
        def harness_executors():
            yield ExecutorSpec(name="my-queue", summary="Our cluster's queue", version=1, factory="my_queue.run:Queue")
    """
    return ()


@hookspec
def harness_reporters() -> Iterable[ReporterSpec]:
    """Register what turns a report into files: `harness report RECORD --format NAME`.

    The factory is called with the params and returns an object with the method of `harness.Reporter`. A `Report` is
    frozen values: `harness.main_table` gives its main table as cells of text, `harness.json_report` all of it as plain
    JSON. A reporter returns contents; where they are written is not its business. Light commands import it: no torch.

    Example::

        class Sizes:
            def __init__(self, params):
                self.params = params

            def files(self, report, name):
                rows = [[row.label, row.size.model_mib] for row in report.rows]
                return {f"{name}.sizes.json": json.dumps(rows, default=str)}

        @hookimpl
        def harness_reporters():
            yield ReporterSpec(name="sizes", summary="Model sizes as JSON", version=1, factory="my_sizes.files:Sizes")
    """
    return ()


@hookspec
def harness_observers() -> Iterable[ObserverSpec]:
    """Register who is told what happens in a run: `harness run --observe NAME`. None is told unasked.

    The factory is called with the params, in the thread in which the observer is told everything afterwards. An
    observer decides nothing. One that raises is dropped, and one that is slow costs a run five seconds at most before
    it is; both are said once, by name. It shares the run's process: keep away from stdout, which is data.

    Example::

        class Bell:
            def __init__(self, params):
                self.params = params

            def notice(self, notice):
                if notice.what == "run-finished":
                    my_chat.send(f"{notice.label}: {notice.status} after {notice.seconds:.0f} s")

        @hookimpl
        def harness_observers():
            yield ObserverSpec(name="bell", summary="Says when it is over", version=1, factory="my_bell.chat:Bell")
    """
    return ()
