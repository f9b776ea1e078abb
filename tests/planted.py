"""Components that each break one promise, for tests of the conformance kit. Those without torch are plain NumPy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

import numpy as np
from pydantic import Field

from harness import (
    CompressorSpec,
    Encoded,
    Params,
    RuntimeSpec,
    StageError,
    StudentSpec,
)

ROWS = 64
UNKNOWN = 1


class Described(Params):
    """One param."""

    bits: int = Field(16, description="of a weight")


class Undescribed(Params):
    """One param that says nothing."""

    bits: int = 16


class BadDefault(Params):
    """A default that is refused."""

    bits: int = Field(0, ge=1, description="of a weight")


class NoJson(Params):
    """A tuple becomes a list in JSON, and strict params take no list for it."""

    layers: tuple[int, ...] = Field((1, 2), description="of the model")


# --------------------------------------------------------------------------------------------- a student of one matrix


class Encoder:
    """A word is a row; no word at all is the unknown one."""

    pad = {"input_ids": 0, "attention_mask": 0}  # noqa: RUF012

    def __init__(self, folder):
        self.longest = json.loads((folder / "encoder.json").read_text())["max_length"]

    def encode(self, inputs, head):
        return [self._text(" ".join(words) if head == "token" else words) for words in inputs]

    def _text(self, text):
        words = text.split()
        ids = [2 + zlib.crc32(word.encode()) % (ROWS - 2) for word in words[: self.longest]] or [UNKNOWN]
        places = np.arange(len(ids)) if words else np.array([-1])
        return Encoded(
            {"input_ids": np.array(ids), "attention_mask": np.ones(len(ids), np.int64)}, len(ids), None, places
        )


class Student:
    """Writes a random matrix."""

    def build(self, request):
        weights = np.random.default_rng(request.seed).normal(size=(ROWS, len(request.labels)))
        np.savez(request.out / "weights.npz", weights=weights.astype(np.float32))
        (request.out / "encoder.json").write_text(json.dumps({"max_length": request.max_length}))
        return {"parameters": weights.size}


class Runtime:
    """Sums rows; `fault.json` beside the weights says what goes wrong."""

    def load(self, folder, artifact, student, threads):
        if not (folder / "weights.npz").exists():
            msg = f"{folder}: no weights"
            raise StageError(msg)
        with np.load(folder / "weights.npz") as stored:
            weights = stored["weights"].astype(np.float64)
        fault = folder / "fault.json"
        told = json.loads(fault.read_text()) if fault.exists() else {}
        return self.session(weights, {**told, "here": str(folder)})

    session = property(lambda self: Session)


class Session:
    """Answers batches."""

    def __init__(self, weights, fault):
        self.weights, self.fault = weights, fault

    def forward(self, arrays):
        ids, mask = arrays["input_ids"], arrays["attention_mask"]
        rows = self.weights[ids] * mask[..., None]  # [B, L, C]
        logits = rows.sum(1)
        kind = self.fault.get("kind")
        if kind == "place" and self.fault["where"] != self.fault["here"]:
            logits = logits + 1
        if kind == "batch":
            logits = logits + 0.001 * logits.mean(0)
        if kind == "padding":
            logits = logits + 0.01 * (mask == 0).sum(1, keepdims=True)
        if kind == "length" and ids.shape[1] == 17:
            msg = "traced for other lengths"
            raise StageError(msg)
        if kind == "empty":
            logits = np.where((ids[:, :1] == UNKNOWN), np.nan, logits)
        return {"logits": logits.astype(np.float32)}


class WordsSession(Session):
    """Rows themselves, not their sum, where the head is about words."""

    def forward(self, arrays):
        rows = self.weights[arrays["input_ids"]] * arrays["attention_mask"][..., None]
        return {"logits": rows.astype(np.float32)} if self.fault["head"] == "token" else super().forward(arrays)


class WordsRuntime(Runtime):
    """Of both heads."""

    def load(self, folder, artifact, student, threads):
        loaded = super().load(folder, artifact, student, threads)
        return WordsSession(loaded.weights, {**loaded.fault, "head": artifact["head"]})


class Eager(Runtime):
    """Starts a thread that nobody asked for."""

    def load(self, folder, artifact, student, threads):
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        return super().load(folder, artifact, student, threads)


class OneFormatRuntime(Runtime):
    def load(self, folder, artifact, student, threads):
        if artifact["format"] == "matrix-b":
            msg = "not this one"
            raise StageError(msg)
        return super().load(folder, artifact, student, threads)


class Trusting(Runtime):
    """Takes an empty folder for a model."""

    def load(self, folder, artifact, student, threads):
        if not (folder / "weights.npz").exists():
            return self.session(np.zeros((ROWS, 3)), {})
        return super().load(folder, artifact, student, threads)


class RaisingRuntime(Runtime):
    def load(self, folder, artifact, student, threads):
        return {}["layers"]


class Careless(Runtime):
    """Says nothing that a person understands."""

    def load(self, folder, artifact, student, threads):
        with np.load(folder / "weights.npz") as stored:
            return self.session(stored["weights"].astype(np.float64), {})


def session_of(fault):
    """A runtime whose sessions have a fault."""

    class Faulty(Runtime):
        session = property(lambda self: lambda weights, told: Session(weights, {**told, "kind": fault}))

    return Faulty


LengthRuntime, EmptyRuntime = session_of("length"), session_of("empty")


class DoubleSession(Session):
    def forward(self, arrays):
        return {name: array.astype(np.float64) for name, array in super().forward(arrays).items()}


class WritingSession(Session):
    def forward(self, arrays):
        arrays["attention_mask"] = arrays["attention_mask"] * 1
        arrays["input_ids"] = arrays["input_ids"] + 0 * arrays["attention_mask"] + (arrays["input_ids"] == 0)
        return super().forward(arrays)


class DoubleRuntime(Runtime):
    session = property(lambda self: DoubleSession)


class WritingRuntime(Runtime):
    session = property(lambda self: WritingSession)


class FlatStatesSession(Session):
    def forward(self, arrays, states=()):
        return super().forward(arrays) | {f"states.{n}": np.zeros(len(arrays["input_ids"])) for n in states}


class FlatStatesRuntime(Runtime):
    session = property(lambda self: FlatStatesSession)


STUDENT = StudentSpec(
    name="matrix", summary="One matrix", version=1, heads=("sequence",), factory="planted:Student", encoder="planted:Encoder",
    format="matrix", trainable=False,
)  # fmt: skip
OTHER_STUDENT = StudentSpec(
    name="matrix-b", summary="The same in another format", version=1, heads=("sequence",), factory="planted:Student",
    encoder="planted:Encoder", format="matrix-b", trainable=False,
)  # fmt: skip
RUNTIME = RuntimeSpec(
    name="matrix",
    summary="NumPy",
    version=1,
    formats=("matrix", "matrix-b"),
    factory="planted:Runtime",
    params=Described,
)


# --------------------------------------------------------------------------------------------------------- compressors


class Half:
    """What every planted compressor does right: half precision. `damage` is what one does wrong."""

    fault: dict = {}  # noqa: RUF012

    def compress(self, request):
        weights = self.read(request)
        np.savez(request.out / "weights.npz", weights=weights)
        if self.fault:
            told = {**self.fault, "where": str(request.out)}
            (request.out / "fault.json").write_text(json.dumps(told))
        self.damage(request)
        return self.facts(weights)

    def read(self, request):
        with np.load(request.source / "weights.npz") as stored:
            return stored["weights"].astype(np.float16)

    def damage(self, request):
        pass

    def facts(self, weights):
        return {"changed": True, "bytes": {"fp16": int(weights.nbytes)}}


class OneFormatOnly(Half):
    def read(self, request):
        if request.artifact["format"] != "matrix":
            msg = "cannot read this"
            raise StageError(msg)
        return super().read(request)


class Crashes(Half):
    def read(self, request):
        os.abort()


class Exits(Half):
    def read(self, request):
        sys.exit(3)


class ReadsTexts(Half):
    def damage(self, request):
        list(request.texts())


class SaysNothing(Half):
    def facts(self, weights):
        return {"bytes": {"fp16": 1}}


class NoJsonFacts(Half):
    def facts(self, weights):
        return {"changed": True, "scale": np.float32(1)}


class NotFinite(Half):
    def facts(self, weights):
        return {"changed": True, "errors": {"worst": [0.5, float("nan")]}}


class Raises(Half):
    def facts(self, weights):
        raise ValueError("\x1b[2Jno embeddings\n")


class NoMethod:
    """Its author wrote `comprss`."""


class TooManyBytes(Half):
    def facts(self, weights):
        return {"changed": True, "bytes": {"fp16": 10**9}}


class Placed(Half):
    fault = {"kind": "place"}  # noqa: RUF012


class Wrong(Half):
    def read(self, request):
        return super().read(request) * np.float16(1.5)


class WrongForTokens(Half):
    def read(self, request):
        return super().read(request) * np.float16(1.5 if request.artifact["head"] == "token" else 1)


class BatchMates(Half):
    fault = {"kind": "batch"}  # noqa: RUF012


class Padding(Half):
    fault = {"kind": "padding"}  # noqa: RUF012


class Lengths(Half):
    fault = {"kind": "length"}  # noqa: RUF012


class Empty(Half):
    fault = {"kind": "empty"}  # noqa: RUF012


class Hashes(Half):
    def read(self, request):
        return super().read(request).astype(np.float32) + np.float32(hash("seed") % 1000 / 1e7)


class Torn(Half):
    """Works in a folder of its own and trusts what it finds there."""

    def read(self, request):
        notes = Path(tempfile.gettempdir()) / "half-done.json"
        weights = super().read(request)
        if notes.exists():
            return weights + np.float16(0.01)
        notes.write_text("[")
        (request.out / "started").write_text("")
        time.sleep(0.5)
        (request.out / "started").unlink()
        notes.unlink()
        return weights


class Slow(Half):
    """Takes its time while its folder has a file: it is killed there, and that does no harm."""

    def damage(self, request):
        time.sleep(0.3)


class LeavesHome(Half):
    def damage(self, request):
        (Path.home() / ".cache").mkdir(exist_ok=True)
        (Path.home() / ".cache" / "planted").write_text("x")


class LeavesHere(Half):
    def damage(self, request):
        Path("planted.log").write_text("x")


class LeavesTemporary(Half):
    def damage(self, request):
        tempfile.mkstemp(suffix="planted")


class LeavesProcess(Half):
    def damage(self, request):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)


class LeavesThread(Half):
    def damage(self, request):
        threading.Thread(target=time.sleep, args=(60,), name="planted").start()


class WritesElsewhere(Half):
    def damage(self, request):
        elsewhere = request.out.parent / "elsewhere.txt"
        elsewhere.write_text("x")
        elsewhere.unlink()


class AsksNetwork(Half):
    def damage(self, request):
        socket.getaddrinfo("localhost", 80)


class ChangesSource(Half):
    def damage(self, request):
        with (request.source / "notes.txt").open("a") as file:
            file.write("x")


class ReadsTest(Half):
    def damage(self, request):
        for path in Path(os.environ["HARNESS_DATA_DIR"]).rglob("test*"):
            path.read_text()


class ReadsTestNearby(Half):
    def damage(self, request):
        for path in request.source.parent.rglob("test*"):
            path.read_text()


class Copies(Half):
    def read(self, request):
        return super().read(request).astype(np.float32)

    def compress(self, request):
        (request.out / "weights.npz").write_bytes((request.source / "weights.npz").read_bytes())
        return {"changed": True, "bytes": {}}


class Unchanged(Half):
    def facts(self, weights):
        return {"changed": False, "bytes": {}}


class Masks(Half):
    def read(self, request):
        with np.load(request.source / "weights.npz") as stored:
            weights = stored["weights"]
        return np.where(np.abs(weights) < 0.5, 0, weights)


class MasksAndSays(Masks):
    def facts(self, weights):
        return {"changed": True, "masked": float((weights == 0).mean())}


def compressor(work: str, **fields) -> CompressorSpec:
    """The spec of one of them."""
    plain = {
        "summary": "Half precision",
        "version": 1,
        "consumes": ("matrix",),
        "produces": "matrix",
        "params": Described,
    }
    return CompressorSpec(**{**plain, "name": "planted", "factory": f"planted:{work}", **fields})


def fussy(folder):
    """The encoder of n-grams, which wants words."""
    from harness_ngram.encoder import load

    encoder = load(folder)

    class Fussy:
        pad = encoder.pad

        def encode(self, inputs, head):
            if not all(text.strip() for text in inputs):
                msg = "a text has no words"
                raise StageError(msg)
            return encoder.encode(inputs, head)

    return Fussy()


class Hangs(Half):
    def damage(self, request):
        time.sleep(3600)
