"""A result may change only with its component's version: digests of fixed inputs, pinned beside the version.

When a test here fails, either the change was not meant, or it was: then bump the version in the spec and run
`python tests/test_canaries.py`, which writes the pins anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.keys import CORE
from harness.plugins import load_registry
from harness.specs import Batch, BuildRequest, load_object

PINS = Path(__file__).with_name("canaries.json")
TEXTS = ["хорошее платье, но мало", "ужасно! не советую", "обычная кофта", "Отличный размер и цвет"] * 6


def digest(*arrays: np.ndarray) -> str:
    """Of values rounded to three decimals, so that another order of sums does not matter."""
    rounded = b"".join((np.round(np.asarray(a, dtype=np.float64), 3) + 0.0).tobytes() for a in arrays)
    return hashlib.sha256(rounded).hexdigest()[:16]


def batch(teachers: int) -> Batch:
    import torch

    rng = np.random.default_rng(0)
    logits, *others = (torch.tensor(rng.normal(size=(6, 3)), dtype=torch.float32) for _ in range(3))
    critical, states = torch.tensor([-1, 0, 1]), ((logits, others[0]),)
    return Batch(
        logits, torch.tensor([0, 1, 2, 0, -100, 1]), tuple(others[:teachers]), critical=critical, states=states
    )


def of_distiller(spec) -> str:
    import torch

    distiller, of = spec.load(), batch(2 if spec.needs_teacher else 0)
    if spec.stateful:
        torch.manual_seed(0)
        distiller.begin(spec.params(), of.critical, [(3, 3)])
        distiller.loss(of, spec.params())  # what is kept moves
    loss, parts = distiller.loss(of, spec.params())
    return digest(loss.detach(), *(np.asarray(float(part)) for _, part in sorted(parts.items())))


def of_student(spec, folder: Path) -> str:
    import torch

    params = spec.params(**{name: value for name, value in spec.miniature.items() if value is not None})
    student = spec.load()
    student.build(
        BuildRequest(
            out=folder, head="sequence", labels=("a", "b", "c"), params=params, seed=1, max_length=16, assets={},
            artifacts={}, texts=lambda: iter(TEXTS),
        )
    )  # fmt: skip
    encoder = load_object(spec.encoder)(folder)
    model = student.load(folder, "sequence")
    answers = []
    for item in encoder.encode(TEXTS[:4], "sequence"):
        with torch.inference_mode():
            answers.append(model(**{n: torch.from_numpy(a)[None] for n, a in item.arrays.items()}).logits.numpy())
    return digest(*answers)


def of_training(folder: Path) -> str:
    """Twenty steps of the one loop: batches, schedule, clipping, optimiser, token dropout."""
    import torch

    from harness.data import Predictions
    from harness.heads.sequence import SequenceRules
    from harness.specs import Encoded
    from harness.stages.loop import LoopRequest, train
    from harness.training import TrainParams

    registry, rules = load_registry(), SequenceRules()
    spec, kd = registry.student("lstm"), registry.distiller("kd")
    of_student(spec, folder)
    encoder, model = load_object(spec.encoder)(folder), spec.load().load(folder, "sequence")
    encoded: list[Encoded] = encoder.encode(TEXTS, "sequence")
    torch.set_num_threads(1)
    result = train(
        LoopRequest(
            model=model, rules=rules, windows=encoded, targets=np.arange(len(TEXTS))[:, None] % 3, pad=encoder.pad, seed=3,
            lessons=[rules.lesson(Predictions((), np.random.default_rng(1).normal(size=(len(TEXTS), 3))), [])], distiller=kd.load(),
            distiller_params=kd.params(), train=TrainParams(epochs=5, batch_size=6), outputs=frozenset({"last"}),
            save=lambda model, name: None, scratch=folder,
        )
    )  # fmt: skip
    return digest(np.array(result.curve["loss"]), np.array(result.curve["rate"]) * 100)


def asked(task, rng) -> np.ndarray:
    """Samples of forty questions about two windows of words, answered at random: decoding and scoring together."""
    from harness.specs import SpanOutput

    context = "Анна живёт в Твери , «Борис» — в Туле ."
    begins = [0, *(at + 1 for at, sign in enumerate(context) if sign == " ")]
    places = [(begin, begin + len(context[begin:].split(maxsplit=1)[0])) for begin in begins]
    windows = np.array([(-1, -1), *places[:6], (-1, -1), *places[3:]], dtype=np.int32)
    answer = {"text": "Твери", "begin": context.index("Твери")}
    example = {"id": "1", "context": context, "question": "где живёт Анна?", "answers": [answer]}
    outputs = [SpanOutput(windows, rng.normal(size=(len(windows), 2)).astype(np.float32)) for _ in range(40)]
    return task.samples([example] * 40, outputs, ("start", "end"))


def classified(task, rng) -> np.ndarray:
    """Samples of forty texts of three classes, answered at random."""
    examples = [{"id": str(n), "text": "a b", "label": "abc"[label]} for n, label in enumerate(rng.integers(0, 3, 40))]
    return task.samples(examples, list(rng.normal(size=(40, 3)).astype(np.float32)), ("a", "b", "c"))


def of_ensemble() -> str:
    """What three teachers say as one of each head, by both weightings; of spans in two windows, one of other tokens."""
    from harness.heads import rules
    from harness.specs import SpanOutput

    rng = np.random.default_rng(0)
    fine = np.array([(-1, -1), (0, 3), (4, 9), (10, 12), (-1, -1), (4, 9), (10, 12)], dtype=np.int32)
    coarse = np.array([(-1, -1), (0, 9), (10, 12)], dtype=np.int32)
    drawn = {"sequence": (3,), "token": (4, 3), "nested-token": (4, 10)}
    said = {head: [rng.normal(size=shape).astype(np.float32) for _ in range(3)] for head, shape in drawn.items()}
    said["span"] = [SpanOutput(at, rng.normal(size=(len(at), 2)).astype(np.float32)) for at in (coarse, fine, fine)]
    found = [rules(head).together(answers, by) for head, answers in said.items() for by in ("mean", "confidence")]
    return digest(*(array for one, weights in found for array in (getattr(one, "logits", one), weights)))


TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")


def tagged(task, rng) -> np.ndarray:
    """Samples of forty sentences of nine words, tagged at random, illegal sequences among them."""
    words = [[2 * at, 2 * at + 1] for at in range(9)]
    examples = [
        {"id": str(n), "text": "a b c d e f g h i", "words": words, "tags": [TAGS[i] for i in rng.integers(0, 5, 9)]}
        for n in range(40)
    ]
    outputs = [rng.normal(size=(9, 5)).astype(np.float32) for _ in range(40)]
    return task.samples(examples, outputs, TAGS)


LAYERS = tuple(f"{kind}:{tag}" for kind in ("DISEASE", "ORG", "PERSON") for tag in "OBILU")


def layered(task, rng) -> np.ndarray:
    """Samples of forty texts of nine words with any mentions, answered at random: decoding and scoring together."""
    words = [[2 * at, 2 * at + 1] for at in range(9)]
    kinds = [label[:-2] for label in LAYERS[::5]]
    examples = [
        {
            "id": str(n), "text": "a b c d e f g h i", "words": words,
            "entities": [[2 * min(a, b), 2 * max(a, b) + 1, kinds[k]] for a, b, k in rng.integers(0, (9, 9, 3), (6, 3)).tolist()],
        }
        for n in range(40)
    ]  # fmt: skip
    outputs = [rng.normal(size=(9, 15)).astype(np.float32) for _ in range(40)]
    return task.samples(examples, outputs, LAYERS)


def of_task(spec) -> str:
    rng = np.random.default_rng(0)
    task = spec.load()
    samples = {"span": asked, "token": tagged, "nested-token": layered}.get(spec.head, classified)(task, rng)
    labels = {"token": TAGS, "nested-token": LAYERS}.get(spec.head, ("a", "b", "c"))
    found = task.metrics(samples, rng.integers(0, 3, size=(5, 40)), labels)
    return digest(*(found[name] for name in sorted(found)))


def canaries(folder: Path) -> dict[str, dict[str, object]]:
    registry = load_registry()
    found = {}
    for kind, make in (("task", of_task), ("distiller", of_distiller)):
        for entry in registry.components[kind]:
            scoring = getattr(entry.spec, "scoring_version", 1)
            version = entry.spec.version if scoring == 1 else f"{entry.spec.version}, scoring {scoring}"
            found[f"{kind} {entry.spec.name}"] = {"version": version, "digest": make(entry.spec)}
    for name in ("lstm", "ngram", "sru", "srupp", "transformer"):
        spec = registry.student(name)
        (folder / name).mkdir()
        found[f"student {name}"] = {"version": spec.version, "digest": of_student(spec, folder / name)}
    (folder / "training").mkdir()
    found["core train"] = {"version": CORE.get("train", 1), "digest": of_training(folder / "training")}
    found["core ensemble"] = {"version": CORE.get("ensemble", 1), "digest": of_ensemble()}
    return found


def test_results_change_with_versions_alone(tmp_path):
    pinned = json.loads(PINS.read_text())
    found = canaries(tmp_path)
    assert set(found) == set(pinned), "a component came or went: write the pins anew"
    for name, canary in found.items():
        same = canary["version"] == pinned[name]["version"]
        assert canary == pinned[name] or not same, f"{name}: another result under version {canary['version']}: bump it"
        assert same, f"{name}: version {canary['version']}: write the pins anew"


def test_a_changed_formula_is_noticed(monkeypatch):
    from harness_distillers.kd import Kd

    spec = load_registry().distiller("kd")
    before = of_distiller(spec)
    right = Kd.loss

    def wrong(self, of, params):
        loss, parts = right(self, of, params)
        return loss * 1.001, parts

    monkeypatch.setattr(Kd, "loss", wrong)
    assert of_distiller(spec) != before


@pytest.mark.parametrize("edit", ["# a comment\n", "\n\n\n"])
def test_a_reformatted_plugin_runs_nothing_again(project, edit):
    import shutil

    shutil.copytree(Path(__file__).parent / "toy_plugin", project.folder / "toys")
    project.write((project.folder / "toys.toml").read_text())
    environment = {**project.environment, "PYTHONPATH": str(project.folder / "toys")}
    moved = type("Moved", (type(project),), {"environment": property(lambda self: environment)})(project.folder)
    moved.harness("run", "toys.toml")
    code = project.folder / "toys" / "toy_harness" / "toy.py"
    code.write_text(code.read_text() + edit)
    assert "stages: 0 done" in moved.harness("run", "toys.toml").err


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        text = json.dumps(canaries(Path(made)), indent=1, sort_keys=True)
    PINS.write_text(text + "\n")
    sys.stdout.write(text + "\n")
