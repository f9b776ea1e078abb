"""Hints: hidden states of the student, projected, against the teacher's. Romero et al., FitNets, arXiv 1412.6550.

Which student layer looks at which teacher layer is a param; a projection per pair is learned and thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness import Batch
from harness_distillers.kd import Kd
from harness_distillers.plugin import HiddenParams


class Hidden:
    """The factory of `hidden`."""

    def begin(self, params: HiddenParams, critical: Tensor | None, widths: Sequence[tuple[int, int]]) -> nn.Module:
        """A projection H_student → H_teacher for each pair of layers."""
        self.projections = nn.ModuleList(nn.Linear(ours, theirs) for ours, theirs in widths)
        return self.projections

    def loss(self, batch: Batch, params: HiddenParams) -> tuple[Tensor, dict[str, float | Tensor]]:
        """L_kd + weight·mean over pairs of MSE(W·h_student + b, h_teacher), the mean over units and their H_teacher."""
        loss, parts = Kd().loss(batch, params)
        pairs = zip(self.projections, batch.states, strict=True)
        far = torch.stack([F.mse_loss(project(ours), theirs) for project, (ours, theirs) in pairs]).mean()
        return loss + params.weight * far, {**parts, "states": far.detach()}
