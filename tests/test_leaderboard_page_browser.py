"""A leaderboard's page in use: sorted, filtered, without its script, on a phone, in the dark, by keyboard."""

from __future__ import annotations

import board_fakes
import pytest
from chromium import MISSING, browser

from harness.leaderboard.page import write_page

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

COLUMN = """
const [key, only] = arguments;
const table = document.querySelector("table.board");
let at = 0;
for (const heading of table.tHead.rows[0].cells) { if (heading.dataset.k === key) break; at += heading.colSpan; }
return [...table.querySelectorAll("tbody > tr")].filter((row) => !only || row.checkVisibility()).map((row) => row.cells[at].textContent);
"""
SET = """
const field = document.querySelector(`[name="${arguments[0]}"]`);
if (field.type === "checkbox") field.checked = arguments[1]; else field.value = arguments[1];
field.dispatchEvent(new Event("input", { bubbles: true }));
"""


@pytest.fixture(scope="module")
def board():
    return board_fakes.board(entries=120, machine_count=4, class_sizes=(0.6, 0.4))


@pytest.fixture(scope="module")
def address(board, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "board.html"
    path.write_text(write_page(board), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def window():
    with browser() as found:
        yield found


@pytest.fixture
def page(window, address):
    window.size(1400, 1000)
    window.command("Emulation.setFocusEmulationEnabled", enabled=True)
    window.open("about:blank")
    window.open(address)
    window.wait("return !document.getElementById('filters').hidden")
    yield window
    assert window.log() == []


def column(page, key, *, shown=True):
    return page.run(COLUMN, key, shown)


def press(page, key):
    page.run("document.querySelector(`table.board th[data-k=${arguments[0]}] button`).click()", key)
    page.wait("return !document.querySelector('tbody[hidden]')")


def numbers(texts):
    return [float(text.replace(",", "").replace("< ", "")) for text in texts if text != "—"]


def search(page):
    return page.run("return location.search")


@pytest.mark.parametrize("key", ["q0", "request", "smaller"])
def test_a_column_of_gains_is_sorted_best_first_then_turned_then_as_before(page, key):
    before = column(page, "entry")
    press(page, key)
    _, *others = column(page, key)
    assert numbers(others) == sorted(numbers(others), reverse=True)
    assert column(page, "entry")[0] == "teacheranchor", "the anchor stays on top"
    press(page, key)
    assert numbers(column(page, key)[1:]) == sorted(numbers(others))
    press(page, key)
    assert column(page, "entry") == before


def test_what_is_absent_is_last_whichever_way_it_is_sorted(page):
    for _ in range(2):
        press(page, "request")
        assert column(page, "request")[-1] == "—"


@pytest.mark.parametrize("key", ["entry", "family", "parameters", "place"])
def test_names_and_counts_are_sorted_smallest_first(page, key):
    press(page, key)
    found = column(page, key)[1:]
    ordered = sorted(found) if key in {"entry", "family"} else sorted(found, key=lambda text: float(text.split("–")[0]))
    assert found == ordered


def test_readers_of_the_screen_hear_how_it_is_sorted(page):
    press(page, "q0")
    sorts = "return [...document.querySelectorAll('th[aria-sort]')].map((th) => [th.dataset.k, th.getAttribute('aria-sort')])"
    assert page.run(sorts) == [["q0", "descending"]] * 2
    press(page, "request")
    assert page.run(sorts) == [["request", "descending"]] * 2


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("family", "lstm", "family"),
        ("trained", "mse", "trained"),
        ("compressed", "onnx-int8", "compressed"),
        ("compressed", "none", "compressed"),
    ],
)
def test_filters_leave_what_they_name(page, board, name, value, key):
    page.run(SET, name, value)
    _, *found = column(page, key)
    assert found
    assert all(value in text.split(" → ") for text in found)
    everywhere = [(e.student, e.distil, e.compressors or ("none",)) for c in board.classes for e in c.entries]
    expected = sum(value in (entry[0], *entry[1], *entry[2]) for entry in everywhere)
    assert page.run("return document.querySelector('output').textContent") == f"{expected} of 120 entries"


