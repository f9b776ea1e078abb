"""Per-example figures of a cell, as lists or packed: most of a record's bytes."""

from __future__ import annotations

import math
import zlib
from base64 import b64decode, b64encode
from typing import Any

import numpy as np

PLAIN = 50_000  # per-example figures that a cell holds as lists; more are packed
MOST = 1 << 25  # per-example figures that are unpacked: a record may come from anybody
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
    return np.frombuffer(data, dtype=PACKED[kind]).reshape(shape).astype(np.float64)


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
