"""`harness schema`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from harness.cli.common import talk
from harness.errors import SuiteError, choices, did_you_mean, printable

EVERY_S = 2.0  # between two words about a file that takes long


@click.command(
    name="schema",
    epilog="""\b
Examples:
  harness schema cell
  harness schema > record.schema.json
  harness schema cell --fields
  harness schema --check reports/*.records.jsonl""",
)
@click.argument("names", nargs=-1, metavar="[KIND | FILE…]")
@click.option("--check", "checks", is_flag=True, help="Check these records instead; exit code 1 when one is bad.")
@click.option("--fields", "as_tables", is_flag=True, help="Tables of the fields for people, in markdown.")
def command(names: tuple[str, ...], checks: bool, as_tables: bool) -> int:
    """Print the JSON Schema of a line of a record: of a run, a measurement, a cell, or of any; or check records."""
    if checks:
        return _check([Path(name) for name in names])
    from harness.records.schema import KINDS, json_schema

    if len(names) > 1 or not {*names} <= {*KINDS}:
        near = did_you_mean(names[0], KINDS)
        files = " To check files: harness schema --check FILE…" if any(Path(name).exists() for name in names) else ""
        msg = f"'{' '.join(names)}' is not one kind of line.{near} Known: {choices(KINDS)}.{files}"
        raise SuiteError(msg)
    if as_tables:
        from harness.records.describing import fields

        click.echo(fields(*names))
        return 0
    click.echo(json.dumps(json_schema(*names), ensure_ascii=False, indent=1))
    return 0


def _check(paths: list[Path]) -> int:
    if not paths:
        msg = "name the files to check: harness schema --check reports/*.records.jsonl"
        raise SuiteError(msg)
    bad = 0
    for number, path in enumerate(paths, start=1):
        said, sound = _said(path, f"[{number}/{len(paths)}]")
        bad += not sound
        click.echo("\n".join(map(printable, said)))
    talk(f"{len(paths)} record{'' if len(paths) == 1 else 's'}, {bad} bad")
    return 1 if bad else 0


def _said(path: Path, place: str) -> tuple[list[str], bool]:
    """The lines about one file, and whether it is sound."""
    from harness.records import check

    try:
        found = check(path, _Progress(f"{place} {path}", path))
    except SuiteError as error:
        return str(error).splitlines(), False
    if found.faults:
        return [line for fault in found.faults for line in fault.splitlines()], False
    held = ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in found.lines.items())
    return [f"{path}: ok: {held}"], True


class _Progress:
    """Says now and then how far a long file has been read."""

    def __init__(self, what: str, path: Path) -> None:
        self.what, self.read, self.last = what, 0, time.monotonic()
        self.size = path.stat().st_size if path.exists() else 0

    def __call__(self, size: int) -> None:
        self.read += size
        if time.monotonic() - self.last > EVERY_S:
            self.last = time.monotonic()
            talk(f"{self.what}: {self.read >> 20} of {self.size >> 20} MiB")
