"""Files of data: tables, texts and Parquet that lie, grow, or are something else."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.faults.hostile_models import PLACES, mutated
from benchmarks.faults.hostile_traps import EITHER, REFUSED, Ground, Trap, write

FUZZED = 30  # random changes of each kind of file
ROWS = [
    {"id": f"{word}{n}", "text": f"text number {n} is {word}", "label": word}
    for n in range(40)
    for word in ("good", "bad")
]
HUGE = 24 << 20  # characters of a cell


@cache
def good(kind: str) -> bytes:
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    if kind == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, ["id", "text", "label"])
        writer.writeheader()
        writer.writerows(ROWS)
        return out.getvalue().encode()
    if kind == "parquet":
        return parquet(pa.Table.from_pylist(ROWS))
    if kind == "conll":
        return b"".join(b"Anna B-PER\nlives O\nin O\nTver%d B-LOC\n\n" % n for n in range(40))
    paragraphs = [
        {"context": f"Anna {n} lives in Tver.", "qas": [{"id": f"q{n}", "question": "Who?", "answers": [{"text": "Anna", "answer_start": 0}]}]}
        for n in range(40)
    ]  # fmt: skip
    return json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}).encode()


def parquet(table: pa.Table, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def described(features: dict, **columns) -> bytes:
    """With the metadata by which `datasets` decodes columns."""
    table = pa.table({**{name: [row[name] for row in ROWS] for name in ("text", "label")}, **columns})
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"dtype": "string", "_type": "Value"},
        **features,
    }
    return parquet(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}))


def _media(kind: str, path: str) -> bytes:
    cells = pa.array(
        [{"bytes": None, "path": path}] * len(ROWS), pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
    return described({"picture": {"_type": kind}}, picture=cells)


def _repeated(size: int, rows: int) -> bytes:
    """One long text over and over: a dictionary of one entry, a run of one number."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * size]))
    return parquet(pa.table({"text": text, "label": ["a"] * rows}), compression="zstd")


def _zeros(rows: int) -> bytes:
    return parquet(pa.table({"text": pa.array([""] * rows), "label": pa.array(["a"] * rows)}), compression="zstd")


def _twice_named() -> bytes:
    return parquet(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]))


FILES: dict[str, Callable[[Ground], bytes]] = {
    # what the file is not
    "pickle.jsonl": lambda g: b"\x80\x04cos\nsystem\n.",
    "archive.jsonl": lambda g: b"PK\x03\x04" * 100,
    "archive.csv": lambda g: b"PK\x03\x04" * 100,
    "archive.parquet": lambda g: b"PK\x03\x04" * 100,
    "gzip.jsonl": lambda g: gzip.compress(good("jsonl")),
    "gzip bomb.jsonl": lambda g: gzip.compress(bytes(100 << 20)),
    "gzip.parquet": lambda g: gzip.compress(good("parquet")),
    "gzip bomb.parquet": lambda g: gzip.compress(bytes(100 << 20)),
    "zip of a table.parquet": lambda g: _zipped("x.parquet", good("parquet")),
    "empty.jsonl": lambda g: b"",
    "empty.csv": lambda g: b"",
    "empty.parquet": lambda g: b"",
    # lines
    "NUL.jsonl": lambda g: b"\0" * 1000,
    "NUL.csv": lambda g: good("csv").replace(b"number", b"\0"),
    "utf-16.jsonl": lambda g: good("jsonl").decode().encode("utf-16"),
    "not UTF-8.csv": lambda g: good("csv").replace(b"good", b"\xff"),
    "deep.jsonl": lambda g: b"[" * 200_000,
    "deep objects.jsonl": lambda g: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "long numbers.jsonl": lambda g: b'{"text": "a", "label": %s}\n' % (b"9" * 10_000),
    "a list.jsonl": lambda g: b"[1]\n",
    "one huge line.jsonl": lambda g: b'{"text": "%s", "label": "a"}\n' % (b"x" * (40 << 20)),
    "one huge line.txt": lambda g: b"x" * (40 << 20),
    "one huge cell.csv": lambda g: b'text,label\n"%s",a\n' % (b"x" * (40 << 20)),
    "a cell that never ends.csv": lambda g: b'text,label\n"' + b"x,y\n" * 100_000,
    "a header of 100,000 columns.csv": lambda g: b",".join(b"c%d" % n for n in range(100_000)) + b"\n",
    "one column twice.csv": lambda g: b"text,text,label\na,b,c\n",
    "ragged.csv": lambda g: b"text,label\na,b,c\n",
    "escapes in names.csv": lambda g: "\x1b[2J,\u202e\na,b\n".encode(),
    "escapes in labels.jsonl": lambda g: b'{"text": "a", "label": "\\u001b[2J\\u202e\\ud800"}\n' * 3,
    "numbers for texts.jsonl": lambda g: b'{"text": 7, "label": 1}\n' * 9,
    "objects for texts.jsonl": lambda g: b'{"text": {"a": []}, "label": {"b": 1}}\n' * 9,
    "NaN.jsonl": lambda g: b'{"text": NaN, "label": Infinity}\n' * 9,
    "surrogates.jsonl": lambda g: b'{"text": "\\ud800", "label": "\\udfff"}\n' * 9,
    "Python names.jsonl": lambda g: b'{"__class__": "x", "text": "a", "label": "__import__(\'os\')"}\n',
    # Parquet
    "a gigabyte of one text.parquet": lambda g: _repeated(1 << 20, 1024),
    "a hundred gigabytes of one text.parquet": lambda g: _repeated(1 << 20, 100_000),
    "texts of 24 MiB.parquet": lambda g: _repeated(HUGE, 3),
    "a name twice.parquet": lambda g: _twice_named(),
    "no rows.parquet": lambda g: parquet(pa.Table.from_pylist(ROWS).slice(0, 0)),
    "no columns.parquet": lambda g: parquet(pa.table({})),
    "a picture elsewhere.parquet": lambda g: _media("Image", str(g.secret)),
    "a picture on the network.parquet": lambda g: _media("Image", "http://127.0.0.1:9/x.png"),
    "a sound on the network.parquet": lambda g: _media("Audio", "http://127.0.0.1:9/x.wav"),
    "a picture in an archive on the network.parquet": lambda g: _media("Image", "zip://x::http://127.0.0.1:9/x.zip"),
    "features that are code.parquet": lambda g: described({"text": {"_type": "__import__"}}),
    "features that are a list.parquet": lambda g: described({"text": [[[["x"]]]]}),
    "metadata nested.parquet": lambda g: parquet(pa.Table.from_pylist(ROWS).replace_schema_metadata({"huggingface": "[" * 100_000})),
    "pandas metadata.parquet": lambda g: parquet(pa.Table.from_pylist(ROWS).replace_schema_metadata({"pandas": '{"index_columns": [1]}'})),
}  # fmt: skip
ALLOWED = {  # a table all the same: read as what it says, and nothing else happens
    "NUL.csv", "escapes in labels.jsonl", "surrogates.jsonl", "pandas metadata.parquet", "Python names.jsonl",
    "a picture elsewhere.parquet", "a picture on the network.parquet", "a sound on the network.parquet",
    "a picture in an archive on the network.parquet", "features that are code.parquet", "features that are a list.parquet",
    "metadata nested.parquet", "numbers for texts.jsonl", "a header of 100,000 columns.csv",
}  # fmt: skip


