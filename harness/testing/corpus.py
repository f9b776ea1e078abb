"""Toy texts for every head, made here: short and long, with labels that follow from their words."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.specs import Example, Facts, Head

EXAMPLES = 40
MAX_LENGTH = 32  # tokens
_THINGS = ("coat", "lamp", "kettle", "chair", "radio", "пальто", "лампа", "чайник")
_PLACES = ("Lisbon", "Oslo", "Quito", "Казань")
_OPINIONS: Mapping[str, Sequence[str]] = {
    "bad": ("broke", "leaks", "hurts", "сломался"),
    "fair": ("works", "stands", "arrived", "пришёл"),
    "good": ("shines", "delights", "lasts", "радует"),
}
_FILLERS = ("the", "and", "very", "old", "new", "in", "my", "house", "today", "again", "снова", "очень")
_LABELS: Mapping[Head, tuple[str, ...]] = {
    "sequence": tuple(_OPINIONS),
    "token": ("O", "B-LOC", "I-LOC"),
    "nested-token": ("LOC", "THING"),
    "span": (),
}
_NESTED_CLASSES = 5  # O, B, I, L, U of each type
# What nobody trains on and somebody sends all the same.
ODD_TEXTS = (
    "",
    " ",
    "a",
    "\n\t\r",
    "\x00\x07\x1b[31m",
    "🙂‍🔥 é é ﷽",
    "\u202e\u200b\ufeff",
    "<script>alert(1)</script> '; DROP TABLE",
    "ж" * 500,
    "word " * 400,
)


@dataclass(frozen=True)
class ToyTask:
    """As much of a task as encoding, training and answering read."""

    head: Head

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of their ids."""
        if self.head == "nested-token":
            return tuple(f"{kind}:{sign}" for kind in _LABELS[self.head] for sign in "OBILU")
        return _LABELS[self.head]

    def input(self, example: Example) -> Any:
        """What an encoder reads."""
        return example["input"]

    def target(self, example: Example, labels: tuple[str, ...]) -> Any:
        """What a loss reads."""
        return example["target"]

    def answer(self, example: Example, output: Any, labels: tuple[str, ...]) -> Facts:
        """Nothing: nobody reads toys."""
        return {}

    def examples(self, count: int = EXAMPLES) -> list[Example]:
        """The same ones every time; every fourth is long, the first has one word."""
        draw = random.Random(0)  # noqa: S311 - no secret
        make = _MAKERS[self.head]
        return [{"id": f"train-{n}", **make(draw, _length(n))} for n in range(count)]

    def odd(self) -> list[Example]:
        """Empty, tiny, endless and hostile ones."""
        return [
            {"id": f"odd-{n}", "input": _as_input(self.head, text), "target": None} for n, text in enumerate(ODD_TEXTS)
        ]


def texts(examples: Sequence[Example]) -> list[str]:
    """All the text in examples, as `BuildRequest.texts` gives it."""
    return [part for example in examples for part in _parts(example["input"])]


def _parts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [" ".join(value)] if isinstance(value, list) else list(value)


def _length(number: int) -> int:
    return 1 if number == 0 else 40 if number % 4 == 3 else 2 + number % 6


def _sentence(draw: random.Random, words: int) -> tuple[list[str], str]:
    label = draw.choice(sorted(_OPINIONS))
    said = [draw.choice(_FILLERS) for _ in range(max(0, words - 3))]
    own = [draw.choice(_OPINIONS[label]), draw.choice(_THINGS), draw.choice(_PLACES)][:words]
    return [*own, *said], label


def _sequence(draw: random.Random, words: int) -> dict[str, Any]:
    said, label = _sentence(draw, words)
    return {"input": " ".join(said), "target": _LABELS["sequence"].index(label)}


def _token(draw: random.Random, words: int) -> dict[str, Any]:
    said, _ = _sentence(draw, words)
    return {"input": said, "target": [1 if word in _PLACES else 0 for word in said]}


def _nested(draw: random.Random, words: int) -> dict[str, Any]:
    said, _ = _sentence(draw, words)
    unit = _NESTED_CLASSES - 1  # a mention of one word
    return {"input": said, "target": [[unit * (word in _PLACES), unit * (word in _THINGS)] for word in said]}


def _span(draw: random.Random, words: int) -> dict[str, Any]:
    said, _ = _sentence(draw, max(3, words))
    draw.shuffle(said)
    context, place = " ".join(said), next(word for word in said if word in _PLACES)
    begin = context.index(place)
    return {"input": ("where is it", context), "target": (begin, begin + len(place))}


def _as_input(head: Head, text: str) -> Any:
    return {"sequence": text, "span": (text[:50], text)}.get(head, text.split(" ") if text.strip() else [])


_MAKERS: Mapping[Head, Callable[[random.Random, int], dict[str, Any]]] = {
    "sequence": _sequence,
    "token": _token,
    "nested-token": _nested,
    "span": _span,
}
