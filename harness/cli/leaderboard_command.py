"""`harness leaderboard`."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.leaderboard.model import Board

NAME = "leaderboard"
NAMED = 20  # refusals that are named on the terminal
PATIENCE = 1.0  # seconds before progress is shown
# Products of many resamples with few columns: threads wait for each other longer than they work.
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@click.command(
    name="leaderboard",
    epilog="""\b
Examples:
  harness leaderboard results/
  harness leaderboard mine.records.jsonl theirs/ --out boards --title "Reviews, spring"
  harness leaderboard results/ --task rureviews --confidence 0.99
  harness leaderboard results/ --json > board.json

\b
Exit codes: 0 a board was made, 2 no record could be taken (the reasons are named).""",
)
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True,
              help="Folder to write leaderboard.md, .csv, .json and .html to.")  # fmt: skip
@click.option("--title", default="Leaderboard", show_default=True, help="Its heading.")
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Only this task; may be given again.")
@click.option("--confidence", type=click.FloatRange(0.5, 0.9999), default=0.95, show_default=True,
              help="Of intervals, and that rows of a place are not told apart by chance.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The board as JSON on stdout instead of files.")
def command(
    records: tuple[Path, ...], out: Path, title: str, tasks: tuple[str, ...], confidence: float, as_json: bool
) -> int:
    """Merge records of machines, people and suites into tables that rank only what can be compared.

    RECORDS are files that runs left behind (*.records.jsonl) and folders that hold such files.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")  # before numpy is loaded
    from harness.cli.common import talk
    from harness.errors import SuiteError
    from harness.leaderboard.board import Asked, make_board
    from harness.leaderboard.sentences import sentences
    from harness.leaderboard.writing import json_text, write_board
    from harness.plugins import load_registry

    made = datetime.now(UTC).isoformat(timespec="seconds")
    asked = Asked(title=title, made=made, tasks=tasks, confidence=confidence)
    base = Path.cwd() if as_json else out
    progress = _Progress()
    try:
        board = make_board(records, base, load_registry(), asked, progress)
    finally:
        progress.close()
    for line in (*_refusals(board), *(f"warning: {one}" for one in board.warnings)):
        talk(line)
    if not board.classes:
        msg = "no row can stand on a board: run a suite, or name the folder where its records are"
        raise SuiteError(msg)
    if as_json:
        click.echo(json_text(board), nl=False)
    else:
        talk(f"leaderboard: {', '.join(map(str, write_board(board, out / NAME)))}")
    for line in sentences(board):
        talk(line)
    return 0


class _Progress:
    """Says which record is read, once it has taken a moment: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self.begun = self.last = time.monotonic()
        self.drawn = False

    def __call__(self, done: int, of: int) -> None:
        """`done` of so many records have been read."""
        from harness.cli.common import on_terminal

        now = time.monotonic()
        if now - self.begun < PATIENCE or now - self.last < (0.2 if on_terminal() else 10):
            return
        self.last = now
        if on_terminal():
            self.drawn = True
            click.echo(f"\rread {done:,} of {of:,} records", nl=False, err=True)
        else:
            click.echo(f"read {done:,} of {of:,} records", err=True)

    def close(self) -> None:
        """Leave an empty line."""
        if self.drawn:
            click.echo("\r\033[K", nl=False, err=True)


def _refusals(board: Board) -> list[str]:
    """A line for each record and each row that stands on no table; of many the first."""
    lines = [f"left out: {one.file}{f', {one.row}' if one.row else ''}: {one.reason}" for one in board.refused]
    more = [f"… and {len(lines) - NAMED:,} more, all of them on the board"] if len(lines) > NAMED else []
    return [*lines[:NAMED], *more]
