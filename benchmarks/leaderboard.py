"""`harness leaderboard`: 1,000 rows of 20 machines, and 10,000 records; nothing was trained, every record is made up."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness.keys import digest
from harness.plugins import load_registry
from harness.records import packed

MACHINES = 20
ROWS = 1000
RECORDS = 10_000
BLOCKS = 12
BARS = {"board": 5.0, "records": 30.0}  # seconds
PAGE = 500  # KB
CPUS = ("x86-64-avx512_vnni", "x86-64-avx2", "aarch64-i8mm")
FAMILIES = {
    "transformer": (0.82, 45.0, 8.0),
    "lstm": (0.76, 8.0, 2.0),
    "sru": (0.75, 6.0, 1.6),
    "ngram": (0.72, 1.2, 0.3),
}
CHAINS = {"none": ((), 1.0, 1.0), "onnx": (("onnx",), 1.0, 0.5), "onnx-int8": (("onnx", "onnx-int8"), 0.27, 0.25)}
# Reads what the command wrote and how much memory it took at most.
MEASURED = """
import sys, time
from harness.cli import main_inner
from harness.measuring.memory import peak_mib
code = main_inner(sys.argv[1:])
print(code, time.process_time(), peak_mib())
"""


def run() -> Iterator[str]:
    """One line per quantity."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_board(folder / "board", examples=1000)
        took, seconds, mib, out = measure(folder / "board")
        page = (out / "leaderboard.html").stat().st_size / 1000
        rows = sum(len(one["entries"]) for one in json.loads((out / "leaderboard.json").read_text())["classes"])
        yield f"board: {rows:,} rows of {MACHINES} machines, 1,000 examples, in {took} {bar('board', seconds)}, {mib:.0f} MiB"
        yield f"page: {page:.0f} KB (bar: under {PAGE} KB, {'met' if page < PAGE else 'MISSED'})"
    for examples in (250, 1000):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_many(folder / "many", examples)
            took, seconds, mib, _ = measure(folder / "many")
            yield f"records: {RECORDS:,} of {examples:,} examples in {took} {bar('records', seconds)}, {mib:.0f} MiB"


def bar(name: str, seconds: float) -> str:
    """Whether it was reached."""
    return f"(bar: under {BARS[name]:g} s, {'met' if seconds < BARS[name] else 'MISSED'})"


