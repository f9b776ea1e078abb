"""predict: artifact × data → raw outputs per unit, stored once and read by scores and by every student."""

from __future__ import annotations

import time

from harness.data import read_examples, write_predictions, write_states
from harness.errors import StageError
from harness.inference import Answerer, load_answerer
from harness.specs import Facts
from harness.stages import Work
from harness.stages.shards import merge, write_shard

BATCH = 64  # at most, of similar length; fp32 outputs do not depend on it beyond rounding


def run(work: Work) -> Facts:
    """Output `out`: ids and logits, for the span head with the places that they are about; of a shard, its part."""
    if work.shards:
        return merge(work)
    began, params = time.monotonic(), work.stage.params
    examples = read_examples(work.inputs["data"])
    answerer = load_answerer(work.inputs["artifact"], work.task(), work.registry, work.threads)
    size = int(params.get("batch", BATCH))
    windows = answerer.encode(examples)
    layers = _layers(work, answerer)
    cut = {at if window.example is None else window.example for at, window in enumerate(windows) if window.cut}
    facts = {
        "examples": len(examples),
        "windows": len(windows),
        "tokens": sum(w.length for w in windows),
        "cut": len(cut),
        "batch": size,
        "start_seconds": round(time.monotonic() - began, 3),  # what every shard spends
    }
    number, count = params.get("shard", (0, 1))
    said, seen = answerer.look(
        windows, size, layers, lambda done, total: work.progress(done, total, "windows"), (number, count)
    )
    out, rules = work.out / "out", answerer.rules
    if "shard" in params:
        write_shard(out, windows, said, seen)
        return {**facts, "shard": [number, count]}
    write_predictions(out, [example["id"] for example in examples], rules.join(windows, said, len(examples)))
    states = {n: write_states(out, n, rules.join(windows, found, len(examples))) for n, found in seen.items()}
    return {**facts, **({"states": states} if states else {})}


def _layers(work: Work, answerer: Answerer) -> tuple[int, ...]:
    """Whose hidden states a distiller asked for. StageError where the runtime gives none."""
    layers = tuple(work.stage.params.get("states", ()))
    if layers and not work.registry.runtime_for(answerer.artifact.format).gives_states:
        msg = f"the runtime of format '{answerer.artifact.format}' gives no hidden states: teach with a torch model"
        raise StageError(msg)
    return layers
