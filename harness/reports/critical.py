"""Entities by type, and the critical spans that a row lost or won: what is read from records, and its sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.reports import format as fmt
from harness.reports.escape import markdown, plain
from harness.reports.model import Absent, Exchange, Item, Report, Row, TypeScore
from harness.reports.tables import Content, Lines, Shown, name, section, table

Json = Mapping[str, Any]
EXAMPLES = 5  # spans that are shown of what was lost, and of what was won
MANY = 16  # rows; beyond it compressed ones are left out, but for the report's own
LONGEST = 160  # characters of a sentence
NO_ITEMS = Absent("the task names no critical types")
NO_FOUND = Absent("no score: see the problems below")
OTHER_ITEMS = Absent("scored on other examples than what it is compared with")


# -------------------------------------------------------------------------------------------------------- from records


def types(details: Sequence[Json]) -> dict[str, TypeScore]:
    """`per_class` of every scored seed, where it says which classes are critical → means; empty for other tasks.

    Critical ones first, then by name: records keep no order.
    """
    seeds = [
        {title: score for title, score in entry.get("per_class", {}).items() if "critical" in score}
        for entry in details
    ]
    seeds = [found for found in seeds if found]
    first = seeds[0] if seeds else {}
    titles = sorted(first, key=lambda title: (first[title]["critical"] != "yes", title))
    return {title: _mean([seed[title] for seed in seeds if title in seed]) for title in titles}


def _mean(scores: Sequence[Json]) -> TypeScore:
    precision, recall, f1 = (sum(s[key] for s in scores) / len(scores) for key in ("precision", "recall", "f1"))
    first = scores[0]
    return TypeScore(
        precision=precision, recall=recall, f1=f1, support=int(first["support"]), critical=first["critical"] == "yes"
    )


def items(run: Json) -> dict[str, list[Json]]:
    """The critical spans of the test data, by the digest of the examples that they are in."""
    return {data["examples"]: data["items"] for data in run["task"]["data"] if "items" in data}


def exchange(
    cells: Sequence[Json], reference: Sequence[Json], of: str, known: Mapping[str, list[Json]]
) -> Exchange | Absent:
    """What a row's cells found that the reference's did not, and the other way round, seed by seed.

    A seed that the reference lacks is compared with the reference's first.
    """
    if not known:
        return NO_ITEMS
    mine, theirs = _by_seed(cells, known), _by_seed(reference, known)
    if not mine or not theirs:
        return NO_FOUND
    first = next(iter(theirs.values()))
    pairs = [(found, theirs.get(seed, first)) for seed, found in mine.items()]
    digests = {digest for pair in pairs for digest, _ in pair}
    if len(digests) != 1:
        return OTHER_ITEMS
    spans = known[digests.pop()]
    lost = [there & ~here for (_, here), (_, there) in pairs]
    won = [here & ~there for (_, here), (_, there) in pairs]
    return Exchange(
        of=of,
        items=len(spans),
        found=float(np.mean([here.sum() for (_, here), _ in pairs])),
        lost=float(np.mean([seed.sum() for seed in lost])),
        won=float(np.mean([seed.sum() for seed in won])),
        first_lost=_shown(spans, lost[0]),
        first_won=_shown(spans, won[0]),
    )


def _by_seed(cells: Sequence[Json], known: Mapping[str, list[Json]]) -> dict[Any, tuple[str, np.ndarray]]:
    """Seed → (digest of the examples, bool [I])."""
    scored = [cell for cell in cells if cell["quality"] and "found" in cell["quality"]]
    return {
        cell["axes"]["seed"]: (digest, _unpacked(cell["quality"]["found"], len(known[digest])))
        for cell in scored
        if (digest := cell["quality"]["examples"]) in known
    }


def _unpacked(text: str, count: int) -> np.ndarray:
    """Hex of `np.packbits` → bool [count]. ValueError when it holds fewer."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8))
    if not count <= len(bits) < count + 8:
        msg = f"{len(bits)} bits of found spans for {count} critical spans"
        raise ValueError(msg)
    return bits[:count].astype(bool)


def _shown(spans: Sequence[Json], chosen: np.ndarray) -> tuple[Item, ...]:
    picked = [spans[int(n)] for n in np.flatnonzero(chosen)[:EXAMPLES]]
    return tuple(
        Item(
            type=str(span["type"]),
            text=str(span.get("text", f"characters {span['start']} to {span['end']}")),
            context=str(span.get("context", "not quoted: the texts may not be passed on")),
            example=str(span["example"]),
        )
        for span in picked
    )


