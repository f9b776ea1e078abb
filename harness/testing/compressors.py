"""What a compressor promises."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from harness.artifacts import read_artifact
from harness.inference import Answerer
from harness.measuring.size import artifact_sizes
from harness.specs import CompressorSpec, Head
from harness.testing import common, toys
from harness.testing.answers import invariance, lengths, odd_inputs
from harness.testing.common import COMMON, Look
from harness.testing.corpus import ToyTask
from harness.testing.model import Broken, Finding, NotApplicable, declared, passed
from harness.testing.sandbox import DECOY, Sandbox, sandbox
from harness.testing.toys import Made, compress, digests, figures, furthest

_ZEROS = 0.10  # more of all weights than before: they were masked
_SMALLER = 0.95  # of the bytes: something was removed
_HEADS: tuple[Head, ...] = ("token", "span")


class Bench(common.Bench):
    """A compressor, its toy source and what it made of it."""

    @property
    def compressor(self) -> CompressorSpec:
        """What it declares."""
        return cast("CompressorSpec", self.spec)

    def source(self, format_: str | None = None, head: Head = "sequence") -> Path:
        """A toy that it should be able to read. NotApplicable where there is none, or it says that it cannot."""
        wanted = [format_] if format_ else self.compressor.consumes
        reasons = []
        for one in wanted:
            try:
                found = self.toys.artifact(one, head, without=self.entry.full_name)
            except NotApplicable as reason:
                reasons.append(str(reason))
                continue
            refused = self.compressor.supports(read_artifact(found).student, head)
            if refused is None:
                return found
            reasons.append(refused)
        raise NotApplicable("; ".join(reasons))

    def made(self) -> Made:
        """Its work on the first format that it consumes."""
        return cast("Made", self.once("made", lambda: self.work(self.source())))

    def work(self, source: Path) -> Made:
        """What it makes of a toy."""
        return self.toys.compressed(self.entry.full_name, source, self.params())

    def other(self) -> Made:
        """The same from another process, which hashes strings otherwise."""
        self.made()
        other = sandbox(2)
        return cast("Made", self.once("other", lambda: self._fresh(where=other)))

    def again(self) -> Made:
        """The same after one that was killed in the middle, beside what that one left."""
        self.made()
        return cast("Made", self.once("again", self._again))

    def _again(self) -> Made:
        try:
            self.kept["first try"] = self._fresh(kill=True)
            return self._fresh()
        finally:
            sandbox().sweep()

    def _fresh(self, *, where: Sandbox | None = None, kill: bool = False) -> Made:
        return compress(self.toys, self.compressor, self.source(), self.params(), where, kill=kill)

    def before(self) -> Answerer:
        """The source, loaded."""
        return cast("Answerer", self.once("before", lambda: self.toys.answerer(self.source())))

    def after(self) -> Answerer:
        """Its work, loaded by the runtime of the format that it says it produces."""
        folder = self.made().folder
        return cast("Answerer", self.once("after", lambda: self.toys.answerer(folder)))


def consumes(bench: Bench, folder: Path) -> Finding:
    """Every format that it consumes and that a toy can be made of."""
    read, unknown = [], []
    bench.made()
    for format_ in bench.compressor.consumes:
        try:
            source = bench.source(format_)
        except NotApplicable as reason:
            unknown.append(f"{format_}: {reason}")
            continue
        if source != bench.source():
            bench.toys.answerer(bench.work(source).folder)
        read.append(format_)
    return passed("; ".join([f"read {', '.join(read)}", *unknown]))


def produces(bench: Bench, folder: Path) -> Finding:
    """The runtime of the produced format answers with it."""
    after = bench.after()
    windows = after.encode(_examples(1))
    after.read(windows, after.forward(after.collate(windows)))
    runtime = bench.registry.runtime_for(bench.compressor.produces)
    return passed(f"'{bench.compressor.produces}' is loaded by {runtime.name}")


def facts(bench: Bench, folder: Path) -> Finding:
    """JSON, with `changed`, and bytes that the files have."""
    value = bench.made().outcome.value
    if "broken" in value:
        raise Broken(value["broken"])
    found = value["facts"]
    if not isinstance(found.get("changed"), bool):
        msg = f"facts have no `changed` (true or false); they are {sorted(found)}"
        raise Broken(msg)
    counted = found.get("bytes", {})
    whole = isinstance(counted, dict) and all(isinstance(n, int) and n >= 0 for n in counted.values())
    there = sum(path.stat().st_size for path in bench.made().folder.rglob("*") if path.is_file())
    if not whole or sum(counted.values()) > there:
        msg = f"`bytes` is {counted}: {{kind: whole number}}, together at most the {there} bytes of its files"
        raise Broken(msg)
    return passed(json.dumps({name: found[name] for name in ("changed", "bytes") if name in found}))


def round_trip(bench: Bench, folder: Path) -> Finding:
    """The folder, copied elsewhere, loaded twice."""
    copy = toys.copied(bench.made().folder, folder / "elsewhere")
    first, second, third = bench.after(), bench.toys.answerer(copy), bench.toys.answerer(copy)
    examples = _examples(8)
    answers = [figures(one, one.predict(examples, 1)) for one in (first, second, third)]
    moved = max(furthest(answers[0], answers[1]), furthest(answers[1], answers[2]))
    if moved:
        msg = f"loaded from another folder it answers differently, by {moved:.2g}"
        raise Broken(msg)
    return passed("the same bits from a copied folder, loaded twice")


def parity(bench: Bench, folder: Path) -> Finding:
    """How far the answers moved from the source's, as a share of their spread."""
    bench.made()
    moved = _moved(bench.before(), bench.after())
    return _judged(moved, bench.compressor.tolerance)


