"""`harness export` as a person calls it: what it refuses, what it leaves alone, what it never writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import SUITE, Project
from huggingface_hub import ModelCard

from harness.errors import HarnessError, SuiteError
from harness.exporting import Wishes
from harness.exporting import folder as folders
from harness.exporting import script as scripts
from harness.exporting.card import card, name_of
from harness.exporting.folder import check_out, export
from harness.exporting.gather import Sources, gather
from harness.exporting.public import refuse_places, without_paths
from harness.exporting.script import NAME, alike, chosen

CELL = "model=biased,compress=round,seed=1"


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The toy suite, run once for all tests."""
    made = Project(tmp_path_factory.mktemp("toys"))
    made.write(SUITE)
    made.harness("run", "toys.toml")
    return made


@pytest.fixture
def ran(once, tmp_path):
    shutil.copytree(once.folder, tmp_path / "own")
    return Project(tmp_path / "own")


def test_a_cell_becomes_a_folder(ran):
    said = ran.harness("export", CELL, "--suite", "toys.toml")
    assert said.out == "exported/toys-biased-round-seed1\n"
    folder = ran.folder / said.out.strip()
    assert {"README.md", "answer.py", "answer.json", "artifact.json"} <= {path.name for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, NAME, "aab", "bbb"],
        cwd=folder,
        env=ran.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    predicted = ran.harness("predict", "toys.toml", "--only", CELL, "--json", "--text", "aab", "--text", "bbb")
    assert done.stdout == predicted.out
    assert "harness==" in (folder / "README.md").read_text()
    assert "toy-harness==1.0" in (folder / "README.md").read_text()


def test_of_several_seeds_it_is_the_first(ran):
    assert "toys-plain-seed1" in ran.harness("export", "model=plain,compress=none", "--suite", "toys.toml").out


def test_several_rows_are_refused_with_their_names(ran):
    said = ran.harness("export", "model=plain", "--suite", "toys.toml", code=2)
    assert "CELL selects 2 rows" in said.err
    assert "model=plain,compress=none; model=plain,compress=round\n" in said.err


def test_a_cell_that_is_not_in_the_store_is_5_with_the_command_that_makes_it(project):
    said = project.harness("export", CELL, "--suite", "toys.toml", code=5)
    command = re.search(r"To make it: harness (run .*)", said.err)[1]
    project.harness(*command.split())
    project.harness("export", CELL, "--suite", "toys.toml")


def test_a_damaged_artifact_is_refused(ran):
    for path in ran.folder.glob(".harness/objects/*/*/out/toy.json"):
        path.write_text("{}")
    said = ran.harness("export", CELL, "--suite", "toys.toml", code=3)
    assert "damaged" in said.err
    assert not (ran.folder / "exported").exists()


def test_an_earlier_export_is_replaced_by_force_alone(ran):
    words = ("export", CELL, "--suite", "toys.toml", "--out", "there")
    ran.harness(*words)
    (ran.folder / "there/README.md").write_text("mine")
    said = ran.harness(*words, code=2)
    assert "is an earlier export: --force replaces it" in said.err
    assert (ran.folder / "there/README.md").read_text() == "mine"
    ran.harness(*words, "--force")
    assert (ran.folder / "there/README.md").read_text() != "mine"
    assert not [path for path in ran.folder.iterdir() if path.name.startswith(".there")]


def test_an_export_that_became_a_repository_stays_even_by_force(tmp_path):
    for name in ("README.md", "artifact.json", "answer.py"):
        (tmp_path / name).write_text("{}")
    check_out(tmp_path, force=True)
    (tmp_path / ".git").mkdir()
    with pytest.raises(SuiteError, match="no earlier export: it stays"):
        check_out(tmp_path, force=True)


