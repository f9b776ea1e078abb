"""The tables of a class: its entries, and what each of several machines says about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.leaderboard.model import Class, Entry, Timed
from harness.leaderboard.page_figures import (
    NOISE,
    UNRANKED,
    Context,
    bounds,
    dash,
    entry_place,
    millions,
    number,
    percent,
    places,
    ratio,
    ratio_sources,
    real,
    real_range,
    score,
    score_texts,
    times,
)
from harness.leaderboard.page_html import Html, escaped, join, link, place_name, tag
from harness.reports import format as fmt
from harness.reports.model import Absent, Figure
from harness.specs import Metric

ARROW = " → "
Cells = tuple[Html, ...]


@dataclass(frozen=True)
class Column:
    """One heading; a figure with an interval has two cells under it."""

    key: str  # by which the script sorts, and the URL says so
    heading: str
    meaning: str
    cells: Callable[[Entry], Cells]
    wide: int = 1


def class_table(class_: Class, context: Context) -> Html:
    """The entries, the anchor first and apart from the others."""
    columns = tuple(_columns(class_, context))
    row = _row(columns, context)
    anchors = [row(entry) for entry in class_.entries if entry.anchor]
    others = [row(entry) for entry in class_.entries if not entry.anchor]
    table = tag(
        "table",
        tag("caption", _caption(class_)),
        tag("thead", tag("tr", *(_heading(column) for column in columns))),
        tag("tbody", *anchors, class_="anchor") if anchors else "",
        tag("tbody", *others),
        class_="board",
    )
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=f"Table of {class_.title}")


def _caption(class_: Class) -> str:
    count = len(class_.entries)
    entries = "1 entry" if count == 1 else f"{count:,} entries"
    beside = "ratios are to the anchor, the first row, on the same machine" if class_.anchor else "there is no anchor"
    return f"{class_.title}: {entries}; intervals of {fmt.share(class_.confidence)}; {beside}"


def _heading(column: Column) -> Html:
    wide = column.wide if column.wide > 1 else None
    return tag("th", column.heading, scope="col", data_k=column.key, title=column.meaning, colspan=wide)


def _row(columns: tuple[Column, ...], context: Context) -> Callable[[Entry], Html]:
    def row(entry: Entry) -> Html:
        cells = join(cell for column in columns for cell in column.cells(entry))
        return tag("tr", cells, id=entry_place(entry), data_m=_mask(entry, context))

    return row


def _mask(entry: Entry, context: Context) -> str | None:
    """The machines as bits of a hexadecimal number: the script's filter reads it."""
    bits = sum({1 << context.machines[timed.machine] for timed in entry.timed if timed.machine in context.machines})
    return f"{bits:x}" if bits else None


# -------------------------------------------------------------------------------------------------------------- columns


def _columns(class_: Class, context: Context) -> Iterator[Column]:
    """The style sheet counts on this order; the last ones are pairs of further figures, and the notes."""
    first, *further = class_.metrics
    shown = places(class_)
    yield Column(
        "place", "Place", "entries that the data cannot tell apart share theirs", lambda e: (_place(e, shown, context),)
    )
    yield Column("entry", "Entry", "model and compressors", lambda e: (_entry(e),))
    yield _metric(class_, first, 0, context)
    yield Column(
        "request",
        "× faster, request",
        "text to answer; median over machines, least to most",
        _ratio("request", context),
        2,
    )
    yield Column(
        "smaller", "× smaller, MiB", "the anchor's model file by the entry's; MiB of the entry's", _size(context), 2
    )
    yield Column("parameters", "Parameters, M", "in millions", lambda e: (_parameters(e, context),))
    yield Column("seeds", "Seeds", "that the quality rests on", lambda e: (tag("td", f"{e.seeds:,}"),))
    yield Column("machines", "Machines", "that the ratios of speed rest on", lambda e: (tag("td", str(len(e.timed))),))
    yield Column(
        "front",
        "Front",
        "no other entry is both better and faster, or better and smaller",
        lambda e: (tag("td", _front(e)),),
    )
    yield Column(
        "family", "Family", "of the model", lambda e: (tag("td", e.student or fmt.DASH, class_=colour(e, context)),)
    )
    yield Column("trained", "Trained", "step by step", lambda e: (tag("td", ARROW.join(e.distil) or fmt.DASH),))
    yield Column(
        "compressed", "Compressed", "step by step", lambda e: (tag("td", ARROW.join(e.compressors) or "none"),)
    )
    if context.roomy:
        for position, metric in enumerate(further, start=1):
            yield _metric(class_, metric, position, context)
        yield Column("forward", "× faster, forward", "arrays to arrays; as for requests", _ratio("forward", context), 2)
    yield Column("notes", "Notes", "what a reader must know", lambda e: (_notes(e, context),))


def _notes(entry: Entry, context: Context) -> Html:
    numbers = context.notes
    said = (link(f"note-{numbers[n]}", f"note {numbers[n]}") if n in numbers else escaped(n) for n in entry.notes)
    return tag("td", join(said, Html("; ")))


def _place(entry: Entry, shown: dict[str, str], context: Context) -> Html:
    return tag("td", shown.get(entry.id) or context.footnotes.dash(UNRANKED))


def _entry(entry: Entry) -> Html:
    return tag("th", entry.label, tag("b", "anchor") if entry.anchor else "")


