"""Builds and loads transformer encoders for the heads that a task may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from optimum.exporters.tasks import TasksManager
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from harness import (
    AssetError,
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
from harness_transformers.checkpoints import check_weights, read_config

_TASKS: dict[Head, str] = {"sequence": "text-classification"}  # a head is a stock Auto class
_FROM_PADDING = ("camembert", "roberta", "xlm-roberta")  # position ids start after the padding id
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")


class Transformer:
    """The factory of the `transformer` student."""

    def build(self, request: BuildRequest) -> Facts:
        """Write config, weights, tokenizer and encoder settings. AssetError for an unusable checkpoint or tokenizer."""
        checkpoint = request.assets.get("checkpoint")
        tokenizer = _tokenizer(request, checkpoint)
        torch.manual_seed(request.seed)
        if checkpoint is None:
            model = _auto(request.head).from_config(_config(request, tokenizer))
            facts: Facts = {"weights": "random"}
        else:
            model, facts = _from_checkpoint(request, checkpoint)
        _check_fit(model, tokenizer, request.max_length)
        save_pretrained(model, request.out)
        save_encoder(request.out, tokenizer, request.max_length, model.config.pad_token_id)
        return {**facts, **parameter_facts(model), "vocab_size": tokenizer.get_vocab_size()}

    def load(self, folder: Path, head: Head) -> nn.Module:
        """The model in eval mode, with SDPA where the architecture has it. StageError when weights are missing."""
        model, names = load_pretrained(_auto(head), folder)
        if names["missing"]:
            msg = f"{folder}: the artifact lacks {len(names['missing'])} weights, e.g. {names['missing'][0]}"
            raise StageError(msg)
        return model


def _auto(head: Head) -> Any:
    return TasksManager.get_model_class_for_task(_TASKS[head], framework="pt")


def _tokenizer(request: BuildRequest, checkpoint: Path | None) -> Tokenizer:
    """The given one, another model's, the checkpoint's, or one trained on the task's texts, in this order."""
    given = request.assets.get("tokenizer") or request.artifacts.get("tokenizer") or checkpoint
    if given is not None:
        return read_tokenizer(given, request.params.lowercase)
    return train_wordpiece(request.texts(), request.params.vocab_size, request.params.lowercase)


# ------------------------------------------------------------------------------------------------- from dimensions


def _config(request: BuildRequest, tokenizer: Tokenizer) -> PreTrainedConfig:
    """As many positions as `max_length` needs, none more: they are part of the model's size."""
    params = request.params
    pad = padding_id(tokenizer)
    wide = params.intermediate or 4 * params.hidden_size
    names = {"hidden_dim" if params.model_type == "distilbert" else "intermediate_size": wide}
    if params.model_type == "electra":
        names["embedding_size"] = params.hidden_size
    config = AutoConfig.for_model(
        params.model_type,
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=params.hidden_size,
        num_hidden_layers=params.layers,
        num_attention_heads=params.heads,
        max_position_embeddings=request.max_length + _offset(params.model_type, pad),
        pad_token_id=pad,
        **names,
    )
    return _told(config, request)


def _told(config: PreTrainedConfig, request: BuildRequest) -> PreTrainedConfig:
    """The config with the task's labels and the suite's dropout."""
    config.id2label = dict(enumerate(request.labels))
    config.label2id = {label: at for at, label in enumerate(request.labels)}
    names = [name for name in _DROPOUTS if hasattr(config, name)]
    if request.params.dropout is not None:
        if not names:
            msg = f"dropout = {request.params.dropout}: a {config.model_type} config has no dropout to set; remove it"
            raise StageError(msg)
        for name in names:
            setattr(config, name, request.params.dropout)
    return config


def _offset(model_type: str, pad: int) -> int:
    return pad + 1 if model_type in _FROM_PADDING else 0


def _check_fit(model: PreTrainedModel, tokenizer: Tokenizer, max_length: int) -> None:
    """AssetError when the tokenizer has ids or max_length has positions that the model does not have."""
    rows = int(cast("nn.Embedding", model.get_input_embeddings()).weight.shape[0])
    if tokenizer.get_vocab_size() > rows:
        msg = f"the tokenizer has {tokenizer.get_vocab_size()} tokens and the model {rows}: they do not belong together"
        raise AssetError(msg)
    config = model.config
    positions = getattr(config, "max_position_embeddings", None)
    limit = positions and positions - _offset(config.model_type, config.pad_token_id or 0)
    if limit and max_length > limit:
        msg = f"task.max_length = {max_length}, and the model has {limit} positions; set it to {limit} or less"
        raise AssetError(msg)


# ------------------------------------------------------------------------------------------------ from a checkpoint


def _from_checkpoint(request: BuildRequest, folder: Path) -> tuple[PreTrainedModel, Facts]:
    """The checkpoint's encoder with a head for the task's labels: its own where the labels are the same, else new."""
    written = read_config(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{folder}/config.json: model_type '{written['model_type']}' cannot be loaded ({error})"
        raise AssetError(msg) from error
    order = _own_order(config, request.labels)
    config = _told(config, request)
    if request.random_weights:
        return _auto(request.head).from_config(config), {"weights": "random"}
    check_weights(folder)
    model, names = load_pretrained(_auto(request.head), folder, config=config)
    _check_body(model, names["missing"], folder)
    fresh = [] if order else _new_head(model, request)
    if order:
        _reorder(model, order)
    initialised = sorted({*names["missing"], *fresh})
    return model, {"weights": "checkpoint", "initialised": initialised, "unused": names["unexpected"]}


def _own_order(config: PreTrainedConfig, labels: Sequence[str]) -> list[int] | None:
    """Where a classifier's own head has each of our labels; None when it has others or there is no classifier."""
    classifier = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    ids = {str(label): int(at) for at, label in (config.id2label or {}).items()}
    return [ids[label] for label in labels] if classifier and set(ids) == set(labels) else None


def _reorder(model: PreTrainedModel, order: list[int]) -> None:
    """Put the rows of the last layer in the order of our labels."""
    wide = [module for module in model.modules() if isinstance(module, nn.Linear) and len(module.weight) == len(order)]
    last = wide[-1]
    with torch.no_grad():
        last.weight.copy_(last.weight[order].clone())
        if last.bias is not None:
            last.bias.copy_(last.bias[order].clone())


def _check_body(model: PreTrainedModel, missing: Sequence[str], folder: Path) -> None:
    """AssetError when weights of the encoder itself would be random; a pooler belongs to the head."""
    body = [name for name in missing if name.startswith(f"{model.base_model_prefix}.") and ".pooler." not in name]
    if body:
        kind = model.config.model_type
        msg = f"{folder}: not the weights of this {kind} config: {len(body)} of the encoder are missing, e.g. {body[0]}"
        raise AssetError(msg)


def _new_head(model: PreTrainedModel, request: BuildRequest) -> list[str]:
    """Overwrite everything outside the encoder with weights drawn from the seed; returns the names."""
    torch.manual_seed(request.seed)
    drawn = dict(type(model)(model.config).named_parameters())
    names = [name for name in drawn if not name.startswith(f"{model.base_model_prefix}.")]
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name in names:
            own[name].copy_(drawn[name])
    return names
