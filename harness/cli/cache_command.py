"""`harness cache`."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli.cache_gc import gc
from harness.cli.cache_ls import ls
from harness.cli.cache_who import who as at_work
from harness.cli.common import Slow, existing_store, talk
from harness.errors import NothingSelected, StoreError, printable
from harness.measuring.machine import detect, versions
from harness.plugins import load_registry
from harness.store import MISSING, Store

if TYPE_CHECKING:
    from harness.verifying import Amount, Verdict


@click.group(
    name="cache",
    epilog="""\b
Examples:
  harness cache ls
  harness cache verify --recompute 1%
  harness cache gc --dry-run
  harness cache who""",
)
def command() -> None:
    """Look after the store: what is in it, whether it is sound, what nobody needs, who works on it."""


command.add_command(ls)
command.add_command(gc)
command.add_command(at_work)


@command.command(
    short_help="Compare every stored file with its hash; with --recompute, answers with new ones.",
    epilog="""\b
Examples:
  harness cache verify
  harness cache verify --recompute 1%
  harness cache verify --recompute 20 --seed 7""",
)
@click.option(
    "--recompute", metavar="SHARE|NUMBER", help="Also answer so many examples of each predict entry anew: 1%, or 20."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws those examples.")
def verify(recompute: str | None, seed: int) -> int:
    """Compare every file of every entry with its recorded size and hash; exit 1 when one differs.

    With --recompute, stored predictions are also compared with what the stored artifacts say now about the stored
    data: exit 1 when they differ, 5 when there is nothing to compare.
    """
    from harness.verifying import read_amount

    amount = None if recompute is None else read_amount(recompute)
    store, slow = existing_store(), Slow()
    keys = [folder.name for folder in sorted(store.objects.glob("??/*"))]
    problems = {}
    for number, (key, problem) in enumerate(store.looked_at(keys, functools.partial(_problem, store))):
        slow(f"{number} of {len(keys)} entries")
        if problem:
            problems[key] = problem
            click.echo(printable(f"{key[:12]}  {problem}"))
    talk(f"{len(keys)} entries, {len(problems)} damaged" + ("; the next run makes them again" if problems else ""))
    code = 0 if amount is None else _recompute(store, frozenset(problems), amount, seed, slow)
    return 1 if problems else code


def _problem(store: Store, key: str) -> str | None:
    """What is wrong with an entry; None: nothing. One that another process has removed meanwhile is not wrong."""
    try:
        problem = store.verify(key)
    except StoreError as error:  # which hides nothing about the others
        return str(error)
    return None if problem == MISSING else problem


def _recompute(store: Store, damaged: frozenset[str], amount: Amount, seed: int, slow: Slow) -> int:
    """A line per predict entry that is not damaged; the exit code."""
    from harness.verifying import Here, predictions, recompute

    registry = load_registry()
    for who, why in registry.broken.items():
        talk(f"warning: plugin '{who}' failed to load: {why}")
    version = functools.cache(lambda name: versions([name])[name])
    here = Here(store=store, registry=registry, machine={"isa": detect().isa}, library_version=version, damaged=damaged)
    entries = [entry for entry in predictions(store) if entry.key not in damaged]
    verdicts = []
    for number, entry in enumerate(entries, start=1):
        label = str(entry.manifest["label"])
        slow.what = f"[{number}/{len(entries)}] {label}"
        verdict = recompute(entry, here, amount, seed, lambda done, total: slow(f"window {done} of {total}"))
        click.echo(printable(f"{verdict.status:11}  {entry.key[:12]}  {label}: {_found(verdict)}"))
        verdicts.append(verdict)
    return _summed(verdicts)


def _found(verdict: Verdict) -> str:
    if not verdict.checked:
        return verdict.reason
    compared = f"{verdict.checked} of {verdict.examples} examples, largest difference {verdict.difference:.2g}"
    return f"{compared}; {verdict.reason}" if verdict.reason else compared


def _summed(verdicts: Sequence[Verdict]) -> int:
    """Say what was found; 1 when something differs or fails, 5 when nothing was compared."""
    from harness.verifying import STATES, TOLERANCE

    counts = Counter(verdict.status for verdict in verdicts)
    listed = ", ".join(f"{counts[status]} {status}" for status in ("ok", "DIFFERS", "FAILED", "not checked"))
    rounding = f"differences up to {TOLERANCE:g} are rounding, of hidden states up to {STATES:g} of the largest"
    talk(f"{len(verdicts)} predict entries: {listed}; {rounding}")
    if counts["DIFFERS"] or counts["FAILED"]:
        return 1
    if counts["ok"]:
        return 0
    talk("nothing could be compared; run a suite first, with the versions that are installed now")
    return NothingSelected.exit_code
