"""What a student promises."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

from harness.inference import Answerer
from harness.specs import Head, StudentSpec
from harness.testing import common
from harness.testing.answers import invariance, lengths, odd_inputs
from harness.testing.common import COMMON, Look, fresh
from harness.testing.corpus import MAX_LENGTH, ToyTask
from harness.testing.model import Broken, Finding, NotApplicable, declared, passed
from harness.testing.sandbox import Sandbox, sandbox
from harness.testing.toys import Made, build, copied, digests, figures, furthest, required, train

_STEPS = 20
_FIRST = 3
_FALLS = 0.9  # of the first loss, after so many steps on 40 toy examples


class Bench(common.Bench):
    """A student, and what it built for each head."""

    @property
    def student(self) -> StudentSpec:
        """What it declares."""
        return cast("StudentSpec", self.spec)

    @property
    def head(self) -> Head:
        """The first that it lists: what needs one only is looked at there."""
        return self.student.heads[0]

    def params(self) -> Any:
        """Those of `--rehearse` where none are given; files that it cannot do without are toys of its own format."""
        values = {name: value for name, value in self.student.miniature.items() if value is not None}
        wanted = {name: str(path) for name, path in self.assets().items()}
        return self.student.params(**{**values, **wanted, **self.given})

    def assets(self) -> dict[str, Path]:
        """Toys for the params that name files and have no default. NotApplicable for other params without one."""
        missing = [name for name in required(self.student) if name not in {*self.given, *self.student.miniature}]
        others = [name for name in missing if name not in self.student.assets]
        if others:
            msg = f"params without a default: {', '.join(others)}; give them with `params=` in a test file"
            raise NotApplicable(msg)
        return {name: self.toys.artifact(self.student.format, self.head) for name in missing}

    def build(self, head: Head, seed: int = 0, where: Sandbox | None = None) -> Made:
        """A new one."""
        return build(self.toys, self.entry.full_name, self.params(), head, seed, where, **self.assets())

    def made(self, head: Head | None = None) -> Made:
        """The one that is shared, untrained."""
        wanted = head or self.head
        return cast("Made", self.once(f"made {wanted}", lambda: self.build(wanted)))

    def answerer(self, head: Head | None = None) -> Answerer:
        """The same, loaded."""
        wanted = head or self.head
        return cast("Answerer", self.once(f"answers {wanted}", lambda: self.toys.answerer(self.made(wanted).folder)))


def builds(bench: Bench, folder: Path) -> Finding:
    """Every head that it lists."""
    notes = []
    for head in bench.student.heads:
        value = bench.made(head).outcome.value
        if "broken" in value:
            raise Broken(value["broken"])
        notes.append(f"{head}: {value['facts'].get('parameters', 'unknown')} parameters")
    return passed("; ".join(notes))


def round_trip(bench: Bench, folder: Path) -> Finding:
    """Every head: copied elsewhere, loaded twice; a model that is trained is saved by the core as well."""
    for head in bench.student.heads:
        copy = copied(bench.made(head).folder, folder / head)
        answerers = [bench.answerer(head), bench.toys.answerer(copy)]
        if bench.student.trainable:
            saved = copied(copy, folder / f"{head}-saved")
            fresh_weights(bench.student, copy, saved, head)
            answerers.append(bench.toys.answerer(saved))
        examples = ToyTask(head).examples(6)
        first, *others = [figures(one, one.predict(examples, 1)) for one in answerers]
        moved = max(furthest(first, other) for other in others)
        if moved:
            msg = f"{head}: loaded again it answers differently, by {moved:.2g}"
            raise Broken(msg)
    return passed("the same bits from a copied folder, and from one saved again")


def fresh_weights(spec: StudentSpec, source: Path, out: Path, head: Head) -> None:
    """Save the loaded model over a copy, as training does."""
    from harness.weights import save_pretrained

    shutil.rmtree(out)
    out.mkdir()
    save_pretrained(spec.load().load(source, head), out)
    for path in source.iterdir():
        if not (out / path.name).exists():
            shutil.copyfile(path, out / path.name)


def batches(bench: Bench, folder: Path) -> Finding:
    """Every head: alone, in a batch, padded further."""
    found = {head: invariance(bench.answerer(head), bench.student.batch_dependent) for head in bench.student.heads}
    note = "; ".join(f"{head}: {finding.note}" for head, finding in found.items())
    return declared(note) if bench.student.batch_dependent else passed(note)


def dynamic(bench: Bench, folder: Path) -> Finding:
    """Every head."""
    return [lengths(bench.answerer(head)) for head in bench.student.heads][-1]


def odd(bench: Bench, folder: Path) -> Finding:
    """Every head."""
    return [odd_inputs(bench.answerer(head)) for head in bench.student.heads][-1]


def encoder(bench: Bench, folder: Path) -> Finding:
    """In a fresh interpreter: imported, opened, used."""
    made = bench.made()
    code = (
        "import sys; from harness.specs import load_object; from harness.testing.corpus import ToyTask;"
        f"from pathlib import Path; encoder = load_object({bench.student.encoder!r})(Path({str(made.folder)!r}));"
        f"task = ToyTask({bench.head!r}); examples = task.examples(4);"
        f"encoder.encode([task.input(e) for e in examples], {bench.head!r}); print('LOADED', *sys.modules)"
    )
    loaded = set(fresh(code).rpartition("LOADED")[2].split()) & {"torch", "transformers", "onnxruntime"}
    if loaded:
        msg = f"'{bench.student.encoder}' imports {', '.join(sorted(loaded))}: a measured process would hold it, too"
        raise Broken(msg)
    return passed(bench.student.encoder)


def deterministic(bench: Bench, folder: Path) -> Finding:
    """The same seed in two processes that hash strings differently; another seed."""
    first, second = digests(bench.made().folder), digests(bench.build(bench.head, where=sandbox(2)).folder)
    differ = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if differ:
        msg = f"the same seed in two processes gives other files: {', '.join(differ)}"
        raise Broken(msg)
    if not bench.student.trainable:
        return passed("the same bytes from two processes")
    if digests(bench.build(bench.head, seed=1).folder) == first:
        msg = "another seed gives the same files: the seed is not used"
        raise Broken(msg)
    return passed("the same bytes from two processes, others for another seed")


def labels(bench: Bench, folder: Path) -> Finding:
    """As many outputs as classes, in the task's order where the model has names for them."""
    for head in bench.student.heads:
        task, answerer = ToyTask(head), bench.answerer(head)
        if head == "span":
            continue
        widths = {figure.shape[-1] for figure in figures(answerer, answerer.predict(task.examples(2), 1))}
        if widths != {len(task.labels)}:
            msg = f"{head}: {len(task.labels)} classes, and {sorted(widths)} outputs"
            raise Broken(msg)
        config = bench.made(head).folder / "config.json"
        named = json.loads(config.read_text(encoding="utf-8")).get("id2label") if config.exists() else None
        if named and [named[str(at)] for at in range(len(named))] != list(task.labels):
            msg = f"{head}: config.json names the classes {list(named.values())}, the task {list(task.labels)}"
            raise Broken(msg)
    return passed("names and order")


