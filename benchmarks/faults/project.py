"""A folder with the toy suite, runs of it as a person starts them, and what two runs have to agree in."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults.planting import HOOK, Fault
from harness.store import Entry, Store

ROOT = Path(__file__).parents[2]
TOY = ROOT / "tests" / "toy_plugin"
PATIENCE_S = 120.0  # that any run may take
ENDING_S = 2.0  # that processes may take to end
MARK = "FAULT_TRIAL"  # in the environment of all that a trial starts
LEFT_OUT = ("HARNESS_", "PYTHONDONTWRITEBYTECODE")  # variables
NEVER = 999  # exit code of a command that did not end
VARIES = re.compile(
    r"(.*_)?seconds|finished|started|seal|retry|threads"
)  # fields: times, a digest over them, a path, who shared the machine
STABLE = ("Quality", "Size", "What the compressors did", "Data")  # sections of a report without a time

SUITE = """
schema = 1
[suite]
name = "toys"
title = "Toys"
anchor = {{ model = "plain", compress = "none" }}
[task]
use = "toy"
[models.plain]
use = "toy"
[chains]
round = ["toy-round"]
slow = [{{ use = "toy-slow", seconds = {seconds}, processes = {processes} }}]
[matrix]
compress = ["none", "round", "slow"]
seed = {seeds}
[measure]
speed = {speed}
"""
SPEED = "{ blocks = 3, inputs = 4, turn_ms = 1.0, batch_size = 4, threads = 1 }"


def suite(*, speed: bool = True, seconds: float = 0.2, processes: int = 0, seeds: Sequence[int] = (1,)) -> str:
    """Stages of every kind that needs no torch; a measurement only with `speed`."""
    return SUITE.format(seconds=seconds, processes=processes, seeds=list(seeds), speed=SPEED if speed else "false")


@dataclass(frozen=True)
class Said:
    """What a command printed and returned."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of what it told."""
        return (self.err.strip().splitlines() or ["nothing"])[-1][:300]


@dataclass(frozen=True)
class Project:
    """A folder in which commands run as a person's would."""

    folder: Path
    store_at: str = ".harness"
    reports_at: str = "reports"
    suite_at: str = "toys.toml"
    variables: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def store(self) -> Store:
        return Store(self.folder / self.store_at)

    @property
    def reports(self) -> Path:
        return self.folder / self.reports_at

    def write(self, text: str) -> Project:
        path = self.folder / self.suite_at
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return self

    def environment(self, fault: Fault | None = None) -> dict[str, str]:
        places = [str(HOOK)] if fault or "CLOCK" in self.variables else []
        path = os.pathsep.join([*places, str(ROOT), str(ROOT / "plugins"), str(TOY)])
        kept = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
        own = {"PYTHONPATH": path, "TOY_RAN": str(self.folder / "ran.txt"), "HF_HUB_OFFLINE": "1", MARK: self.mark}
        store = {"HARNESS_STORE": str(self.store.root)}
        return {**kept, **own, **store, **(fault.environment() if fault else {}), **self.variables}

    def start(self, *words: str, fault: Fault | None = None, **named: Any) -> subprocess.Popen[str]:
        """A command in the background, in a session of its own."""
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "harness", *words],
            cwd=self.folder, env=self.environment(fault), text=True, start_new_session=True, **{**pipes, **named},
        )  # fmt: skip

    def command(self, *words: str, fault: Fault | None = None, **named: Any) -> Said:
        process = self.start(*words, fault=fault, **named)
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Said(NEVER, "", f"did not end within {PATIENCE_S:.0f} s")
        return Said(process.returncode, out or "", err or "")

    def run_words(self, *more: str) -> tuple[str, ...]:
        return ("run", self.suite_at, "--reports", self.reports_at, "--workers", "1", *more)

    def run(self, *more: str, fault: Fault | None = None) -> Said:
        return self.command(*self.run_words(*more), fault=fault)

    # --------------------------------------------------------------------------------------------- what it left behind

    def torn(self) -> list[str]:
        """Entries that are not whole, as `harness cache verify` says it."""
        folders = sorted(self.store.objects.glob("??/*"))
        return [f"{folder.name[:12]}: {said}" for folder in folders if (said := self.store.verify(folder.name))]

    def finished(self) -> dict[str, tuple[int, ...]]:
        """Per entry what changes when its stage runs again: its manifest, and the log that every stage begins anew."""
        return {
            entry.key: (*_state(entry.folder / "manifest.json"), *self._log(entry)) for entry in self.store.entries()
        }

    def _log(self, entry: Entry) -> tuple[int, ...]:
        return _state(self.store.logs / f"{entry.manifest['kind']}-{entry.key[:16]}.log")

    def results(self) -> dict[str, Any]:
        """What runs of one suite agree in: all that is stored, record and report, without times."""
        record = [json.loads(line) for line in (self.reports / "toys.records.jsonl").read_text().splitlines()]
        cells = {f"cell {line['cell']}": _timeless(line) for line in record if line["kind"] == "cell"}
        entries = {f"entry {entry.manifest['label']}": _comparable(entry) for entry in self.store.entries()}
        parts = (self.reports / "toys.md").read_text().split("\n## ")
        told = {f"report, {part.partition(chr(10))[0]}": part.strip() for part in parts if part.startswith(STABLE)}
        return {**entries, **cells, **told}

    def differs(self, wanted: Mapping[str, Any]) -> str:
        """The first thing in which results differ from those of another run, or nothing."""
        found = self.results()
        for name in sorted({*found, *wanted}):
            if name not in found or name not in wanted:
                return f"{name} is {'missing' if name not in found else 'new'}"
            if place := _first(found[name], wanted[name]):
                return f"{name} differs: {place}"
        return ""

    # ------------------------------------------------------------------------------------------------------- processes

    def processes(self) -> list[psutil.Process]:
        """All that carry the trial's mark and have not ended."""
        return [one for one in psutil.process_iter() if _marked(one, self.mark)]

    def left(self) -> list[str]:
        """What still runs two seconds later; it is ended then."""
        end = time.monotonic() + ENDING_S
        while (alive := self.processes()) and time.monotonic() < end:
            time.sleep(0.02)
        names = [_command(one) for one in alive]
        for one in alive:
            with contextlib.suppress(psutil.Error):
                one.kill()
        return names


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns


