"""What nobody but the author can say about a model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import SuiteError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,40}")
_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """SuiteError for what the hub would refuse."""

    name: str | None = None  # of the model; None: suite, row and seed
    license: str | None = None  # the hub's identifier, "apache-2.0"; None: left to the author, with a mark
    languages: tuple[str, ...] = ()  # ISO 639 codes; none: left to the author

    def __post_init__(self) -> None:
        problems = []
        if self.name is not None and not _NAME.fullmatch(self.name):
            problems.append(f"--name {self.name!r}: letters, digits, '.', '_' and '-' only, at most 96")
        if self.license is not None and not _LICENSE.fullmatch(self.license):
            problems.append(f"--license {self.license!r}: the hub's identifier of one is needed, such as apache-2.0")
        problems += [
            f"--language {code!r}: an ISO 639 code is needed, such as ru, or 'multilingual'"
            for code in self.languages
            if not _LANGUAGE.fullmatch(code)
        ]
        if problems:
            raise SuiteError(problems)
