"""Criss-cross attention in one piece equals the plain formula, with its gradients, and holds less."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from foveate.mechanisms.base import build
from foveate.mechanisms.kernels import criss_cross_attention
from foveate.mechanisms.kernels.criss_cross_attention import compare, cross, fits, gather, scatter

SIZES = [(1, 1), (1, 6), (5, 1), (3, 4), (6, 5)]


@pytest.fixture(autouse=True)
def small_maps_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criss_cross_attention, "SMALL", 1)


def random(channels: int, **options: int) -> nn.Module:
    torch.manual_seed(0)
    module = build("criss_cross", channels, dtype=torch.float64, **options)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def plain(module: nn.Module, x: Tensor) -> Tensor:
    module.map.recording = True
    try:
        return module(x)
    finally:
        module.map.recording = False


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("recurrence", [1, 2])
def test_equals_the_plain_formula_with_its_gradients(size, layout, recurrence) -> None:
    module = random(16, recurrence=recurrence)
    x = torch.randn(3, 16, *size, dtype=torch.float64).contiguous(memory_format=layout)
    slope, found = torch.randn_like(x), []
    for way in (lambda m, x: m(x), plain):
        twin, given = copy.deepcopy(module), x.clone().requires_grad_()
        assert fits(given, *twin.parameters())
        y = way(twin, given)
        y.backward(slope)
        found.append([y, given.grad, *(p.grad for p in twin.parameters())])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    assert found[0][0].is_contiguous(memory_format=layout)


def test_gradcheck() -> None:
    given = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in
             ((1, 3, 3, 2), (4, 3), (4,), (3, 3), (3,))]  # fmt: skip
    assert torch.autograd.gradcheck(lambda x, a, s, w, b: cross(x, (a, s), (w, b)), given)


@pytest.mark.parametrize("size", SIZES)
def test_products_along_columns_and_rows(size: tuple[int, int]) -> None:
    height, width = size
    one, other = torch.randn(2, height, width, 3, dtype=torch.float64)
    weights = torch.randn(height, width, height + width, dtype=torch.float64)
    dense = torch.zeros(height, width, height, width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            dense[i, j, :, j] += weights[i, j, :height]
            dense[i, j, i] += weights[i, j, height:]
            for p, (u, v) in enumerate([(h, j) for h in range(height)] + [(i, w) for w in range(width)]):
                torch.testing.assert_close(compare(one, other)[i, j, p], one[i, j] @ other[u, v])
    torch.testing.assert_close(gather(weights, one), torch.einsum("ijuv,uvd->ijd", dense, one))
    torch.testing.assert_close(scatter(weights, one), torch.einsum("ijuv,ijd->uvd", dense, one))


@pytest.mark.parametrize("permuted", [False, True])
def test_strides_of_any_kind(permuted: bool) -> None:
    module = random(8)
    x = torch.randn(2, 6, 8, 5, dtype=torch.float64).transpose(1, 2)[:, :, :: 1 + permuted]
    kept = x.clone()
    torch.testing.assert_close(module(x), plain(module, x.contiguous()), rtol=1e-10, atol=1e-10)
    assert torch.equal(x, kept)


def test_what_is_kept_for_the_backward_pass() -> None:
    """The map itself, the mixed tokens, and for each position its queries, keys and weights."""
    module, x = random(32, recurrence=1), torch.randn(1, 32, 8, 8, dtype=torch.float64)
    kept: dict[int, int] = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.__setitem__(t.untyped_storage().data_ptr(), t.untyped_storage().nbytes() // 8) or t,
        lambda t: t,
    ):
        module(x.requires_grad_())
    parameters = 3 * module.cost(8, 8).parameters
    assert sum(kept.values()) <= 2 * x.numel() + 64 * (2 * 4 + 16) + parameters
