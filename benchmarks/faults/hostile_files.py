"""Archives, which no door opens; suites, records and stores of others; names that steer a terminal."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from benchmarks.faults.hostile_models import PLACES, copied, mutated
from benchmarks.faults.hostile_onnx import planted
from benchmarks.faults.hostile_traps import EITHER, REFUSED, Ground, Trap, write
from harness.store import Store

FUZZED = 40
BOMB = 256 << 20  # bytes of zeros
MANY = 20_000  # entries

# ----------------------------------------------------------------------------------------------------------- archives


def _zip(*names: str, content: bytes = b"x", link: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(info, link or content)
    return out.getvalue()


def _tar(*members: tuple[str, bytes, str], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, 1 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"x"))
    return out.getvalue()


@cache
def _bomb() -> bytes:
    return _zip("model.safetensors", content=bytes(BOMB))


ARCHIVES: dict[str, Callable[[Ground], bytes]] = {
    "zip, ../": lambda g: _zip("../../outside/canary", "../outside/canary"),
    "zip, absolute": lambda g: _zip(str(g.canary)),
    "zip, a link out": lambda g: _zip("a", link=str(g.outside)) + _zip("a/canary"),
    "zip, a bomb": lambda _: _zip("model.safetensors", content=bytes(BOMB)),
    "zip, a bomb in a bomb": lambda g: _zip("a.zip", content=_bomb()),
    "zip, names that differ in case": lambda g: _zip("A.json", "a.json"),
    "zip, 20,000 entries": lambda g: _zip(*(f"{n}.json" for n in range(MANY))),
    "zip, names without end": lambda g: _zip("x/" * 20_000),
    "tar, ../": lambda g: _tar(("../../outside/canary", tarfile.REGTYPE, "")),
    "tar, absolute": lambda g: _tar((str(g.canary), tarfile.REGTYPE, "")),
    "tar, a link out": lambda g: _tar(("a", tarfile.SYMTYPE, "../../outside"), ("a/canary", tarfile.REGTYPE, "")),
    "tar, hard links in a chain": lambda g: _tar(*((f"a{n}", tarfile.LNKTYPE, f"a{n + 1}") for n in range(99)), ("a99", tarfile.LNKTYPE, str(g.secret))),
    "tar, a device": lambda g: _tar(("model.safetensors", tarfile.CHRTYPE, ""), ("pipe", tarfile.FIFOTYPE, "")),
    "tar.gz": lambda g: _tar(("../../outside/canary", tarfile.REGTYPE, ""), mode="w:gz"),
    "tar.xz": lambda g: _tar(("../../outside/canary", tarfile.REGTYPE, ""), mode="w:xz"),
}  # fmt: skip
HANDED: dict[str, tuple[str, Callable[[Ground, bytes], object]]] = {  # as what → door, how it is laid there
    "data": ("sentiment", lambda g, content: _beside(g, "data.zip", content)),
    "a file of data": ("sentiment", lambda g, content: write(g.given / "train.zip", content)),
    "train.jsonl": ("sentiment", lambda g, content: write(g.given / "train.jsonl", content)),
    "train.parquet": ("sentiment", lambda g, content: write(g.given / "train.parquet", content)),
    "a checkpoint": ("checkpoint", lambda g, content: _beside(g, "model.zip", content)),
    "the weights": ("checkpoint", lambda g, content: write(copied(g, "model.safetensors") / "model.safetensors", content)),
    "the weights, by its own name": ("checkpoint", lambda g, content: write(copied(g, "model.safetensors") / "model.safetensors.zip", content)),
    "a tokenizer": ("tokenizer", lambda g, content: write(copied(g, "tokenizer.json") / "tokenizer.json", content)),
    "an ONNX file": ("onnx-file", planted),
    "a suite": ("plan", lambda g, content: write(g.given, content)),
    "a record": ("report", lambda g, content: _beside(g, "x.records.jsonl", content)),
    "a folder of records": ("leaderboard", lambda g, content: write(g.given / "x.records.jsonl", content)),
}  # fmt: skip


def _beside(ground: Ground, name: str, content: bytes) -> Path:
    write(ground.given.with_name(name), content)
    return ground.given.with_name(name)


def archives() -> Iterator[Trap]:
    for kind, make in ARCHIVES.items():
        for what, (door, lay) in HANDED.items():
            plant = lambda g, m=make, put=lay: put(g, m(g))  # noqa: E731
            yield Trap("archives", f"{kind}, as {what}", door, plant, names=("given/", "/in: "))


# ------------------------------------------------------------------------------------------------------------- suites

SUITE = """schema = 1
[suite]
name = "x"
title = "X"
anchor = { model = "a", compress = "none" }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/quickstart"
[models.a]
use = "ngram"
train = { distil = "finetune", epochs = 1, batch_size = 8, learning_rate = 1e-3 }
[measure]
speed = false
[matrix]
compress = ["none"]
seed = [1]
"""
TEXTS: dict[str, str | bytes] = {
    "empty": "", "NUL": "\0" * 100, "not UTF-8": b"\xff\xfe", "pickle": b"\x80\x04N.", "lists 100,000 deep": "a = " + "[" * 100_000,
    "tables 50,000 deep": "[" + ".".join("a" * 50_000) + "]", "inline tables": "a = " + "{a=" * 20_000, "a number of 10,000 digits": f"schema = {'9' * 10_000}",
    "1e400": "schema = 1e400", "a date": "schema = 1979-05-27", "20,000 keys": "".join(f"k{n} = 1\n" for n in range(20_000)),
    "a key of 5 MiB": "a" * (5 << 20) + " = 1", "escapes": '"\\u001b[2J\\u202e" = 1', "half a character": '"\\ud800" = 1',
    "quotes without end": '"""' + "x" * 1000, "10^12 cells": SUITE.replace("seed = [1]", "".join(f"a{n} = {list(range(1000))}\n" for n in range(4))),
    "a seed of 10^30": SUITE.replace("seed = [1]", "seed = [1000000000000000000000000000000]"), "a million seeds": SUITE.replace("seed = [1]", f"seed = {list(range(10**6))}"),
    "code for a task": SUITE.replace('use = "sentiment"', 'use = "os:system"'), "a path for a task": SUITE.replace('use = "sentiment"', 'use = "../../evil"'),
    "a path for a name": SUITE.replace('name = "x"', 'name = "../../outside/canary"'), "escapes for a name": SUITE.replace('name = "x"', 'name = "\\u001b[2J"'),
    "a device for data": SUITE.replace("bundled:harness_sentiment/data/quickstart", "/dev/zero"), "a module for data": SUITE.replace("bundled:harness_sentiment/data", "bundled:os/.."),
    "a package for data that is code": SUITE.replace("bundled:harness_sentiment/data/quickstart", "bundled:evil.evil/x"), "an address for data": SUITE.replace("bundled:harness_sentiment/data/quickstart", "http://127.0.0.1:9/x.jsonl"),
    "a hub id that is a path": SUITE.replace("bundled:harness_sentiment/data/quickstart", "hub:../../outside/x"), "NUL for data": SUITE.replace("bundled:harness_sentiment/data/quickstart", "a\\u0000b"),
    "a name of 100,000 for data": SUITE.replace("bundled:harness_sentiment/data/quickstart", "x" * 100_000),
}  # fmt: skip


