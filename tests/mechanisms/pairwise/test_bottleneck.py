from __future__ import annotations

import math

import pytest
import torch
from timm.layers.bottleneck_attn import BottleneckAttn
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.base import build
from foveate.mechanisms.pairwise.bottleneck import BottleneckAttention


@torch.no_grad()
def in_loops(module: BottleneckAttention, x: Tensor) -> Tensor:
    """One query and one key at a time, the table read at the distance of the two."""
    channels, height, width = x.shape[1:]
    q, k, v = torch.einsum("oc,bchw->bohw", module.project.weight[:, :, 0, 0], x)[0].split(channels)
    y, d, middle = torch.zeros(channels, height, width, dtype=x.dtype), module.width, len(module.rows) // 2
    places = [(i, j) for i in range(height) for j in range(width)]
    for head in range(module.heads):
        part = slice(head * d, (head + 1) * d)
        for i, j in places:
            asked, energies = q[part, i, j], []
            for u, w in places:
                place = asked @ module.rows[middle + u - i] + asked @ module.columns[middle + w - j]
                energies.append(asked @ k[part, u, w] / math.sqrt(d) + place)
            raised = [math.exp(energy) for energy in energies]
            y[part, i, j] = sum(
                r / sum(raised) * v[part, u, w] for r, (u, w) in zip(raised, places, strict=True)
            )
    return y[None]


@pytest.mark.parametrize("heads", [1, 2])
def test_equals_the_formula_in_loops(heads: int, double: object, explicit: object) -> None:
    module, x = double("bottleneck", 4, heads=heads, size=3), torch.randn(1, 4, 3, 3, dtype=torch.float64)
    expected = in_loops(module, x)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(explicit(module, x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_equals_timm_with_its_weights(scaled: bool, bias: bool, double: object) -> None:
    ours = double("bottleneck", 32, size=6, scale_positions=scaled, bias=bias)
    theirs = BottleneckAttn(32, feat_size=(6, 6), scale_pos_embed=scaled, qkv_bias=bias).double()
    names = {"qkv.weight": "project.weight", "qkv.bias": "project.bias"}
    names |= {"pos_embed.height_rel": "rows", "pos_embed.width_rel": "columns"}
    theirs.load_state_dict({key: ours.state_dict()[names[key]] for key in theirs.state_dict()})
    x = torch.randn(2, 32, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-10)
    assert ours.cost(6, 6).parameters == sum(p.numel() for p in theirs.parameters())


def test_knows_distances_but_no_places(double: object) -> None:
    """What a map of one object reads depends on where within the object it is, not on where that lies."""
    module, x = double("bottleneck", 8, size=6), torch.randn(1, 8, 6, 6, dtype=torch.float64)
    turned = double("bottleneck", 8, size=6)
    turned.rows.data, turned.columns.data = module.rows.flip(0), module.columns.flip(0)
    torch.testing.assert_close(turned(x.flip(2, 3)).flip(2, 3), module(x))
    assert not torch.allclose(module(x.flip(2, 3)).flip(2, 3), module(x), atol=1e-2)


@pytest.mark.parametrize(("channels", "heads"), [(1, 1), (3, 3), (6, 3), (16, 4), (100, 4), (7, 1)])
def test_takes_the_most_heads_that_divide_the_channels(channels: int, heads: int) -> None:
    assert BottleneckAttention(channels).heads == heads


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(OptionError, match="heads: got 5"):
        BottleneckAttention(16, heads=5)
    with pytest.raises(OptionError, match="size: got 0"):
        build("bottleneck", 16, size=0)