# ------------------------------------------------------------------------------------------------------------ sections


def type_section(report: Report) -> Lines:
    """F1 of each type for each row, with the difference to the anchor; critical types are marked."""
    rows = [row for row in _compared(report) if row.types]
    titles = list(dict.fromkeys(title for row in rows for title in row.types))
    base = report.anchor.types if report.anchor else {}
    lines = [[name(row), *(_type(row, title, base) for title in titles)] for row in rows]
    headers = [
        "row",
        *(_title(title, next(row.types[title] for row in rows if title in row.types)) for title in titles),
    ]
    note = (
        "F1, %, mean over seeds; in parentheses the difference to the anchor, points. Critical types: **bold** and !."
    )
    return section("By type", table(headers, lines, "l" + "r" * len(titles)), [note, ""] if lines else [])


def _compared(report: Report) -> list[Row]:
    """All rows, or where there are many the uncompressed ones and the one that the summary is about."""
    if len(report.rows) <= MANY:
        return list(report.rows)
    return [row for row in report.rows if row.axes.get("compress") in (None, "none") or row.label == report.best]


def _title(title: str, score: TypeScore) -> Shown:
    """`**PER** !, 1,617 spans`."""
    text = f"**{markdown(title)}** !" if score.critical else markdown(title)
    return Shown(f"{text}, {fmt.count(score.support)} spans")


def _type(row: Row, title: str, base: Mapping[str, TypeScore]) -> Content:
    score = row.types.get(title)
    if score is None:
        return Absent("not reported by the task")
    value = fmt.fixed(100 * score.f1, 1)
    if row.anchor or title not in base:
        return Shown(value)
    return Shown(f"{value} ({fmt.fixed(100 * (score.f1 - base[title].f1), 1, signed=True)})")


def exchange_section(report: Report) -> Lines:
    """Critical spans lost and won against the reference by row, and a few of them for the report's own row."""
    rows = [(row, row.exchange) for row in _compared(report) if isinstance(row.exchange, Exchange)]
    if not rows:
        return []
    headers = ["row", Shown("found"), Shown("lost"), Shown("won"), Shown("net")]
    lines = [[name(row), *_counts(row, entry)] for row, entry in rows]
    of, total = markdown(rows[0][1].of), fmt.count(rows[0][1].items)
    note = (
        f"Of {total} critical spans in the test data, against {of}: lost are those that it finds and the row does not, "
        "won the other way round; found is the exact span with its type. Means over seeds, each against the same seed "
        f"of {of} where there is one. What the net is worth: the intervals under Quality."
    )
    return section(
        "Critical spans lost and won",
        table(headers, lines, "lrrrr"),
        [note, ""],
        *(_spans(row, entry) for row, entry in rows if row.label == report.best),
    )


def _counts(row: Row, entry: Exchange) -> list[Content]:
    if row.label == entry.of:
        return [Shown(_number(entry.found)), *[Shown("0")] * 3]
    net = entry.won - entry.lost
    return [
        Shown(_number(entry.found)),
        Shown(_number(entry.lost)),
        Shown(_number(entry.won)),
        Shown(_number(net, True)),
    ]


def _number(value: float, signed: bool = False) -> str:
    """Whole where it is."""
    return fmt.fixed(value, 0 if value == round(value) else 1, signed)


def _spans(row: Row, entry: Exchange) -> Lines:
    shown = [("lost", item) for item in entry.first_lost] + [("won", item) for item in entry.first_won]
    lines = [[what, item.text, item.type, _excerpt(item), item.example] for what, item in shown]
    title = f"The first of them for {markdown(row.label)}, first seed:"
    cells = table(["", "span", "type", "sentence", "example"], lines, "lllll")
    return [title, "", *cells] if cells else []


def _excerpt(item: Item) -> str:
    """The sentence around the span, cut to what a table bears."""
    context, text = plain(item.context, 10**6), plain(item.text, 10**6)
    if len(context) <= LONGEST:
        return context
    start = max(0, min(context.find(text) - LONGEST // 3, len(context) - LONGEST))
    cut = context[start : start + LONGEST]
    return ("…" if start else "") + cut + ("…" if start + LONGEST < len(context) else "")
