"""`--shards`: which predict stages of a plan run in shards, and what a person is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import click

from harness.errors import printable
from harness.estimate import costs
from harness.keys import Stage
from harness.plan import Plan
from harness.sharding import Division, worthwhile
from harness.store import Store, write_atomic

MOST = 256
SHOWN = 10  # divisions that are listed
_NOTE = "shards.json"  # beside what else a killed stage resumes from


def _wish(text: str) -> int | None:
    """`auto` → None, `off` → 1, a number. BadParameter for anything else."""
    if text in ("auto", "off"):
        return None if text == "auto" else 1
    if text.isdecimal() and 1 <= int(text) <= MOST:
        return int(text)
    msg = f"{text!r}: expected auto, off, or how many, from 1 to {MOST}"
    raise click.BadParameter(msg)


option = click.option(
    "--shards",
    metavar="N|auto|off",
    callback=lambda _, __, text: _wish(text),
    default="auto",
    show_default=True,
    help="Answer each data set as so many stages at once, which are merged; 'auto': where workers would be idle and "
    "earlier runs say that it pays. Results are the same.",
)


def divided(plan: Plan, store: Store, wished: int | None, capacity: Callable[[], int]) -> list[Division]:
    """Which predict stages that are to run are sharded. `wished`: into how many; None: where it pays.

    `capacity` is asked only where it matters, for an executor is made then. What another run has begun in shards goes
    on with these.
    """
    predictions = [stage for stage in plan.stages.values() if stage.kind == "predict"]
    asked = [stage for stage in predictions if wished != 1 and not store.entry(stage.key)]
    if not asked:
        return []
    found = costs([stage for stage in plan.stages.values() if not store.entry(stage.key)], store)
    if wished:
        counts: Mapping[str, int] = {stage.key: wished for stage in asked}
    else:
        begun = {stage.key: count for stage in asked if (count := _begun(stage, store))}
        counts = {**worthwhile(plan, found, capacity()), **begun}
    return [Division(stage, counts[stage.key], found.get(stage.key)) for stage in asked if counts.get(stage.key, 1) > 1]


def note(divisions: Sequence[Division], store: Store) -> None:
    """Let whoever goes on with this run know: with other numbers, finished shards would be of no use."""
    for one in divisions:
        write_atomic(store.scratch / one.stage.key / _NOTE, json.dumps(one.count))


def _begun(stage: Stage, store: Store) -> int | None:
    try:
        found = json.loads((store.scratch / stage.key / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # somebody else on a shared store may have written it
        return None
    return found if isinstance(found, int) and 1 < found <= MOST else None


def lines(divisions: Sequence[Division]) -> list[str]:
    """`4 shards  predict teacher none seed 1 on train: about 12 min → 3 min`."""
    rest = len(divisions) - SHOWN
    shown = [printable(str(one)) for one in divisions[:SHOWN]]
    return [*shown, f"… and {rest} more in shards"] if rest > 0 else shown
