"""A training step of `sru` and `srupp` against that of an `lstm` of the same width, and where the time goes.

Forward, backward and optimiser on the same batches of real lengths, under the settings of the training loop. Every batch
goes to all students, one after the other in an order that turns; a ratio is the median of those within the batches. The
table of embeddings is frozen on all sides: as the study has it for 20 epochs, and because AdamW over rows that no batch
touches would be most of a step and the same for everyone.

RuNNE in HARNESS_DATA_DIR gives the lengths, else the documents that are bundled. STEPS sets the batches (10).
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.tagging import THREADS, timed
from harness.artifacts import Artifact
from harness.assets import Asset, Places, find_data
from harness.heads import rules
from harness.plugins import Registry, load_registry
from harness.specs import BuildRequest, Encoded, Example, Source, load_object
from harness.stages.batching import bucketed, collate
from harness.stages.optimizing import deterministic, make_optimizer
from harness.training import TrainParams

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "as published": {
        "embedding_size": 768, "conv": [768, 384], "hidden_size": 192, "layers": 4, "embedding_dropout": 0.0, "dropout": 0.1,
    },
    "small": {
        "embedding_size": 128, "conv": [192], "hidden_size": 192, "layers": 2, "embedding_dropout": 0.1, "dropout": 0.1,
    },
}  # fmt: skip
FAMILIES = ("lstm", "sru", "srupp")
WANTED = 1.0  # × the lstm's time, at most
BATCH_SIZE, LENGTH = 32, 128
PROFILED = 3  # batches
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
Step = Callable[[np.ndarray], None]


def run() -> Iterator[str]:
    torch.set_num_threads(THREADS)
    registry = load_registry()
    examples, labels, origin = nested(registry, "train")
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as scratch, deterministic(True):
            yield from _shape(registry, Path(scratch), name, shape, examples, labels, origin)


def nested(registry: Registry, role: str) -> tuple[list[Example], tuple[str, ...], str]:
    """Examples with nested entities, their labels, and where they come from."""
    spec, root = registry.task("runne"), os.environ.get("HARNESS_DATA_DIR")
    places = Places(data_root=Path(root) if root else None)
    found = find_data(str(spec.default_source), places, spec.offline_folder)
    if not isinstance(found, Asset):
        found = find_data(str(spec.sample_source), places)
    assert isinstance(found, Asset)
    prepared = spec.load().prepare(Source(found.origin, found.root, found.files), list(spec.roles))
    return list(prepared.roles[role]), prepared.labels, found.origin


def build(
    registry: Registry, family: str, out: Path, examples: Sequence[Example], labels: tuple[str, ...],
    params: Mapping[str, Any], *, random_weights: bool = False, **artifacts: Path,
) -> None:  # fmt: skip
    """A model for nested entities in a folder, with parts of others, or a vocabulary of the examples' texts."""
    spec = registry.student(family)
    out.mkdir()
    spec.load().build(
        BuildRequest(
            out=out, head="nested-token", labels=labels, params=spec.params(**params), seed=1, max_length=LENGTH,
            assets={}, artifacts=artifacts, texts=lambda: (example["text"] for example in examples),
            random_weights=random_weights,
        )
    )  # fmt: skip
    Artifact(format="torch", student=family, head="nested-token", labels=labels, max_length=LENGTH).write(out)


# ------------------------------------------------------------------------------------------------------------- a shape


