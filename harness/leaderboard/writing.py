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
    """All of the board, unrounded; absent figures are {"absent": reason}."""
    return json.dumps(board_json(board), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def board_json(board: Board) -> dict[str, Any]:
    """The same as plain JSON."""
    return {"schema": SCHEMA, **as_json(board)}
