"""The report as JSON: what the tables show, unrounded, with the run's identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.reports.model import Asked, Report, as_json

SCHEMA = 1
_FROM_RUN = (
    "mode", "started", "finished", "seconds", "command", "commit", "digest", "anchor", "measure", "machine",
    "versions", "plugins", "broken_plugins",
)  # fmt: skip


def json_report(report: Report) -> dict[str, Any]:
    """Plain JSON without NaN. Intervals are {value, low, high}, shares for '%'; absent figures {absent: why}."""
    run = report.run
    suite = {name: run["suite"][name] for name in ("name", "title", "set")}
    parts = (
        "sentence", "best", "metrics", "columns", "examples", "rows", "measurements", "problems", "claims",
        "published", "theirs", "resolution",
    )  # fmt: skip
    return {
        "schema": SCHEMA,
        "suite": suite,
        **{name: run[name] for name in _FROM_RUN},
        "task": {**{name: run["task"][name] for name in ("name", "head", "max_length")}, "data": _data(run)},
        **{name: as_json(getattr(report, name)) for name in parts},
        **({"compact": as_json(report.compact)} if report.compact else {}),
        **({"asked": as_json(report.asked)} if report.asked != Asked() else {}),
        **({"fronts": as_json(report.fronts)} if report.fronts else {}),
    }


def _data(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Without the critical spans one by one: those stay in the record."""
    return [{name: value for name, value in data.items() if name != "items"} for data in run["task"]["data"]]
