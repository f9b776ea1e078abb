"""train: one step; an artifact, one data role, any number of predictions to learn from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from harness.artifacts import Artifact, read_artifact
from harness.data import Predictions, read_examples, read_meta, read_predictions, read_states, write_json
from harness.errors import StageError
from harness.heads import rules
from harness.measuring.size import artifact_sizes
from harness.specs import (
    CriticalTask,
    Distiller,
    DistillerSpec,
    Encoded,
    Encoder,
    Example,
    Facts,
    Metric,
    StatefulDistiller,
    Student,
    Task,
    load_object,
)
from harness.stages import Work, teacher_inputs
from harness.stages.batching import collate
from harness.text import read_token_ids
from harness.training import TrainParams

if TYPE_CHECKING:
    from torch import nn

    from harness.stages.loop import Dev, LoopResult


def run(work: Work) -> Facts:
    """Outputs: an artifact per requested name (`last`, `best`, `epoch-1`, …) and `log` with the curve."""
    import torch

    from harness.stages.loop import LoopRequest, train

    torch.set_num_threads(work.threads)
    start = work.inputs["start"]
    artifact = read_artifact(start)
    spec = work.registry.student(artifact.student)
    student: Student = spec.load()
    encoder: Encoder = load_object(spec.encoder)(start)
    task = work.task()
    distiller = work.registry.distiller(work.options["distiller"])
    params = _checked(distiller, distiller.params(**work.options["params"]), artifact)
    examples = read_examples(work.inputs["data"])
    head, windows = rules(artifact.head), _encode(encoder, task, examples, artifact)
    teachers = [(name, work.inputs[name]) for name in teacher_inputs(work)]
    outputs = frozenset(work.stage.params.get("outputs", [work.options["loop"]["select"]]))
    critical = _critical(work, distiller, task, artifact)
    model, states = student.load(start, artifact.head), _states(distiller.states(params), teachers, examples)
    masked = bool(work.stage.params.get("masked", False))
    widths = _widths(model, encoder, windows[:1], states)
    torch.manual_seed(int(work.stage.seed or 0))
    loss, aside = _loss(distiller, params, critical, widths)
    result = train(
        LoopRequest(
            model=model,
            rules=head,
            windows=windows,
            targets=head.targets(windows, [task.target(example, artifact.labels) for example in examples]),
            critical=critical,
            states=[(layer, head.lesson(stored, windows)) for layer, stored in states],
            aside=aside,
            lessons=[head.lesson(read_predictions(path, examples), windows) for _, path in teachers],
            pad=encoder.pad,
            distiller=loss,
            distiller_params=params,
            train=_loop(work, distiller.rate(params)),
            seed=int(work.stage.seed or 0),
            outputs=outputs,
            save=lambda model, name: _save(model, start, work.output(name), artifact),
            scratch=_scratch(work),
            dev=_dev(work, task, encoder, artifact),
            tokens=read_token_ids(start),
            masked=masked,
            progress=lambda step, total, loss, rate: work.progress(step, total, f"loss {loss:.3f}"),
            device="auto" if torch.cuda.is_available() else "cpu",
        )
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    lengths = {"examples": len(examples), "windows": len(windows), "tokens": sum(w.length for w in windows)}
    mask = _mask(model) if masked else {}
    return {**_facts(work, result, sorted(outputs), device), **lengths, **mask}


def _checked(distiller: DistillerSpec, params: Any, artifact: Artifact) -> Any:
    """The params. StageError where they make no sense for the classes, which the plan may not have known."""
    if reason := distiller.supports(params, artifact.head, len(artifact.labels)):
        msg = f"'{distiller.name}' {reason}"
        raise StageError(msg)
    return params


def _critical(work: Work, distiller: DistillerSpec, task: Task, artifact: Artifact) -> np.ndarray | None:
    """Asked for in any case: a type that the data lacks costs no training."""
    if not work.registry.task(work.options["task"]["use"]).names_critical:
        return None
    critical = cast("CriticalTask", task).critical(artifact.labels)
    return np.array(critical, dtype=np.int64) if distiller.reads_critical else None


def _states(
    pairs: Sequence[tuple[int, int]], teachers: Sequence[tuple[str, Path]], examples: Sequence[Example]
) -> list[tuple[int, Predictions]]:
    """(layer of the student, stored states of the teacher's) of each pair."""
    if not pairs:
        return []
    ((_, path),) = teachers  # the plan has seen to it
    predictions = read_predictions(path, examples)
    return [(ours, read_states(predictions, path, theirs)) for ours, theirs in pairs]


def _widths(
    model: nn.Module, encoder: Encoder, windows: Sequence[Encoded], states: Sequence[tuple[int, Predictions]]
) -> list[tuple[int, int]]:
    """How wide the states of student and teacher are. StageError for a student that has none, or no such layer."""
    import torch

    if not states:
        return []
    arrays = {name: torch.from_numpy(array) for name, array in collate(windows, encoder.pad).items()}
    with torch.inference_mode():
        hidden = getattr(model(**arrays, output_hidden_states=True), "hidden_states", None) or ()
    missing = [layer for layer, _ in states if not -len(hidden) <= layer < len(hidden)]
    if missing:
        msg = f"the student has states 0 to {len(hidden) - 1}, and no {missing[0]}" if hidden else "it has no states"
        msg = f"the distiller compares hidden states of layers: {msg}; change train.layers"
        raise StageError(msg)
    return [(hidden[layer].shape[-1], stored.values.shape[-1]) for layer, stored in states]


def _loss(
    spec: DistillerSpec, params: Any, critical: np.ndarray | None, widths: Sequence[tuple[int, int]]
) -> tuple[Distiller, nn.Module | None]:
    """The distiller, and what it keeps beside the student."""
    import torch

    distiller: Distiller = spec.load()
    if not spec.stateful:
        return distiller, None
    known = None if critical is None else torch.from_numpy(critical)
    return distiller, cast("StatefulDistiller", distiller).begin(params, known, widths)


def _loop(work: Work, rate: float) -> TrainParams:
    asked = TrainParams(**work.options["loop"])
    return asked if rate == 1 else asked.model_copy(update={"learning_rate": asked.learning_rate * rate})


def _scratch(work: Work) -> Path:
    work.scratch.mkdir(parents=True, exist_ok=True)
    return work.scratch


def _facts(work: Work, result: LoopResult, outputs: list[str], device: str) -> Facts:
    write_json(work.output("log") / "curve.json", {"steps": result.curve, "epochs": result.epochs})
    return {
        "steps": result.steps,
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "device": device,
        "sizes": artifact_sizes(work.output(outputs[0])),
        **_ensemble(work, result.curve["parts"]),
    }


def _mask(model: nn.Module) -> Facts:
    """What a mask before the training has left: how many weights of matrices are zero after it."""
    from harness.stages.masks import zeros

    count = sum(int(zero.sum()) for zero in zeros(model).values())
    return {"masked": count > 0, "zeros": count}


def _ensemble(work: Work, parts: Mapping[str, Sequence[float]]) -> Facts:
    """How several teachers became one, where they did not count alike: mean weights over the steps, in their order."""
    from harness.stages.loop import WEIGHT

    if (ensemble := work.options["loop"]["ensemble"]) == "mean":
        return {}
    names = [f"{WEIGHT}{number}" for number, _ in enumerate(teacher_inputs(work))]
    return {"ensemble": ensemble, "weights": [round(float(np.mean(parts[name])), 6) for name in names]}


def _encode(encoder: Encoder, task: Task, examples: Sequence[Example], artifact: Artifact) -> list[Encoded]:
    return encoder.encode([task.input(example) for example in examples], artifact.head)


def _dev(work: Work, task: Task, encoder: Encoder, artifact: Artifact) -> Dev:
    from harness.stages.loop import Dev

    examples = read_examples(work.inputs["dev"])
    labels = read_meta(work.inputs["meta"]).labels
    primary: Metric = work.registry.task(work.options["task"]["use"]).metrics[0]

    encoded, head = _encode(encoder, task, examples, artifact), rules(artifact.head)

    def score(said: list[Any]) -> float:
        outputs = head.join(encoded, said, len(examples))
        samples = task.samples(examples, outputs, labels)
        return float(task.metrics(samples, np.ones((1, len(samples))), labels)[primary.name][0])

    return Dev(windows=encoded, score=score, higher_is_better=primary.higher_is_better)


def _save(model: nn.Module, start: Path, out: Path, artifact: Artifact) -> None:
    from harness.weights import save_pretrained

    student_model: Any = model
    save_pretrained(student_model, out)
    for path in start.iterdir():
        if path.is_file() and not (out / path.name).exists():
            shutil.copyfile(path, out / path.name)
    artifact.write(out)