def _metric(class_: Class, metric: Metric, position: int, context: Context) -> Column:
    text = score_texts(class_, metric)

    def cells(entry: Entry) -> Cells:
        found = score(entry, metric)
        if isinstance(found, Absent):
            return tag("td", context.footnotes.dash(found)), tag("td")
        return _linked(entry, found.value, text, context), tag("td", bounds(found, text))

    better = "higher is better" if metric.higher_is_better else "lower is better"
    return Column(f"q{position}", percent(metric), f"{metric.summary or metric.name}; {better}", cells, 2)


def _ratio(of: str, context: Context) -> Callable[[Entry], Cells]:
    def cells(entry: Entry) -> Cells:
        found = ratio(entry, of)
        if isinstance(found, Absent):
            return tag("td", context.footnotes.dash(found)), tag("td")
        several, (middle, low, high) = len(entry.timed) > 1, ratio_sources(entry, of)
        in_table = several and context.roomy
        value = times(found.value)
        shown = link(place_name("s", entry.id), value) if in_table else context.to_record(middle, value)
        if of == "forward":
            return tag("td", shown), tag("td", bounds(found, times))
        if in_table or not several:
            return tag("td", shown), tag("td", bounds(found, times), _noise(entry))
        least, most = times(found.low), times(found.high)
        ends = (context.to_record(low, least), dash(least, most), context.to_record(high, most))
        return tag("td", shown), tag("td", *ends, _noise(entry))

    return cells


def _noise(entry: Entry) -> Html | None:
    """The mark of a difference that the anchor has to itself, wherever it was measured."""
    return Html(f" {NOISE}") if all(timed.noise for timed in entry.timed) else None


def _size(context: Context) -> Callable[[Entry], Cells]:
    """The ratio leads to the record, the file's size stands beside it as an interval does."""

    def cells(entry: Entry) -> Cells:
        ratio_, mib = real(entry.times_smaller), real(entry.model_mib)
        if isinstance(ratio_, Absent):
            return _linked(entry, ratio_, times, context), _linked(entry, mib, _mib, context)
        return _linked(entry, ratio_, times, context), _beside(mib, _mib, context)

    return cells


def _linked(entry: Entry, found: Figure, text: Callable[[float], str], context: Context) -> Html:
    if isinstance(found, Absent):
        return tag("td", context.footnotes.dash(found))
    return tag("td", context.to_record(entry.evidence[0], text(found)) if entry.evidence else text(found))


def _beside(found: Figure, text: Callable[[float], str], context: Context) -> Html:
    """A figure of the record that the link on its left leads to."""
    return tag("td", context.footnotes.dash(found) if isinstance(found, Absent) else text(found))


def _parameters(entry: Entry, context: Context) -> Html:
    found = real(entry.parameters)
    alone = context.roomy or isinstance(entry.times_smaller, Absent)
    return _linked(entry, found, millions, context) if alone else _beside(found, millions, context)


def _mib(value: float) -> str:
    return number(value, fmt.mib)


def _front(entry: Entry) -> str:
    names = [name for name, on in (("speed", entry.front_speed), ("size", entry.front_size)) if on]
    return " + ".join(names)


def colour(entry: Entry, context: Context) -> str:
    """The class of its family's colour."""
    return f"k{context.families.index(entry.student)}" if entry.student in context.families else "kx"


# ------------------------------------------------------------------------------------------------------------- machines


def machine_table(class_: Class, context: Context) -> Html:
    """Speed on each machine, for the entries that were timed on several; nothing where there are none."""
    entries = [entry for entry in class_.entries if len(entry.timed) > 1]
    if not entries or not context.roomy:
        return Html("")
    records = sorted({timed.evidence for entry in entries for timed in entry.timed}, key=_known(context))
    machines = {timed.evidence: timed.machine for entry in entries for timed in entry.timed}
    head = tag("tr", tag("th", "Entry"), *(_record_heading(record, machines[record], context) for record in records))
    rows = (_machine_row(entry, records, context) for entry in entries)
    caption = (
        "× faster than the anchor on each machine, text to answer, with its interval and the time of a request. "
        f"·: not timed there; {NOISE}: within the anchor's noise"
    )
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *rows), class_="by-machine")
    box = tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=f"Speed by machine, {class_.title}")
    count = len(set(machines.values()))
    return tag("details", tag("summary", f"Speed on each of {count} machines"), box)


def _known(context: Context) -> Callable[[str], tuple[int, str]]:
    return lambda record: (context.records.get(record, len(context.records) + 1), record)


def _record_heading(record: str, machine: str, context: Context) -> Html:
    where = context.machines.get(machine)
    to_machine = link(f"m{where}", f"machine {where}") if where else escaped(machine)
    return tag(
        "th",
        to_machine,
        tag("br"),
        context.to_record(record, f"record {context.records.get(record, record)}"),
        scope="col",
    )


def _machine_row(entry: Entry, records: list[str], context: Context) -> Html:
    found = {timed.evidence: timed for timed in entry.timed}
    cells = (_timed(found[record], context) if record in found else tag("td", "·") for record in records)
    return tag("tr", tag("th", link(entry_place(entry), entry.label)), *cells, id=place_name("s", entry.id))


def _timed(timed: Timed, context: Context) -> Html:
    found = real_range(timed.request)
    if isinstance(found, Absent):
        return tag("td", context.footnotes.dash(found))
    noise = Html(f" {NOISE}") if timed.noise else None
    ms = real_range(timed.request_ms)
    took = context.footnotes.dash(ms) if isinstance(ms, Absent) else number(ms.value, fmt.significant)
    return tag("td", times(found.value), noise, tag("i", bounds(found, times), tag("br"), took, Html(" ms")))
