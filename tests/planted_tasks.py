"""Tasks that each break one promise; see `planted`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness import Metric, TaskSpec
from harness_ner.plugin import NerParams
from harness_ner.task import NamedEntities
from harness_sentiment.plugin import SentimentParams
from harness_sentiment.task import Sentiment


def task(name: str, **fields) -> TaskSpec:
    """The spec of one of them, about reviews."""
    plain = {
        "name": "planted", "summary": "Reviews", "version": 1, "head": "sequence", "params": SentimentParams,
        "metrics": (Metric(name="accuracy"),), "sample_source": "bundled:harness_sentiment/data/sample",
        "factory": f"planted_tasks:{name}",
    }  # fmt: skip
    return TaskSpec(**{**plain, **fields})


def entities(name: str) -> TaskSpec:
    """The spec of one of them, about entities."""
    return task(
        name, head="token", params=NerParams, metrics=(Metric(name="f1"),), names_critical=True,
        sample_source="bundled:harness_ner/data/sample",
    )  # fmt: skip


def heavy(params):
    """Brings PyTorch along."""
    import torch  # noqa: F401

    return Sentiment(params)


class SameIds(Sentiment):
    def prepare(self, source, roles, progress=lambda done, total: None):
        made = super().prepare(source, roles)
        return replace(made, roles={role: [{**e, "id": "1"} for e in found] for role, found in made.roles.items()})


class Shuffled(Sentiment):
    drawn = 0

    def prepare(self, source, roles, progress=lambda done, total: None):
        Shuffled.drawn += 1
        made = super().prepare(source, roles)
        return replace(made, roles={role: found[Shuffled.drawn % 2 :] for role, found in made.roles.items()})


class NoDev(Sentiment):
    def prepare(self, source, roles, progress=lambda done, total: None):
        made = super().prepare(source, roles)
        return replace(made, roles={**made.roles, "dev": []})


class Leaking(Sentiment):
    def prepare(self, source, roles, progress=lambda done, total: None):
        made = super().prepare(source, roles)
        again = [{**example, "id": f"again-{example['id']}"} for example in made.roles["test"][:3]]
        return replace(made, roles={**made.roles, "train": [*made.roles["train"], *again]})


class FloatTargets(Sentiment):
    def target(self, example, labels):
        return float(super().target(example, labels))

    def samples(self, examples, outputs, labels):
        return Sentiment(self.params).samples(examples, outputs, labels)


class Unscaled(Sentiment):
    def metrics(self, samples, weights, labels):
        return {name: 100 * values for name, values in super().metrics(samples, weights, labels).items()}


class Upside(Sentiment):
    def metrics(self, samples, weights, labels):
        return {name: 1 - values for name, values in super().metrics(samples, weights, labels).items()}


class Unweighted(Sentiment):
    def metrics(self, samples, weights, labels):
        return super().metrics(samples, np.ones_like(weights), labels)


class Many(Sentiment):
    def metrics(self, samples, weights, labels):
        found = super().metrics(samples, weights, labels)
        return found if len(samples) > 1 else {name: values * np.nan for name, values in found.items()}


class NumericAnswers(Sentiment):
    def answer(self, example, output, labels):
        return {**super().answer(example, output, labels), "logit": output[0]}


class NoChance(Sentiment):
    def chance(self, examples, labels):
        return float("nan")


class Uncritical(NamedEntities):
    def critical(self, labels):
        return super().critical(labels)[:-1]


class Overlooking(NamedEntities):
    def found(self, examples, outputs, labels):
        hits = super().found(examples, outputs, labels)
        hits[0] = False
        return hits