def _zipped(name: str, content: bytes) -> bytes:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def _file(name: str, content: Callable[[Ground], bytes], door: str, may) -> Trap:
    def plant(ground: Ground):
        path = ground.given.with_name(name)
        write(path, content(ground))
        return path

    return Trap("data", f"{name} to {door}", door, plant, may, names=("/in: ",))


def data() -> Iterator[Trap]:
    for name, make in FILES.items():
        yield _file(name, make, "sentiment", EITHER if name in ALLOWED else (REFUSED,))
    for kind, door in (
        ("jsonl", "sentiment"),
        ("csv", "sentiment"),
        ("parquet", "sentiment"),
        ("conll", "ner"),
        ("json", "qa"),
    ):
        suffix = "txt" if kind == "conll" else kind
        yield _file(f"good.{suffix}", lambda g, k=kind: good(k), door, EITHER)
        for seed in range(FUZZED):
            yield _file(f"mutation {seed}.{suffix}", lambda g, k=kind, s=seed: mutated(good(k), s), door, EITHER)
    for name, content in {
        "deep.json": b"[" * 200_000, "list.json": b"[]", "null.json": b"null", "huge.json": b'{"data": "%s"}' % (b"x" * (40 << 20)),
        "not a list.json": b'{"data": [{"paragraphs": {"a": 1}}]}', "places.json": good("json").replace(b": 0}", b": 99999999999999999999}"),
        "types.json": good("json").replace(b'"Anna"', b"[7]"),
    }.items():  # fmt: skip
        yield _file(
            name,
            lambda g, c=content: c,
            "qa",
            EITHER if name in ("huge.json", "places.json", "types.json")[1:2] else (REFUSED,),
        )
    for name, note in {
        "offsets": "T1\tPER 0 99999999999999\tx\n", "huge offsets": f"T1\tPER 0 {'9' * 5000}\tx\n", "negative": "T1\tPER -4 2\tx\n",
        "NUL": "\0\0\0", "escapes": "\x1b[2J\tPER 0 4\tAnna\n", "no tab": "T1 PER 0 4 Anna\n",
    }.items():  # fmt: skip
        yield Trap("data", f"brat: {name}", "ner", lambda g, n=note: _brat(g, n))
    for kind, make in PLACES.items():
        yield Trap(
            "data",
            f"{kind} as train.jsonl",
            "sentiment",
            lambda g, m=make: (g.given.mkdir(), m(g, g.given / "train.jsonl")),
        )
    yield Trap(
        "data", "a folder in a circle", "sentiment", lambda g: (g.given.mkdir(), (g.given / "sub").symlink_to(g.given))
    )
    yield Trap(
        "data",
        "code beside the data",
        "sentiment",
        lambda g: (
            write(g.given / "train.jsonl", good("jsonl")),
            write(g.given / "reviews.py", "import os; os.mkdir('../../outside/canary')"),
            write(g.given / "dataset_infos.json.py", "boom"),
        ),
        EITHER,
    )


def _brat(ground: Ground, note: str) -> None:
    write(ground.given / "train.txt", "Anna lives in Tver.")
    write(ground.given / "train.ann", note)


GROUPS = {
    "data": (
        data,
        "tables, texts and Parquet files that are something else, lie, grow, point elsewhere; random changes of good ones",
    ),
}
