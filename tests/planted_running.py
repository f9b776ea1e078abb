"""Executors, reporters and observers that each break one promise; see `planted`."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

from harness import ExecutorSpec, ObserverSpec, ReporterSpec
from harness_executors.inline import Inline
from harness_reporters.files import Csv


def executor(work: str) -> ExecutorSpec:
    """The spec of one of them."""
    return ExecutorSpec(name="planted", summary="This process", version=1, factory=f"planted_running:{work}")


def reporter(work: str) -> ReporterSpec:
    """The spec of one of them."""
    return ReporterSpec(name="planted", summary="A file", version=1, factory=f"planted_running:{work}")


def observer(work: str) -> ObserverSpec:
    """The spec of one of them."""
    return ObserverSpec(name="planted", summary="Looks on", version=1, factory=f"planted_running:{work}")


class Executor(Inline):
    def __init__(self, request):
        super().__init__(replace(request, params=SimpleNamespace(post_mortem=False)))


class Lying(Executor):
    """Says that a stage is done, and runs it elsewhere."""

    def wait(self, timeout):
        done = super().wait(timeout)
        for event in done:
            self.request.store.discard(event.key)
        return done


class Raising(Executor):
    def wait(self, timeout):
        events = super().wait(timeout)
        for event in events:
            if event.kind == "failed":
                msg = f"a worker died: {event.reason}"
                raise RuntimeError(msg)
        return events


class Full(Executor):
    def close(self):
        self.closed = getattr(self, "closed", 0) + 1
        if self.closed > 1:
            msg = "closed already"
            raise RuntimeError(msg)


class Elsewhere(Csv):
    def files(self, report, name):
        return {f"../{key}": value for key, value in super().files(report, name).items()}


class Dated(Csv):
    def files(self, report, name):
        return {key: f"{value}{time.monotonic_ns()}" for key, value in super().files(report, name).items()}


class Raw(Csv):
    def files(self, report, name):
        return {key: f"{value}{report.run['suite']['title']}" for key, value in super().files(report, name).items()}


def heavy(params):
    import torch  # noqa: F401

    return Csv(params)


class Watcher:
    def __init__(self, params):
        self.seen = []

    def notice(self, notice):
        self.seen.append(notice)


class Strict(Watcher):
    def notice(self, notice):
        notice.reason.encode()


class Meddling(Watcher):
    def notice(self, notice):
        notice.facts["seen"] = True


class Lingering(Watcher):
    def notice(self, notice):
        if notice.what == "run-finished":
            threading.Thread(target=time.sleep, args=(2,)).start()


def heavy_watcher(params):
    import torch  # noqa: F401

    return Watcher(params)
