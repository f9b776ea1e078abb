"""A task and records made up for the tests of reports: nothing was trained, every figure is known."""

from __future__ import annotations

import functools
import re
from dataclasses import asdict, replace

import numpy as np

from harness.plugins import build_registry, load_registry
from harness.records import Records
from harness.reports import summarise
from harness.specs import CompressorSpec, Metric, TaskSpec
from harness.suite.types import SpeedConfig

LABELS = ("negative", "neutral", "positive")
METRICS = (Metric(name="accuracy"), Metric(name="macro_f1"))
SEEDS = (1, 2)
EXAMPLES = 400
TYPES = ("LOC", "PER")  # columns 3t … 3t + 2 of a sample: gold, predicted, right spans of the type
BETAS = (0.0, 0.1, 0.2, 0.5)
NER_METRICS = (Metric(name="f1"), Metric(name="f1_critical"), Metric(name="coverage"))
ITEMS = [
    {
        "example": f"test-{n // 2}",
        "start": 0,
        "end": 6,
        "type": "PER",
        "text": f"Name {n}",
        "context": f"Sentence | {n} about Name {n}",
    }
    for n in range(EXAMPLES)
]
CHAINS = {"none": (), "int8": ("torch-int8",), "onnx": ("onnx",), "onnx-int8": ("onnx", "onnx-int8")}
MODELS = {  # name: distiller, teachers, share of right answers, MiB, ms of a forward pass
    "teacher": ("finetune", (), 0.80, 45.0, 8.0),
    "lstm": ("finetune", (), 0.70, 8.0, 2.0),
    "lstm-kd": ("kd", ("teacher",), 0.78, 8.0, 2.0),
}
GAIN = {"none": (1.0, 1.0), "int8": (0.4, 0.7), "onnx": (1.0, 0.5), "onnx-int8": (0.27, 0.25)}  # size, time


class Task:
    """Samples are (gold id, predicted id)."""

    def __init__(self, params):
        self.params = params

    def metrics(self, samples, weights, labels):
        gold, said = (np.eye(len(labels))[column.astype(int)] for column in samples.T)  # [n, C]
        sums = weights @ np.concatenate([gold * said, gold + said], axis=1)  # [r, 2C], in one product
        right, ends = sums[:, : len(labels)], sums[:, len(labels) :]
        f1 = np.mean(2 * right / np.maximum(ends, 1e-9), axis=1)
        return {"accuracy": right.sum(axis=1) / weights.sum(axis=1), "macro_f1": f1}


def specs():
    common = {"summary": "made up", "version": 1}
    chain = {"consumes": ("torch",), "produces": "torch", "factory": "report_fakes:Task"}
    return [
        TaskSpec(name="reviews", head="sequence", metrics=METRICS, factory="report_fakes:Task", **common),
        TaskSpec(name="entities", head="token", metrics=NER_METRICS, factory="report_fakes:Tagging", **common),
        CompressorSpec(name="torch-int8", **chain, **common),
        CompressorSpec(name="onnx", **chain, **common),
        CompressorSpec(name="onnx-int8", **chain, **common),
        CompressorSpec(name="archive", expects_change=False, **chain, **common),
    ]


