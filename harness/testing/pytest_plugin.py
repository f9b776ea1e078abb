"""`pytest --harness-check KIND/NAME`: the conformance kit for people without a test file.

pytest imports this module at every start, so it imports the kit only when the option is given.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.testing.model import Check


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option."""
    group = parser.getgroup("harness", "conformance of harness plugins")
    group.addoption(
        "--harness-check",
        action="append",
        default=[],
        metavar="KIND/NAME",
        help="also run the conformance kit on a component, e.g. compressor/my-int4; may be repeated",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the checks of the components asked for behind the tests that were collected."""
    asked: list[str] = config.getoption("--harness-check")
    if not asked:
        return
    from harness.errors import HarnessError
    from harness.testing.kit import checks

    for words in asked:
        kind, _, name = words.partition("/")
        try:
            found = checks(kind, name)
        except HarnessError as error:
            msg = f"--harness-check {words}: {error}"
            raise pytest.UsageError(msg) from error
        items += [
            Item.from_parent(session, name=f"{words}::{check.name}", nodeid=f"{words}::{check.name}", check=check)
            for check in found
        ]


class Item(pytest.Item):
    """One check."""

    def __init__(self, *, check: Check, **rest: Any) -> None:
        super().__init__(**rest)
        self.check = check

    def runtest(self) -> None:
        """Run it in a folder of its own."""
        from harness.testing.pytest_test import report

        with tempfile.TemporaryDirectory() as folder:
            finding = self.check.run(Path(folder))
        report(self.check, finding, lambda name, value: self.user_properties.append((name, value)))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """What a failure is headed with."""
        return self.session.path, None, self.nodeid
