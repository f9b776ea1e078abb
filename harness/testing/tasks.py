"""What a task promises, on its bundled sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from harness.assets import Asset, Places, find_data
from harness.overlap import text_of
from harness.specs import CriticalTask, Example, Head, Prepared, Source, SpanOutput, Task, TaskSpec
from harness.testing import common
from harness.testing.common import COMMON, HEAVY, Look, fresh
from harness.testing.jobs import describe
from harness.testing.model import Broken, Finding, NotApplicable, declared, passed
from harness.testing.toys import digests

_CLASSES = 5  # of a layer of nested entities
_SURE = 20.0  # a logit that leaves the others no probability worth the name
_CLOSE = 1e-9
_ROUNDED = 1e-4  # figures in facts


class Bench(common.Bench):
    """A task, and what it makes of its sample."""

    @property
    def task_spec(self) -> TaskSpec:
        """What it declares."""
        return cast("TaskSpec", self.spec)

    def task(self) -> Task:
        """With the params under test."""
        return cast("Task", self.once("task", lambda: self.task_spec.load(self.params())))

    def source(self) -> Source:
        """Its bundled sample. NotApplicable where it has none."""
        if self.task_spec.sample_source is None:
            msg = "the spec names no `sample_source`, so there is nothing to prepare; --rehearse cannot run it either"
            raise NotApplicable(msg)
        found = find_data(self.task_spec.sample_source, Places())
        if not isinstance(found, Asset):
            raise Broken(str(found))
        return Source(found.origin, found.root, found.files)

    def prepared(self) -> Prepared:
        """Every role that it lists."""
        return cast("Prepared", self.once("prepared", lambda: self.task().prepare(self.source(), self.task_spec.roles)))

    def judged(self) -> list[Example]:
        """The examples of the role that models are judged by."""
        roles = self.prepared().roles
        return list(roles["test" if "test" in roles else next(iter(roles))])

    def targets(self) -> list[Any]:
        """Of these. NotApplicable where the task has none."""
        labels = self.prepared().labels
        try:
            found = [self.task().target(example, labels) for example in self.judged()]
        except Exception as error:
            msg = f"its examples have no targets: {error}"
            raise NotApplicable(msg) from error
        if any(target is None for target in found):
            msg = "its examples have no targets"
            raise NotApplicable(msg)
        return found

    def perfect(self) -> np.ndarray:
        """Samples of a model that is always right, and sure of it."""
        outputs = [
            perfect(self.task_spec.head, target, self.task().input(example), len(self.prepared().labels))
            for target, example in zip(self.targets(), self.judged(), strict=True)
        ]
        samples: np.ndarray = self.task().samples(self.judged(), outputs, self.prepared().labels)
        return samples

    def guessed(self) -> np.ndarray:
        """Samples of a model that draws its answers."""
        draw = np.random.default_rng(0)
        labels = self.prepared().labels
        outputs = [
            drawn(self.task_spec.head, self.task().input(example), len(labels), draw) for example in self.judged()
        ]
        return self.task().samples(self.judged(), outputs, labels)

    def score(self, samples: np.ndarray, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Metrics [r] under weights [r, n], equal ones where none are given."""
        counts = np.ones((1, len(samples))) if weights is None else weights
        return dict(self.task().metrics(samples, counts, self.prepared().labels))


def perfect(head: Head, target: Any, value: Any, classes: int) -> Any:
    """What a model would say that is right and sure."""
    if head == "sequence":
        return _one_hot([target], classes)[0]
    if head == "token":
        return _one_hot(np.maximum(0, np.asarray(target, dtype=np.int64)), classes)
    if head == "nested-token":
        layers = np.asarray(target, dtype=np.int64).reshape(len(value), -1)  # [words, T]
        return _one_hot(layers.ravel(), _CLASSES).reshape(len(value), -1)
    begin, end = target
    return _span(value[1], begin, end)


def _one_hot(ids: Any, classes: int) -> np.ndarray:
    sure: np.ndarray = (_SURE * (np.arange(classes) == np.asarray(ids)[:, None])).astype(np.float32)
    return sure


