"""What the figures of the page rest on: records, machines, what was refused, and why figures are missing."""

from __future__ import annotations

from collections.abc import Mapping

from harness.leaderboard.model import Board, Evidence, Machine
from harness.leaderboard.page_figures import Context
from harness.leaderboard.page_html import Html, escaped, file_link, join, link, tag
from harness.reports.escape import plain
from harness.reports.format import DASH


def evidence_section(board: Board, context: Context) -> Html:
    """A block per record."""
    records = (_record(number, one, context) for number, one in enumerate(board.evidence, start=1))
    said = "Every figure leads to the record that it comes from. The digest is the SHA-256 of the file as it was read."
    return tag("section", tag("h2", "Evidence"), tag("p", said), tag("div", *records, class_="cards"), id="evidence")


def _record(number: int, one: Evidence, context: Context) -> Html:
    where = context.machines.get(one.machine)
    facts = {
        "file": file_link(one.file),
        "SHA-256": tag("code", plain(one.digest, 80)),
        "suite": escaped(one.suite),
        "started": escaped(one.started),
        "machine": link(f"m{where}", f"machine {where}") if where else escaped(one.machine),
        "commit": tag("code", plain(one.commit, 80)) if one.commit else escaped("the record says none"),
        "versions": escaped(
            " · ".join(f"{plain(name, 60)} {plain(v, 60)}" for name, v in sorted(one.versions.items()))
        ),
        "command": tag("code", one.command),
    }
    return tag("article", tag("h3", f"Record {number}"), _list(facts), id=f"r{number}")


def machines_section(board: Board) -> Html:
    """A block per machine."""
    blocks = (_machine(number, one) for number, one in enumerate(board.machines, start=1))
    return tag("section", tag("h2", "Machines"), tag("div", *blocks, class_="cards"), id="machines")


def _machine(number: int, one: Machine) -> Html:
    facts = {"instructions": escaped(one.isa), **{plain(name, 60): escaped(fact) for name, fact in one.facts.items()}}
    return tag("article", tag("h3", f"Machine {number}"), tag("p", one.name), _list(facts), id=f"m{number}")


def refused_section(board: Board) -> Html:
    """What stands on no table; nothing where all was taken."""
    if not board.refused:
        return Html("")
    rows = (
        tag("tr", tag("th", one.file), tag("td", one.row or "the whole record"), tag("td", one.reason))
        for one in board.refused
    )
    head = tag("tr", *(tag("th", name, scope="col") for name in ("File", "Row", "Why, and what to do")))
    table = tag(
        "table",
        tag("caption", "Records and rows that stand on no table"),
        tag("thead", head),
        tag("tbody", *rows),
        class_="plain",
    )
    box = tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Refused records")
    return tag("section", tag("h2", "Refused"), box, id="refused")


def notes_section(context: Context) -> Html:
    """What the tables say by number, because many entries have it."""
    if not context.notes:
        return Html("")
    items = (tag("li", note, id=f"note-{number}", value=number) for note, number in context.notes.items())
    return tag("section", tag("h2", "Notes"), tag("ol", *items), id="notes")


def reasons_section(context: Context) -> Html:
    """The footnotes of the dashes; made last, when all parts have said what they miss."""
    numbers = context.footnotes.numbers
    if not numbers:
        return Html("")
    items = (tag("li", reason, id=f"why-{number}", value=number) for reason, number in numbers.items())
    return tag("section", tag("h2", f"What {DASH} stands for"), tag("ol", *items), id="absent")


def _list(facts: Mapping[str, Html]) -> Html:
    return tag("dl", join(join((tag("dt", name), tag("dd", fact or DASH))) for name, fact in facts.items()))
