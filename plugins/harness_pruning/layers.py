"""`layer-drop`: whole layers go, one after the other, each time the one whose absence turns the answers least.

Song et al., SLEB: Streamlining LLMs through Redundancy Verification and Elimination of Transformer Blocks, 2024,
https://arxiv.org/abs/2402.09025, do so with perplexity; here it is the angle between the model's own logits with and
without the layer, 1 - cos, so that any head will do and no label is read. How far the logits move is worse to go by:
without a late layer they are often smaller and say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness import Arrays, CompressRequest, Facts, StageError, parameter_facts, save_pretrained
from harness_pruning.choosing import absent, evenly, staying
from harness_pruning.importance import centred, logits
from harness_pruning.layout import as_tensors, stack
from harness_pruning.sizes import bytes_by_kind

_DIGITS = 6  # of an angle, beyond which there is rounding


class LayerDrop:
    """The factory of `layer-drop`."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write a shallower model. StageError for layers that it does not have and architectures that are not known."""
        model: Any = request.student().eval()
        params = request.params
        name, layers = stack(model)
        if reason := absent(params.keep, len(layers)):
            raise StageError(reason)
        before = parameter_facts(model)["parameters"]
        keep, steps = _chosen(model, params, len(layers), request.calibration[: params.examples])
        put(model, name, layers, keep)
        model.config.num_hidden_layers = len(keep)
        save_pretrained(model, request.out)
        return {
            "changed": len(keep) < len(layers),
            "layers_before": len(layers),
            "layers": keep,
            "dropped": steps,
            "parameters_before": before,
            **parameter_facts(model),
            "bytes": bytes_by_kind(model),
        }


def _chosen(model: Any, params: Any, layers: int, texts: Sequence[Arrays]) -> tuple[list[int], list[Facts]]:
    """Which stay, and how much was lost with each that went."""
    if isinstance(params.keep, list):
        return list(params.keep), []
    count = staying(params.keep, layers)
    if params.choose == "importance":
        return least_missed(model, count, texts)
    return evenly(count, layers) if params.choose == "even" else list(range(count)), []


def least_missed(model: Any, count: int, texts: Sequence[Arrays]) -> tuple[list[int], list[Facts]]:
    """Layers that stay when the least missed goes until `count` are left; the model is as it was afterwards.

    The second value: in the order of going, {"layer", "turn"}: mean of 1 - cos between centred logits.
    """
    name, layers = stack(model)
    keep = list(range(len(layers)))
    steps: list[Facts] = []
    with torch.inference_mode():
        wanted = answers(model, texts)
        while len(keep) > count:
            changes = {}
            for at in keep:
                put(model, name, layers, [other for other in keep if other != at])
                changes[at] = _change(wanted, answers(model, texts))
            least = min(keep, key=changes.__getitem__)
            keep.remove(least)
            steps.append({"layer": least, "turn": changes[least][0]})
    put(model, name, layers, range(len(layers)))
    return keep, steps


def put(model: nn.Module, name: str, layers: nn.ModuleList, keep: Sequence[int]) -> None:
    """Give the model these of its layers."""
    model.set_submodule(name, nn.ModuleList(layers[at] for at in keep))


def answers(model: Any, texts: Sequence[Arrays]) -> list[list[Tensor]]:
    """Centred logits of each text, [.., C], as many as the head has."""
    return [[centred(z) for z in logits(model(**as_tensors(arrays)))] for arrays in texts]


def _change(wanted: Sequence[Sequence[Tensor]], found: Sequence[Sequence[Tensor]]) -> tuple[float, float]:
    """Means over texts of the angle, 1 - cos to six digits, and of the squared distance, which decides between equals.

    Two classes need it: their centred logits point one way or the other, so that most angles are 0 but for rounding.
    """
    pairs = [pair for one, two in zip(wanted, found, strict=True) for pair in zip(one, two, strict=True)]
    turns = [float(1 - nn.functional.cosine_similarity(a, b, dim=-1).mean()) for a, b in pairs]
    moves = [float((a - b).square().mean()) for a, b in pairs]
    return round(sum(turns) / max(1, len(turns)), _DIGITS), sum(moves) / max(1, len(moves))
