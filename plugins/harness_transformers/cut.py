"""A student cut from another model: its embeddings, some of its layers, its head, its tokenizer.

A stack of every second layer is how DistilBERT was started (https://arxiv.org/abs/1910.01108).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel

from harness import AssetError, BuildRequest, Facts, StageError, load_pretrained, read_tokenizer
from harness_transformers.heads import auto, stacks, told

_OWN = frozenset({"dropout"})  # the only param that such a student has


def from_layers(request: BuildRequest, donor: Path) -> tuple[PreTrainedModel, Tokenizer, Facts]:
    """The donor with fewer layers, `request.keep` of them or every second one; nothing is drawn.

    StageError when a layer does not exist, the donor has no stack of layers, or the suite gives dimensions as well.
    """
    clash = sorted(request.params.model_fields_set - _OWN)
    if clash:
        msg = f"init.layers_of brings dimensions, weights and tokenizer of its own: remove {', '.join(clash)}"
        raise StageError(msg)
    model = _load(request, donor)
    name, stack = _stack(model)
    keep = evenly(len(stack)) if request.keep is None else checked(request.keep, len(stack))
    model.set_submodule(name, nn.ModuleList(stack[at] for at in keep))
    model.config.num_hidden_layers = len(keep)
    told(model.config, request)
    return model, read_tokenizer(donor), {"weights": f"layers {list(keep)} of {len(stack)} of another model"}


def evenly(layers: int) -> tuple[int, ...]:
    """Half of the layers, the first and the last among them: 12 → 0, 2, 4, 7, 9, 11."""
    count = max(1, layers // 2)
    return tuple(round(at * (layers - 1) / max(1, count - 1)) for at in range(count))


def checked(keep: Sequence[int], layers: int) -> tuple[int, ...]:
    """`keep` itself. StageError unless it names layers that exist, each once, in their order."""
    absent = [at for at in keep if not 0 <= at < layers]
    if absent:
        msg = f"init.keep = {list(keep)}: the model has {layers} layers, 0 to {layers - 1}; there is no {absent[0]}"
        raise StageError(msg)
    if not keep or list(keep) != sorted(set(keep)):
        msg = f"init.keep = {list(keep)}: name at least one layer, each once, in ascending order"
        raise StageError(msg)
    return tuple(keep)


def _load(request: BuildRequest, donor: Path) -> PreTrainedModel:
    try:
        model, names = load_pretrained(auto(request.head), donor)
    except AssetError as error:
        msg = f"init.layers_of: {error}; only a transformer has layers to cut out"
        raise StageError(msg) from error
    if names["missing"]:
        msg = f"init.layers_of: {donor} lacks {len(names['missing'])} weights, e.g. {names['missing'][0]}"
        raise StageError(msg)
    return model


def _stack(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The one list with a module per layer. StageError where layers are shared or spread over several lists."""
    layers = getattr(model.config, "num_hidden_layers", None)
    names = stacks(model, layers) if layers else []
    if len(names) != 1:
        msg = f"init.layers_of: the layers of a {model.config.model_type} model cannot be told apart; use another model"
        raise StageError(msg)
    return names[0], cast("nn.ModuleList", model.get_submodule(names[0]))
