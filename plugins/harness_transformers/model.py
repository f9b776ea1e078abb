"""Builds and loads transformer encoders for the heads that a task may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel

from harness import (
    AssetError,
    BuildRequest,
    Facts,
    Head,
    StageError,
    load_pretrained,
    parameter_facts,
    read_tokenizer,
    save_encoder,
    save_pretrained,
    train_wordpiece,
)
from harness_transformers.cut import from_layers
from harness_transformers.heads import auto, reads_token_types
from harness_transformers.pretrained import from_checkpoint
from harness_transformers.untrained import (
    architecture,
    from_architecture,
    from_dimensions,
    position_offset,
    vocabulary,
)


class Transformer:
    """The factory of the `transformer` student."""

    def build(self, request: BuildRequest) -> Facts:
        """Write config, weights, tokenizer and encoder settings.

        AssetError for an unusable checkpoint or tokenizer, StageError for layers that cannot be cut out.
        """
        model, tokenizer, facts = _made(request)
        _check_fit(model, tokenizer, request.max_length)
        save_pretrained(model, request.out)
        types = reads_token_types(model, request.head)
        pad = model.config.pad_token_id
        save_encoder(request.out, tokenizer, request.max_length, pad, doc_stride=request.doc_stride, token_types=types)
        return {**facts, **parameter_facts(model), "vocab_size": tokenizer.get_vocab_size()}

    def load(self, folder: Path, head: Head) -> nn.Module:
        """The model in eval mode, with SDPA where the architecture has it. StageError when weights are missing."""
        model, names = load_pretrained(auto(head), folder)
        if names["missing"]:
            msg = f"{folder}: the artifact lacks {len(names['missing'])} weights, e.g. {names['missing'][0]}"
            raise StageError(msg)
        return model


def _made(request: BuildRequest) -> tuple[PreTrainedModel, Tokenizer, Facts]:
    """The model and its tokenizer: cut from another one, of a known architecture, a checkpoint's, or new."""
    if "layers_of" in request.artifacts:
        return from_layers(request, request.artifacts["layers_of"])
    known = architecture(request)
    if known is not None:
        tokenizer, facts = vocabulary(request, known)
        torch.manual_seed(request.seed)
        model = auto(request.head).from_config(from_architecture(request, known, tokenizer))
        return model, tokenizer, {"weights": "random", **facts}
    checkpoint = request.assets.get("checkpoint")
    tokenizer = _tokenizer(request, checkpoint)
    torch.manual_seed(request.seed)
    if checkpoint is None:
        return auto(request.head).from_config(from_dimensions(request, tokenizer)), tokenizer, {"weights": "random"}
    model, facts = from_checkpoint(request, checkpoint)
    return model, tokenizer, facts


def _tokenizer(request: BuildRequest, checkpoint: Path | None) -> Tokenizer:
    """The given one, another model's, the checkpoint's, or one trained on the task's texts, in this order."""
    given = request.assets.get("tokenizer") or request.artifacts.get("tokenizer") or checkpoint
    if given is not None:
        return read_tokenizer(given, request.params.lowercase)
    return train_wordpiece(request.texts(), request.params.vocab_size, request.params.lowercase)


def _check_fit(model: PreTrainedModel, tokenizer: Tokenizer, max_length: int) -> None:
    """AssetError when the tokenizer has ids or max_length has positions that the model does not have."""
    rows = int(cast("nn.Embedding", model.get_input_embeddings()).weight.shape[0])
    if tokenizer.get_vocab_size() > rows:
        msg = f"the tokenizer has {tokenizer.get_vocab_size()} tokens and the model {rows}: they do not belong together"
        raise AssetError(msg)
    config = model.config
    positions = getattr(config, "max_position_embeddings", None)
    limit = positions and positions - position_offset(config.model_type, config.pad_token_id or 0)
    if limit and max_length > limit:
        msg = f"task.max_length = {max_length}, and the model has {limit} positions; set it to {limit} or less"
        raise AssetError(msg)
