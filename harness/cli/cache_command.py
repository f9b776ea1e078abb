"""`harness cache`."""

from __future__ import annotations

import functools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.common import open_store, talk
from harness.errors import HarnessError, NothingSelected, printable
from harness.estimate import duration
from harness.measuring.machine import detect, versions
from harness.plugins import load_registry
from harness.records import SUFFIX, scan
from harness.store import Store, unused

if TYPE_CHECKING:
    from harness.verifying import Amount, Verdict

YOUNG = 3600.0  # seconds; what is younger may belong to a run that goes on
PATIENCE = 2.0  # seconds without a word


@click.group(
    name="cache",
    epilog="""\b
Examples:
  harness cache ls
  harness cache verify --recompute 1%
  harness cache gc --dry-run""",
)
def command() -> None:
    """Look after the store: what is in it, whether it is sound, what nobody needs."""


@command.command(
    epilog="""\b
Example:
  harness cache ls --json"""
)
@click.option("--json", "as_json", is_flag=True)
def ls(as_json: bool) -> int:
    """List the entries with their size and what they cost to make."""
    entries = list(open_store().entries())
    if as_json:
        facts = [{"key": e.key, "label": e.manifest["label"], "bytes": e.bytes, "seconds": e.seconds} for e in entries]
        click.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return 0
    for entry in entries:
        size = f"{entry.bytes / 2**20:8.1f} MiB"
        click.echo(f"{entry.key[:12]}  {size}  {duration(entry.seconds):>12}  {entry.manifest['label']}")
    total = sum(entry.bytes for entry in entries) / 2**20
    seconds = sum(entry.seconds for entry in entries if not entry.is_shard)  # which stand in what they became
    talk(f"{len(entries)} entries, {total:.0f} MiB, {duration(seconds)} of work")
    return 0


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
    store, slow = open_store(), _Slow()
    keys = [folder.name for folder in sorted(store.objects.glob("??/*"))]
    problems = {}
    for number, key in enumerate(keys):
        slow(f"{number} of {len(keys)} entries")
        if problem := store.verify(key):
            problems[key] = problem
            click.echo(f"{key[:12]}  {problem}")
    talk(f"{len(keys)} entries, {len(problems)} damaged" + ("; the next run makes them again" if problems else ""))
    code = 0 if amount is None else _recompute(store, frozenset(problems), amount, seed, slow)
    return 1 if problems else code


def _recompute(store: Store, damaged: frozenset[str], amount: Amount, seed: int, slow: _Slow) -> int:
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


@dataclass
class _Slow:
    """Says every two seconds what goes on."""

    what: str = ""
    said: float = field(default_factory=time.monotonic)

    def __call__(self, progress: str) -> None:
        if time.monotonic() - self.said > PATIENCE:
            self.said = time.monotonic()
            talk(f"… {self.what}  {progress}")


@command.command(
    short_help="Remove entries that no record refers to, and what killed stages left.",
    epilog="""\b
Example:
  harness cache gc --dry-run --reports reports""",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True)
def gc(dry_run: bool, reports: Path) -> int:
    """Remove entries older than an hour that no record in the reports folder refers to, and what killed stages left."""
    store = open_store()
    if not (store.root / "CACHEDIR.TAG").exists():
        msg = f"{store.root} is not a store (no CACHEDIR.TAG): nothing is removed"
        raise HarnessError(msg)
    keep = _referred(reports)
    if not keep:
        msg = f"no record in {reports} refers to anything: every entry would go. Name the folder of your reports"
        raise HarnessError(msg)
    entries = [entry for entry in unused(store, lambda key: key in keep) if _old(entry.folder)]
    for entry in entries:
        click.echo(f"{'would remove' if dry_run else 'removed'}  {entry.key[:12]}  {entry.manifest['label']}")
        if not dry_run:
            store.discard(entry.key)
    if not dry_run:
        _sweep(store)
    talk(f"{len(entries)} entries, {sum(e.bytes for e in entries) / 2**20:.0f} MiB")
    return 0


def _referred(reports: Path) -> set[str]:
    keys: set[str] = set()
    for path in sorted(reports.glob(f"*{SUFFIX}")):
        for line in scan(path):
            if line.kind == "cell":
                keys |= set(line.document["ancestors"])
    return keys


def _sweep(store: Store) -> None:
    import shutil

    for folder in (store.staging, store.scratch):
        for left in folder.glob("*"):
            if _old(left):
                shutil.rmtree(left, ignore_errors=True)


def _old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > YOUNG
