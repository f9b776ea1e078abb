"""docs/snippets/harness.sbatch as it is, with stand-ins for SLURM's commands: nodes are processes here, or namespaces."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from conftest import SUITE, Project

pytest.importorskip("distributed")
from benchmarks.faults.dask_cluster import wait_for

RECIPE = Path(__file__).parents[1] / "docs/snippets/harness.sbatch"
NODES = 2
# `man srun`, of those that the recipe uses: as many copies as there are tasks, each where it belongs.
SRUN = """#!{python}
import os, re, signal, subprocess, sys
known = ("--cpus-per-task=", "--kill-on-bad-exit=", "--no-kill", "--overlap", "--nodes=", "--ntasks=", "--ntasks-per-node=")
words = sys.argv[1:]
options = []
while words[0].startswith("-"):
    options.append(words.pop(0))
    assert options[-1].startswith(known), options[-1]
tasks = next((int(one.partition("=")[2]) for one in options if one.startswith("--ntasks=")), {nodes})
copies = []
for task in range(tasks):
    enter = os.environ["ENTER"].replace("NODE", str(task)).split()
    copies.append(subprocess.Popen([*enter, *words], env={{**os.environ, "SLURM_PROCID": str(task)}}))
def forward(number, frame):
    for copy in copies:
        copy.send_signal(number)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, forward)
sys.exit(max(code if code >= 0 else 128 - code for code in [copy.wait() for copy in copies]))
"""
NOTE = '#!/bin/sh\necho "$(basename "$0") $*" >> "$NOTES"\n'

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "openssl"))), reason="the recipe needs bash and openssl"
)


@dataclass
class Job:
    """A job of a cluster that is not there."""

    project: Project
    enter: str = ""  # a command before each task's, with NODE for the node's number
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        commands = self.project.folder / "commands"
        commands.mkdir()
        programs = {
            "srun": SRUN.format(python=sys.executable, nodes=NODES),
            "scontrol": NOTE,
            "idle": "#!/bin/sh\nexec sleep 613\n",
            **{name: f'#!/bin/sh\nexec "{sys.executable}" -P -m {module} "$@"\n'
               for name, module in {"harness": "harness", "dask": "dask"}.items()},
        }  # fmt: skip
        for name, text in programs.items():
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        self.variables = {
            **self.project.environment,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "SLURM_JOB_ID": "4711",
            "SLURM_CPUS_PER_TASK": "1",
            "TMPDIR": str(self.project.folder),
            "NOTES": str(self.notes),
            "ENTER": self.enter,
            **self.variables,
        }

    @property
    def notes(self) -> Path:
        """What was asked of SLURM."""
        return self.project.folder / "notes"

    @property
    def private(self) -> Path:
        return self.project.folder / ".harness-job-4711"

    def start(self, *words: str) -> subprocess.Popen[str]:
        first = self.enter.replace("NODE", "0").split() if "NODE" in self.enter else []
        return subprocess.Popen(
            [*first, "bash", str(RECIPE), *words], cwd=self.project.folder, env=self.variables, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def ended(self, process: subprocess.Popen[str]) -> str:
        said, _ = process.communicate(timeout=300)
        assert not self.private.exists()
        wait_for(lambda: not left(self.project.folder), 10, "nothing is left")
        return said


def left(folder: Path) -> list[str]:
    """Processes that work in the job's folder, or have it among their words."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = " ".join(process.info["cmdline"] or ())
        if process.pid != os.getpid() and (str(folder) in words or process.info["cwd"] == str(folder)):
            found.append(words)
    return found


def test_a_job_whose_time_is_up_is_queued_again_and_goes_on(project):
    fuse = project.folder / "fuse"
    slow = f'[chains]\nslow = [{{ use = "toy-trouble", how = "hang", fuse = "{fuse}" }}]'
    project.write(SUITE.replace("[chains]", slow).replace('["none", "round"]', '["none", "slow"]'))
    job = Job(project)
    fuse.touch()
    process = job.start("toys.toml")
    wait_for(
        lambda: project.ran.count("compress") == NODES or process.poll() is not None, 120, "both workers are at it"
    )
    process.send_signal(signal.SIGUSR1)
    said = job.ended(process)
    assert process.returncode == 130, said
    assert job.notes.read_text() == "scontrol requeue 4711\n"
    fuse.unlink()
    process = job.start("toys.toml")
    said = job.ended(process)
    assert process.returncode == 0, said
    assert (project.ran.count("prepare"), project.ran.count("build")) == (1, 4)


def test_a_job_that_is_cancelled_ends_and_is_not_queued_again(project):
    job = Job(project, "idle")  # its tasks do nothing
    process = job.start("toys.toml")
    wait_for(lambda: (job.private / "scheduler.json").exists() or process.poll() is not None, 120, "the scheduler")
    process.send_signal(signal.SIGTERM)
    said = job.ended(process)
    assert process.returncode == 143, said
    assert not job.notes.exists()


@pytest.fixture
def namespaces() -> Iterator[str]:
    """Two networks with a wire between them, and nothing else in them."""
    names = [f"harness-{os.getpid()}-{node}" for node in range(NODES)]
    program = shutil.which("ip")

    def made(*words: str) -> bool:
        return bool(program) and subprocess.run([program, *words], capture_output=True, check=False).returncode == 0

    if not all(made("netns", "add", name) for name in names):  # it takes root
        yield ""
        return
    try:
        assert made("-n", names[0], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", names[1])
        for node, name in enumerate(names):
            assert made("-n", name, "link", "set", "lo", "up")
            assert made("-n", name, "addr", "add", f"10.213.47.{node + 1}/24", "dev", "wire")
            assert made("-n", name, "link", "set", "wire", "up")
            assert made("-n", name, "route", "add", "default", "dev", "wire")
        yield f"ip netns exec harness-{os.getpid()}-NODE"
    finally:
        for name in names:
            made("netns", "del", name)


def test_a_job_runs_a_suite_on_its_nodes_encrypted_and_leaves_nothing(project, namespaces):
    """Its nodes share nothing but a wire and the disk; where that cannot be had, they share this machine's network."""
    job = Job(project, namespaces)
    process = job.start("toys.toml")
    wait_for(lambda: (job.private / "scheduler.json").exists() or process.poll() is not None, 120, "the scheduler")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (job.private, job.private / "key.pem")} == {0o700, 0o600}
    said = job.ended(process)
    assert process.returncode == 0, said
    assert f"stages at once, scheduler tls://{'10.213.47.1:' if namespaces else ''}" in said
    assert "stages: 25 done" in said
    assert not job.notes.exists()