def learns(bench: Bench, folder: Path) -> Finding:
    """Some steps on toys, for every head."""
    notes = []
    for head in _trainable(bench):
        copy = copied(bench.made(head).folder, folder / head)
        losses = train(bench.student, copy, head, _STEPS)["losses"]
        if not all(isinstance(loss, float) for loss in losses) or losses[-1] > _FALLS * losses[0]:
            msg = f"{head}: in {_STEPS} steps on 40 examples the loss went from {losses[0]:.3g} to {losses[-1]:.3g}"
            raise Broken(msg)
        notes.append(f"{head}: {losses[0]:.2f} → {losses[-1]:.2f}")
    return passed("; ".join(notes))


def gradients(bench: Bench, folder: Path) -> Finding:
    """In the first steps, for every head: some wait for others to move from zero."""
    frozen: set[str] = set()
    for head in _trainable(bench):
        copy = copied(bench.made(head).folder, folder / head)
        found = train(bench.student, copy, head, _FIRST)
        if found["idle"]:
            names = found["idle"]
            msg = f"{head}: {len(names)} parameters get no gradient, such as {names[0]}; leave out, or freeze them"
            raise Broken(msg)
        frozen |= set(found["frozen"])
    if frozen:
        return declared(f"{len(frozen)} parameters are frozen (`requires_grad` is off), such as {min(frozen)}")
    return passed()


def _trainable(bench: Bench) -> tuple[Head, ...]:
    if not bench.student.trainable:
        msg = "the spec says `trainable=False`"
        raise NotApplicable(msg)
    for head in bench.student.heads:
        bench.made(head)
    return bench.student.heads


def leaves_nothing(bench: Bench, folder: Path) -> Finding:
    """Building writes into its folder alone."""
    return common.left_nothing(bench.made())


CHECKS = (
    *COMMON,
    Look("builds", "It builds a model for every head that it lists, and its facts are JSON.", builds),
    Look("round-trip", "A model that is loaded, saved and loaded again answers with the same bits.", round_trip),
    Look(
        "batch-invariance",
        "An answer does not depend on batch mates or padding (1e-5), unless the spec says `batch_dependent`.",
        batches,
    ),
    Look("dynamic-lengths", f"Any number of texts of any length up to {MAX_LENGTH} tokens is answered.", dynamic),
    Look("odd-inputs", "Empty, endless and hostile texts are encoded and answered with finite numbers.", odd),
    Look("light-encoder", "Its encoder imports no torch: measured processes of other runtimes load it, too.", encoder),
    Look("deterministic", "A seed gives the same bytes in every process, and another seed others.", deterministic),
    Look("labels", "The classes keep the task's order, which scores and exported models rely on.", labels),
    Look("learns", "The loss falls on a toy set: what is trained is what answers.", learns),
    Look("gradients", "Every parameter gets a gradient or is frozen: others only make the file larger.", gradients),
    Look(
        "leaves-nothing", "Building leaves no process, thread or file elsewhere, and asks no network.", leaves_nothing
    ),
)
