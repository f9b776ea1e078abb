"""The conformance kit: does a component keep the contract of its kind? On toy models, offline, in seconds.

In the tests of a plugin::

    from harness.testing import conformance

    test_conformance = conformance("compressor", "my-int4")

At a prompt: `harness plugin check my-int4`, or `pytest --harness-check compressor/my-int4`. pytest reads this package
when it starts, so importing it imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.testing.kit import checks
    from harness.testing.model import Check, Finding
    from harness.testing.pytest_test import conformance

_MODULES = {"checks": "kit", "Check": "model", "Finding": "model", "conformance": "pytest_test"}

__all__ = ["Check", "Finding", "checks", "conformance"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _MODULES:
        msg = f"module 'harness.testing' has no attribute '{name}'"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"harness.testing.{_MODULES[name]}"), name)