def _span(context: str, begin: int, end: int) -> SpanOutput:
    """A token per character; the null position first."""
    starts = np.arange(len(context), dtype=np.int32)
    places = np.concatenate([[[-1, -1]], np.stack([starts, starts + 1], axis=1)]).astype(np.int32)
    logits = np.full((len(places), 2), -_SURE, dtype=np.float32)
    logits[1 + begin, 0] = logits[end, 1] = _SURE
    return SpanOutput(places, logits)


def drawn(head: Head, value: Any, classes: int, draw: np.random.Generator) -> Any:
    """What a model would say that knows nothing."""
    if head == "sequence":
        return draw.normal(size=classes).astype(np.float32)
    if head == "span":
        said = _span(value[1], 0, 1)
        return SpanOutput(said.places, draw.normal(size=said.logits.shape).astype(np.float32))
    return draw.normal(size=(len(value), classes)).astype(np.float32)


# ----------------------------------------------------------------------------------------------------------- the checks


def light(bench: Bench, folder: Path) -> Finding:
    """In a fresh interpreter: made, nothing more."""
    code = (
        "import sys; from harness.specs import load_object; from harness.testing.jobs import params_of;"
        f"load_object({bench.spec.factory!r})(params_of({describe(bench.params())!r}));"
        "print('LOADED', *sys.modules)"
    )
    loaded = set(fresh(code).rpartition("LOADED")[2].split()) & set(HEAVY)
    if loaded:
        msg = f"'{bench.spec.factory}' imports {', '.join(sorted(loaded))}; scores and measured processes load it"
        raise Broken(msg)
    return passed(bench.spec.factory)


def prepares(bench: Bench, folder: Path) -> Finding:
    """Roles, ids, JSON, twice, and the source as it was."""
    source = bench.source()
    before = digests(source.root)
    prepared = bench.prepared()
    missing = [role for role in bench.task_spec.roles if not prepared.roles.get(role)]
    if missing:
        msg = f"no examples for {', '.join(missing)}"
        raise Broken(msg)
    ids = [example.get("id") for role in bench.task_spec.roles for example in prepared.roles[role]]
    if not all(isinstance(one, str) for one in ids) or len(set(ids)) != len(ids):
        msg = "every example of every role needs an `id` of its own, a string"
        raise Broken(msg)
    first = json.dumps({role: list(found) for role, found in prepared.roles.items()}, allow_nan=False)
    json.dumps(prepared.facts, allow_nan=False)
    again = bench.task_spec.load(bench.params()).prepare(source, bench.task_spec.roles)
    if (
        json.dumps({role: list(found) for role, found in again.roles.items()}) != first
        or again.labels != prepared.labels
    ):
        msg = "preparing the same source twice gives other examples"
        raise Broken(msg)
    if digests(source.root) != before:
        msg = f"it changed {source.origin}"
        raise Broken(msg)
    return passed(", ".join(f"{role} {len(prepared.roles[role])}" for role in bench.task_spec.roles))


def disjoint(bench: Bench, folder: Path) -> Finding:
    """By what a model reads."""
    roles = bench.prepared().roles
    texts = {role: {text_of(bench.task().input(e)) for e in roles[role]} for role in bench.task_spec.roles}
    for role in ("dev", "test"):
        shared = texts.get(role, set()) & texts.get("train", set())
        if shared:
            msg = f"{len(shared)} texts of {role} stand in train, too, such as {min(shared)[:60]!r}"
            raise Broken(msg)
    return passed(f"{sum(map(len, texts.values()))} different texts")


def valid(bench: Bench, folder: Path) -> Finding:
    """Inputs and targets of every role."""
    head, labels, task = bench.task_spec.head, bench.prepared().labels, bench.task()
    bench.targets()
    for role in bench.task_spec.roles:
        for example in bench.prepared().roles[role]:
            problem = fault(head, task.input(example), task.target(example, labels), len(labels))
            if problem:
                msg = f"{role}, example '{example['id']}': {problem}"
                raise Broken(msg)
    return passed(f"head '{head}', {len(labels)} labels")


