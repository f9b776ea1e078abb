"""predict: artifact × data → raw outputs per unit, stored once and read by scores and by every student."""

from __future__ import annotations

from harness.data import read_examples, write_predictions, write_states
from harness.errors import StageError
from harness.inference import Answerer, load_answerer
from harness.specs import Encoded, Facts
from harness.stages import Work

BATCH = 64  # at most, of similar length; fp32 outputs do not depend on it beyond rounding


def run(work: Work) -> Facts:
    """Output `out`: ids and logits, for the span head with the places that they are about."""
    examples = read_examples(work.inputs["data"])
    answerer = load_answerer(work.inputs["artifact"], work.task(), work.registry, work.threads)
    size = int(work.stage.params.get("batch", BATCH))
    windows = answerer.encode(examples)
    said = answerer.say(windows, size, lambda done, total: work.progress(done, total, "windows"))
    outputs = answerer.rules.join(windows, said, len(examples))
    write_predictions(work.out / "out", [example["id"] for example in examples], outputs)
    states = _states(work, answerer, windows, size, len(examples))
    cut = {at if window.example is None else window.example for at, window in enumerate(windows) if window.cut}
    return {
        "examples": len(examples),
        "windows": len(windows),
        "tokens": sum(w.length for w in windows),
        "cut": len(cut),
        "batch": size,
        **({"states": states} if states else {}),
    }


def _states(work: Work, answerer: Answerer, windows: list[Encoded], size: int, count: int) -> dict[str, float]:
    """Store the hidden states that a distiller asked for: {layer: the error of half precision}."""
    layers = work.stage.params.get("states", ())
    if layers and not work.registry.runtime_for(answerer.artifact.format).gives_states:
        msg = f"the runtime of format '{answerer.artifact.format}' gives no hidden states: teach with a torch model"
        raise StageError(msg)
    found = answerer.states(windows, size, layers) if layers else {}
    joined = {layer: answerer.rules.join(windows, said, count) for layer, said in found.items()}
    return {str(layer): write_states(work.out / "out", layer, said) for layer, said in joined.items()}
