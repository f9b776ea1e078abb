"""The command line: light, helpful, with stable exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import COMMANDS, cli, doctor_command

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "datasets", "onnxruntime", "onnx", "accelerate", "optimum", "scipy", "pandas")


def loaded_by(words: list[str], cwd: Path) -> set[str]:
    """Which modules a command leaves imported."""
    code = f"import sys; from harness.cli import main_inner; main_inner({words!r}); print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=cwd)
    return set(next(line for line in done.stdout.splitlines() if line.startswith("LOADED")).split()[1:])


def test_help_loads_neither_plugins_nor_pydantic(tmp_path):
    loaded = loaded_by(["--help"], tmp_path)
    assert not loaded & {*HEAVY, "pydantic", "pluggy", "numpy", "rich"}
    assert not [name for name in loaded if name.startswith("harness_")]


@pytest.mark.parametrize("words", [["list"], ["plan", str(ROOT / "suites/quickstart.toml")], ["doctor"]])
def test_light_commands_load_nothing_heavy(words, tmp_path):
    assert not loaded_by(words, tmp_path) & set(HEAVY)


def test_reporting_loads_nothing_heavy(project):
    project.harness("run", "toys.toml")
    code = "import sys; from harness.cli import main_inner; main_inner(['report', 'reports/toys.records.jsonl']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=project.folder,
        env=project.environment,
    )
    assert not set(done.stdout.split()) & set(HEAVY)


@pytest.mark.parametrize("name", ["", "cache", "new", "plugin"])
def test_no_summary_of_a_command_is_cut_off(name):
    said = CliRunner().invoke(cli, [*name.split(), "--help"], terminal_width=80).output
    assert "..." not in said.partition("Commands:")[2]


@pytest.mark.parametrize(
    "name", [*COMMANDS, "cache ls", "cache verify", "cache gc", "new suite", "plugin new", "plugin check", ""]
)
def test_every_help_has_an_example(name, tmp_path):
    words = [*name.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert re.search(r"Examples?:\n\s+.*harness ", done.stdout), done.stdout


def test_an_unknown_command_is_2_with_a_suggestion(project):
    said = project.harness("rnu", code=2)
    assert "no command 'rnu'. Did you mean 'run'?" in said.err


def test_a_suite_that_is_not_there_is_2(project):
    said = project.harness("run", "toyz.toml", code=2)
    assert "toyz.toml" in said.err
    assert "toys.toml" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('use = "toy"\nbias', 'use = "toi"\nbias'), r"toys.toml:12:7: models.biased.use: 'toi' is not a known student. Did you mean 'toy'\?"),
        (("bias = 0.25", "bais = 0.25"), r"toys.toml:13:1: models.biased.bais: .*Did you mean 'bias'\?"),
        (("bias = 0.25", "bias = 'x'"), r"toys.toml:13:8: models.biased.bias: expected a number, got 'x' \(string\)"),
        (("[matrix]", "[matrix]\n[[matrix.exclude]]\nmodel = 'plain'\nseed = 9\n[matrix.sets]\n[matrix2]"), "toys.toml:"),
        (("[task]", "[taks]"), r"taks: .*Did you mean 'task'\?"),
    ],
)  # fmt: skip
def test_bad_suites_are_2_with_place_value_and_remedy_before_anything_runs(project, change, said):
    text = (project.folder / "toys.toml").read_text()
    assert change[0] in text
    project.write(text.replace(*change))
    done = project.harness("run", "toys.toml", code=2)
    assert re.search(said, done.err), done.err
    assert "Traceback" not in done.err
    assert project.ran == []


def test_missing_data_is_found_before_training(project):
    text = (
        (project.folder / "toys.toml")
        .read_text()
        .replace('use = "toy"\n[models.plain]', 'use = "toy"\nsource = "gone.jsonl"\n[models.plain]')
    )
    project.write(text)
    planned = project.harness("plan", "toys.toml", code=2)
    assert "missing  data 'gone.jsonl' is not here. To provide it: (1) put it at" in planned.out
    done = project.harness("run", "toys.toml", code=2)
    assert "data 'gone.jsonl' is not here" in done.err
    assert project.ran == []


def test_plan_executes_nothing_and_speaks_json(project):
    said = project.harness("plan", "toys.toml", "--json")
    plan = json.loads(said.out)
    assert len(plan["cells"]) == 8
    assert len(plan["stages"]) == 25
    assert not (project.folder / ".harness").exists()
    assert "nothing was executed" in project.harness("plan", "toys.toml", "--cells").out


def test_the_estimate_comes_from_history(project):
    assert "no estimate" in project.harness("plan", "toys.toml").out
    project.harness("run", "toys.toml")
    assert "to run: nothing" in project.harness("plan", "toys.toml").out
    assert re.search(
        r"about .* of work and \d+ MiB", project.harness("plan", "toys.toml", "--set", "matrix.seed=[7]").out
    )


def test_a_new_suite_for_own_data_runs_its_plan(project):
    rows = "".join(f"хорошо {n},good\nплохо {n},bad\n" for n in range(40))
    (project.folder / "отзывы.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    (project.folder / "broken.csv").write_text("text,label\nхорошо,good,лишнее\n", encoding="utf-8")
    assert (
        "broken.csv:2: 3 cells"
        in project.harness("new", "suite", "--task", "sentiment", "--data", "broken.csv", code=2).err
    )
    assert not (project.folder / "suites").exists()
    said = project.harness("new", "suite", "--task", "sentiment", "--data", "отзывы.csv")
    path = said.out.strip()
    assert "nothing was executed" in project.harness("plan", path).out
    assert (
        "exists already" in project.harness("new", "suite", "--task", "sentiment", "--data", "отзывы.csv", code=2).err
    )
    assert "is not here" in project.harness("new", "suite", "--task", "sentiment", "--data", "gone.csv", code=2).err


def test_a_new_suite_for_a_corpus_of_entities(project):
    lines = "".join(
        f"{word} {tag}\n" for word, tag in (("Anna", "B-PER"), ("lives", "O"), ("in", "O"), ("Tver", "B-LOC"))
    )
    (project.folder / "corpus.conll").write_text("\n".join(lines.replace("Anna", f"Anna{n}") for n in range(40)))
    path = project.harness("new", "suite", "--task", "ner", "--data", "corpus.conll").out.strip()
    text = (project.folder / path).read_text()
    assert 'metric = "f1"' in text
    assert text.count("lowercase = false") == 3
    assert '# critical = ["PER"]' in text
    assert "nothing was executed" in project.harness("plan", path).out
    assert "PER" in project.harness("list", "tasks", "ner", "--source", "corpus.conll").out


def test_doctor_says_what_is_wrong(project):
    assert "components registered" in project.harness("doctor").out
    broken = type(project)(project.folder)
    environment = {**broken.environment, "HARNESS_DATA_DIR": "/no/such/folder"}
    done = subprocess.run(
        [sys.executable, "-m", "harness", "doctor", "--json"],
        capture_output=True,
        text=True,
        cwd=project.folder,
        env=environment,
    )
    assert done.returncode == 1
    assert any(check["state"] == "problem" for check in json.loads(done.stdout)["checks"])


def test_a_store_that_cannot_be_one_is_said_by_doctor_and_run(project):
    assert "renames are whole" in project.harness("doctor").out
    assert not (project.folder / ".harness").exists()
    (project.folder / "file").write_text("")
    there = type(project)(project.folder, {"HARNESS_STORE": "file"})
    assert "file is no folder; set HARNESS_STORE to another" in there.harness("doctor", code=1).out
    refused = there.harness("run", "toys.toml", code=3).err
    assert "the store file cannot be a folder: " in refused
    assert "Set HARNESS_STORE to another" in refused


def test_doctor_tries_the_file_system_of_the_store(monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(doctor_command, "what_is_wrong", lambda *_: "a renamed folder is a copy")
    found = doctor_command._disk()
    assert found["state"] == "problem"
    assert "a renamed folder is a copy. Needed: a file system that" in found["text"]
    assert list(tmp_path.iterdir()) == []


def test_the_default_suite_is_found_from_any_folder(tmp_path):
    done = subprocess.run([sys.executable, "-m", "harness", "plan"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Quickstart" in done.stdout
