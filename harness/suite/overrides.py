"""`--set key=value`: changes to the document before it is checked."""

from __future__ import annotations

import tomllib
from typing import Any

from harness.suite.locate import Loc
from harness.suite.problems import Problems, dotted, shown


def override(document: dict[str, Any], text: str, problems: Problems) -> None:
    """Apply one `key=value` in place and note where it wrote. What cannot be applied is a problem."""
    try:
        _apply(document, text, problems)
    except ValueError as error:
        problems.of_override(text, str(error))


def _apply(document: dict[str, Any], text: str, problems: Problems) -> None:
    key, equals, value = text.partition("=")
    path = _path(key)
    if not equals or not path:
        msg = "expected key=value, for example matrix.seed=[1,2]"
        raise ValueError(msg)
    place: Any = document
    loc: Loc = ()
    for name in path[:-1]:
        loc = (*loc, _step(place, name, loc))
        if isinstance(place, dict) and name not in place:
            place[name] = {}
            problems.overrides.setdefault(loc, text)
        place = place[loc[-1]]
        if not isinstance(place, dict | list):
            msg = f"{dotted(loc)} is {shown(place)}, not a table"
            raise ValueError(msg)
    loc = (*loc, _step(place, path[-1], loc))
    place[loc[-1]] = _value(value.strip())
    _claim(problems, loc, text)


def _path(key: str) -> list[str]:
    """The parts of a dotted TOML key, none when it is not one."""
    try:
        level: Any = tomllib.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        return []
    path: list[str] = []
    while isinstance(level, dict) and len(level) == 1:
        (name,) = level
        path, level = [*path, name], level[name]
    return path if level == 0 else []


def _value(text: str) -> Any:
    """TOML where it is TOML, else the text itself, so that names need no quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _step(place: Any, name: str, loc: Loc) -> str | int:
    """How to go on: a table's key, a list's index, or the index of the training step of that name."""
    if isinstance(place, dict):
        return name
    steps = {str(item["step"]): index for index, item in enumerate(place) if isinstance(item, dict) and "step" in item}
    if name in steps:
        return steps[name]
    if name in map(str, range(len(place))):
        return int(name)
    ways = ", ".join(map(shown, steps)) or f"an index below {len(place)}"
    msg = f"{dotted(loc)} is a list; instead of {shown(name)} write {ways}"
    raise ValueError(msg)


def _claim(problems: Problems, loc: Loc, text: str) -> None:
    """From here on, problems at `loc` and below belong to this override, not to the file or to an earlier one."""
    for older in [known for known in problems.overrides if known[: len(loc)] == loc]:
        del problems.overrides[older]
    problems.overrides[loc] = text
