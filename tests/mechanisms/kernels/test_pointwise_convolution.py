from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from foveate.mechanisms.kernels.pointwise_convolution import pointwise

LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_is_the_convolution_with_its_gradients_and_layout(layout) -> None:
    for size, bias in itertools.product([(1, 1), (5, 1), (6, 7)], [True, False]):
        check_convolution(layout, size, bias)


def check_convolution(layout: torch.memory_format, size: tuple[int, int], bias: bool) -> None:
    layer = nn.Conv2d(3, 4, kernel_size=1, bias=bias).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    found, expected = pointwise(layer, x), layer(x)
    torch.testing.assert_close(found, expected)
    assert found.stride() == expected.stride() or size == (1, 1)
    slope = torch.randn_like(expected)
    wanted = [x, *layer.parameters()]
    pairs = zip(*(torch.autograd.grad(y, wanted, slope) for y in (found, expected)), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_compiled_it_is_the_convolution(layout) -> None:
    layer = nn.Conv2d(3, 4, kernel_size=1)
    x = torch.randn(2, 3, 5, 1).contiguous(memory_format=layout)
    torch._dynamo.reset()  # it keeps few graphs of one function
    compiled = torch.compile(pointwise, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(layer, x), layer(x))


class Doubled(nn.Conv2d):
    """A convolution that somebody derived, as adapters and quantisers do."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, kernel_size=1, groups=2),
        nn.Conv2d(4, 4, kernel_size=1, stride=2),
        nn.Conv2d(4, 4, kernel_size=1, padding=1),
        nn.Conv2d(4, 4, kernel_size=3, padding=1),
        Doubled(4, 4, kernel_size=1),
        nn.Identity(),
    ],
)
def test_other_layers_are_called(layer: nn.Module, compiled: bool) -> None:
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last)
    torch._dynamo.reset()
    run = torch.compile(pointwise, backend="eager", fullgraph=True) if compiled else pointwise
    assert torch.equal(run(layer, x), layer(x))


def test_a_layer_with_hooks_is_called() -> None:
    layer, seen = nn.Conv2d(2, 2, kernel_size=1), []
    x = torch.randn(1, 2, 1, 1, requires_grad=True)
    layer.register_forward_hook(lambda *given: seen.append("forward"))
    pointwise(layer, x)
    layer.register_full_backward_hook(lambda *given: seen.append("backward"))
    pointwise(layer, x).sum().backward()
    assert seen == ["forward", "forward", "backward"]