def _moved(before: Answerer, after: Answerer) -> float:
    examples = _examples(toys.PARITY, before.artifact.head)
    one, two = (figures(answerer, answerer.predict(examples, 1)) for answerer in (before, after))
    alike = [(a, b) for a, b in zip(one, two, strict=True) if a.shape == b.shape]
    if not alike:
        msg = "no answer has the shape of its source's"
        raise Broken(msg)
    spread = float(np.concatenate([a.ravel() for a, _ in alike]).std())
    return furthest([a for a, _ in alike], [b for _, b in alike]) / max(spread, 1e-12)


def _judged(moved: float, tolerance: float) -> Finding:
    said = f"answers moved by {moved:.2g} of their spread; the spec's tolerance is {tolerance:g}"
    if not moved <= tolerance:
        msg = f"{said}. Mend it, or declare `tolerance` in the spec"
        raise Broken(msg)
    return passed(said)


def heads(bench: Bench, folder: Path) -> Finding:
    """Token and span heads, where they are supported."""
    bench.after()
    notes = []
    for head in _HEADS:
        try:
            source = bench.source(head=head)
        except NotApplicable as reason:
            notes.append(f"{head}: {reason}")
            continue
        moved = _moved(bench.toys.answerer(source), bench.toys.answerer(bench.work(source).folder))
        notes.append(f"{head}: {_judged(moved, bench.compressor.tolerance).note.split(';')[0]}")
    return passed("; ".join(notes))


def batches(bench: Bench, folder: Path) -> Finding:
    """The same answer alone, in a batch, and padded further."""
    return invariance(bench.after(), bench.compressor.batch_dependent)


def dynamic(bench: Bench, folder: Path) -> Finding:
    """Shapes that no tracing has seen."""
    bench.made()
    return lengths(bench.after())


def odd(bench: Bench, folder: Path) -> Finding:
    """Empty and hostile inputs."""
    return odd_inputs(bench.after())


def deterministic(bench: Bench, folder: Path) -> Finding:
    """Two processes, two hash seeds."""
    moved, differ = _compared(bench, bench.other())
    if moved:
        msg = f"two processes gave other files ({', '.join(differ)}) and other answers, by {moved:.2g}"
        raise Broken(msg)
    if differ:
        return passed(f"the same answers from two processes; other bytes in {', '.join(differ)}")
    return passed("the same bytes from two processes")


def resumes(bench: Bench, folder: Path) -> Finding:
    """Killed once something was written, then done again beside what the killed one left."""
    moved, differ = _compared(bench, bench.again())
    if moved:
        msg = f"after a kill it gave other files ({', '.join(differ)}) and other answers, by {moved:.2g}"
        raise Broken(msg)
    killed = bench.kept["first try"].outcome.killed
    return passed("killed while it wrote" if killed else "it wrote its files too fast to be killed between them")


def _compared(bench: Bench, second: Made) -> tuple[float, list[str]]:
    """How far the answers of a second work are from the first's, and which files differ."""
    after, one, two = bench.after(), digests(bench.made().folder), digests(second.folder)
    differ = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    if not differ:
        return 0.0, []
    examples = _examples(8)
    return furthest(*(figures(a, a.predict(examples, 1)) for a in (after, bench.toys.answerer(second.folder)))), differ


def leaves_nothing(bench: Bench, folder: Path) -> Finding:
    """Processes, threads, files elsewhere, the network."""
    return common.left_nothing(bench.made(), bench.source())


def source_kept(bench: Bench, folder: Path) -> Finding:
    """Byte for byte."""
    if touched := bench.made().touched:
        msg = f"it changed its source: {', '.join(touched)}"
        raise Broken(msg)
    return passed()


def no_test_split(bench: Bench, folder: Path) -> Finding:
    """Decoys of test splits lie where one would look for them: in HARNESS_DATA_DIR, beside the source."""
    opened = [path for path in bench.made().outcome.trace.read if Path(path).name == DECOY]
    if opened:
        msg = f"it opened {', '.join(opened)}"
        raise Broken(msg)
    return passed()


