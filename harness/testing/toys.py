"""Toy artifacts of any format that the installed components can make: built, trained a little, compressed.

Made once per session and registry, in a temporary folder.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from harness.artifacts import Artifact, read_artifact
from harness.errors import choices
from harness.inference import Answerer, load_answerer
from harness.plugins import Registry
from harness.specs import Arrays, CompressorSpec, Head, Params, Spec, StudentSpec, Task
from harness.stages.compress import copy_encoder
from harness.testing import jobs
from harness.testing.corpus import MAX_LENGTH, ToyTask, texts
from harness.testing.model import Broken, NotApplicable
from harness.testing.sandbox import Outcome, Sandbox, plant_decoy, sandbox

STEPS, RATE = 30, 1e-2
BATCH = 8
PARITY = 16  # examples that are compared
_SEVERAL = {"layers": 2, "heads": 4}
FAVOURITE = "transformer"  # what most people compress


@functools.cache
def _root() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="harness-toys-")
    plant_decoy(Path(made.name) / "prepared")
    return made


@dataclass(frozen=True)
class Made:
    """An artifact, and how it was made."""

    folder: Path
    outcome: Outcome
    touched: tuple[str, ...] = ()  # files of its source that are not what they were


@dataclass
class Toys:
    """See above."""

    registry: Registry
    root: Path = field(default_factory=lambda: Path(_root().name))
    _made: dict[Any, Path | str] = field(default_factory=dict)
    _compressed: dict[Any, Made] = field(default_factory=dict)
    _origins: dict[Path, Path] = field(default_factory=dict)  # what was compressed → the student's own artifact

    def new(self, name: str) -> Path:
        """An empty folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root))

    def artifact(self, format_: str, head: Head = "sequence", without: str | None = None) -> Path:
        """A toy of that format, made without the compressor `without`. NotApplicable where nothing makes one."""
        return self._once((format_, head, without), lambda: self._artifact(format_, head, without))

    def students(self, format_: str, head: Head) -> list[str]:
        """Full names of students that can be built for a head, the favourite first."""
        entries = self.registry.components.get("student", ())
        fit = [e for e in entries if format_ == e.spec.format and head in e.spec.heads and _buildable(e.spec)]  # type: ignore[attr-defined]
        return [e.full_name for e in sorted(fit, key=lambda e: (e.spec.name != FAVOURITE, e.full_name))]

    def student(self, name: str, head: Head) -> Path:
        """A student, built for a head and trained a little where it can be."""
        return self._once((name, head), lambda: self._student(name, head))

    def _once(self, key: Any, make: Callable[[], Path]) -> Path:
        """Made the first time; what could not be made is not tried again."""
        if key not in self._made:
            try:
                self._made[key] = make()
            except (NotApplicable, Broken) as error:
                self._made[key] = str(error)
        found = self._made[key]
        if isinstance(found, str):
            raise NotApplicable(found)
        return found

    def _artifact(self, format_: str, head: Head, without: str | None) -> Path:
        for name in self.students(format_, head):
            return self.student(name, head)
        for entry in self.registry.components.get("compressor", ()):
            spec = cast("CompressorSpec", entry.spec)
            if spec.produces != format_ or entry.full_name == without or format_ in spec.consumes:
                continue
            for consumed in spec.consumes:
                source = self.artifact(consumed, head, without)
                if spec.supports(read_artifact(source).student, head) is None:
                    return self.compressed(entry.full_name, source).folder
        msg = f"no installed component makes a toy of the format '{format_}' for the head '{head}'"
        raise NotApplicable(msg if format_ in self._formats() else f"{msg}. Formats: {choices(self._formats())}")

    def _formats(self) -> set[str]:
        """All that students build and compressors produce."""
        students, compressors = (self.registry.components.get(kind, ()) for kind in ("student", "compressor"))
        return {one.spec.format for one in students} | {one.spec.produces for one in compressors}  # type: ignore[attr-defined]

    def compressed(self, name: str, source: Path, params: Params | None = None) -> Made:
        """What a compressor makes of a toy; params: its defaults. Broken where that fails."""
        spec = self.registry.compressor(name)
        chosen = params or spec.params()
        key = (name, source, chosen.model_dump_json())
        if key not in self._compressed:
            self._compressed[key] = compress(self, spec, source, chosen)
            self._origins[self._compressed[key].folder] = self._origins.get(source, source)
        return self._compressed[key]

    def _student(self, name: str, head: Head) -> Path:
        spec = self.registry.student(name)
        folder = build(self, name, miniature(spec), head).folder
        if spec.trainable:
            train(spec, folder, head)
        return folder

    def reference(self, folder: Path) -> Any:
        """The PyTorch model that an artifact was made from, as its student loads it; None where there is none."""
        origin = self._origins.get(folder, folder)
        artifact = read_artifact(origin)
        return (
            self.registry.student(artifact.student).load().load(origin, artifact.head)
            if artifact.format == "torch"
            else None
        )

    def answerer(self, folder: Path, threads: int = 1) -> Answerer:
        """The artifact, loaded by the runtime of its format."""
        task = cast("Task", ToyTask(read_artifact(folder).head))
        return load_answerer(folder, task, self.registry, threads)


