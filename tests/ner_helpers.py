"""What the tests of the named entity task share: sources made of files, and their preparation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import AssetError, Prepared, Source
from harness_ner.plugin import ConllParams, NerParams
from harness_ner.task import NamedEntities

ROLES = ("train", "dev", "test")


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def jsonl(rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def columns(*sentences: str, join: str = " ") -> str:
    """`"EU:B-ORG rejects:O"` each → the lines of a CoNLL file."""
    return "\n".join(
        "".join(f"{join.join(word.rsplit(':', 1))}\n" for word in sentence.split()) for sentence in sentences
    )


def source_of(folder: Path) -> Source:
    files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    return Source("a test", folder, files)


def task(conll: bool = False, **params) -> NamedEntities:
    return NamedEntities((ConllParams if conll else NerParams).model_validate(params))


def prepare(folder: Path, roles=ROLES, conll: bool = False, **params) -> Prepared:
    return task(conll, **params).prepare(source_of(folder), roles)


def everyone(data: Prepared) -> list[dict]:
    """The examples of all roles."""
    return [example for examples in data.roles.values() for example in examples]


def in_file_order(data: Prepared, role: str = "train") -> list[dict]:
    """Examples whose ids end in a number, by that number."""
    return sorted(data.roles[role], key=lambda example: int(example["id"].rsplit("-", 1)[1]))


def failure(folder: Path, roles=ROLES, **params) -> str:
    with pytest.raises(AssetError) as caught:
        prepare(folder, roles, **params)
    return str(caught.value)


def entities(example: dict) -> list[tuple[str, str]]:
    """(type, text) of each entity of an example."""
    from harness_ner.tags import spans

    words = example["words"]
    return [
        (kind, example["text"][words[first][0] : words[last - 1][1]]) for kind, first, last in spans(example["tags"])
    ]
