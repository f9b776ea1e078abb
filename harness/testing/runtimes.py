"""What a runtime promises."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from harness.artifacts import read_artifact
from harness.errors import HarnessError
from harness.inference import Answerer
from harness.specs import Arrays, CompressorSpec, RuntimeSpec, Session, StatesSession
from harness.testing import common, jobs
from harness.testing.answers import CLOSE, lengths, odd_inputs
from harness.testing.common import COMMON, Look
from harness.testing.corpus import ToyTask
from harness.testing.model import Broken, Finding, NotApplicable, passed
from harness.testing.sandbox import sandbox
from harness.testing.toys import arrays_equal, figures, furthest

_MORE = 3  # threads


class Bench(common.Bench):
    """A runtime and toys of the formats that it loads."""

    @property
    def runtime(self) -> RuntimeSpec:
        """What it declares."""
        return cast("RuntimeSpec", self.spec)

    def artifacts(self) -> dict[str, Path]:
        """Format → a toy. NotApplicable where nothing makes one of any."""
        return cast("dict[str, Path]", self.once("artifacts", self._artifacts))

    def _artifacts(self) -> dict[str, Path]:
        found, reasons = {}, []
        for format_ in self.runtime.formats:
            try:
                found[format_] = self.toys.artifact(format_)
            except NotApplicable as reason:
                reasons.append(f"{format_}: {reason}")
        self.kept["unmade"] = reasons
        if not found:
            raise NotApplicable("; ".join(reasons))
        return found

    def answerers(self) -> Iterator[tuple[str, Answerer]]:
        """Each, loaded by the runtime under test."""
        for format_, folder in self.artifacts().items():
            yield format_, self.once(f"answers {format_}", functools.partial(self.open, folder))

    def open(self, folder: Path, threads: int = 1) -> Answerer:
        """An artifact with a session of this runtime, whoever else loads its format."""
        other = self.toys.answerer(folder)
        return Answerer(other.artifact, other.encoder, self.session(folder, threads), other.task)

    def session(self, folder: Path, threads: int = 1) -> Session:
        """A session of its own."""
        artifact = read_artifact(folder)
        student = self.registry.student(artifact.student).load() if "torch" in artifact.format else None
        made: Session = self.runtime.load().load(folder, artifact.as_json(), student, threads)
        return made

    def batch(self, answerer: Answerer) -> Arrays:
        """A padded one."""
        return answerer.collate(answerer.encode(ToyTask(answerer.artifact.head).examples(5)))


def loads(bench: Bench, folder: Path) -> Finding:
    """Every format that it names and that a toy can be made of."""
    loaded = [format_ for format_, _ in bench.answerers()]
    return passed("; ".join([f"loaded {', '.join(loaded)}", *bench.kept["unmade"]]))


def agrees(bench: Bench, folder: Path) -> Finding:
    """The same answers as the model that the artifact was made from, loaded by its student."""
    notes = []
    for format_, answerer in bench.answerers():
        reference = bench.toys.reference(bench.artifacts()[format_])
        if reference is None:
            notes.append(f"{format_}: no PyTorch form to compare with")
            continue
        examples = ToyTask(answerer.artifact.head).examples(12)
        wanted = figures(answerer, [one for e in examples for one in _said_by(reference, answerer, [e])])
        moved = furthest(wanted, figures(answerer, answerer.predict(examples, 1)))
        spread = float(np.concatenate([one.ravel() for one in wanted]).std())
        most = CLOSE if format_ == "torch" else _tolerance(bench, format_)
        if not moved <= most * max(spread, 1e-12) + CLOSE:
            msg = f"{format_}: answers differ from PyTorch's by {moved / spread:.2g} of their spread; at most {most:g}"
            raise Broken(msg)
        notes.append(f"{format_}: {moved / spread:.2g} of the spread")
    return passed("; ".join(notes))


def _said_by(model: Any, answerer: Answerer, examples: list[Any]) -> list[Any]:
    import torch

    windows = answerer.encode(examples)
    with torch.inference_mode():
        answer = model(**{name: torch.from_numpy(array) for name, array in answerer.collate(windows).items()})
    return answerer.read(windows, {name: answer[name].float().numpy() for name in answerer.rules.outputs})


def _tolerance(bench: Bench, format_: str) -> float:
    """Of the compressors on the way to a format, the largest."""
    entries = bench.registry.components.get("compressor", ())
    found = [cast("CompressorSpec", entry.spec) for entry in entries]
    return max((spec.tolerance for spec in found if spec.produces == format_), default=CLOSE)


def dynamic(bench: Bench, folder: Path) -> Finding:
    """Every format."""
    return [lengths(answerer) for _, answerer in bench.answerers()][-1]


def odd(bench: Bench, folder: Path) -> Finding:
    """Every format."""
    return [odd_inputs(answerer) for _, answerer in bench.answerers()][-1]


def arrays_kept(bench: Bench, folder: Path) -> Finding:
    """Stored arrays are read-only, and batches are answered more than once."""
    for format_, answerer in bench.answerers():
        arrays = bench.batch(answerer)
        before = {name: array.copy() for name, array in arrays.items()}
        for array in arrays.values():
            array.setflags(write=False)
        first, second = answerer.forward(arrays), answerer.forward({**arrays, "unread": arrays["input_ids"]})
        if not arrays_equal(before, arrays):
            msg = f"{format_}: it changes the arrays that it is handed"
            raise Broken(msg)
        if not arrays_equal(first, second):
            msg = f"{format_}: the same batch gets other answers the second time"
            raise Broken(msg)
    return passed()


def floats(bench: Bench, folder: Path) -> Finding:
    """Every output."""
    for format_, answerer in bench.answerers():
        for name, array in answerer.forward(bench.batch(answerer)).items():
            if not isinstance(array, np.ndarray) or array.dtype != np.float32:
                msg = f"{format_}: '{name}' is {getattr(array, 'dtype', type(array).__name__)}; float32 was expected"
                raise Broken(msg)
    return passed()


def threads(bench: Bench, folder: Path) -> Finding:
    """Threads that the operating system counts, in a process of its own."""
    if sys.platform != "linux":
        msg = "threads are counted in /proc"
        raise NotApplicable(msg)
    notes = []
    for format_, answerer in bench.answerers():
        arrays = folder / f"{format_}.npz"
        np.savez(arrays, **jobs.packed("batch", [bench.batch(answerer)]))  # type: ignore[arg-type]
        counts = {asked: _started(bench, bench.artifacts()[format_], arrays, asked) for asked in (1, _MORE)}
        if counts[1]:
            msg = f"{format_}: asked for one thread, it started {counts[1]} beside the one that it was called in"
            raise Broken(msg)
        notes.append(
            f"{format_}: {', '.join(f'asked {asked}, has {started + 1}' for asked, started in counts.items())}"
        )
    return passed("; ".join(notes))


def _started(bench: Bench, artifact: Path, arrays: Path, asked: int) -> int:
    described = read_artifact(artifact)
    student = bench.registry.student(described.student).factory if "torch" in described.format else None
    job = {
        "runtime": bench.runtime.factory,
        "student": student,
        "imports": [bench.runtime.factory, *([student] if student else [])],
        "folder": str(artifact),
        "artifact": described.as_json(),
        "arrays": str(arrays),
        "threads": asked,
    }
    return int(sandbox().run("harness.testing.jobs:threads", job).value["started"])


def refuses(bench: Bench, folder: Path) -> Finding:
    """A folder without a model."""
    for format_, artifact in bench.artifacts().items():
        empty = folder / format_
        empty.mkdir()
        read_artifact(artifact).write(empty)
        try:
            bench.session(empty)
        except HarnessError:
            continue
        except Exception as error:
            msg = f"{format_}: of a folder without a model it says {type(error).__name__}: {error}; raise a StageError"
            raise Broken(msg) from error
        msg = f"{format_}: it loads a folder without a model"
        raise Broken(msg)
    return passed()


def states(bench: Bench, folder: Path) -> Finding:
    """Embeddings and the last layer, where the spec says `gives_states`."""
    if not bench.runtime.gives_states:
        msg = "the spec does not say `gives_states`"
        raise NotApplicable(msg)
    answerer = bench.open(next(iter(bench.artifacts().values())))
    arrays = bench.batch(answerer)
    found = cast("StatesSession", answerer.session).forward(arrays, (0, -1))
    for name in ("states.0", "states.-1"):
        shape = found[name].shape if name in found else None
        if shape is None or len(shape) != 3 or shape[:2] != arrays["input_ids"].shape:
            msg = f"'{name}' is {shape}; [batch, length, width] was expected of {arrays['input_ids'].shape}"
            raise Broken(msg)
    return passed(f"width {found['states.-1'].shape[-1]}")


CHECKS = (
    *COMMON,
    Look("loads", "It loads every format that it names.", loads),
    Look("agrees", "Its answers are those of the model in PyTorch, within the compressor's `tolerance`.", agrees),
    Look("dynamic-lengths", "Any number of texts of any length is answered.", dynamic),
    Look("odd-inputs", "Empty, endless and hostile texts are answered with finite numbers.", odd),
    Look(
        "arrays-kept",
        "It leaves read-only arrays as they are and ignores those that the model does not read.",
        arrays_kept,
    ),
    Look("floats", "Outputs are float32 arrays: scores and stores take nothing else.", floats),
    Look("threads", "Asked for one thread, it starts no other: rows are timed at equal threads.", threads),
    Look("refuses", "A folder without a model is refused with an error that says so.", refuses),
    Look("states", "Hidden states of any layer have the shape that distillers expect.", states),
)
