from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import build
from foveate.mechanisms.pairwise.multi_head import MultiHeadAttention, sine2d


def theirs(module: MultiHeadAttention, bias: bool = True) -> nn.MultiheadAttention:
    other = nn.MultiheadAttention(module.channels, module.heads, bias=bias, batch_first=True).double()
    other.in_proj_weight.data, other.out_proj.weight.data = (
        module.project.weight.data,
        module.merge.weight.data,
    )
    if bias:
        other.in_proj_bias.data, other.out_proj.bias.data = module.project.bias.data, module.merge.bias.data
    return other


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", [True, False])
def test_equals_torchs_own_with_its_weights(
    heads: int, bias: bool, norm: bool, double: object, explicit: object
) -> None:
    module = double("multi_head", 16, heads=heads, bias=bias, norm=norm)
    x = torch.randn(2, 16, 5, 4, dtype=torch.float64)
    tokens = module.norm(x.flatten(2).transpose(1, 2))
    read, weights = theirs(module, bias)(tokens, tokens, tokens, average_attn_weights=False)
    expected = x + read.transpose(1, 2).unflatten(2, (5, 4))
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)
    seen: list[Tensor] = []
    module.map.register_forward_hook(lambda _m, _i, formed: seen.append(formed))
    torch.testing.assert_close(explicit(module, x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(seen[0], weights, rtol=0, atol=1e-12)


def test_equals_the_formula_in_loops(double: object) -> None:
    module = double("multi_head", 4, heads=2, norm=False, residual=False)
    x = torch.randn(1, 4, 2, 3, dtype=torch.float64)
    tokens = x[0].flatten(1).T
    q, k, v = (
        tokens @ w.T + b
        for w, b in zip(module.project.weight.split(4), module.project.bias.split(4), strict=True)
    )
    read = torch.zeros(6, 4, dtype=torch.float64)
    for head in (slice(0, 2), slice(2, 4)):
        for i in range(6):
            raised = [torch.exp(q[i, head] @ k[j, head] / math.sqrt(2)) for j in range(6)]
            read[i, head] = sum(r / sum(raised) * v[j, head] for j, r in enumerate(raised))
    expected = (read @ module.merge.weight.T + module.merge.bias).T.reshape(1, 4, 2, 3)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


def test_sines_are_the_papers() -> None:
    """Channel 2i of a half of width d at place p: sin(p / 10000^(2i/d)); channel 2i+1: the cosine."""
    for channels in (8, 6, 7, 1):
        waves = sine2d(torch.zeros(1, channels, 5, 3, dtype=torch.float64))[0]
        half = channels // 2
        for c in range(channels):
            start, width = (0, half) if c < half else (half, channels - half)
            wave = math.sin if (c - start) % 2 == 0 else math.cos
            rate = 10_000 ** (-2 * ((c - start) // 2) / width)
            for i in range(5):
                for j in range(3):
                    assert waves[c, i, j] == pytest.approx(wave((i if c < half else j) * rate), abs=1e-12)


def test_without_positions_it_does_not_know_where_things_are_and_with_them_it_does(double: object) -> None:
    x, order = torch.randn(1, 16, 6, 4, dtype=torch.float64), torch.randperm(24)

    def shuffle(y: Tensor) -> Tensor:
        return y.flatten(2)[:, :, order].unflatten(2, (6, 4))

    blind, placed = double("multi_head", 16), double("multi_head", 16, positions="sine2d")
    torch.testing.assert_close(blind(shuffle(x)), shuffle(blind(x)))
    assert not torch.allclose(placed(shuffle(x)), shuffle(placed(x)), atol=1e-2)


@pytest.mark.parametrize(("channels", "parameters"), [(64, 4 * 64**2 + 4 * 64), (512, 4 * 512**2 + 4 * 512)])
def test_parameters_as_torchs_own(channels: int, parameters: int) -> None:
    cost = build("multi_head", channels, norm=False).cost(4, 4)
    own = sum(p.numel() for p in nn.MultiheadAttention(channels, 8).parameters())
    assert cost.parameters == parameters == own


@pytest.mark.parametrize(("channels", "heads"), [(1, 1), (3, 3), (6, 6), (12, 6), (13, 1), (16, 8), (100, 5)])
def test_takes_the_most_heads_that_divide_the_channels(channels: int, heads: int) -> None:
    assert MultiHeadAttention(channels).heads == heads


@pytest.mark.parametrize("heads", [2.0, "4", True])
def test_heads_are_a_whole_number(heads: object) -> None:
    with pytest.raises(OptionError, match=r"heads: .*expected a whole number"):
        MultiHeadAttention(16, heads=heads)


@pytest.mark.parametrize("heads", [5, 0, -2])
def test_heads_that_do_not_divide_name_those_that_do(heads: object) -> None:
    with pytest.raises(OptionError, match=r"16 channels\. Near divisors: .*4"):
        MultiHeadAttention(16, heads=heads)


def test_refuses_unknown_positions() -> None:
    with pytest.raises(OptionError, match="sine2d"):
        MultiHeadAttention(16, positions="learned")
