"""A recommendation as markdown that reads well on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.recommending.model import Candidate, Excluded, Judged, Recommendation
from harness.reports import format as fmt
from harness.reports.escape import markdown
from harness.reports.model import Absent, as_json
from harness.reports.tables import (
    ANCHOR,
    Content,
    Lines,
    Marked,
    Shown,
    bullets,
    figure,
    header,
    measured,
    metric_column,
    table,
)
from harness.statistics import Interval

NAMED = 5  # undecided rows that are told one by one
BEST = {"speed": "the fastest", "size": "the smallest", "quality": "the best"}
WOULD = {"speed": "faster", "size": "smaller", "quality": "better"}


def render(found: Recommendation) -> str:
    """Sentences first, then a table of the rows that they name."""
    blocks = [*_answer(found), *_others(found), *_table(found), *_notes(found)]
    return "\n".join(blocks).rstrip() + "\n"


def recommendation_json(found: Recommendation) -> dict[str, Any]:
    """The same as plain JSON without NaN: intervals {value, low, high}, absent figures {absent: why}."""
    return {"schema": 1, **as_json(found)}


def _answer(found: Recommendation) -> Lines:
    if found.chosen is None:
        return _nothing(found)
    chosen = found.chosen
    rank = f"is {BEST[found.objective]} of the {found.qualified} rows" if found.qualified > 1 else "is the only row"
    one = found.qualified == 1
    own = " It is what the others are compared with." if chosen.label == found.reference else ""
    bars = "the bar" if len(found.excluded) == 1 else "the bars"
    sure = (
        f"How sure: it meets {bars} in {fmt.chance(chosen.meets)} of {found.resamples:,} resamples, and is "
        f"{BEST[found.objective]} of those that do in {fmt.chance(chosen.best)}.{_runner_up(found)}"
    )
    return [f"**{markdown(chosen.label)}** {rank} that {_bars(found, one)}: {_told(chosen, found)}.{own}", "", sure, ""]


def _bars(found: Recommendation, one: bool = False) -> str:
    """`keep at least 97 % of teacher's f1 and weigh at most 60 MiB`."""
    texts = [_singular(bar.bar) if one else bar.bar for bar in found.excluded]
    return markdown(_and(texts)) if texts else "exists" if one else "exist"


def _singular(text: str) -> str:
    verb, rest = text.split(" ", 1)
    return f"{'is' if verb == 'are' else verb + 's'} {rest}"


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _told(one: Candidate, found: Recommendation) -> str:
    """`5.6× [5.4, 5.8] as fast as teacher, 21.8 MiB, keeps 99.8 % [99.1, 100.4]`."""
    parts = []
    if isinstance(one.speedup, Interval) and not one.anchor:
        value, bounds = fmt.measured(one.speedup).split(" ", 1)
        parts.append(f"{value}× {bounds} as fast as {markdown(found.anchor)}")
    if not isinstance(one.size_mib, Absent):
        parts.append(f"{fmt.mib(one.size_mib)} MiB")
    if isinstance(one.kept, Interval) and one.label != found.reference:
        parts.append(f"keeps {_percent(one.kept)} of {markdown(found.reference)}'s {markdown(found.metric.name)}")
    return ", ".join(parts) or "nothing is measured of it"


def _percent(share: Interval) -> str:
    value, *bounds = fmt.ranged(Interval(*(100 * v for v in (share.value, share.low, share.high))), 1).split(" ", 1)
    return " ".join([value, "%", *bounds])


def _runner_up(found: Recommendation) -> str:
    if found.runner_up is None:
        return " There is no other."
    second = found.runner_up
    return f" Runner-up: **{markdown(second.label)}** ({_told(second, found)}), {fmt.chance(second.best)}."


def _nothing(found: Recommendation) -> Lines:
    near = found.nearest
    lines = [f"**No row is known to {_bars(found)}** ({found.rows} rows).", ""]
    lines += bullets(_excludes(bar, found.rows) for bar in found.excluded)
    if near is not None:
        why = "; ".join(_why(judged) for judged in (*near.missed, *near.undecided))
        lines += [f"Nearest: **{markdown(near.label)}** ({_told(near, found)}): {why}.", ""]
    return lines


def _excludes(bar: Excluded, rows: int) -> str:
    parts = [f"{bar.fail} of {rows} rows fail"]
    parts += [f"{bar.undecided} INCONCLUSIVE"] if bar.undecided else []
    parts += [f"{bar.unknown} without the figure"] if bar.unknown else []
    return f"{markdown(bar.bar)}: {', '.join(parts)}"


def _why(judged: Judged) -> str:
    """`speedup 2.1 [2.0, 2.3], needs 4: FAIL`."""
    if isinstance(judged.verdict, Absent):
        return f"{judged.quantity} unknown ({markdown(judged.verdict.reason)})"
    decides = f"; {judged.decides}" if judged.decides else ""
    needs = fmt.share(judged.at) if judged.quantity == "retention" else f"{judged.at:g}"
    return f"{judged.quantity} {_found(judged)}, the bar is {needs}: {judged.verdict}{decides}"


def _found(judged: Judged) -> str:
    found = judged.found
    if isinstance(found, Absent):
        return "unknown"
    if judged.quantity == "retention":
        return _percent(found)
    return f"{fmt.mib(found.value)} MiB" if judged.quantity == "size" else fmt.measured(found)


def _others(found: Recommendation) -> Lines:
    """What nearly qualified, and why it did not."""
    told = [one for one in found.undecided[:NAMED] if one is not found.nearest]
    lines = [f"undecided: **{markdown(one.label)}**: {_whys(one.undecided)}" for one in told]
    more = len(found.undecided) - NAMED
    lines += [f"{more} more undecided rows: --json has all of them"] if more > 0 else []
    if found.chosen is not None:
        would = f"would be {WOULD[found.objective]}"
        lines += [f"{would}: **{markdown(one.label)}**: {_whys((*one.missed, *one.undecided))}" for one in found.failed]
    return bullets(lines)


def _whys(judged: Iterable[Judged]) -> str:
    return "; ".join(_why(one) for one in judged)


def _named(found: Recommendation) -> list[Candidate]:
    """The rows that the sentences name, once each."""
    failed = found.failed if found.chosen is not None else ()
    rows = [found.chosen, found.runner_up, found.nearest, *found.undecided[:NAMED], *failed]
    return list({row.label: row for row in rows if row is not None}.values())


def _table(found: Recommendation) -> Lines:
    rows, metric = _named(found), found.metric
    of = markdown(found.reference)
    score = header(markdown(metric.name), metric.unit, metric.higher_is_better)
    columns: list[tuple[str, list[Content]]] = [
        ("row", [Marked(row.label, ANCHOR) if row.anchor else row.label for row in rows]),
        (score, metric_column([row.quality for row in rows], metric.unit)),
        (f"keeps of {of}'s, % ↑", metric_column([row.kept for row in rows], "%")),
        ("× faster, request ↑", [Shown("1") if row.anchor else measured(row.speedup) for row in rows]),
        ("request, ms ↓", [measured(row.latency_ms) for row in rows]),
        ("MiB ↓", [figure(row.size_mib, fmt.mib) for row in rows]),
        ("meets the bars", [Shown(fmt.chance(row.meets)) for row in rows]),
        ("best of those", [Shown(fmt.chance(row.best)) for row in rows]),
        ("verdict", [Shown(_verdict(row)) for row in rows]),
    ]
    headers = [Shown(title) for title, _ in columns]
    return table(headers, list(zip(*(cells for _, cells in columns), strict=True)), "lrrrrrrrl")


def _verdict(row: Candidate) -> str:
    return "PASS" if row.qualified else "FAIL" if row.missed else "INCONCLUSIVE"


def _notes(found: Recommendation) -> Lines:
    named = _named(found)
    several = [
        f"Brackets: {fmt.share(found.confidence)} intervals; PASS: all of it meets every bar. Resamples draw examples, "
        "seeds and timed blocks anew, for all rows together; speeds have the noise between processes in them, and so "
        "wider intervals than the report's.",
        _resolution(found),
        "More data decides as is said if the figures stay as they are." if any(row.undecided for row in named) else "",
        "What another training would give is in no interval of rows with one seed." if found.some_have_one_seed else "",
    ]
    machine = (
        f"Times are of the record's own machine ({markdown(found.machine)}), at the pace of its calmest measurement; "
        "another machine's may differ, in order too."
    )
    return [" ".join(note for note in several if note), "", machine]


def _resolution(found: Recommendation) -> str:
    if isinstance(found.resolution, Absent):
        return ""
    percent = found.metric.unit == "%"
    points = fmt.significant(found.resolution * (100 if percent else 1), 2)
    unit = " points" if percent else f" {markdown(found.metric.unit)}".rstrip()
    return f"Differences of {points}{unit} to the anchor would be found in 4 of 5 runs."
