"""Try faults, all kinds or the named ones (`kills`, `kills.random`), and print what became of them."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.faults import Kind, NotHere, Trial, table
from benchmarks.faults.catalogue import KINDS

PATIENCE = 2.0  # seconds without a word


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(kind.name for kind in KINDS)}; all")
    parser.add_argument("--count", type=int, help="trials of each kind")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {table.PAGE.name}")
    asked = parser.parse_args()
    chosen = [kind for kind in KINDS if not asked.names or {kind.name, kind.name.partition(".")[0]} & {*asked.names}]
    if not chosen:
        parser.error(f"no such kind; known: {', '.join(kind.name for kind in KINDS)}")
    results = [_try(kind, asked.count or kind.count) for kind in chosen]
    if asked.write:
        for result in results:
            table.write(KINDS, result)
    return int(any(result.problems for result in results))


def _try(kind: Kind, count: int) -> table.Result:
    trials: list[Trial] = []
    skipped, said = "", time.monotonic()
    try:
        for trial in kind.trials(count):
            trials.append(trial)
            if trial.problem:
                print(f"{kind.name}: {trial.what}: {trial.problem}", file=sys.stderr, flush=True)
            if time.monotonic() - said > PATIENCE:
                said = time.monotonic()
                print(f"{kind.name}: {len(trials)} of {count}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:  # what was tried counts
        print(f"{kind.name}: stopped after {len(trials)}", file=sys.stderr, flush=True)
    except NotHere as reason:
        skipped = str(reason)
    result = table.summed(kind.name, trials, skipped)
    figure = f"not here: {skipped}" if skipped else f"{result.passed} of {result.tried} passed"
    print(f"{kind.name:18} {figure}", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
