"""The mathematics of `lowrank`: which rank, which two matrices. No files, no models of any library."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RIDGE = 1e-6  # of the mean variance: keeps the Cholesky factor finite where inputs never vary


def rank_for(out: int, into: int, keep: float) -> int:
    """The largest r with r · (out + in) ≤ keep · out · in, at least 1."""
    return max(1, int(keep * out * into / (out + into)))


def factorize(weight: Tensor, second_moment: Tensor | None, rank: int) -> tuple[Tensor, Tensor, float]:
    """W ≈ L · R, the best of its rank: (L [out, r], R [r, in], share of the squared error that is avoided).

    With C = E[x xᵀ] = S Sᵀ (Cholesky) the error of the layer's outputs is E‖(W − LR) x‖² = ‖(W − LR) S‖²_F, which the
    truncated SVD of W S = U Σ Vᵀ makes least (Eckart–Young): L = U_r √Σ_r, R = √Σ_r V_rᵀ S⁻¹. Without C: S = I.
    weight [out, in], second_moment [in, in]; computed in float64, returned in the weight's type.
    """
    matrix = weight.double()
    root = None if second_moment is None else _root(second_moment)
    u, sigma, vt = torch.linalg.svd(matrix if root is None else matrix @ root, full_matrices=False)
    signs = torch.sign(u.gather(0, u.abs().argmax(0, keepdim=True)))  # [1, k]: a singular vector's sign is arbitrary
    u, vt = u * signs, vt * signs.T
    half = sigma[:rank].sqrt()
    left, right = u[:, :rank] * half, half[:, None] * vt[:rank]  # [out, r], [r, in]
    if root is not None:
        right = torch.linalg.solve_triangular(root, right, upper=False, left=False)  # X S = right
    share = float(sigma[:rank].square().sum() / sigma.square().sum().clamp(min=torch.finfo(torch.float64).tiny))
    return left.to(weight.dtype).contiguous(), right.to(weight.dtype).contiguous(), share


def _root(moment: Tensor) -> Tensor:
    """Lower S with S Sᵀ = C + a ridge."""
    moment = moment.double()
    ridge = RIDGE * moment.diagonal().mean() + torch.finfo(torch.float64).tiny
    return torch.linalg.cholesky(moment + ridge * torch.eye(len(moment), dtype=torch.float64))


def thin(out: int, into: int, rank: int, *, bias: bool) -> nn.Sequential:
    """Without values yet: x [.., in] → x Rᵀ Lᵀ + b [.., out]; module '0' holds R, module '1' L and b."""
    return nn.Sequential(nn.Linear(into, rank, bias=False), nn.Linear(rank, out, bias=bias))
