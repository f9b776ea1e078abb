"""Writes the bundled sentences: CoNLL files of invented names in four types, made up by a seeded generator.

`python -m harness_ner.generate` rewrites `data/` byte for byte. Names that a training file has come again in others
in other company, and a town's name is a club's in the sentences about matches, so that a word alone does not decide.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness_ner.lexicon import SENTENCES, SLOTS

DATA = Path(__file__).parent / "data"
SIZES = {"sample": {"train": 96, "valid": 24, "test": 48}}
SEED = 20030531
DOCUMENT = 8  # sentences
_SLOT = re.compile(r"\{(\w+)\}")

Word = tuple[str, str]  # the word and its tag


class Dice:
    """Random choices from `random.Random.random` alone, whose sequence Python guarantees across versions."""

    def __init__(self, seed: int) -> None:
        self._next = random.Random(seed).random  # noqa: S311

    def pick(self, items: Sequence[str]) -> str:
        """One of the items."""
        return items[int(self._next() * len(items))]


def sentence(dice: Dice) -> list[Word]:
    """A sentence with its BIO2 tags."""
    words: list[Word] = []
    for part in dice.pick(SENTENCES).split():
        slot = _SLOT.fullmatch(part)
        kind, names = SLOTS[slot[1]] if slot else ("", (part,))
        name = dice.pick(names)
        words += [(word, _tag(kind, first=not n)) for n, word in enumerate(name.split())]
    return words


def _tag(kind: str, *, first: bool) -> str:
    return f"{'B' if first else 'I'}-{kind}" if kind else "O"


def sentences(seed: int) -> Iterator[list[Word]]:
    """Sentences without end, none twice."""
    dice = Dice(seed)
    seen: set[tuple[Word, ...]] = set()
    while True:
        made = sentence(dice)
        if tuple(made) not in seen:
            seen.add(tuple(made))
            yield made


def files() -> dict[str, str]:
    """Every file of `data/` by its relative path: a word and its tag a line."""
    source = sentences(SEED)
    found = {}
    for folder, sizes in SIZES.items():
        for role, size in sizes.items():
            blocks: list[list[Word]] = []
            for number, made in zip(range(size), source, strict=False):
                blocks += [[("-DOCSTART-", "O")], made] if number % DOCUMENT == 0 else [made]
            found[f"{folder}/{role}.txt"] = "\n".join(
                "".join(f"{word} {tag}\n" for word, tag in block) for block in blocks
            )
    return found


def main() -> None:
    """Rewrite the bundled sentences."""
    for name, text in files().items():
        path = DATA / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


if __name__ == "__main__":
    main()
