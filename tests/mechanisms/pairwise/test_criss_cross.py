from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.mechanisms.base import build
from foveate.mechanisms.pairwise.criss_cross import CrissCrossAttention

SIZES = [(1, 1), (1, 7), (6, 1), (4, 5), (5, 5)]


def dense(module: CrissCrossAttention, x: Tensor) -> Tensor:
    """All N x N energies, with all but the own row and column masked out."""
    height, width = x.shape[2:]
    row, column = torch.arange(height * width) // width, torch.arange(height * width) % width
    cross = (row[:, None] == row) | (column[:, None] == column)
    for _ in range(module.recurrence):
        q, k, v = (f(x).flatten(2).transpose(1, 2) for f in (module.query, module.key, module.value))
        weights = (q @ k.transpose(1, 2)).masked_fill(~cross, -torch.inf).softmax(-1)
        x = x + module.gamma * (weights @ v).transpose(1, 2).unflatten(2, (height, width))
    return x


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("recurrence", [1, 2, 3])
def test_equals_masked_attention(size: tuple[int, int], recurrence: int, double: object) -> None:
    module, x = (
        double("criss_cross", 16, recurrence=recurrence),
        torch.randn(2, 16, *size, dtype=torch.float64),
    )
    torch.testing.assert_close(module(x), dense(module, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parity("criss_cross")
def test_equals_the_formula_in_loops(double: object) -> None:
    module, x = double("criss_cross", 8, recurrence=1), torch.randn(1, 8, 3, 4, dtype=torch.float64)
    q, k, v = module.query(x)[0], module.key(x)[0], module.value(x)[0]
    expected = x.clone()
    for i in range(3):
        for j in range(4):
            cross = [(i, w) for w in range(4)] + [(h, j) for h in range(3) if h != i]
            raised = [torch.exp(q[:, i, j] @ k[:, h, w]) for h, w in cross]
            read = sum(r / sum(raised) * v[:, h, w] for r, (h, w) in zip(raised, cross, strict=True))
            expected[0, :, i, j] += module.gamma * read
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(1, 9), (9, 1)])
def test_one_row_or_column_is_plain_attention(size: tuple[int, int], double: object) -> None:
    module, x = double("criss_cross", 16, recurrence=1), torch.randn(2, 16, *size, dtype=torch.float64)
    q, k, v = (f(x).flatten(2).transpose(1, 2) for f in (module.query, module.key, module.value))
    read = F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2).unflatten(2, size)
    torch.testing.assert_close(module(x), x + module.gamma * read)


def test_swapping_height_and_width_swaps_the_output(double: object) -> None:
    module, x = double("criss_cross", 16), torch.randn(2, 16, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(module(x.transpose(2, 3)), module(x).transpose(2, 3))


def test_two_rounds_are_one_round_twice(double: object) -> None:
    twice, once = double("criss_cross", 16), double("criss_cross", 16, recurrence=1)
    x = torch.randn(1, 16, 4, 5, dtype=torch.float64)
    assert torch.equal(twice(x), once(once(x)))


@pytest.mark.parametrize(("recurrence", "reached"), [(1, 10), (2, 30), (3, 30)])
def test_two_rounds_reach_every_position(recurrence: int, reached: int, double: object) -> None:
    module = double("criss_cross", 8, recurrence=recurrence)
    x = torch.randn(1, 8, 5, 6, dtype=torch.float64, requires_grad=True)
    module(x)[0, :, 2, 3].sum().backward()
    assert int((x.grad[0].abs().sum(0) > 0).sum()) == reached


def test_the_map_sums_to_one_and_counts_the_own_position_once() -> None:
    module, seen = build("criss_cross", 16), []
    module.map.recording = True
    module.map.register_forward_hook(lambda _m, _i, weights: seen.append(weights))
    module(torch.randn(2, 16, 4, 6))
    assert len(seen) == 2 and seen[0].shape == (2, 4, 6, 10)
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(2, 4, 6))
    for i in range(4):
        assert (seen[0][:, i, :, i] == 0).all()  # own position in the column
        assert (seen[0][:, i, :, 4:].diagonal(dim1=1, dim2=2) > 0).all()  # own position in the row


def test_operations_as_published() -> None:
    """Two operations a multiply-add: 8.3 and 16.5 G against 108 G for all positions, 85 % fewer."""
    once, twice = (2 * build("criss_cross", 512, recurrence=r).cost(97, 97).macs / 1e9 for r in (1, 2))
    everywhere = 2 * build("position", 512).cost(97, 97).macs / 1e9
    assert (round(once, 3), round(twice, 3), round(everywhere, 3)) == (8.269, 16.538, 108.152)
    assert round(twice / everywhere, 4) == 0.1529


def test_parameters_as_published() -> None:
    assert build("criss_cross", 512).cost(8, 8).parameters == 328_321


def test_a_fresh_one_is_the_identity_to_the_bit() -> None:
    x = torch.randn(2, 16, 7, 5)
    assert torch.equal(build("criss_cross", 16)(x), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = build("criss_cross", 16, recurrence=1)
    torch.nn.init.ones_(module.gamma)
    x = 300 * torch.randn(1, 16, 8, 8)  # energies beyond 65,504
    module, x = module.to(dtype), x.to(dtype)
    with torch.no_grad():
        energy = torch.einsum("bchw,bchw->bhw", module.double().query(x.double()), module.key(x.double()))
    assert energy.abs().max() > torch.finfo(torch.float16).max
    expected = dense(module, x.double())
    out = module.to(dtype)(x)
    assert out.dtype == dtype
    assert (out.double() - expected).abs().max() < 0.02 * expected.abs().max()
