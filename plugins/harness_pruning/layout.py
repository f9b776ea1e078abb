"""Where a transformer's heads and neurons are: groups of channels that some linear layers make and one reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from harness import StageError, choices, cut_linear

Part = Literal["heads", "ffn"]


@dataclass(frozen=True)
class _Names:
    """Of a layer's modules, from the layer on."""

    heads: tuple[str, ...]  # queries, keys, values
    attended: str  # reads what the heads say
    ffn: tuple[str, ...]
    projected: str  # reads the neurons


_BERT = _Names(
    heads=("attention.self.query", "attention.self.key", "attention.self.value"),
    attended="attention.output.dense",
    ffn=("intermediate.dense",),
    projected="output.dense",
)
_DISTILBERT = _Names(
    heads=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    attended="attention.out_lin",
    ffn=("ffn.lin1",),
    projected="ffn.lin2",
)
LAYOUTS = {
    **dict.fromkeys(("bert", "camembert", "electra", "roberta", "xlm-roberta"), _BERT),
    "distilbert": _DISTILBERT,
}


@dataclass(frozen=True)
class Site:
    """The heads, or the neurons, of one layer."""

    makers: tuple[str, ...]  # linear layers whose outputs are the channels
    reader: str  # the one whose inputs they are
    width: int  # channels of a group: a head's size, or 1
    groups: int


def stack(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The list of layers, with its name. StageError for architectures that are not known here."""
    kind = getattr(getattr(model, "config", None), "model_type", "unknown")
    if kind not in LAYOUTS:
        msg = f"a '{kind}' model has no layers that are known here; known: {choices(LAYOUTS)}"
        raise StageError(msg)
    layers = int(cast("Any", model).config.num_hidden_layers)
    named = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    found = [(name, module) for name, module in named if len(module) == layers and name.endswith("layer")]
    if len(found) != 1:
        msg = f"the {layers} layers of this '{kind}' model cannot be told apart; use another model"
        raise StageError(msg)
    return found[0]


def sites(model: nn.Module, part: Part) -> list[Site]:
    """One for each layer, in their order."""
    name, layers = stack(model)
    config: Any = model.config
    names = LAYOUTS[config.model_type]
    makers, reader = (names.heads, names.attended) if part == "heads" else (names.ffn, names.projected)
    width = config.hidden_size // config.num_attention_heads if part == "heads" else 1
    return [
        Site(
            makers=tuple(f"{name}.{at}.{maker}" for maker in makers),
            reader=f"{name}.{at}.{reader}",
            width=width,
            groups=reading(model, f"{name}.{at}.{reader}").in_features // width,
        )
        for at in range(len(layers))
    ]


def reading(model: nn.Module, name: str) -> nn.Linear:
    """A linear layer by its name."""
    return cast("nn.Linear", model.get_submodule(name))


def channels(site: Site, groups: Sequence[int]) -> list[int]:
    """The channels of some groups."""
    return [group * site.width + at for group in groups for at in range(site.width)]


def cut(model: Any, site: Site, keep: Sequence[int]) -> None:
    """Leave a layer only these groups, in place."""
    kept = channels(site, keep)
    for maker in site.makers:
        cut_linear(model, maker, rows=kept)
    cut_linear(model, site.reader, columns=kept)


def grouped(site: Site, values: Tensor) -> Tensor:
    """[.., channels] → [.., groups, width]."""
    return values.reshape(*values.shape[:-1], site.groups, site.width)


def as_tensors(arrays: Any) -> dict[str, Tensor]:
    """A batch for the model; stored arrays may be read-only."""
    return {name: torch.tensor(value) for name, value in arrays.items()}
