"""Surroundings that nobody thinks of: clocks that jump, no terminal, odd names of folders."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from benchmarks.faults import Kind, Trial
from benchmarks.faults.inputs import SOURCE, write_rows
from benchmarks.faults.project import Project, calm, project, suite

TEXT = suite(speed=False, seconds=0.0)
DAY = 86_400  # seconds
NAMES = (
    "with spaces  and a tab\t",
    "Кириллица, ёлки и 模型",
    "x" * 200,
    "a\nnewline",
    "quotes ' and \" and `",
    "-starts-with-a-dash",
    "{braces} %s $HOME *?[!a]",
    "[bold]<b>&amp;|\\",
    "🦉.toml.d",
)
PLACES = ("the store", "the suite", "the reports", "the data", "all of it")


# ------------------------------------------------------------------------------------------------------------- clocks


def _clocks(count: int) -> Iterator[Trial]:
    wanted, _ = calm(TEXT)
    jumps = [1, 3600, DAY, 400 * DAY, 20_000 * DAY]
    times = {"1970": 1, "2001": 1_000_000_000, "2106": 2**32, "a day from now": None}
    tries = [
        (f"each look at the clock is {jump} s from the last, to and fro", partial(_jumping, jump)) for jump in jumps
    ]
    tries += [(f"all files of the store are of {name}", partial(_dated, when)) for name, when in times.items()]
    for what, tried in tries[:count]:
        yield Trial(what, tried(wanted))


def _jumping(seconds: int, wanted: Mapping[str, Any]) -> str:
    with project(TEXT, variables={"CLOCK": str(seconds)}) as one:
        return lived(one, wanted)


def _dated(when: int | None, wanted: Mapping[str, Any]) -> str:
    """The second run finds files that seem to come from elsewhere in time."""
    with project(TEXT) as one:
        one.run()
        for path in one.store.root.rglob("*"):
            then = when or path.stat().st_mtime + DAY
            os.utime(path, (then, then), follow_symlinks=False)
        kept = one.finished()
        said = one.run()
        if said.code:
            return f"it ended with {said.code}: {said.last}"
        return "finished stages ran again" if one.finished() != kept else lived(one, wanted)


# -------------------------------------------------------------------------------------------------------- surroundings


def _surroundings(count: int) -> Iterator[Trial]:
    wanted, _ = calm(TEXT)
    nowhere = {"XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "MPLCONFIGDIR": ""}
    tries: dict[str, tuple[Mapping[str, str], Mapping[str, Any]]] = {
        "no terminal": ({"TERM": ""}, {}),
        "a dumb terminal": ({"TERM": "dumb"}, {}),
        "stdin closed": ({}, {"preexec_fn": lambda: os.close(0)}),
        "stdout closed": ({}, {"preexec_fn": lambda: os.close(1)}),
        "stdin, stdout and stderr closed": ({}, {"preexec_fn": lambda: os.closerange(0, 3)}),
        "a home that cannot be written": ({**nowhere, "HOME": "/proc"}, {}),
        "a home that is not there": ({**nowhere, "HOME": "/nowhere/at/all"}, {}),
        "umask 077": ({}, {"umask": 0o077}),
        "umask 000": ({}, {"umask": 0}),
        "TMPDIR that is not there": ({"TMPDIR": "/nowhere/at/all"}, {}),
        "a C locale": ({"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, {}),
        "SIGINT, SIGTERM and SIGHUP ignored": ({}, {"preexec_fn": _deaf}),
    }
    for what, (variables, named) in [*tries.items()][:count]:
        with project(TEXT, variables=variables) as one:
            yield Trial(what, lived(one, wanted, **named))


def _deaf() -> None:
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def lived(one: Project, wanted: Mapping[str, Any], **named: Any) -> str:
    """Two runs, the second of which has nothing to do; a report and a look at the store. What is wrong, or nothing."""
    for number in (1, 2):
        kept = one.finished()
        said = one.command(*one.run_words(), **named)
        if said.code:
            return f"run {number} ended with {said.code}: {said.last}"
        if number == 2 and one.finished() != kept:
            return "the second run ran stages again"
    for words in (("cache", "verify"), ("report", f"{one.reports_at}/toys.records.jsonl")):
        said = one.command(*words, **named)
        if said.code:
            return f"harness {words[0]} ended with {said.code}: {said.last}"
    return one.differs(wanted)


# -------------------------------------------------------------------------------------------------------------- names


def _names(count: int) -> Iterator[Trial]:
    wanted, _ = calm(TEXT)
    with project(SOURCE) as one:
        write_rows(one.folder)
        one.run()
        of_data = _answers(one)
    every = [(name, place) for place in PLACES for name in NAMES]
    for name, place in every[:count]:
        problem = _named_data(name, of_data) if place == "the data" else _named(name, place, wanted)
        yield Trial(f"{place} in {name[:30]!r}", problem)


def _named(name: str, place: str, wanted: Mapping[str, Any]) -> str:
    places = {
        "the store": {"store_at": f"{name}/.harness"},
        "the suite": {"suite_at": f"./{name}/{name}.toml"},
        "the reports": {"reports_at": f"./{name}"},
        "all of it": {"inside": name},
    }
    with project(TEXT, **places[place]) as one:
        return lived(one, wanted)


def _named_data(name: str, wanted: Mapping[str, Any]) -> str:
    with project(SOURCE.replace('"rows.csv"', json.dumps(f"{name}/rows.csv", ensure_ascii=False))) as one:
        (one.folder / name).mkdir()
        write_rows(one.folder / name)
        said = one.run()
        if said.code:
            return f"it ended with {said.code}: {said.last}"
        return "" if _answers(one) == wanted else "its results are others"


def _answers(one: Project) -> dict[str, Any]:
    """All but where the data come from."""
    return {what: found for what, found in one.results().items() if what.startswith(("cell", "report, Quality"))}


KINDS = (
    Kind(
        "places.clocks",
        "A clock that jumps by a second to 55 years at every look, files dated 1970, 2001, 2106 and tomorrow: the run ends, "
        "a second one does nothing, results are the same",
        _clocks,
        9,
    ),
    Kind(
        "places.surroundings",
        "No terminal, closed stdin, stdout and stderr, a home that is read-only or missing, umask 077, TMPDIR missing, a C "
        "locale, signals ignored: the same",
        _surroundings,
        12,
    ),
    Kind(
        "places.names",
        "Store, suite, reports, data and the whole project in folders whose names have spaces, Cyrillic, 200 characters, a "
        "newline, quotes, a leading dash, braces, markup: the same",
        _names,
        1000,
    ),
)
