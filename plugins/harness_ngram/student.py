"""Builds and loads `ngram`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from harness import BuildRequest, Facts, Head, StageError, load_pretrained, parameter_facts, save_pretrained
from harness_ngram.encoder import PAD, SETTINGS
from harness_ngram.modeling import NgramConfig, NgramForSequenceClassification

_SIZES = ("rows", "width", "pooling", "hidden_size", "dropout", "init_std")


class Ngram:
    """The factory of `ngram`."""

    def build(self, request: BuildRequest) -> Facts:
        """Write config, weights and encoder settings."""
        params, labels = request.params, request.labels
        config = NgramConfig(
            id2label=dict(enumerate(labels)),
            label2id={label: at for at, label in enumerate(labels)},
            **{name: getattr(params, name) for name in _SIZES},
        )
        torch.manual_seed(request.seed)
        model = NgramForSequenceClassification(config)
        save_pretrained(model, request.out)
        settings = {
            "rows": params.rows,
            "words": params.words,
            "pieces": params.pieces,
            "lowercase": params.lowercase,
            "max_length": request.max_length,
            "unknown": PAD,  # what the loop's token_dropout puts in an n-gram's place: it is out of the bag then
            "special": [PAD],
        }
        (request.out / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        return {"weights": "random", **parameter_facts(model)}

    def load(self, folder: Path, head: Head) -> nn.Module:
        """The model in eval mode. StageError when weights are missing."""
        model, names = load_pretrained(NgramForSequenceClassification, folder)
        if names["missing"]:
            msg = f"{folder}: the artifact lacks {len(names['missing'])} weights, e.g. {names['missing'][0]}"
            raise StageError(msg)
        return model
