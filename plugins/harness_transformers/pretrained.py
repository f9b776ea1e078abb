"""A model from a checkpoint: its encoder, and its own head where that answers the task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from harness import AssetError, BuildRequest, Facts, choices, load_pretrained
from harness_transformers.checkpoints import check_weights, read_config, weight_bytes
from harness_transformers.heads import auto, body_prefix, label_names, own_order, told

_SHOWN = 10  # labels in a message


def from_checkpoint(request: BuildRequest, folder: Path) -> tuple[PreTrainedModel, Facts]:
    """The checkpoint's encoder with a head for the task: its own where it is whole and has the same labels, else new.

    Facts: `initialised` names the weights that were drawn from the seed, `unused` those that were left. AssetError for
    an unusable folder, and for a head that does not answer the task where it is to be used as it is.
    """
    config = load_config(folder)
    order = own_order(config, request)
    config = told(config, request)
    if request.random_weights:
        _check_size(config, request, folder, psutil.virtual_memory().total // 4, "this machine has memory for")
        return auto(request.head).from_config(config), {"weights": "random"}
    check_weights(folder)
    _check_size(config, request, folder, weight_bytes(folder), "its weights are at most")
    model, names = load_pretrained(auto(request.head), folder, config=config)
    missing = names["missing"]
    _check_body(model, missing, folder)
    keeps = order is not None and all(name.startswith(body_prefix(model)) for name in missing)
    if request.as_it_is and not keeps:
        raise AssetError(_does_not_answer(request, folder))
    fresh = [] if keeps else _new_head(model, request)
    if keeps and order and order != sorted(order):
        _reorder(model, order)
    initialised = sorted({*missing, *fresh})
    return model, {"weights": "checkpoint", "initialised": initialised, "unused": names["unexpected"]}


def _does_not_answer(request: BuildRequest, folder: Path) -> str:
    config = load_config(folder)
    found = list((config.id2label or {}).values())
    head = f"{choices(config.architectures or ())} with {_labels(found)}"
    wanted = f"'{request.head}' with {_labels(label_names(request))}"
    return (
        f"{folder}/config.json: the model is used as it is and does not answer this task: it is {head}, the task needs "
        f"{wanted}. Give the model a train step, or use one with these labels"
    )


def _labels(names: Sequence[str]) -> str:
    """The first of them, so that what to do is not cut off behind hundreds."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"the labels {choices(names[:_SHOWN])}{more}"


def load_config(folder: Path) -> PreTrainedConfig:
    """The config of a checkpoint. AssetError when it is missing, asks for code, or is of no known architecture."""
    written = read_config(folder)
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # classes of configs check their values each in its own way
        what = f"{type(error).__name__}: {error}"
        msg = f"{folder}/config.json: model_type '{written['model_type']}' cannot be loaded ({what})"
        raise AssetError(msg) from error
    return config


def _check_size(config: PreTrainedConfig, request: BuildRequest, folder: Path, most: int, why: str) -> None:
    """AssetError where the config describes an encoder of more than `most` parameters: building it would need memory.

    It is built without any; one that cannot be built, or cannot answer, is an AssetError too.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = auto(request.head).from_config(config)
            found = sum(parameter.numel() for parameter in getattr(model, model.base_model_prefix).parameters())
            if found <= most:
                model.eval()(input_ids=torch.zeros((1, 1), dtype=torch.long))
    except Exception as error:  # whatever a model stumbles over that was never meant to be
        msg = f"{folder}/config.json: no model can be built from it ({type(error).__name__}: {error})"
        raise AssetError(msg) from error
    if found > most:
        msg = f"{folder}/config.json: an encoder of {found:,} parameters, and {why} {most:,}; get both from one place"
        raise AssetError(msg)


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
    body = [name for name in missing if name.startswith(body_prefix(model)) and ".pooler." not in name]
    if body:
        kind = model.config.model_type
        msg = f"{folder}: not the weights of this {kind} config: {len(body)} of the encoder are missing, e.g. {body[0]}"
        raise AssetError(msg)


def _new_head(model: PreTrainedModel, request: BuildRequest) -> list[str]:
    """Overwrite everything outside the encoder with weights drawn from the seed; returns the names."""
    torch.manual_seed(request.seed)
    drawn = dict(type(model)(model.config).named_parameters())
    names = [name for name in drawn if not name.startswith(body_prefix(model))]
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name in names:
            own[name].copy_(drawn[name])
    return names
