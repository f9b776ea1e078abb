"""Entities as a person and as brat see them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from harness.errors import printable

Entity = Mapping[str, Any]  # {"start", "end", "type", "text"} and perhaps "score" and "critical", see `Task.answer`


def marked(text: str, entities: Sequence[Entity]) -> str:
    """`[EU ORG! 0.98] rejects [German MISC 0.95] call`: `!` for a critical type; nothing here steers a terminal.

    An entity inside another is marked there; of two that cross, the one that ends first is closed first.
    """
    parts, end = [], 0
    for place, mark in _marks(entities):
        parts += [printable(text[end:place]), printable(mark)]
        end = place
    return "".join([*parts, printable(text[end:])])


def _marks(entities: Sequence[Entity]) -> Iterator[tuple[int, str]]:
    """(character, what is written before it): outer entities open first and close last."""
    ordered = sorted(entities, key=lambda entity: (entity["start"], -entity["end"]))
    opening = [((entity["start"], 1, number), "[") for number, entity in enumerate(ordered)]
    closing = [((entity["end"], 0, -number), _closing(entity)) for number, entity in enumerate(ordered)]
    return ((place, mark) for (place, _, _), mark in sorted([*opening, *closing]))


def _closing(entity: Entity) -> str:
    score = f" {entity['score']:.2f}" if "score" in entity else ""
    return f" {entity['type']}{'!' if entity.get('critical') else ''}{score}]"


def brat(entities: Sequence[Entity]) -> list[str]:
    """A T line for each entity, its parts where it runs over a line's end: `T1<TAB>ORG 0 2<TAB>EU`.

    Then, where they are known, what it is to the task and how sure the model is: `A1<TAB>Critical T1` and
    `#1<TAB>AnnotatorNotes T1<TAB>0.98`.
    """
    return list(chain.from_iterable(_brat_lines(number, entity) for number, entity in enumerate(entities, start=1)))


def _brat_lines(number: int, entity: Entity) -> Iterator[str]:
    yield f"T{number}\t{_brat_fields(entity)}"
    if entity.get("critical"):
        yield f"A{number}\tCritical T{number}"
    if "score" in entity:
        yield f"#{number}\tAnnotatorNotes T{number}\t{entity['score']:.2f}"


def _brat_fields(entity: Entity) -> str:
    """A type without spaces, parts without line ends: what brat's lines can hold."""
    kind = "_".join(entity["type"].split())
    parts = list(re.finditer(r"[^\r\n]+", entity["text"]))
    places = ";".join(f"{entity['start'] + part.start()} {entity['start'] + part.end()}" for part in parts)
    return f"{kind} {places}\t{' '.join(part[0] for part in parts)}"


def tagged(words: Sequence[str], tags: Sequence[str]) -> tuple[str, list[Entity]]:
    """Words with BIO tags → (the words with spaces between them, their entities in it). Any I- may begin one."""
    text = " ".join(words)
    entities: list[dict[str, Any]] = []
    begin, before = 0, "O"
    for word, tag in zip(words, tags, strict=True):
        if tag != "O" and (tag[0] == "B" or tag[1:] != before[1:]):
            entities.append({"start": begin, "type": tag[2:]})
        begin += len(word)
        if tag != "O":
            entities[-1] |= {"end": begin, "text": text[entities[-1]["start"] : begin]}
        begin += 1
        before = tag
    return text, [*entities]


def is_bio(labels: Sequence[str]) -> bool:
    """Are the labels of words O, B-… and I-…, that is, of entities?"""
    return "O" in labels and all(label == "O" or re.fullmatch(r"[BI]-.+", label) for label in labels)


def with_tags(words: Sequence[str], tags: Sequence[str | None]) -> str:
    """`Ann/NOUN sang/VERB .`: each word with its tag, where it has one."""
    return " ".join(printable(word if tag is None else f"{word}/{tag}") for word, tag in zip(words, tags, strict=True))
