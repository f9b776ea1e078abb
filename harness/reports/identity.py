"""Sections about the data, and about the run: machine, versions, command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.reports import format as fmt
from harness.reports.escape import code, markdown
from harness.reports.making import flat
from harness.reports.model import Report
from harness.reports.tables import Content, Lines, bullets, section, table

_ROLES = ("train", "dev", "test", "transfer")


def data_section(report: Report) -> Lines:
    """Where the examples came from, how many there are, what reading them took."""
    task = report.run["task"]
    summary = (
        f"Task {markdown(task['name'])}: {markdown(task['summary'])}. {_read_in(task)} {task['max_length']} tokens."
    )
    blocks = [_source(data) for data in task["data"]]
    return section("Data", [summary, ""], _cut(report), *blocks)


def _cut(report: Report) -> Lines:
    """Which rows did not read all of every test example; a question counts that fills more than half a window."""
    counts: dict[int, list[str]] = {}
    for row in report.rows:
        if row.cut:
            counts.setdefault(row.cut, []).append(markdown(row.label))
    tests = next((data["counts"]["test"] for data in report.run["task"]["data"] if "test" in data["counts"]), 0)
    return bullets(
        f"{fmt.count(count)} of {fmt.count(tests)} test examples were cut for "
        f"{', '.join(labels) if len(labels) < len(report.rows) else 'every row'}."
        for count, labels in counts.items()
    )


def _read_in(task: Mapping[str, Any]) -> str:
    return "Texts are cut at" if task["head"] == "sequence" else "Texts are read in windows of"


def _source(data: Mapping[str, Any]) -> Lines:
    counts = data["counts"]
    roles = [role for role in _ROLES if role in counts]
    sizes = ", ".join(f"{fmt.count(counts[role])} {role}" for role in roles)
    names = list(dict.fromkeys(re.sub(r":[OBILU]$", "", label) for label in data["labels"]))  # of layers, their types
    labels = f"Labels: {', '.join(map(markdown, names))}." if names else ""
    facts: list[list[Content]] = [[key, text] for key, text in flat(data["facts"], depth=2)]
    return [
        f"Source: {markdown(data['origin'])}. Examples: {sizes}. {labels}".rstrip(),
        "",
        *table(["fact", "value"], facts, "ll"),
    ]


def identity_section(report: Report) -> Lines:
    """Everything that another run must share to be compared with this one."""
    run = report.run
    lines = [
        f"Run {markdown(run['started'])} (UTC), {fmt.seconds(run['seconds'])}; again: {code(run['command'])}",
        f"Suite {markdown(run['suite']['name'])}, digest {markdown(run['digest'][:12])}{_overrides(run)}",
        f"Code: {_commit(run['commit'])}",
        f"Machine: {_machine(run['machine'].get('identity', {}))}",
        f"At its start: {_state(run['machine'].get('observations', {}))}",
        f"Versions: {_pairs(run['versions'])}",
        f"Plugins: {', '.join(markdown(plugin) for plugin in run['plugins'])}",
    ]
    return section("How this was measured", bullets(lines))


def _overrides(run: Mapping[str, Any]) -> str:
    changed = run["suite"]["set"]
    return f", with {' '.join(code(f'--set {entry}') for entry in changed)}" if changed else ", no overrides"


def _commit(commit: Mapping[str, Any]) -> str:
    if not commit.get("sha"):
        return "not in a git repository"
    return f"commit {markdown(commit['sha'][:12])}{', with uncommitted changes' if commit['dirty'] else ''}"


def _machine(identity: Mapping[str, Any]) -> str:
    """CPU first; what is not there is left out."""
    cores = f"{identity.get('physical_cores')} cores, {identity.get('logical_cores')} threads"
    quota = f"limited to {identity['cpu_quota']:g} CPUs" if identity.get("cpu_quota") else ""
    limit = f"limited to {identity['memory_limit_gib']:g} GiB" if identity.get("memory_limit_gib") else ""
    parts = [
        markdown(identity.get("cpu", "unknown")),
        cores,
        quota,
        f"{identity.get('memory_gib')} GiB",
        limit,
        markdown(identity.get("isa", "")),
        "flags " + markdown(" ".join(identity.get("flags", ()))),
        markdown(identity.get("system", "")),
        "GPUs: " + (", ".join(markdown(gpu) for gpu in identity.get("gpus", ())) or "none"),
    ]
    return "; ".join(part for part in parts if part)


def _state(observed: Mapping[str, Any]) -> str:
    """How the machine was doing; what the system does not tell is left out."""
    loads = observed.get("load_average")
    parts = [
        f"load {' '.join(f'{load:.2f}' for load in loads)}" if loads else "",
        f"clock {observed['frequency_mhz']:.0f} MHz" if observed.get("frequency_mhz") else "",
        f"governor {markdown(observed['governor'])}" if observed.get("governor") else "",
        f"{observed['steal_s']:.0f} s stolen by the hypervisor since boot" if observed.get("steal_s") else "",
    ]
    return "; ".join(part for part in parts if part) or "not recorded"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{markdown(key)} {markdown(text)}" for key, text in flat(values)) or "not recorded"
