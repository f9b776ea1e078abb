"""The hook of `events`."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from harness import ObserverSpec, Params, hookimpl


class EventsParams(Params):
    """Options of `events`."""

    path: str = Field(description="file to append to; made, with its folders, where there is none")


@hookimpl
def harness_observers() -> Iterator[ObserverSpec]:
    """A run as a file."""
    yield ObserverSpec(
        name="events",
        summary="Appends what happens to a file as it happens, one JSON object a line",
        version=1,
        factory="harness_observers.events:Events",
        params=EventsParams,
    )
