"""`harness cache`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from harness.cli.common import open_store, talk
from harness.errors import HarnessError
from harness.estimate import duration
from harness.records import read_records
from harness.store import Store, unused

YOUNG = 3600.0  # seconds; what is younger may belong to a run that goes on


@click.group(
    name="cache",
    epilog="""\b
Examples:
  harness cache ls
  harness cache verify
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
    talk(f"{len(entries)} entries, {total:.0f} MiB, {duration(sum(e.seconds for e in entries))} of work")
    return 0


@command.command(
    epilog="""\b
Example:
  harness cache verify"""
)
def verify() -> int:
    """Compare every file of every entry with its recorded size and hash; exit 1 when one differs."""
    store = open_store()
    keys = [folder.name for folder in sorted(store.objects.glob("??/*"))]
    problems = {key: problem for key in keys if (problem := store.verify(key))}
    for key, problem in problems.items():
        click.echo(f"{key[:12]}  {problem}")
    talk(f"{len(keys)} entries, {len(problems)} damaged" + ("; the next run makes them again" if problems else ""))
    return 1 if problems else 0


@command.command(
    epilog="""\b
Example:
  harness cache gc --dry-run --reports reports"""
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
    for path in sorted(reports.glob("*.records.jsonl")):
        for cell in read_records(path).cells:
            keys |= set(cell["ancestors"])
    return keys


def _sweep(store: Store) -> None:
    import shutil

    for folder in (store.staging, store.scratch):
        for left in folder.glob("*"):
            if _old(left):
                shutil.rmtree(left, ignore_errors=True)


def _old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > YOUNG
