"""One JSON object a line: what, when, which stage, and the fields that say something about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness import Notice

if TYPE_CHECKING:
    from harness_observers.plugin import EventsParams


class Events:
    """Appends to a file, line by line, so that others can follow and a killed run leaves whole lines."""

    def __init__(self, params: EventsParams) -> None:
        path = Path(params.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def notice(self, notice: Notice) -> None:
        """Write a line, without fields that are empty."""
        said = {name: value for name, value in asdict(notice).items() if value not in ("", 0, {})}
        self._file.write(json.dumps(said, ensure_ascii=False) + "\n")
        if notice.what == "run-finished":
            self._file.close()
