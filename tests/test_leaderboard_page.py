"""What a leaderboard's page says, in its bytes: figures, evidence, reasons, order, size."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import board_fakes
import pytest

from harness.leaderboard.model import Board, Spread
from harness.leaderboard.page import write_page
from harness.reports.model import Absent
from harness.specs import Metric
from harness.statistics import Interval


class Page(HTMLParser):
    """The elements of a page, in order, with their attributes and the text right inside of them."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_data(self, data):
        if self.elements:
            self.elements[-1][2].append(data)

    def having(self, **wanted):
        return [e for e in self.elements if all(e[1].get(key) == value for key, value in wanted.items())]

    def values(self, key):
        return [attrs[key] for _, attrs, _ in self.elements if key in attrs]


def rows(text, class_="board"):
    """Cells of the tables of that class, as texts without markup."""
    tables = re.findall(rf"<table class={class_}>.*?</table>", text, re.DOTALL)
    found = [re.split(r"<t[dh]\b[^>]*>", row)[1:] for table in tables for row in re.split(r"<tr\b[^>]*>", table)[2:]]
    return [[re.sub(r"<[^>]*>", "", cell).strip() for cell in row] for row in found]


@pytest.fixture(scope="module")
def small():
    return board_fakes.small()


@pytest.fixture(scope="module")
def page(small):
    return write_page(small)


def one_class(board, **changes):
    return replace(board, classes=(replace(board.classes[0], **changes),))


def with_entry(board, number, **changes):
    entries = list(board.classes[0].entries)
    entries[number] = replace(entries[number], **changes)
    return one_class(board, entries=tuple(entries))


def test_the_same_board_is_the_same_page(page):
    assert write_page(board_fakes.small()) == page


def test_a_page_needs_nothing_from_elsewhere(page):
    found = Page(page)
    assert found.values("src") == []
    assert {tag for tag, attrs, _ in found.elements if tag in {"link", "img", "iframe", "object"}} == set()
    assert all(href.startswith(("#", "./results/")) for href in found.values("href"))
    assert "@import" not in page
    assert "url(" not in page


