"""What a run leaves behind, as a value: one JSON document per line, from which every report is made.

Lines of `<suite>.records.jsonl`, all with `schema` and `kind`:
`run` (one, first), `measurement` (one per measured group, raw samples included), `cell` (one per cell, with its
per-example samples, training curve, compressor facts, sizes and the keys of its stages).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.store import write_atomic

SCHEMA = 1
SUFFIX = ".records.jsonl"  # of a record's file; before it stands the name of the report
Json = dict[str, Any]


@dataclass(frozen=True)
class Records:
    """A run's record, read or just made. `measurements` by stage key."""

    run: Json
    measurements: Mapping[str, Json] = field(default_factory=dict)
    cells: Sequence[Json] = ()

    def lines(self) -> Iterator[str]:
        """The documents as JSON lines."""
        for document in (self.run, *self.measurements.values(), *self.cells):
            yield json.dumps(document, ensure_ascii=False, sort_keys=True, allow_nan=False)

    def write(self, path: Path) -> None:
        """Replace the file in one step."""
        write_atomic(path, "".join(f"{line}\n" for line in self.lines()))
