"""What a task's data looks like: an example, sizes of its splits, lengths, the commonest first words."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean

from harness.assets import Asset, Missing, find_data, places
from harness.cli.marking import Entity, is_bio, marked, tagged, with_tags
from harness.errors import AssetError, printable
from harness.specs import Example, Prepared, Source, Task, TaskSpec

FIRST_WORDS = 10
_TOKEN = re.compile(r"\w+|[^\w\s]")
SHOWN = 160  # characters of a field


def card(spec: TaskSpec, source: str | None) -> list[str]:
    """Lines about the given source, else the task's own where it is here, else its bundled sample.

    AssetError when a source was given and is not there or cannot be read.
    """
    found = _found(spec, source)
    if found is None:
        return ["data: none here and no bundled sample; give --source"]
    task = spec.load()
    prepared = task.prepare(Source(found.origin, found.root, found.files), list(spec.roles))
    return [
        f"data: {printable(found.origin)}: {_sizes(prepared)}",
        *(_tagged_example(task, prepared) if spec.head == "token" else _example(prepared)),
        *_lengths(prepared),
        *_first_words(task, prepared),
    ]


def _found(spec: TaskSpec, source: str | None) -> Asset | None:
    where = places(Path.cwd(), os.environ)
    folder = None if source else spec.offline_folder
    for candidate in filter(None, (source, spec.default_source, spec.sample_source)):
        asset = find_data(candidate, where, folder)
        if isinstance(asset, Asset):
            return asset
        if isinstance(asset, Missing) and source:
            raise AssetError(str(asset))
        folder = None
    return None


def _sizes(prepared: Prepared) -> str:
    return ", ".join(f"{role} {len(examples):,}" for role, examples in prepared.roles.items())


def _all(prepared: Prepared) -> Iterator[Example]:
    for examples in prepared.roles.values():
        yield from examples


def _example(prepared: Prepared) -> list[str]:
    example = next(_all(prepared), None)
    if example is None:
        return []
    return ["example:", *(f"  {name:12} {_short(value)}" for name, value in example.items())]


def _tagged_example(task: Task, prepared: Prepared) -> list[str]:
    """The first example with an entity, its entities marked; then how many entities of each type the roles have.

    Where labels are none of entities (parts of speech): the first labelled example, and how often each label occurs.
    """
    bio = is_bio(prepared.labels)
    tags = {role: [_tags(task, prepared, e) for e in examples] for role, examples in prepared.roles.items()}
    every = zip(_all(prepared), chain(*tags.values()), strict=True)
    shown = next(((e, found) for e, found in every if {*found} - {None, "O" if bio else None}), None)
    if shown is None:
        return _example(prepared)
    example, its_tags = shown
    words = task.input(example)
    text = marked(*_entities(words, its_tags)) if bio else with_tags(words, its_tags)
    counted = {role: Counter(chain(*map(_types if bio else _named, found))) for role, found in tags.items()}
    kinds = dict.fromkeys(label[2:] for label in prepared.labels if label != "O") if bio else prepared.labels
    return [
        "example:",
        f"  {'id':12} {printable(example['id'])}",
        f"  {'text':12} {text if len(text) <= SHOWN else f'{text[:SHOWN]}…'}",
        "entities:" if bio else "labels:",
        *(
            f"  {role:12} " + ", ".join(f"{printable(kind)} {found[kind]:,}" for kind in kinds)
            for role, found in counted.items()
        ),
    ]


def _tags(task: Task, prepared: Prepared, example: Example) -> list[str | None]:
    """The tag of each word; None where nobody says."""
    target = task.target(example, prepared.labels)
    if target is None:
        return [None] * len(task.input(example))
    return [None if number < 0 else prepared.labels[number] for number in target]


def _entities(words: Sequence[str], tags: Sequence[str | None]) -> tuple[str, list[Entity]]:
    return tagged(words, [tag or "O" for tag in tags])


def _types(tags: Sequence[str | None]) -> list[str]:
    return [entity["type"] for entity in _entities([""] * len(tags), tags)[1]]


def _named(tags: Sequence[str | None]) -> list[str]:
    return [tag for tag in tags if tag is not None]


def _short(value: object) -> str:
    text = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _lengths(prepared: Prepared) -> list[str]:
    """Mean characters and tokens (words and signs) of every field that is text; of a list of answers, of the first.

    A text that several examples share counts once, where it is one that they are about.
    """
    fields: dict[str, list[str]] = {}
    for example in _all(prepared):
        for name, text in _texts(example):
            fields.setdefault(name, []).append(text)
    lines = [
        _length(name, list(dict.fromkeys(texts)) if name == "context" else texts) for name, texts in fields.items()
    ]
    return ["mean lengths:", *lines]


def _length(name: str, texts: Sequence[str]) -> str:
    tokens = fmean(len(_TOKEN.findall(text)) for text in texts)
    return f"  {name:12} {fmean(map(len, texts)):8.1f} characters {tokens:8.1f} tokens"


def _texts(example: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in example.items():
        if isinstance(value, str) and name not in ("id", "doc"):
            yield name, value
        elif isinstance(value, list) and value and isinstance(value[0], dict) and isinstance(value[0].get("text"), str):
            yield name, value[0]["text"]


def _first_words(task: Task, prepared: Prepared) -> list[str]:
    """Of what an encoder reads first: the text, the question."""
    counts: Counter[str] = Counter()
    for example in _all(prepared):
        value = task.input(example)
        text = value if isinstance(value, str) else str(value[0]) if isinstance(value, Sequence) and value else ""
        counts.update(word.lower() for word in text.split()[:1])
    listed = ", ".join(f"{printable(word)} {count}" for word, count in counts.most_common(FIRST_WORDS))
    return [f"first words: {listed}"] if listed else []
