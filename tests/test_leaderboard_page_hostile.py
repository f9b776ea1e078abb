"""Nothing that a record says runs, loads, or becomes a part of the page: watched in a real browser."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import board_fakes
import pytest
from chromium import MISSING, browser
from hostile_payloads import LONG, PAYLOADS, payloads
from page_watch import counter, strange

from harness.leaderboard import page_html
from harness.leaderboard.page import write_page
from harness.leaderboard.page_html import file_link
from harness.reports.escape import plain
from harness.reports.model import Absent
from harness.statistics import Interval

needs_browser = pytest.mark.skipif(bool(MISSING), reason=MISSING)
POLICY = re.compile(r"<meta http-equiv=Content-Security-Policy[^>]*>")


@pytest.fixture(scope="module")
def window():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def server():
    with counter() as found:
        yield found


@pytest.fixture(autouse=True)
def forgotten(server):
    server.hits.clear()


def hostile_board(texts):
    """A class per payload, which stands in every text of it; those of the board as a whole take turns."""
    turns = itertools.cycle(texts)
    made = board_fakes.small()
    poisoned = board_fakes.poisoned(made, lambda: next(turns))
    classes = []
    for number, text in enumerate(texts):
        class_ = board_fakes.poisoned(made.classes[0], lambda text=text: text)
        entries = tuple(replace(entry, id=f"{entry.id}-{number}") for entry in class_.entries[:3])
        classes.append(replace(class_, id=f"c{number}", anchor=entries[0].id, entries=entries, task=f"{text} {number}"))
    records = tuple(
        replace(poisoned.evidence[0], id=f"r{n}", file=t, command=t, machine=f"m{n}") for n, t in enumerate(texts)
    )
    machines = tuple(replace(poisoned.machines[0], id=f"m{n}", name=t) for n, t in enumerate(texts))
    refused = tuple(replace(poisoned.refused[0], file=t, row=t, reason=t) for t in texts)
    return replace(
        poisoned,
        classes=tuple(classes),
        evidence=poisoned.evidence + records,
        machines=poisoned.machines + machines,
        refused=refused,
        warnings=tuple(texts),
    )


def shown(window, tmp_path, text):
    path = tmp_path / "board.html"
    path.write_text(text, encoding="utf-8")
    window.open(path.as_uri())
    return path.as_uri()


def everything(window):
    """Use whatever the page has to be used."""
    window.run("""
      for (const summary of document.querySelectorAll("summary")) summary.click();
      for (const button of [...document.querySelectorAll("thead button")].slice(0, 16)) { button.click(); button.click(); }
      const form = document.getElementById("filters");
      for (const field of form.elements) for (const option of [...(field.options ?? [])].slice(0, 20)) {
        field.value = option.value; field.dispatchEvent(new Event("input", { bubbles: true }));
      }
      for (const link of [...document.querySelectorAll("svg a")].slice(0, 300)) {
        link.dispatchEvent(new FocusEvent("focusin", { bubbles: true }));
        link.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
      }
      for (const element of [...document.querySelectorAll("body *")].slice(0, 3000))
        for (const kind of ["mouseover", "focus", "click"])
          if (!element.matches("a, button, select, input, summary")) element.dispatchEvent(new MouseEvent(kind));
      document.getElementById("theme").click();
      form.reset();
    """)


@needs_browser
@pytest.mark.parametrize("guarded", [True, False], ids=["page", "without its policy"])
def test_no_payload_runs_loads_or_becomes_markup(guarded, window, server, tmp_path):
    """Escaping alone has to hold: the policy is a second wall."""
    text = write_page(hostile_board(payloads(server.url)))
    shown(window, tmp_path, text if guarded else POLICY.sub("", text))
    assert strange(window) == []
    everything(window)
    assert strange(window) == []
    assert server.hits == []


@needs_browser
def test_every_payload_stands_on_the_page_as_text(window, server, tmp_path):
    texts = payloads(server.url)
    shown(window, tmp_path, write_page(hostile_board(texts)))
    found = window.run("""return [...document.querySelectorAll("section.class")].map((section) => ({
      title: section.querySelector("h2").textContent,
      labels: [...section.querySelectorAll("table.board tbody th")].map((th) => th.firstChild?.data ?? ""),
      families: [...section.querySelectorAll("table.board tbody td:nth-child(13)")].map((td) => td.textContent),
      why: section.querySelector(".apart").textContent }))""")
    assert len(found) == 100
    for text, section in zip(texts, found, strict=True):
        expected = plain(text)
        assert section["title"] == section["why"] == expected
        assert all(
            label in {expected, ""} if not expected else label in {expected, "anchor"} for label in section["labels"]
        )
        assert set(section["families"]) == {expected}
    for place in ("#refused td:last-child", ".warnings li"):
        said = window.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", place)
        assert said == [plain(text) for text in texts]


@needs_browser
def test_the_address_is_as_hostile_as_a_record(window, server, tmp_path):
    address = shown(window, tmp_path, write_page(board_fakes.small()))
    for text in payloads(server.url)[::4]:
        window.run(
            "const q = new URLSearchParams(Object.fromEntries(['q','sort','class','family','front','machine','trained','x'].map((k) => [k, arguments[1]])));"
            "location.replace(arguments[0] + '?' + q + '#' + encodeURIComponent(arguments[1]))",
            address,
            text.encode("utf-8", "replace").decode(),
        )
        window.wait("return document.readyState === 'complete' && !document.getElementById('filters').hidden")
    assert strange(window) == []
    assert server.hits == []


@needs_browser
@pytest.mark.parametrize("title", [t for t in PAYLOADS if "</" in t][:12])
def test_the_title_ends_where_it_ends(title, window, server, tmp_path):
    shown(window, tmp_path, write_page(replace(board_fakes.small(), title=title)))
    assert strange(window) == []
    assert window.run("return document.title") == plain(title)


@needs_browser
def test_a_page_that_escapes_nothing_is_found_out(window, server, tmp_path, monkeypatch):
    """The fault that the tests above are for, planted: without its policy the page runs what records say."""
    monkeypatch.setattr(page_html.html, "escape", lambda text, quote=True: text)
    text = write_page(hostile_board(payloads(server.url)[15:30]))
    shown(window, tmp_path, POLICY.sub("", text))
    window.wait("return 'pwned' in window")
    assert len(strange(window)) > 20
    assert server.hits
    server.hits.clear()
    shown(window, tmp_path, text)
    assert strange(window), "with its policy nothing runs, and what does not belong there is seen all the same"
    assert not window.run("return 'pwned' in window")
    assert server.hits == []


@needs_browser
def test_a_page_that_escapes_no_quotes_is_found_out(window, server, tmp_path, monkeypatch):
    monkeypatch.setattr(
        page_html.html, "escape", lambda text, quote=True: text.replace("&", "&amp;").replace("<", "&lt;")
    )
    text = write_page(hostile_board([t for t in payloads(server.url) if t.startswith('"')]))
    shown(window, tmp_path, POLICY.sub("", text))
    assert any("onmouseover" in said for said in strange(window))


# --------------------------------------------------------------------------------------------------------- without one


def test_what_cannot_be_written_is_left_out():
    text = write_page(hostile_board(PAYLOADS))
    text.encode("utf-8")  # no lone surrogate is left
    assert not set(text) & set(map(chr, [*range(9), *range(11, 32), 127, 0x202E, 0x200B, 0xFEFF]))


def test_a_text_of_a_megabyte_is_cut_short():
    text = write_page(board_fakes.poisoned(board_fakes.small(), lambda: LONG))
    assert "A" * 401 not in text
    assert len(text) < 400_000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 10.0**15, -3.0])
def test_numbers_that_no_model_has_break_nothing(value):
    made = board_fakes.small()
    wild = Interval(value, value, value)
    entries = tuple(
        replace(
            entry,
            scores=dict.fromkeys(entry.scores, wild),
            times_smaller=value,
            model_mib=value,
            parameters=value,
            request=entry.request and replace(entry.request, value=value, low=value, high=value),
            timed=tuple(replace(timed, request=wild, forward=wild, request_ms=wild) for timed in entry.timed),
        )
        for entry in made.classes[0].entries
    )
    mixed = (*entries[:3], *made.classes[0].entries[3:])
    for found in (entries, mixed):
        text = write_page(replace(made, classes=(replace(made.classes[0], entries=found),)))
        assert not re.search(r"\b(nan|inf|NaN|Infinity)\b", text.split("<main>")[1].split("<script>")[0])
        assert not re.search(r"\d{20}", text.split("<main>")[1].split("id=evidence")[0])


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("results/a.jsonl", "./results/a.jsonl"),
        ("../results/a b.json", "./../results/a%20b.json"),
        ("javascript:x.json", "./javascript%3Ax.json"),
        ("a/../../b.jsonl", "./../b.jsonl"),
        ("x?y#z.jsonl", "./x%3Fy%23z.jsonl"),
    ],
)
def test_a_records_file_is_linked_to_as_a_file(path, target):
    assert f'href="{target}"' in file_link(path)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/x.jsonl",
        "//host/x.jsonl",
        "x\\y.jsonl",
        "page.html",
        "x.svg",
        "x\x00.jsonl",
        "https://x.org/",
        "",
    ],
)
def test_what_is_no_records_file_beside_the_page_is_no_link(path):
    assert "href" not in file_link(path)


def test_ids_that_are_no_names_become_some():
    made = board_fakes.small()
    class_ = made.classes[0]
    entries = tuple(replace(entry, id=text) for entry, text in zip(class_.entries, PAYLOADS, strict=False))
    text = write_page(replace(made, classes=(replace(class_, id='"><script>', entries=entries),)))
    ids = re.findall(r'<(?:tr|section)[^>]* id=("?[^ >]*)', text)
    assert ids
    assert all(re.fullmatch(r"[\w.-]+", id_) for id_ in ids)
    assert len(ids) == len(set(ids))


def test_reasons_of_absence_are_text():
    made = board_fakes.small()
    entry = replace(made.classes[0].entries[1], times_smaller=Absent("<script>1</script>"))
    text = write_page(replace(made, classes=(replace(made.classes[0], entries=(made.classes[0].entries[0], entry)),)))
    assert text.count("<script>") == 1
    assert "&lt;script&gt;1&lt;/script&gt;" in text