def suites() -> Iterator[Trap]:
    for name, text in TEXTS.items():
        yield Trap(
            "suites",
            name,
            "plan",
            lambda g, t=text: write(g.given, t),
            names=("data", "source", "dataset", "outside", "bundled:"),
        )
    for seed in range(FUZZED):
        yield Trap(
            "suites",
            f"mutation {seed}",
            "plan",
            lambda g, s=seed: write(g.given, mutated(SUITE.encode(), s)),
            EITHER,
            names=("data", "source"),
        )
    yield Trap("suites", "a folder", "plan", lambda g: g.given.mkdir())
    yield Trap("suites", "a link to itself", "plan", lambda g: g.given.symlink_to(g.given))
    yield Trap("suites", "a link to a secret", "plan", lambda g: g.given.symlink_to(g.secret))


# ------------------------------------------------------------------------------------------------------------ records

READERS = ("report", "schema", "compare", "recommend", "leaderboard")


@cache
def record() -> bytes:
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    import record_helpers

    return "".join(json.dumps(document) + "\n" for document in record_helpers.documents()).encode()


def records() -> Iterator[Trap]:
    line = record().split(b"\n", 1)[0]
    texts = {
        "empty": b"", "NUL": b"\0" * 1000, "deep": b"[" * 200_000, "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "pickle": b"\x80\x04N.",
        "NaN": line.replace(b"1,", b"NaN,", 1), "1e400": line.replace(b"1,", b"1e400,", 1), "a number of 10,000 digits": line.replace(b'"schema": 1', b'"schema": ' + b"9" * 10_000, 1),
        "a field twice": line[:-1] + b', "schema": 2}', "a line of 80 MiB": b'{"schema": "' + b"x" * (80 << 20) + b'"}', "a million lines": b"{}\n" * 10**6,
        "escapes": line.replace(b'"kind"', b'"\\u001b[2J\\u202e"', 1), "of tomorrow": line.replace(b'"schema": 1', b'"schema": 99', 1), "not UTF-8": line[:-1] + b"\xff}",
    }  # fmt: skip
    for name, text in texts.items():
        for door in READERS:
            yield _record(f"{name}, {door}", lambda g, t=text: t, door)
    for seed in range(FUZZED * 2):
        yield _record(f"mutation {seed}", lambda g, s=seed: mutated(record(), s), READERS[seed % len(READERS)], EITHER)
    for kind, make in PLACES.items():
        if kind != "a folder":
            yield Trap(
                "records",
                f"{kind} in a folder of records",
                "leaderboard",
                lambda g, m=make: (g.given.mkdir(), m(g, g.given / "a.records.jsonl")),
            )


