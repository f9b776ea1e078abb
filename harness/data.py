"""Prepared data and predictions on disk: JSONL per role, numpy arrays per unit. Nothing here is ever pickled."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StageError
from harness.specs import Example, Facts, SpanOutput

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = "examples.jsonl"
META = "meta.json"


def write_examples(folder: Path, examples: Sequence[Example]) -> None:
    """One JSON object per line."""
    folder.mkdir(parents=True)
    lines = (json.dumps(example, ensure_ascii=False, sort_keys=True) for example in examples)
    (folder / EXAMPLES).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_examples(folder: Path) -> list[Example]:
    """The examples of one role."""
    with (folder / EXAMPLES).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_json(path: Path, value: Any) -> None:
    """Indented JSON; the folder is made when it is missing. ValueError for NaN and infinities."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False), encoding="utf-8")


def read_json(path: Path) -> Any:
    """The JSON of a file."""
    return json.loads(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Meta:
    """What prepared data says of itself. `labels` is the order of class ids."""

    labels: tuple[str, ...]
    counts: Mapping[str, int]
    facts: Facts


def read_meta(folder: Path) -> Meta:
    """The `meta` output of a prepare stage."""
    data = read_json(folder / META)
    return Meta(tuple(data["labels"]), data["counts"], data["facts"])


@dataclass(frozen=True)
class Predictions:
    """Raw outputs in the order of the data: `values` is memory-mapped float32 [units, C].

    Sequence: a unit is an example, C its classes. Token: a unit is a word, `offsets` [examples + 1] says which belong
    to an example. Span: a unit is a token with start and end, and `places` [units, 2] says where it stands.
    """

    ids: tuple[str, ...]
    values: np.ndarray
    offsets: np.ndarray | None = None
    places: np.ndarray | None = None

    def per_example(self) -> list[Any]:
        """What `Task.samples` takes: logits [C], [words, C], or a `SpanOutput`."""
        if self.offsets is None:
            return list(self.values)
        bounds = itertools.pairwise(self.offsets.tolist())
        if self.places is None:
            return [self.values[a:b] for a, b in bounds]
        return [SpanOutput(self.places[a:b], self.values[a:b]) for a, b in bounds]

    def starts(self) -> np.ndarray:
        """The first unit of each example, int64 [examples]. StageError where an example is one unit."""
        if self.offsets is None:
            msg = "these predictions are about whole examples, not about their words"
            raise StageError(msg)
        return self.offsets[:-1]


def write_states(folder: Path, layer: int, states: Sequence[np.ndarray]) -> float:
    """Add the states of a layer to predictions: [units, H] of each example, in half precision.

    Returns the largest error that it makes, relative to the largest state. StageError where they do not fit.
    """
    import numpy as np

    whole = np.concatenate([np.atleast_2d(one) for one in states])
    largest = float(np.abs(whole).max(initial=0.0))
    if not largest <= float(np.finfo(np.float16).max):
        msg = f"hidden states of layer {layer} reach {largest:.3g}: too large for half precision; choose another layer"
        raise StageError(msg)
    half = whole.astype(np.float16)
    np.save(folder / f"states.{layer}.npy", half, allow_pickle=False)
    return float(np.abs(whole - half.astype(np.float32)).max(initial=0.0) / max(largest, 1e-30))


def read_states(predictions: Predictions, folder: Path, layer: int) -> Predictions:
    """The same units with the states of a layer as their values, float16 [units, H]."""
    import numpy as np

    return replace(predictions, values=np.load(folder / f"states.{layer}.npy", mmap_mode="r", allow_pickle=False))


def write_predictions(folder: Path, ids: Sequence[str], outputs: Sequence[Any]) -> None:
    """Store what was said about each example: logits [C] each, [words, C] each, or a `SpanOutput` each."""
    import numpy as np

    folder.mkdir(parents=True)
    write_json(folder / "ids.json", list(ids))
    spans = isinstance(outputs[0], SpanOutput)
    logits = [output.logits for output in outputs] if spans else outputs
    if logits[0].ndim == 1:
        np.save(folder / "logits.npy", np.stack(logits).astype(np.float32), allow_pickle=False)
        return
    np.save(folder / "logits.npy", np.concatenate(logits).astype(np.float32, copy=False), allow_pickle=False)
    np.save(folder / "offsets.npy", np.cumsum([0, *map(len, logits)], dtype=np.int64), allow_pickle=False)
    if spans:
        np.save(folder / "places.npy", np.concatenate([output.places for output in outputs]), allow_pickle=False)


def read_predictions(folder: Path, examples: Sequence[Example]) -> Predictions:
    """Predictions about exactly these examples. StageError when they are about others."""
    import numpy as np

    ids = tuple(read_json(folder / "ids.json"))
    if ids != tuple(example["id"] for example in examples):
        msg = f"{folder}: predictions are about other examples than the data they are used with"
        raise StageError(msg)
    values = np.load(folder / "logits.npy", mmap_mode="r", allow_pickle=False)
    if not (folder / "offsets.npy").exists():
        return Predictions(ids, values)
    offsets, file = np.load(folder / "offsets.npy", allow_pickle=False), folder / "places.npy"
    places = np.load(file, mmap_mode="r", allow_pickle=False) if file.exists() else None
    return Predictions(ids, values, offsets, places)
