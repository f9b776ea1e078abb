"""Builds and loads recurrent students, whatever their recurrence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from harness import (
    BuildRequest,
    Facts,
    Head,
    StageError,
    load_pretrained,
    padding_id,
    parameter_facts,
    read_tokenizer,
    save_encoder,
    save_pretrained,
    train_wordpiece,
)
from harness_recurrent.modeling import RecurrentConfig

_DONORS: Mapping[Head, Any] = {
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
    "nested-token": AutoModelForTokenClassification,
    "span": AutoModelForQuestionAnswering,
}
_SHARED = (
    "factorised",
    "hidden_size",
    "conv",
    "kernels",
    "conv_norm",
    "conv_dropout",
    "pooling",
    "embedding_dropout",
    "dropout",
)
_WIDTH = 128
_SPAN = ("start", "end")  # what the two columns of a span head say, whatever the task's labels are


class Recurrent:
    """What the factories share."""

    config: ClassVar[type[RecurrentConfig]]
    models: ClassVar[Mapping[Head, Any]]
    own: ClassVar[tuple[str, ...]] = ()  # params that only this family has

    def build(self, request: BuildRequest) -> Facts:
        """Write config, weights, tokenizer and encoder settings. StageError when borrowed embeddings do not fit."""
        tokenizer, table = _tokenizer(request), _borrowed(request)
        config = self._config(request, tokenizer, table)
        torch.manual_seed(request.seed)
        model = self.models[request.head](config)
        weights = "random"
        if table is not None:
            weights = f"random, with another model's embeddings{_copy(table[: config.vocab_size], model.body)}"
        save_pretrained(model, request.out)
        save_encoder(request.out, tokenizer, request.max_length, doc_stride=request.doc_stride)
        return {"weights": weights, **parameter_facts(model), "vocab_size": config.vocab_size}

    def load(self, folder: Path, head: Head) -> nn.Module:
        """The model in eval mode. StageError when weights are missing."""
        model, names = load_pretrained(self.models[head], folder)
        if names["missing"]:
            msg = f"{folder}: the artifact lacks {len(names['missing'])} weights, e.g. {names['missing'][0]}"
            raise StageError(msg)
        return model

    def _config(self, request: BuildRequest, tokenizer: Tokenizer, table: Tensor | None) -> RecurrentConfig:
        params = request.params
        width = params.embedding_size or (_WIDTH if table is None else table.size(1))
        if params.factorised is not None and params.factorised >= width:
            msg = (
                f"factorised = {params.factorised}: the embeddings are {width} wide; use a smaller number or remove it"
            )
            raise StageError(msg)
        labels = _SPAN if request.head == "span" else request.labels
        return self.config(
            vocab_size=tokenizer.get_vocab_size(),
            embedding_size=width,
            num_hidden_layers=params.layers,
            pad_token_id=padding_id(tokenizer),
            id2label=dict(enumerate(labels)),
            label2id={label: at for at, label in enumerate(labels)},
            **{name: getattr(params, name) for name in (*_SHARED, *self.own)},
        )


def _tokenizer(request: BuildRequest) -> Tokenizer:
    """The one of the borrowed embeddings, another model's, the given one, or one trained on the task's texts."""
    artifacts = request.artifacts
    given = artifacts.get("embeddings") or artifacts.get("tokenizer") or request.assets.get("tokenizer")
    if given is not None:
        return read_tokenizer(given, request.params.lowercase)
    return train_wordpiece(request.texts(), request.params.vocab_size, request.params.lowercase)


def _borrowed(request: BuildRequest) -> Tensor | None:
    """The other model's embeddings [vocabulary, E]. StageError when the suite asks for another width."""
    folder = request.artifacts.get("embeddings")
    if folder is None:
        return None
    donor: Any = load_pretrained(_DONORS[request.head], folder)[0]
    table: Tensor = donor.get_input_embeddings().weight.detach()
    if hasattr(donor, "body") and donor.body.up is not None:
        table = table @ donor.body.up.weight.detach().t()
    wanted = request.params.embedding_size
    if wanted not in (None, table.size(1)):
        msg = f"embedding_size = {wanted}, and the copied embeddings are {table.size(1)} wide; remove embedding_size"
        raise StageError(msg)
    return table


@torch.no_grad()
def _copy(table: Tensor, body: Any) -> str:
    """Into the model's own table, or the nearest one of its rank; says how much of them is left then."""
    if body.up is None:
        body.embeddings.weight.copy_(table)
        return ""
    rank = body.embeddings.embedding_dim
    values, vectors = torch.linalg.eigh(table.double().t() @ table.double())  # ascending
    up = vectors[:, -rank:]  # [E, rank]
    up = up * torch.where(up.sum(0) < 0, -1.0, 1.0)  # an eigenvector's sign is anybody's guess
    body.up.weight.copy_(up)
    body.embeddings.weight.copy_(table.double() @ up)
    return f", of rank {rank} ({math.sqrt(float(values[-rank:].sum() / values.sum())):.1%} of their norm)"
