"""The mathematics of low rank, against its definitions."""

from __future__ import annotations

import pytest
import torch

from harness_lowrank.layers import factorize, rank_for, thin


@pytest.fixture
def weight():
    return torch.randn(24, 40, generator=torch.Generator().manual_seed(0))


def inputs(count=500):
    """Inputs that vary far more in some directions than in others."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 40, generator=generator, dtype=torch.float64) * torch.logspace(
        0, -2, 40, dtype=torch.float64
    )


def test_the_rank_keeps_the_share_of_parameters():
    rank = rank_for(24, 40, 0.5)
    assert rank * (24 + 40) <= 0.5 * 24 * 40 < (rank + 1) * (24 + 40)
    assert rank_for(3, 40, 0.1) == 1


def test_a_full_rank_changes_nothing(weight):
    for moment in (None, inputs().T @ inputs() / 500):
        left, right, share = factorize(weight, moment, 24)
        torch.testing.assert_close(left @ right, weight, atol=1e-5, rtol=1e-5)
        assert share == pytest.approx(1)


def test_the_share_is_that_of_the_squared_outputs(weight):
    x = inputs()
    left, right, share = factorize(weight, x.T @ x / len(x), 8)
    whole, kept = x @ weight.double().T, x @ (left @ right).double().T
    assert 1 - share == pytest.approx(float((whole - kept).square().sum() / whole.square().sum()), rel=1e-3)


def test_looking_at_inputs_makes_a_smaller_error_on_them_and_a_larger_one_elsewhere(weight):
    x = inputs()

    def error(moment, of):
        left, right, _ = factorize(weight, moment, 8)
        return float((of @ (weight - left @ right).double().T).square().mean())

    everywhere = torch.eye(40, dtype=torch.float64)
    assert error(x.T @ x / len(x), x) < 0.8 * error(None, x)
    assert error(None, everywhere) < error(x.T @ x / len(x), everywhere)


def test_inputs_that_never_vary_do_no_harm(weight):
    x = inputs()
    x[:, 5:] = 0
    left, right, _ = factorize(weight, x.T @ x / len(x), 5)
    assert torch.isfinite(left).all()
    torch.testing.assert_close(x @ (left @ right).double().T, x @ weight.double().T, atol=1e-3, rtol=1e-3)


def test_equal_matrices_are_cut_alike(weight):
    first, second = (factorize(weight.clone(), None, 6) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_a_thin_layer_computes_the_product():
    made = thin(24, 40, 6, bias=True)
    x = torch.randn(2, 3, 40)
    torch.testing.assert_close(made(x), x @ made[0].weight.T @ made[1].weight.T + made[1].bias)
