"""Zeros that stay: training goes on with the weights that a mask has left, and with no others.

Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015, https://arxiv.org/abs/1506.02626.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def zeros(model: nn.Module) -> dict[str, Tensor]:
    """Where weights are exactly zero, bool, by the name of their matrix or table; those without any are left out."""
    found = {name: parameter.detach() == 0 for name, parameter in model.named_parameters() if parameter.ndim > 1}
    return {name: zero for name, zero in found.items() if zero.any()}


def hold(model: nn.Module, held: Mapping[str, Tensor]) -> None:
    """Take their gradients away, before anything is made of them.

    Without a gradient there are no moments, and the decay of zero is zero: every optimiser here leaves them exactly so,
    and clipping measures the weights that learn.
    """
    for name, zero in held.items():
        gradient = model.get_parameter(name).grad
        if gradient is not None:
            gradient.masked_fill_(zero, 0)