def _record(name: str, content: Callable[[Ground], bytes], door: str, may=(REFUSED,)) -> Trap:
    def plant(ground: Ground) -> Path:
        return _beside(ground, "x.records.jsonl", content(ground))

    return Trap("records", name, door, plant, may, names=("x.records.jsonl",))


# ------------------------------------------------------------------------------------------------------------- stores


def _entry(ground: Ground, manifest: object, key: str = "ab" * 32) -> Path:
    folder = ground.given / "objects" / key[:2] / key
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    write(folder / "manifest.json", text)
    old = 10**9
    os.utime(folder / "manifest.json", (old, old))
    os.utime(folder, (old, old))
    return folder


def _manifest(**change: object) -> dict:
    key = "ab" * 32
    sound = {
        "schema": 1,
        "key": key,
        "kind": "build",
        "component": "core",
        "label": "x",
        "finished": "",
        "seconds": 1.0,
        "files": {},
        "facts": {},
    }
    return {**sound, **change}


MANIFESTS: dict[str, Callable[[Ground], object]] = {
    "a file elsewhere": lambda g: _manifest(files={"../../../../../outside/secret": [g.secret.stat().st_size, hashlib.sha256(g.secret.read_bytes()).hexdigest()]}),
    "a file by an absolute path": lambda g: _manifest(files={str(g.secret): [26, "0" * 64]}),
    "files that are a list": lambda g: _manifest(files=[1, 2]), "files that are a text": lambda g: _manifest(files="xyz"), "sizes that are texts": lambda g: _manifest(files={"a": ["x", 1]}),
    "sizes of 10^400": lambda g: _manifest(files={"a": [10**400, "x"]}), "no label": lambda g: {k: v for k, v in _manifest().items() if k != "label"},
    "escapes in its label": lambda g: _manifest(label="\x1b[2J\u202e"), "a label of 10 MiB": lambda g: _manifest(label="x" * (10 << 20)), "seconds that are a text": lambda g: _manifest(seconds="x"),
    "seconds without end": lambda g: b'{"seconds": Infinity, ' + json.dumps(_manifest()).encode()[1:], "facts that are a list": lambda g: _manifest(facts=[]), "deep": lambda g: b"[" * 200_000,
    "a list": lambda g: [], "null": lambda g: None, "not UTF-8": lambda g: b"\xff", "pickle": lambda g: b"\x80\x04N.", "a digest that is too long": lambda g: _manifest(digest="0" * 10**6),
}  # fmt: skip


def stores() -> Iterator[Trap]:
    for command in ("cache ls", "cache verify", "cache gc"):
        for name, make in MANIFESTS.items():
            yield _store(f"{name}, {command}", command, lambda g, m=make: _entry(g, m(g)))
        for kind, make in PLACES.items():
            yield _store(f"{kind} as a manifest, {command}", command, lambda g, m=make: _placed(g, "manifest.json", m))
            yield _store(
                f"{kind} as a file, {command}",
                command,
                lambda g, m=make: m(g, _entry(g, _manifest(files={"a": [8, "0" * 64]})) / "a"),
            )
        yield _store(f"an entry that is a link, {command}", command, lambda g: _linked(g, "objects/ab/" + "ab" * 32))
        for folder in ("objects/ab", "staging/old", "scratch/old", "claims/old", "runs/old"):
            yield _store(f"{folder} that is a link, {command}", command, lambda g, f=folder: _linked(g, f))
        yield _store(
            f"names that steer, {command}",
            command,
            lambda g: write(g.given / "objects" / "\x1b[" / "\x1b[2J\u202e" / "manifest.json", "{}"),
        )


