"""Every bundled component passes the conformance kit."""

from __future__ import annotations

import pytest

from harness.plugins import load_registry
from harness.testing import Check, checks
from harness.testing.kit import MODULES
from harness.testing.pytest_test import report

REGISTRY = load_registry()
BUNDLED = [
    pytest.param(check, id=f"{kind}-{entry.spec.name}-{check.name}")
    for kind in MODULES
    for entry in REGISTRY.components[kind]
    if entry.provider.distribution == "harness"
    for check in checks(kind, entry.full_name, REGISTRY)
]


@pytest.mark.parametrize("check", BUNDLED)
def test_bundled(check: Check, tmp_path, record_property):
    report(check, check.run(tmp_path), record_property)
