"""SRU and SRU++: recurrences whose matrices are applied to all steps of a text at once.

    f_t = σ(F_t + v_f ∘ c_{t-1} + b_f)        c_t = f_t ∘ c_{t-1} + (1 - f_t) ∘ u_t
    r_t = σ(R_t + v_r ∘ c_{t-1} + b_r)        h_t = r_t ∘ c_t + (1 - r_t) ∘ s_t

(u, F, R) = W x and s = α x, or α W' x where x is not as wide as h (https://arxiv.org/abs/1709.02755). In SRU++, W is
replaced by a projection and attention (https://arxiv.org/abs/2102.12459). Inside, time comes first; the left half of h
and c runs ahead, the right half back. Padding gives u = 0, which leaves c at zero until a text begins on either side.

Only c needs a loop, of three operations on tensors that stay in a CPU's cache. Its gradient is linear in itself, one
operation a step: dc_{t-1} += dc_t ∘ (f_t + (c_{t-1} - u_t) ∘ f_t ∘ (1 - f_t) ∘ v_f). All else is done for all steps
together.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Recurrence(torch.autograd.Function):
    """What is above, but for the matrices; L = steps, B = texts, H = width of a direction."""

    @staticmethod
    def forward(
        ctx: Any,
        parts: Tensor,
        skip: Tensor,
        forget_state: Tensor,
        reset_state: Tensor,
        bias: Tensor,
        kept: Tensor | None,
    ) -> Tensor:
        """(u, F, R) [L, B, 6H], s [L, B, 2H], v_f, v_r [2H], (b_f, b_r) [4H], dropout's factors of r [B, 2H] → h."""
        update, forget, reset = parts.chunk(3, dim=-1)
        forget_bias, reset_bias = bias.chunk(2)
        forget, states = forget + forget_bias, torch.empty_like(skip)
        for u, f, c, v in zip(_ordered(update), _ordered(forget), _ordered(states), forget_state.chunk(2), strict=True):
            before = torch.zeros_like(c[0])
            for u_t, f_t, c_t in zip(u, f, c, strict=True):
                before = torch.lerp(u_t, before, f_t.addcmul_(v, before).sigmoid_(), out=c_t)
        reset = (reset + reset_bias).addcmul_(reset_state, _before(states)).sigmoid_()
        ctx.save_for_backward(update, forget, reset, states, skip, forget_state, reset_state, kept)
        return torch.lerp(skip, states, reset if kept is None else reset * kept)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all but the dropout's factors."""
        update, forget, reset, states, skip, forget_state, reset_state, kept = ctx.saved_tensors
        gate = reset if kept is None else reset * kept
        parts = grad.new_empty(*grad.shape[:2], 3 * grad.size(2))
        d_update, d_forget, d_reset = parts.chunk(3, dim=-1)
        d_states, before = grad * gate, _before(states)
        torch.mul(d_states, states - skip, out=d_reset).mul_(1 - reset)
        for (earlier, _), (_, later), v in zip(_steps(d_states), _steps(d_reset), reset_state.chunk(2), strict=True):
            earlier.addcmul_(later, v)
        slope = (before - update).mul_(forget).mul_(1 - forget)  # of c_t, by what the gate is the sigmoid of
        passed = torch.addcmul(forget, slope, forget_state)  # of c_t, by c_{t-1}
        for d, p in zip(_ordered(d_states), _ordered(passed), strict=True):
            for earlier, d_t, p_t in zip(d[-2::-1], d[:0:-1], p[:0:-1], strict=True):
                earlier.addcmul_(d_t, p_t)
        torch.mul(d_states, slope, out=d_forget)
        torch.mul(d_states, 1 - forget, out=d_update)
        over = (0, 1)
        d_bias = torch.cat([d_forget.sum(over), d_reset.sum(over)])
        return parts, grad * (1 - gate), (d_forget * before).sum(over), (d_reset * before).sum(over), d_bias, None


