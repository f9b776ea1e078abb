"""Builds and loads the `lstm` student."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

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
from harness_recurrent.modeling import LstmConfig, LstmForSequenceClassification, LstmForTokenClassification

_MODELS: dict[Head, tuple[Any, Any]] = {  # ours, any donor's
    "sequence": (LstmForSequenceClassification, AutoModelForSequenceClassification),
    "token": (LstmForTokenClassification, AutoModelForTokenClassification),
}
_WIDTH = 128


class Lstm:
    """The factory of the `lstm` student."""

    def build(self, request: BuildRequest) -> Facts:
        """Write config, weights, tokenizer and encoder settings. StageError when borrowed embeddings do not fit."""
        tokenizer, table = _tokenizer(request), _borrowed(request)
        config = _config(request, tokenizer, table)
        torch.manual_seed(request.seed)
        model = _MODELS[request.head][0](config)
        if table is not None:
            with torch.no_grad():
                model.lstm.embeddings.weight.copy_(table[: config.vocab_size])
        save_pretrained(model, request.out)
        save_encoder(request.out, tokenizer, request.max_length)
        weights = "random" if table is None else "random, with another model's embeddings"
        return {"weights": weights, **parameter_facts(model), "vocab_size": config.vocab_size}

    def load(self, folder: Path, head: Head) -> nn.Module:
        """The model in eval mode. StageError when weights are missing."""
        model, names = load_pretrained(_MODELS[head][0], folder)
        if names["missing"]:
            msg = f"{folder}: the artifact lacks {len(names['missing'])} weights, e.g. {names['missing'][0]}"
            raise StageError(msg)
        return model


def _tokenizer(request: BuildRequest) -> Tokenizer:
    """The one of the borrowed embeddings, another model's, the given one, or one trained on the task's texts."""
    artifacts = request.artifacts
    given = artifacts.get("embeddings") or artifacts.get("tokenizer") or request.assets.get("tokenizer")
    if given is not None:
        return read_tokenizer(given, request.params.lowercase)
    return train_wordpiece(request.texts(), request.params.vocab_size, request.params.lowercase)


def _borrowed(request: BuildRequest) -> Tensor | None:
    """The other model's embedding table [vocabulary, E]. StageError when the suite asks for another width."""
    folder = request.artifacts.get("embeddings")
    if folder is None:
        return None
    donor, _ = load_pretrained(_MODELS[request.head][1], folder)
    table = cast("nn.Embedding", donor.get_input_embeddings()).weight.detach()
    wanted = request.params.embedding_size
    if wanted not in (None, table.size(1)):
        msg = f"embedding_size = {wanted}, and the copied embeddings are {table.size(1)} wide; remove embedding_size"
        raise StageError(msg)
    return table


def _config(request: BuildRequest, tokenizer: Tokenizer, table: Tensor | None) -> LstmConfig:
    params = request.params
    width = params.embedding_size or (_WIDTH if table is None else table.size(1))
    return LstmConfig(
        vocab_size=tokenizer.get_vocab_size(),
        embedding_size=width,
        hidden_size=params.hidden_size,
        num_hidden_layers=params.layers,
        pooling=params.pooling,
        embedding_dropout=params.embedding_dropout,
        dropout=params.dropout,
        pad_token_id=padding_id(tokenizer),
        id2label=dict(enumerate(request.labels)),
        label2id={label: at for at, label in enumerate(request.labels)},
    )
