"""build: config + encoder + initial weights; the stored start that every distiller shares."""

from __future__ import annotations

from harness.artifacts import Artifact
from harness.data import read_meta
from harness.measuring.size import artifact_sizes
from harness.specs import BuildRequest, Facts, Student
from harness.stages import Work, asset_path, check_unchanged, training_texts
from harness.stages.checks import checked_work
from harness.text import DOC_STRIDE


def run(work: Work) -> Facts:
    """Output `out`: an artifact of the student's format."""
    options = work.options
    spec = work.registry.student(options["student"])
    student: Student = spec.load()
    labels = read_meta(work.inputs["meta"]).labels
    keep = work.stage.params.get("init.keep")
    out = work.output()
    said = student.build(
        BuildRequest(
            out=out,
            head=options["head"],
            labels=labels,
            params=spec.params(**options["params"]),
            seed=int(work.stage.seed or 0),
            max_length=options["lengths"]["max_length"],
            doc_stride=options["lengths"].get("doc_stride", DOC_STRIDE),
            keep=None if keep is None else tuple(keep),
            assets={name: asset_path(asset) for name, asset in options["assets"].items()},
            artifacts={n.removeprefix("init."): p for n, p in work.inputs.items() if n.startswith("init.")},
            texts=lambda: training_texts(work),
            as_it_is=bool(work.stage.params.get("as_it_is")),
            random_weights=bool(work.stage.params.get("random_weights")),
        )
    )
    facts = checked_work(work.stage, work.out, said)
    for name, asset in options["assets"].items():
        check_unchanged(work, name, asset)
    Artifact(
        format=spec.format,
        student=work.stage.component,
        head=options["head"],
        labels=labels,
        max_length=options["lengths"]["max_length"],
    ).write(out)
    return {**facts, "sizes": artifact_sizes(out)}
