"""Garbage instead of a suite is refused in words, never with a traceback."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from typing import Any

from suite_helpers import GOOD, parse

from harness.errors import SuiteError

GARBAGE = ("-1", "true", '"x"', "[]", "[{}]", "{ a = 1 }", '["teacher"]', "nan")


def paths(value: Any, loc: tuple[str, ...] = ()) -> Iterator[str]:
    if loc:
        yield ".".join(loc)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*loc, f'"{key}"'))


def only_suite_errors(text: str, *overrides: str) -> bool:
    """Whether the suite is refused; anything but SuiteError goes through and fails the test."""
    try:
        parse(text, *overrides)
    except SuiteError as error:
        lines = error.problems
    else:
        return False
    assert lines
    assert all(line.isprintable() and ": " in line for line in lines)
    return True


def test_garbage_in_any_place_is_a_message() -> None:
    places = list(paths(tomllib.loads(GOOD)))
    assert len(places) > 90
    refused = [
        only_suite_errors(GOOD, f"{place}{deeper}={garbage}")
        for index, place in enumerate(places)
        for garbage in GARBAGE
        for deeper in (("", ".new") if index % 5 == 0 else ("",))
    ]
    assert sum(refused) > 0.9 * len(refused)


def test_mangled_text_is_a_message() -> None:
    chance = random.Random(5)  # noqa: S311
    refused = 0
    for _ in range(900):
        text = GOOD
        for _ in range(chance.randrange(1, 4)):
            lines = text.splitlines(keepends=True)
            here, there = chance.randrange(len(lines)), chance.randrange(len(lines))
            spot = chance.randrange(len(text))
            words = text.split()
            text = chance.choice(
                [
                    text[:spot] + text[spot + chance.randrange(1, 12) :],
                    text[:spot] + chance.choice("\"'[]{}=.,#\n\\ \0é1a-") + text[spot:],
                    "".join(lines[:here] + lines[here + 1 :]),
                    "".join([*lines[:here], lines[there], *lines[here:]]),
                    text.replace(chance.choice(words), chance.choice(words), 1),
                ]
            )
        refused += only_suite_errors(text)
    assert refused > 600
