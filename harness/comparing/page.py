"""A comparison as markdown that reads well on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.comparing.model import Change, Comparison, Fact, Pace, RowChange, Side
from harness.comparing.sentence import difference, shown_p
from harness.comparing.times import KINDS
from harness.reports import format as fmt
from harness.reports.escape import markdown, plain
from harness.reports.model import Absent, as_json
from harness.reports.tables import (
    Content,
    Lines,
    Shown,
    bullets,
    figure,
    header,
    measured,
    metric_column,
    section,
    table,
)
from harness.specs import Metric
from harness.statistics import Interval

MOST = 60  # facts in the table; all of them stand in the JSON
CAUSES = 3  # facts named beside a row
BANNERS = {
    "rehearsal": "**Two rehearsals on miniature models: figures mean nothing.**",
    "random": "**Random weights: sizes and speeds are real, quality is not looked at.**",
}


def render(found: Comparison) -> str:
    """Markdown, the sentence last."""
    blocks = [
        f"# {markdown(found.after.name)} against {markdown(found.before.name)}",
        "",
        *bullets([f"before: {_side(found.before)}", f"after: {_side(found.after)}"]),
        *([BANNERS[found.mode], ""] if found.mode in BANNERS else []),
        *(line for metric in found.metrics for line in _quality(found, metric)),
        *_times_and_sizes(found),
        *_missing(found),
        *_causes(found),
        *_facts(found.facts),
        markdown_sentence(found),
    ]
    return "\n".join(blocks) + "\n"


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The same as JSON, with the rows that are regressions by label."""
    rows = [{**as_json(row), "regression": row.regression, "differs": row.differs} for row in found.rows]
    return {**as_json(found), "rows": rows, "regressions": [row.label for row in found.regressions]}


def markdown_sentence(found: Comparison) -> str:
    """The closing sentence, escaped and whole."""
    return " ".join(markdown(part) for part in _parts(plain(found.sentence, longest=4000)))


def _parts(text: str, size: int = 300) -> Iterable[str]:
    """Stretches of whole words, since `markdown` cuts long texts."""
    line = ""
    for word in text.split():
        if line and len(line) + len(word) > size:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line


def _side(side: Side) -> str:
    commit = f", commit {markdown(side.commit[:12])}" if side.commit else ""
    return f"suite {markdown(side.suite)}, run {markdown(side.started)}{commit}"


# ------------------------------------------------------------------------------------------------------------ quality


def _quality(found: Comparison, metric: Metric) -> Lines:
    """Rows whose answers differ; the others are counted."""
    changes = [(row, next(c for c in row.quality if c.metric == metric.name)) for row in found.rows]
    moved = [(row, change) for row, change in changes if change.found not in ("same work", "same answers")]
    values = [
        metric_column([_point(getattr(change, side)) for _, change in moved], metric.unit)
        for side in ("before", "after")
    ]
    rows = [
        [
            _name(row),
            str(len(row.seeds)),
            old,
            new,
            *_judgement(change, metric),
        ]
        for (row, change), old, new in zip(moved, *values, strict=True)
    ]
    unit = "points" if metric.unit == "%" else metric.unit
    headers: list[str] = ["row", "seeds", "before", "after", f"difference{', ' + unit if unit else ''}", "p", "found"]
    return section(
        f"Quality: {header(metric.name, metric.unit, metric.higher_is_better)}",
        table(headers, rows, "lrrrrrl"),
        _same(changes),
        [_how(found), ""] if found.tests else [],
        bullets(_notes(change for _, change in moved)),
    )


def _same(changes: Sequence[tuple[RowChange, Change]]) -> Lines:
    lines = []
    for found, text in (
        ("same work", "the same work, not done anew"),
        ("same answers", "other work, the same answers"),
    ):
        names = [markdown(row.label) for row, change in changes if change.found == found]
        lines += [f"{len(names)} of {len(changes)} rows: {text} ({_listed(names)})."] if names else []
    return bullets(lines)


def _how(found: Comparison) -> str:
    drop = f", and is larger than {found.limits.max_drop:g}" if found.limits.max_drop else ""
    return (
        f"Paired over the same examples and seeds; p is corrected for {found.tests} tests (Holm). A difference is "
        f"significant below 0.05; it is a regression where it is for the worse{drop}."
    )


def _notes(changes: Iterable[Change]) -> list[str]:
    return [markdown(note) for note in dict.fromkeys(change.note for change in changes if change.note)]


def _point(value: float | Absent) -> Interval | Absent:
    return value if isinstance(value, Absent) else Interval(value, value, value)


def _judgement(change: Change, metric: Metric) -> list[Content]:
    """Difference, p and verdict."""
    if isinstance(change.difference, Absent):
        return [change.difference, Shown(fmt.DASH), _verdict(change)]
    text = difference(change, metric).removesuffix(" points").removesuffix(f" {metric.unit}")
    return [Shown(text), Shown(shown_p(change.p)), _verdict(change)]