def _comparable(entry: Entry) -> dict[str, Any]:
    """Everything of a measurement is time."""
    manifest = dict(entry.manifest)
    if manifest["kind"] == "measure":
        return {"files": sorted(manifest["files"]), "label": manifest["label"]}
    found: dict[str, Any] = _timeless(manifest)
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(item) for name, item in value.items() if not VARIES.fullmatch(name)}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _first(found: Any, wanted: Any, place: str = "") -> str:
    """Where two values differ first, and in what."""
    if found == wanted:
        return ""
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        return _first(found.get(names[0]), wanted.get(names[0]), f"{place}.{names[0]}")
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        number = next(number for number, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1])
        return _first(found[number], wanted[number], f"{place}[{number}]")
    return f"{place} is {str(found)[:100]!r}, not {str(wanted)[:100]!r}"


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        dead = process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE
        return not dead and process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


def _command(process: psutil.Process) -> str:
    try:
        return re.sub(r"\S*/", "", " ".join(process.cmdline()))[:60]
    except psutil.Error:
        return "one that has just ended"


@contextlib.contextmanager
def project(text: str, inside: str = "", **named: Any) -> Iterator[Project]:
    """A project in a folder (or in one `inside` it) that is removed afterwards, with all that it started."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        made = Project(Path(folder, inside), **named).write(text)
        try:
            yield made
        finally:
            for one in made.processes():
                with contextlib.suppress(psutil.Error):
                    one.send_signal(signal.SIGKILL)


@functools.cache
def calm(text: str) -> tuple[Mapping[str, Any], float]:
    """What an undisturbed run of a suite comes to, and how many seconds it takes."""
    with project(text) as one:
        started = time.monotonic()
        said = one.run()
        seconds = time.monotonic() - started
        if said.code:
            msg = f"the undisturbed run ended with {said.code}:\n{said.err}"
            raise RuntimeError(msg)
        return one.results(), seconds


def resumed(one: Project, wanted: Mapping[str, Any]) -> str:
    """Run again, undisturbed: what is wrong with what comes out, or nothing."""
    kept = one.finished()
    torn = one.torn()
    if torn:
        return f"torn: {torn[0]}"
    said = one.run()
    if said.code:
        return f"the next run ended with {said.code}: {said.last}"
    now = one.finished()
    again = sorted(key for key, state in kept.items() if now.get(key) != state)
    if again:
        return f"{len(again)} finished stages ran again"
    return one.differs(wanted)
