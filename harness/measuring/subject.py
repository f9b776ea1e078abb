"""A process that is measured: `python -m harness.measuring.subject`, JSON lines in, JSON lines out.

The first line describes the subject, the others are requests; each gets one reply. It runs only while it is asked: the
parent stops it in between, and the kernel kills it when the parent is gone. Little is imported before the clock of the
cold start ends, and nothing of models at all: the description names what opens one.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from harness.lifeline import die_with_parent
from harness.measuring.memory import peak_mib

if TYPE_CHECKING:
    from harness.measuring.timer import Answerer
    from harness.specs import Example


class SubjectLoop:
    """An opened subject and what it does when asked."""

    def __init__(self, description: dict[str, Any]) -> None:
        lines = Path(description["examples"]).read_text(encoding="utf-8").split("\n")
        read: list[Example] = [json.loads(line) for line in lines if line]
        start = time.perf_counter_ns()
        self.answerer: Answerer = pkgutil.resolve_name(description["answerer"])(description)
        self.load_ms = (time.perf_counter_ns() - start) / 1e6
        from harness.specs import AHEAD  # only now: its imports belong to what loading takes

        self.examples = [{name: value for name, value in one.items() if name != AHEAD} for one in read]

    def opened(self) -> dict[str, Any]:
        """The reply to the description: time to import and load what answers, and the memory peak by then."""
        return {"load_ms": self.load_ms, "loaded_mib": peak_mib()}

    def first(self) -> dict[str, Any]:
        """Answer the first example, cold."""
        start = time.perf_counter_ns()
        windows = self.answerer.encode(self.examples[:1])
        said = self.answerer.read(windows, self.answerer.forward(self.answerer.collate(windows)))
        self.answerer.answer(self.examples[:1], windows, said)
        elapsed = time.perf_counter_ns() - start
        gc.collect()
        gc.freeze()  # what was loaded is not looked through again by the collection that precedes each turn
        return {"first_answer_ms": elapsed / 1e6}

    def turn(self, draw: list[int], batch_size: int | None, least_ms: float, hashed: bool = False) -> dict[str, Any]:
        """One turn over the drawn examples: see `timer.run_turn`."""
        from harness.measuring.timer import run_turn

        return run_turn(self.answerer, [self.examples[i] for i in draw], batch_size, least_ms, hashed)

    def fixed(self, draw: list[int], **batch: Any) -> dict[str, Any]:
        """One repeat of the one batch: see `timer.run_fixed`."""
        from harness.measuring.timer import run_fixed

        return run_fixed(self.answerer, [self.examples[i] for i in draw], **batch)

    def work(self, draw: list[int], least_ms: float) -> dict[str, Any]:
        """Answer while energy is counted: see `timer.run_work`."""
        from harness.measuring.timer import run_work

        return run_work(self.answerer, [self.examples[i] for i in draw], least_ms)

    def finish(self) -> dict[str, Any]:
        """The memory peak after all that is timed."""
        return {"peak_mib": peak_mib()}


def serve(requests: TextIO, replies: TextIO) -> None:
    """Reply to each line until there are no more; an exception is the last reply and ends the process."""
    try:
        loop = SubjectLoop(json.loads(requests.readline()))
        _reply(replies, loop.opened())
        for line in requests:
            request = json.loads(line)
            _reply(replies, getattr(loop, request.pop("do"))(**request))
    except Exception as error:
        traceback.print_exc()
        _reply(replies, {"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


def _reply(replies: TextIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def main() -> None:
    """Take the pipes away from everybody else: what a library prints must not end up between replies."""
    die_with_parent(int(sys.argv[1]))
    with os.fdopen(os.dup(0), encoding="utf-8") as requests, os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        serve(requests, replies)


if __name__ == "__main__":
    main()
