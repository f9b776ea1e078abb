"""Entities as a person and as brat see them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import printable

Entity = Mapping[str, Any]  # {"start", "end", "type", "text"} and perhaps "score" and "critical", see `Task.answer`


def marked(text: str, entities: Sequence[Entity]) -> str:
    """`[EU ORG! 0.98] rejects [German MISC 0.95] call`: `!` for a critical type; nothing here steers a terminal."""
    parts, end = [], 0
    for entity in entities:
        parts += [printable(text[end : entity["start"]]), _mark(entity)]
        end = entity["end"]
    return "".join([*parts, printable(text[end:])])


def _mark(entity: Entity) -> str:
    score = f" {entity['score']:.2f}" if "score" in entity else ""
    return printable(f"[{entity['text']} {entity['type']}{'!' if entity.get('critical') else ''}{score}]")


def brat(entities: Sequence[Entity]) -> list[str]:
    """A T line for each entity, its parts where it runs over a line's end: `T1<TAB>ORG 0 2<TAB>EU`."""
    return [f"T{number}\t{_brat_fields(entity)}" for number, entity in enumerate(entities, start=1)]


def _brat_fields(entity: Entity) -> str:
    """A type without spaces, parts without line ends: what brat's lines can hold."""
    kind = "_".join(entity["type"].split())
    parts = list(re.finditer(r"[^\r\n]+", entity["text"]))
    places = ";".join(f"{entity['start'] + part.start()} {entity['start'] + part.end()}" for part in parts)
    return f"{kind} {places}\t{' '.join(part[0] for part in parts)}"


def tagged(words: Sequence[str], tags: Sequence[str]) -> tuple[str, list[Entity]]:
    """Words with BIO2 tags → (the words with spaces between them, their entities in it)."""
    text = " ".join(words)
    entities: list[dict[str, Any]] = []
    begin = 0
    for word, tag in zip(words, tags, strict=True):
        if tag.startswith("B-"):
            entities.append({"start": begin, "type": tag[2:]})
        begin += len(word)
        if tag != "O":
            entities[-1] |= {"end": begin, "text": text[entities[-1]["start"] : begin]}
        begin += 1
    return text, [*entities]
