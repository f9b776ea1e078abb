"""Leaderboards made up for the tests of what is written from them: every figure is known, nothing was measured."""

from __future__ import annotations

import random
import statistics
from dataclasses import fields, is_dataclass, replace

from harness.leaderboard.model import Board, Class, Entry, Evidence, Machine, Refused, Spread, Timed
from harness.reports.model import Absent
from harness.specs import Metric
from harness.statistics import Interval

ACCURACY, MACRO_F1 = Metric(name="accuracy"), Metric(name="macro_f1")
FAMILIES = {
    "transformer": (0.82, 45.0, 12e6),
    "lstm": (0.76, 8.0, 2.1e6),
    "sru": (0.75, 6.0, 1.6e6),
    "ngram": (0.72, 1.2, 0.3e6),
}
CHAINS = {(): (1.0, 1.0), ("torch-int8",): (1.6, 2.4), ("onnx",): (1.9, 1.0), ("onnx", "onnx-int8"): (4.1, 3.8)}
RECIPES = (("finetune",), ("kd",), ("finetune", "kd"), ("hidden", "mse"))
CPUS = ("Xeon Gold 6338", "EPYC 7763", "Ryzen 7 5800X", "Core i7-1185G7", "Graviton 3")
NOT_TIMED = Absent("was not timed beside its anchor: the machine was too loud")


def machines(count):
    return tuple(
        Machine(
            id=f"m{n + 1}",
            name=f"{CPUS[n % len(CPUS)]}, {2 + n % 7} cores",
            isa=("avx512-vnni", "avx2", "neon")[n % 3],
            facts={"threads": "1", "governor": "performance", "system": "Linux 6.1"},
        )
        for n in range(count)
    )


def evidence(count, machine_count):
    return tuple(
        Evidence(
            id=f"r{n + 1}",
            file=f"results/machine-{n % machine_count + 1:02}/records-{n + 1}.jsonl",
            digest=f"{n:064x}"[::-1],
            suite=("rureviews", "sberquad", "runne")[n % 3],
            commit=f"{n + 7:040x}"[::-1],
            started="2031-05-06T07:08:09+00:00",
            command=f"harness run suites/{('rureviews', 'sberquad', 'runne')[n % 3]}.toml",
            versions={"harness": "0.1.0", "onnxruntime": "1.22.0", "torch": "2.10.0", "transformers": "5.3.0"},
            machine=f"m{n % machine_count + 1}",
        )
        for n in range(count)
    )


def around(value, share):
    return Interval(value, value * (1 - share), value * (1 + share))


