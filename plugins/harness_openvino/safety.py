"""What OpenVINO's own files may contain before its reader sees them: a graph in XML, and its weights beside it."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any
from xml.parsers import expat

from harness import StageError

_OPERATORS = re.compile(r"opset\d{1,3}")  # sets of OpenVINO's own; others come from libraries that would be loaded


def check_graph(graph: Path, weights: Path) -> None:
    """StageError unless these are two plain files: a graph of known operators, and all the weights that it names.

    Entities and document types are refused, so that nothing is read from elsewhere and nothing grows while it is read.
    """
    _check_plain(graph)
    _check_plain(weights)
    parser, reader = expat.ParserCreate(), _Reader(weights.stat().st_size)
    parser.StartElementHandler = reader.element
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        with graph.open("rb") as file:
            parser.ParseFile(file)
    except (expat.ExpatError, ValueError) as error:
        msg = f"{graph}: not a graph of OpenVINO ({error})."
        raise StageError(msg) from error
    if not reader.layers:
        msg = f"{graph}: not a graph of OpenVINO (no operators)."
        raise StageError(msg)


def _check_plain(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}). Compress its source again."
        raise StageError(msg) from error
    if not stat.S_ISREG(mode):
        msg = f"{path}: must be a file, not a link or a folder. Compress its source again."
        raise StageError(msg)


class _Reader:
    """Looks at one element after another. ValueError for what is not allowed."""

    def __init__(self, size: int) -> None:
        self.size, self.layers, self._first = size, 0, True

    def doctype(self, *_: Any) -> None:
        msg = "it has a document type"
        raise ValueError(msg)

    def element(self, name: str, attributes: dict[str, str]) -> None:
        if self._first and name != "net":
            msg = f"it is '{name[:40]}', not 'net'"
            raise ValueError(msg)
        self._first = False
        if name == "layer":
            self.layers += 1
            self._check_operator(attributes)
        elif name == "data" and "offset" in attributes:
            self._check_weights(attributes)

    @staticmethod
    def _check_operator(attributes: dict[str, str]) -> None:
        known = attributes.get("version", "")
        if not _OPERATORS.fullmatch(known):
            msg = f"operator '{attributes.get('type', '')[:40]}' of '{known[:40]}'; allowed: opset1, opset2, …"
            raise ValueError(msg)

    def _check_weights(self, attributes: dict[str, str]) -> None:
        texts = attributes["offset"], attributes.get("size", "")
        if not all(text.isascii() and text.isdigit() for text in texts):
            msg = f"weights at '{texts[0][:40]}' of '{texts[1][:40]}' bytes"
            raise ValueError(msg)
        if sum(map(int, texts)) > self.size:
            msg = f"weights of {texts[1]} bytes at {texts[0]}, where the file beside it has {self.size}"
            raise ValueError(msg)
