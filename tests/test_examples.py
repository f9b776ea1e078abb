"""Third-party packages as their users have them: a wheel, installed beside the harness, found by its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOWRANK = ROOT / "examples" / "harness-lowrank"


def quiet(*command, **options):
    """Standard output of a command that must work."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A fresh environment that sees what the harness needs, and the harness; the wheel is installed into it alone."""
    folder = tmp_path_factory.mktemp("environment")
    wheels = folder / "wheels"
    source = folder / "source"
    source.mkdir()
    for path in sorted(LOWRANK.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".toml", ".md"):
            target = source / path.relative_to(LOWRANK)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    quiet(*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, source)
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    (site / "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n{ROOT / 'plugins'}\n")
    quiet(*pip, "--python", python, "install", "--no-index", "--no-deps", *wheels.glob("harness_lowrank-*.whl"))
    return python, folder


def run(environment, *command):
    python, folder = environment
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HARNESS", "PYTEST"))}
    return quiet(
        python, *command, cwd=folder, env={**clean, "HARNESS_STORE": str(folder / "store"), "OMP_NUM_THREADS": "1"}
    )


def test_an_installed_wheel_is_found_by_name(environment):
    assert "LowRank" in run(environment, "-c", "import harness_lowrank.compress as c; print(c.LowRank, c.__file__)")
    listed = run(environment, "-m", "harness", "list", "compressors")
    assert "lowrank" in listed
    assert "harness-lowrank 0.1.0" in run(environment, "-m", "harness", "list", "compressors", "lowrank")


def test_its_own_tests_pass_there(environment):
    said = run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", "source/tests")
    assert " passed" in said
    assert "failed" not in said


def test_its_suite_runs_there(environment):
    said = run(environment, "-m", "harness", "run", "source/lowrank.toml", "--rehearse", "--reports", "reports")
    report = (environment[1] / "reports" / "lowrank.rehearsal.md").read_text()
    assert "quarter-plain" in report, said
    assert "failed" not in report.split("## ")[0]
