"""Faults that are planted from outside: nothing in the harness knows of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

HOOK = Path(__file__).parent / "hook"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """At the `nth` operation of a kind below a folder: kill, or the error `do`. `nth` 0 only lists them."""

    root: str
    fired: str  # a file: it says what the fault hit; with `.list` behind it, what it could hit
    do: str = "kill"  # the run and whoever does the operation; else the name of an errno, or what happens to the victim
    victim: str = ""  # a file: "appended", "rewritten", "replaced", "truncated", "removed"
    operation: str = "mkdir|open|write|fsync|rename"  # a regular expression; also "read"
    when: str = "before"  # "half" (of what is written), "after"
    path: str = ""  # a regular expression, searched in the path within the folder
    who: str = "any"  # "run", "worker"
    nth: int = 1  # counted in each process
    lasting: bool = False  # every later one too

    def environment(self) -> Mapping[str, str]:
        """Variables that plant it in a run and in all that it starts; the hook's folder belongs on PYTHONPATH."""
        return {"FAULT": json.dumps(asdict(self))}

    @property
    def hit(self) -> str:
        """What it hit: `rename objects/ab/abcd…`; nothing, where the run never came there."""
        path = Path(self.fired)
        return path.read_text().strip() if path.exists() else ""

    @property
    def listed(self) -> list[str]:
        """What a fault could hit, in this order."""
        path = Path(f"{self.fired}.list")
        return path.read_text().splitlines() if path.exists() else []
