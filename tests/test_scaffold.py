"""`harness plugin new`: what it writes is installed beside the harness, listed, checked, tested and run."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from harness import __version__
from harness.errors import SuiteError
from harness.scaffold.names import LONGEST, PluginName, check_name
from harness.scaffold.writing import KINDS, render, write

ROOT = Path(__file__).parents[1]
NAMES = {kind: f"my-{kind}" for kind in KINDS}
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")


# ---------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["a", "my-int4", "my_int4", "x2", "a" * LONGEST])
def test_names_that_pass(name):
    assert check_name(name, "compressor").name == name


def test_the_package_is_importable():
    assert PluginName("my-int4").package == "my_int4"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", r"the name '' cannot be that of a package: lower-case latin letters"),
        ("My Int4", r"Try 'my-int4'\."),
        ("../evil", r"'\.\./evil' cannot .* Try 'evil'\."),
        ("a/b", "cannot be"),
        ("a\\b", "cannot be"),
        ("/etc/passwd", "cannot be"),
        (".hidden", "cannot be"),
        ("-rf", "cannot be"),
        ("a.b", "cannot be"),
        ("a--b", r"Try 'a-b'\."),
        ("int4-", r"Try 'int4'\."),
        ("4bits", r"cannot be .* Try 'bits'\."),
        ("квант", "cannot be"),
        ("a\nb", r"'a\\nb' cannot be"),
        ("\x1b[31mred", r"'\\x1b\[31mred' cannot be"),
        ("ｆｕｌｌ", "cannot be"),
        ("a" * (LONGEST + 1), "at most 40 are allowed"),
        ("class", "'class' is reserved"),
        ("tests", "'tests' is reserved"),
        ("none", "'none' is reserved"),
        ("json", "is that of a module of Python itself"),
        ("torch", "a module 'torch' is installed already"),
        ("harness", "a module 'harness' is installed already"),
        ("harness-torch", "a module 'harness_torch' is installed already"),
        ("huggingface-hub", "is installed already"),
        ("onnx-int8", "a compressor 'onnx-int8' is installed already .*two of one name exclude each other"),
    ],
)
def test_names_that_do_not(name, said):
    with pytest.raises(SuiteError, match=said):
        check_name(name, "compressor", taken=["onnx-int8"])


# ------------------------------------------------------------------------------------------------------------- the text


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_is_complete(kind):
    texts = render(kind, PluginName("my-own"))
    assert {
        "pyproject.toml",
        "README.md",
        ".gitignore",
        "suite.toml",
        "my_own/plugin.py",
        "tests/test_my_own.py",
    } <= set(texts)
    assert not [path for path in texts if "LICENSE" in path or "__package__" in path or path.startswith(("/", ".."))]
    assert not [path for path, text in texts.items() if "$" in text or not text.endswith("\n")]
    assert f'test_conformance = conformance("{kind}", "my-own")' in texts["tests/test_my_own.py"]
    assert f'dependencies = ["harness>={__version__}"]' in texts["pyproject.toml"]
    assert render(kind, PluginName("my-own")) == texts


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_import_nothing_heavy_and_public_names_only(kind):
    for path, text in render(kind, PluginName("my-own")).items():
        if path.endswith(".py"):
            modules = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
            ours = {module for module in modules if module.partition(".")[0] == "harness"}
            assert ours <= ({"harness", "harness.testing"} if path.startswith("tests/") else {"harness"}), path
        if path.endswith("/plugin.py"):
            assert modules <= {"__future__", "collections.abc", "harness", "pydantic"}


@pytest.mark.parametrize("name", ["a", "zz-top", "a" * 19 + "-" + "b" * 20])
def test_the_code_passes_our_own_linters(name, tmp_path):
    settings = ("--config", str(ROOT / "pyproject.toml"), "--no-cache", ".")
    for kind in KINDS:
        folder = tmp_path / kind
        write(render(kind, PluginName(name)), folder)
        for words in (["check"], ["format", "--check", "--diff"]):
            ruff = subprocess.run(
                [sys.executable, "-m", "ruff", *words, *settings], cwd=folder, capture_output=True, text=True
            )
            assert ruff.returncode == 0, ruff.stdout + ruff.stderr


# -------------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_nothing_is_written_over(what, tmp_path):
    out = tmp_path / "mine"
    if what == "folder":
        out.mkdir()
    elif what == "file":
        out.write_text("kept")
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SuiteError, match="mine exists already, and nothing is written over it; .* --out"):
        write({"a.txt": "new"}, out)
    assert not list(tmp_path.rglob("a.txt"))


def test_a_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SuiteError, match="cannot be written there|exists already"):
        write({"a.txt": "new"}, tmp_path / "file" / "mine")


# ---------------------------------------------------------------------------------------------------------- the command


def run(*words: str, cwd: Path, code: int = 0, python: str = sys.executable, **variables: str):
    """A subprocess as a person would start it, offline; its exit code is checked."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
    done = subprocess.run(
        [python, "-m", *words], cwd=cwd, capture_output=True, text=True, timeout=600,
        env={**kept, "HF_HUB_OFFLINE": "1", **variables},
    )  # fmt: skip
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path):
    said = run("harness", "plugin", "new", "compressor", "my-own", cwd=tmp_path)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert set(said.stdout.split()) == written
    assert "pip install -e my-own && harness plugin check my-own && harness run my-own/suite.toml" in said.stderr
    again = run("harness", "plugin", "new", "compressor", "my-own", cwd=tmp_path, code=2)
    assert "my-own exists already" in again.stderr
    assert "Traceback" not in again.stderr


