"""The hook of `local` and `inline`."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from harness import ExecutorSpec, Params, hookimpl


class InlineParams(Params):
    """Options of `inline`."""

    post_mortem: bool = Field(False, description="open the debugger where a stage raised what no stage should")


@hookimpl
def harness_executors() -> Iterator[ExecutorSpec]:
    """Worker processes, and none."""
    yield ExecutorSpec(
        name="local",
        summary="Worker processes on this machine: one that dies takes its stage along, never the run",
        version=1,
        factory="harness:local_executor",
        keeps_limits=True,
    )
    yield ExecutorSpec(
        name="inline",
        summary="Each stage in this process, one at a time, no worker: for a debugger and breakpoints",
        version=1,
        factory="harness_executors.inline:Inline",
        params=InlineParams,
        interactive=True,
    )
