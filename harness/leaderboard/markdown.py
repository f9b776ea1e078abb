"""A board as markdown: every text of a stranger escaped, every dash with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from harness.leaderboard.model import Board, Class, Entry, Evidence, Machine, Refused, Spread
from harness.leaderboard.sentences import sentence
from harness.reports import format as fmt
from harness.reports.escape import code, markdown
from harness.reports.model import Absent
from harness.reports.tables import (
    ANCHOR,
    Content,
    Lines,
    Marked,
    Shown,
    bullets,
    figure,
    header,
    metric_column,
    section,
    table,
)
from harness.specs import Metric
from harness.statistics import Interval

Column = tuple[str, str, Sequence[Content]]  # title, side, cells
UNSCORED = Absent("its samples do not give this metric")
UNTIMED = Absent("measured on no machine beside its anchor")
UNRANKED = Absent("not ranked: its metric is undefined in some resamples")
LINKED = 3  # records of an entry that are named
SHORT = 12  # digits of a commit
WIDE = 3  # metrics in the main table
READING = (
    "**Place**: rows that a paired comparison cannot tell from the best of a place share it (`1–3`: first to third). "
    "Comparisons are paired over the test examples, count the scatter between seeds, and are corrected for all pairs "
    "by Holm's step-down: `docs/leaderboards.md` has the whole of it.",
    "**×**: to the anchor of the table on the same machine and in the same record; text to answer, one at a time. Of "
    "one machine with its interval, of several the median, the least and the most.",
    "**Front**: nobody has no worse a place and is no slower (`speed`), or no larger (`size`), where the data tell at "
    "least one of the two.",
    "Tables are never compared with each other.",
)


def render(board: Board) -> str:
    """The whole text."""
    lines = [
        f"# {markdown(board.title)}",
        "",
        *bullets(markdown(sentence(class_)) for class_ in board.classes),
        *(bullets(f"Warning: {markdown(one)}" for one in board.warnings)),
        *(line for class_ in board.classes for line in _class(class_)),
        *section("How to read this", bullets(READING)),
        *section("Not on the board", _refused(board.refused)),
        *section("Machines", _machines(board.machines)),
        *section("Records", _records(board.evidence)),
        f"Made {markdown(board.made)} by `harness leaderboard`.",
    ]
    return "\n".join(lines) + "\n"


def places(class_: Class) -> dict[str, str]:
    """Id of an entry → `4`, or `1–3` where three share the first place."""
    ranks = sorted(entry.place for entry in class_.entries if entry.place is not None)
    first = {rank: position for position, rank in reversed(list(enumerate(ranks, start=1)))}
    last = {rank: position for position, rank in enumerate(ranks, start=1)}
    span = {r: str(first[r]) if first[r] == last[r] else f"{first[r]}–{last[r]}" for r in first}
    return {entry.id: span[entry.place] for entry in class_.entries if entry.place is not None}


def _class(class_: Class) -> Lines:
    facts = bullets(f"{markdown(name)}: {markdown(text)}" for name, text in class_.facts.items())
    rest = [markdown(class_.apart), ""] if class_.apart else []
    noted = [entry for entry in class_.entries if entry.notes]
    notes = bullets(f"{markdown(entry.label)}: {'; '.join(map(markdown, entry.notes))}." for entry in noted)
    return section(markdown(class_.title), facts, rest, _main(class_), _more_metrics(class_), notes)


def _main(class_: Class) -> Lines:
    rows, shown = class_.entries, places(class_)
    return _columns(
        ("place", "r", [Shown(shown[e.id]) if e.id in shown else UNRANKED for e in rows]),
        ("row", "l", _names(class_)),
        ("suite", "l", [e.suite for e in rows]),
        ("seeds", "r", [Shown(str(e.seeds)) for e in rows]),
        *_metrics(class_, class_.metrics[:WIDE]),
        ("× faster", "r", [_spread(e) for e in rows]),
        ("× smaller", "r", [figure(e.times_smaller, fmt.times) for e in rows]),
        ("model, MiB", "r", [figure(e.model_mib, fmt.mib) for e in rows]),
        ("machines", "r", [Shown(str(e.request.machines if e.request else 0)) for e in rows]),
        ("front", "l", [Shown(_front(e)) for e in rows]),
        ("records", "l", [Shown(_linked(e)) for e in rows]),
    )


def _more_metrics(class_: Class) -> Lines:
    """Those that would make the main table wider than a page."""
    rest = _metrics(class_, class_.metrics[WIDE:])
    return ["The other metrics:", "", *_columns(("row", "l", _names(class_)), *rest)] if rest else []


def _columns(*columns: Column) -> Lines:
    cells = zip(*(column for _, _, column in columns), strict=True)
    return table([title for title, _, _ in columns], cells, "".join(side for _, side, _ in columns))


def _names(class_: Class) -> list[Content]:
    return [Marked(e.label, ANCHOR) if e.anchor else e.label for e in class_.entries]


def _metrics(class_: Class, metrics: Sequence[Metric]) -> list[Column]:
    found = {metric: [e.scores.get(metric.name, UNSCORED) for e in class_.entries] for metric in metrics}
    return [
        (header(metric.name, metric.unit, metric.higher_is_better), "r", metric_column(values, metric.unit))
        for metric, values in found.items()
    ]


def _spread(entry: Entry) -> Content:
    found: Spread | None = entry.request
    if entry.anchor and found is not None:
        return Shown("1")
    if found is None:
        return next((one.request for one in entry.timed if isinstance(one.request, Absent)), UNTIMED)
    if found.machines == 1:
        one = next(one for one in entry.timed if isinstance(one.request, Interval))
        assert isinstance(one.request, Interval)  # noqa: S101 - just selected
        return Shown("≈ 1" if one.noise else fmt.measured(one.request))
    low, high = fmt.times(found.low), fmt.times(found.high)
    return Shown(f"{fmt.times(found.value)} ({low}–{high})")


def _front(entry: Entry) -> str:
    return ", ".join(name for name, on in (("speed", entry.front_speed), ("size", entry.front_size)) if on)


def _linked(entry: Entry) -> str:
    more = [f"{len(entry.evidence) - LINKED} more"] if len(entry.evidence) > LINKED else []
    return ", ".join([*(f"[{one}](#{one})" for one in entry.evidence[:LINKED]), *more])


def _refused(refused: Sequence[Refused]) -> Lines:
    by_reason: dict[tuple[str, str], list[str]] = {}
    for one in refused:
        by_reason.setdefault((one.file, one.reason), []).append(one.row)
    return bullets(f"{code(file)}{_rows(rows)}: {markdown(reason)}" for (file, reason), rows in by_reason.items())


def _rows(rows: Sequence[str]) -> str:
    named = [markdown(row) for row in rows if row]
    return f", {', '.join(named)}" if named else ""


def _machines(machines: Sequence[Machine]) -> Lines:
    return bullets(
        f"{machine.id}: {markdown(machine.name)}; "
        + "; ".join(f"{markdown(name)} {markdown(text)}" for name, text in machine.facts.items())
        for machine in machines
    )


def _records(evidence: Sequence[Evidence]) -> Lines:
    return [line for one in evidence for line in (f"### {one.id}", "", _record(one), "")]


def _record(one: Evidence) -> str:
    versions = ", ".join(f"{markdown(name)} {markdown(version)}" for name, version in one.versions.items())
    parts = [
        f"suite {markdown(one.suite)}",
        f"machine {one.machine}",
        f"started {markdown(one.started)}",
        f"commit {markdown(one.commit[:SHORT])}" if one.commit else "commit not recorded",
        code(one.command),
        f"sha256 {one.digest}",
        versions,
    ]
    link = f"[{markdown(one.file)}]({quote(one.file, safe='/.')})"
    return f"{link}; {'; '.join(part for part in parts if part)}"
