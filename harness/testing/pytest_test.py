"""The checks of a component as one parametrised pytest test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.plugins import Registry
from harness.testing.kit import checks
from harness.testing.model import Check, Finding


def conformance(
    kind: str, name: str, registry: Registry | None = None, params: Mapping[str, Any] | None = None
) -> Callable[..., None]:
    """A test with one id per check; see `harness.testing.checks` for the arguments and errors."""
    found = checks(kind, name, registry, params)

    @pytest.mark.parametrize("check", found, ids=[check.name for check in found])
    def test_conformance(check: Check, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
        report(check, check.run(tmp_path), record_property)

    return test_conformance


def report(check: Check, finding: Finding, record: Callable[[str, object], None]) -> None:
    """Fail, skip or pass; the note is kept as a property of the test."""
    record(finding.status, finding.note)
    if finding.status == "failed":
        pytest.fail(f"{check.name}: {finding.note}\n({check.summary})", pytrace=False)
    if finding.status == "not applicable":
        pytest.skip(finding.note)
