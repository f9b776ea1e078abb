"""Students, distillers and runtimes of PyTorch that each break one promise; see `planted`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput

from harness import DistillerSpec, RuntimeSpec, StudentSpec
from harness_distillers.plugin import KdParams
from harness_ngram import encoder as ngram_encoder
from harness_ngram.plugin import NgramParams
from harness_ngram.student import Ngram
from harness_torch.runtime import TorchRuntime

SMALL = {"rows": 512, "width": 8}


def student(name: str, **fields) -> StudentSpec:
    """The spec of one of them."""
    plain = {
        "name": "planted", "summary": "N-grams", "version": 1, "heads": ("sequence",), "params": NgramParams,
        "encoder": "harness_ngram.encoder:load", "miniature": SMALL, "factory": f"planted_torch:{name}",
    }  # fmt: skip
    return StudentSpec(**{**plain, **fields})


def heavy_encoder(folder):
    """Imports what it does not need: this module."""
    return ngram_encoder.load(folder)


class Numeric(Ngram):
    def build(self, request):
        return {**super().build(request), "spread": np.float32(1)}


class Raising(Ngram):
    def build(self, request):
        msg = "no such layer"
        raise ValueError(msg)


class Forgetful(Ngram):
    """Draws a weight when it is loaded."""

    def load(self, folder, head):
        model = super().load(folder, head)
        model.classifier.bias.data += torch.rand(()) / 100
        return model


class Wrapped(Ngram):
    """Changes what the model says."""

    def load(self, folder, head):
        model = super().load(folder, head)
        plain = model.forward
        model.forward = lambda input_ids, **rest: self.say(plain(input_ids, **rest), input_ids)
        return model


class BatchMates(Wrapped):
    def say(self, answer, ids):
        return SequenceClassifierOutput(logits=answer.logits + 0.1 * answer.logits.mean(0))


class Lengths(Wrapped):
    def say(self, answer, ids):
        if ids.shape == (7, 23):
            msg = "traced for other lengths"
            raise ValueError(msg)
        return answer


class Upwards(Wrapped):
    """The gradient points the wrong way."""

    def say(self, answer, ids):
        return SequenceClassifierOutput(logits=2 * answer.logits.detach() - answer.logits)


class Idle(Ngram):
    """A parameter that nothing reads."""

    def load(self, folder, head):
        model = super().load(folder, head)
        model.spare = nn.Parameter(torch.zeros(3))
        return model


class Frozen(Ngram):
    """One that says that it is not trained."""

    def load(self, folder, head):
        model = super().load(folder, head)
        model.spare = nn.Parameter(torch.zeros(3), requires_grad=False)
        return model


class Hashed(Ngram):
    def build(self, request):
        return super().build(SimpleNamespace(**{**request.__dict__, "seed": hash("seed") % 2**31 + request.seed}))


class Seedless(Ngram):
    def build(self, request):
        return super().build(SimpleNamespace(**{**request.__dict__, "seed": 0}))


class Renamed(Ngram):
    def build(self, request):
        facts = super().build(request)
        config = json.loads((request.out / "config.json").read_text())
        config["id2label"] = dict(zip(config["id2label"], reversed(config["id2label"].values()), strict=True))
        (request.out / "config.json").write_text(json.dumps(config))
        return facts


class Littering(Ngram):
    def build(self, request):
        (Path.home() / "planted.txt").write_text("x")
        return super().build(request)


class Shifted(TorchRuntime):
    """PyTorch, a little off."""

    def load(self, *words):
        session = super().load(*words)
        plain = session.forward
        session.forward = lambda arrays: {name: array + np.float32(0.01) for name, array in plain(arrays).items()}
        return session


SHIFTED = RuntimeSpec(name="planted", summary="PyTorch", version=1, formats=("torch",), factory="planted_torch:Shifted")


# ---------------------------------------------------------------------------------------------------------- distillers


def distiller(name: str, **fields) -> DistillerSpec:
    """The spec of one of them."""
    plain = {
        "name": "planted", "summary": "A loss", "version": 1, "heads": ("sequence", "span"), "needs_teacher": True,
        "needs_labels": False, "params": KdParams, "factory": f"planted_torch:{name}",
    }  # fmt: skip
    return DistillerSpec(**{**plain, **fields})


class Soft:
    """Sound: cross-entropy with the teacher, where it knows something."""

    def loss(self, batch, params):
        (teacher,) = batch.teachers
        if batch.covered is None:
            return functional.cross_entropy(batch.logits, teacher.softmax(-1)), {}
        masked = [logits.masked_fill(~batch.covered, -1e4) for logits in (batch.logits, teacher)]
        return functional.cross_entropy(masked[0], masked[1].softmax(-1)), {}


class Deaf(Soft):
    """Averages its teachers, and hears of no weights."""

    def loss(self, batch, params):
        masked = [one if batch.covered is None else one.masked_fill(~batch.covered, -1e4) for one in batch.teachers]
        mean = torch.stack([one.softmax(-1) for one in masked]).mean(0)
        said = batch.logits if batch.covered is None else batch.logits.masked_fill(~batch.covered, -1e4)
        return functional.cross_entropy(said, mean), {}


class Unsteady(Soft):
    drawn = 0.0

    def loss(self, batch, params):
        Unsteady.drawn += 1e-3
        loss, parts = super().loss(batch, params)
        return loss + Unsteady.drawn * 1e-2, parts


class PerUnit(Soft):
    def loss(self, batch, params):
        return functional.cross_entropy(batch.logits, batch.teachers[0].softmax(-1), reduction="none"), {}


class NanPart(Soft):
    def loss(self, batch, params):
        return super().loss(batch, params)[0], {"teacher": float("nan")}


class Detached(Soft):
    def loss(self, batch, params):
        loss, parts = super().loss(batch, params)
        return loss.detach() + 0 * batch.logits.sum(), parts


class Away(Soft):
    """Leads away from its teacher; without labels it says nothing wrong at the teacher."""

    def loss(self, batch, params):
        loss, parts = super().loss(batch, params)
        return loss if (batch.targets < 0).all() else -loss, parts


class Smoothed(Soft):
    """Where the student agrees with its teacher it goes on pulling."""

    def loss(self, batch, params):
        loss, parts = super().loss(batch, params)
        return loss + 0.1 * batch.logits[:, 0].square().mean() * (batch.exists is None), parts


class LossAlone(Soft):
    def loss(self, batch, params):
        return super().loss(batch, params)[0]


class DeafToItsTeacher(Soft):
    """Learns from labelled units alone."""

    def loss(self, batch, params):
        loss, parts = super().loss(batch, params)
        return loss.detach() if (batch.targets < 0).all() else loss, parts


class Blind(Soft):
    """Believes a teacher where it sees nothing."""

    def loss(self, batch, params):
        return functional.cross_entropy(batch.logits, batch.teachers[0].softmax(-1)), {}


class Everywhere(Soft):
    """Pulls at positions that do not exist."""

    def loss(self, batch, params):
        loss, parts = super().loss(batch, params)
        return loss - 1e-7 * batch.logits.detach().mean(), parts


class LabelsAlways(Soft):
    def loss(self, batch, params):
        loss, parts = super().loss(batch, params)
        hard = functional.cross_entropy(batch.logits, batch.targets, ignore_index=-100)
        return loss + 0 * hard, parts
