"""What classes have in common and what keeps them apart, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from harness.keys import canonical, digest
from harness.leaderboard.found import Terms
from harness.reports import format as fmt

SHORT = 12  # digits of a digest
MOST = 8  # labels that are named
WHY: Mapping[str, str] = {  # fact → why rows that differ in it are never ranked together
    "test data": "scores on other examples are other scores",
    "labels": "other classes make another question",
    "scored by": "the figures are defined otherwise",
    "max_length": "models that read more of a text answer another question",
    "stride": "windows that share more of a text give more chances to find an answer",
    "batch": "answers depend on their batch mates",
    "CPUs": "int8 answers depend on the class of CPUs",
}


def facts(terms: Terms, isa: str) -> dict[str, str]:
    """What all rows of a class have in common, for a reader."""
    contents = f"texts {terms.contents[:SHORT]}" if terms.contents else "texts not recorded"
    stride = f"{terms.stride} tokens" if terms.stride else "not recorded"
    found = {
        "test data": f"{fmt.count(terms.count)} examples, ids {terms.examples[:SHORT]}, {contents}",
        "labels": _labels(terms.labels),
        "scored by": _scoring(terms),
        "max_length": f"{terms.max_length} tokens",
        "stride": "" if terms.stride is None else stride,
        "batch": f"{terms.batch} at once" if terms.batch else "",
        "CPUs": f"{isa} for rows whose answers depend on it" if isa else "",
    }
    return {name: text for name, text in found.items() if text}


def titles(task: str, metric: str, kinds: Sequence[Mapping[str, str]]) -> list[str]:
    """`rureviews · accuracy`, with the facts that differ where a task has several classes."""
    differing = [name for name in WHY if len({kind.get(name) for kind in kinds}) > 1]
    return [
        " · ".join([task, metric, *(_short(name, one[name]) for name in differing if name in one)]) for one in kinds
    ]


def apart(one: Mapping[str, str], others: Mapping[str, Mapping[str, str]]) -> str:
    """Why a class is not ranked with each of the others of its task: a sentence per set of facts; `others` by title."""
    by_facts: dict[tuple[str, ...], list[str]] = {}
    for title, other in others.items():
        by_facts.setdefault(tuple(name for name in WHY if one.get(name) != other.get(name)), []).append(title)
    return " ".join(
        f"Never ranked with {_listed(who)}: {'; '.join(f'other {name} ({WHY[name]})' for name in names)}."
        for names, who in by_facts.items()
    )


def _short(name: str, fact: str) -> str:
    """For a title."""
    if name == "CPUs":
        return fact.split(" ", 1)[0]
    if name == "test data":
        count, ids, texts = fact.split(", ")
        revision = "" if "not" in texts else f"/{texts.removeprefix('texts ')[:6]}"
        return f"{count} ({ids.removeprefix('ids ')[:6]}{revision})"
    return fact if name == "labels" else f"{name} {fact}"


def _labels(labels: Sequence[str]) -> str:
    if len(labels) <= MOST:
        return ", ".join(labels)
    return f"{', '.join(labels[:3])}, … ({len(labels)} in all, {digest(list(labels))[:SHORT]})"


def _listed(titles: Sequence[str]) -> str:
    named = [f"“{title}”" for title in titles[:3]]
    return ", ".join([*named, *([f"{len(titles) - 3} more"] if len(titles) > 3 else [])])


def _scoring(terms: Terms) -> str:
    params = ", ".join(f"{name} = {canonical(value)}" for name, value in json.loads(terms.scoring).items())
    version = f"version {terms.version}" if terms.version else ""
    return "; ".join(part for part in (version, params) if part)
