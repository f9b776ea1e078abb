"""Which script answers with an exported model, and the proof that it answers as `harness predict` does."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, printable
from harness.exporting.gather import Material
from harness.exporting.public import without_paths
from harness.inference import load_answerer
from harness.keys import written
from harness.plugins import Registry
from harness.shapes import shapes_of
from harness.specs import Facts

Json = Any
NAME = "answer.py"
SETTINGS = "answer.json"  # what the script must know
TOKENIZER = "tokenizer_config.json"  # by which transformers finds the tokenizer's class
TOLERANCE = 1e-3  # on probabilities: libraries round differently, a wrong answer is off by more
SECONDS = 300
# Made up for the proof: short, long, empty, several scripts. Answers to them are compared, and not kept.
TEXTS = (
    "Хорошее платье, советую!",
    "not what I ordered, the seller does not answer",
    "",
    "12 345,67 € — 🙂 ё",
    "Анна Петрова живёт в Твери и работает в «Ромашке». " * 30,
)
QUESTIONS = (
    {"question": "Где живёт Анна?", "context": "Анна Петрова живёт в Твери, а работает в Туле."},
    {"question": "Who?", "context": "Nobody knows it. " * 60},
)


@dataclass(frozen=True, kw_only=True)
class Script:
    """One way to answer. `needs`: what to install; `why`: the reason why it is no plainer one."""

    file: str  # in harness/exporting/scripts
    needs: tuple[str, ...]
    library: str  # the hub's name of what loads the model
    why: str = ""

    @property
    def text(self) -> str:
        """Its source."""
        return (resources.files("harness.exporting") / "scripts" / self.file).read_text(encoding="utf-8")


ONNX = Script(file="onnx_sequence.py", needs=("numpy", "onnxruntime", "tokenizers"), library="onnx")
TRANSFORMERS = Script(file="transformers_sequence.py", needs=("torch", "transformers"), library="transformers")


def chosen(found: Material, registry: Registry) -> Script:
    """The plainest script that fits: without the harness, where the model and the task need none of its code."""
    why = _needs_harness(found, registry)
    if why:
        packages = tuple(name.replace(" ", "==") for name in found.distributions)
        return Script(file="harness_any.py", needs=packages, library="harness", why=why)
    return ONNX if found.artifact.format.startswith("onnx") else TRANSFORMERS


def _needs_harness(found: Material, registry: Registry) -> str:
    """Why the harness is needed, or nothing."""
    artifact = found.artifact
    if artifact.head != "sequence":
        return f"texts longer than a window are cut, and answers of head '{artifact.head}' decoded, by its code"
    if not (found.folder / "tokenizer.json").is_file():
        return f"'{found.student.name}' reads texts with an encoder of its own"
    task = registry.open_task(_task(found))
    if any(task.input({"id": "0", "text": text}) != text for text in TEXTS):
        return "the task prepares texts before the model reads them"
    if artifact.format == "torch":
        return _not_stock(found.folder, found.student.name)
    return "" if artifact.format.startswith("onnx") else f"the format '{artifact.format}' is read by its code alone"


def _not_stock(folder: Path, student: str) -> str:
    """Why transformers itself cannot build the model, or nothing."""
    from transformers.models.auto import configuration_auto

    known: Any = vars(configuration_auto)["CONFIG_MAPPING_NAMES"]  # without what plugins register
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") not in known:
        return f"'{student}' is an architecture of its own"
    unequal = "its layers have widths of their own since they were pruned, and transformers alone makes equal ones"
    return unequal if shapes_of(config) else ""


def extras(script: Script, found: Material) -> dict[str, Json]:
    """JSON files that the script reads besides the artifact's own, by name."""
    artifact = found.artifact
    if script.library == "harness":
        return {SETTINGS: {"task": _task(found)}}
    encoder = json.loads((found.folder / "encoder.json").read_text(encoding="utf-8"))
    if script is ONNX:
        known = {"labels": list(artifact.labels), "max_length": artifact.max_length}
        return {SETTINGS: {**known, "unknown": encoder.get("unknown", 0)}}
    return {TOKENIZER: _tokenizer(found, encoder)}


def _tokenizer(found: Material, encoder: Mapping[str, Json]) -> dict[str, Json]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(found.folder / "tokenizer.json"))
    tokens = {"pad_token": encoder["pad"]["input_ids"], "unk_token": encoder["unknown"]}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": found.artifact.max_length,
        "model_input_names": list(encoder["pad"]),
        **{name: tokenizer.id_to_token(at) for name, at in tokens.items()},
    }


def _task(found: Material) -> dict[str, Json]:
    """The task as the script opens it: params that are places on this machine are left out."""
    params = {k: v for k, v in written(found.task.params).items() if without_paths(json.dumps(v)) == json.dumps(v)}
    return {"use": found.task.use, "params": params}


def prove(folder: Path, found: Material, registry: Registry) -> int:
    """Run the script as its user would, and compare with the harness; returns how many answers were compared.

    HarnessError with what it said where it fails, or says something else.
    """
    asked: Sequence[Facts] = QUESTIONS if found.artifact.head == "span" else [{"text": text} for text in TEXTS]
    lines = [json.dumps(fields, ensure_ascii=False) if "context" in fields else fields["text"] for fields in asked]
    said = _run(folder, "".join(f"{line}\n" for line in lines))
    if len(said) != len(asked):
        msg = f"{NAME} gives {len(said)} answers to {len(asked)} texts: nothing is exported"
        raise HarnessError(msg)
    task = registry.open_task(_task(found))
    answerer = load_answerer(found.folder, task, registry, threads=1)
    for fields, answer in zip(asked, said, strict=True):
        expected = {**fields, **answerer.answer_one({"id": "0", **fields})}
        if not alike(answer, json.loads(json.dumps(expected))):
            msg = f"{NAME} says {_short(answer)}, the harness {_short(expected)}: nothing is exported"
            raise HarnessError(msg)
    return len(said)


def alike(one: Json, other: Json) -> bool:
    """The same but for the rounding of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(alike(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, abs_tol=TOLERANCE)
    return bool(one == other)


def _run(folder: Path, stdin: str) -> list[Json]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, NAME], cwd=folder, env=environment, input=stdin.encode(), capture_output=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        msg = f"{NAME} has not answered after {SECONDS} s: nothing is exported"
        raise HarnessError(msg) from error
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        msg = f"{NAME} fails ({done.returncode}): {printable(' '.join(last))}; nothing is exported"
        raise HarnessError(msg)
    return [_answer(line) for line in done.stdout.decode("utf-8", "replace").split("\n")[:-1]]


def _answer(line: str) -> Json:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        msg = f"{NAME} prints '{printable(line[:200])}', expected a line of JSON for each text: nothing is exported"
        raise HarnessError(msg) from error


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 200 else f"{text[:200]}…"
