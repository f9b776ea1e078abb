"""Records made up for the tests of leaderboards: a task of two classes, rows that are right as often as asked."""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from harness.keys import digest
from harness.leaderboard.board import Asked, make_board
from harness.plugins import build_registry
from harness.specs import CompressorSpec, Metric, Params, StudentSpec, TaskSpec

EXAMPLES = 400
METRICS = (Metric(name="accuracy"), Metric(name="loss", higher_is_better=False, unit="nats"))
VNNI, AVX2 = "x86-64-avx512_vnni", "x86-64-avx2"
CHAINS = {"none": (), "onnx": ("onnx",), "int8": ("onnx", "onnx-int8"), "strange": ("nobody-has-it",)}
SPEED = {"workloads": ["single"], "threads": 2, "batch_size": 32, "inputs": 32, "blocks": 12, "turn_ms": 50.0}
CALM = {"load_average": None, "governor": None, "frequency_mhz": None, "steal_s": None}


class TaskParams(Params):
    """One param that scores read, and one that they do not."""

    strict: bool = False
    limit: int | None = None


class Task:
    """Samples are (gold id, predicted id, loss)."""

    def __init__(self, params):
        self.params = params

    def metrics(self, samples, weights, labels):
        right = (samples[:, 0] == samples[:, 1]).astype(float)
        total = weights.sum(axis=1)
        return {"accuracy": weights @ right / total, "loss": weights @ np.ascontiguousarray(samples[:, 2]) / total}


def registry(*extra):
    common = {"summary": "made up", "version": 1, "factory": "leaderboard_fakes:Task"}
    chain = {"consumes": ("torch",), "produces": "onnx"}
    return build_registry(
        [
            TaskSpec(
                name="reviews",
                head="sequence",
                metrics=METRICS,
                params=TaskParams,
                scoring=frozenset({"strict"}),
                **common,
            ),
            StudentSpec(name="lstm", heads=("sequence",), encoder="nowhere:none", **common),
            CompressorSpec(name="onnx", **chain, **common),
            CompressorSpec(name="onnx-int8", isa_dependent=True, batch_dependent=True, **chain, **common),
            *extra,
        ]
    )


REGISTRY = registry()


@cache
def answers(model, seed, share, examples=EXAMPLES):
    """Samples [n, 3]; what is hard for one model is hard for all, the rest is its own and its seed's."""
    gold = np.random.default_rng(0).integers(0, 2, examples)
    hard = np.random.default_rng(1).random(examples)
    own = np.random.default_rng([sum(map(ord, model)), seed]).random(examples)
    mixed = 0.7 * hard + 0.3 * own
    wrong = mixed > np.quantile(mixed, share)
    return np.stack([gold, np.where(wrong, 1 - gold, gold), 0.2 + wrong + 0.1 * own], axis=1).tolist()


def cell(model, chain="none", seed=1, share=0.8, **changes):
    """A cell; `quality` may change what it says of its metrics, `key` what decides its score."""
    axes = {"model": model, "compress": chain, "seed": seed, **changes.pop("axes", {})}
    found = changes.pop("samples", None) or answers(model + ("int8" if chain == "int8" else ""), seed, share)
    right = float(np.mean([gold == said for gold, said, _ in found]))
    loss = float(np.mean([loss for *_, loss in found]))
    ids = changes.pop("ids", [f"example-{n}" for n in range(len(found))])
    size = {"none": 8.0, "onnx": 8.0, "int8": 2.0}.get(chain, 4.0)
    name = ",".join(f"{axis}={value}" for axis, value in axes.items())
    document = {
        "schema": 1, "kind": "cell", "cell": name, "axes": axes, "student": "lstm", "distil": ["kd"],
        "teachers": [[]], "status": "ok", "reason": "", "failed_stage": "", "retry": f"harness run s.toml --only {name}",
        "quality": {
            "metrics": {"accuracy": right, "loss": loss}, "details": {}, "examples": digest(ids), "samples": found,
        },
        "dev": None,
        "artifact": {
            "sizes": {"model_mib": size, "folder_mib": size}, "parameters": 1000, "parameters_without_embeddings": None,
        },
        "predict": {"use": "torch", "seconds": 1.0, "batch": 1 if chain == "int8" else 64},
        "train": [], "compress": [{"use": use, "seconds": 1.0} for use in CHAINS[chain]],
        "measure": None, "subject": None, "unmeasured": "speed is not measured in this suite",
        "stages": {"score.3": changes.pop("key", f"score of {name}")}, "ancestors": [],
    }  # fmt: skip
    return document | changes


