"""What the model would lose with a head or a neuron, without labels: from texts of the training split alone.

A group of channels gets a mask m = 1. How far the model's answers move when m becomes 0 is, to second order, the
Fisher information of the mask, here with respect to the logits z themselves, so that any head of a model will do:

    importance = E_x Σ_k (∂ z_k / ∂ m)² = E_x E_v (∂ vᵀz / ∂ m)²,  v of independent ±1

One backward pass with random signs v estimates it for all groups of all layers at once (Hutchinson). Kwon et al., A
Fast Post-Training Pruning Framework for Transformers, 2022, https://arxiv.org/abs/2203.09656, do the same with the
loss, which needs labels; z is centred over the classes, because no answer changes when all logits move alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness import Arrays
from harness_pruning.layout import Site, as_tensors, grouped, reading


def importance(model: Any, found: Sequence[Site], batches: Sequence[Arrays], seed: int) -> list[Tensor]:
    """[groups] float64 for each site: the mean over batches of one text. The model's weights stay as they are."""
    generator = torch.Generator().manual_seed(seed)
    totals = [torch.zeros(site.groups, dtype=torch.float64) for site in found]
    model.requires_grad_(False)
    with masked(model, found) as masks:
        for arrays in batches:
            said = logits(model(**as_tensors(arrays)))
            projected = torch.stack([signed(z, generator) for z in said]).sum()
            slopes = torch.autograd.grad(projected, masks)
            totals = [total + slope.double().square() for total, slope in zip(totals, slopes, strict=True)]
    return [total / max(1, len(batches)) for total in totals]


def logits(answer: Mapping[str, Tensor]) -> list[Tensor]:
    """What the head says: `logits` [B, C] or [B, L, C], or `start_logits` and `end_logits`, each [B, L]."""
    return [value for name, value in answer.items() if name.endswith("logits")]


def signed(values: Tensor, generator: torch.Generator) -> Tensor:
    """vᵀz with random signs, divided by the root of how many answers there are; z centred over its last axis."""
    signs = torch.randint(0, 2, values.shape, generator=generator).to(values) * 2 - 1
    answers = max(1, values.numel() // values.shape[-1])
    total: Tensor = (signs * centred(values)).sum() / answers**0.5
    return total


def centred(values: Tensor) -> Tensor:
    """Without what all classes, or positions, share."""
    return values - values.mean(-1, keepdim=True)


@contextmanager
def masked(model: nn.Module, found: Sequence[Site]) -> Iterator[list[Tensor]]:
    """Ones [groups] that multiply what each reader reads, as long as the context lasts."""
    masks = [torch.ones(site.groups, requires_grad=True) for site in found]

    def applied(site: Site, mask: Tensor, values: Tensor) -> tuple[Tensor]:
        return ((grouped(site, values) * mask[:, None]).flatten(-2),)

    hooks = [
        reading(model, site.reader).register_forward_pre_hook(
            lambda module, inputs, site=site, mask=mask: applied(site, mask, inputs[0])
        )
        for site, mask in zip(found, masks, strict=True)
    ]
    try:
        yield masks
    finally:
        for hook in hooks:
            hook.remove()
