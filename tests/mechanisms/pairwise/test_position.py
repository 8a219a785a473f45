from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.mechanisms.base import build
from foveate.mechanisms.pairwise.position import PositionAttention


def authors(module: PositionAttention, x: Tensor) -> Tensor:
    """DANet's released forward pass, line by line."""
    b, c, height, width = x.size()
    query = module.query(x).view(b, -1, width * height).permute(0, 2, 1)
    key = module.key(x).view(b, -1, width * height)
    attention = torch.softmax(torch.bmm(query, key), dim=-1)
    value = module.value(x).view(b, -1, width * height)
    out = torch.bmm(value, attention.permute(0, 2, 1)).view(b, c, height, width)
    return module.gamma * out + x


def test_equals_the_formula_in_loops(double: object) -> None:
    module, x = double("position", 16), torch.randn(1, 16, 3, 4, dtype=torch.float64)
    q, k, v = (layer(x)[0].flatten(1).T for layer in (module.query, module.key, module.value))
    expected = x.clone()
    for i in range(12):
        raised = [torch.exp(q[i] @ k[j]) for j in range(12)]
        read = sum(raised[j] / sum(raised) * v[j] for j in range(12))
        expected[0, :, i // 4, i % 4] += module.gamma * read
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parity("position")
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (20, 30)])
def test_equals_the_authors_code(size: tuple[int, int], double: object, explicit: object) -> None:
    module, x = double("position", 24), torch.randn(2, 24, *size, dtype=torch.float64)
    torch.testing.assert_close(module(x), authors(module, x), rtol=0, atol=1e-10)
    torch.testing.assert_close(explicit(module, x), authors(module, x), rtol=0, atol=1e-10)


def test_equals_one_head_without_a_scale(double: object) -> None:
    module, x = double("position", 16), torch.randn(2, 16, 5, 6, dtype=torch.float64)
    q, k, v = (f(x).flatten(2).transpose(1, 2) for f in (module.query, module.key, module.value))
    read = F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2).unflatten(2, (5, 6))
    torch.testing.assert_close(module(x), x + module.gamma * read, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("channels", "parameters"), [(64, 5_201), (256, 82_241), (512, 328_321)])
def test_parameters_as_published(channels: int, parameters: int) -> None:
    assert build("position", channels).cost(8, 8).parameters == parameters


def test_multiply_adds_as_published() -> None:
    macs = build("position", 512).cost(97, 97).macs
    assert round(macs / 1e9, 3) == 54.076
    assert round(2 * macs / 1e9, 3) == 108.152  # as the criss-cross paper counts a non-local block


def test_a_fresh_one_is_the_identity_to_the_bit() -> None:
    x = torch.randn(2, 16, 7, 5)
    assert torch.equal(build("position", 16)(x), x)


def test_does_not_know_where_things_are(double: object) -> None:
    module, x = double("position", 16), torch.randn(2, 16, 4, 6, dtype=torch.float64)
    order = torch.randperm(24)
    shuffled = x.flatten(2)[:, :, order].unflatten(2, (4, 6))
    torch.testing.assert_close(module(shuffled), module(x).flatten(2)[:, :, order].unflatten(2, (4, 6)))


def test_fewer_channels_than_the_reduction_keep_a_width_of_one() -> None:
    assert build("position", 3).query.weight.shape == (1, 3, 1, 1)