def test_help_has_an_example_and_nothing_heavy_is_imported(tmp_path):
    assert (
        "Examples:\n    harness plugin new compressor my-int4"
        in run("harness", "plugin", "new", "--help", cwd=tmp_path).stdout
    )
    code = "import sys; from harness.cli import main_inner; main_inner(sys.argv[1:]); print('LOADED', *sys.modules)"
    words = [sys.executable, "-c", code, "plugin", "new", "student", "my-own"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "transformers", "datasets", "onnxruntime", "onnx"}


def test_names_of_installed_components_are_refused(tmp_path):
    said = run("harness", "plugin", "new", "distiller", "kd", cwd=tmp_path, code=2)
    assert "a distiller 'kd' is installed already" in said.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_kind_is_2_and_the_kinds_are_named(tmp_path):
    said = run("harness", "plugin", "new", "kompressor", "mine", cwd=tmp_path, code=2)
    assert all(f"'{kind}'" in said.stderr for kind in KINDS)


# ------------------------------------------------------------------------------------------------- beside the harness


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A package of every kind."""
    folder = tmp_path_factory.mktemp("written")
    for kind, name in NAMES.items():
        write(render(kind, PluginName(name)), folder / kind)
    return folder


@pytest.fixture(scope="module")
def beside(written, tmp_path_factory) -> str:
    """A folder for PYTHONPATH with all of them but the compressor, installed."""
    target = tmp_path_factory.mktemp("beside")
    others = [str(written / kind) for kind in KINDS if kind != "compressor"]
    run("pip", "install", *OFFLINE, "--target", str(target), *others, cwd=written)
    return str(target)


def fresh(folder: Path) -> Path:
    """A new environment that sees what is installed here, the harness among it; its scripts `harness` and `pip` are its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    here = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "beside.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in sorted(here)))
    for name in ("harness", "pip"):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {name} "$@"\n')
        script.chmod(0o755)
    return folder / "bin"


def follow(script: str, folder: Path, scripts: Path) -> str:
    """What the commands of a page for authors print, run one after another as somebody without a network would."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HARNESS_", "PYTHON"))}
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        ["/bin/sh", "-eux", str(ROOT / "docs/snippets" / script)], cwd=folder, capture_output=True, text=True, timeout=900,
        env={**kept, **offline, "PIP_NO_BUILD_ISOLATION": "0", "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_the_pages_for_authors_in_a_fresh_environment(tmp_path):
    """Written, installed, listed, checked, run; then built, installed from its wheel, and tested."""
    scripts = fresh(tmp_path / "environment")
    said = follow("first-plugin.sh", tmp_path, scripts)
    assert "[my-int4 0.1.0]" in said
    assert "compressor my-int4: " in said
    assert "report: reports/my-int4.md" in said
    rows = (tmp_path / "reports/my-int4.csv").read_text(encoding="utf-8")
    assert all(chain in rows for chain in ("my-int4", "my-int4-4-bits", "my-int4-onnx"))
    assert "failed" not in rows
    assert "compressor my-int4 (version 1, my-int4 0.1.0)" in follow("publish.sh", tmp_path, scripts)
    (site,) = scripts.parent.glob("lib/python*/site-packages")
    assert (site / "my_int4/compress.py").exists()  # the wheel's, no longer the folder
    against = str(ROOT / "docs/snippets/against.toml")
    python = str(scripts / "python")
    own = run("pytest", "-q", "-k", "not conformance", "my-int4", cwd=tmp_path, python=python)  # the kit has just run
    assert " passed" in own.stdout
    assert "15 cells, 0 skipped" in run("harness", "plan", against, cwd=tmp_path, python=python).stdout
    assert "my-int4 " not in run("harness", "list", "compressors", cwd=tmp_path).stdout  # nobody else has it


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "compressor"])
def test_the_others_installed_beside_the_harness(kind, written, beside, tmp_path):
    package, name = written / kind, NAMES[kind]
    assert f"{name} 0.1.0" in run("harness", "list", f"{kind}s", cwd=tmp_path, PYTHONPATH=beside).stdout
    tested = run("pytest", "-q", "-p", "no:cacheprovider", cwd=package, PYTHONPATH=beside)
    assert "passed" in tested.stdout
    suite = str(package / "suite.toml")
    assert ", 0 skipped" in run("harness", "plan", suite, cwd=tmp_path, PYTHONPATH=beside).stdout
    quick = ("--rehearse", "--set", "measure.speed=false", "--only", "seed=1")
    said = run("harness", "run", suite, *quick, cwd=tmp_path, PYTHONPATH=beside)
    assert "cells went through" in said.stderr