def timed(cells, ms, anchor_ms=8.0, key="measure-1", blocks=12):
    """(measurement, the cells with it): `ms` by (model, chain); the anchor is the one that takes `anchor_ms`."""
    subjects = {place: f"row.{n}" for n, place in enumerate(ms)}
    rows = {subjects[place]: subject(value, 3 + n, blocks) for n, (place, value) in enumerate(ms.items())}
    found = {
        "schema": 1, "kind": "measurement", "key": key, "threads": 2, "blocks": [],
        "observed": {"before": CALM, "after": CALM}, "anchor": subject(anchor_ms, 1, blocks),
        "twin": subject(anchor_ms, 2, blocks), "rows": rows,
    }  # fmt: skip
    places = [(one, (one["axes"]["model"], one["axes"]["compress"])) for one in cells]
    return found, [
        one | {"measure": key, "subject": subjects.get(place, "anchor"), "unmeasured": ""} for one, place in places
    ]


def subject(ms, seed, blocks=12):
    """Times around `ms`, 2 % apart."""
    times = (ms * (1 + 0.02 * np.random.default_rng(seed).random(blocks))).tolist()
    single = {"forward_ms": times, "request_ms": times, "passes": [1] * blocks, "outputs": "ab"}
    return {"status": "ok", "label": "row", "cold_start": {}, "memory": {}, "workloads": {"single": single}}


def run(*, isa=VNNI, cpu="CPU 1", task=None, data=None, examples=EXAMPLES, **changes):
    """The first line; `task` and `data` change parts of it."""
    ids = [f"example-{n}" for n in range(examples)]
    about = {
        "origin": "made up", "labels": ["bad", "good"], "counts": {"test": examples}, "facts": {},
        "examples": digest(ids), "ids": ids, **(data or {}),
    }  # fmt: skip
    identity = {
        "cpu": cpu, "isa": isa, "flags": [], "physical_cores": 2, "logical_cores": 2, "cpu_quota": None,
        "memory_gib": 8, "memory_limit_gib": None, "system": "Linux 6.1", "gpus": [],
    }  # fmt: skip
    document = {
        "schema": 1, "kind": "run", "mode": "real", "started": "2031-05-06T07:08:09+00:00",
        "finished": "2031-05-06T07:12:09+00:00", "seconds": 240.0, "command": "harness run suites/made-up.toml",
        "commit": {"sha": "0123456789abcdef", "dirty": False},
        "suite": {"name": "made-up", "title": "Made up", "text": "", "set": []}, "digest": "feed",
        "task": {
            "name": "reviews", "params": {}, "head": "sequence", "summary": "made up", "max_length": 64,
            "metrics": [{"name": "accuracy"}], "data": [about], **(task or {}),
        },
        "anchor": {"model": "teacher", "compress": "none"},
        "measure": {"speed": SPEED, "retention": [], "confidence": 0.95},
        "published": [], "claims": [], "machine": {"identity": identity, "observations": CALM},
        "versions": {"torch": "2.13.0"}, "plugins": [], "broken_plugins": {},
    }  # fmt: skip
    return document | changes


def write(path, *documents):
    """A record's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in documents), encoding="utf-8")
    return path


def seeds(model, chain="none", share=0.8, of=(1, 2), **changes):
    """The cells of a row."""
    return [cell(model, chain, seed, share, **changes) for seed in of]


def board(*paths, base=None, known=REGISTRY, **asked):
    """The board of these records."""
    return make_board(
        paths, base or paths[0].parent, known, Asked(title="Board", made="2031-06-01T00:00:00+00:00", **asked)
    )


def entry(found, label, class_=0):
    """An entry of a class."""
    return next(one for one in found.classes[class_].entries if one.label == label)