def run_document(**changes):
    document = {
        "schema": 1,
        "kind": "run",
        "mode": "real",
        "started": "2031-05-06T07:08:09+00:00",
        "finished": "2031-05-06T07:12:09+00:00",
        "seconds": 240.0,
        "command": "harness run suites/made-up.toml",
        "commit": {"sha": "0123456789abcdef0123", "dirty": True},
        "suite": {
            "name": "made-up",
            "title": "Reviews: what compression buys",
            "text": "",
            "set": ["matrix.seed=[1,2]"],
        },
        "digest": "feedc0ffee" * 6,
        "task": {
            "name": "reviews",
            "head": "sequence",
            "summary": "made-up reviews, 3 classes",
            "max_length": 64,
            "metrics": [asdict(metric) for metric in METRICS],
            "data": [
                {
                    "origin": "bundled:made_up/reviews",
                    "labels": list(LABELS),
                    "counts": {"train": 2400, "dev": 300, "test": EXAMPLES},
                    "facts": {
                        "duplicates": {
                            "exact": 12,
                            "normalised": 31,
                            "conflicting_examples": [{"text": "a"}, {"text": "b"}],
                        },
                        "files_left_out": [],
                        "roles": {"test": {"classes": dict.fromkeys(LABELS, 133), "characters": {"median": 61.5}}},
                    },
                }
            ],
        },
        "anchor": {"model": "teacher", "compress": "none"},
        "measure": {
            "speed": asdict(SpeedConfig()),
            "retention": {"of": "teacher", "metric": "accuracy", "at_least": (0.95, 0.99)},
            "confidence": 0.95,
        },
        "published": [],
        "claims": [],
        "machine": {
            "identity": {
                "cpu": "Made-up CPU @ 3 GHz",
                "isa": "x86-64-avx512_vnni",
                "flags": ["avx512_vnni", "avx2"],
                "physical_cores": 2,
                "logical_cores": 2,
                "cpu_quota": None,
                "memory_gib": 8,
                "memory_limit_gib": None,
                "system": "Linux 6.1",
                "gpus": [],
            },
            "observations": {
                "load_average": [0.1, 0.2, 0.3],
                "governor": None,
                "frequency_mhz": 3000.0,
                "steal_s": 0.0,
            },
        },
        "versions": {"torch": "2.13.0", "onnxruntime": "1.30.0"},
        "plugins": ["harness 0.1.0"],
        "broken_plugins": {},
    }
    return document | changes


def samples(model, chain, seed, share):
    """One gold column for all; int8 flips a few answers of its source; an exact export answers like its source."""
    gold = np.random.default_rng(0).integers(0, 3, EXAMPLES)
    hard = np.random.default_rng(1).random(EXAMPLES)  # what is hard for one is hard for all
    own = np.random.default_rng([sorted(MODELS).index(model) if model in MODELS else 9, seed]).random(EXAMPLES)
    right = 0.6 * hard + 0.4 * own < np.quantile(0.6 * hard + 0.4 * own, share)
    if "int8" in chain:
        right ^= np.random.default_rng([7, seed]).random(EXAMPLES) < 0.01
    return np.stack([gold, np.where(right, gold, (gold + 1) % 3)], axis=1)


def quality(model, chain, seed, share):
    found = samples(model, chain, seed, share)
    confusion = np.zeros((3, 3), dtype=int)
    np.add.at(confusion, (found[:, 0], found[:, 1]), 1)
    per_class = {
        label: {"f1": 0.5 + 0.1 * n, "precision": 0.6, "recall": 0.55, "support": int(confusion[n].sum())}
        for n, label in enumerate(LABELS)
    }
    return {
        "metrics": {"accuracy": float((found[:, 0] == found[:, 1]).mean()), "macro_f1": 0.0},
        "details": {"classes": list(LABELS), "per_class": per_class, "confusion": confusion.tolist()},
        "examples": "all of them",
        "samples": found.tolist(),
    }


def step(use, **facts):
    parity = {
        "examples": 32,
        "max_difference": 0.041,
        "mean_difference": 0.0063,
        "spread": 0.23,
        "same_answer": 0.96875,
        "batch_shift": 0.021,
    }
    counts = {"embeddings": 3 * 2**20, "int8": 2 * 2**20, "fp32": 2**19}
    return {"use": use, "seconds": 1.5, "changed": True, "bytes": counts, "parity": parity, **facts}


def training(distil, seed):
    epochs = [
        {"epoch": n, "steps": 75, "loss": 1.0 / n, "dev": 0.6 + 0.05 * n, "seconds": 10.0 + seed} for n in (1, 2, 3)
    ]
    return {"use": distil, "seconds": 30.0 + 3 * seed, "steps": 225, "epochs": epochs, "best_epoch": 3, "curve": None}


