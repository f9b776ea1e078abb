"""The toy: class "a" when a text has more a than b. Counts what runs in a file, so that tests can see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from harness import Encoded, Prepared, StageError


def ran(what: str) -> None:
    """Append to the file that a test names."""
    if path := os.environ.get("TOY_RAN"):
        with Path(path).open("a") as file:
            file.write(f"{what}\n")


class ToyTask:
    """Texts of a and b."""

    def __init__(self, params):
        self.params = params

    def prepare(self, source, roles):
        ran("prepare")
        params = self.params
        for _ in range(params.rounds):
            pass
        rng = np.random.default_rng(0)
        texts = ["".join(rng.choice(["a", "b"], size=rng.integers(3, 9))) for _ in range(3 * params.examples)]
        examples = [
            {"id": str(i), "text": t, "label": "a" if t.count("a") > len(t) / 2 else "b"} for i, t in enumerate(texts)
        ]
        return Prepared(
            {role: examples[n :: len(roles)] for n, role in enumerate(roles)}, ("a", "b"), {"made": len(texts)}
        )

    def input(self, example):
        return example["text"]

    def target(self, example, labels):
        return labels.index(example["label"]) if "label" in example else None

    def samples(self, examples, outputs, labels):
        return np.array([[self.target(e, labels), np.argmax(o)] for e, o in zip(examples, outputs, strict=True)], float)

    def metrics(self, samples, weights, labels):
        right = samples[:, 0] == samples[:, 1]
        return {"accuracy": weights @ right / weights.sum(1)}

    def chance(self, examples, labels):
        return None

    def details(self, samples, labels):
        return {}

    def answer(self, example, output, labels):
        return {"label": labels[int(np.argmax(output))], "scores": {}}


class ToyEncoder:
    """Letters to 1 and 2."""

    pad = {"input_ids": 0, "attention_mask": 0}  # noqa: RUF012

    def __init__(self, folder):
        self.folder = folder

    def encode(self, inputs, head):
        return [
            Encoded({"input_ids": np.array([1 if c == "a" else 2 for c in text]), "attention_mask": np.ones(len(text), int)}, len(text))
            for text in inputs
        ]  # fmt: skip


class ToyStudent:
    """Two weights and noise."""

    def build(self, request):
        ran("build")
        weights = {"a": 1.0 + request.params.bias, "b": 1.0, "noise": request.params.noise, "seed": request.seed}
        (request.out / "toy.json").write_text(json.dumps(weights))
        return {"parameters": 2, "parameters_without_embeddings": 2}


class ToyRuntime:
    """Counts letters, with noise that depends on the text alone."""

    def load(self, folder, artifact, student, threads):
        return ToySession(json.loads((folder / "toy.json").read_text()))


class ToySession:
    """Answers batches."""

    def __init__(self, weights):
        self.weights = weights

    def forward(self, arrays):
        ids = arrays["input_ids"]
        counts = np.stack([(ids == 1).sum(1) * self.weights["a"], (ids == 2).sum(1) * self.weights["b"]], 1)
        jitter = np.sin(ids.sum(1) * 7.0 + self.weights["seed"]) * self.weights["noise"] * 10
        return {"logits": (counts + jitter[:, None] * np.array([1.0, -1.0])).astype(np.float32)}


class Round:
    """Rounds the weights; changes nothing when they are round."""

    def compress(self, request):
        ran("compress")
        before = json.loads((request.source / "toy.json").read_text())
        after = {name: round(value, 1) for name, value in before.items()}
        (request.out / "toy.json").write_text(json.dumps(after))
        return {"changed": before != after, "bytes": {"toy": 2}}


class Slow:
    """Takes its time, and so do processes that it starts: they would go on for long if nobody ended them."""

    def compress(self, request):
        ran("compress")
        words = [sys.executable, "-c", "import time; time.sleep(613)"]
        helpers = [subprocess.Popen(words) for _ in range(request.params.processes)]
        time.sleep(request.params.seconds)
        for helper in helpers:
            helper.kill()
            helper.wait()
        (request.out / "toy.json").write_text((request.source / "toy.json").read_text())
        return {"changed": False}


class Trouble:
    """Raises, dies, hangs or prints escape codes."""

    def compress(self, request):
        ran("compress")
        (request.out / "toy.json").write_text((request.source / "toy.json").read_text())
        if request.params.fuse and not Path(request.params.fuse).exists():
            return {"changed": True}
        if request.params.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if request.params.how == "hang":
            time.sleep(3600)
        if request.params.how == "print":
            sys.stdout.write('{"kind": "done"}\n\x1b[2J')
            return {"changed": True}
        raise StageError("boom | \x1b[31m<script>")