def _ordered(x: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The steps [B, H] of both directions, each in its own order; views."""
    ahead, back = x.chunk(2, dim=-1)
    return ahead.unbind(), back.unbind()[::-1]


def _steps(x: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """All steps but the last, and all but the first, of both directions; views [L - 1, B, H]."""
    ahead, back = x.chunk(2, dim=-1)
    return (ahead[:-1], ahead[1:]), (back[1:], back[:-1])


def _before(states: Tensor) -> Tensor:
    """c_{t-1} at t, zero where a direction begins; [L, B, 2H]."""
    before = torch.zeros_like(states)
    for (_, later), (earlier, _) in zip(_steps(before), _steps(states), strict=True):
        later.copy_(earlier)
    return before


# ----------------------------------------------------------------------------------------------------------- exported


def _scripted(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        return torch.jit.script(function)  # type: ignore[no-any-return]


def _loop(update: Tensor, forget: Tensor, state: Tensor) -> Tensor:
    """The states c of steps in order: u, F + b_f [L, B, W], v_f [W] → [L, B, W]. A trace keeps it as a loop."""
    before = torch.zeros_like(update[0])
    states: list[Tensor] = []
    for step in range(update.size(0)):
        u = update[step]
        before = u + (before - u) * torch.sigmoid(forget[step] + state * before)
        states.append(before)
    return torch.stack(states)


loop = _scripted(_loop)


def _turned(x: Tensor) -> Tensor:
    """The right half in the opposite order."""
    ahead, back = x.chunk(2, dim=-1)
    return torch.cat([ahead, back.flip(0)], dim=-1)


# ------------------------------------------------------------------------------------------------------------- layers


class SruLayer(nn.Module):
    """One bidirectional layer; `transform` makes u, F, R and, where widths differ, W' x of x and the mask."""

    def __init__(
        self, width: int, hidden: int, transform: nn.Module, *, bias: float, scale: float, dropout: float
    ) -> None:
        super().__init__()
        both = 2 * hidden
        self.transform, self.scale, self.dropout, self.projects = transform, scale, dropout, width != both
        self.forget_state, self.reset_state = (nn.Parameter(torch.empty(both)) for _ in range(2))
        self.bias = nn.Parameter(torch.cat([torch.zeros(both), torch.full((both,), bias)]))
        for vector in (self.forget_state, self.reset_state):
            nn.init.uniform_(vector, -math.sqrt(1.5), math.sqrt(1.5))  # variance ½, as the gates' other summand has

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """Inputs [L, B, W] and keep [L, B, 1], one where there is a token, else both zero → h [L, B, 2H], zero so."""
        made = self.transform(x, keep).to(x.dtype)
        parts, skip = made.split(3 * self.bias.numel() // 2, dim=-1) if self.projects else (made, x)
        skip = skip if self.scale == 1 else skip * self.scale
        recur = self._traced if torch.jit.is_tracing() else self._recur  # type: ignore[attr-defined, no-untyped-call]
        return recur(parts, skip) * keep

    def _recur(self, parts: Tensor, skip: Tensor) -> Tensor:
        kept = None
        if self.training and self.dropout:
            kept = torch.empty_like(skip[0]).bernoulli_(1 - self.dropout).div_(1 - self.dropout)
        states = (self.forget_state, self.reset_state)
        return Recurrence.apply(parts, skip, *states, self.bias, kept)  # type: ignore[no-any-return, no-untyped-call]

    def _traced(self, parts: Tensor, skip: Tensor) -> Tensor:
        update, forget, reset = parts.chunk(3, dim=-1)
        forget_bias, reset_bias = self.bias.chunk(2)
        states = loop(_turned(update), _turned(forget + forget_bias), self.forget_state)
        before = torch.cat([torch.zeros_like(states[:1]), states[:-1]])
        gate = torch.sigmoid(reset + reset_bias + self.reset_state * _turned(before))
        return skip + gate * (_turned(states) - skip)


class Projection(nn.Module):
    """SRU: one matrix. Gates start smaller, because their state is their other summand."""

    def __init__(self, width: int, out: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.matrix = nn.Linear(width, out, bias=False)
        nn.init.uniform_(self.matrix.weight, -math.sqrt(3 / width), math.sqrt(3 / width))
        with torch.no_grad():
            update, forget, reset = self.matrix.weight[: 6 * hidden].chunk(3)
            update.mul_(math.sqrt(1 - dropout))
            forget.mul_(math.sqrt(0.5))
            reset.mul_(math.sqrt(0.5))

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """[L, B, W] → [L, B, out]; zero remains zero."""
        return self.matrix(x)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """SRU++: W x = W_o norm(q + α softmax(q kᵀ / √P) v), where q = W_q x [P] and k, v = W_kv q."""

    def __init__(self, width: int, out: int, projection: int, *, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, projection, bias=False)
        self.key_value = nn.Linear(projection, 2 * projection, bias=False)
        self.out = nn.Linear(projection, out, bias=False)
        self.norm = nn.LayerNorm(projection)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.dropout, self.attention_dropout = nn.Dropout(dropout), nn.Dropout(attention_dropout)
        for linear in (self.query, self.key_value, self.out):
            nn.init.xavier_uniform_(linear.weight)
        with torch.no_grad():
            self.out.weight.mul_(math.sqrt(1 - dropout))

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """Inputs [L, B, W], keep [L, B, 1] → [L, B, out], zero at padding, which nothing attends to."""
        query = self.query(x)  # [L, B, P]
        key, value = self.key_value(query).transpose(0, 1).chunk(2, dim=-1)  # [B, L, P]
        scores = query.transpose(0, 1) @ key.transpose(1, 2) / math.sqrt(query.size(-1))  # [B, L, L]
        weights = scores.masked_fill(keep.permute(1, 2, 0) == 0, -math.inf).softmax(-1)
        attended = (self.attention_dropout(weights) @ value).transpose(0, 1)
        return self.out(self.dropout(self.norm(query + self.alpha * attended) * keep))  # type: ignore[no-any-return]


class Sru(nn.Module):
    """Layers of SRU, or of SRU++ where a width of attention is given; the last one has no dropout of its own."""

    def __init__(
        self, width: int, hidden: int, layers: int, *, highway_bias: float, dropout: float,
        projection: int | None = None, attention_dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        scale = math.sqrt(1 + 2 * math.exp(highway_bias)) if projection is None else 1.0
        self.layers = nn.ModuleList()
        for at in range(layers):
            out = (6 if width == 2 * hidden else 8) * hidden
            own = dropout if at < layers - 1 else 0.0
            transform: nn.Module = (
                Projection(width, out, hidden, own) if projection is None
                else Attention(width, out, projection, dropout=dropout, attention_dropout=attention_dropout)
            )  # fmt: skip
            self.layers.append(SruLayer(width, hidden, transform, bias=highway_bias, scale=scale, dropout=own))
            width = 2 * hidden

    @property
    def precision(self) -> torch.dtype:
        """That of the states."""
        return next(parameter.dtype for parameter in self.parameters() if parameter.ndim == 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Inputs [B, L, W], mask of ones and zeros [B, L] → h [B, L, 2H], zero at padding."""
        keep = mask.t().unsqueeze(-1).to(self.precision)  # [L, B, 1]
        x = x.transpose(0, 1) * keep  # in mixed precision, states are long and the products of matrices short
        for layer in self.layers:
            x = layer(x, keep)
        return x.transpose(0, 1)
