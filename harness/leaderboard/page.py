"""A board as one page: a file that needs no network and no script, and is easier to use with one.

The page allows itself its own style and its own script, by their digests, and nothing else: whatever else would be in
it could not run, load or send anything.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib.resources import files

from harness.leaderboard.model import Board, Class, Entry
from harness.leaderboard.page_evidence import (
    evidence_section,
    machines_section,
    notes_section,
    reasons_section,
    refused_section,
)
from harness.leaderboard.page_figures import (
    NOISE,
    Context,
    bounds,
    context,
    entry_place,
    percent,
    ratio,
    real,
    score,
    score_texts,
    times,
)
from harness.leaderboard.page_html import Html, link, place_name, tag
from harness.leaderboard.page_plot import plots
from harness.leaderboard.page_table import class_table, machine_table
from harness.reports.escape import plain
from harness.reports.format import DASH
from harness.reports.model import Absent
from harness.statistics import Interval

ROOMY = 800  # figures of single machines up to which all are shown: a page of more would be too heavy to open
COLOURS = 6


def write_page(board: Board) -> str:
    """The whole HTML text; the same board gives the same text."""
    style, script = _asset("page.css"), _asset("page.js")
    read = context(board, ROOMY, COLOURS)
    body = (
        _header(board),
        _filters(board),
        tag(
            "main",
            _overview(board),
            *(_class(class_, read) for class_ in board.classes),
            _reading(read),
            notes_section(read),
            refused_section(board),
            machines_section(board),
            evidence_section(board, read),
            reasons_section(read),
        ),
        tag("script", script),
    )
    return f"<!doctype html>\n{tag('html', _head(board, style, script), tag('body', *body), lang='en')}\n"


def _asset(name: str) -> Html:
    return Html(files("harness.leaderboard").joinpath(name).read_text(encoding="utf-8"))


def _head(board: Board, style: Html, script: Html) -> Html:
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", board.title),
        tag("style", style),
    )


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _header(board: Board) -> Html:
    entries = sum(len(class_.entries) for class_ in board.classes)
    counts = (
        _counted(entries, "entry", "entries"),
        _counted(len(board.classes), "class", "classes"),
        _counted(len(board.evidence), "record"),
        _counted(len(board.machines), "machine"),
    )
    made = tag("p", f"{', '.join(counts)}. Made {board.made[:10]}.", class_="made")
    toggle = tag("button", "Dark", type="button", id="theme", hidden=True)
    warnings = (
        tag("ul", *(tag("li", warning) for warning in board.warnings), class_="warnings") if board.warnings else ""
    )
    return tag("header", tag("h1", board.title), toggle, made, warnings)


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


# -------------------------------------------------------------------------------------------------------------- filters


def _filters(board: Board) -> Html:
    """Shown by the script, which does what they say."""
    entries = [entry for class_ in board.classes for entry in class_.entries]
    classes = [(place_name("c", class_.id), class_.title) for class_ in board.classes]
    fields = (
        tag("label", "Search", tag("input", type="search", name="q", autocomplete="off")),
        _select("task", "Task", _plain_options(class_.task for class_ in board.classes)),
        _select("class", "Class", classes),
        _select("family", "Family", _plain_options(entry.student for entry in entries)),
        _select("trained", "Trained with", _plain_options(step for entry in entries for step in entry.distil)),
        _select("compressed", "Compressed with", _plain_options(_compressors(entries))),
        _select("machine", "Machine", [(str(n), f"{n}: {one.name}") for n, one in enumerate(board.machines, start=1)]),
        tag("label", tag("input", type="checkbox", name="front", value="1"), "Only the front", class_="check"),
        tag("button", "Reset", type="reset"),
        tag("output", aria_live="polite"),
    )
    return tag("form", *fields, id="filters", hidden=True, aria_label="Filters")


def _compressors(entries: Iterable[Entry]) -> Iterable[str]:
    for entry in entries:
        yield from entry.compressors or ("none",)


def _plain_options(values: Iterable[str]) -> list[tuple[str, str]]:
    """As cells show them: the script looks for them there."""
    return [(shown, shown) for shown in sorted({plain(value) for value in values if value})]


def _select(name: str, label: str, options: list[tuple[str, str]]) -> Html | None:
    """Nothing where there is no choice."""
    if len(options) < 2:
        return None
    choices = (tag("option", shown, value=value) for value, shown in options)
    return tag("label", label, tag("select", tag("option", "all", value=""), *choices, name=name))


# -------------------------------------------------------------------------------------------------------------- classes


def _overview(board: Board) -> Html:
    """A line per class: who is first, and the fastest and the smallest on the front."""
    names = ("Class", "Entries", "First place", "Quality", "Fastest on the front", "×", "Smallest on the front", "×")
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    rows = (_overview_row(class_) for class_ in board.classes)
    caption = "At a glance; nothing is compared across classes"
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *rows), class_="overview")
    box = tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption)
    return tag("nav", box, aria_label="Classes") if board.classes else tag("p", "No record was taken.")


def _overview_row(class_: Class) -> Html:
    title = tag("th", link(place_name("c", class_.id), class_.title))
    fastest = _most((e for e in class_.entries if e.front_speed), lambda e: ratio(e, "request"))
    smallest = _most((e for e in class_.entries if e.front_size), lambda e: real(e.times_smaller))
    count = tag("td", f"{len(class_.entries):,}")
    return tag("tr", title, count, *_best(class_), *fastest, *smallest)


def _best(class_: Class) -> tuple[Html, Html]:
    """Of those in the first place the one with the best value, and how many others the data cannot tell from it."""
    metric = class_.metrics[0]
    first = [entry for entry in class_.entries if entry.place == 1]
    scored = [(value, entry) for entry in first if not isinstance(value := score(entry, metric), Absent)]
    if not scored:
        return tag("td", DASH), tag("td", DASH)
    value, entry = max(scored, key=lambda pair: pair[0].value if metric.higher_is_better else -pair[0].value)
    others = Html(f" and {len(first) - 1} more") if len(first) > 1 else None
    text = score_texts(class_, metric)
    said = f"{percent(metric)}: {text(value.value)} [{bounds(value, text)}]"
    return tag("td", _named(entry), others), tag("td", said)


def _named(entry: Entry) -> Html:
    return link(entry_place(entry), entry.label)


def _most(entries: Iterable[Entry], gain: Callable[[Entry], Interval | float | Absent]) -> tuple[Html, Html]:
    found = [(_middle(value), entry) for entry in entries if not isinstance(value := gain(entry), Absent)]
    if not found:
        return tag("td", DASH), tag("td", DASH)
    value, entry = max(found, key=lambda pair: pair[0])
    return tag("td", _named(entry)), tag("td", times(value))


def _middle(value: Interval | float) -> float:
    return value.value if isinstance(value, Interval) else value


def _class(class_: Class, read: Context) -> Html:
    facts = tag(
        "dl", *(tag("div", tag("dt", name), tag("dd", fact)) for name, fact in class_.facts.items()), class_="facts"
    )
    return tag(
        "section",
        tag("h2", class_.title),
        facts if class_.facts else "",
        tag("p", class_.apart, class_="apart") if class_.apart else "",
        plots(class_, read),
        class_table(class_, read),
        machine_table(class_, read),
        id=place_name("c", class_.id),
        class_="class",
        data_task=plain(class_.task),
    )


# -------------------------------------------------------------------------------------------------------------- reading


WORDS = {
    "Place": "1–3: the data cannot tell three entries apart, so they share first to third place.",
    "Interval": "beside every quality. Places compare entries in pairs: two whose intervals overlap may differ.",
    "×": "to the anchor of the same class on the same machine: more is faster, or smaller. Of several machines: the "
    "median, the least and the most. Of one machine: its figure and its interval.",
    NOISE: "no more than two measurements of the anchor itself differ by.",
    "Front": "nothing else is both better and faster (speed), or better and smaller (size), as far as the data tell.",
    "Class": "entries that were measured alike: same data, metric and limits. Nothing is compared across classes.",
    DASH: "there is no such figure; the dash leads to the reason.",
}
LEFT_OUT = (
    "of each machine between the least and the most, ratios of forward passes, and further metrics: this board is too "
    "large for them. The records have them, and the CSV has all but the first."
)


def _reading(read: Context) -> Html:
    """What the words of the tables mean."""
    words = WORDS if read.roomy else {**WORDS, "Figures": LEFT_OUT}
    items = (tag("div", tag("dt", word), tag("dd", meaning)) for word, meaning in words.items())
    return tag("section", tag("h2", "How to read this"), tag("dl", *items, class_="reading"), id="reading")
