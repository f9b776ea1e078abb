"""Records of strangers on their whole way through `harness leaderboard`: to the terminal, markdown, CSV, JSON, the page."""

from __future__ import annotations

import csv
import io
import json
import os
import re

import leaderboard_fakes as fakes
import pytest
from chromium import MISSING, browser
from hostile_payloads import LONG, payloads
from page_watch import counter, strange

from harness import plugins
from harness.cli import main_inner
from harness.plain import plain

POLICY = re.compile(r"<meta http-equiv=Content-Security-Policy[^>]*>")
UNSEEN = {chr(code) for code in (*range(9), *range(11, 32), 127, 0x9B, 0x202E, 0x200B, 0x2066, 0xFEFF)}


def hostile_record(text):
    """A record with the text wherever the schema allows words: the cells of a teacher, a student and one that failed."""
    name = plain(text, longest=150)  # what is a name may have no control characters
    run = fakes.run(
        cpu=text,
        command=text,
        suite={"name": "made-up", "title": text, "text": text, "set": [text]},
        data={"origin": text, "labels": [name, "other"]},
        versions={name: text, "torch": text},
        plugins=[text],
        anchor={"model": "teacher", "compress": "none", "note": name},
    )
    run["machine"]["identity"] |= {"system": text, "flags": [text], "gpus": [text]}
    words = {"student": name, "distil": [name], "teachers": [[name]], "reason": text, "unmeasured": text, "retry": text}
    words["axes"] = {"note": name}
    found = [
        fakes.cell("teacher", key="score-1", **words),
        fakes.cell(name, share=0.7, key="score-2", **words),
        fakes.cell(name, "strange", share=0.6, key="score-3", **words | {"compress": [{"use": name, "seconds": 1.0}]}),
        fakes.cell(name, "onnx", key="score-4", **words | {"status": "failed", "failed_stage": name}),
    ]
    measurement, found = fakes.timed(found, {(name, "none"): 2.0, (name, "strange"): 1.0})
    return run, measurement, *found


@pytest.fixture(scope="module")
def server():
    with counter() as found:
        yield found


@pytest.fixture(scope="module")
def texts(server):
    return payloads(server.url)


@pytest.fixture(scope="module")
def made(texts, tmp_path_factory):
    """What the command leaves and says when it reads a record per payload, named by it, and some that are no records."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, text in enumerate(texts):
        name = text.encode("utf-8", "ignore").decode().replace("/", "∕").replace("\0", "")[:80]
        fakes.write(folder / "in" / f"{name}{number}.records.jsonl", *hostile_record(text))
        (folder / "in" / f"{number}.records.jsonl").write_text(text.encode("utf-8", "replace").decode())
    for number, text in enumerate(texts[::4]):
        run, *others = hostile_record(text)
        refused = run | {"commit": {"sha": text, "dirty": False}, "suite": run["suite"] | {"name": text}}
        fakes.write(folder / "in" / f"{number}.refused.records.jsonl", refused, *others)
    (folder / "in" / f"{number}.kind.records.jsonl").write_text(
        json.dumps({"schema": 1, "kind": texts[0], texts[1]: texts[2]})
    )
    fakes.write(folder / "in" / "long.records.jsonl", *hostile_record(LONG))
    raw = os.fsencode(folder / "in") + b"/\xff<script>window.pwned=1</script>\x1b[2J.records.jsonl".replace(b"/", b"-")
    fakes.write(folder / "in" / "raw.records.jsonl", *hostile_record("raw"))
    os.replace(os.fsencode(folder / "in" / "raw.records.jsonl"), raw)  # noqa: PTH105 a name that is no text
    said, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "load_registry", lambda *_, **__: fakes.REGISTRY)
        patch.setattr("sys.stdout", said)
        patch.setattr("sys.stderr", error)
        code = main_inner(["leaderboard", str(folder / "in"), "--out", str(folder / "out"), "--title", texts[0]])
    assert code == 0, error.getvalue()
    return {path.suffix: path.read_text(encoding="utf-8") for path in (folder / "out").iterdir()} | {
        "said": said.getvalue() + error.getvalue()
    }


def test_most_of_them_stand_on_the_board(made):
    """Or the tests below would say nothing."""
    board = json.loads(made[".json"])
    assert len(board["classes"]) > 90
    assert sum(len(one["entries"]) for one in board["classes"]) > 200


def test_the_terminal_gets_lines_and_nothing_else(made):
    assert made["said"]
    assert not set(made["said"]) & UNSEEN


def test_no_cell_of_the_csv_is_a_formula(made):
    table = list(csv.reader(io.StringIO(made[".csv"])))
    assert len(table) > 200
    assert len({len(line) for line in table}) == 1
    numbers = re.compile(r"[+-]?\d[\d.e+-]*")
    assert [
        cell for line in table for cell in line if cell.startswith(("=", "+", "-", "@")) and not numbers.fullmatch(cell)
    ] == []
    assert not set(made[".csv"]) & UNSEEN


def test_the_markdown_has_no_markup_of_theirs(made, server):
    text = made[".md"]
    own = re.sub(r"`[^`\n]*`", "", text)
    assert re.findall(r"(?<!\\)<[a-zA-Z/!?]", own) == []
    targets = re.findall(r"(?<!\\)\]\(([^)\s]*)", own)
    assert targets
    assert [target for target in targets if not re.match(r"#|(\.\./)*in/[\w%.~-]+$", target)] == []
    assert not set(text) & UNSEEN
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_the_json_is_json(made):
    json.loads(made[".json"], parse_constant=pytest.fail)


def test_every_payload_is_shown(made, texts):
    board = json.loads(made[".json"])
    labels = {plain(entry["label"]) for class_ in board["classes"] for entry in class_["entries"]}
    refused = " ".join(plain(one["row"]) + plain(one["reason"]) for one in board["refused"])
    whole = [text for text in texts if not re.search("[\ud800-\udfff]", text)]
    assert [
        text for text in whole if plain(text)[:40] not in refused and not any(plain(text)[:40] in x for x in labels)
    ] == []
    assert "half a character" in refused


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@pytest.mark.parametrize("guarded", [True, False], ids=["page", "without its policy"])
def test_nothing_runs_loads_or_becomes_markup(made, server, tmp_path, guarded):
    path = tmp_path / "leaderboard.html"
    path.write_text(made[".html"] if guarded else POLICY.sub("", made[".html"]), encoding="utf-8")
    with browser() as window:
        window.open(path.as_uri())
        window.wait("return !document.getElementById('filters').hidden")
        assert strange(window) == []
    assert server.hits == []
