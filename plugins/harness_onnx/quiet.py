"""Silence for known messages of the libraries used here, where they arise and only there."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Each is known to be harmless here: shapes that a trace bakes in are found by the parity check after the export.
_WARNINGS = (
    (FutureWarning, r"`isinstance\(treespec, LeafSpec\)` is deprecated"),
    (UserWarning, r"# The axis name: .* will not be used"),
    (DeprecationWarning, r"You are using the legacy TorchScript-based ONNX export"),
    (DeprecationWarning, r"The feature will be removed. Please remove usage of this function"),
    (DeprecationWarning, r"`torch.jit.trace` is deprecated"),
    (UserWarning, r"Exporting a model to ONNX with a batch_size other than 1, with a variable length with"),
)
_STDERR = ("Warning: The shape inference of prim::",)


@contextmanager
def quiet_export() -> Iterator[None]:
    """Mute the exporters' notes: deprecations, missing torchvision, axis names, traced shapes."""
    import torch

    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), _filtered_stderr():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            for category, message in _WARNINGS:
                warnings.filterwarnings("ignore", message=message, category=category)
            yield
    finally:
        registration.setLevel(level)


@contextmanager
def quiet_root_logger() -> Iterator[None]:
    """Mute the quantizer, which talks through the root logger and would install a handler there."""
    root, handler, disabled = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(handler)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
        root.removeHandler(handler)


@contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Hold back what C++ code writes to stderr, then pass on the lines that are not known."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines(keepends=True):
                if not any(known in line for known in _STDERR):
                    os.write(2, line.encode())
