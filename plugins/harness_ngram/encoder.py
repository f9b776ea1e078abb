"""Texts → rows of hashed n-grams: words, neighbouring words, pieces of words. NumPy alone, nothing is learned.

Hashes are arithmetic modulo 2^64 on code points, so every process and machine computes the same ones.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness import Encoded, Head, StageError

SETTINGS = "encoder.json"
PAD = 0  # the row that counts for nothing
LONGEST = 64  # characters of a word that are read
_SETTINGS = ("rows", "words", "pieces", "lowercase", "max_length")
_WORD = re.compile(r"\w+|[^\w\s]")
_SPACE = ord(" ")
_STEP = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio times 2^64, odd


@dataclass(frozen=True)
class NgramEncoder:
    """A text → `input_ids`, the row of each of its n-grams, in no order that matters.

    A word is a run of letters and digits, or a single sign. A text is cut at `max_length` words, a word at 64
    characters; the arrays are as long as there are n-grams. A text without a word is one empty word.
    """

    rows: int  # of the table, `PAD` among them
    words: int  # longest run of words
    pieces: Sequence[int]  # shortest and longest piece of a word, which has a space before and after it; or nothing
    lowercase: bool
    max_length: int  # words
    pad: Mapping[str, int] = field(default_factory=lambda: {"input_ids": PAD})

    def encode(self, inputs: Sequence[Any], head: Head) -> list[Encoded]:
        """Texts → one window each. StageError for a head that reads something else."""
        if head != "sequence":
            msg = f"this encoder reads whole texts; it knows no head '{head}'"
            raise StageError(msg)
        return [self._text(str(text)) for text in inputs]

    def _text(self, text: str) -> Encoded:
        normal = unicodedata.normalize("NFC", text)
        found = _WORD.findall(normal.lower() if self.lowercase else normal)
        read = [word[:LONGEST] for word in found[: self.max_length]]
        hashed = hashes(read or [""], self.words, self.pieces)
        ids = (hashed % np.uint64(self.rows - 1)).astype(np.int64) + 1
        return Encoded({"input_ids": ids}, len(ids), cut=read != found)


def load(folder: Path) -> NgramEncoder:
    """The encoder of an artifact folder. StageError when its file is missing or broken."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return NgramEncoder(**{name: settings[name] for name in _SETTINGS})
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder}: the encoder cannot be loaded ({error!r})"
        raise StageError(msg) from error


def hashes(words: Sequence[str], most: int, pieces: Sequence[int]) -> np.ndarray:
    """The n-grams of a text of at least one word, uint64 [n]: runs of 1 to `most` words, then pieces by length."""
    text = f" {' '.join(words)} ".encode("utf-32-le", "surrogatepass")
    signs = np.frombuffer(text, dtype="<u4").astype(np.uint64)  # [S]
    spaces = signs == _SPACE
    found = _runs(signs, np.flatnonzero(spaces), most)
    return np.concatenate([*found, *_pieces(signs, spaces, *pieces)] if pieces else found)


def _runs(signs: np.ndarray, spaces: np.ndarray, most: int) -> list[np.ndarray]:
    """Runs of words, whose signs are told apart by their distance to the space before them."""
    starts = spaces[:-1]
    place = np.arange(spaces[-1]) - np.repeat(starts, np.diff(spaces))
    single = _mixed(np.add.reduceat(_mixed(signs[:-1] + place.astype(np.uint64) * _STEP), starts))
    runs = [single]
    for length in range(2, min(most, len(single)) + 1):
        runs.append(_mixed(runs[-1][:-1] * _STEP + single[length - 1 :]))
    return runs


def _pieces(signs: np.ndarray, spaces: np.ndarray, shortest: int, longest: int) -> list[np.ndarray]:
    """Pieces without a space inside; each is hashed from the one that is a sign shorter."""
    before = np.concatenate([[0], np.cumsum(spaces)])  # spaces among the first i signs
    pieces, hashed = [], _mixed(signs)
    for length in range(2, min(longest, len(signs)) + 1):
        hashed = _mixed(hashed[:-1] * _STEP + signs[length - 1 :])
        if length >= shortest:
            count = len(hashed)
            pieces.append(hashed[before[length - 1 : length - 1 + count] == before[1 : 1 + count]])
    return pieces


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's last step: every bit of a value decides about every bit of the result. uint64, any shape."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed
