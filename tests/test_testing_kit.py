"""The ways in which people run the conformance kit: a test file, a pytest option, a command. And its page."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import planted
import pytest
from planted import RUNTIME, STUDENT, compressor

from harness.errors import PluginError, SuiteError
from harness.plugins import build_registry
from harness.testing import checks, sandbox
from harness.testing.catalogue import page
from harness.testing.kit import MODULES

TESTS = Path(__file__).parent
HOOKS = """\
{heavy}
from harness import hookimpl
import planted


@hookimpl
def harness_students():
    yield planted.STUDENT


@hookimpl
def harness_runtimes():
    yield planted.RUNTIME


@hookimpl
def harness_compressors():
    yield planted.compressor("Slow")
    yield planted.compressor("SaysNothing", name="planted-silent")
"""


@pytest.fixture
def place(tmp_path):
    """A folder in which the planted components are installed as a distribution of their own."""
    return installed(tmp_path)


def installed(folder: Path, heavy: str = "") -> Path:
    (folder / "planted_hooks.py").write_text(HOOKS.format(heavy=heavy))
    info = folder / "planted-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nplanted = planted_hooks\n")
    return folder


def python(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(folder), str(TESTS), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_the_command_prints_a_table_and_ends_with_0(place):
    done = python(place, "-m", "harness", "plugin", "check", "planted")
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "passed" in lines["light-import"]
    assert "planted_hooks" in lines["light-import"]
    assert "0 failed" in done.stderr
    assert len(lines) == len(checks("compressor", "planted", build_registry([compressor("Slow"), STUDENT, RUNTIME])))


def test_the_command_ends_with_1_and_json(place):
    done = python(place, "-m", "harness", "plugin", "check", "planted-silent", "--json", code=1)
    said = json.loads(done.stdout)
    assert (said["component"], said["kind"], said["provider"]) == (
        "planted/planted-silent",
        "compressor",
        "planted 1.0",
    )
    assert {check["name"] for check in said["checks"] if check["status"] == "failed"} == {"facts"}
    assert all(set(check) == {"name", "summary", "status", "note", "seconds"} for check in said["checks"])
    assert "(facts)" in done.stderr


def test_formats_that_nobody_makes_are_said_and_counted(tmp_path, capsys, monkeypatch):
    from harness.cli import plugin_check

    registry = build_registry([compressor("Half", consumes=("pytorch",)), STUDENT, RUNTIME])
    monkeypatch.setattr(plugin_check, "load_registry", lambda: registry)
    assert plugin_check.command.main(["planted"], standalone_mode=False) == 0
    said = capsys.readouterr()
    assert "makes a toy of the format 'pytorch' for the head 'sequence'. Formats: 'matrix'" in said.out
    assert re.search(r"planted: 18 checks, 0 failed, \d\d not applicable: read why", said.err)


def test_a_terminal_gets_notes_as_a_column_and_a_program_lines(monkeypatch):
    from harness.cli.plugin_check import _row

    head, note = "parity  failed  ", "answers moved by 0.5 of their spread; the tolerance is 0.01. Mend it"
    assert _row(head, note) == head + note
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    lines = _row(head, note).splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(line[len(head) :] for line in lines) == note
    assert lines[1].startswith(" " * len(head))


def test_the_command_names_what_it_does_not_know(place):
    done = python(place, "-m", "harness", "plugin", "check", "plantet", code=2)
    assert "Did you mean 'planted'?" in done.stderr
    (place / "planted_hooks.py").write_text("1 / 0\n")
    done = python(place, "-m", "harness", "plugin", "check", "planted", code=2)
    assert "ZeroDivisionError: division by zero (planted_hooks, line 1)" in done.stderr
    assert "It may be one of 'planted 1.0 (planted)', which failed to load" in done.stderr
    (place / "planted_hooks.py").write_text(HOOKS.format(heavy=""))
    done = python(place, "-m", "harness", "plugin", "check", "planted", "--kind", "compresor", code=2)
    assert "'compresor' is not a kind" in done.stderr


def test_a_name_of_two_kinds_asks_for_one(place):
    done = python(place, "-m", "harness", "plugin", "check", "matrix", code=2)
    assert "'matrix' is a student and a runtime; say which with --kind" in done.stderr


def test_a_test_file_has_an_id_per_check(place):
    (place / "test_mine.py").write_text(
        "from harness.testing import conformance\ntest_conformance = conformance('compressor', 'planted')\n"
    )
    done = python(place, "-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", "test_mine.py")
    assert "test_mine.py::test_conformance[round-trip] PASSED" in done.stdout
    assert " 0 failed" not in done.stdout
    assert "SKIPPED" not in done.stdout.partition("heads")[0]


def test_the_option_needs_no_test_file_and_fails_with_the_reason(place):
    done = python(
        place, "-m", "pytest", "-p", "no:cacheprovider", "--harness-check", "compressor/planted-silent", code=1
    )
    assert "no `changed`" in done.stdout
    assert "compressor/planted-silent::facts" in done.stdout
    assert "1 failed" in done.stdout


def test_the_option_refuses_what_nobody_provides(place):
    done = python(place, "-m", "pytest", "-p", "no:cacheprovider", "--harness-check", "compressor/nobody", code=4)
    assert "'nobody' is not a known compressor" in done.stderr


def test_a_module_that_imports_torch_is_named(tmp_path):
    done = python(installed(tmp_path, "import torch"), "-m", "harness", "plugin", "check", "planted", code=1)
    assert "planted: 18 checks, 1 failed (light-import)" in done.stderr
    assert "'planted_hooks' imports torch" in done.stdout


def test_pytest_starts_without_the_kit(tmp_path):
    code = "import harness.testing.pytest_plugin, sys; print(*sys.modules)"
    loaded = set(python(tmp_path, "-c", code).stdout.split())
    assert not loaded & {"torch", "numpy", "pydantic", "pluggy.x", "harness.specs", "harness.testing.kit"}


def test_a_component_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "TIMEOUT_S", 1.0)
    registry = build_registry([compressor("Hangs"), STUDENT, RUNTIME])
    found = {check.name: check for check in checks("compressor", "planted", registry)}
    finding = found["consumes"].run(tmp_path)
    assert (finding.status, "still at work after 1 s" in finding.note) == ("failed", True)


def test_a_component_that_raises_is_told_in_a_line_with_its_place(tmp_path):
    registry = build_registry([compressor("Raises"), STUDENT, RUNTIME])
    found = {check.name: check for check in checks("compressor", "planted", registry)}
    line = inspect.getsourcelines(planted.Raises.facts)[1] + 1
    assert found["consumes"].run(tmp_path).note == f"ValueError: no embeddings (planted, line {line})"
    registry = build_registry([compressor("Half"), STUDENT, replace(RUNTIME, factory="planted:RaisingRuntime")])
    found = {check.name: check for check in checks("compressor", "planted", registry)}
    assert re.fullmatch(r"raised KeyError: 'layers' \(planted, line \d+\)", found["consumes"].run(tmp_path).note)


def test_an_import_that_ends_the_process_is_told_and_the_next_component_is_checked(tmp_path):
    registry = build_registry([replace(compressor("Half"), factory="planted_deadly:Half"), STUDENT, RUNTIME])
    found = {check.name: check for check in checks("compressor", "planted", registry)}
    finding = found["consumes"].run(tmp_path)
    assert (finding.status, finding.note) == (
        "failed",
        "the process that imports it ended with exit code 7: last words",
    )
    registry = build_registry([compressor("Half"), STUDENT, RUNTIME])
    sound = {check.name: check for check in checks("compressor", "planted", registry)}
    assert sound["consumes"].run(tmp_path).status == "passed"


def test_unknown_names_and_kinds_are_refused():
    with pytest.raises(PluginError, match="not a known compressor"):
        checks("compressor", "nobody")
    with pytest.raises(SuiteError, match="'colour' is not a kind"):
        checks("colour", "nobody")


def test_a_sound_compressor_still_passes_with_other_params(tmp_path):
    registry = build_registry([compressor("Half"), STUDENT, RUNTIME])
    found = {check.name: check for check in checks("compressor", "planted", registry, {"bits": 8})}
    assert found["parity"].run(tmp_path).status == "passed"
    with pytest.raises(ValueError, match="bits"):
        planted.Described(bits="8")
    broken = {check.name: check for check in checks("compressor", "planted", registry, {"bits": "8"})}
    assert broken["consumes"].run(tmp_path).status == "failed"


def test_the_page_is_that_of_the_checks():
    assert (TESTS.parent / "docs/conformance.md").read_text(encoding="utf-8") == page()


def test_every_check_says_why_in_a_line_and_has_a_name_of_its_own():
    import importlib

    for module in MODULES.values():
        looks = importlib.import_module(module).CHECKS
        assert len({look.name for look in looks}) == len(looks)
        assert all(
            look.summary.endswith(".") and "\n" not in look.summary and "|" not in look.summary for look in looks
        )
