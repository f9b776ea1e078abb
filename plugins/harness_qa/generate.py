"""Writes the bundled reading task: short Russian texts of invented facts, and questions that a span of them answers.

`python -m harness_qa.generate` rewrites `data/` byte for byte. A text tells two or three facts of one kind about
different subjects, so that a question ('где живёт Вера?') has several spans of the right type, and its answer is the
one that stands beside the same name. Facts are asked for from both ends ('кто живёт в Туле?'), and a whole clause can
be the answer. There are few names, and few questions about each of many texts: a small model that is trained from
scratch then learns to compare names before it knows the texts by heart.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness_qa.lexicon import KINDS, WHERE

T = TypeVar("T")

DATA = Path(__file__).parent / "data"
SIZES = {  # texts, QUESTIONS questions each
    "reading": {"train": 2100, "dev": 80, "test": 200},
    "sample": {"train": 14, "dev": 4, "test": 4},
}
QUESTIONS = 3  # about a text
SEED = 20240614


class Dice:
    """Random choices from `random.Random.random` alone, whose sequence Python guarantees across versions."""

    def __init__(self, seed: int) -> None:
        self._next = random.Random(seed).random  # noqa: S311

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self._next() * len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items, in random order."""
        return sorted(items, key=lambda _: self._next())[:count]


@dataclass(frozen=True)
class Fact:
    """Something that a text tells."""

    kind: str
    subject: str
    value: str


@dataclass(frozen=True)
class Asked:
    """A question, its answer and where that begins."""

    question: str
    answer: str
    begin: int


@dataclass(frozen=True)
class Paragraph:
    """A text with its questions."""

    context: str
    asked: tuple[Asked, ...]


# ------------------------------------------------------------------------------------------------------------- facts


def alike(dice: Dice) -> list[Fact]:
    """Two or three facts of one kind, each of its own subject."""
    name = dice.pick(tuple(KINDS))
    count = dice.pick((2, 2, 3))
    values = dice.some(KINDS[name].values, count)
    return [Fact(name, *pair) for pair in zip(dice.some(KINDS[name].subjects, count), values, strict=True)]


# -------------------------------------------------------------------------------------------------------------- texts


def ask(dice: Dice, fact: Fact, told: str) -> Iterator[tuple[str, str]]:
    """(question, answer): about both ends of a fact, and one that its whole clause answers."""
    kind = KINDS[fact.kind]
    yield dice.pick(kind.of_value).format(s=fact.subject), fact.value
    yield dice.pick(kind.of_subject).format(v=fact.value), fact.subject
    yield dice.pick(WHERE).format(w=dice.pick((fact.subject, fact.value))), told


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[0].upper() + text[1:]


def paragraph(dice: Dice) -> Paragraph:
    """A text and QUESTIONS questions about it."""
    separator = dice.pick((", ", ". "))
    context, asked = "", []
    for fact in alike(dice):
        told = KINDS[fact.kind].told.format(s=fact.subject, v=fact.value)
        begin = len(context) + len(separator) if context else 0
        clause = capital(told) if separator == ". " or not context else told
        context += (separator if context else "") + clause
        for question, answer in ask(dice, fact, told):
            place = told.index(answer)
            asked.append(Asked(f"{capital(question)}?", clause[place : place + len(answer)], begin + place))
    return Paragraph(f"{context}.", tuple(dice.some(asked, QUESTIONS)))


# -------------------------------------------------------------------------------------------------------------- files


def paragraphs(seed: int) -> Iterator[Paragraph]:
    """Paragraphs without end, no text twice."""
    dice = Dice(seed)
    seen: set[str] = set()
    while True:
        made = paragraph(dice)
        if made.context not in seen:
            seen.add(made.context)
            yield made


def files() -> dict[str, str]:
    """Every file of `data/` by its relative path: SQuAD v1.1 JSON, a paragraph a line."""
    source = paragraphs(SEED)
    found = {}
    for folder, sizes in SIZES.items():
        for role, size in sizes.items():
            lines = [_line(made, f"{role}-{number}") for number, made in zip(range(size), source, strict=False)]
            body = ",\n".join(lines)
            found[f"{folder}/{role}.json"] = f'{{"data":[{{"title":"","paragraphs":[\n{body}\n]}}]}}\n'
    return found


def _line(made: Paragraph, name: str) -> str:
    qas = [
        {
            "id": f"{name}-{number}",
            "question": item.question,
            "answers": [{"text": item.answer, "answer_start": item.begin}],
        }
        for number, item in enumerate(made.asked)
    ]
    return json.dumps({"context": made.context, "qas": qas}, ensure_ascii=False, separators=(",", ":"))


def main() -> None:
    """Rewrite the bundled task."""
    for name, text in files().items():
        path = DATA / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


if __name__ == "__main__":
    main()