def entry(n, rng, *, on, anchor=False, metrics=(ACCURACY, MACRO_F1)):
    """`on`: numbers of the machines (and records) that it was timed on."""
    family = "transformer" if anchor else list(FAMILIES)[n % len(FAMILIES)]
    chain = () if anchor else list(CHAINS)[n // len(FAMILIES) % len(CHAINS)]
    recipe = ("finetune",) if anchor else RECIPES[n // 16 % len(RECIPES)]
    quality, size, parameters = FAMILIES[family]
    faster, smaller = CHAINS[chain]
    scale = 1.0 if anchor else rng.uniform(0.5, 2.0)
    found = quality + (0 if anchor else rng.gauss(0, 0.02)) - 0.004 * len(chain)
    own = (FAMILIES["transformer"][1] / size) ** 0.7 * faster / scale
    timed = tuple(
        Timed(
            machine=f"m{m}",
            evidence=f"r{m}",
            forward=around(own * (factor := 1.0 if anchor else rng.uniform(0.8, 1.25)) * 1.2, 0.03),
            request=around(own * factor, 0.04),
            request_ms=around(20 / own / factor, 0.04),
            noise=anchor,
        )
        for m in on
    )
    loud = not anchor and n % 37 == 36
    name = "teacher" if anchor else f"{family}-{n:04}"
    return Entry(
        id=f"{rng.getrandbits(48):012x}",
        label=name + (f" · {'-'.join(chain)}" if chain else ""),
        anchor=anchor,
        suite="made-up",
        model=name,
        student=family,
        distil=recipe,
        compressors=chain,
        axes={"model": name, "compress": "-".join(chain) or "none"},
        seeds=3,
        scores={
            m.name: Interval(found - 0.01 * k, found - 0.01 * k - 0.012, found - 0.01 * k + 0.011)
            for k, m in enumerate(metrics)
        },
        place=None,
        tied=False,
        times_smaller=FAMILIES["transformer"][1] / size * smaller / scale,
        model_mib=size / smaller * scale,
        parameters=parameters * scale,
        forward=None if loud else spread([t.forward.value for t in timed]),
        request=None if loud else spread([t.request.value for t in timed]),
        timed=() if loud else timed,
        front_speed=False,
        front_size=False,
        evidence=tuple(f"r{m}" for m in on),
        notes=("1 of 3 seeds failed",) if n % 23 == 22 else (),
    )


def spread(values):
    return (
        Spread(value=statistics.median(values), low=min(values), high=max(values), machines=len(values))
        if values
        else None
    )


def ranked(entries):
    """Places in steps of a point, fronts by the values alone: a stand-in for what the data can tell."""
    order = sorted({round(e.scores["accuracy"].value, 2) for e in entries}, reverse=True)
    ranks = [order.index(round(e.scores["accuracy"].value, 2)) + 1 for e in entries]
    found = [
        replace(
            e,
            place=rank,
            tied=ranks.count(rank) > 1,
            front_speed=e.request is not None
            and not any(beats(o, e, lambda x: x.request.value if x.request else 0.0) for o in entries),
            front_size=not any(beats(o, e, lambda x: x.times_smaller) for o in entries),
        )
        for e, rank in zip(entries, ranks, strict=True)
    ]
    return tuple(sorted(found, key=lambda e: (not e.anchor, e.place, e.label)))


def beats(other, one, gain):
    return other.scores["accuracy"].value > one.scores["accuracy"].value and gain(other) > gain(one)


def board(
    entries=1000,
    machine_count=20,
    class_sizes=(0.4, 0.25, 0.15, 0.1, 0.06, 0.04),
    timed_on=lambda n, m: [n % m + 1, (n * 7) % m + 1],
    seed=7,
):
    """`timed_on`: number of the entry, number of machines → machines that it was timed on."""
    rng = random.Random(seed)  # noqa: S311 it decides figures of models that do not exist
    sizes = [max(2, round(entries * share)) for share in class_sizes]
    sizes[0] += entries - sum(sizes)
    classes = []
    for number, size in enumerate(sizes):
        everywhere = range(1, machine_count + 1)
        made = [
            entry(n, rng, on=everywhere if n == 0 else sorted(set(timed_on(n, machine_count))), anchor=n == 0)
            for n in range(size)
        ]
        ordered = ranked(made)
        task = ("rureviews", "sberquad", "runne")[number % 3]
        revision = f"{number + 1:04x}beef"
        classes.append(
            Class(
                id=f"c{number + 1}{task}",
                title=f"{task} · accuracy · {revision}",
                task=task,
                metrics=(ACCURACY, MACRO_F1),
                facts={
                    "test data": revision,
                    "max_length": "128",
                    "ISA of int8 scores": "avx512-vnni" if number % 2 else "any",
                },
                apart=""
                if number < 3
                else f"kept apart from {task} · accuracy · {number - 2:04x}beef: its test data are of another revision",
                anchor=ordered[0].id,
                entries=ordered,
                confidence=0.95,
            )
        )
    return Board(
        title="Small models in Russian",
        made="2031-06-01T12:00:00+00:00",
        classes=tuple(classes),
        machines=machines(machine_count),
        evidence=evidence(machine_count, machine_count),
        refused=(
            Refused(file="results/rehearsal.jsonl", row="", reason="is a rehearsal: run the suite without --rehearse"),
            Refused(
                file="results/broken.jsonl",
                row="lstm · onnx",
                reason="accuracy is 1.7, outside 0 to 1: make the record anew",
            ),
        ),
        warnings=("results/machine-02 holds two records of one run: the later one counts",),
    )


def small():
    """Ten entries of two classes on three machines, one with absent figures."""
    made = board(entries=10, machine_count=3, class_sizes=(0.7, 0.3))
    first = made.classes[0]
    bare = replace(
        first.entries[-1],
        request=None,
        forward=None,
        timed=(),
        times_smaller=Absent("has no model file"),
        parameters=Absent("is no network"),
        place=None,
    )
    return replace(made, classes=(replace(first, entries=(*first.entries[:-1], bare)), *made.classes[1:]))


def poisoned(made, text):
    """The same with `text()` wherever a text is, keys of mappings included; ids and names that refer stay whole."""
    return _poisoned(made, text)


def _poisoned(value, text, name=""):
    if isinstance(value, Metric):
        return value
    if is_dataclass(value):
        return type(value)(**{f.name: _poisoned(getattr(value, f.name), text, f.name) for f in fields(value)})
    if isinstance(value, tuple):
        return tuple(_poisoned(each, text, name) for each in value)
    if isinstance(value, dict):
        keep = name == "scores"
        return {(key if keep else text()): _poisoned(each, text, name) for key, each in value.items()}
    return text() if isinstance(value, str) and name not in REFERRING else value


REFERRING = {"id", "machine", "evidence", "anchor"}
