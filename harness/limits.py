"""What a stage may take: time, memory and disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limit:
    """A figure of `[limits]`, and the key that sets it: `limits.minutes`, `limits.train.minutes`."""

    value: float
    key: str


@dataclass(frozen=True)
class Limits:
    """`[limits]`: what one attempt at a stage may take, by what is written: `minutes`, `train.memory_mib`."""

    written: Mapping[str, float] = field(default_factory=dict)

    def of(self, kind: str, what: str) -> Limit | None:
        """Its own figure, else that of all kinds; None: no limit. `what`: "minutes", "memory_mib", "disk_mib"."""
        key = next((key for key in (f"{kind}.{what}", what) if key in self.written), None)
        return Limit(self.written[key], f"limits.{key}") if key else None