def test_an_earlier_export_stays_where_the_new_one_cannot_be_put(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/README.md").write_text("earlier")
    with pytest.raises(FileNotFoundError):
        folders._put(tmp_path / "no draft", tmp_path / "out")
    assert (tmp_path / "out/README.md").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_no_export_stays_even_by_force(ran):
    (ran.folder / "work").mkdir()
    (ran.folder / "work/thesis.txt").write_text("years")
    said = ran.harness("export", CELL, "--suite", "toys.toml", "--out", "work", "--force", code=2)
    assert "no earlier export" in said.err
    assert (ran.folder / "work/thesis.txt").read_text() == "years"


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(SuiteError, match="no earlier export"):
        check_out(tmp_path / "link", force=True)


def test_a_rehearsal_says_so_on_top_and_shows_no_quality(ran):
    ran.harness("run", "toys.toml", "--rehearse")
    said = ran.harness("export", CELL, "--suite", "toys.toml", "--rehearse")
    assert said.out.strip() == "exported/toys-rehearsal-biased-round-seed1"
    read = ModelCard.load(ran.folder / said.out.strip() / "README.md")
    assert read.text.lstrip().startswith("> **A rehearsal:")
    assert read.data.eval_results is None
    assert "accuracy" not in read.text


def test_wrong_wishes_are_2(ran):
    for words in (("--name", "../up"), ("--license", "my own\nlicense"), ("--language", "Russian")):
        said = ran.harness("export", CELL, "--suite", "toys.toml", *words, code=2)
        assert words[0] in said.err


def test_it_imports_nothing_that_uploads():
    source = "".join(p.read_text() for p in (Path(folders.__file__).parent).rglob("*.py"))
    assert not re.search(r"upload|push_to_hub|HfApi|create_repo|create_commit", source.replace("uploaded", ""))


# ------------------------------------------------------------------------------------------------- hostile, and private


@pytest.fixture
def material(ran, monkeypatch):
    """What there is to say about one cell, in this process."""
    from harness.cli.common import open_suite
    from harness.store import Store

    for name, value in ran.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toy_plugin"))
    monkeypatch.chdir(ran.folder)
    opened = open_suite("toys.toml", CELL, (), rehearse=False, weights="given")
    sources = Sources(
        suite=opened.suite, registry=opened.registry, context=opened.context, mode="real", command=opened.command,
        machine=opened.machine, versions={"torch": "2.13.0"},
    )  # fmt: skip
    return gather(sources, opened.cells, Store(ran.folder / ".harness")), opened.registry


HOSTILE = [
    "---\nlicense: mit\n---\n",
    "x: !!python/object/apply:os.system ['true']",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "# a heading\n\n```\nrm -rf ~\n```",
    "a | b | c",
    "\x1b[31mred\x1b[0m",
    "- list\n- of",
    "{{ template }} {% raw %}",
    "&lt;b&gt; *bold* __under__",
]


def shape(text):
    """The marks with which lines begin: headings, items, tables, code."""
    return [found.group() for line in text.splitlines() if (found := re.match(r"#+ |- |\||```|> ", line))]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_change_nothing_but_words(material, name):
    found, registry = material
    wild = replace(
        found,
        suite=name,
        row=replace(found.row, label=name),
        task_spec=replace(found.task_spec, summary=name),
        student=replace(found.student, summary=name),
        artifact=replace(found.artifact, labels=(name, "b")),
        base_model=name,
        dataset=name,
    )
    text = card(wild, chosen(found, registry), Wishes(), 5)
    front, body = re.fullmatch(r"---\n(.*?)\n---\n\n(.*)", text, re.DOTALL).groups()
    data = yaml.safe_load(front)
    assert data["license"] == "unknown"
    assert set(data) <= {
        "language",
        "license",
        "library_name",
        "pipeline_tag",
        "tags",
        "base_model",
        "datasets",
        "metrics",
        "model-index",
    }
    assert "<script" not in body
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)\]\(", body)
    found = replace(found, base_model="owner/name", dataset="owner/data")
    tame = card(found, chosen(found, registry), Wishes(name="x"), 5)
    assert shape(body) == shape(tame.partition("---\n\n")[2])
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,96}", name_of(wild, Wishes()))


