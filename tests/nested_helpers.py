"""What the tests of the nested entity tasks share: sources made of files, preparation, and layers as logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ner_helpers import ROLES, jsonl, source_of, write

from harness import AssetError, Prepared
from harness_ner.nested import NestedEntities, RuNNE
from harness_ner.plugin import NestedParams, RuNNEParams, RuREBusParams

__all__ = ["ROLES", "example", "failure", "jsonl", "logits", "prepare", "rebus", "row", "source_of", "task", "write"]


def task(runne: bool = False, **params) -> NestedEntities:
    return RuNNE(RuNNEParams.model_validate(params)) if runne else NestedEntities(NestedParams.model_validate(params))


def rebus(**params) -> NestedEntities:
    return NestedEntities(RuREBusParams.model_validate(params))


def prepare(folder: Path, roles=ROLES, runne: bool = False, **params) -> Prepared:
    return task(runne, **params).prepare(source_of(folder), roles)


def failure(folder: Path, roles=ROLES, runne: bool = False, **params) -> str:
    with pytest.raises(AssetError) as caught:
        prepare(folder, roles, runne, **params)
    return str(caught.value)


def row(text: str, *entities: str, **more) -> dict:
    """A JSONL row whose entities are `PER:Anna`: the type, and a text that stands in the row's once."""
    found = []
    for entity in entities:
        kind, said = entity.split(":", 1)
        begin = text.index(said)
        found.append([begin, begin + len(said), kind])
    return {"text": text, "entities": found, **more}


def example(text: str, *entities: str, number: int = 0) -> dict:
    """An example of words between spaces."""
    words, begin = [], 0
    for word in text.split(" "):
        words.append([begin, begin + len(word)])
        begin += len(word) + 1
    return {"id": f"d/{number}", "doc": "d", "begin": 0, "words": words, **row(text, *entities)}


def logits(layers: np.ndarray, strength: float = 5.0) -> np.ndarray:
    """Layers [words, T] → float32 [words, 5·T] that decode to them, if they are legal."""
    return (strength * np.eye(5, dtype=np.float32)[layers]).reshape(len(layers), -1)