def build(
    toys: Toys, name: str, params: Params, head: Head, seed: int = 0, where: Sandbox | None = None, **assets: Path
) -> Made:
    """Build a student into a new folder. Broken where that fails."""
    spec, task, out = toys.registry.student(name), ToyTask(head), toys.new("build")
    full = toys.registry.entry("student", name).full_name
    job = {
        "student": spec.factory,
        "imports": [spec.factory],
        "params": jobs.describe(params),
        "head": head,
        "labels": task.labels,
        "seed": seed,
        "max_length": MAX_LENGTH,
        "assets": {name: str(path) for name, path in assets.items()},
        "texts": texts(task.examples()),
        "reads_text": spec.reads_text(params),
        "out": str(out),
    }
    outcome = (where or sandbox()).run("harness.testing.jobs:build", job)
    Artifact(format=spec.format, student=full, head=head, labels=task.labels, max_length=MAX_LENGTH).write(out)
    return Made(out, outcome)


def train(spec: StudentSpec, folder: Path, head: Head, steps: int = STEPS, *, dropout: bool = False) -> dict[str, Any]:
    """Train an artifact in place; see `harness.testing.jobs.train`. Broken where that fails."""
    described = {"student": spec.factory, "encoder": spec.encoder, "imports": [spec.factory, spec.encoder]}
    job = {**described, "folder": str(folder), "head": head, "steps": steps, "rate": RATE, "dropout": dropout}
    trained: dict[str, Any] = sandbox().run("harness.testing.jobs:train", job).value
    return trained


def compress(
    toys: Toys,
    spec: CompressorSpec,
    source: Path,
    params: Params,
    where: Sandbox | None = None,
    kill: bool = False,
) -> Made:
    """Compress an artifact into a new folder, as the stage does. Broken where that fails."""
    artifact, out = read_artifact(source), toys.new("compress")
    answerer = toys.answerer(source)
    encoded = answerer.encode(ToyTask(artifact.head).examples())
    arrays = out.with_name(f"{out.name}.npz")
    batches = [answerer.collate(encoded[at : at + BATCH]) for at in range(0, PARITY, BATCH)]
    single = [answerer.collate([window]) for window in encoded]
    np.savez(arrays, **jobs.packed("batch", batches), **jobs.packed("single", single))  # type: ignore[arg-type]
    student = toys.registry.student(artifact.student).factory
    job = {
        "compressor": spec.factory,
        "student": student,
        "imports": [spec.factory, student],
        "params": jobs.describe(params),
        "source": str(source),
        "out": str(out),
        "artifact": artifact.as_json(),
        "arrays": str(arrays),
        "calibrates": spec.calibrates,
        "reads_text": spec.reads_text(params),
        "texts": texts(ToyTask(artifact.head).examples()),
    }
    before = digests(source)
    outcome = (where or sandbox()).run("harness.testing.jobs:compress", job, kill_when=out if kill else None)
    after = digests(source)
    touched = tuple(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))
    if not outcome.killed:
        copy_encoder(source, out)
        Artifact(**{**artifact.__dict__, "format": spec.produces}).write(out)
    return Made(out, outcome, touched)


def miniature(spec: StudentSpec) -> Params:
    """The params that `--rehearse` would set; of layers and heads enough for pruning to remove some."""
    several = _SEVERAL if _SEVERAL.keys() <= spec.params.model_fields.keys() else {}
    small = {**spec.miniature, **several}
    return spec.params(**{name: value for name, value in small.items() if value is not None})


def required(spec: Spec) -> list[str]:
    """Params without a default."""
    return [name for name, info in spec.params.model_fields.items() if info.is_required()]


def _buildable(spec: Spec) -> bool:
    return not set(required(spec)) - set(getattr(spec, "miniature", {}))


def copied(source: Path, folder: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(source, folder))


def digests(folder: Path) -> dict[str, str]:
    """Name → SHA-256 of every file."""
    from harness.store import file_hash

    return {str(p.relative_to(folder)): file_hash(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def figures(answerer: Answerer, said: Iterable[Any]) -> list[np.ndarray]:
    """What was said about windows or examples as plain figures, [n, C] each."""
    return [answerer.rules.logits(one) for one in said]


def furthest(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """The largest difference. Broken where the shapes differ."""
    for a, b in zip(first, second, strict=True):
        if a.shape != b.shape:
            msg = f"answers have the shape {b.shape} where {a.shape} was expected"
            raise Broken(msg)
    return max((float(np.abs(a - b).max(initial=0.0)) for a, b in zip(first, second, strict=True)), default=0.0)


def arrays_equal(first: Arrays, second: Arrays) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


_TOYS: dict[int, Toys] = {}


def toys_of(registry: Registry) -> Toys:
    """The toys of a registry, shared by all checks of a session."""
    key = id(registry)
    if key not in _TOYS:
        _TOYS[key] = Toys(registry)
    return _TOYS[key]
