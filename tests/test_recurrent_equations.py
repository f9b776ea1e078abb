"""SRU, SRU++ and convolutions against their equations, written once more, step by step and number by number, in doubles."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from harness_recurrent.layers import ConvStack, TokenNorm
from harness_recurrent.recurrence import Recurrence, Sru

LENGTHS = (1, 2, 7, 64, 512)
KINDS = ("sru", "srupp")


def stack(kind: str, width: int, hidden: int, layers: int = 2, dropout: float = 0.0, bias: float = -0.7) -> Sru:
    """With every vector drawn, alpha too, so that no term is lost behind a zero."""
    torch.manual_seed(3)
    extra = {"projection": 5, "attention_dropout": dropout} if kind == "srupp" else {}
    made = Sru(width, hidden, layers, highway_bias=bias, dropout=dropout, **extra).double()
    for name, parameter in made.named_parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=1.0 if "norm.weight" in name else 0.0, std=0.5)
    return made


def sigmoid(value: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + torch.exp(-value))


def mapped(transform: nn.Module, text: torch.Tensor) -> list[torch.Tensor]:
    """W x of every step of one text [L, W]."""
    weights = dict(transform.named_parameters())
    if "matrix.weight" in weights:
        return [weights["matrix.weight"] @ x for x in text]
    queries = [weights["query.weight"] @ x for x in text]
    size = len(queries[0])
    keys, values = zip(*((weights["key_value.weight"] @ q).split(size) for q in queries), strict=True)
    result = []
    for query in queries:
        scores = torch.stack([(query * key).sum() / math.sqrt(size) for key in keys]).exp()
        z = query + weights["alpha"] * sum(s * v for s, v in zip(scores / scores.sum(), values, strict=True))
        z = (z - z.mean()) / torch.sqrt(((z - z.mean()) ** 2).mean() + 1e-5)
        result.append(weights["out.weight"] @ (z * weights["norm.weight"] + weights["norm.bias"]))
    return result


def by_hand(model: Sru, text: torch.Tensor, bias: float = -0.7) -> torch.Tensor:
    """The states [L, 2H] of one text [L, W] that has no padding."""
    for layer in model.layers:
        both = len(layer.forget_state)
        half = both // 2
        scale = 1.0 if "transform.alpha" in dict(layer.named_parameters()) else math.sqrt(1 + 2 * math.exp(bias))
        made = mapped(layer.transform, text)
        b_f, b_r = layer.bias.split(both)
        sides = []
        for side, order in ((slice(0, half), range(len(text))), (slice(half, both), range(len(text) - 1, -1, -1))):
            c = torch.zeros(half, dtype=text.dtype)
            states = {}
            for t in order:
                u, forget, reset, *rest = (part[side] for part in made[t].split(both))
                f = sigmoid(forget + layer.forget_state[side] * c + b_f[side])
                r = sigmoid(reset + layer.reset_state[side] * c + b_r[side])
                c = f * c + (1 - f) * u
                skip = rest[0] if rest else text[t][side]
                states[t] = r * c + (1 - r) * scale * skip
            sides.append(torch.stack([states[t] for t in range(len(text))]))
        text = torch.cat(sides, dim=1)
    return text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [6, 9], ids=["highway", "projected"])
def test_states_are_those_of_the_equations(kind, width):
    model = stack(kind, width, 3).eval()
    for length in LENGTHS[:4]:
        texts = torch.randn(2, length, width, dtype=torch.float64)
        found = model(texts, torch.ones(2, length, dtype=torch.int64))
        for text, states in zip(texts, found, strict=True):
            torch.testing.assert_close(states, by_hand(model, text), atol=1e-12, rtol=1e-10)


def test_long_texts_too():
    model = stack("sru", 6, 3, layers=1).eval()
    text = torch.randn(LENGTHS[-1], 6, dtype=torch.float64)
    found = model(text[None], torch.ones(1, len(text), dtype=torch.int64))[0]
    torch.testing.assert_close(found, by_hand(model, text), atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [6, 9], ids=["highway", "projected"])
def test_gradients_are_those_of_the_equations(kind, width):
    model = stack(kind, width, 3)
    text = torch.randn(7, width, dtype=torch.float64, requires_grad=True)
    wanted = [text, *model.parameters()]
    weights = torch.randn(7, 6, dtype=torch.float64)
    ours = torch.autograd.grad((model(text[None], torch.ones(1, 7))[0] * weights).sum(), wanted)
    theirs = torch.autograd.grad((by_hand(model, text) * weights).sum(), wanted)
    names = ["text", *dict(model.named_parameters())]
    for name, mine, other in zip(names, ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-11, rtol=1e-9, msg=name)
        assert other.abs().max() > 1e-6, f"{name} is not exercised"


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_slopes_of_the_states(kind):
    model = stack(kind, 6, 3)
    texts = torch.randn(3, 5, 6, dtype=torch.float64, requires_grad=True)
    mask = (torch.arange(5) < torch.tensor([5, 1, 3])[:, None]).long()
    assert torch.autograd.gradcheck(lambda x: model(x, mask), (texts,))


@pytest.mark.parametrize("length", [1, 2, 9])
def test_gradient_of_the_recurrence_with_dropout(length):
    torch.manual_seed(length)
    parts, skip = torch.randn(length, 2, 12, dtype=torch.float64), torch.randn(length, 2, 4, dtype=torch.float64)
    vectors = [torch.randn(size, dtype=torch.float64) for size in (4, 4, 8)]
    kept = torch.tensor([[0.0, 2.0, 0.0, 2.0], [2.0, 2.0, 0.0, 0.0]], dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (parts, skip, *vectors)]
    assert torch.autograd.gradcheck(lambda *given: Recurrence.apply(*given, kept), inputs)


def test_dropout_leaves_the_highway_open_and_is_one_mask_per_text():
    model = stack("sru", 6, 3, layers=2, dropout=0.5)
    texts, mask = torch.randn(4, 9, 6, dtype=torch.float64), torch.ones(4, 9)
    first = model.layers[0]
    whole = first.scale * texts.transpose(0, 1)
    states = first(texts.transpose(0, 1), mask.t()[..., None])
    dropped = (states - whole).abs().amax(0) == 0  # [B, 2H]
    assert 0 < dropped.sum() < dropped.numel()
    assert model.layers[1].dropout == 0, "the last layer has none"
    assert not torch.equal(model(texts, mask), model(texts, mask))
    model.eval()
    assert torch.equal(model(texts, mask), model(texts, mask))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_batch_mates_change_nothing(kind):
    model = stack(kind, 9, 3).float().eval()
    lengths = torch.tensor(LENGTHS)
    mask = (torch.arange(max(LENGTHS)) < lengths[:, None]).long()
    texts = torch.randn(len(LENGTHS), max(LENGTHS), 9)
    noisy = torch.where(mask.bool()[..., None], texts, 1e3)
    together = model(noisy, mask)
    for text, length, states in zip(texts, LENGTHS, together, strict=True):
        alone = model(text[None, :length], torch.ones(1, length))[0]
        torch.testing.assert_close(states[:length], alone, atol=2e-6, rtol=1e-5)
        assert not states[length:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_has_no_gradient(kind):
    model = stack(kind, 6, 3)
    texts = torch.randn(2, 6, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]])
    model(texts, mask).sum().backward()
    assert (texts.grad != 0).any(-1).equal(mask.bool())


def test_attention_begins_closed_and_sees_all_of_a_text():
    torch.manual_seed(0)
    model = Sru(6, 3, 1, highway_bias=-2.0, dropout=0.0, projection=4).eval()
    layer = model.layers[0]
    x = torch.randn(5, 1, 6)
    other = torch.cat([x[:4], torch.randn(1, 1, 6)])
    keep = torch.ones(5, 1, 1)
    assert torch.equal(layer.transform(x, keep)[0], layer.transform(other, keep)[0])
    with torch.no_grad():
        layer.transform.alpha.fill_(1.0)
    assert not torch.equal(layer.transform(x, keep)[0], layer.transform(other, keep)[0])


def test_states_neither_grow_nor_vanish_in_a_deep_new_stack():
    torch.manual_seed(0)
    model = Sru(64, 32, 6, highway_bias=0.0, dropout=0.0).eval()
    states = model(torch.randn(8, 40, 64), torch.ones(8, 40))
    assert 0.5 < states.std() < 2


# -------------------------------------------------------------------------------------------------------- convolutions


def test_convolutions_are_those_of_pytorch():
    torch.manual_seed(0)
    ours = ConvStack(4, 9, (1, 3, 5), "none", 0.0).double()
    texts = torch.randn(3, 6, 4, dtype=torch.float64)
    columns = []
    for linear, kernel in zip(ours.maps, (1, 3, 5), strict=True):
        weight = linear.weight.view(3, kernel, 4).transpose(1, 2)  # [out, W, kernel]
        columns.append(functional.conv1d(texts.transpose(1, 2), weight, linear.bias, padding="same"))
    wanted = torch.cat(columns, dim=1).relu().transpose(1, 2)
    torch.testing.assert_close(ours(texts, torch.ones(3, 6, 1).double()), wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_convolutions_do_not_see_padding(norm):
    torch.manual_seed(0)
    layers = nn.ModuleList([ConvStack(4, 6, (1, 3, 5), norm, 0.0), ConvStack(6, 3, (1, 3, 5), norm, 0.0)])
    texts, lengths = torch.randn(4, 9, 4), (9, 1, 4, 7)
    keep = (torch.arange(9) < torch.tensor(lengths)[:, None])[..., None].float()
    noisy = torch.where(keep.bool(), texts, 1e3)

    def run(x, there):
        for layer in layers:
            x = layer(x, there)
        return x

    wider = functional.pad(noisy, (0, 0, 0, 5), value=-1e3), functional.pad(keep, (0, 0, 0, 5))
    torch.testing.assert_close(run(noisy, keep) * keep, run(*wider)[:, :9] * keep, atol=1e-5, rtol=1e-5)
    layers.eval()
    together = run(noisy, keep)
    for text, length, found in zip(texts, lengths, together, strict=True):
        torch.testing.assert_close(
            found[:length], run(text[None, :length], torch.ones(1, length, 1))[0], atol=1e-5, rtol=1e-5
        )


def test_batch_statistics_are_those_of_tokens():
    torch.manual_seed(0)
    ours, plain = TokenNorm(3), nn.BatchNorm1d(3)
    texts, keep = torch.randn(4, 6, 3) * 3 + 1, torch.ones(4, 6, 1)
    keep[1, 2:] = 0
    there = keep.squeeze(-1).bool()
    found, wanted = ours(texts, keep), plain(texts[there])
    torch.testing.assert_close(found[there], wanted)
    assert not found[~there].any()
    torch.testing.assert_close(ours.running_var, plain.running_var)
    torch.testing.assert_close(ours.eval()(texts, keep)[there], plain.eval()(texts[there]))


def test_a_lone_token_is_trained_on_without_statistics():
    norm = TokenNorm(3)
    x = torch.randn(1, 1, 3)
    torch.testing.assert_close(norm(x, torch.ones(1, 1, 1)), x, atol=1e-4, rtol=1e-4)
    assert not norm.running_mean.any()
