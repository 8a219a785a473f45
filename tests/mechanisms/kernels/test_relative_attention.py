"""Attention by content and distance: all ways to it agree, and the table is read at the right place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveate.mechanisms.base import build
from foveate.mechanisms.kernels import relative_attention
from foveate.mechanisms.kernels.relative_attention import NEVER, attend_placed, distances
from foveate.mechanisms.map_tap import MapTap


def parts(n: int, rows: int, columns: int, width: int = 3, values: int = 4) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = (n, width), (rows * columns, width), (rows * columns, values), (n, rows), (n, columns)
    return [torch.randn(2, 2, *shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def naive(query: Tensor, key: Tensor, value: Tensor, down: Tensor, along: Tensor, scale: float) -> Tensor:
    """Energies entry by entry."""
    columns, out = along.shape[-1], torch.zeros(*query.shape[:-1], value.shape[-1], dtype=torch.float64)
    for b, k, i in torch.cartesian_prod(*map(torch.arange, query.shape[:-1])).tolist():
        energies = [
            scale * (query[b, k, i] @ key[b, k, j])
            + down[b, k, i, j // columns]
            + along[b, k, i, j % columns]
            for j in range(key.shape[-2])
        ]
        out[b, k, i] = torch.stack(energies).softmax(0) @ value[b, k]
    return out


@pytest.mark.parametrize("block", [1, 100, 2**20])
@pytest.mark.parametrize("values", [2, 3, 40])
def test_every_way_equals_the_formula_with_its_gradients(
    block: int, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relative_attention, "BLOCK", block)
    given = parts(7, 3, 2, values=values)
    expected = naive(*given, 0.3)
    weights = torch.randn_like(expected)
    grads = torch.autograd.grad((expected * weights).sum(), given)
    for way in ("blocks", "recording", "compiling"):
        tap = MapTap("b k n m")
        tap.recording = way == "recording"
        with monkeypatch.context() as patch:
            patch.setattr(torch.compiler, "is_compiling", lambda way=way: way == "compiling")
            context = attend_placed(*given, tap, scale=0.3)
        torch.testing.assert_close(context, expected, rtol=0, atol=1e-12)
        for got, grad in zip(torch.autograd.grad((context * weights).sum(), given), grads, strict=True):
            torch.testing.assert_close(got, grad, rtol=0, atol=1e-12)


def test_what_must_never_be_read_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value, down, along = (part.detach() for part in parts(5, 3, 2))
    down[..., 1] = NEVER
    changed = value.clone()
    changed[:, :, 2:4] = 1e6
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        plain, other = (attend_placed(query, key, v, down, along, MapTap("b")) for v in (value, changed))
        torch.testing.assert_close(plain, other)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_table_of_the_same_size_is_read_as_it_is(length: int) -> None:
    table = torch.randn(2 * length - 1, 3, dtype=torch.float64)
    found = distances(table, length)
    for i in range(length):
        for j in range(length):
            torch.testing.assert_close(found[i, j], table[j - i + length - 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_a_stretched_table_keeps_its_middle_and_its_order(length: int) -> None:
    found = distances(torch.linspace(-1, 1, 17, dtype=torch.float64)[:, None], length)[..., 0]
    torch.testing.assert_close(found, -found.T, rtol=0, atol=1e-12)
    assert (found[0].diff() > 0).all()


@pytest.mark.slow
def test_one_compiled_graph_trains_at_any_size() -> None:
    torch._dynamo.reset()
    plain = build("bottleneck", 16)
    compiled = torch.compile(plain, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in ((2, 16, 7, 5), (3, 16, 6, 9)):
        x = torch.randn(size, generator=torch.Generator().manual_seed(1), requires_grad=True)
        found = [
            torch.autograd.grad(module(x).square().sum(), [x, *plain.parameters()])
            for module in (plain, compiled)
        ]
        torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
