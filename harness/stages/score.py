"""score: predictions against gold; numpy only, so a new metric re-runs no model."""

from __future__ import annotations

from typing import cast

import numpy as np

from harness.data import read_examples, read_meta, read_predictions, write_json
from harness.errors import StageError
from harness.specs import CriticalTask, Facts
from harness.stages import Work
from harness.stages.checks import check_samples


def run(work: Work) -> Facts:
    """Output `out`: per-example samples, the metrics at equal weights, details."""
    spec = work.registry.task(work.options["task"]["use"])
    task = work.task()
    examples = read_examples(work.inputs["data"])
    labels = read_meta(work.inputs["meta"]).labels
    outputs = read_predictions(work.inputs["predictions"], examples).per_example()
    samples = task.samples(examples, outputs, labels)
    check_samples(work.stage.component, samples, len(examples))
    metrics = {n: float(v[0]) for n, v in task.metrics(samples, np.ones((1, len(samples))), labels).items()}
    missing = {metric.name for metric in spec.metrics} - set(metrics)
    if missing:
        msg = f"task '{spec.name}' declares metrics that it does not compute: {sorted(missing)}"
        raise StageError(msg)
    out = work.output()
    np.save(out / "samples.npy", samples, allow_pickle=False)
    details = task.details(samples, labels)
    if spec.names_critical:
        critical = cast("CriticalTask", task)
        write_json(out / "items.json", critical.items(examples))
        np.save(out / "found.npy", critical.found(examples, outputs, labels), allow_pickle=False)
    write_json(out / "score.json", {"metrics": metrics, "details": details, "ids": [e["id"] for e in examples]})
    return {"metrics": metrics, "details": details, "examples": len(examples)}