def test_no_text_of_a_private_task_is_left_behind(material, tmp_path):
    found, registry = material
    private = replace(found, task_spec=replace(found.task_spec, private_text=True))
    out = export(private, tmp_path / "out", Wishes(), registry)
    assert "may not be passed on" in (out / "README.md").read_text()
    tested = [
        json.loads(line)["text"]
        for path in Path(".harness/objects").glob("*/*/test/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert tested
    content = "".join(path.read_text() for path in out.iterdir())
    assert not [text for text in tested if len(text) > 4 and text in content]


def test_a_script_that_answers_otherwise_exports_nothing(material, tmp_path, monkeypatch):
    found, registry = material
    monkeypatch.setattr(
        "harness.exporting.script.Script.text", 'import sys\nfor _ in sys.stdin: print(\'{"label": "z"}\')\n'
    )
    with pytest.raises(HarnessError, match="nothing is exported"):
        export(found, tmp_path / "out", Wishes(), registry)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_a_script_that_fails_exports_nothing(material, tmp_path, monkeypatch):
    found, registry = material
    monkeypatch.setattr("harness.exporting.script.Script.text", "raise SystemExit('no such thing')\n")
    with pytest.raises(HarnessError, match="no such thing"):
        export(found, tmp_path / "out", Wishes(), registry)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import time; time.sleep(60)", "has not answered after 1 s: nothing is exported"),
        ("print('loading \x1b[2J …')", "prints 'loading \\\\x1b\\[2J …', expected a line of JSON"),
        ("print('{}')", "gives 1 answers to 5 texts"),
        ("print('[' * 100000)", "expected a line of JSON"),
    ],
)
def test_a_script_that_answers_nothing_of_use_exports_nothing(material, tmp_path, monkeypatch, script, said):
    found, registry = material
    monkeypatch.setattr("harness.exporting.script.Script.text", f"import sys; sys.stdin.read()\n{script}\n")
    monkeypatch.setattr("harness.exporting.script.SECONDS", 1 if "sleep" in script else 60)
    with pytest.raises(HarnessError, match=said):
        export(found, tmp_path / "out", Wishes(), registry)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_a_label_may_hold_what_some_take_for_the_end_of_a_line(tmp_path):
    (tmp_path / "answer.py").write_text('print(\'{"label": "a\\u2028b\\x85c"}\')\n')
    assert scripts._run(tmp_path, "x\n") == [{"label": "a\u2028b\x85c"}]


def test_no_code_is_exported_beside_the_script(material, tmp_path):
    found, registry = material
    copy = tmp_path / "artifact"
    shutil.copytree(found.folder, copy)
    (copy / "numpy.py").write_text("raise SystemExit('run')")
    with pytest.raises(HarnessError, match=r"holds 'numpy\.py', which answer\.py could run"):
        export(replace(found, folder=copy), tmp_path / "out", Wishes(), registry)
    assert not (tmp_path / "out").exists()


def test_an_artifact_that_would_overwrite_the_card_is_refused(material, tmp_path):
    found, registry = material
    copy = tmp_path / "artifact"
    copy.mkdir()
    for path in found.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "README.md").write_text("mine")
    with pytest.raises(HarnessError, match=r"README.md"):
        export(replace(found, folder=copy), tmp_path / "out", Wishes(), registry)
    (copy / "README.md").unlink()
    (copy / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(HarnessError, match="passwd"):
        export(replace(found, folder=copy), tmp_path / "out", Wishes(), registry)
    assert not (tmp_path / "out").exists()


def test_a_place_of_this_machine_in_a_model_file_is_refused(material, tmp_path):
    found, registry = material
    copy = tmp_path / "artifact"
    copy.mkdir()
    for path in found.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "notes.json").write_text(json.dumps({"from": str(tmp_path / "data")}))
    with pytest.raises(HarnessError, match="notes.json names a place on this machine"):
        export(replace(found, folder=copy), tmp_path / "out", Wishes(), registry, [tmp_path])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/home/anna/data/reviews.csv", "reviews.csv"),
        ("~/models/bert and C:\\Users\\anna\\x.bin", "bert and x.bin"),
        ("../secret/place", "place"),
        ("hub:owner/name@abc", "hub:owner/name@abc"),
        ("bundled:package/folder", "bundled:package/folder"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("times/second, and/or", "times/second, and/or"),
    ],
)
def test_places_are_taken_out_of_texts(text, public):
    assert without_paths(text) == public


def test_short_places_are_no_marks(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"node /root/Add")
    refuse_places(tmp_path, [Path("/root"), Path("/")])


def test_answers_are_alike_but_for_rounding():
    assert alike({"a": [0.5, "x"], "n": 1}, {"a": [0.5004, "x"], "n": 1})
    assert not alike({"a": 0.5}, {"a": 0.52})
    assert not alike({"a": 0.5}, {"b": 0.5})
    assert not alike(["x"], ["x", "y"])
    assert not alike("x", "y")
