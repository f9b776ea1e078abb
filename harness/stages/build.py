"""build: config + encoder + initial weights; the stored start that every distiller shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.artifacts import Artifact
from harness.data import read_examples, read_meta
from harness.errors import AssetError, StageError
from harness.measuring.size import artifact_sizes
from harness.specs import BuildRequest, Facts, Student
from harness.stages import Work, check_unchanged


def run(work: Work) -> Facts:
    """Output `out`: an artifact of the student's format."""
    options = work.options
    spec = work.registry.student(options["student"])
    student: Student = spec.load()
    labels = read_meta(work.inputs["meta"]).labels
    out = work.output()
    facts = student.build(
        BuildRequest(
            out=out,
            head=options["head"],
            labels=labels,
            params=spec.params(**options["params"]),
            seed=int(work.stage.seed or 0),
            max_length=options["max_length"],
            assets={name: _there(asset) for name, asset in options["assets"].items()},
            artifacts={n.removeprefix("init."): p for n, p in work.inputs.items() if n.startswith("init.")},
            texts=lambda: _texts(work),
            random_weights=bool(work.stage.params.get("random_weights")),
        )
    )
    for name, asset in options["assets"].items():
        check_unchanged(work, name, asset)
    Artifact(
        format=spec.format,
        student=work.stage.component,
        head=options["head"],
        labels=labels,
        max_length=options["max_length"],
    ).write(out)
    return {**facts, "sizes": artifact_sizes(out)}


def _there(asset: Mapping[str, Any]) -> Path:
    found = Path(asset["path"])
    if not found.exists():
        msg = f"checkpoint '{found}' was there when the plan was made and is gone now"
        raise AssetError(msg)
    return found


def _texts(work: Work) -> Iterator[str]:
    if "data" not in work.inputs:
        msg = "this student reads the training texts without having said so (`reads_text`)"
        raise StageError(msg)
    task = work.registry.task(work.options["task"]["use"]).load()
    for example in read_examples(work.inputs["data"]):
        yield from _strings(task.input(example))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
