"""Run all benchmarks, or the named ones, and print one line each."""

from __future__ import annotations

import sys

from benchmarks import (
    bucketing,
    chains,
    cluster,
    leaderboard,
    leaderboard_page,
    overhead,
    parity,
    plain_tagger,
    planning,
    preparing,
    quickstart,
    records,
    recovery,
    recurrences,
    scaffold,
    scoring,
    sharding,
    startup,
    stored,
    sweep,
    tagging,
)

ALL = {
    "startup": startup,
    "planning": planning,
    "overhead": overhead,
    "bucketing": bucketing,
    "page": leaderboard_page,
    "scoring": scoring,
    "sharding": sharding,
    "tagging": tagging,
    "sweep": sweep,
    "records": records,
    "recurrences": recurrences,
    "stored": stored,
    "preparing": preparing,
    "leaderboard": leaderboard,
    "plain": plain_tagger,
    "parity": parity,
    "scaffold": scaffold,
    "quickstart": quickstart,
    "chains": chains,
    "cluster": cluster,
    "recovery": recovery,
}

for name in sys.argv[1:] or ALL:
    for line in ALL[name].run():
        print(f"{name:12} {line}", flush=True)
