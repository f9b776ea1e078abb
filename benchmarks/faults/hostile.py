"""Hostile input at every door: refused in words or contained, its code never run, nothing outside touched.

A trial is a payload that is planted, handed over and looked after (`hostile_traps`). `python -m benchmarks.faults.hostile
GROUP[=TEXT] …` tells what became of each payload of a group, or of those whose name holds TEXT.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks.faults import Kind, Trial, hostile_data, hostile_files, hostile_models, hostile_onnx
from benchmarks.faults.hostile_traps import Trap, Verdict, shut

GROUPS: dict[str, tuple[Callable[[], Iterable[Trap]], str]] = {
    name: group
    for module in (hostile_models, hostile_onnx, hostile_data, hostile_files)
    for name, group in module.GROUPS.items()
}
HELD = (
    "refused in a sentence that names the file, or contained: no canary, no network, nothing outside, 20 s and 512 MiB"
)


def trials(group: str, count: int) -> Iterator[Trial]:
    """As many payloads of a group as are wanted, spread over all of it."""
    traps = list(GROUPS[group][0]())
    chosen = traps if count >= len(traps) else [traps[at * len(traps) // count] for at in range(count)]
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        for verdict in shut(chosen, Path(folder)):
            yield Trial(verdict.trap.name, "; ".join(verdict.wrong))


def _kind(group: str) -> Kind:
    return Kind(f"hostile.{group}", f"{GROUPS[group][1]}: {HELD}", lambda count: trials(group, count), 1000)


KINDS = tuple(map(_kind, GROUPS))


def _told(verdict: Verdict) -> str:
    figures = f"{verdict.seconds:.1f} s, {verdict.mib:.0f} MiB"
    bad = f"\n    WRONG {'; '.join(verdict.wrong)[:600]}" if verdict.wrong else ""
    return f"{verdict.outcome:8} {figures:16} {verdict.trap.name}: {verdict.said.strip()[:160]!r}{bad}"


def main(names: list[str]) -> int:
    """Print what became of each payload; 1 where one did what it may not."""
    wrong = 0
    for group, _, text in (name.partition("=") for name in names or GROUPS):
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            for verdict in shut([trap for trap in GROUPS[group][0]() if text in trap.name], Path(folder)):
                wrong += bool(verdict.wrong)
                print(_told(verdict), flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
