"""Per-example figures of a cell, as lists or packed: most of a record's bytes."""

from __future__ import annotations

import math
import zlib
from base64 import b64decode, b64encode
from itertools import chain
from typing import Any

import numpy as np

PLAIN = 50_000  # per-example figures that a cell holds as lists; more are packed
MOST = 1 << 25  # per-example figures that are unpacked: a record may come from anybody
LARGEST = 1e15  # of figures: sums of squares stay finite
PACKED = {"i": "<i8", "f": "<f8"}  # types of packed figures
Json = dict[str, Any]


def packed(samples: np.ndarray) -> Json:
    """int64 or float64 [n, k] as JSON: counts of spans are mostly zeros, and take a fiftieth of their bytes as text."""
    data = b64encode(zlib.compress(samples.astype(samples.dtype.newbyteorder("<")).tobytes())).decode()
    return {"shape": list(samples.shape), "type": samples.dtype.kind, "zlib": data}


def read_samples(recorded: Any) -> np.ndarray:
    """The samples of a cell's quality, as lists or packed → float64 [n, k]. ValueError when they are neither."""
    if not isinstance(recorded, dict):
        return np.asarray(recorded, dtype=np.float64)
    return _unpacked(recorded).astype(np.float64)


def check_samples(recorded: Any) -> Any:
    """Samples, back as they are. ValueError when they are neither rows of numbers nor a packed array."""
    low, high = _range_of_packed(recorded) if isinstance(recorded, dict) else _range_of_rows(recorded)
    if low < -LARGEST or high > LARGEST:
        msg = f"samples hold a figure beyond {LARGEST:g} either way"
        raise ValueError(msg)
    return recorded


def samples_shape(recorded: Any) -> tuple[int, int]:
    """(examples, figures) of samples that were checked."""
    examples, figures = recorded["shape"] if isinstance(recorded, dict) else (len(recorded), len(recorded[0]))
    return examples, figures


def _range_of_packed(recorded: Json) -> tuple[float, float]:
    figures = _unpacked(recorded)
    if not np.isfinite(figures).all():
        msg = "packed samples hold a figure that is no finite number"
        raise ValueError(msg)
    return float(figures.min()), float(figures.max())


def _range_of_rows(recorded: Any) -> tuple[float, float]:
    """Written for speed: records are mostly samples."""
    if not isinstance(recorded, list) or not recorded or set(map(type, recorded)) != {list}:
        msg = "samples are neither rows of figures nor packed"
        raise ValueError(msg)
    widths = set(map(len, recorded))
    if len(widths) != 1 or 0 in widths:
        msg = f"samples are rows of {min(widths):,} to {max(widths):,} figures; expected equally many, at least one"
        raise ValueError(msg)
    if len(recorded) * max(widths) > MOST:
        msg = f"samples are {len(recorded):,} × {max(widths):,} figures; expected at most {MOST:,} in all"
        raise ValueError(msg)
    if not set(map(type, chain.from_iterable(recorded))) <= {int, float}:
        msg = "samples hold something that is not a number"
        raise ValueError(msg)
    try:
        figures = np.fromiter(chain.from_iterable(recorded), dtype=np.float64)
    except OverflowError:
        return -math.inf, math.inf
    return float(figures.min()), float(figures.max())


def _unpacked(recorded: Json) -> np.ndarray:
    kind, shape = recorded.get("type"), recorded.get("shape")
    if kind not in list(PACKED):
        msg = f"packed samples are of type {kind!r}, expected {' or '.join(map(repr, PACKED))}"
        raise ValueError(msg)
    if not isinstance(shape, list) or not _is_shape(shape):
        msg = f"packed samples have the shape {shape!r}, expected [examples, figures], at most {MOST:,} in all"
        raise ValueError(msg)
    size = 8 * math.prod(shape)
    data = _inflated(recorded.get("zlib"), size)
    if len(data) != size:
        held = f"{len(data):,}" if len(data) < size else f"more than {size:,}"
        msg = f"packed samples hold {held} bytes, their shape {shape} takes {size:,}"
        raise ValueError(msg)
    return np.frombuffer(data, dtype=PACKED[kind]).reshape(shape)


def _is_shape(shape: list[Any]) -> bool:
    """Is it [n, k], neither of them 0?"""
    return len(shape) == 2 and all(type(n) is int and n > 0 for n in shape) and math.prod(shape) <= MOST


def _inflated(text: Any, size: int) -> bytes:
    """At most one byte more than `size`, however much the text would become. ValueError when it is not packed."""
    try:
        return zlib.decompressobj().decompress(b64decode(text), size + 1)
    except (TypeError, zlib.error) as error:
        msg = f"packed samples cannot be unpacked: {error}"
        raise ValueError(msg) from error
