from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from foveate.mechanisms.kernels import eager_cpu, gating
from foveate.mechanisms.kernels.gating import gated, gated_by_sum
from foveate.mechanisms.kernels.reductions import mean

SHAPES = {"channel": (3, 6, 1, 1), "position": (3, 1, 5, 4), "row": (3, 6, 5, 1), "column": (3, 6, 1, 4)}
SHAPES |= {"full": (3, 6, 5, 4), "one": (1, 1, 1, 1), "image": (3, 1, 1, 1)}
SETS = [(name,) for name in SHAPES] + [*itertools.combinations(SHAPES, 2), ("channel", "position", "row")]
LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the fast way for small maps too, in several uneven blocks for each sample."""
    monkeypatch.setattr(eager_cpu, "SMALL", 1)
    monkeypatch.setattr(gating, "BLOCK", 50)


def product(x: Tensor, *gates: Tensor) -> Tensor:
    for gate in gates:
        x = x * gate
    return x


def by_sum(x: Tensor, *gates: Tensor) -> Tensor:
    return x * sum(gates)


PAIRS = pytest.mark.parametrize(("fast", "formula"), [(gated, product), (gated_by_sum, by_sum)])


def tensors(names: tuple[str, ...], layout: torch.memory_format, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = [(3, 6, 5, 4), *(SHAPES[name] for name in names)]
    made = [torch.randn(shape, dtype=torch.float64).to(dtype) for shape in shapes]
    return [t.contiguous(memory_format=layout).requires_grad_() for t in made]


@LAYOUTS
@PAIRS
@pytest.mark.parametrize(
    "block", [pytest.param(1, marks=pytest.mark.slow), 50, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_equals_the_plain_formula(layout, fast, formula, block, monkeypatch) -> None:
    monkeypatch.setattr(gating, "BLOCK", block)
    for names in SETS:
        given, plain = (tensors(names, layout, torch.float64) for _ in range(2))
        y, expected = fast(*given), formula(*plain)
        torch.testing.assert_close(y, expected)
        assert y.is_contiguous(memory_format=layout)
        slope = torch.randn(y.shape, dtype=y.dtype).transpose(2, 3).contiguous().transpose(2, 3)
        y.backward(slope)
        expected.backward(slope)
        for ours, theirs in zip(given, plain, strict=True):
            torch.testing.assert_close(
                ours.grad, theirs.grad, msg=lambda text, names=names: f"{names}: {text}"
            )


@PAIRS
@LAYOUTS
def test_first_and_second_derivatives(fast, formula, layout) -> None:
    given = [
        t.detach()[:2, :2, :3, :2].requires_grad_()
        for t in tensors(("channel", "position"), layout, torch.float64)
    ]
    assert torch.autograd.gradcheck(fast, given)
    assert torch.autograd.gradgradcheck(fast, given)


@PAIRS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_in_float32(fast, formula, dtype) -> None:
    given = tensors(("channel", "position"), torch.contiguous_format, dtype)
    exact = [t.detach().double().requires_grad_() for t in given]
    fast(*given).sum().backward()
    formula(*exact).sum().backward()
    for ours, theirs in zip(given, exact, strict=True):
        assert ours.grad.dtype == dtype
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=0.05, atol=0.05)


@PAIRS
def test_only_what_is_wanted_gets_a_gradient(fast, formula) -> None:
    for frozen in range(3):
        given, plain = (tensors(("row", "column"), torch.contiguous_format, torch.float64) for _ in range(2))
        for all_of_them in (given, plain):
            all_of_them[frozen].requires_grad_(False)
        fast(*given).sum().backward()
        formula(*plain).sum().backward()
        for ours, theirs in zip(given, plain, strict=True):
            assert (ours.grad is None) == (theirs.grad is None)
            if ours.grad is not None:
                torch.testing.assert_close(ours.grad, theirs.grad)


@PAIRS
def test_promotes_types_and_takes_what_is_rare_like_the_formula(fast, formula) -> None:
    x, gate = torch.randn(3, 6, 5, 4), torch.rand(3, 6, 1, 1)
    for given in [(x, gate.bfloat16()), (x.bfloat16(), gate), (x[:0], gate[:0]), (x.transpose(2, 3), gate)]:
        assert fast(*given, given[1]).dtype == formula(*given, given[1]).dtype
        torch.testing.assert_close(fast(*given, given[1]), formula(*given, given[1]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")  # torch's own, when jvp is imported
def test_transforms_and_the_compiler_get_the_plain_formula() -> None:
    x, gate = torch.randn(3, 6, 5, 4), torch.rand(3, 6, 1, 1)
    torch.testing.assert_close(torch.vmap(gated)(x, gate), x * gate)
    value, slope = torch.func.jvp(gated, (x, gate), (x, gate))
    torch.testing.assert_close((value, slope), (x * gate, 2 * x * gate))
    torch.testing.assert_close(torch.func.grad(lambda x: gated(x, gate).sum())(x), gate.expand_as(x))
    compiled = torch.compile(gated, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, gate), x * gate)


@LAYOUTS
@pytest.mark.parametrize("dims", [(2, 3), (2,), (3,), (1,), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_mean(layout, dims, dtype) -> None:
    x, twin = (tensors((), layout, dtype)[0] for _ in range(2))
    torch.testing.assert_close(mean(x, *dims), twin.mean(dim=dims, keepdim=True))
    (mean(x, *dims) ** 2).sum().backward()
    (twin.mean(dim=dims, keepdim=True) ** 2).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad)


def peak(step: Callable[[], object]) -> int:
    """Return the most bytes that tensors held at a time, beyond those that were there before."""
    with torch.profiler.profile(profile_memory=True) as profile:
        kept = step()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    del kept
    return max(itertools.accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_training_keeps_two_maps_and_no_more(layout, monkeypatch) -> None:
    """The output, which the caller keeps, and the gradient of the input; plainly there are three or four."""
    monkeypatch.setattr(gating, "BLOCK", 1 << 14)
    x = torch.rand(4, 32, 64, 64).contiguous(memory_format=layout).requires_grad_()
    slope = torch.rand_like(x).detach()

    def step(by: Callable[..., Tensor], average: Callable[..., Tensor]) -> Tensor:
        y = by(x, average(x).sigmoid())
        y.backward(slope)
        return y

    size = x.numel() * x.element_size()
    assert peak(lambda: step(gated, lambda x: mean(x, 2, 3))) < 2.2 * size
    x.grad = None
    assert peak(lambda: step(product, lambda x: x.mean(dim=(2, 3), keepdim=True))) > 2.9 * size
    with torch.no_grad():
        assert peak(lambda: gated(x, x[:, :, :1, :1], x[:, :1])) < 1.1 * size