def audit(bench: Bench, folder: Path) -> Finding:
    """Masked but not removed; nothing was quantized."""
    made, spec = bench.made(), bench.compressor
    source = bench.source()
    before, after = bench.before(), bench.after()
    examples = _examples(8)
    same_answers = furthest_or_none(before, after, examples) == 0
    sizes = [artifact_sizes(one)["model_mib"] for one in (source, made.folder)]
    ratio = sizes[1] / sizes[0]
    changed = made.outcome.value["facts"].get("changed")
    if changed and same_answers and ratio >= 1 and spec.produces == read_artifact(source).format:
        msg = "facts say `changed`, and answers and size are its source's: nothing was quantized, pruned or removed"
        raise Broken(msg)
    if changed is False and spec.expects_change:
        msg = "facts say `changed: false` about a toy that has every usual layer: it did nothing"
        raise Broken(msg)
    if changed is False and not same_answers:
        msg = "facts say `changed: false`, and the answers are others than its source's"
        raise Broken(msg)
    masked = share_of_zeros(made.folder) - share_of_zeros(source)
    if masked > _ZEROS and ratio > _SMALLER:
        said = f"{masked:.0%} of the weights became zero and the file has {ratio:.2f} of its bytes: masked, not removed"
        if not made.outcome.value["facts"].get("masked"):
            msg = f"{said}. Remove them, or say so in the facts: `masked`"
            raise Broken(msg)
        if not spec.masks(bench.params()):
            msg = f"{said}. Its spec does not say so (`masks`), and training after it would fill the zeros"
            raise Broken(msg)
        return declared(said)
    return passed(f"{ratio:.2f} of the bytes; {_speed(before, after):.2f} of the time of a toy's answer (not judged)")


def furthest_or_none(before: Answerer, after: Answerer, examples: Sequence[Any]) -> float | None:
    """The largest difference; None where answers have other shapes."""
    try:
        return furthest(*(figures(one, one.predict(examples, 1)) for one in (before, after)))
    except Broken:
        return None


def share_of_zeros(folder: Path) -> float:
    """Of all numbers in weight files that can be read here: safetensors, ONNX and NumPy's."""
    zeros = total = 0
    for array in weights(folder):
        zeros += int(array.size - np.count_nonzero(array))
        total += array.size
    return zeros / max(1, total)


def weights(folder: Path) -> Iterator[np.ndarray]:
    """Every array of those files."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:  # NumPy has no bfloat16
                yield from (file.get_tensor(name).float().numpy() for name in file.keys())  # noqa: SIM118 - not a dict
        elif path.suffix == ".onnx":
            import onnx
            from onnx import numpy_helper

            yield from (numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                yield from (stored[name] for name in stored.files)
        elif path.suffix == ".npy":
            yield np.load(path, allow_pickle=False)


def _speed(before: Answerer, after: Answerer) -> float:
    """Time of a forward pass of the second to that of the first, the best of five."""
    windows = before.encode(_examples(8))
    return _seconds(after) / max(_seconds(before), 1e-9) if windows else 1.0


def _seconds(answerer: Answerer) -> float:
    arrays = answerer.collate(answerer.encode(_examples(8)))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        answerer.forward(arrays)
        best = min(best, time.perf_counter() - start)
    return best


def _examples(count: int, head: Head = "sequence") -> list[Any]:
    return ToyTask(head).examples(count)


CHECKS = (
    *COMMON,
    Look("consumes", "It reads every format that its spec says it consumes: the plan believes the spec.", consumes),
    Look("produces", "The runtime of the format that it says it produces loads its files and answers.", produces),
    Look("facts", "Facts are JSON and say `changed`; `bytes` are no more than the files have.", facts),
    Look("round-trip", "Its folder means the same wherever it lies and however often it is loaded.", round_trip),
    Look("parity", "Answers stay within the spec's `tolerance` of the source's, or the spec says otherwise.", parity),
    Look("heads", "It works for models that tag words and that find answers, or `supports` says why not.", heads),
    Look(
        "batch-invariance",
        "An answer does not depend on batch mates or padding (1e-5), unless the spec says `batch_dependent`.",
        batches,
    ),
    Look("dynamic-lengths", "Any number of texts of any length is answered: no shape was baked in.", dynamic),
    Look("odd-inputs", "Empty, endless and hostile texts are answered with finite numbers.", odd),
    Look("deterministic", "Two processes give the same bytes, or at least the same answers.", deterministic),
    Look("resumes", "Killed while it writes and started again, it gives the same result.", resumes),
    Look(
        "leaves-nothing", "No process, thread or file stays, nothing is written elsewhere, no network.", leaves_nothing
    ),
    Look("source-kept", "Its source stays as it was: other cells read it, too.", source_kept),
    Look("no-test-split", "It opens no test split, and the training texts only where the spec says so.", no_test_split),
    Look("audit", "What it says it did can be seen in answers or bytes; zeros that are stored are not savings.", audit),
)
