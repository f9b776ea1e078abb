"""What several commands share: options, opening a suite, the store, the context of a plan."""

from __future__ import annotations

import functools
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.errors import NothingSelected, SuiteError, printable
from harness.store import Store

if TYPE_CHECKING:
    from harness.plan import Context, Plan, Weights
    from harness.plugins import Registry
    from harness.suite import Cell, Suite

QUICKSTART = "suites/quickstart.toml"
LIBRARIES = (
    "os", "libc", "python", "harness", "torch", "transformers", "tokenizers", "accelerate", "onnx", "onnxruntime",
    "onnxscript", "optimum", "numpy", "safetensors", "datasets", "seqeval", "pydantic", "pluggy",
)  # fmt: skip
PATIENCE = 2.0  # seconds without a word
F = TypeVar("F", bound=Callable[..., Any])


def suite_options(command: F) -> F:
    """The options of every command that reads a suite."""
    for option in reversed(
        (
            click.argument("suite", default=QUICKSTART),
            click.option("--only", metavar="AXIS=VALUE,…", help="Only these cells, e.g. model=lstm*,compress=int8."),
            click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the suite."),
            click.option("--rehearse", is_flag=True, help="Bundled samples, miniature models, a handful of steps."),
            click.option(
                "--weights",
                type=click.Choice(["given", "random"]),
                default="given",
                show_default=True,
                help="'random': the exact architectures untrained; sizes and speeds are real, quality is left out.",
            ),
        )
    ):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A suite, ready to be planned."""

    suite: Suite
    registry: Registry
    cells: tuple[Cell, ...]
    context: Context
    mode: str  # "real", "rehearsal" or "random"
    command: str  # how to run it again
    machine: dict[str, Any]

    def plan(self, cells: Sequence[Cell] | None = None, failed: frozenset[str] = frozenset()) -> Plan:
        """The plan of the selected cells, or of the given ones; `failed` stages are not measured with."""
        from harness.planner import make_plan

        return make_plan(self.suite, self.context, self.cells if cells is None else cells, failed)

    @property
    def report_name(self) -> str:
        """`rureviews`, `rureviews.rehearsal` or `rureviews.random`."""
        return self.suite.name if self.mode == "real" else f"{self.suite.name}.{self.mode}"


def open_suite(suite: str, only: str | None, overrides: tuple[str, ...], *, rehearse: bool, weights: Weights) -> Opened:
    """Load and check a suite and what it needs. SuiteError, NothingSelected."""
    from harness.assets import places
    from harness.measuring.machine import detect, versions
    from harness.plan import Context
    from harness.plugins import load_registry
    from harness.rehearse import rehearsal
    from harness.suite import load_suite, select

    if rehearse and weights == "random":
        msg = "--rehearse and --weights random exclude each other: the one makes models small, the other exact"
        raise SuiteError(msg)
    registry = load_registry()
    for who, why in registry.broken.items():
        talk(f"warning: plugin '{who}' failed to load: {why}")
    loaded = load_suite(suite_path(suite), registry, overrides)
    cells = select(loaded.cells, only) if only else loaded.cells
    machine = detect()
    folder = loaded.path.parent if loaded.path else Path.cwd()
    found = versions(LIBRARIES)
    context = Context(
        registry=registry,
        places=places(folder),
        machine={"isa": machine.isa, "identity": machine.identity_key()},
        library_version=functools.cache(lambda name: found.get(name) or versions([name])[name]),
        weights=weights,
        floors=not rehearse,
    )
    words = ["harness", "run", suite, *(["--rehearse"] if rehearse else [])]
    words += ["--weights", "random"] if weights == "random" else []
    words += [word for override in overrides for word in ("--set", override)]
    return Opened(
        suite=rehearsal(loaded, registry) if rehearse else loaded,
        registry=registry,
        cells=cells,
        context=context,
        mode="rehearsal" if rehearse else "random" if weights == "random" else "real",
        command=shlex.join(words),
        machine=machine.as_json(),
    )


def suite_path(name: str) -> Path:
    """The path as given, or the quickstart that is installed with the harness when none was given.

    SuiteError for one that is no text: records, which are UTF-8, could not say how to run the suite again.
    """
    if any("\ud800" <= sign <= "\udfff" for sign in name):
        msg = f"{name!r}: the path is not UTF-8; rename the file or its folder"
        raise SuiteError(msg)
    path = Path(name)
    if name != QUICKSTART or path.exists():
        return path
    installed = (Path(__file__).parents[2] / name, Path(sys.prefix) / "share" / "harness" / name)
    return next((place for place in installed if place.exists()), path)


def open_store() -> Store:
    """The store of this working folder, or the one of HARNESS_STORE."""
    return Store(Path(os.environ.get("HARNESS_STORE") or ".harness"))


def cores() -> int:
    """How many of this machine's a run may use."""
    from harness.measuring.machine import detect

    identity = detect().identity
    return max(1, min(identity.logical_cores, int(identity.cpu_quota or identity.logical_cores)))


def usual_workers() -> int:
    """How many stages run at once on this machine where nobody says."""
    return min(cores(), 4)


def existing_store() -> Store:
    """The same, where there is one. NothingSelected otherwise: nothing was looked at, which is no good news."""
    store = open_store()
    if not store.objects.is_dir():
        msg = (
            f"there is no store at {store.root}: run a suite here first, or set HARNESS_STORE to the one that is meant"
        )
        raise NothingSelected(msg)
    return store


def talk(text: str) -> None:
    """Say something to the person: on stderr, so that stdout stays data; third-party text cannot drive the terminal."""
    click.echo("\n".join(printable(line) for line in text.splitlines()), err=True)


@dataclass
class Slow:
    """Says every two seconds what goes on."""

    what: str = ""
    said: float = field(default_factory=time.monotonic)

    def __call__(self, progress: str) -> None:
        """What is being done now."""
        if time.monotonic() - self.said > PATIENCE:
            self.said = time.monotonic()
            talk(f"… {self.what}  {progress}" if self.what else f"… {progress}")


def on_terminal() -> bool:
    """Is a person watching stderr live?"""
    plain = os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return sys.stderr.isatty() and not plain
