"""`harness cache ls`."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click

from harness.cli.common import existing_store, talk
from harness.errors import printable
from harness.estimate import duration
from harness.keeping import notes
from harness.store import Entry, Store

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Row:
    """An entry and what it cost."""

    entry: Entry
    age: float  # seconds since it was made
    records: int  # that refer to it, and runs that need it

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        manifest = self.entry.manifest
        named = {name: manifest[name] for name in ("label", "kind", "component", "finished")}
        figures = {"bytes": self.entry.bytes, "seconds": self.entry.seconds, "age_seconds": round(self.age)}
        return {"key": self.entry.key, **named, **figures, "records": self.records}

    def __str__(self) -> str:
        size, cost = f"{self.entry.bytes / MIB:9.1f} MiB", f"{duration(self.entry.seconds):>12}"
        kept = f"{self.records} {'record' if self.records == 1 else 'records'}" if self.records else "-"
        line = f"{self.entry.key[:12]}  {size}  {cost}  {duration(self.age):>12}  {kept:>10}  "
        return printable(line + str(self.entry.manifest["label"]))


_ORDERS = {
    "size": lambda row: -row.entry.bytes,
    "time": lambda row: -row.entry.seconds,
    "age": lambda row: -row.age,
    "key": lambda row: row.entry.key,
}


@click.command(
    short_help="List the entries: size, cost, age, who refers to them.",
    epilog="""\b
Examples:
  harness cache ls --sort size
  harness cache ls --json""",
)
@click.option("--sort", type=click.Choice([*_ORDERS]), default="key", show_default=True, help="Most first.")
@click.option("--json", "as_json", is_flag=True)
def ls(sort: str, as_json: bool) -> int:
    """List the entries: size, what they cost to make, age, how many records refer to them; then the same by kind."""
    rows = sorted(_rows(existing_store()), key=_ORDERS[sort])
    if as_json:
        click.echo(json.dumps([row.as_json() for row in rows], ensure_ascii=False, indent=1))
        return 0
    if rows:
        click.echo("\n".join(map(str, rows)))
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[str(row.entry.manifest["kind"])].append(row)
    for kind, some in sorted(kinds.items()):
        talk(f"{_sum(some)}: {kind}")
    talk(f"{_sum(rows)}; {sum(not row.records for row in rows)} of them no record refers to")
    return 0


def _rows(store: Store) -> Iterable[Row]:
    kept = Counter(key for note in notes(store) for key in note.keys)
    now = time.time()
    for entry in store.entries():
        yield Row(entry=entry, age=max(0.0, now - entry.folder.stat().st_mtime), records=kept[entry.key])


def _sum(rows: Iterable[Row]) -> str:
    entries = [row.entry for row in rows]
    size = sum(entry.bytes for entry in entries) / MIB
    seconds = sum(entry.seconds for entry in entries if not entry.is_shard)  # which stand in what they became
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}, {size:,.0f} MiB, {duration(seconds)} of work"