def fault(head: Head, value: Any, target: Any, classes: int) -> str | None:
    """Why an input and its target are not what the head has."""
    if head == "sequence":
        right = isinstance(value, str) and isinstance(target, int | np.integer) and 0 <= target < classes
        return None if right else f"{target!r} is no class id from 0 to {classes - 1}, or its input is no text"
    if head == "span":
        question, context = value
        begin, end = target
        right = isinstance(question, str) and 0 <= begin < end <= len(context)
        return None if right else f"({begin}, {end}) is no place in a context of {len(context)} characters"
    found = np.asarray(target, dtype=np.int64)
    most = classes if head == "token" else _CLASSES
    if len(found) != len(value):
        return f"{len(found)} targets for {len(value)} words"
    known = (found == -100) | ((found >= 0) & (found < most))
    return None if known.all() else f"class ids {sorted(set(found[~known].ravel().tolist()))}: 0 to {most - 1}, or -100"


def declared_metrics(bench: Bench, folder: Path) -> Finding:
    """Every metric that it lists, one figure per weighting, in its range."""
    found = bench.score(bench.guessed(), np.ones((2, len(bench.judged()))))
    missing = [metric.name for metric in bench.task_spec.metrics if metric.name not in found]
    if missing:
        msg = f"it declares {', '.join(missing)} and does not compute it"
        raise Broken(msg)
    for metric in bench.task_spec.metrics:
        values = np.asarray(found[metric.name])
        inside = np.isfinite(values) & (values >= 0) & ((values <= 1) | (metric.unit != "%"))
        if values.shape != (2,) or not inside.all():
            allowed = "from 0 to 1" if metric.unit == "%" else "of at least 0"
            msg = f"{metric.name} is {values.tolist()} for two weightings: two numbers {allowed} were expected"
            raise Broken(msg)
    return passed(", ".join(metric.name for metric in bench.task_spec.metrics))


def maximum(bench: Bench, folder: Path) -> Finding:
    """Answers that are always right, and answers that are drawn."""
    right, drawn_ = bench.score(bench.perfect()), bench.score(bench.guessed())
    primary = bench.task_spec.metrics[0]
    best = float(right[primary.name][0])
    if primary.unit == "%" and abs(best - _ceiling(bench)) > _ROUNDED:
        msg = f"answers that are always right have {primary.name} = {best:.4f}; say why in the fact `ceilings`"
        raise Broken(msg)
    for metric in bench.task_spec.metrics:
        sign = 1 if metric.higher_is_better else -1
        good, bad = float(right[metric.name][0]), float(drawn_[metric.name][0])
        if sign * good < sign * bad:
            msg = f"{metric.name}: right answers have {good:.4f}, drawn ones {bad:.4f}"
            raise Broken(msg)
    worse = float(drawn_[primary.name][0])
    if worse == best:
        msg = f"{primary.name} is {best:.4f} for right answers and for drawn ones"
        raise Broken(msg)
    note = f"{primary.name}: right {best:.3f}, drawn {worse:.3f}"
    return passed(note) if best in (0.0, 1.0) else declared(f"{note}; the head cannot hold every answer")


def _ceiling(bench: Bench) -> float:
    """Of the primary metric: what preparing says that targets can reach, else the best there is."""
    primary, said = bench.task_spec.metrics[0], bench.prepared().facts.get("ceilings", {})
    role = "test" if "test" in bench.prepared().roles else next(iter(bench.prepared().roles))
    return float(said.get(role, {}).get(primary.name, 1.0 if primary.higher_is_better else 0.0))


