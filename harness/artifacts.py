"""An artifact on disk: `artifact.json` beside the model's and the encoder's files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import StageError
from harness.specs import Head

NAME = "artifact.json"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What every artifact says of itself. `student` is the spec's full name, by which the encoder is found."""

    format: str
    student: str
    head: Head
    labels: tuple[str, ...]
    max_length: int

    def write(self, folder: Path) -> None:
        """Write `artifact.json` into the folder."""
        (folder / NAME).write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1), encoding="utf-8")

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON, for requests to plugins."""
        return {**asdict(self), "labels": list(self.labels)}


def read_artifact(folder: Path) -> Artifact:
    """Read `artifact.json`. StageError when it is missing or not of this form."""
    try:
        data = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return Artifact(**{**data, "labels": tuple(data["labels"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder}: not an artifact ({error})"
        raise StageError(msg) from error
