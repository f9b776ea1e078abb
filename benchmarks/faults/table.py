"""Results in docs/faults.json, one per kind, and the table made of them in docs/faults.md."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.faults import Kind, Trial
from harness.measuring.machine import detect
from harness.store import write_atomic

DOCS = Path(__file__).parents[2] / "docs"
RESULTS, PAGE = DOCS / "faults.json", DOCS / "faults.md"
BEGIN, END = "<!-- made by python -m benchmarks.faults -->", "<!-- end -->"
HEAD = "| fault | what was done, and what had to hold | passed of tried | date | commit | machine |\n|---|---|---|---|---|---|\n"
SHOWN = 5  # kinds of problems that are kept


@dataclass(frozen=True)
class Result:
    """What a kind came to, where and when."""

    name: str
    tried: int
    passed: int
    date: str
    commit: str
    machine: str
    problems: Mapping[str, int]  # what went wrong → how often
    skipped: str = ""  # why nothing was tried


def summed(name: str, trials: Sequence[Trial], skipped: str = "") -> Result:
    """The trials of a kind, counted."""
    problems = Counter(trial.problem for trial in trials if trial.problem)
    return Result(
        name=name,
        tried=len(trials),
        passed=len(trials) - problems.total(),
        date=datetime.now(UTC).date().isoformat(),
        commit=_commit(),
        machine=_machine(),
        problems=dict(problems.most_common(SHOWN)),
        skipped=skipped,
    )


def _commit() -> str:
    """Of the code that was tried; a + behind it: with changes."""
    here = Path(__file__).parent
    words = ["git", "-C", str(here)]
    found = subprocess.run([*words, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [*words, "status", "--porcelain", ":/harness", ":/plugins"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "") if found.returncode == 0 else "unknown"


def _machine() -> str:
    """Its class, no name."""
    identity = detect().identity
    return f"{identity.isa}, {identity.logical_cores} cores, {identity.memory_gib} GiB, {identity.system}"


def read() -> dict[str, Result]:
    """The results so far, by name."""
    if not RESULTS.exists():
        return {}
    return {line["name"]: Result(**line) for line in json.loads(RESULTS.read_text(encoding="utf-8"))}


def write(kinds: Iterable[Kind], new: Result) -> None:
    """Put a result among the others, and make the table anew."""
    results = {**read(), new.name: new}
    lines = [asdict(results[name]) for name in sorted(results)]
    write_atomic(RESULTS, json.dumps(lines, ensure_ascii=False, indent=1) + "\n")
    write_atomic(PAGE, page(PAGE.read_text(encoding="utf-8"), kinds, results))


def page(text: str, kinds: Iterable[Kind], results: Mapping[str, Result]) -> str:
    """The page with the table between its marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        msg = f"{PAGE} has no table: expected the lines '{BEGIN}' and '{END}'"
        raise ValueError(msg)
    rows = [_row(kind, results.get(kind.name)) for kind in kinds]
    failed = [line for kind in kinds for line in _failed(results.get(kind.name))]
    told = "\nWhat failed:\n\n" + "".join(failed) if failed else ""
    return f"{before}{BEGIN}\n{HEAD}{''.join(rows)}{told}{END}{after}"


def _row(kind: Kind, result: Result | None) -> str:
    if result is None:
        return f"| {kind.name} | {kind.what} | not measured | | | |\n"
    figure = f"not measured: {result.skipped}" if result.skipped else f"{result.passed} of {result.tried}"
    return f"| {kind.name} | {kind.what} | {figure} | {result.date} | {result.commit} | {result.machine} |\n"


def _failed(result: Result | None) -> list[str]:
    if result is None:
        return []
    return [f"- {result.name}, {count} ×: {_plain(problem)}\n" for problem, count in result.problems.items()]


def _plain(text: str) -> str:
    return " ".join(text.split())[:300].replace("|", "\\|").replace("<", "&lt;")