def _verdict(change: Change | Pace) -> Content:
    words = f"{change.found}{', within the limit' if change.found == 'worse' and not change.regression else ''}"
    return Shown(f"**{words}**" if change.regression else words)


# ---------------------------------------------------------------------------------------------------- times and sizes


def _times_and_sizes(found: Comparison) -> Lines:
    """Rows whose model file or ratio to the anchor is another."""
    shown = [row for row in found.rows if row.weight.before != row.weight.after or any(map(_moved, row.pace))]
    rows = [[_name(row), *_sizes(row), *(cell for pace in row.pace for cell in _ratio(pace))] for row in shown]
    headers = ["row", "MiB before", "after"]
    for kind in KINDS:
        headers += [f"{kind}, × anchor before", "after", "after / before", "found"]
    quiet = len(found.rows) - len(shown)
    how = "Sizes are exact. Times stand beside their own record's anchor; intervals are widened by the noise floors."
    return section(
        "Size and speed",
        table(headers, rows, "lrr" + "rrrl" * len(KINDS)),
        bullets([f"{quiet} of {len(found.rows)} rows: no other size, no ratio beyond noise."] if quiet else []),
        [how, ""] if rows else [],
        bullets(map(markdown, dict.fromkeys(pace.note for row in shown for pace in row.pace if pace.note))),
    )


def _moved(pace: Pace) -> bool:
    """Is there anything to show: a verdict, or a ratio that would be one on the same machine?"""
    if isinstance(pace.ratio, Absent):
        return False
    return pace.found in ("worse", "better") or (bool(pace.note) and not pace.ratio.low <= 1 <= pace.ratio.high)


def _sizes(row: RowChange) -> list[Content]:
    """With as many digits as it takes to tell them apart."""
    old, new = row.weight.before, row.weight.after
    if isinstance(old, Absent) or isinstance(new, Absent):
        return [figure(old, fmt.mib), figure(new, fmt.mib)]
    digits = next((n for n in range(3, 8) if fmt.significant(old, n) != fmt.significant(new, n)), 8)
    return [Shown(fmt.mib(size) if old == new else fmt.significant(size, digits)) for size in (old, new)]


def _ratio(pace: Pace) -> list[Content]:
    return [measured(pace.before), measured(pace.after), measured(pace.ratio), _verdict(pace)]


# ------------------------------------------------------------------------------------------------- what could explain


def _missing(found: Comparison) -> Lines:
    lost = [f"{markdown(row.label)}: {markdown(row.lost)}" for row in found.rows if row.lost]
    lines = [f"only before: {_listed(list(map(markdown, found.only_before)))}"] if found.only_before else []
    lines += [f"only after: {_listed(list(map(markdown, found.only_after)))}"] if found.only_after else []
    return section("Rows of one record alone", bullets(lines)) + section("Lost", bullets(lost))


def _causes(found: Comparison) -> Lines:
    """From which stage on rows' work is another, and what enters it; rows of which both are the same, together."""
    alike: dict[tuple[str, Content], list[str]] = {}
    for row in found.rows:
        if row.differs_from or row.unnamed:
            alike.setdefault((row.differs_from.partition(".")[0], _touched(row)), []).append(row.label)
    rows = [[Shown(_listed(list(map(markdown, names)))), stage or "none", why] for (stage, why), names in alike.items()]
    note = "Stages before the named one have the same keys: their data, params, seeds and libraries are the same."
    lines = table(["rows", "from stage", "touched by"], rows, "lll")
    return section("Where the work begins to differ", lines, [note, ""] if rows else [])


def _touched(row: RowChange) -> Content:
    if row.unnamed:
        return Absent("other answers from the same keys: something that no key names, such as the CPU that trained it")
    if not row.touched_by:
        return Absent("nothing that both recorded: another version of a component, or a fact of the machine")
    more = len(row.touched_by) - CAUSES
    return ", ".join(row.touched_by[:CAUSES]) + (f" and {more} more" if more > 0 else "")


def _facts(facts: Sequence[Fact]) -> Lines:
    rows = [[fact.about, fact.name, fact.before or Shown(fmt.DASH), fact.after or Shown(fmt.DASH)] for fact in facts]
    more = len(rows) - MOST
    rest = [f"… and {more} more: --json has all of them.", ""] if more > 0 else []
    lines = table(["about", "fact", "before", "after"], rows[:MOST], "llll")
    return section("What differs between the runs", lines or ["Nothing that was recorded.", ""], rest)


def _name(row: RowChange) -> Content:
    return Shown(f"**{markdown(row.label)}** (anchor)") if row.anchor else row.label


def _listed(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
