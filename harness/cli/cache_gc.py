"""`harness cache gc`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from harness.cli.common import Slow, open_store, talk
from harness.collecting import YOUNG, Found, Kept, Removal, kept, remove, sweep, unneeded
from harness.errors import HarnessError, SuiteError, choices, did_you_mean, printable
from harness.records import SUFFIX, scan
from harness.store import Store

SHOWN = 5
_UNITS = {"h": 3600.0, "d": 86400.0, "w": 604800.0}


def _age(text: str) -> float:
    """`12h`, `30d`, `4w` → seconds. BadParameter for anything else, and for less than an hour."""
    found = re.fullmatch(r"([0-9]{1,6})([hdw])", text)
    if not found or (seconds := int(found[1]) * _UNITS[found[2]]) < YOUNG:
        msg = (
            f"{text!r}: expected hours, days or weeks, such as 12h, 30d or 4w; at least 1h: younger ones may be in use"
        )
        raise click.BadParameter(msg)
    return seconds


@click.command(
    short_help="Remove entries that no record refers to, and what killed stages left.",
    epilog="""\b
Examples:
  harness cache gc --dry-run
  harness cache gc --older-than 30d
  harness cache gc --forget /media/old/reports/reviews.records.jsonl""",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed.")
@click.option(
    "--older-than",
    "older",
    metavar="AGE",
    default="1h",
    show_default=True,
    callback=lambda _, __, text: _age(text),
    help="Leave younger entries, whoever refers to them: 12h, 30d, 4w.",
)
@click.option(
    "--reports",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    default=(Path("reports"),),
    show_default=True,
    help="Keep what the records in this folder refer to as well (repeatable): earlier versions did not note theirs.",
)
@click.option(
    "--forget",
    "forgotten",
    metavar="RECORD",
    multiple=True,
    help="Keep nothing for this record (repeatable): it is gone for good, on a disk or machine that is not to be seen.",
)
def gc(dry_run: bool, older: float, folders: tuple[Path, ...], forgotten: tuple[str, ...]) -> int:
    """Remove what no record refers to and no run needs, and what killed stages left.

    Every run notes in the store what its record refers to, so nobody's clean-up takes what another's record needs. A
    deleted record frees its entries; one that is out of sight (an unmounted disk, another machine) does not, until it
    is forgotten. What a run that was stopped has made is kept for 30 days.
    """
    store = open_store()
    if not (store.root / "CACHEDIR.TAG").exists():
        msg = f"{store.root} is not a store (no CACHEDIR.TAG): nothing is removed"
        raise HarnessError(msg)
    slow = Slow()
    given_up = frozenset(_known(store, forgotten))
    shown = frozenset(_referred(folders, slow))

    def now() -> Kept:
        return kept(store, shown, given_up)

    keep = now()
    if not keep.keys:
        named = ", ".join(map(str, folders))
        msg = (
            f"no record in {named} refers to anything, and none is noted in {store.root}: every entry would go. Name "
            "the folder of your reports (--reports), or remove the whole store yourself"
        )
        raise HarnessError(msg)
    found = unneeded(store, keep, older, lambda done: slow(f"{done} entries"))
    went = _say(found if dry_run else remove(store, found, keep, now), dry=dry_run)
    rest = sweep(store, keep, dry=dry_run)
    _sum(keep, went, rest, dry=dry_run)
    return 0


def _known(store: Store, forgotten: Sequence[str]) -> Iterator[Path]:
    """The records of notes that were named. SuiteError for one that nobody noted."""
    known = {str(note.record) for note in kept(store).notes}
    for name in forgotten:
        path = str(Path(name).absolute())
        if path not in known:
            hint = f"{did_you_mean(path, known)} Known: {choices(sorted(known)[:20])}"
            raise SuiteError(printable(f"--forget {name}: no such record is noted in {store.root}.{hint}"))
        yield Path(path)


def _referred(folders: Iterable[Path], slow: Slow) -> set[str]:
    keys: set[str] = set()
    for path in (path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))):
        for line in scan(path):
            slow(f"{path}:{line.number}")
            if line.kind == "cell":
                keys |= set(line.document["ancestors"])
    return keys


def _say(found: Iterable[Found], *, dry: bool) -> Removal:
    """A line per entry."""
    went = Removal()
    for one in found:
        went.add("entries", one.mib)
        line = f"{'would remove' if dry else 'removed'}  {one.key[:12]}  {one.mib:8.1f} MiB  {one.label}"
        click.echo(printable(line))
    return went


def _sum(keep: Kept, went: Removal, rest: Removal, *, dry: bool) -> None:
    """What was freed, for whom the rest is kept, and whose records cannot be seen."""
    parts = [f"{count} {what}" for what, count in (*went.counts.items(), *rest.counts.items())]
    did = "would free" if dry else "freed"
    talk(f"{did} {went.mib + rest.mib:,.0f} MiB: {', '.join(parts) or 'nothing to remove'}")
    runs = sum(note.is_run for note in keep.notes)
    going = f"{runs} {'run' if runs == 1 else 'runs'}"
    talk(f"{len(keep.keys)} results are kept for {len(keep.notes) - runs} noted records and {going}")
    for note in keep.released[:SHOWN]:
        talk(f"no longer kept: what {note.record} referred to{' (its run was stopped)' if note.is_run else ''}")
    for note in keep.unseen[:SHOWN]:
        talk(f"kept for a record that is not to be seen from here: {note.record}, of {note.host.partition(' ')[0]}")
    if keep.unseen:
        talk(f"if it is gone for good: harness cache gc --forget {keep.unseen[0].record}")