def test_its_policy_allows_its_own_style_and_script_alone(page):
    policy = next(attrs["content"] for tag, attrs, _ in Page(page).elements if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == 2
    assert "unsafe" not in policy


def test_every_link_on_the_page_leads_somewhere(page):
    found = Page(page)
    places = found.values("id")
    assert len(places) == len(set(places))
    assert {href[1:] for href in found.values("href") if href.startswith("#")} <= set(places)


def test_every_figure_has_its_evidence(page, small):
    """Each cell that is a number is a link, or stands right of its link as an interval does."""
    body = page.split("<table class=board>")[1].split("</table>")[0].split("<tbody")[1:]
    for row in "".join(body).split("<tr ")[1:]:
        cells = re.split(r"<t[dh]\b[^>]*>", row)[1:]
        for number in (3, 5, 7, 9, 16):
            assert re.match(r"<a href=\"?#(r\d+|s-[\w.-]+|why-\d+)", cells[number - 1]), cells[number - 1]
    for number, one in enumerate(small.evidence, start=1):
        block = page.split(f"<article id=r{number}>")[1].split("</article>")[0]
        said = [one.file, one.digest, one.commit, one.command, one.suite, *one.versions, *one.versions.values()]
        assert all(text in block for text in said)


def test_figures_stand_as_a_reader_wants_them(small):
    board = with_entry(
        small,
        1,
        label="lstm · int8",
        scores={"accuracy": Interval(0.7534, 0.741, 0.7659), "macro_f1": Interval(0.7, 0.69, 0.71)},
        request=Spread(value=7.93, low=6.1, high=9.04, machines=2),
        timed=tuple(replace(timed, noise=False) for timed in small.classes[0].entries[0].timed[:2]),
        times_smaller=12.5,
        model_mib=3.6,
        parameters=2_137_000.0,
    )
    row = next(row for row in rows(write_page(board)) if row[1] == "lstm · int8")
    assert row[2:9] == ["75.3", "74.1–76.6", "7.9", "6.1–9.0", "12", "3.60", "2.14"]


def test_an_entry_of_one_machine_has_the_interval_of_that_machine(small):
    timed = replace(small.classes[0].entries[0].timed[0], request=Interval(5.0, 4.8, 5.2), noise=False)
    board = with_entry(small, 1, label="one", timed=(timed,), request=Spread(value=5.0, low=5.0, high=5.0, machines=1))
    row = next(row for row in rows(write_page(board)) if row[1] == "one")
    assert row[4:6] == ["5.0", "4.8–5.2"]
    assert row[10] == "1"


def test_what_is_within_the_noise_of_the_anchor_is_marked(small):
    timed = replace(small.classes[0].entries[0].timed[0], request=Interval(1.01, 0.99, 1.03), noise=True)
    board = with_entry(
        small, 1, label="noisy", timed=(timed,), request=Spread(value=1.01, low=1.01, high=1.01, machines=1)
    )
    assert next(row for row in rows(write_page(board)) if row[1] == "noisy")[5].endswith("≈")
    quiet = with_entry(board, 1, timed=(replace(timed, noise=False),))
    assert not next(row for row in rows(write_page(quiet)) if row[1] == "noisy")[5].endswith("≈")


def test_places_are_shared_where_the_data_cannot_tell(small):
    entries = small.classes[0].entries[:6]
    places = (2, 1, 1, 2, 3, None)
    changed = tuple(replace(e, place=p, tied=places.count(p) > 1) for e, p in zip(entries, places, strict=True))
    shown = [row[0] for row in rows(write_page(one_class(small, entries=changed)))]
    assert shown == ["3–4", "1–2", "1–2", "3–4", "5", "—"]


def test_places_may_be_numbered_by_group_or_by_rank(small):
    """Groups 1, 2, 3 and ranks 1, 3, 5 say the same."""
    entries = small.classes[0].entries[:5]
    for places in ((1, 1, 2, 2, 3), (1, 1, 3, 3, 5)):
        changed = tuple(replace(e, place=p) for e, p in zip(entries, places, strict=True))
        assert [row[0] for row in rows(write_page(one_class(small, entries=changed)))] == [
            "1–2",
            "1–2",
            "3–4",
            "3–4",
            "5",
        ]


def test_an_absent_figure_is_a_dash_that_leads_to_its_reason(small):
    board = with_entry(
        small, 1, label="bare", times_smaller=Absent("has no <model> file"), parameters=Absent("is no network")
    )
    text = write_page(board)
    row = next(row for row in rows(text) if row[1] == "bare")
    assert (row[6], row[8]) == ("—", "—")
    number = re.search(r"<li id=(why-\d+) value=\d+>has no &lt;model&gt; file", text)[1]
    assert f'<a href="#{number}"' in text or f"<a href=#{number}" in text
    assert 'title="has no &lt;model&gt; file"' in text


@pytest.mark.parametrize("wild", [float("nan"), float("inf")])
def test_what_is_no_number_is_a_dash(small, wild):
    row = next(row for row in rows(write_page(with_entry(small, 1, label="x", parameters=wild))) if row[1] == "x")
    assert row[8] == "—"


def test_the_anchor_is_above_all_and_named(small):
    first = rows(write_page(one_class(small)))[0]
    assert first[1] == "teacheranchor"


def test_a_class_says_what_makes_it_and_why_it_is_apart(small):
    board = one_class(
        small, facts={"max_length": "128 tokens"}, apart="kept apart from the other: max_length is 64 there"
    )
    text = write_page(board)
    assert "<dt>max_length<dd>128 tokens" in text
    assert "kept apart from the other: max_length is 64 there" in text


def test_refused_records_have_their_reasons(page, small):
    for one in small.refused:
        assert one.reason in page
        assert one.file in page


def test_each_machine_has_its_column_and_each_figure_its_interval(small):
    text = write_page(small)
    found = rows(text, "by-machine")
    assert len(found[0]) == 1 + 3
    assert re.fullmatch(r"1\.0 ≈0\.96–1\.020\.0 ms", found[0][1])


def test_a_board_of_many_machines_leads_to_the_records_of_the_least_and_the_most():
    board = board_fakes.board(entries=700, machine_count=4)
    text = write_page(board)
    assert "class=by-machine" not in text
    entry = next(e for e in board.classes[0].entries if len(e.timed) == 2)
    low, high = (
        min(entry.timed, key=lambda t, x=x: abs(t.request.value - x)).evidence
        for x in (entry.request.low, entry.request.high)
    )
    row = text.split(f"<tr id=e-{entry.id} ")[1].split("<tr ")[0]
    assert re.search(rf"<a href=\"?#{low}\"?>[\d.]+</a>–<a href=\"?#{high}\"?>", row)
    assert "this board is too large" in text


def test_what_many_entries_have_to_say_is_said_once():
    board = board_fakes.board(entries=30, machine_count=2, class_sizes=(1.0,))
    entries = tuple(replace(e, notes=("has one <seed>", f"own {n}")) for n, e in enumerate(board.classes[0].entries))
    text = write_page(one_class(board, entries=entries))
    assert text.count("has one &lt;seed&gt;") == 1
    assert "<li id=note-1 value=1>has one &lt;seed&gt;" in text
    assert [row[-1] for row in rows(text)] == [f"note 1; own {n}" for n in range(30)]


def test_a_large_board_shows_the_metric_that_ranks():
    heading = "macro_f1, %"
    assert heading in write_page(board_fakes.board(entries=100))
    assert heading not in write_page(board_fakes.board(entries=1000))


def test_a_plot_has_a_mark_for_every_entry_that_has_both_figures(small):
    svgs = re.findall(r"<svg.*?</svg>", write_page(one_class(small)), re.DOTALL)
    entries = small.classes[0].entries
    assert [svg.count("<title>") for svg in svgs] == [
        sum(e.request is not None for e in entries),
        sum(not isinstance(e.times_smaller, Absent) for e in entries),
    ]
    assert [svg.count("<rect ") for svg in svgs] == [1, 1]


def test_a_plot_of_many_names_the_front_and_the_anchor_and_draws_all():
    board = board_fakes.board(entries=1000)
    class_ = board.classes[0]
    svg = re.findall(r"<svg.*?</svg>", write_page(board), re.DOTALL)[0]
    named = sum(e.request is not None and (e.front_speed or e.anchor) for e in class_.entries)
    assert svg.count("<title>") == named
    assert svg.count("h0") == sum(e.request is not None for e in class_.entries) - named


def test_where_less_is_better_less_is_up(small):
    loss = Metric(name="loss", higher_is_better=False, unit="")
    entries = tuple(
        replace(e, scores={"loss": Interval(v, v, v)}, front_size=False)
        for e, v in zip(small.classes[0].entries[:2], (1.0, 2.0), strict=True)
    )
    svg = re.findall(r"<svg.*?</svg>", write_page(one_class(small, metrics=(loss,), entries=entries)), re.DOTALL)[-1]
    anchor = int(re.search(r"<rect x=\d+ y=(\d+)", svg)[1])
    other = int(re.search(r"<circle cx=\d+ cy=(\d+)", svg)[1])
    assert anchor < other


def test_a_board_without_entries_is_a_page():
    text = write_page(
        Board(
            title="Nothing",
            made="2031-01-01",
            classes=(),
            machines=(),
            evidence=(),
            refused=board_fakes.small().refused,
        )
    )
    assert "No record was taken." in text
    assert "is a rehearsal" in text


def test_a_class_without_anchor_or_figures_is_a_table(small):
    entries = tuple(
        replace(e, anchor=False, request=None, forward=None, timed=(), scores={}, place=None, evidence=())
        for e in small.classes[0].entries[:3]
    )
    text = write_page(one_class(small, anchor=None, entries=entries))
    assert "there is no anchor" in text
    assert all(row[2] == "—" for row in rows(text))


@pytest.mark.parametrize(
    "timed_on",
    [lambda n, m: [n % m + 1], lambda n, m: [n % m + 1, (n * 7) % m + 1], lambda n, m: range(1, m + 1)],
    ids=["one machine each", "two", "all"],
)
def test_a_thousand_entries_of_twenty_machines_are_half_a_megabyte(timed_on):
    text = write_page(board_fakes.board(entries=1000, machine_count=20, timed_on=timed_on))
    assert len(rows(text)) == 1000
    assert len(text.encode()) < 500_000
