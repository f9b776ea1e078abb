"""predict: artifact × data → raw outputs per unit, stored once and read by scores and by every student."""

from __future__ import annotations

from harness.data import read_examples, write_predictions
from harness.inference import load_answerer
from harness.specs import Facts
from harness.stages import Work

BATCH = 64  # of similar length; fp32 outputs do not depend on it beyond rounding


def run(work: Work) -> Facts:
    """Output `out`: ids and logits, for the span head with the places that they are about."""
    examples = read_examples(work.inputs["data"])
    answerer = load_answerer(work.inputs["artifact"], work.task(), work.registry, work.threads)
    size = int(work.stage.params.get("batch", BATCH))
    windows = answerer.encode(examples)
    said = answerer.say(windows, size, lambda done, total: work.progress(done, total, "windows"))
    outputs = answerer.rules.join(windows, said, len(examples))
    write_predictions(work.out / "out", [example["id"] for example in examples], outputs)
    cut = {at if window.example is None else window.example for at, window in enumerate(windows) if window.cut}
    return {
        "examples": len(examples),
        "windows": len(windows),
        "tokens": sum(w.length for w in windows),
        "cut": len(cut),
        "batch": size,
    }
