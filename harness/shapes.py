"""Models whose layers are unequal: what `config.json` says of every linear layer that its architecture makes larger.

An architecture's config knows one width for all layers. After pruning they differ, so `linear_shapes` maps the names of
such layers to [outputs, inputs]; whoever builds the model from its config cuts them to these shapes before weights are
put in. A file can only make a layer smaller than its config does: it cannot ask for memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

KEY = "linear_shapes"
_HEADS = ("num_attention_heads", "num_heads", "n_heads")  # what attention modules call the number of their heads
_QUERIES = ("query", "q_lin", "q_proj")


def cut_linear(
    model: PreTrainedModel, name: str, *, rows: Sequence[int] | None = None, columns: Sequence[int] | None = None
) -> None:
    """Leave a linear layer only these outputs (`rows`) and inputs (`columns`), in place; None: all of them.

    ValueError where there is no such layer, or nothing would be left of it.
    """
    import torch

    layer = _linear(model, name)
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    if rows is not None:
        weight, bias = weight[torch.tensor(rows, dtype=torch.long)], bias if bias is None else bias[torch.tensor(rows)]
    if columns is not None:
        weight = weight[:, torch.tensor(columns, dtype=torch.long)]
    smaller = _replaced(model, name, *weight.shape)
    with torch.no_grad():
        smaller.weight.copy_(weight)
        if bias is not None:
            smaller.bias.copy_(bias)
    count_heads(model)
    setattr(model.config, KEY, {**shapes_of(model.config), name: [*weight.shape]})


def shapes_of(config: Any) -> Mapping[str, Any]:
    """What a config, or its JSON, says of layers that are smaller than it would make them."""
    return (config.get(KEY) if isinstance(config, dict) else getattr(config, KEY, None)) or {}


def reshape(model: torch.nn.Module, config: Any) -> None:
    """Cut a model that was built from `config` to its `linear_shapes`, in place; the values in them mean nothing.

    ValueError where they name no linear layer, or a size that is not between 1 and the layer's own.
    """
    said = shapes_of(config)
    if not isinstance(said, Mapping):
        msg = f"{KEY} is a {type(said).__name__}; it maps names of linear layers to [outputs, inputs]"
        raise ValueError(msg)
    for name, shape in said.items():
        whole = tuple(_linear(model, name, f"{KEY}: ").weight.shape)
        if not _fits(shape, whole):
            msg = f"{KEY}: '{name}' is {shape!r}; two whole numbers from 1 to {list(whole)} were expected"
            raise ValueError(msg)
        _replaced(model, name, *shape)
    count_heads(model)


def _fits(shape: Any, whole: tuple[int, ...]) -> bool:
    if not isinstance(shape, list | tuple) or len(shape) != len(whole):
        return False
    return all(type(size) is int and 1 <= size <= limit for size, limit in zip(shape, whole, strict=True))


def note_shapes(model: PreTrainedModel) -> None:
    """Bring `linear_shapes` up to date: layers may have been dropped, and others have their names since.

    Compares with the model that the config alone would make, built without memory; only where the key is there.
    """
    import torch
    from torch import nn

    if not shapes_of(model.config):
        return
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        whole = type(model)(model.config)
    wide = {name: tuple(layer.weight.shape) for name, layer in whole.named_modules() if isinstance(layer, nn.Linear)}
    own = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    found = {name: [*layer.weight.shape] for name, layer in own.items() if wide.get(name) != tuple(layer.weight.shape)}
    setattr(model.config, KEY, found)


def count_heads(model: torch.nn.Module) -> None:
    """Tell attention modules how many heads they have, for kernels and exporters that ask them."""
    for module in model.modules():
        size = getattr(module, "attention_head_size", None)
        query = next((found for name in _QUERIES if (found := getattr(module, name, None)) is not None), None)
        if not size or query is None:
            continue
        heads = query.out_features // size
        for name in (name for name in _HEADS if hasattr(module, name)):
            setattr(module, name, heads)
        if hasattr(module, "all_head_size"):
            module.all_head_size = heads * size


def _linear(model: torch.nn.Module, name: str, where: str = "") -> torch.nn.Linear:
    from torch import nn

    try:
        layer = model.get_submodule(name)
    except AttributeError:
        layer = None
    if type(layer) is not nn.Linear:
        found = "nothing" if layer is None else type(layer).__name__
        msg = f"{where}'{name}' is {found}, not a linear layer of this model"
        raise ValueError(msg)
    return layer


def _replaced(model: torch.nn.Module, name: str, out: int, into: int) -> torch.nn.Linear:
    """An empty layer in the place of one, on its device, of its type."""
    import torch

    whole = _linear(model, name)
    if not (out and into):
        msg = f"'{name}' would have {out} outputs and {into} inputs: nothing would be left of it"
        raise ValueError(msg)
    with torch.device(whole.weight.device):
        smaller = torch.nn.Linear(into, out, bias=whole.bias is not None, dtype=whole.weight.dtype)
    model.set_submodule(name, smaller.train(whole.training))
    return smaller