def _store(name: str, command: str, plant: Callable[[Ground], object]) -> Trap:
    def planted_store(ground: Ground) -> None:
        Store(ground.given).create()
        write(ground.given.parent / "reports" / "x.records.jsonl", record())
        plant(ground)

    return Trap("stores", name, command, planted_store, EITHER, names=("abababababab", "\\x1b", "store", "entries"))


def _placed(ground: Ground, name: str, make: Callable[[Ground, Path], object]) -> None:
    folder = _entry(ground, _manifest())
    (folder / name).unlink()
    make(ground, folder / name)


def _linked(ground: Ground, name: str) -> None:
    path = ground.given / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (ground.outside / "kept").mkdir()
    write(ground.outside / "kept" / "file", "kept")
    write(ground.outside / "kept" / "manifest.json", json.dumps(_manifest()))
    path.symlink_to(ground.outside / "kept")
    os.utime(path, (10**9, 10**9), follow_symlinks=False)


# -------------------------------------------------------------------------------------------------------------- names

NAMES = (
    "\x1b[2J\x1b[1;1H",
    "\x1b]0;title\x07",
    "\u202etxt.exe\u202c",
    "\u2066x\u2069",
    "a\nTraceback",
    "a\rb",
    "\x9b31m",
    "-rf",
    "$(mkdir canary)",
    "`mkdir canary`",
    "a\tb",
    "\ufeffx",
    "\x7f",
    "a\udcffb",
)


def names() -> Iterator[Trap]:
    for name in NAMES:
        shown = ascii(name)
        yield Trap(
            "names",
            f"a file of data {shown}",
            "sentiment",
            lambda g, n=name: _beside(g, f"{n}.jsonl", b"{"),
            names=("/in/", "/in: "),
        )
        yield Trap(
            "names",
            f"a folder of data {shown}",
            "sentiment",
            lambda g, n=name: write(g.given.with_name(n) / "train.jsonl", "{") or g.given.with_name(n),
            names=("/in/", "/in: "),
        )
        yield Trap(
            "names",
            f"a checkpoint {shown}",
            "checkpoint",
            lambda g, n=name: (
                copied(g, "model.safetensors"),
                shutil.move(g.given, g.given.with_name(n)),
                g.given.with_name(n),
            )[2],
            names=("/in/", "/in: "),
        )
        yield Trap(
            "names",
            f"a suite {shown}",
            "plan",
            lambda g, n=name: _beside(g, f"{n}.toml", b"{"),
            names=("/in/", "/in: "),
        )
        yield Trap(
            "names",
            f"a record {shown}",
            "report",
            lambda g, n=name: _beside(g, f"{n}.records.jsonl", b"{"),
            names=("/in/", "/in: "),
        )
        yield Trap(
            "names",
            f"a column {shown}",
            "sentiment",
            lambda g, n=name: _beside(g, "a.jsonl", json.dumps({n: 1}).encode()),
            names=("/in/", "/in: "),
        )
    for name in NAMES:
        yield Trap(
            "names",
            f"a record in a folder {name!a}",
            "leaderboard",
            lambda g, n=name: write(g.given / f"{n}.records.jsonl", "{"),
            names=("records.jsonl",),
        )


GROUPS = {
    "archives": (
        archives,
        "zip and tar files with `../`, links, devices, bombs and 20,000 entries, as data, model, suite and record: nothing is unpacked",
    ),
    "suites": (
        suites,
        "TOML that nests, grows, multiplies to 10^12 cells or names code and paths; random changes of a suite",
    ),
    "records": (
        records,
        "records that nest, grow or lie, to report, schema, compare, recommend and leaderboard; random changes of a real one",
    ),
    "stores": (stores, "entries of a store with paths, links, pipes and broken manifests, to cache ls, verify and gc"),
    "names": (names, "names of files, folders and columns with escapes, bidirectional signs and line breaks"),
}
