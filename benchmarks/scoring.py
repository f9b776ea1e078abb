"""Scoring question answering against the usual fine-tuning example's evaluation: same model, windows and answers.

The usual way is `transformers.Trainer.predict` on windows padded to the full length, then a search among the twenty
likeliest starts and ends in Python. Its batch size is the best of a few. Ours batches windows of similar length, and
ships the same model as dynamic int8 in ONNX Runtime, scored window by window. From questions to scores on both sides;
random weights, because what is computed does not depend on them.

Needs HARNESS_DATA_DIR with xquad/ and vocabs/ (the real vocabulary of a Russian BERT).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.artifacts import Artifact, read_artifact
from harness.inference import load_answerer
from harness.plugins import Registry, load_registry
from harness.specs import BuildRequest, CompressRequest, Example
from harness.stages.predict import BATCH
from harness.text import read_tokenizer

LENGTH, STRIDE, THREADS = 384, 128, 2
SIZES = (1, 4, 8, 16)  # batch sizes that the usual way is tried with
TRIAL = 64  # windows of a trial
SHAPE = {"model_type": "distilbert", "hidden_size": 768, "layers": 6, "heads": 12, "lowercase": False}
Answers = list[tuple[int, int]]  # begin and end of each answer


def run() -> Iterator[str]:
    root = os.environ.get("HARNESS_DATA_DIR")
    if not root:
        yield "skipped: HARNESS_DATA_DIR is not set, and this is about real questions with a real vocabulary"
        return
    torch.set_num_threads(THREADS)
    registry = load_registry()
    examples = questions(Path(root) / "xquad" / "xquad.ru.json", int(os.environ.get("QUESTIONS", "0")) or None)
    with tempfile.TemporaryDirectory() as scratch:
        torch_folder, onnx_folder = _artifacts(
            Path(scratch), Path(root) / "vocabs" / "ruBert.vocab.txt", registry, examples
        )
        usual_s, size, usual = _usual(torch_folder, examples)
        yield f"the usual way: {usual_s:.0f} s for {len(examples)} questions at its best batch size, {size}"
        ours_s, ours = _timed(lambda: _ours(torch_folder, registry, examples, BATCH))
        yield f"PyTorch fp32: {usual_s / ours_s:.2f}× as fast ({ours_s:.0f} s); {_compared(usual, ours)}"
        int8_s, _ = _timed(lambda: _ours(onnx_folder, registry, examples, 1))
        yield f"ONNX int8, window by window: {usual_s / int8_s:.2f}× as fast ({int8_s:.0f} s)"


def questions(path: Path, count: int | None) -> list[Example]:
    document = json.loads(path.read_text(encoding="utf-8"))
    asked = [(q, p["context"]) for a in document["data"] for p in a["paragraphs"] for q in p["qas"]]
    return [
        {
            "id": str(q["id"]), "title": "", "context": context, "question": q["question"],
            "answers": [{"text": a["text"], "begin": a["answer_start"]} for a in q["answers"]],
        }
        for q, context in asked[:count]
    ]  # fmt: skip


def _artifacts(scratch: Path, vocabulary: Path, registry: Registry, examples: list[Example]) -> tuple[Path, Path]:
    """The model in PyTorch and as dynamic int8 in ONNX."""
    student, labels = registry.student("transformer"), ("start", "end")
    folders = {name: scratch / name for name in ("torch", "onnx", "onnx-int8")}
    for name, folder in folders.items():
        folder.mkdir()
        if name == "torch":
            student.load().build(
                BuildRequest(
                    out=folder, head="span", labels=labels, params=student.params(**SHAPE), seed=1, max_length=LENGTH,
                    doc_stride=STRIDE, assets={"tokenizer": vocabulary}, artifacts={}, texts=lambda: iter(()),
                )
            )  # fmt: skip
        else:
            compress(name, folders["torch" if name == "onnx" else "onnx"], folder, registry, examples)
        Artifact(format=name, student="transformer", head="span", labels=labels, max_length=LENGTH).write(folder)
    return folders["torch"], folders["onnx-int8"]


def compress(name: str, source: Path, out: Path, registry: Registry, examples: list[Example]) -> None:
    spec, answerer = registry.compressor(name), load_answerer(source, registry.task("qa").load(), registry, THREADS)
    student = registry.student("transformer")
    spec.load().compress(
        CompressRequest(
            source=source, out=out, artifact=read_artifact(source).as_json(), params=spec.params(), seed=1,
            arrays=[answerer.collate(answerer.encode(examples[:4]))], calibration=[],
            student=lambda: student.load().load(source, "span"),
        )
    )  # fmt: skip
    for file in ("tokenizer.json", "encoder.json"):
        (out / file).write_bytes((source / file).read_bytes())


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _ours(folder: Path, registry: Registry, examples: list[Example], batch_size: int) -> tuple[np.ndarray, Answers]:
    """Loading, encoding, answering and scoring, as the predict and score stages do."""
    answerer = load_answerer(folder, registry.task("qa").load(), registry, THREADS)
    outputs = answerer.predict(examples, batch_size)
    labels = answerer.artifact.labels
    samples = answerer.task.samples(examples, outputs, labels)
    answerer.task.metrics(samples, np.ones((1, len(samples))), labels)
    given = [answerer.task.answer(example, output, labels) for example, output in zip(examples, outputs, strict=True)]
    return np.concatenate([output.logits for output in outputs]), [(one["start"], one["end"]) for one in given]


# ------------------------------------------------------------------------------------------------------ the usual way


def _usual(folder: Path, examples: list[Example]) -> tuple[float, int, tuple[np.ndarray, Answers]]:
    """(seconds at the best batch size, that size, answers)."""
    size = min(SIZES, key=lambda size: _timed(lambda: _trainer_pass(folder, examples, size, TRIAL))[0])
    seconds, answers = _timed(lambda: _trainer_pass(folder, examples, size, None))
    return seconds, size, answers


def _trainer_pass(folder: Path, examples: list[Example], size: int, limit: int | None) -> tuple[np.ndarray, Answers]:
    from transformers import AutoModelForQuestionAnswering, Trainer, TrainingArguments

    tokenizer = read_tokenizer(folder / "tokenizer.json")
    tokenizer.enable_truncation(LENGTH, stride=STRIDE, strategy="only_second")
    tokenizer.enable_padding(length=LENGTH)
    windows, of = [], []
    for number, example in enumerate(examples):
        encoding = tokenizer.encode(example["question"], example["context"])
        for one in (encoding, *encoding.overflowing):
            windows.append(one)
            of.append(number)
    rows = [
        {"input_ids": torch.tensor(w.ids), "attention_mask": torch.tensor(w.attention_mask)} for w in windows[:limit]
    ]
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            scratch,
            per_device_eval_batch_size=size,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(AutoModelForQuestionAnswering.from_pretrained(folder), arguments)
        starts, ends = trainer.predict(rows).predictions[:2]
    best: dict[int, tuple[float, tuple[int, int]]] = {}
    kept = []
    for number, window, start, end in zip(of, windows, starts, ends, strict=False):
        context = [n for n, text in enumerate(window.sequence_ids) if text == 1]
        kept.append(np.stack([start, end], axis=1)[[0, *context]])
        _search(best, number, window.offsets, start, end, context)
    return np.concatenate(kept), [best[n][1] if n in best else (0, 0) for n in range(len(examples))]


def _search(best: dict, number: int, offsets: list, start: np.ndarray, end: np.ndarray, context: list[int]) -> None:
    """The best of the twenty likeliest starts and ends, at most thirty tokens apart."""
    inside = set(context)
    for a in np.argsort(start)[-1:-21:-1].tolist():
        for b in np.argsort(end)[-1:-21:-1].tolist():
            if a in inside and b in inside and a <= b < a + 30:
                score = float(start[a] + end[b])
                if number not in best or score > best[number][0]:
                    best[number] = score, (offsets[a][0], offsets[b][1])


def _compared(usual: tuple[np.ndarray, Answers], ours: tuple[np.ndarray, Answers]) -> str:
    same = np.mean([one == other for one, other in zip(usual[1], ours[1], strict=True)])
    return f"logits differ by {np.abs(usual[0] - ours[0]).max():.1e} at most, {100 * same:.1f} % of the answers are the same"
