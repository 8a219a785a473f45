from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms.base import build
from foveate.mechanisms.pairwise.involution import Involution


@torch.no_grad()
def in_loops(module: Involution, x: Tensor) -> Tensor:
    """One position, one channel, one neighbour at a time; outside the map is 0."""
    channels, height, width = x.shape[1:]
    reach, kernel = module.kernel // 2, module.kernel
    made = module.span(module.norm(module.reduce(x)).relu())[0].view(
        module.groups, kernel, kernel, height, width
    )
    y, shared = torch.zeros_like(x[0]), channels // module.groups
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                for a in range(max(0, i - reach), min(height, i + reach + 1)):
                    for b in range(max(0, j - reach), min(width, j + reach + 1)):
                        weight = made[c // shared, a - i + reach, b - j + reach, i, j]
                        y[c, i, j] += weight * x[0, c, a, b]
    return y[None]


@pytest.mark.parity("involution")
@pytest.mark.parametrize(
    "options", [{"kernel": 3, "group": 2}, {"kernel": 5, "group": 1}, {"kernel": 1}], ids=str
)
def test_equals_the_formula_in_loops(options: dict[str, int], double: object) -> None:
    module, x = double("involution", 6, **options), torch.randn(1, 6, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(module(x), in_loops(module, x), rtol=0, atol=1e-10)


def test_equals_the_sum_over_unfolded_patches(double: object) -> None:
    """The form in which it is usually written, 49 maps at once."""
    module, x = double("involution", 32).train(), torch.randn(2, 32, 9, 7, dtype=torch.float64)
    kernels = module.span(module.norm(module.reduce(x)).relu()).view(2, 2, 1, 49, 9, 7)
    patches = F.unfold(x, 7, padding=3).view(2, 2, 16, 49, 9, 7)
    torch.testing.assert_close(module(x), (kernels * patches).sum(3).view_as(x), rtol=0, atol=1e-10)


def test_one_kernel_for_all_is_a_depthwise_convolution(double: object) -> None:
    module, x = double("involution", 16, kernel=3), torch.randn(1, 16, 6, 5, dtype=torch.float64)
    module.span.weight.data.zero_()
    kernel = module.span.bias.view(1, 1, 3, 3).expand(16, -1, -1, -1)
    torch.testing.assert_close(module(x), F.conv2d(x, kernel, padding=1, groups=16))


@pytest.mark.parametrize("channels", [64, 256])
def test_parameters_at_the_papers_defaults(channels: int) -> None:
    """C -> C/4 without a bias, its normalisation, and C/4 -> 49 C/16 with one."""
    hidden, made = channels // 4, 49 * channels // 16
    expected = channels * hidden + 2 * hidden + hidden * made + made
    assert build("involution", channels).cost(9, 9).parameters == expected


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (8, 1), (24, 2), (64, 4), (100, 10), (17, 17)])
def test_a_group_is_the_most_channels_that_divide(channels: int, groups: int) -> None:
    assert Involution(channels).groups == groups


def test_never_holds_all_patches_at_once(largest: type) -> None:
    module, x = Involution(16), torch.randn(1, 16, 64, 64).requires_grad_()
    with largest() as seen:
        module(x).sum().backward()
    assert seen.elements <= 7 * x.numel(), seen.operator


@pytest.mark.parametrize(("option", "value"), [("kernel", 4), ("group", 0), ("reduction", 0)])
def test_refuses_by_name(option: str, value: int) -> None:
    with pytest.raises(OptionError, match=f"{option}: got {value}"):
        Involution(16, **{option: value})
