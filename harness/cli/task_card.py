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
from harness.cli.marking import marked, tagged
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
    """The first example with an entity, its entities marked; then how many entities of each type the roles have."""
    examples = {role: [_tags(task, prepared, e) for e in examples] for role, examples in prepared.roles.items()}
    shown = next(
        (e for e, tags in zip(_all(prepared), chain(*examples.values()), strict=True) if {*tags} - {"O"}), None
    )
    if shown is None:
        return _example(prepared)
    text = marked(*tagged(task.input(shown), _tags(task, prepared, shown)))
    counts = {
        role: Counter(tag[2:] for tags in found for tag in tags if tag[:2] == "B-") for role, found in examples.items()
    }
    types = list(dict.fromkeys(label[2:] for label in prepared.labels if label != "O"))
    return [
        "example:",
        f"  {'id':12} {printable(shown['id'])}",
        f"  {'text':12} {text if len(text) <= SHOWN else f'{text[:SHOWN]}…'}",
        "entities:",
        *(
            f"  {role:12} " + ", ".join(f"{printable(kind)} {found[kind]:,}" for kind in types)
            for role, found in counts.items()
        ),
    ]


def _tags(task: Task, prepared: Prepared, example: Example) -> list[str]:
    """The tag of each word; all O where nobody says."""
    target = task.target(example, prepared.labels)
    return ["O"] * len(task.input(example)) if target is None else [prepared.labels[number] for number in target]


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
        if isinstance(value, str) and name != "id":
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