def test_the_filter_of_machines_leaves_who_was_timed_there(page, board):
    page.run(SET, "machine", "3")
    expected = sum(any(t.machine == "m3" for t in e.timed) for c in board.classes for e in c.entries)
    assert page.run("return document.querySelector('output').textContent") == f"{expected} of 120 entries"


def test_only_the_front(page):
    page.run(SET, "front", True)
    assert all(column(page, "front")[1:])
    assert len(column(page, "front")) < len(column(page, "front", shown=False))


def test_a_search_finds_all_of_its_words(page):
    page.run(SET, "q", "SRU onnx-int8")
    found = column(page, "entry")[1:]
    assert found
    assert all("sru" in text and "onnx-int8" in text for text in found)


def test_a_class_alone(page, board):
    page.run(SET, "class", f"c-{board.classes[1].id}")
    assert page.run("return [...document.querySelectorAll('section.class')].map((s) => s.checkVisibility())") == [
        False,
        True,
    ]


def test_the_address_keeps_what_was_chosen(page, address):
    page.run(SET, "family", "lstm")
    press(page, "request")
    chosen = column(page, "entry")
    kept = page.run("return location.href")
    assert kept.startswith(address)
    assert "family=lstm" in kept
    page.open("about:blank")
    page.open(kept)
    assert column(page, "entry") == chosen
    assert page.run("return document.querySelector('[name=family]').value") == "lstm"


def test_back_takes_back_and_forward_does_again(page):
    everything = column(page, "entry")
    page.run(SET, "family", "sru")
    page.run(SET, "front", True)
    some = column(page, "entry")
    page.run("history.back()")
    page.wait("return !location.search.includes('front') && !document.querySelector('[name=front]').checked")
    page.run("history.back()")
    page.wait("return location.search === ''")
    page.wait("return document.querySelector('[name=family]').value === ''")
    assert column(page, "entry") == everything
    page.run("history.go(2)")
    page.wait("return document.querySelector('[name=front]').checked")
    assert column(page, "entry") == some


def test_a_long_table_is_in_order_at_once_and_drawn_soon(page, address, tmp_path):
    path = tmp_path / "long.html"
    path.write_text(write_page(board_fakes.board(entries=400, machine_count=4, class_sizes=(1.0,))), encoding="utf-8")
    page.open(path.as_uri())
    at_once = page.run(
        "document.querySelector('table.board th[data-k=q0] button').click();"
        "return [...document.querySelectorAll('table.board tbody > tr')].slice(1).map((row) => row.cells[2].textContent)"
    )
    assert len(at_once) == 399
    assert numbers(at_once) == sorted(numbers(at_once), reverse=True)
    page.wait("return [...document.querySelectorAll('table.board tbody > tr')].every((row) => row.checkVisibility())")


def test_reset_takes_all_back(page):
    before = column(page, "entry")
    page.run(SET, "family", "sru")
    press(page, "q0")
    page.run("document.querySelector('[type=reset]').click()")
    assert column(page, "entry") == before
    assert search(page) == ""


def test_a_link_to_a_row_that_filters_hide_shows_it(page, board):
    hidden = next(e for e in board.classes[0].entries if e.student == "ngram")
    page.run(SET, "family", "sru")
    page.run("location.hash = arguments[0]", f"e-{hidden.id}")
    page.wait("return document.querySelector('tr:target')?.checkVisibility()")


def test_a_link_opens_the_table_of_machines(page):
    page.run("document.querySelector('a[href^=\"#s-\"]').click()")
    page.wait("return document.querySelector('details').open && document.querySelector('tr:target').checkVisibility()")


def test_plots_fade_what_filters_hide(page):
    page.run(SET, "family", "lstm")
    faded = page.run(
        "return [...document.querySelectorAll('figure')].map((f) => f.querySelectorAll('.dots.out').length)"
    )
    assert all(faded)
    page.run(SET, "family", "")
    assert page.run("return [...document.querySelectorAll('.dots.out')].every((p) => !p.getAttribute('d'))")