def cell(model, chain, seed, **changes):
    distil, teachers, share, mib, _ = MODELS[model]
    size = mib * GAIN[chain][0]
    name = f"model={model},compress={chain},seed={seed}"
    train = f"train-{model}-{seed}"
    document = {
        "schema": 1,
        "kind": "cell",
        "cell": name,
        "axes": {"model": model, "compress": chain, "seed": seed},
        "student": "lstm" if "lstm" in model else "transformer",
        "distil": [distil],
        "teachers": [list(teachers)],
        "status": "ok",
        "reason": "",
        "failed_stage": "",
        "log": "",
        "retry": f"harness run suites/made-up.toml --only {name}",
        "quality": quality(model, chain, seed, share),
        "artifact": {
            "sizes": {"model_mib": size, "folder_mib": size + 0.4},
            "parameters": int(mib * 2**18),
            "parameters_without_embeddings": int(mib * 2**16),
            "vocab_size": 4000,
        },
        "train": [training(distil, seed)],
        "compress": [step(use) for use in CHAINS[chain]],
        "measure": f"measure-{'lstm' if 'lstm' in model else 'teacher'}",
        "unmeasured": "",
        "subject": "anchor" if (model, chain) == ("teacher", "none") else f"row.{chain}",
        "stages": {"build.0": f"build-{model}-{seed}", "train.1": train, "score.3": f"score-{name}"},
        "ancestors": ["train-teacher-1", train],  # by way of the measurement, too
    }
    return document | changes


def result(ms, seed, blocks=20, inputs=64):
    """A subject's result: times around `ms`, 2 % apart; a request takes half a millisecond more."""
    rng = np.random.default_rng(seed)
    forward = (ms * (1 + 0.02 * rng.random(blocks))).tolist()
    requests = {
        "forward_ms": (ms * (0.8 + 0.4 * rng.random(blocks * inputs))).round(6).tolist(),
        "request_ms": (ms * (0.8 + 0.4 * rng.random(blocks * inputs)) + 0.5).round(6).tolist(),
    }
    single = {
        "forward_ms": forward,
        "request_ms": [t + 0.5 for t in forward],
        "passes": [1] * blocks,
        "outputs": "ab",
        "requests": requests,
    }
    batch = {
        "forward_ms": [t / 3 for t in forward],
        "request_ms": [t / 3 + 0.1 for t in forward],
        "passes": [1] * blocks,
    }
    return {
        "status": "ok",
        "label": "subject",
        "cold_start": {"ready_ms": 900.0, "load_ms": 300.0 + ms, "first_answer_ms": 12.0 + ms},
        "memory": {"how": "VmHWM", "loaded_mib": 200.0, "peak_mib": 240.0 + ms},
        "workloads": {"single": single, "batch": {**batch, "outputs": "ab"}},
    }


def measurement(key, ms, chains=tuple(CHAINS), **changes):
    observed = {"load_average": [0.5, 0.4, 0.3], "governor": None, "frequency_mhz": 3000.0, "steal_s": 0.0}
    document = {
        "schema": 1,
        "kind": "measurement",
        "key": key,
        "threads": 2,
        "blocks": [],
        "observed": {"before": observed, "after": observed},
        "anchor": result(MODELS["teacher"][4], 1),
        "twin": result(MODELS["teacher"][4], 2),
        "rows": {f"row.{chain}": result(ms * GAIN[chain][1], 3 + n) for n, chain in enumerate(chains)},
    }
    return document | changes


def records(**run):
    """Three models × four chains × two seeds, all of it well."""
    cells = [cell(model, chain, seed) for model in MODELS for chain in CHAINS for seed in SEEDS]
    measured = {f"measure-{name}": measurement(f"measure-{name}", MODELS[name][4]) for name in ("teacher", "lstm")}
    return Records(run_document(**run), measured, cells)


REGISTRY = build_registry(specs())


@functools.cache
def reporters():
    """Those of every report, as the command line makes them."""
    from harness.cli.report_command import reporters as standard

    return standard(load_registry())


@functools.cache
def plain_report():
    return summarise(records(), REGISTRY)


def report(**run):
    return summarise(records(**run), REGISTRY) if run else plain_report()


def row(found, label):
    return next(r for r in found.rows if r.label == label)


