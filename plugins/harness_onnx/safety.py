"""What an ONNX file may contain before a runtime sees it.

The check reads protobuf's wire format in place: it skips weights, so that a measured process neither imports `onnx`
nor holds a second copy of the model. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import StageError

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "ai.onnx.training", "com.microsoft")
_DEEPEST = 64  # nested messages: a subgraph of a subgraph adds three
_MOST_FIELDS = 4_000_000  # seconds of looking: a graph of 100,000 operators has half of that

_CHILDREN = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 9: "opset", 10: "domain"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute", 7: "domain"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "opset": {1: "domain"},
}

Leaf = tuple[str, Any]


def check_model(path: Path) -> None:
    """Raise StageError unless `path` is an ONNX model with known operator domains whose data stays in its folder.

    External data must be a regular file of the same folder: no path, no link of either kind, and long enough. Functions
    of the model's own are refused: nested or doubling, they take a runtime's stack or memory.
    """
    if not path.is_file() or path.stat().st_size == 0:
        msg = f"{path}: not an ONNX model (missing, empty or not a file)."
        raise StageError(msg)
    found = _read(path)
    if ("message", "node") not in found:
        msg = f"{path}: not an ONNX model (no operators)."
        raise StageError(msg)
    for kind, value in found:
        if kind == "domain":
            _check_domain(path, value)
        elif kind == "external":
            _check_external(path, value)
    if ("message", "function") in found:
        msg = f"{path}: functions of the model's own are not allowed. Inline them, as onnx.inliner does."
        raise StageError(msg)


def _read(path: Path) -> dict[Leaf, None]:
    """Every distinct leaf, in order of appearance."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return dict.fromkeys(_Reader(data).leaves(0, len(data), "model", 0))
        except (ValueError, IndexError) as error:
            msg = f"{path}: not an ONNX model ({error})."
            raise StageError(msg) from error


def _check_domain(path: Path, domain: str) -> None:
    if domain not in DOMAINS:
        msg = (
            f"{path}: operators of domain '{domain}' are not allowed. Allowed: ONNX's own and com.microsoft. "
            "Export the model without custom operators."
        )
        raise StageError(msg)


def _check_external(path: Path, pairs: tuple[tuple[str, str], ...]) -> None:
    """`pairs`: location, offset and length (bytes) of one tensor."""
    entry = dict(pairs)
    location = entry.get("location", "")
    if len(entry) != len(pairs) or location in ("", ".", "..") or any(mark in location for mark in "/\\\0"):
        msg = f"{path}: external data at '{location}' leaves the model's folder. Allowed: the name of a file beside it."
        raise StageError(msg)
    size = _regular_size(path, location)
    needed = sum(_number(path, entry.get(key, "0")) for key in ("offset", "length"))
    if needed > size:
        msg = f"{path}: external data '{location}' has {size} bytes, {needed} are needed. Copy the file again."
        raise StageError(msg)


def _regular_size(path: Path, location: str) -> int:
    """Size in bytes of a file beside the model that has no other name."""
    try:
        status = (path.parent / location).lstat()
    except OSError as error:
        msg = f"{path}: external data '{location}' cannot be read ({error.strerror}). Copy it beside the model."
        raise StageError(msg) from error
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        msg = f"{path}: external data '{location}' must be a regular file, not a link. Copy it beside the model."
        raise StageError(msg)
    return status.st_size


def _number(path: Path, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        msg = f"{path}: external data with offset or length '{text[:40]}'. Allowed: a whole number of bytes."
        raise StageError(msg)
    return int(text)


class _Reader:
    """Reads protobuf in place. ValueError where it is none, nests too deeply or has too many fields."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._left = data, _MOST_FIELDS

    def leaves(self, start: int, end: int, message: str, depth: int) -> Iterator[Leaf]:
        """What is below one message: domains, the external entries of each tensor, the kinds of messages met."""
        if depth > _DEEPEST:
            msg = "nested too deeply"
            raise ValueError(msg)
        external = []
        for number, first, last in self._fields(start, end):
            child = _CHILDREN[message].get(number)
            if child == "entry":
                external.append(self._entry(first, last))
            elif child == "domain":
                yield "domain", self._data[first:last].decode()
            elif child is not None:
                yield "message", child
                yield from self.leaves(first, last, child, depth + 1)
        if external:
            yield "external", tuple(external)

    def _entry(self, start: int, end: int) -> tuple[str, str]:
        """Key and value of one entry."""
        texts = {number: self._data[first:last].decode() for number, first, last in self._fields(start, end)}
        return texts.get(1, ""), texts.get(2, "")

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(number, start, end) of each length-delimited field in data[start:end]; other wire types are stepped over."""
        position = start
        while position < end:
            self._left -= 1
            tag, position = _varint(self._data, position)
            size, position = _size(self._data, position, tag & 7)
            if position + size > end or tag < 8 or self._left < 0:
                msg = "cut short" if position + size > end else "field 0" if tag < 8 else "too many fields"
                raise ValueError(msg)
            if tag & 7 == 2:
                yield tag >> 3, position, position + size
            position += size


def _size(data: mmap.mmap, position: int, wire: int) -> tuple[int, int]:
    """Bytes that a field's value takes, and where it starts."""
    if wire == 0:
        return _varint(data, position)[1] - position, position
    if wire == 2:
        return _varint(data, position)
    if wire in (1, 5):
        return (8 if wire == 1 else 4), position
    msg = f"wire type {wire}"
    raise ValueError(msg)


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    msg = "number too long"
    raise ValueError(msg)