def measure(folder: Path) -> tuple[str, float, float, Path]:
    """What the command takes in a fresh process, start included: in words, seconds, MiB; and where it wrote."""
    out = folder.parent / "out"
    begun = time.perf_counter()
    words = [sys.executable, "-c", MEASURED, "leaderboard", str(folder), "--out", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begun
    code, cpu, mib = done.stdout.split()
    if code != "0":
        raise RuntimeError(done.stderr)
    return f"{seconds:.1f} s ({float(cpu):.1f} s of CPU)", seconds, float(mib), out


def write_board(folder: Path, examples: int) -> None:
    """A record per machine: the anchor, which all have, and models of its own, each as trained, exported and in int8."""
    names = [row_of(n) for n in range(1, ROWS)]
    each = ROWS // MACHINES
    for machine in range(MACHINES):
        write_record(
            folder / f"m{machine}.records.jsonl", machine, names[machine * each : (machine + 1) * each], examples
        )


def write_many(folder: Path, examples: int) -> None:
    """Records of one row beside the anchor each: 500 rows, each measured by everybody."""
    for n in range(RECORDS):
        row = n // MACHINES
        write_record(folder / f"{n % MACHINES}" / f"{row}.records.jsonl", n % MACHINES, [row_of(row + 1)], examples)


def row_of(number: int) -> tuple[int, str, str]:
    """Model, family, chain."""
    model = (number + 2) // 3
    return model, list(FAMILIES)[model % 4], list(CHAINS)[(number + 2) % 3]


def write_record(path: Path, machine: int, rows: list[tuple[int, str, str]], examples: int) -> None:
    """A record of one machine: row 0, the anchor, and others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    group = measurement(machine, rows)
    cells = [cell(*row, machine, examples, group["key"]) for row in [(0, "transformer", "none"), *rows]]
    documents = [run_document(machine, examples), group, *cells]
    path.write_text("".join(json.dumps(one, sort_keys=True) + "\n" for one in documents))


def run_document(machine: int, examples: int) -> dict[str, Any]:
    """The first line."""
    ids = [f"example-{n}" for n in range(examples)]
    counts = {"train": 9000, "dev": 500, "test": examples}
    data = {
        "origin": "made up",
        "labels": list("abc"),
        "counts": counts,
        "facts": {},
        "examples": digest(ids),
        "ids": ids,
    }
    speed = {"workloads": ["single"], "threads": 2, "batch_size": 32, "inputs": 32, "blocks": BLOCKS, "turn_ms": 50.0}
    identity = {
        "cpu": f"CPU {machine}", "isa": CPUS[machine % len(CPUS)], "flags": [], "physical_cores": 2, "logical_cores": 2,
        "cpu_quota": None, "memory_gib": 8, "memory_limit_gib": None, "system": "Linux 6.1", "gpus": [],
    }  # fmt: skip
    calm = {"load_average": None, "governor": None, "frequency_mhz": None, "steal_s": None}
    return {
        "schema": 1, "kind": "run", "mode": "real", "started": "2031-05-06T07:08:09+00:00",
        "finished": "2031-05-06T07:12:09+00:00", "seconds": 240.0, "command": "harness run suites/made-up.toml",
        "commit": {"sha": "0123456789abcdef", "dirty": False},
        "suite": {"name": "made-up", "title": "Made up", "text": "", "set": []}, "digest": "feed",
        "task": {
            "name": "sentiment", "params": {}, "head": "sequence", "summary": "made up", "max_length": 64,
            "metrics": [asdict(metric) for metric in METRICS], "data": [data],
        },
        "anchor": {"model": "row-0", "compress": "none"},
        "measure": {"speed": speed, "retention": [], "confidence": 0.95},
        "published": [], "claims": [], "machine": {"identity": identity, "observations": calm},
        "versions": {"torch": "2.13.0", "onnxruntime": "1.31.1", "harness": "0.1.0"}, "plugins": [], "broken_plugins": {},
    }  # fmt: skip


def measurement(machine: int, rows: list[tuple[int, str, str]]) -> dict[str, Any]:
    """All rows of a machine in one group."""
    calm = {"load_average": None, "governor": None, "frequency_mhz": None, "steal_s": None}
    pace = 1 + 0.1 * machine
    times = {f"row.{n}.{chain}": FAMILIES[family][2] * CHAINS[chain][2] * pace for n, family, chain in rows}
    return {
        "schema": 1, "kind": "measurement", "key": f"measure-{machine}-{rows[0][0]}-{rows[0][2]}", "threads": 2, "blocks": [],
        "observed": {"before": calm, "after": calm}, "anchor": timed(8 * pace, 1), "twin": timed(8 * pace, 2),
        "rows": {name: timed(ms, 3 + n) for n, (name, ms) in enumerate(times.items())},
    }  # fmt: skip


def timed(ms: float, seed: int) -> dict[str, Any]:
    """Times around `ms`, with every single request, as a run keeps them."""
    rng = np.random.default_rng(seed)
    forward = (ms * (1 + 0.02 * rng.random(BLOCKS))).round(6).tolist()
    requests = (ms * (0.8 + 0.4 * rng.random(BLOCKS * 32))).round(6).tolist()
    single = {
        "forward_ms": forward, "request_ms": [t + 0.1 for t in forward], "passes": [1] * BLOCKS, "outputs": "ab",
        "requests": {"forward_ms": requests, "request_ms": requests},
    }  # fmt: skip
    return {"status": "ok", "label": "row", "cold_start": {}, "memory": {}, "workloads": {"single": single}}


def cell(row: int, family: str, chain: str, machine: int, examples: int, measured: str) -> dict[str, Any]:
    """One row of one seed: right as often as its family is, on examples that are hard for all alike."""
    compress, size, _ = CHAINS[chain]
    share, mib, _ = FAMILIES[family]
    name = f"row-{row}"
    place = CPUS[machine % len(CPUS)] if chain == "onnx-int8" else "anywhere"
    found = answers(row, share, examples, place)
    right = float((found[:, 0] == found[:, 1]).mean())
    return {
        "schema": 1, "kind": "cell", "cell": f"model={name},compress={chain},seed=1",
        "axes": {"model": name, "compress": chain, "seed": 1}, "student": family, "distil": ["kd"], "teachers": [[]],
        "status": "ok", "reason": "", "failed_stage": "", "retry": "", "dev": None,
        "quality": {
            "metrics": {"accuracy": right}, "details": {}, "examples": digest([f"example-{n}" for n in range(examples)]),
            "samples": packed(found) if found.size > 50_000 else found.tolist(),
        },
        "artifact": {
            "sizes": {"model_mib": mib * size * (1 + row / 5000), "folder_mib": mib}, "parameters": int(mib * 2**18),
            "parameters_without_embeddings": None,
        },
        "predict": {"use": "torch", "seconds": 1.0, "batch": 1 if "int8" in chain else 64, "examples": examples},
        "train": [], "compress": [{"use": use, "seconds": 1.0} for use in compress],
        "measure": measured, "subject": f"row.{row}.{chain}" if row else "anchor", "unmeasured": "",
        "stages": {"score.3": f"score-{row}-{chain}-{place}"}, "ancestors": [],
    }  # fmt: skip


def answers(row: int, share: float, examples: int, place: str) -> np.ndarray:
    """Samples [n, 3]: gold id, predicted id, loss."""
    gold = np.random.default_rng(0).integers(0, 3, examples)
    hard = np.random.default_rng(1).random(examples)
    own = np.random.default_rng([row, len(place)]).random(examples)
    mixed = 0.6 * hard + 0.4 * own
    wrong = mixed > np.quantile(mixed, share + 0.04 * np.sin(row))
    return np.stack([gold, (gold + wrong) % 3, (0.2 + wrong + 0.1 * own).round(5)], axis=1)


METRICS = load_registry().task("sentiment").metrics

if __name__ == "__main__":
    for line in run():
        print(line, flush=True)