def weights(bench: Bench, folder: Path) -> Finding:
    """Twice is weight 2, absent is weight 0: what a bootstrap takes for granted."""
    samples = bench.guessed()
    counts = np.arange(len(samples)) % 3  # [n]: 0, 1, 2, 0, …
    weighted = bench.score(samples, counts[None].astype(float))
    repeated = bench.score(np.repeat(samples, counts, axis=0))
    for metric in bench.task_spec.metrics:
        one, two = float(weighted[metric.name][0]), float(repeated[metric.name][0])
        if abs(one - two) > _CLOSE:
            msg = f"{metric.name}: {one:.6f} where examples weigh 0, 1 and 2; {two:.6f} where they stand there as often"
            raise Broken(msg)
    return passed(f"{len(samples)} examples")


def few(bench: Bench, folder: Path) -> Finding:
    """One example, and none."""
    task, labels = bench.task(), bench.prepared().labels
    one = bench.score(bench.guessed()[:1])
    wrong = [metric.name for metric in bench.task_spec.metrics if not np.isfinite(one[metric.name]).all()]
    if wrong:
        msg = f"{wrong[0]} of one example is {one[wrong[0]].tolist()}"
        raise Broken(msg)
    none = task.samples([], [], labels)
    if len(none):
        msg = f"samples of no example are {none.shape}; none were expected"
        raise Broken(msg)
    return passed("one example has finite metrics, none has no samples")


def answers(bench: Bench, folder: Path) -> Finding:
    """Details and answers are JSON."""
    task, labels = bench.task(), bench.prepared().labels
    json.dumps(task.details(bench.guessed(), labels), allow_nan=False)
    draw = np.random.default_rng(0)
    for example in bench.judged()[:5]:
        said = task.answer(example, drawn(bench.task_spec.head, task.input(example), len(labels), draw), labels)
        json.dumps(said, allow_nan=False)
    return passed()


def chance(bench: Bench, folder: Path) -> Finding:
    """None, or a possible score."""
    found = bench.task().chance(bench.judged(), bench.prepared().labels)
    if found is not None and not (np.isfinite(found) and found >= 0):
        msg = f"chance is {found}; a score or None was expected"
        raise Broken(msg)
    return passed("none" if found is None else f"{found:.3f}")


def critical(bench: Bench, folder: Path) -> Finding:
    """Where the spec names critical types."""
    if not bench.task_spec.names_critical:
        msg = "the spec names no critical types"
        raise NotApplicable(msg)
    task, labels = cast("CriticalTask", bench.task()), bench.prepared().labels
    found = task.critical(labels)
    if len(found) != len(labels) or not any(number >= 0 for number in found):
        msg = f"`critical` gives {list(found)} for {len(labels)} classes: a number from -1 for each, one of them from 0"
        raise Broken(msg)
    items = task.items(bench.judged())
    json.dumps(items, allow_nan=False)
    right = [
        perfect(bench.task_spec.head, target, task.input(example), len(labels))
        for target, example in zip(bench.targets(), bench.judged(), strict=True)
    ]
    hits = task.found(bench.judged(), right, labels)
    if len(hits) != len(items) or not np.asarray(hits).all():
        msg = f"a model that is always right found {int(np.sum(hits))} of {len(items)} critical items"
        raise Broken(msg)
    return passed(f"{len(items)} items")


CHECKS = (
    *COMMON,
    Look("light-task", "Its module imports NumPy at most: scores and measured processes load it.", light),
    Look("prepares", "The bundled sample gives every role, unique ids and JSON, the same each time.", prepares),
    Look("disjoint", "No text of dev or test stands in train: scores would be about memory.", disjoint),
    Look("targets", "Inputs and targets are what the head has; losses index with them.", valid),
    Look("metrics", "Every declared metric is computed, one figure per weighting, in its range.", declared_metrics),
    Look("maximum", "Right answers have the best score, drawn ones a worse one: the metric measures.", maximum),
    Look("weights", "An example of weight 2 counts as two of them: every interval rests on it.", weights),
    Look("few", "One example has a score and none is no crash.", few),
    Look("answers", "Details and answers are JSON: records and `harness predict` write them.", answers),
    Look("chance", "The score of an answerer that has learned nothing is a possible one, or None.", chance),
    Look("critical", "Critical types have numbers, and a model that is right finds every critical item.", critical),
)