def test_points_tell_their_names_to_pointer_and_keyboard(page):
    page.run("document.querySelector('svg a').focus()")
    said = page.run("return document.querySelector('.tip:not([hidden])').textContent")
    assert said == page.run("return document.activeElement.getAttribute('aria-label')")
    assert "× faster" in said
    page.run("document.activeElement.blur()")
    page.run("""
      const path = document.querySelector('.dots'), svg = path.ownerSVGElement;
      const [x, y] = path.getAttribute('d').match(/\\d+/g).map(Number), box = svg.getBoundingClientRect(), k = box.width / 560;
      svg.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + x * k, clientY: box.top + y * k, bubbles: true }));
    """)
    assert "× smaller" in page.run("return document.querySelector('.tip:not([hidden])').textContent")


def test_every_control_has_a_name_and_every_table_a_caption(page):
    assert page.run("return [...document.querySelectorAll('input, select')].every((f) => f.labels.length === 1)")
    assert page.run("return [...document.querySelectorAll('table')].every((t) => t.caption?.textContent)")
    assert page.run("return [...document.querySelectorAll('.scroll')].every((d) => d.tabIndex === 0 && d.ariaLabel)")
    assert page.run("return [...document.querySelectorAll('svg')].every((s) => s.ariaLabel)")


def test_dark_follows_the_system_and_the_button(page):
    background = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(background)
    page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = page.run(background)
    assert dark != light
    page.run("document.getElementById('theme').click()")
    assert page.run(background) == light
    page.command("Emulation.setEmulatedMedia", features=[])
    assert page.run(background) == light
    page.run("document.getElementById('theme').click()")
    assert page.run(background) == dark
    page.run("localStorage.clear()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_both_schemes(page, scheme):
    """At least 4.5 : 1, what WCAG AA asks of text, and 3 : 1 for marks in plots."""
    page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    told = page.run("""
      const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const light = (colour) => {
        canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
      const page = getComputedStyle(document.body).backgroundColor;
      const texts = ["body", "caption", "td a", "td:nth-child(4)", ".legend", "svg text"].map((s) => {
        const style = getComputedStyle(document.querySelector(s)); return [s, contrast(s.startsWith("svg") ? style.fill : style.color, page)]; });
      const marks = [...document.querySelectorAll("svg a")].map((a) => ["mark " + a.className.baseVal, contrast(getComputedStyle(a).fill, page)]);
      return [...texts.map((t) => [...t, 4.5]), ...marks.map((m) => [...m, 3])];
    """)
    page.command("Emulation.setEmulatedMedia", features=[])
    assert [(what, found) for what, found, least in told if found < least] == []


@pytest.mark.parametrize("width", [320, 390, 768, 1400])
def test_the_page_never_scrolls_sideways(page, address, width):
    page.size(width, 844)
    page.open(address)
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    assert page.run("return document.querySelector('table.board').closest('.scroll').scrollWidth > 500"), (
        "the table does, in its box"
    )


def test_without_its_script_the_page_says_everything(page, address, board):
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(address)
        assert page.run("return document.getElementById('filters').checkVisibility()") is False
        assert page.run("return document.getElementById('theme').checkVisibility()") is False
        assert len(column(page, "entry")) == len(board.classes[0].entries)
        assert page.run("return document.querySelectorAll('svg title').length") > 10
    finally:
        page.command("Emulation.setScriptExecutionDisabled", value=False)


def test_on_paper_all_is_there_and_nothing_to_press(page):
    page.command("Emulation.setEmulatedMedia", media="print")
    try:
        assert page.run("return document.getElementById('filters').checkVisibility()") is False
        assert page.run("return document.querySelector('.by-machine').checkVisibility({ contentVisibilityAuto: true })")
        box = "const box = document.querySelector('table.board').closest('.scroll'); return box.scrollHeight - box.clientHeight"
        assert page.run(box) <= 1
    finally:
        page.command("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("entries", [100, 1000])
def test_notes_read_from_the_left_whatever_stands_before_them(page, tmp_path, entries):
    path = tmp_path / "notes.html"
    path.write_text(write_page(board_fakes.board(entries=entries, machine_count=4)), encoding="utf-8")
    page.open(path.as_uri())
    assert page.run("return getComputedStyle(document.querySelector('.board td:last-child')).textAlign") in {
        "left",
        "start",
    }