def change(records, where, **changes):
    """The record with every cell that matches `where` changed."""
    hit = [all(cell["axes"][n] == v for n, v in where.items()) for cell in records.cells]
    assert any(hit)
    return replace(records, cells=[{**c, **changes} if h else c for c, h in zip(records.cells, hit, strict=True)])


def tables(text):
    """Every pipe table as a list of rows of cells."""
    found, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            found.append(rows)
            rows = []
    return found


def part(text, title):
    """A section's lines."""
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


# -------------------------------------------------------------------------------------------------------- entities


class Tagging(Task):
    """PER is critical: an item per sentence."""

    def metrics(self, samples, weights, labels):
        sums = weights @ samples  # [r, 6]
        gold, said, right = (sums[:, n::3] for n in range(3))  # [r, types]
        f1 = 2 * right.sum(axis=1) / (gold + said).sum(axis=1)
        return {
            "f1": f1,
            "f1_critical": 2 * right[:, 1] / (gold + said)[:, 1],
            "coverage": right[:, 1] / gold[:, 1],
        }


def tagging(model, seed, beta):
    """(samples [n, 6], found [n]): about 85 % of LOC; of PER more with the teacher and with a moderate beta."""
    share = {"teacher": 0.93, "small": 0.82}.get(model, 0.86 + (0.04 if beta in (0.1, 0.2) else 0.0))
    hard = np.random.default_rng(3).random(EXAMPLES)
    own = np.random.default_rng([4, seed, len(model), int(10 * (beta or 0))]).random(EXAMPLES)
    found = 0.8 * hard + 0.2 * own < np.quantile(0.8 * hard + 0.2 * own, share)
    ones = np.ones(EXAMPLES)
    loc = np.random.default_rng([5, seed]).random(EXAMPLES) < 0.85
    return np.stack([ones, ones, loc, ones, ones, found], axis=1), found


def entity_cell(model, chain, seed, beta=None, **changes):
    samples_, found = tagging(model, seed, beta)
    base = "teacher" if model == "teacher" else "lstm"
    document = cell(base, chain, seed)
    axes = {"model": model, "compress": chain, "beta": beta, "seed": seed}
    right = samples_[:, 2].mean(), samples_[:, 5].mean()
    per_type = {
        name: {"precision": r, "recall": r, "f1": r, "support": EXAMPLES, "critical": "yes" if name == "PER" else "no"}
        for name, r in zip(TYPES, map(float, right), strict=True)
    }
    scored = {
        "metrics": {},
        "details": {"classes": list(TYPES), "per_class": per_type},
        "examples": "all of them",
        "samples": samples_.astype(int).tolist(),
        "found": np.packbits(found).tobytes().hex(),
    }
    return document | {"cell": f"model={model},compress={chain},seed={seed},beta={beta}", "axes": axes} | {
        "quality": scored, "teachers": [[] if model in ("teacher", "small") else ["teacher"]]
    } | changes  # fmt: skip


def entity_records(chains=("none", "onnx"), **run):
    """A teacher, a student of its own, and one constrained by it at four strengths; two seeds."""
    document = run_document()
    data = [{**document["task"]["data"][0], "labels": ["O", "B-PER"], "examples": "all of them", "items": ITEMS}]
    task = {**document["task"], "name": "entities", "head": "token", "data": data}
    task["metrics"] = [asdict(metric) for metric in NER_METRICS]
    bars = [
        {"of": "teacher", "metric": "f1", "at_least": [0.9, 0.95]},
        {"of": "teacher", "metric": "f1_critical", "at_least": [0.9]},
    ]
    measure = {**document["measure"], "retention": bars}
    rows = [("teacher", None), ("small", None), *(("constrained", beta) for beta in BETAS)]
    cells = [entity_cell(m, chain, seed, beta) for m, beta in rows for chain in chains for seed in SEEDS]
    measured = {f"measure-{name}": measurement(f"measure-{name}", MODELS[name][4]) for name in ("teacher", "lstm")}
    return Records(run_document(**{"task": task, "measure": measure, **run}), measured, cells)


@functools.cache
def plain_entity_report():
    return summarise(entity_records(), REGISTRY)


def entity_report(**run):
    return summarise(entity_records(**run), REGISTRY) if run else plain_entity_report()
