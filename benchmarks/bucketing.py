"""Batches of similar length against random batches padded to 128, training and scoring, same examples, same model.

"Padded to 128" is what a plain script does: every position is computed, padding too (for a recurrent model that means
a mask of ones; packing by length is part of our side).

On the real reviews where HARNESS_DATA_DIR holds them, else on the quickstart's (shorter) ones.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from harness.assets import Asset, Places, find_data
from harness.plugins import load_registry
from harness.specs import BuildRequest, Source, load_object
from harness.stages.batching import bucketed, collate, sorted_batches

LENGTH, EXAMPLES, BATCH, ROUNDS = 128, 2048, 32, 3


def run() -> Iterator[str]:
    torch.set_num_threads(1)
    registry = load_registry()
    where = Places(data_root=Path(os.environ["HARNESS_DATA_DIR"]) if "HARNESS_DATA_DIR" in os.environ else None)
    spec = registry.task("rureviews")
    found = find_data(str(spec.default_source), where, spec.offline_folder) if where.data_root else None
    asset = found if isinstance(found, Asset) else find_data("bundled:harness_sentiment/data/quickstart", where)
    task = registry.task("rureviews" if asset is found else "sentiment")
    prepared = task.load().prepare(Source(asset.origin, asset.root, asset.files), ["train", "dev", "test"])
    examples = prepared.roles["train"][:EXAMPLES]
    texts = [example["text"] for example in examples]
    for name in ("lstm", "transformer"):
        yield from _compare(registry.student(name), texts, asset.origin)


def _compare(spec, texts: list[str], origin: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        student = spec.load()
        student.build(
            BuildRequest(
                out=Path(folder), head="sequence", labels=("a", "b", "c"), params=spec.params(), seed=0,
                max_length=LENGTH, assets={}, artifacts={}, texts=lambda: iter(texts),
            )
        )  # fmt: skip
        model = student.load(Path(folder), "sequence")
        encoder = load_object(spec.encoder)(Path(folder))
        encoded = encoder.encode(texts, "sequence")
    lengths = np.array([item.length for item in encoded])
    rng = np.random.default_rng(0)
    random = [rng.permutation(len(encoded))[i : i + BATCH] for i in range(0, len(encoded), BATCH)]
    ways = {
        "train": (_train, bucketed(lengths, BATCH, rng), random),
        "score": (_score, sorted_batches(lengths, 64), random),
    }
    for what, (work, ours, theirs) in ways.items():
        ratios = []
        for _ in range(ROUNDS):
            short = _seconds(work, model, encoded, encoder.pad, ours, None)
            ratios.append(_seconds(work, model, encoded, encoder.pad, theirs, LENGTH) / short)
        speed = len(encoded) / short
        yield (
            f"{spec.name} {what}: {np.median(ratios):.1f}× the throughput of padding to {LENGTH} "
            f"({speed:.0f} examples/s; mean length {lengths.mean():.0f} tokens; {origin})"
        )


def _seconds(work, model, encoded, pad, batches, length) -> float:
    start = time.perf_counter()
    for rows in batches:
        arrays = collate([encoded[row] for row in rows], pad)
        if length:
            widen = ((0, 0), (0, length - arrays["input_ids"].shape[1]))
            ids = np.pad(arrays["input_ids"], widen, constant_values=pad["input_ids"])
            arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        work(model, {n: torch.from_numpy(a) for n, a in arrays.items()})
    return time.perf_counter() - start


def _train(model, tensors) -> None:
    model.train()
    model(**tensors).logits.logsumexp(-1).sum().backward()
    model.zero_grad(set_to_none=True)


def _score(model, tensors) -> None:
    model.eval()
    with torch.inference_mode():
        model(**tensors)
