from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveate.mechanisms.kernels import eager_cpu, gating
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.reductions import maximum, weighted_sum

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
OVER = pytest.mark.parametrize("over", ["channels", "positions"])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the fast way for small maps too, in several uneven blocks for each sample."""
    monkeypatch.setattr(eager_cpu, "SMALL", 1)
    monkeypatch.setattr(gating, "BLOCK", 50)


def tensors(layout: torch.memory_format, *shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    made = [torch.randn(shape, dtype=torch.float64) for shape in [(2, 4, 3, 5), *shapes]]
    return [t.contiguous(memory_format=layout).requires_grad_() for t in made]


def shape(over: str) -> tuple[int, ...]:
    return (2, 4, 1, 1) if over == "channels" else (2, 1, 3, 5)


def through(x: Tensor, weight: Tensor, over: str) -> Tensor:
    x, sums = weighted_sum(x, weight, over)
    x, maxima = maximum(x, over, weight if over == "channels" else None)
    return gated(x, sums.sigmoid(), maxima.tanh())


def formula(x: Tensor, weight: Tensor, over: str) -> Tensor:
    dims = 1 if over == "channels" else (2, 3)
    scaled = x * weight if over == "channels" else x
    sums, maxima = (x * weight).sum(dim=dims, keepdim=True), scaled.amax(dim=dims, keepdim=True)
    return x * sums.sigmoid() * maxima.tanh()


@LAYOUTS
@OVER
@pytest.mark.parametrize("frozen", [None, 0, 1])
def test_equals_the_plain_formula(layout, over, frozen) -> None:
    """Also where ``x`` is used elsewhere too, whose gradient is not to be written to."""
    ours, plain = (tensors(layout, shape(over)) for _ in range(2))
    slope = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    kept = slope.clone()
    for given, by in ((ours, through), (plain, formula)):
        if frozen is not None:
            given[frozen].requires_grad_(False)
        y = by(*given, over) + given[0]
        y.backward(slope)
    assert torch.equal(slope, kept)
    for a, b in zip(ours, plain, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad)
    with torch.no_grad():
        torch.testing.assert_close(through(*ours, over), formula(*plain, over))


@LAYOUTS
@OVER
def test_first_and_second_derivatives(layout, over) -> None:
    given, found = tensors(layout, shape(over)), []
    slope = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    for by in (through, formula):
        first = torch.autograd.grad(by(*given, over), given, slope, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), [*given, slope])
        found.append([*first, *second])
    torch.testing.assert_close(*found)


@OVER
def test_a_cut_path_leaves_the_rest(over) -> None:
    """A hook may replace what was read by a constant; the map still gets its gradient."""
    x, weight = tensors(torch.contiguous_format, shape(over))
    handed_on, sums = weighted_sum(x, weight, over)
    gated(handed_on, sums.detach()).sum().backward()
    torch.testing.assert_close(x.grad, sums.detach().expand_as(x))


def test_of_equal_maxima_one_gets_the_gradient() -> None:
    for over in ("channels", "positions"):
        x = torch.ones(1, 4, 3, 3, requires_grad=True)
        maximum(x, over)[1].sum().backward()
        assert x.grad.sum() == (9 if over == "channels" else 4) and set(x.grad.unique().tolist()) <= {
            0.0,
            1.0,
        }


@LAYOUTS
@pytest.mark.parametrize(("over", "axis"), [("rows", 2), ("columns", 3)])
def test_maxima_over_lines(layout, over, axis) -> None:
    ours, plain = tensors(layout)[0], tensors(layout)[0]
    handed_on, maxima = maximum(ours, over)
    torch.testing.assert_close(maxima, plain.amax(dim=axis, keepdim=True))
    gated(handed_on, maxima.sigmoid()).square().sum().backward()
    (plain * plain.amax(dim=axis, keepdim=True).sigmoid()).square().sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)
    small = tensors(layout)[0].detach()[:1, :2].requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: gated(*maximum(x, over)), [small])


def test_equal_maxima_over_a_line_share_the_gradient() -> None:
    x = torch.ones(1, 2, 4, 4, requires_grad=True)
    maximum(x, "rows")[1].sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 0.25))


@OVER
def test_a_shared_gradient_is_not_written_to(over) -> None:
    given, slope = tensors(torch.contiguous_format, shape(over)), torch.randn(2, 4, 3, 5, dtype=torch.float64)
    kept = slope.clone()
    handed_on, sums = weighted_sum(*given, over, shared=True)
    (handed_on + sums).backward(slope)
    assert torch.equal(slope, kept)
    ours = [t.grad.clone() for t in given]
    plain = (given[0] * given[1]).sum(dim=1 if over == "channels" else (2, 3), keepdim=True)
    torch.testing.assert_close(ours, list(torch.autograd.grad(given[0] + plain, given, slope)))