def _shape(
    registry: Registry, scratch: Path, name: str, shape: Mapping[str, Any], examples: Sequence[Example],
    labels: tuple[str, ...], origin: str,
) -> Iterator[str]:  # fmt: skip
    for family in FAMILIES:
        shared = {} if family == "lstm" else {"tokenizer": scratch / "lstm"}
        build(registry, family, scratch / family, examples, labels, {**shape, "lowercase": False}, **shared)
    task, encoder = registry.task("runne").load(), load_object(registry.student("lstm").encoder)(scratch / "lstm")
    windows = encoder.encode([task.input(example) for example in examples], "nested-token")
    targets = rules("nested-token").targets(windows, [task.target(example, labels) for example in examples])
    models = {family: registry.student(family).load().load(scratch / family, "nested-token") for family in FAMILIES}
    steps = {family: _step(registry, model, encoder.pad, windows, targets) for family, model in models.items()}
    lengths = np.array([window.length for window in windows])
    batches = bucketed(lengths, BATCH_SIZE, np.random.default_rng(0))[: int(os.environ.get("STEPS", "10"))]
    yield (
        f"{name}: {len(batches)} batches of {BATCH_SIZE}, {np.mean([lengths[rows].max() for rows in batches]):.0f} tokens "
        f"long on average, from {origin}; {THREADS} threads"
    )
    seconds = _times(steps, batches)
    for family, model in models.items():
        ratio = median(own / base for own, base in zip(seconds[family], seconds["lstm"], strict=True))
        against = f", {ratio:.2f}× the lstm's (wanted: at most {WANTED:.0f})" if family != "lstm" else ""
        yield (
            f"{name}, {family}: {1000 * median(seconds[family]):.0f} ms per step{against}; {_learned(model) / 1e6:.2f}M "
            f"parameters without embeddings; {_profile(steps[family], batches[:PROFILED])}"
        )


def _step(
    registry: Registry, model: Any, pad: Mapping[str, int], windows: Sequence[Encoded], targets: np.ndarray
) -> Step:
    """Rows of a batch → one step of `finetune`, as the loop does it."""
    head, spec = rules("nested-token"), registry.distiller("finetune")
    loss, params, train = spec.load(), spec.params(), TrainParams()
    model.train()
    model.get_input_embeddings().requires_grad_(False)
    optimizer = make_optimizer(model, train)

    def step(rows: np.ndarray) -> None:
        mates = [windows[row] for row in rows]
        arrays = {name: torch.from_numpy(array) for name, array in collate(mates, pad).items()}
        batch = head.batch(model(**arrays), mates, targets[rows], [], torch.from_numpy)
        loss.loss(batch, params)[0].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip or 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _times(steps: Mapping[str, Step], batches: Sequence[np.ndarray]) -> dict[str, list[float]]:
    """Seconds of each student on each batch."""
    for step in steps.values():
        step(batches[0])  # warm
    seconds: dict[str, list[float]] = {family: [] for family in steps}
    for turn, rows in enumerate(batches):
        order = list(steps)
        for family in [*order[turn % len(order) :], *order[: turn % len(order)]]:
            seconds[family].append(timed(lambda family=family, rows=rows: steps[family](rows))[0])
    return seconds


def _learned(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


# --------------------------------------------------------------------------------------------------- where the time goes


def _profile(step: Step, batches: Sequence[np.ndarray]) -> str:
    """Shares of a step; the LSTM's kernel has the products of its own matrices inside."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it tells on stderr when it starts and stops
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for rows in batches:
            with torch.profiler.record_function("step"):
                step(rows)
    spent: Counter[str] = Counter()
    for event in profile.events() or ():
        spent[_group(event)] += event.self_cpu_time_total
    whole = sum(spent.values())
    return ", ".join(f"{name} {100 * time / whole:.0f} %" for name, time in spent.most_common())


def _group(event: Any) -> str:
    """What an operation belongs to, by itself and those that called it."""
    names = []
    caller = event
    while caller is not None:
        names.append(caller.name)
        caller = caller.cpu_parent
    if any("mkldnn_rnn_layer" in name for name in names):
        return "recurrence with its matrices"
    if any(name in ("Recurrence", "RecurrenceBackward") for name in names):
        return "recurrence"
    if any(name in PRODUCTS for name in names):
        return "matrix products"
    return "optimiser" if any(name.startswith("Optimizer.step") for name in names) else "the rest"
