"""A board as files, each written in one step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.leaderboard.markdown import render
from harness.leaderboard.model import Board
from harness.leaderboard.page import write_page
from harness.leaderboard.table_csv import to_csv
from harness.reports.model import as_json
from harness.store import write_atomic

SCHEMA = 1
OPENED = 4  # the board, its classes, a class, its entries


def write_board(board: Board, stem: Path) -> tuple[Path, ...]:
    """`stem` and `.md`, `.csv`, `.json`, `.html`; returns the paths. OSError when they cannot be written."""
    texts = {
        "md": render(board),
        "csv": to_csv(board),
        "json": json_text(board),
        "html": write_page(board),
    }
    paths = {suffix: stem.with_name(f"{stem.name}.{suffix}") for suffix in texts}
    for suffix, text in texts.items():
        write_atomic(paths[suffix], text)
    return tuple(paths.values())


def json_text(board: Board) -> str:
    """All of the board, unrounded, an entry per line; absent figures are {"absent": reason}."""
    return _lines(board_json(board), OPENED) + "\n"


def _lines(value: Any, opened: int) -> str:
    """JSON whose outer objects and lists, so many inside each other, have a line for each of their parts."""
    if not opened or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, list):
        return "[\n" + ",\n".join(_lines(one, opened - 1) for one in value) + "\n]"
    parts = (f"{json.dumps(name, ensure_ascii=False)}: {_lines(one, opened - 1)}" for name, one in value.items())
    return "{\n" + ",\n".join(parts) + "\n}"


def board_json(board: Board) -> dict[str, Any]:
    """The same as plain JSON."""
    return {"schema": SCHEMA, **as_json(board)}
