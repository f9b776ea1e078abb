"""Text → arrays for ONNX files made elsewhere: their tokenizer.json, cut at the length that the suite allows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from harness import Encoded, Head, StageError

TOKENIZER = "tokenizer.json"
SETTINGS = "encoder.json"  # {"max_length": int, "pad": {array name: value}}
_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class FileEncoder:
    """The arrays that the graph reads, in its order."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, pad: Mapping[str, int]) -> None:
        self.pad = dict(pad)
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)

    def encode(self, inputs: Sequence[str], head: Head) -> list[Encoded]:
        """One entry per text, in order, special tokens included, at most max_length long."""
        return [self._encoded(encoding) for encoding in self._tokenizer.encode_batch(list(inputs))]

    def _encoded(self, encoding: Any) -> Encoded:
        arrays = {name: np.array(getattr(encoding, _FIELDS[name]), np.int64) for name in self.pad}  # each [length]
        return Encoded(arrays=arrays, length=len(encoding.ids), cut=bool(encoding.overflowing))


def load(folder: Path) -> FileEncoder:
    """The encoder of an artifact. StageError when its files are missing or broken."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return FileEncoder(Tokenizer.from_file(str(folder / TOKENIZER)), settings["max_length"], settings["pad"])
    except Exception as error:  # tokenizers raises plain Exception
        msg = f"{folder}: the encoder cannot be loaded: {error}"
        raise StageError(msg) from error
